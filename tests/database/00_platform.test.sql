-- The platform: which role may execute what, the rate limiter, cursors and small checks of text.
-- Pia is a patient; everybody else here is a database role.
begin;
select plan(61);

select tests.make_user('pia');

-- Roles ------------------------------------------------------------------------------------------

-- A new function gets a line here, or nobody may call it.
select results_eq(
  $$
    select r.name, p.oid::regprocedure::text collate "C"
    from pg_proc as p
    cross join unnest(
      array[
        'anon', 'authenticated', 'service_role', 'records_worker', 'rate_limit_worker',
        'identity_worker', 'audit_worker', 'keys_worker', 'notification_worker', 'reminder_worker',
        'supabase_auth_admin',
        'supabase_storage_admin', 'authenticator'
      ]
    ) as r (name)
    where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
      and has_function_privilege(r.name, p.oid, 'execute')
    order by 1, 2
  $$,
  $$
    select 'authenticated', f collate "C" from unnest(array[
      'add_participant(uuid,uuid,text)',
      'conversation_topic(uuid)',
      'delete_message(bigint)',
      'edit_message(bigint,text)',
      'leave_conversation(uuid)',
      'list_conversations(integer,text)',
      'list_messages(uuid,integer,text)',
      'mark_conversation_read(uuid,bigint)',
      'mute_conversation(uuid,timestamp with time zone)',
      'remove_participant(uuid,uuid)',
      'send_message(uuid,text,text,text,jsonb,bigint,boolean)',
      'start_conversation(uuid[],text,text)',
      'audit_proof(bigint)',
      'adherence(date,date,uuid)',
      'complete_next_reminder(uuid,timestamp with time zone,text)',
      'complete_reminder(uuid,text)',
      'create_reminder(text,text,timestamp without time zone,text,text,text,'
        'timestamp without time zone[],timestamp without time zone[],integer,integer,'
        'integer,integer,integer,uuid,uuid,timestamp with time zone[],boolean,numeric)',
      'medication_supply()',
      'private.complete_next_reminder(uuid,timestamp with time zone,text)',
      'private.complete_reminder(uuid,text)',
      'private.days_left(numeric,numeric,numeric)',
      'private.doses_per_day(uuid)',
      'private.reminder_scope(text)',
      'private.save_reminder(uuid,text,text,timestamp without time zone,text,text,text,'
        'timestamp without time zone[],timestamp without time zone[],integer,integer,'
        'boolean,integer,integer,integer,uuid,uuid,timestamp with time zone[],boolean,'
        'numeric)',
      'private.shift_plan(uuid,integer)',
      'private.skip_reminder(uuid,text)',
      'private.snooze_reminder(uuid,integer)',
      'shift_plan(uuid,integer)',
      'skip_reminder(uuid,text)',
      'snooze_reminder(uuid,integer)',
      'upcoming_reminders(integer)',
      'update_reminder(uuid,text,text,timestamp without time zone,text,text,text,'
        'timestamp without time zone[],timestamp without time zone[],integer,integer,'
        'boolean,integer,integer,integer,uuid,uuid,timestamp with time zone[],boolean,'
        'numeric)',
      'audit_search(uuid,uuid,text,text,uuid,text,timestamp with time zone,'
        'timestamp with time zone,integer,text)',
      'break_glass(uuid,text)',
      'close_account()',
      'close_chart(uuid)',
      'delete_medical_record(uuid)',
      'delete_notification(uuid)',
      'end_care(uuid,text)',
      'grant_account(uuid,text)',
      'list_dead_deliveries(integer,text)',
      'list_emergency_accesses(integer,text)',
      'list_notifications(integer,text,boolean)',
      'mark_all_notifications_read()',
      'mark_notification_read(uuid)',
      'my_access_log(integer,text)',
      'object_to_emergency_access(uuid,text)',
      'open_chart(uuid,text)',
      'open_medical_record(uuid)',
      'register_device_token(text,text,text,text)',
      'remove_device_token(uuid)',
      'request_care(uuid,text,text[])',
      'request_doctor_verification(text,text,text)',
      'respond_care_request(uuid,boolean,text[])',
      'restore_medical_record(uuid)',
      'retry_delivery(uuid)',
      'review_emergency_access(uuid,text,text)',
      'revoke_account_grant(uuid,text)',
      'revoke_record_share(uuid)',
      'search_patients(text,integer,text)',
      'set_account_active(uuid,boolean,text)',
      'set_care_scopes(uuid,text[])',
      'share_medical_record(uuid,uuid,text,timestamp with time zone)',
      'touch_last_active()',
      'verify_audit(timestamp with time zone,timestamp with time zone)',
      'verify_doctor(uuid,boolean,text)',
      'who_can_see(uuid)',
      'why_can_see(uuid,uuid)',
      'private.add_participant(uuid,uuid,text)',
      'private.attachment_folders()',
      'private.conversation_topic(uuid)',
      'private.current_conversation_ids()',
      'private.delete_message(bigint)',
      'private.edit_message(bigint,text)',
      'private.hidden_profile_ids()',
      'private.is_attachment(text,jsonb,boolean)',
      'private.leave_conversation(uuid)',
      'private.list_conversations(integer,timestamp with time zone,uuid)',
      'private.list_messages(uuid,integer,timestamp with time zone,bigint)',
      'private.mark_conversation_read(uuid,bigint)',
      'private.mute_conversation(uuid,timestamp with time zone)',
      'private.readable_conversation_ids()',
      'private.remove_participant(uuid,uuid)',
      'private.send_message(uuid,text,text,text,jsonb,bigint,boolean)',
      'private.start_conversation(uuid[],text,text)',
      'private.topic_is_readable()',
      'private.topic_is_shared()',
      'private.topic_takes_broadcasts()',
      'private.added_record_ids()',
      'private.audit_proof(bigint)',
      'private.audit_search(uuid,uuid,text,text,uuid,text,timestamp with time zone,'
        'timestamp with time zone,integer,bigint)',
      'private.authorize_export(uuid,timestamp with time zone,text[])',
      'private.authorize_record_download(uuid)',
      'private.begin_record_upload(uuid,text,text,bigint,text)',
      'private.break_glass(uuid,text)',
      'private.chart_patient_ids(text)',
      'private.close_account()',
      'private.close_chart(uuid)',
      'private.connected_profile_ids()',
      'private.disclose_patient_fields(uuid[])',
      'private.disclose_record_descriptions(uuid[])',
      'private.delete_notification(uuid)',
      'private.end_care(uuid,text)',
      'private.erase_record_file(uuid)',
      'private.export_grounds(uuid)',
      'private.export_keys(uuid)',
      'private.field_key_for_patient(uuid)',
      'private.field_key_for_record(uuid)',
      'private.find_patients(jsonb)',
      'private.grant_account(uuid,text)',
      'private.import_records(uuid,text,jsonb,jsonb)',
      'private.is_admin()',
      'private.is_sealed(text,integer,integer)',
      'private.is_timezone(text)',
      'private.is_verified_doctor()',
      'private.like_escape(text)',
      'private.list_dead_deliveries(integer,jsonb)',
      'private.list_emergency_accesses(integer,jsonb)',
      'private.make_cursor(jsonb)',
      'private.mark_all_notifications_read()',
      'private.mark_notification_read(uuid)',
      'private.matching_patient_ids(uuid[],jsonb)',
      'private.may_see_clinical_rows()',
      'private.my_access_log(integer,timestamp with time zone,bigint)',
      'private.object_to_emergency_access(uuid,text)',
      'private.open_chart(uuid,text)',
      'private.open_medical_record(uuid)',
      'private.opened_record_ids()',
      'private.pending_record_upload(uuid,uuid)',
      'private.reachable_patient_ids()',
      'private.read_cursor(text,text[])',
      'private.read_patient_fields(uuid[])',
      'private.read_record_descriptions(uuid[])',
      'private.register_device_token(text,text,text,text)',
      'private.remove_device_token(uuid)',
      'private.request_care(uuid,text,text[])',
      'private.request_doctor_verification(text,text,text)',
      'private.require_admin()',
      'private.require_live_session()',
      'private.require_page_size(integer)',
      'private.respond_care_request(uuid,boolean,text[])',
      'private.retry_delivery(uuid)',
      'private.review_emergency_access(uuid,text,text)',
      'private.revoke_account_grant(uuid,text)',
      'private.revoke_record_share(uuid)',
      'private.session_is_live()',
      'private.set_account_active(uuid,boolean,text)',
      'private.set_care_scopes(uuid,text[])',
      'private.set_record_deleted(uuid,boolean)',
      'private.share_medical_record(uuid,uuid,text,timestamp with time zone)',
      'private.shared_record_ids()',
      'private.touch_last_active()',
      'private.treated_patient_ids()',
      'private.verify_audit(timestamp with time zone,timestamp with time zone)',
      'private.verify_doctor(uuid,boolean,text)',
      'private.who_can_see(uuid)',
      'private.write_patient_fields(jsonb,jsonb)',
      'private.write_record_description(uuid,text)'
    ]) as f
    union all values
      ('audit_worker', 'private.audit_head()'),
      ('audit_worker', 'private.list_refusals()'),
      ('audit_worker', 'private.seal_audit(integer,integer)'),
      ('identity_worker', 'private.keep_patient_key(uuid,uuid,text,integer,text)'),
      ('rate_limit_worker', 'private.take_rate_token(text,integer,integer)'),
      ('records_worker', 'private.add_record_file_key(uuid,text,integer,text)'),
      ('records_worker', 'private.complete_record_upload(uuid,text,text)'),
      ('records_worker', 'private.ended_record_uploads(integer)'),
      ('records_worker', 'private.note_uploads_swept(uuid[])'),
      ('records_worker', 'private.record_file_key(uuid,text)'),
      ('records_worker', 'private.reject_record_upload(uuid)'),
      ('records_worker', 'private.unused_attachments(integer)'),
      ('keys_worker', 'private.claim_data_keys(integer,integer,integer)'),
      ('keys_worker', 'private.key_status()'),
      ('keys_worker', 'private.store_rewrapped_keys(text,integer,jsonb)'),
      ('notification_worker', 'private.claim_deliveries(integer,integer)'),
      ('notification_worker', 'private.delivery_backlog()'),
      ('notification_worker', 'private.finish_deliveries(jsonb)'),
      ('notification_worker', 'private.record_receipt(text,text,text,text,text)'),
      ('reminder_worker', 'private.follow_up_reminders(timestamp with time zone,integer,'
        'timestamp with time zone,uuid)'),
      ('reminder_worker', 'private.notify_refills(timestamp with time zone,integer)'),
      ('reminder_worker', 'private.reminders_to_expand(integer)'),
      ('reminder_worker', 'private.store_expansions(jsonb)'),
      ('reminder_worker', 'private.tick_reminders(timestamp with time zone,integer,timestamp with time zone,uuid)'),
      ('supabase_auth_admin', 'private.limit_sign_in_attempts(jsonb)')
    order by 1, 2
  $$,
  'each function may be executed by those it is for, and by nobody else'
);

