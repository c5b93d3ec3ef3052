-- Rights, told from the lists that PostgreSQL keeps and not from trying: whoever is not named here
-- has none, and a new grant gets a line. Functions have their list in 00_platform.test.sql.
begin;
select plan(6);

create temp view our_relations as
  select c.oid, c.relkind, c.relacl, c.relowner, c.oid::regclass::text collate "C" as name
  from pg_class as c
  where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
    and c.relkind in ('r', 'p', 'v', 'm', 'S');

select results_eq(
  $$
    select r.name, a.grantee::regrole::text collate "C",
      string_agg(lower(a.privilege_type), ', ' order by a.privilege_type)
    from our_relations as r, aclexplode(r.relacl) as a
    where a.grantee <> r.relowner
    group by 1, 2 order by 1, 2
  $$,
  $$ values
    ('account_grants' collate "C", 'authenticated' collate "C", 'select'),
    ('blocks', 'authenticated', 'delete, select'),
    ('care_relationships', 'authenticated', 'select'),
    ('chart_sessions', 'authenticated', 'select'),
    ('conversation_participants', 'authenticated', 'select'),
    ('conversations', 'authenticated', 'select'),
    ('device_tokens', 'authenticated', 'select'),
    ('doctors', 'authenticated', 'select'),
    ('medical_record_contents', 'authenticated', 'select'),
    ('medical_record_shares', 'authenticated', 'select'),
    ('medical_records', 'authenticated', 'select'),
    ('medications', 'authenticated', 'delete, select'),
    ('messages', 'authenticated', 'select'),
    ('notification_deliveries', 'authenticated', 'select'),
    ('notification_preferences', 'authenticated', 'delete, select'),
    ('notifications', 'authenticated', 'select'),
    ('patients', 'authenticated', 'select'),
    ('private.visible_profiles', 'authenticated', 'select'),
    ('profiles', 'authenticated', 'select'),
    ('public_profiles', 'authenticated', 'select'),
    ('reminder_logs', 'authenticated', 'select'),
    ('reminders', 'authenticated', 'delete, select')
  $$,
  'these rights on whole tables, views and sequences there are, and no other'
);

select results_eq(
  $$
    select r.name, x.grantee::regrole::text collate "C", lower(x.privilege_type),
      string_agg(a.attname::text collate "default", ', ' order by a.attname)
    from our_relations as r
    join pg_attribute as a on a.attrelid = r.oid and not a.attisdropped
    cross join aclexplode(a.attacl) as x
    group by 1, 2, 3 order by 1, 2, 3
  $$,
  $$ values
    ('blocks' collate "C", 'authenticated' collate "C", 'insert', 'blocked_id, blocker_id'),
    ('medical_record_contents' collate "C", 'authenticated' collate "C", 'insert',
      'metadata, record_id'),
    ('medical_record_contents', 'authenticated', 'update', 'metadata'),
    ('medical_records', 'authenticated', 'insert',
      'patient_id, record_date, record_type, sensitivity, title'),
    ('medical_records', 'authenticated', 'update', 'record_date, record_type, sensitivity, title'),
    ('medications', 'authenticated', 'insert',
      'dose, dose_unit, name, refill_threshold_days, stock, units_per_dose, user_id'),
    ('medications', 'authenticated', 'update',
      'dose, dose_unit, name, refill_threshold_days, stock, units_per_dose'),
    ('notification_preferences', 'authenticated', 'insert',
      'channel, detail, enabled, kind, quiet_from, quiet_to, user_id'),
    ('notification_preferences', 'authenticated', 'update',
      'channel, detail, enabled, kind, quiet_from, quiet_to, user_id'),
    ('patients', 'authenticated', 'update',
      'cancer_type, city, country, date_of_birth, diagnosis_date, emergency_contact_name, '
      'emergency_contact_relationship, first_name, gender, insurance_provider, last_name, '
      'medical_history, postal_code, state, treatment_stage'),
    ('profiles', 'authenticated', 'update',
      'avatar_path, bio, display_name, is_public, locale, timezone')
  $$,
  'these rights on columns there are, and no other'
);

select is_empty(
  $$
    with acls (object, acl, owner) as (
      select name, relacl, relowner from our_relations
      union all
      select format('%s.%s', r.name, a.attname), a.attacl, r.relowner
      from our_relations as r join pg_attribute as a on a.attrelid = r.oid
      union all
      select oid::regprocedure::text, proacl, proowner from pg_proc
      where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
      union all
      select nspname, nspacl, nspowner from pg_namespace where nspname in ('public', 'private')
    )
    select object, a.grantee::regrole, a.privilege_type
    from acls, aclexplode(acl) as a
    where a.is_grantable and a.grantee <> owner
  $$,
  'nobody may hand on a right that was given'
);

select is_empty(
  $$
    select n.nspname, a.privilege_type
    from pg_namespace as n, aclexplode(n.nspacl) as a
    where n.nspname in ('public', 'private') and a.grantee = 0
      and (n.nspname, a.privilege_type) <> ('public', 'USAGE')
  $$,
  'PUBLIC may see into schema public, and nothing else'
);

-- Roles ------------------------------------------------------------------------------------------

select results_eq(
  $$
    select rolname::text collate "C", concat_ws(', ',
      case when rolsuper then 'superuser' end, case when rolbypassrls then 'bypassrls' end,
      case when rolcreaterole then 'createrole' end, case when rolcreatedb then 'createdb' end,
      case when rolcanlogin then 'login' end, case when rolinherit then 'inherit' end
    )
    from pg_roles
    where rolname in (
        'anon', 'authenticated', 'service_role', 'supabase_auth_admin', 'authenticator'
      )
      or rolname like '%\_worker'
    order by 1
  $$,
  $$ values
    ('anon' collate "C", ''),
    ('audit_worker', ''),
    ('authenticated', ''),
    ('authenticator', 'login'),
    ('identity_worker', ''),
    ('keys_worker', ''),
    ('notification_worker', ''),
    ('rate_limit_worker', ''),
    ('records_worker', ''),
    ('reminder_worker', ''),
    ('service_role', 'bypassrls'),
    ('supabase_auth_admin', 'createrole, login')
  $$,
  'a role of a request or of a job has no attribute but these'
);

select results_eq(
  $$
    select m.member::regrole::text collate "C",
      string_agg(m.roleid::regrole::text, ', ' order by m.roleid::regrole::text)
    from pg_auth_members as m
    where m.member::regrole::text in (
        'anon', 'authenticated', 'service_role', 'authenticator', 'supabase_auth_admin'
      )
      or m.member::regrole::text like '%\_worker'
    group by 1
  $$,
  $$ values ('authenticator' collate "C", 'anon, authenticated, service_role') $$,
  'none of them belongs to a role, but that the API may act as the three roles of a request'
);

select * from finish();
rollback;
