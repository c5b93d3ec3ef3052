-- What the trail says: which statements write which rows, with what of the change, by whom, from
-- where. Pia is a patient; doc and carer have her chart open; rae has a share; ada is an
-- administrator.
begin;
select plan(61);

select tests.make_user('pia'), tests.make_user('rae'), tests.make_user('doc', 'doctor'),
  tests.make_user('carer', 'caregiver'), tests.make_user('ada', 'admin'), tests.make_user('newdoc');
select tests.make_record('Scan', 'pia'), tests.make_record('Blood', 'pia'),
  tests.make_record('Gone', 'pia');
select tests.make_share('Scan', 'rae', 'download');
select tests.open_chart('pia', 'doc'), tests.open_chart('pia', 'carer');
insert into public.doctors (id, license_number, specialty)
  values (tests.uid('newdoc'), 'KA-1', 'Oncology');

create temp table seen (id bigint primary key);
insert into seen select id from public.audit_events;
create temp table named (id uuid primary key, name text);
insert into named select tests.id(n), n from unnest(array[
  'pia', 'rae', 'doc', 'carer', 'ada', 'newdoc', 'Scan', 'Blood', 'Gone'
]) as n;

-- Runs a statement as somebody (null: the system) and answers the rows that it left, in the order
-- of the alphabet, as "actor(role) action resource:id of patient for purpose old -> new".
create function pg_temp.trail_of(p_handle text, p_statement text,
  p_role text default 'authenticated')
  returns text language plpgsql as $$
declare
  v_trail text;
begin
  if p_handle is not null then
    perform tests.act_as_role(p_role, p_handle);
  end if;
  execute p_statement;
  perform tests.act_as_owner();
  select string_agg(line, E'\n' order by line collate "C")
  into v_trail
  from public.audit_events as a
  left join named as by on by.id = a.actor_id
  left join named as r on r.id = a.resource_id
  left join named as p on p.id = a.patient_id
  cross join lateral concat_ws(' ',
    format('%s(%s)', coalesce(by.name, 'system'), a.actor_role), a.action,
    a.resource_type || coalesce(':' || r.name, ''), 'of ' || p.name, 'for ' || a.purpose,
    -- What a creation keeps has a test of its own.
    case a.action
      when 'update' then a.old_values::text || ' -> ' || a.new_values::text
      when 'create' then null
      else coalesce(a.old_values, a.new_values)::text
    end
  ) as line
  where a.id not in (select id from seen);
  insert into seen select a.id from public.audit_events as a on conflict do nothing;
  return v_trail;
end
$$;

-- Changes of rows --------------------------------------------------------------------------------

select is(pg_temp.trail_of(handle, statement), trail, statement)
from (values
  ('pia', $$ update public.profiles set bio = 'Hello', is_public = true $$,
    'pia(patient) update profile:pia {"bio": null, "is_public": false} -> {"bio": "Hello", "is_public": true}'),
  ('pia', $$ update public.profiles set bio = 'Hello', locale = 'en' $$, null),
  ('pia', $$ update public.patients set city = 'Pune' where city = 'Goa' $$, null),
  ('pia', $$ update public.patients set city = 'Pune', state = null $$,
    'pia(patient) update patient:pia of pia {"city": null} -> {"city": "Pune"}'),
  ('pia', $$ update public.patients set city = null $$,
    'pia(patient) update patient:pia of pia {"city": "Pune"} -> {"city": null}'),
  ('pia', $$ update public.medical_records set sensitivity = 'sensitive' where title = 'Blood' $$,
    $t$pia(patient) update medical_record:Blood of pia {"sensitivity": "normal"} -> {"sensitivity": "sensitive"}
pia(patient) update medical_record_content:Blood of pia {"sensitivity": "normal"} -> {"sensitivity": "sensitive"}$t$),
  ('pia', $$ update public.medical_records set record_type = 'imaging'
    where title in ('Scan', 'Blood') $$,
    $t$pia(patient) update medical_record:Blood of pia {"record_type": "other"} -> {"record_type": "imaging"}
pia(patient) update medical_record:Scan of pia {"record_type": "other"} -> {"record_type": "imaging"}$t$),
  ('pia', $$ update public.medical_record_contents set metadata = '{"a": 1}'
    where record_id = tests.id('Scan') $$,
    'pia(patient) update medical_record_content:Scan of pia {"metadata": {}} -> {"metadata": {"a": 1}}'),
  ('doc', $$ insert into public.medical_records (patient_id, title, record_type)
    values (tests.id('pia'), 'Note', 'other') $$,
    'doc(doctor) create medical_record of pia for treatment')
) as c (handle, statement, trail);