select is_empty(
  $$
    select r.name, p.oid::regprocedure, outcome
    from pg_proc as p
    cross join unnest(
      array[
        'anon', 'pia', 'service_role', 'records_worker', 'rate_limit_worker', 'identity_worker',
        'audit_worker', 'keys_worker', 'notification_worker', 'reminder_worker'
      ]
    ) as r (name)
    cross join lateral tests.attempt(r.name, format(
      'select %s.%I(%s)', p.pronamespace::regnamespace, p.proname,
      (
        select string_agg(
          format('null::%I.%I', t.typnamespace::regnamespace, t.typname), ', ' order by a.position
        )
        from unnest(p.proargtypes) with ordinality as a (type, position)
        join pg_type as t on t.oid = a.type
      )
    )) as outcome
    where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
      and p.prorettype <> 'trigger'::regtype
      and not has_function_privilege(
        case r.name when 'pia' then 'authenticated' else r.name end, p.oid, 'execute'
      )
      and outcome <> '42501 grant'
  $$,
  'a call of any other function is refused by its grant'
);

-- Whatever the arguments, the caller comes first.
create temp table api_calls as
  select p.oid::regprocedure::text as name, format(
    'select public.%I(%s)', p.proname,
    (select string_agg(format('null::%s', t::regtype), ', ') from unnest(p.proargtypes) as t)
  ) as call
  from pg_proc as p
  where p.pronamespace = 'public'::regnamespace;
