-- Exports: who may take a patient's records along, by what, and that each is logged before anything
-- goes out. The ward stands around pia (tests.make_ward); Scan is shared, Genes is sensitive, Old is
-- deleted.
begin;
select plan(153);

select tests.make_ward();
-- Some have opened what is shared with them, in an earlier transaction.
create function pg_temp.opened(p_handle text, p_record text, p_ago interval default '1 minute')
  returns void language sql as $$
  insert into private.record_openings (viewer_id, record_id, opened_at)
  values (tests.uid(p_handle), tests.id(p_record), now() - p_ago)
$$;
select tests.make_user('not_opened'), tests.make_user('opened_long_ago');
select tests.make_share('Scan', 'not_opened'), tests.make_share('Scan', 'opened_long_ago'),
  tests.make_share('Genes', 'carer'), tests.make_share('Old', 'share_view');
select pg_temp.opened('share_view', 'Scan'), pg_temp.opened('share_view', 'Old'),
  pg_temp.opened('share_download', 'Scan'), pg_temp.opened('share_expired', 'Scan'),
  pg_temp.opened('share_revoked', 'Scan'), pg_temp.opened('carer', 'Genes'),
  pg_temp.opened('opened_long_ago', 'Scan', '61 minutes');

create temp table standing (actor text, patient text, grounds text);
insert into standing values
  ('pia', 'pia', 'owner'),
  ('omar', 'omar', 'owner'),
  ('omar', 'pia', null),
  ('doc', 'pia', 'chart sensitive'),
  ('doc', 'omar', null),
  ('doc@aal1', 'pia', null),
  ('doc_closed', 'pia', null),
  ('doc_expired', 'pia', null),
  ('doc_requested', 'pia', null),
  ('doc_declined', 'pia', null),
  ('doc_ended', 'pia', null),
  ('doc_lapsed', 'pia', null),
  ('doc_withdrawn', 'pia', null),
  ('doc_unverified', 'pia', null),
  ('doc_stranger', 'pia', null),
  -- A caregiver without the scope sees what is sensitive only as far as it was shared and opened.
  ('carer', 'pia', 'chart Genes'),
  ('carer_sensitive', 'pia', 'chart sensitive'),
  ('carer_other', 'pia', null),
  ('carer_closed', 'pia', null),
  ('carer_expired', 'pia', null),
  ('carer_requested', 'pia', null),
  ('carer_declined', 'pia', null),
  ('carer_ended', 'pia', null),
  ('carer_lapsed', 'pia', null),
  ('carer', 'carer', null),
  ('share_view', 'pia', 'Scan'),
  ('share_download', 'pia', 'Scan'),
  ('share_expired', 'pia', null),
  ('share_revoked', 'pia', null),
  ('not_opened', 'pia', null),
  ('opened_long_ago', 'pia', null),
  ('admin', 'pia', null),
  ('guest', 'pia', null),
  ('pia', 'nobody', null),
  ('pia', null, null);
create function pg_temp.named(p_grounds text) returns text language sql as $$
  select replace(replace(p_grounds, tests.id('Scan')::text, 'Scan'), tests.id('Genes')::text, 'Genes')
$$;

-- By what ----------------------------------------------------------------------------------------