select matches(pg_temp.trail_of('pia', $$ select public.delete_medical_record(tests.id('Gone')) $$),
  '^pia\(patient\) update medical_record:Gone of pia {"deleted_at": null} -> {"deleted_at": "[^"]+"}\n'
    || 'pia\(patient\) update medical_record_content:Gone of pia {"deleted_at": null} -> {"deleted_at": "[^"]+"}$',
  'deleting a record is an update of it and of its contents');
select is(pg_temp.trail_of('pia', $$ select public.delete_medical_record(tests.id('Gone')) $$),
  null,
  'deleting it again is nothing');
select matches(pg_temp.trail_of('pia',
  $$ select public.restore_medical_record(tests.id('Gone')) $$),
  'medical_record:Gone of pia {"deleted_at": "[^"]+"} -> {"deleted_at": null}\n',
    'restoring it is an update');

select is(
  tests.attempt('doc', $$ update public.medical_records set title = 'x' where title = 'Scan' $$),
  '0',
  'what no policy lets through'
);
select is(pg_temp.trail_of(null, 'select 1'), null, 'leaves no row, nor does what is undone');

-- Deeds of the product ---------------------------------------------------------------------------

create temp table made (id uuid);
grant all on made to public;
select matches(pg_temp.trail_of('pia', format(
    'select public.share_medical_record(tests.id(%L), tests.id(%L), %L, now() + interval %L)',
    'Blood', 'rae', 'view', '1 day')),
  '^pia\(patient\) create medical_record_share of pia$', 'a share is made');