select is_empty(
  $$
    select c.name, standing, outcome
    from api_calls as c
    cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
    cross join lateral tests.attempt('pia', c.call, standing) as outcome
    where outcome <> 'PT401 unauthenticated'
  $$,
  'a function of the API tells a token whose session or account is over nothing but that'
);
select ok((select count(*) > 15 from api_calls), 'which was asked of more than fifteen of them');

select is_empty(
  $$
    select r.name, c.oid::regclass, verb
    from pg_class as c
    cross join unnest(array[
      'anon', 'service_role', 'records_worker', 'rate_limit_worker', 'identity_worker', 'audit_worker', 'keys_worker',
      'notification_worker', 'reminder_worker',
        'supabase_auth_admin', 'supabase_storage_admin'
    ]) as r (name)
    cross join unnest(
      array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain']
    ) as verb
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm')
      and (
        has_table_privilege(r.name, c.oid, verb)
        or verb in ('select', 'insert', 'update', 'references')
          and has_any_column_privilege(r.name, c.oid, verb)
      )
  $$,
  'neither anon, nor the service role, nor a worker, nor Auth or Storage has any right on a table or view'
);

select is_empty(
  $$
    select r.name, c.oid::regclass, verb
    from pg_class as c
    cross join unnest(array[
      'anon', 'authenticated', 'service_role', 'records_worker', 'rate_limit_worker',
      'identity_worker', 'audit_worker', 'keys_worker', 'notification_worker', 'reminder_worker'
    ]) as r (name)
    cross join unnest(array['usage', 'select', 'update']) as verb
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind = 'S' and has_sequence_privilege(r.name, c.oid, verb)
  $$,
  'no role of the API or of a worker has any right on a sequence'
);