select tests.make_field_key('pia'), tests.make_field_key('omar');
create temp table before as select tests.state() as state;
select is(pg_temp.named(tests.attempt(actor, format(
    'select coalesce(nullif(array_to_string(private.export_grounds(%L), '' ''), ''''), ''none'')',
    tests.id(patient)
  ))), coalesce(grounds, 'none'), format('export_grounds: %s of %s', actor, patient))
from standing;
-- Keys, and only theirs: no more than what the caller may take along.
select is(tests.attempt(actor, format(
    'select private.export_keys(%L) #>> ''{0,data_key_id}''', tests.id(patient)
  )),
  case when grounds is not null then tests.id('field key of ' || patient)::text else 'nothing' end,
  format('export_keys: %s of %s', actor, patient))
from standing where patient in ('pia', 'omar');
select is(tests.attempt(actor, $$ select private.export_keys(tests.id('pia')) $$), '42501 grant',
  'export_keys: ' || actor)
from unnest(array['anon', 'service_role', 'records_worker']) as actor;
select is(tests.attempt(actor, $$ select private.export_grounds(tests.id('pia')) $$), '42501 grant',
  'export_grounds: ' || actor)
from unnest(array['anon', 'service_role', 'records_worker']) as actor;
select is(tests.attempt(actor, $$ select cardinality(private.export_grounds(tests.id('pia'))) $$,
  ended), '0', format('export_grounds: %s, %s', actor, ended))
from unnest(array['pia', 'doc', 'share_view']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as ended;

-- Who may ----------------------------------------------------------------------------------------

select is(pg_temp.named(tests.attempt(actor, format(
    'select array_to_string(grounds, '' '') from private.authorize_export(%L, null, null)',
    tests.id(patient)
  ))), coalesce(grounds, 'PT404 not_found'), format('authorize_export: %s of %s', actor, patient))
from standing;
select is(tests.attempt(actor,
  $$ select grounds from private.authorize_export(tests.id('pia'), null, null) $$), '42501 grant',
  'authorize_export: ' || actor)
from unnest(array['anon', 'service_role', 'records_worker']) as actor;
select is(tests.attempt(actor,
  $$ select grounds from private.authorize_export(tests.id('pia'), null, null) $$, ended),
  'PT401 unauthenticated', format('authorize_export: %s, %s', actor, ended))
from unnest(array['pia', 'doc', 'share_view']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as ended;
select is(tests.state(), (select state from before), 'neither asking nor a refusal leaves a trace');

-- What is logged, and what comes with it -----------------------------------------------------------

insert into private.patient_identifiers (patient_id, system, value, created_at) values
  (tests.uid('pia'), 'https://b.example', 'B-2', now()),
  (tests.uid('pia'), 'https://a.example', 'A-1', now() - interval '1 day'),
  (tests.uid('omar'), 'https://a.example', 'A-9', now());
create function pg_temp.export(
  p_handle text, p_since timestamptz default null, p_types text[] default null
) returns text language plpgsql as $$
declare
  v_identifiers jsonb;
  v_last constant bigint := (select max(id) from public.audit_events);
begin
  perform tests.act_as(p_handle);
  select identifiers into v_identifiers
  from private.authorize_export(tests.id('pia'), p_since, p_types);
  perform tests.act_as_owner();
  return v_identifiers::text || ' / ' || (
    select string_agg(concat_ws(' ', actor_role, action, resource_type, resource_id = tests.id('pia'),
      patient_id = tests.id('pia'), coalesce(purpose, '-'), coalesce(new_values::text, '-')), ', ')
    from public.audit_events where id > v_last and actor_id = tests.id(p_handle)
  );
end
$$;
select is(pg_temp.export('pia'),
  '[{"value": "A-1", "system": "https://a.example"}, {"value": "B-2", "system": "https://b.example"}]'
  ' / patient export_records patient t t - -',
  'one''s own export is one row, and knows who one is elsewhere');
select is(pg_temp.export('doc', '2026-01-02 03:04:05.678901+00', array['Condition', 'Patient']),
  '[{"value": "A-1", "system": "https://a.example"}, {"value": "B-2", "system": "https://b.example"}]'
  ' / doctor export_records patient t t treatment '
  '{"since": "2026-01-02T03:04:05.678901+00:00", "resource_types": ["Condition", "Patient"]}',
  'an export under a chart says for what, and with which filter');
select is(pg_temp.export('carer'),
  '[{"value": "A-1", "system": "https://a.example"}, {"value": "B-2", "system": "https://b.example"}]'
  ' / caregiver export_records patient t t delegated {"caregiver_scopes": ["records"]}', 'a caregiver exports under their chart');
select is(pg_temp.export('share_view'), '[] / patient export_records patient t t share -',
  'who sees a record by share is not told who the patient is elsewhere');

select tests.act_as('pia');
select results_eq(
  $$ select actor_name, summary, purpose from public.my_access_log()
     where action = 'export_records' order by id $$,
  $$ values ('Doc', 'Exported your records', 'treatment'),
    ('Carer', 'Exported your records', 'delegated'),
    ('Share_View', 'Exported your records', 'share') $$,
  'the patient reads who took the records along');

-- Addresses of imported resources ------------------------------------------------------------------

select tests.act_as_owner();
create function pg_temp.import(p_url text, p_fhir jsonb default '{}') returns text language plpgsql
as $$
declare
  v_outcome text;
begin
  perform tests.act_as('omar');
  select outcome into v_outcome from private.import_records(
    tests.id('omar'), 'https://h.example', null,
    jsonb_build_array(jsonb_build_object(
      'source_id', 'C/1', 'source_url', p_url, 'record_type', 'condition', 'title', 'x',
      'record_date', null, 'sensitivity', 'normal', 'fhir', p_fhir
    ))
  );
  perform tests.act_as_owner();
  return concat_ws(' ', v_outcome,
    (select source_url from public.medical_records where source_id = 'C/1'));
end
$$;
select is(pg_temp.import(null), 'imported', 'a resource without an address has none');
select is(pg_temp.import('urn:a'), 'updated urn:a', 'an address that is new is kept');
select is(pg_temp.import('urn:a'), 'unchanged urn:a', 'the same changes nothing');
select is(pg_temp.import(null), 'unchanged urn:a', 'one that is missing takes nothing away');
select is(pg_temp.import('urn:b'), 'updated urn:b', 'another replaces it');
select throws_ok(
  $$ update public.medical_records set source_url = 'urn:c' where title = 'Bill' $$, '23514', null,
  'only what was imported has an address');

select * from finish();
rollback;