select matches(pg_temp.trail_of('rae',
  'select public.revoke_record_share(id) from public.medical_record_shares
    where record_id = tests.id(''Blood'')'),
  '^rae\(patient\) update medical_record_share of pia {"revoked_at": null} -> {"revoked_at": "[^"]+"}$',
  'its recipient gives it up');

select is(pg_temp.trail_of(handle,
  format('select count(*) from public.open_medical_record(tests.id(%L))', record)),
  trail, format('%s opens %s', handle, record))
from (values
  ('rae', 'Scan', 'rae(patient) open_record medical_record:Scan of pia for share'),
  ('doc', 'Blood', 'doc(doctor) open_record medical_record:Blood of pia for treatment'),
  ('carer', 'Scan', 'carer(caregiver) open_record medical_record:Scan of pia for delegated '
    || '{"caregiver_scopes": ["records"]}'),
  ('pia', 'Scan', null)
) as c (handle, record, trail);

select is(pg_temp.trail_of('pia', $$
  with upload as (
    select upload_id from private.begin_record_upload(tests.id('Scan'), 'scan.pdf',
      'application/pdf', 9, repeat('a', 64))
  )
  insert into made select upload_id from upload
$$), 'pia(patient) create record_upload of pia', 'announcing a file is no change of a record');
select is(pg_temp.trail_of('pia',
  $$ select private.add_record_file_key(id, 'main', 1, repeat('ab', 60)) from made $$,
  'records_worker'), null, 'nor is its key');
select tests.put_object((select storage_path from private.record_uploads));
select matches(
  pg_temp.trail_of('pia', $$ select private.complete_record_upload(id, 'v1', repeat('c', 64)) from made $$,
    'records_worker'),
  '^pia\(patient\) update medical_record:Scan of pia {"file_name": null, "file_size": null, "file_type": null, '
    || '"file_sha256": null} -> {"file_name": "scan.pdf", "file_size": 9, "file_type": "application/pdf", '
    || '"file_sha256": "a{64}"}\n'
    || 'pia\(patient\) update medical_record_content:Scan of pia '
    || '{"data_key_id": null, "storage_path": null} -> {"data_key_id": "[^"]+", "storage_path": "[^"]+"}\n'
    || 'pia\(patient\) update record_upload of pia {"completed_at": null, "object_version": null, '
    || '"ciphertext_sha256": null} -> '
    || '{"completed_at": "[^"]+", "object_version": "v1", "ciphertext_sha256": "c{64}"}\n'
    || 'pia\(patient\) upload_file medical_record:Scan of pia$',
  'the worker that adds the file is not the actor: the person is'
);
select is(pg_temp.trail_of('pia', $$ select private.complete_record_upload(id, 'v1', repeat('c', 64)) from made $$,
  'records_worker'), null,
  'adding it again is nothing');
select is((
    select new_values ->> 'file_name' || ' '
      || (new_values ->> 'patient_id' = tests.id('pia')::text)
    from public.audit_events where action = 'create' and resource_type = 'record_upload'
  ), 'scan.pdf true', 'what was announced is in the trail');
select is(pg_temp.trail_of(handle,
  $$ select count(*) from private.authorize_record_download(tests.id('Scan')) $$),
  trail, handle || ' downloads')
from (values
  ('rae', 'rae(patient) download_file medical_record:Scan of pia for share'),
  ('doc', 'doc(doctor) download_file medical_record:Scan of pia for treatment'),
  ('pia', 'pia(patient) download_file medical_record:Scan of pia')
) as c (handle, trail);

select is(
  pg_temp.trail_of('doc', $$
    select count(*) from private.import_records(tests.id('pia'), 'https://h.example', null,
      '[{"source_id": "Condition/1", "record_type": "condition", "title": "A", "sensitivity": "normal", "fhir": {"a": 1}},
        {"source_id": "Condition/2", "record_type": "condition", "title": "B", "sensitivity": "normal", "fhir": {"b": 1}}]')
  $$),
  $t$doc(doctor) create medical_record of pia for treatment
doc(doctor) create medical_record of pia for treatment
doc(doctor) create medical_record_content of pia for treatment
doc(doctor) create medical_record_content of pia for treatment$t$,
  'an import creates records and contents'
);
select is(pg_temp.trail_of('doc', $$
    select count(*) from private.import_records(tests.id('pia'), 'https://h.example',
      '{"source_id": "Patient/1"}', '[]')
  $$), 'doc(doctor) create patient_identifier of pia for treatment',
  'an import notes who the patient is in the other system');
select is(
  (
    select string_agg(distinct concat(new_values ->> 'fhir', '/',
      new_values ->> 'patient_id' = tests.id('pia')::text), ', ')
    from public.audit_events where action = 'create' and resource_type = 'medical_record_content'
      and new_values ? 'fhir'
  ),
  '(not kept)/t', 'of what was imported the trail keeps no copy'
);
select is(
  pg_temp.trail_of('pia', $$
    select count(*) from private.import_records(tests.id('pia'), 'https://h.example', null,
      '[{"source_id": "Condition/1", "record_type": "condition", "title": "A", "sensitivity": "normal", "fhir": {"a": 2}},
        {"source_id": "Condition/2", "record_type": "condition", "title": "B", "sensitivity": "normal", "fhir": {"b": 1}}]')
  $$),
  'pia(patient) update medical_record_content of pia {"fhir": "(not kept)"} -> {"fhir": "(not kept)"}',
  'an import that changes one resource says so of that one'
);

-- Care and charts ---------------------------------------------------------------------------------

select is(pg_temp.trail_of('doc',
  $$ select id from public.open_chart(tests.id('pia'), 'care_coordination') $$),
  $t$doc(doctor) close_chart chart_session of pia for treatment
doc(doctor) open_chart chart_session of pia for care_coordination$t$,
  'opening a chart is a row with its purpose, and closes the one before');
select is(pg_temp.trail_of('doc', $$
    select public.close_chart(id) from public.chart_sessions where viewer_id = (select auth.uid())
      and closed_at is null
  $$),
  'doc(doctor) close_chart chart_session of pia for care_coordination', 'so is closing it');
select matches(pg_temp.trail_of('pia', $$
    select public.end_care(id, 'Moved') from public.care_relationships
      where member_id = tests.id('doc')
  $$),
  '^pia\(patient\) update care_relationship of pia '
    || '{"status": "active", "ends_at": null, "ended_reason": null} -> '
    || '{"status": "ended", "ends_at": "[^"]+", "ended_reason": "Moved"}',
  'ending care is an update of the relationship');
select is(pg_temp.trail_of('doc', $$ select public.request_care(tests.id('pia'), 'doctor') $$),
  'doc(doctor) create care_relationship of pia', 'asking for care is a row of the patient''s');

-- The purpose is that of the chart of this patient, which is open now, and of the newest.
select tests.make_user('omar'), tests.make_user('dora', 'doctor');
select tests.make_record('Bill', 'omar'), tests.make_record('Plan', 'pia');
select tests.make_share('Plan', 'dora'), tests.make_share('Bill', 'dora');
insert into named values (tests.id('omar'), 'omar'), (tests.id('dora'), 'dora');
insert into seen select id from public.audit_events on conflict do nothing;
select tests.open_chart('omar', 'dora');
insert into seen select id from public.audit_events on conflict do nothing;
create temp view revoking as
  select 'select public.revoke_record_share(%L)' as call;
select matches(pg_temp.trail_of('dora', format(call, (select id from public.medical_record_shares
  where record_id = tests.id('Plan') and shared_with_id = tests.id('dora')))),
  '^dora\(doctor\) update medical_record_share of pia {',
    'a chart of another patient gives no purpose')
from revoking;
update public.chart_sessions set opened_at = now() - interval '2 hours',
  expires_at = now() - interval '1 hour'
where viewer_id = tests.id('dora');
insert into seen select id from public.audit_events on conflict do nothing;
select matches(pg_temp.trail_of('dora', format(call, (select id from public.medical_record_shares
  where record_id = tests.id('Bill') and shared_with_id = tests.id('dora')))),
  '^dora\(doctor\) update medical_record_share of omar {', 'nor does one that has expired')
from revoking;
insert into public.chart_sessions (patient_id, viewer_id, purpose, opened_at, expires_at, reason)
values (tests.id('omar'), tests.id('dora'), 'treatment', now() - interval '9 minutes',
  now() + interval '1 minute', null),
  (tests.id('omar'), tests.id('dora'), 'emergency', now() - interval '1 minute',
    now() + interval '1 minute', 'Found unconscious at home'),
  (tests.id('omar'), tests.id('dora'), 'care_coordination', now() - interval '5 minutes',
    now() + interval '1 minute', null);
select is(pg_temp.trail_of('dora', $$
    insert into public.medical_records (patient_id, title, record_type)
      values (tests.id('omar'), 'Note', 'other')
  $$), 'dora(doctor) create medical_record of omar for emergency',
  'of several that are open the newest counts');

select is(pg_temp.trail_of('dora', 'select public.touch_last_active()'), null,
  'being active is no deed');

-- Administration ---------------------------------------------------------------------------------

select matches(pg_temp.trail_of('ada', $$ select public.verify_doctor(tests.id('newdoc'), true) $$),
  '^ada\(admin\) update doctor:newdoc {"verified_at": null, "verified_by": null} -> {[^}]+}\n'
    || 'ada\(admin\) update profile:newdoc {"role": "patient", "is_verified": false} -> '
    || '{"role": "doctor", "is_verified": true}$',
  'a verification is two updates by the administrator');
select is(pg_temp.trail_of('ada', $$ select public.grant_account(tests.id('pia'), 'seller') $$),
  'ada(admin) create account_grant', 'a grant is a row');
select is(pg_temp.trail_of('ada', $$ select public.grant_account(tests.id('pia'), 'seller') $$),
  null,
  'giving it twice is one row');
select matches(pg_temp.trail_of('ada',
  $$ select public.revoke_account_grant(tests.id('pia'), 'seller') $$),
  '^ada\(admin\) delete account_grant {.*"grant": "seller".*}$',
    'taking it is a row with what was there');
select matches(pg_temp.trail_of('ada',
  $$ select public.set_account_active(tests.id('rae'), false, 'Abuse') $$),
  '^ada\(admin\) lock profile:rae for Abuse\n'
    || 'ada\(admin\) update profile:rae {"is_active": true} -> {"is_active": false}$',
    'a lock is an update and a row with the reason');

-- The system itself.
select is(pg_temp.trail_of(null,
  $$ update public.profiles set role = 'admin' where id = tests.id('carer') $$),
  format('system(%s) update profile:carer {"role": "caregiver"} -> {"role": "admin"}',
    session_user),
  'what nobody''s token did is the database role''s deed');
select matches(pg_temp.trail_of(null, $$ delete from auth.users where id = tests.id('newdoc') $$),
  replace('^SYSTEM delete doctor:newdoc {.+}\nSYSTEM delete patient:newdoc of newdoc {.+}\n'
    || 'SYSTEM delete profile:newdoc {.+}$', 'SYSTEM', format('system\(%s\)', session_user)),
  'and so is the deletion of an account, with all that goes with it');

-- What a row keeps --------------------------------------------------------------------------------

select is_empty(
  $$
    select id, key from public.audit_events
    cross join jsonb_object_keys(coalesce(old_values, '{}') || coalesce(new_values, '{}')) as key
    where key in ('created_at', 'updated_at', 'last_active_at')
  $$,
  'stamps are no news'
);
select is_empty(
  $$
    select id from public.audit_events
    where action = 'create' and exists (select 1 from jsonb_each(new_values) where value = 'null')
      or action = 'create' and old_values is not null or action = 'delete'
        and new_values is not null
  $$,
  'a creation keeps what is there after it, a deletion what was there before'
);
select is_empty(
  $$ select id from public.audit_events where occurred_at not between now()
    and clock_timestamp() $$,
  'the time is the clock''s'
);

-- From where -------------------------------------------------------------------------------------

create function pg_temp.traced(p_headers text,
  p_claims jsonb default tests.claims('pia')) returns text
  language plpgsql as $$
declare
  v_trace text;
begin
  perform set_config('request.headers', p_headers, true), set_config('request.jwt.claims',
    p_claims::text, true);
  update public.profiles set bio = gen_random_uuid()::text where id = tests.id('pia');
  select concat_ws(' | ', coalesce(a.actor_id = tests.id('pia'), false), a.actor_role,
    a.session_id = tests.session_id('pia'), a.ip_address, a.user_agent, a.request_id)
  into v_trace
  from public.audit_events as a order by a.id desc limit 1;
  perform set_config('request.headers', '', true), set_config('request.jwt.claims', '', true);
  return v_trace;
end
$$;
select is(pg_temp.traced(headers), 't | patient | t' || trace, 'headers ' || left(headers, 60))
from (values
  ('', ''),
  ('{}', ''),
  ('{"x-forwarded-for": "203.0.113.7", "user-agent": "app/1", "x-request-id": "r-1"}',
    ' | 203.0.113.7 | app/1 | r-1'),
  ('{"x-forwarded-for": "203.0.113.7, 10.0.0.1"}', ' | 203.0.113.7'),
  ('{"x-forwarded-for": "198.51.100.1", "cf-connecting-ip": "2001:db8::7"}', ' | 2001:db8::7'),
  ('{"x-forwarded-for": "nonsense; drop table"}', ''),
  ('{"x-forwarded-for": ""}', ''),
  ('{"x-forwarded-for": ["203.0.113.7"]}', '')
) as h (headers, trace);
select is(pg_temp.traced(jsonb_build_object('user-agent', repeat('u', 300), 'x-request-id',
  repeat('r', 300))::text),
  't | patient | t | ' || repeat('u', 200) || ' | ' || repeat('r', 100), 'long headers are cut');
select is(pg_temp.traced('{}', '{"role": "service_role"}'), 'f | service_role',
  'a token without an account acts as its role');

-- Everywhere -------------------------------------------------------------------------------------

select is_empty(
  $$
    select c.oid::regclass
    from pg_class as c
    cross join unnest(array[4, 16, 8]) as deed -- bits of insert, update, delete
    where (
        c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
        or c.oid in ('private.record_uploads'::regclass, 'private.patient_identifiers'::regclass)
      )
      and c.oid <> 'public.chart_sessions'::regclass -- its RPC write open_chart and close_chart
      and c.oid <> 'public.notifications'::regclass -- follows from deeds that are logged
      and c.oid <> 'public.notification_deliveries'::regclass -- follows from notifications
      and c.oid <> 'public.device_tokens'::regclass -- says no more than that an app was started
      -- What people answer is logged by RPC; the rest is the tick's, and a log itself.
      and c.oid <> 'public.reminder_logs'::regclass
      -- The tick moves it; what people change, a trigger of its own logs: 40_reminders.test.sql.
      and (c.oid <> 'public.reminders'::regclass or deed <> 16)
      and c.oid <> 'public.audit_seals'::regclass -- is of the trail
      and c.oid <> 'public.blocks'::regclass -- nobody's data, and for the blocker alone
      and c.oid <> 'public.conversations'::regclass -- changes with each message
      -- Triggers write add_participant and remove_participant; how far somebody has read is nobody's.
      and c.oid <> 'public.conversation_participants'::regclass
      and not exists (
        select 1 from pg_trigger as t
        where t.tgrelid = c.oid and t.tgfoid = 'private.audit_rows()'::regprocedure
          and t.tgtype = deed and t.tgenabled in ('O', 'A') -- after, for each statement
      )
  $$,
  'every table of the API, or of what is known of patients, is audited on every change'
);

select * from finish();
rollback;