select results_eq(
  $$
    select r.name, has_schema_privilege(r.name, 'private', 'usage'),
      has_schema_privilege(r.name, 'private', 'create'),
      has_schema_privilege(r.name, 'public', 'create')
    from unnest(array[
      'anon', 'authenticated', 'service_role', 'records_worker', 'rate_limit_worker',
      'identity_worker', 'audit_worker', 'keys_worker', 'notification_worker', 'reminder_worker',
        'supabase_auth_admin',
      'supabase_storage_admin'
    ]) as r (name)
  $$,
  $$ values
    ('anon',                   false, false, false),
    ('authenticated',          true,  false, false),
    ('service_role',           false, false, false),
    ('records_worker',         true,  false, false),
    ('rate_limit_worker',      true,  false, false),
    ('identity_worker',        true,  false, false),
    ('audit_worker',           true,  false, false),
    ('keys_worker',            true,  false, false),
    ('notification_worker',    true,  false, false),
    ('reminder_worker',        true,  false, false),
    ('supabase_auth_admin',    true,  false, false),
    ('supabase_storage_admin', false, false, false)
  $$,
  'whom a policy or a job needs in schema private may enter it, and nobody may build there'
);

select results_eq(
  $$
    select r.rolname, r.rolcanlogin, r.rolinherit, r.rolsuper, r.rolbypassrls, r.rolcreaterole,
      (
        select string_agg(distinct m.member::regrole::text, ', ')
        from pg_auth_members as m where m.roleid = r.oid
      ),
      exists (select 1 from pg_auth_members as m where m.member = r.oid)
    from pg_roles as r where r.rolname like '%\_worker' order by 1
  $$,
  $$ values
    ('audit_worker'::name,      false, false, false, false, false, 'postgres', false),
    ('identity_worker'::name,   false, false, false, false, false, 'postgres', false),
    ('keys_worker'::name,       false, false, false, false, false, 'postgres', false),
    ('notification_worker'::name, false, false, false, false, false, 'postgres', false),
    ('rate_limit_worker'::name, false, false, false, false, false, 'postgres', false),
    ('records_worker'::name,    false, false, false, false, false, 'postgres', false),
    ('reminder_worker'::name,   false, false, false, false, false, 'postgres', false)
  $$,
  'a worker role cannot sign in, has no attribute, belongs to no role, and postgres alone may act as it'
);

select results_eq(
  $$
    select m.roleid::regrole::text, bool_or(m.inherit_option), bool_or(m.set_option)
    from pg_auth_members as m
    where m.roleid::regrole::text like '%\_worker'
    group by 1 order by 1
  $$,
  $$ values
    ('audit_worker', false, true), ('identity_worker', false, true), ('keys_worker', false, true),
    ('notification_worker', false, true), ('rate_limit_worker', false, true),
    ('records_worker', false, true), ('reminder_worker', false, true)
  $$,
  'postgres has a worker''s rights only while it acts as the worker'
);

select is(tests.attempt(actor, 'select private.session_is_live()'), '42501 grant',
  format('%s has no way into schema private', actor))
from unnest(array['anon', 'service_role']) as actor;

select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, statement))
from unnest(array['pia', 'service_role', 'rate_limit_worker']) as actor
cross join unnest(array[
  'select key from private.rate_limits',
  $$insert into private.rate_limits (key, tokens, granted, refilled_at)
    values ('k', 9, true, now())$$,
  'update private.rate_limits set tokens = 9',
  'delete from private.rate_limits'
]) as statement;

-- The clock of updated_at ------------------------------------------------------------------------

select is_empty(
  $$
    select c.oid::regclass from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attname = 'updated_at' and not a.attisdropped
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind in ('r', 'p')
      and not exists (
        select 1 from pg_trigger as t
        where t.tgrelid = c.oid and t.tgfoid = 'private.set_updated_at()'::regprocedure
          and t.tgenabled = 'O' and t.tgtype = 19 -- before update, for each row
      )
  $$,
  'every table with updated_at has the trigger that stamps it'
);

update public.profiles set updated_at = 'epoch' where id = tests.uid('pia');
select is((select updated_at from public.profiles where id = tests.uid('pia')), now(),
  'updated_at is the time of the transaction, whatever was written');

-- Rate limits ------------------------------------------------------------------------------------

-- Ten tokens in an hour: one every 360 s. Time passes by moving the bucket's clock back.
create temp view buckets as
  select key, tokens, granted, refilled_at from private.rate_limits;
create function pg_temp.pass(p_key text, p_time interval) returns void language sql as $$
  update private.rate_limits set refilled_at = refilled_at - p_time where key = p_key
$$;
create function pg_temp.take(p_key text, p_capacity integer default 10,
  p_seconds integer default 3600)
  returns text language plpgsql as $$
declare
  v_taken record;
begin
  perform tests.act_as_role('rate_limit_worker');
  select * into v_taken from private.take_rate_token(p_key, p_capacity, p_seconds);
  perform tests.act_as_owner();
  return format('%s, %s left, %s s', v_taken.allowed, v_taken.remaining, v_taken.reset_seconds);
end
$$;

select results_eq(
  $$ select pg_temp.take('a') from generate_series(1, 12) $$,
  $$ values
    ('t, 9 left, 360 s'), ('t, 8 left, 720 s'), ('t, 7 left, 1080 s'), ('t, 6 left, 1440 s'),
    ('t, 5 left, 1800 s'), ('t, 4 left, 2160 s'), ('t, 3 left, 2520 s'), ('t, 2 left, 2880 s'),
    ('t, 1 left, 3240 s'), ('t, 0 left, 3600 s'), ('f, 0 left, 360 s'), ('f, 0 left, 360 s')
  $$,
  'a bucket gives what it holds; it says when it is full again, and after the last when the next comes'
);
select is(pg_temp.take('b'), 't, 9 left, 360 s', 'another key has a bucket of its own');

create temp table emptied as select tokens, refilled_at from buckets where key = 'a';
do $$ begin perform pg_temp.take('a'); end $$;
select results_eq(
  $$ select tokens, refilled_at from buckets where key = 'a' $$,
  'select tokens, refilled_at from emptied',
  'a refusal leaves tokens and clock as they are, so that hammering does not delay the refill'
);

select pg_temp.pass('a', interval '350 seconds');
select is(pg_temp.take('a'), 'f, 0 left, 10 s', 'part of a token is none');
select pg_temp.pass('a', interval '10 seconds');
select is(pg_temp.take('a'), 't, 0 left, 3600 s', 'after its time the token is there');
select is(pg_temp.take('a'), 'f, 0 left, 360 s', 'and there is one only');
select pg_temp.pass('a', interval '1 hour');
select is(pg_temp.take('a'), 't, 9 left, 360 s', 'a bucket that had its time is full');
select pg_temp.pass('a', interval '30 days');
select is(pg_temp.take('a'), 't, 9 left, 360 s', 'and holds no more than its capacity');

select pg_temp.pass('b', interval '-1 hour');
select is(pg_temp.take('b'), 't, 8 left, 720 s', 'a clock that was set back takes no token away');
select ok((select refilled_at > now() + interval '50 minutes' from buckets where key = 'b'),
  'and the bucket keeps the later clock, so that no time is counted twice');

select is(pg_temp.take('a', 3, 3600), 't, 2 left, 1200 s', 'a smaller capacity holds at once');
select is(pg_temp.take('c', 1, 1), 't, 0 left, 1 s', 'the smallest bucket gives one');
select is(pg_temp.take('c', 1, 1), 'f, 0 left, 1 s', 'and names at least a second');

select is(
  (select count(*) from generate_series(1, 2000) as n
    where pg_temp.take('many ' || n) like 't, 9 left%'),
  2000::bigint, 'two thousand keys have two thousand buckets'
);

select is(
  tests.attempt('rate_limit_worker', format('select private.take_rate_token(%L, 10, 60)', key)),
  '23514',
  format('a key of %s characters is refused', length(key))
)
from unnest(array['', repeat('k', 201)]) as key;
select is(tests.attempt('rate_limit_worker', 'select private.take_rate_token(null, 10, 60)'),
  '23502',
  'no key is refused');
select is_empty($$ select key from buckets where length(key) not between 1 and 200 $$,
  'a key that is refused leaves no bucket');

-- Cursors and pages ------------------------------------------------------------------------------

select is(
  private.read_cursor(
    private.make_cursor('["Rao", "Ananya é €", "2026-01-02T03:04:05Z", 7]'),
    array['text', 'text', 'timestamptz', 'bigint']
  ),
  '["Rao", "Ananya é €", "2026-01-02T03:04:05Z", 7]'::jsonb, 'a cursor is read back as it was made'
);
select is(private.read_cursor(null, array['text', 'bigint']), null::jsonb, 'no cursor is no key');
select throws_ok(
  format('select private.read_cursor(%L, %L)', cursor, array['timestamptz', 'bigint']),
  'PT400', 'invalid_request',
  format('a cursor that is %s is refused', why)
)
from (values
  ('not base64', '!'),
  ('cut short', 'WzEsM'),
  ('no UTF-8', encode('\xff', 'base64')),
  ('no JSON', encode('[1, 2', 'base64')),
  ('no array', encode('{"a": 1, "b": 2}', 'base64')),
  ('an array that is longer', encode('["2026-01-02", 2, 3]', 'base64')),
  ('an array that is shorter', encode('["2026-01-02"]', 'base64')),
  ('of no time', encode('["abc", 1]', 'base64')),
  ('of no number', encode('["2026-01-02", "x"]', 'base64')),
  ('of a number too great', encode('["2026-01-02", 99999999999999999999]', 'base64')),
  ('of nulls', encode('[null, null]', 'base64')),
  ('of objects', encode('[{}, []]', 'base64')),
  ('empty', '')
) as bad (why, cursor);

select is(
  (
    select string_agg(concat_ws(' ', n, tests.attempt(
      'pia', format('select private.require_page_size(%L)', n)
    )), ', ')
    from unnest(array[0, 1, 100, 101, -1, null]) as n
  ),
  '0 PT400 invalid_request, 1 done, 100 done, 101 PT400 invalid_request, -1 PT400 invalid_request, '
    || 'PT400 invalid_request',
  'a page has 1 to 100 rows'
);

-- Texts ------------------------------------------------------------------------------------------

select ok('100%_\' like private.like_escape('100%_\')
  and '1000 ' not like private.like_escape('100%_'),
  'what is escaped matches itself alone');

select is(
  (
    select string_agg(name, ', ') from unnest(array[
      'Asia/Kolkata', 'UTC', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5', 'IST', '+05:30',
        'EST5EDT',
      '<X>-5', '', 'Mars/Base', '../etc/passwd', repeat('A', 10000), 'Asia/Kolkata ',
        E'Asia/Kolkata\n'
    ]) as name
    where private.is_timezone(name)
  ),
  'Asia/Kolkata, UTC, America/Argentina/Buenos_Aires, Etc/GMT+5',
  'a zone is a name of the IANA database, no abbreviation and no offset'
);

select * from finish();
rollback;
