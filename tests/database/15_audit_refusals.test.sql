-- What was refused is in the trail, and in the log of the patient whose data it was about; sign-ins
-- and the standing of staff are in the trail. The ward: pia, a patient, is surrounded by one person
-- for each way to stand to her (tests.make_ward).
begin;
select plan(167);

select tests.make_ward();
select tests.make_user('newdoc', 'doctor', p_verified => false);
create temp table seen (id bigint primary key);
insert into seen select id from public.audit_events;

-- A refusal writes one row, and nothing else -----------------------------------------------------

create function pg_temp.refused(p_actor text, p_call text) returns text language plpgsql as $$
declare
  v_answer text;
  v_rows text;
begin
  begin
    perform tests.act_as(split_part(p_actor, '@', 1), nullif(split_part(p_actor, '@', 2), ''));
    execute 'select coalesce(message, ''done'') from ' || p_call into v_answer;
    perform tests.act_as_owner();
    select string_agg(concat_ws(' ', n.names ->> a.actor_id::text, a.action, a.resource_type,
      a.purpose, coalesce(n.names ->> a.patient_id::text, 'nobody'), a.new_values ->> 'code'), ' + ')
    into v_rows
    from public.audit_events as a, (select tests.names()) as n (names)
    where a.id not in (select id from seen);
    v_answer := concat_ws(' / ', v_answer, nullif(current_setting('response.status', true), ''), v_rows);
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return v_answer;
  end;
end
$$;
select is(pg_temp.refused(actor, call), outcome, format('%s: %s', actor, call))
from (values
  ('doc_stranger', $$public.open_chart(tests.id('pia'), 'treatment')$$,
    'not_found / 404 / Doc_Stranger refuse_open_chart chart_session treatment Pia not_found'),
  ('doc_stranger', $$public.open_chart(tests.id('nobody'), 'treatment')$$,
    'not_found / 404 / Doc_Stranger refuse_open_chart chart_session treatment nobody not_found'),
  ('doc_stranger', $$public.open_chart(tests.id('carer'), 'treatment')$$,
    'not_found / 404 / Doc_Stranger refuse_open_chart chart_session treatment nobody not_found'),
  ('doc@aal1', $$public.open_chart(tests.id('pia'), 'care_coordination')$$,
    'mfa_required / 403 / Doc refuse_open_chart chart_session care_coordination Pia mfa_required'),
  ('doc_withdrawn', $$public.open_chart(tests.id('pia'), 'treatment')$$,
    'not_verified / 403 / Doc_Withdrawn refuse_open_chart chart_session treatment Pia not_verified'),
  ('carer_ended', $$public.open_chart(tests.id('pia'), 'delegated')$$,
    'not_found / 404 / Carer_Ended refuse_open_chart chart_session delegated Pia not_found'),
  ('doc_stranger@aal1', $$public.break_glass(tests.id('pia'), 'Found unconscious at the station')$$,
    'mfa_required / 403 / Doc_Stranger refuse_break_glass chart_session emergency Pia mfa_required'),
  ('doc', $$public.break_glass(tests.id('pia'), 'Found unconscious at the station')$$,
    'already_in_care / 409 / Doc refuse_break_glass chart_session emergency Pia already_in_care'),
  ('guest', $$public.break_glass(tests.id('pia'), 'Found unconscious at the station')$$,
    'forbidden / 403 / Guest refuse_break_glass chart_session emergency Pia forbidden'),
  ('doc_stranger', $$public.open_medical_record(tests.id('Scan'))$$,
    'not_found / 404 / Doc_Stranger refuse_open_record medical_record Pia not_found'),
  ('carer', $$public.open_medical_record(tests.id('Genes'))$$,
    'not_found / 404 / Carer refuse_open_record medical_record delegated Pia not_found'),
  ('share_expired', $$public.open_medical_record(tests.id('Scan'))$$,
    'not_found / 404 / Share_Expired refuse_open_record medical_record Pia not_found'),
  ('doc_stranger', $$public.open_medical_record(tests.id('nothing'))$$,
    'not_found / 404 / Doc_Stranger refuse_open_record medical_record nobody not_found'),
  ('share_view', $$private.authorize_record_download(tests.id('Scan'))$$,
    'forbidden / 403 / Share_View refuse_download_file medical_record share Pia forbidden'),
  ('omar', $$private.authorize_record_download(tests.id('Scan'))$$,
    'not_found / 404 / Omar refuse_download_file medical_record Pia not_found'),
  ('doc', $$public.open_medical_record(tests.id('Scan'))$$,
    'done / Doc open_record medical_record treatment Pia'),
  ('pia', $$public.open_medical_record(tests.id('Scan'))$$, 'done'),
  ('pia', $$public.open_medical_record(tests.id('Bill'))$$,
    'not_found / 404 / Pia refuse_open_record medical_record Omar not_found')
) as r (actor, call, outcome);

-- The same of functions that answer an id or nothing: the error comes in its place.
insert into public.chart_sessions (id, patient_id, viewer_id, purpose, reason, expires_at)
values (tests.id('emergency'), tests.id('pia'), tests.id('doc_lapsed'), 'emergency',
  'Found unconscious at the station', now() + interval '30 minutes');
insert into seen select id from public.audit_events on conflict do nothing;
select is(
  pg_temp.refused(actor, format('(select public.%s ->> ''message'') as a (message)', call)), outcome,
  format('%s: %s', actor, call)
)
from (values
  ('doc', $$review_emergency_access(tests.id('emergency'), 'justified', 'It was me')$$,
    'forbidden / 403 / Doc refuse_review_emergency chart_session emergency Pia forbidden'),
  ('admin@aal1', $$review_emergency_access(tests.id('emergency'), 'justified', 'Asked the ward')$$,
    'forbidden / 403 / Admin refuse_review_emergency chart_session emergency Pia forbidden'),
  ('admin', $$review_emergency_access(tests.id('nothing'), 'justified', 'Asked the ward')$$,
    'not_found / 404 / Admin refuse_review_emergency chart_session emergency nobody not_found'),
  ('omar', $$object_to_emergency_access(tests.id('emergency'), 'Nor mine')$$,
    'not_found / 404 / Omar refuse_object_to_emergency chart_session emergency Pia not_found'),
  ('omar', $$object_to_emergency_access(tests.id('nothing'), 'Nor mine')$$,
    'not_found / 404 / Omar refuse_object_to_emergency chart_session emergency nobody not_found'),
  ('omar', $$share_medical_record(tests.id('Scan'), tests.id('carer'), 'view', now() + '1 day')$$,
    'not_found / 404 / Omar refuse_share_record medical_record Pia not_found'),
  ('pia', $$share_medical_record(tests.id('Scan'), tests.id('nobody'), 'view', now() + '1 day')$$,
    'not_found / 404 / Pia refuse_share_record medical_record Pia not_found'),
  ('pia', $$share_medical_record(tests.id('Scan'), tests.id('share_view'), 'view', now() + '1 day')$$,
    'already_shared / 409 / Pia refuse_share_record medical_record Pia already_shared'),
  ('omar', $$revoke_record_share(tests.id('share of Scan with share_view'))$$,
    'not_found / 404 / Omar refuse_revoke_share medical_record_share Pia not_found'),
  ('omar', $$revoke_record_share(tests.id('nothing'))$$,
    'not_found / 404 / Omar refuse_revoke_share medical_record_share nobody not_found'),
  ('doc', $$delete_medical_record(tests.id('Scan'))$$,
    'not_found / 404 / Doc refuse_delete_record medical_record treatment Pia not_found'),
  ('omar', $$restore_medical_record(tests.id('Old'))$$,
    'not_found / 404 / Omar refuse_restore_record medical_record Pia not_found'),
  ('guest', $$request_care(tests.id('pia'), 'doctor')$$,
    'forbidden / 403 / Guest refuse_request_care care_relationship nobody forbidden'),
  ('doc_unverified', $$request_care(tests.id('pia'), 'doctor')$$,
    'not_verified / 403 / Doc_Unverified refuse_request_care care_relationship treatment Pia not_verified'),
  ('doc', $$request_care(tests.id('pia'), 'doctor')$$,
    'already_requested / 409 / Doc refuse_request_care care_relationship treatment Pia already_requested'),
  ('doc@aal1', $$request_care(tests.id('carer'), 'caregiver', '{records}')$$,
    'mfa_required / 403 / Doc refuse_request_care care_relationship Doc mfa_required'),
  ('doc_stranger', $$request_care(tests.id('nobody'), 'doctor')$$,
    'not_found / 404 / Doc_Stranger refuse_request_care care_relationship nobody not_found'),
  ('pia', $$request_care(tests.id('omar'), 'doctor')$$,
    'not_found / 404 / Pia refuse_request_care care_relationship Pia not_found'),
  ('carer_requested', $$respond_care_request(tests.id('care of pia by carer_requested'), true)$$,
    'not_found / 404 / Carer_Requested refuse_answer_care care_relationship delegated Pia not_found'),
  ('doc@aal1', $$respond_care_request(tests.id('care of pia by doc'), true)$$,
    'mfa_required / 403 / Doc refuse_answer_care care_relationship treatment Pia mfa_required'),
  ('pia', $$respond_care_request(tests.id('care of pia by carer'), true)$$,
    'already_answered / 409 / Pia refuse_answer_care care_relationship Pia already_answered'),
  ('carer', $$set_care_scopes(tests.id('care of pia by carer'), '{records,sensitive}')$$,
    'not_found / 404 / Carer refuse_set_care_scopes care_relationship delegated Pia not_found'),
  ('doc@aal1', $$set_care_scopes(tests.id('nothing'), '{records}')$$,
    'mfa_required / 403 / Doc refuse_set_care_scopes care_relationship nobody mfa_required'),
  ('omar', $$end_care(tests.id('care of pia by doc'))$$,
    'not_found / 404 / Omar refuse_end_care care_relationship Pia not_found'),
  ('doc_ended', $$end_care(tests.id('care of pia by doc_ended'))$$,
    'already_ended / 409 / Doc_Ended refuse_end_care care_relationship treatment Pia already_ended')
) as r (actor, call, outcome);

-- And of those behind the function records.
update public.medical_records set file_name = 'a.pdf', file_type = 'application/pdf', file_size = 9,
  file_sha256 = repeat('a', 64)
where id = tests.id('Genes');
insert into private.record_uploads (id, record_id, patient_id, storage_path, file_name, file_type,
  file_size, file_sha256, requested_by, expires_at, completed_at, object_version, ciphertext_sha256)
select tests.id('upload of ' || title), tests.id(title), tests.id('pia'), 'x/' || title, 'a.pdf',
  'application/pdf', 9, repeat('a', 64), tests.id(by), now() + interval '9 minutes', completed_at,
  case when completed_at is not null then 'v1' end,
  case when completed_at is not null then repeat('c', 64) end
from (values ('Genes', 'doc', now()), ('Scan', 'pia', null)) as u (title, by, completed_at);
insert into seen select id from public.audit_events on conflict do nothing;
select is(pg_temp.refused(actor, 'private.' || call), outcome, format('%s: %s', actor, call))
from (values
  ('omar', $$begin_record_upload(tests.id('Scan'), 'a.pdf', 'application/pdf', 9, repeat('a', 64))$$,
    'not_found / 404 / Omar refuse_upload_file medical_record Pia not_found'),
  ('pia', $$begin_record_upload(tests.id('Genes'), 'a.pdf', 'application/pdf', 9, repeat('a', 64))$$,
    'already_uploaded / 409 / Pia refuse_upload_file medical_record Pia already_uploaded'),
  ('doc', $$pending_record_upload(tests.id('Scan'))$$,
    'not_found / 404 / Doc refuse_upload_file medical_record treatment Pia not_found'),
  ('doc', $$erase_record_file(tests.id('Genes'))$$,
    'not_found / 404 / Doc refuse_erase_file medical_record treatment Pia not_found'),
  ('pia', $$erase_record_file(tests.id('Genes'))$$,
    'forbidden / 403 / Pia refuse_erase_file medical_record Pia forbidden')
) as r (actor, call, outcome);
create function pg_temp.completed(p_for text, p_upload text) returns text language plpgsql as $$
declare
  v_answer jsonb;
begin
  perform tests.act_as_role('records_worker', p_for);
  v_answer := private.complete_record_upload(tests.id(p_upload), 'v1', repeat('c', 64));
  perform tests.act_as_owner();
  return concat_ws(' / ', v_answer ->> 'message', tests.refusal());
end
$$;
select is(pg_temp.completed('omar', 'upload of Scan'), 'not_found / PT404 not_found',
  'completing for somebody who may not is refused, and logged');
update private.record_uploads set record_id = tests.id('Genes') where id = tests.id('upload of Scan');
select tests.put_object('x/Scan');
insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
select u.data_key_id, 'record_file', u.record_id, 'main', 1, decode(repeat('ab', 60), 'hex')
from private.record_uploads as u where u.id = tests.id('upload of Scan');
select is(pg_temp.completed('pia', 'upload of Scan'), 'already_uploaded / PT409 already_uploaded',
  'so is completing for a record that has its file');
select is(
  (select completed_at from private.record_uploads where id = tests.id('upload of Scan')), null,
  'which changes nothing'
);
delete from private.record_uploads where record_id = tests.id('Genes');
delete from public.chart_sessions where id = tests.id('emergency');

-- The answer tells nothing that raising would not have told: for a chart or a record that is not
-- there it is the same as for one that is somebody else's.
select is(
  tests.attempt(actor, format('select to_json(o) from %s as o', replace(call, 'ID', theirs))),
  tests.attempt(actor, format('select to_json(o) from %s as o', replace(call, 'ID', absent))),
  format('%s cannot tell %s from what is not there', actor, call)
)
from (values
  ('doc_stranger', $$public.open_chart(ID, 'treatment')$$, $$tests.id('pia')$$),
  ('carer_ended', $$public.open_chart(ID, 'delegated')$$, $$tests.id('pia')$$),
  ('doc_stranger', $$public.open_medical_record(ID)$$, $$tests.id('Scan')$$),
  ('carer', $$public.open_medical_record(ID)$$, $$tests.id('Genes')$$),
  ('omar', $$private.authorize_record_download(ID)$$, $$tests.id('Scan')$$),
  ('omar', $$public.share_medical_record(ID, tests.id('carer'), 'view', now() + '1 day')$$,
    $$tests.id('Scan')$$),
  ('omar', $$public.delete_medical_record(ID)$$, $$tests.id('Scan')$$),
  ('omar', $$public.restore_medical_record(ID)$$, $$tests.id('Old')$$),
  ('omar', $$public.end_care(ID)$$, $$tests.id('care of pia by doc')$$),
  ('omar', $$public.respond_care_request(ID, false)$$, $$tests.id('care of pia by doc_requested')$$),
  ('omar', $$private.pending_record_upload(ID)$$, $$tests.id('Scan')$$),
  ('omar', $$private.erase_record_file(ID)$$, $$tests.id('Scan')$$)
) as r (actor, call, theirs)
cross join unnest(array['gen_random_uuid()', 'null']) as absent;
select is(
  (
    select to_json(o)::jsonb from tests.act_as('doc_stranger') as a,
      public.open_chart(tests.id('pia'), 'treatment') as o
  ),
  '{"id": null, "expires_at": null, "code": "PT404", "message": "not_found",
    "details": "No patient in active care with this id", "hint": null}',
  'a refusal has the members of an error'
);
select tests.act_as_owner();

select is(tests.attempt(actor, $$
    select private.refuse('open_chart', 'chart_session', null, tests.id('pia'), 'not_found', 'x') $$),
  '42501 grant', format('nobody writes a refusal by hand: %s', actor))
from unnest(array['pia', 'doc', 'admin', 'anon', 'service_role']) as actor;
select throws_ok($$
    select private.refuse('open_chart', 'chart_session', null, null, 'of_no_list', 'x') $$,
  'P0001', null, 'a refusal has a code of the list');
select is_empty(
  $$ select id from public.audit_events where action = 'refuse_open_chart'
    and id not in (select id from seen) and new_values ->> 'code' <> 'not_found' $$,
  'which then leaves no row'
);

-- In the log of the patient ----------------------------------------------------------------------

insert into seen select id from public.audit_events on conflict do nothing;
create function pg_temp.do_as(p_actor text, p_call text) returns void language plpgsql as $$
begin
  perform tests.act_as(split_part(p_actor, '@', 1), nullif(split_part(p_actor, '@', 2), ''));
  execute 'select * from ' || p_call;
  perform tests.act_as_owner();
end
$$;
select pg_temp.do_as(actor, call)
from (values
  (1, 'doc_stranger', $$public.open_chart(tests.id('pia'), 'treatment')$$),
  (2, 'doc_stranger', $$public.break_glass(tests.id('pia'), 'Found unconscious at the station')$$),
  (3, 'doc_stranger', $$public.open_medical_record(tests.id('Scan'))$$),
  (4, 'doc_stranger', $$public.break_glass(tests.id('pia'), 'Found unconscious at the station')$$),
  (5, 'carer_sensitive', $$public.open_medical_record(tests.id('Genes'))$$),
  (6, 'carer', $$public.open_medical_record(tests.id('Genes'))$$),
  (7, 'share_view', $$private.authorize_record_download(tests.id('Scan'))$$),
  (8, 'admin', $$public.review_emergency_access((select id from public.list_emergency_accesses()),
    'justified', 'Asked the ward')$$),
  (9, 'doc@aal1', $$public.open_chart(tests.id('pia'), 'treatment')$$),
  (10, 'carer', $$public.end_care((select id from public.care_relationships))$$),
  (11, 'carer_lapsed', $$public.open_chart(tests.id('pia'), 'delegated')$$)
) as d (n, actor, call)
order by n;
create function pg_temp.log() returns table (n bigint, line text) language plpgsql as $$
begin
  perform tests.act_as('pia');
  return query
    select row_number() over (order by l.occurred_at, l.id),
      concat_ws(' | ', l.actor_name, l.summary, l.reason, l.is_emergency, l.scopes, l.outcome)
    from public.my_access_log(100) as l
    where l.id not in (select id from seen);
  perform tests.act_as_owner();
end
$$;
grant select on seen to public;
select results_eq('select line from pg_temp.log() order by n', array[
  'Doc_Stranger | Tried to open your chart and was refused: had no right to it | To treat you | f | refused',
  'Doc_Stranger | Opened your chart in an emergency | In an emergency: Found unconscious at the station | t | done',
  'Doc_Stranger | Read a record | In an emergency | t | done',
  'Doc_Stranger | Tried to open your chart in an emergency and was refused: an earlier emergency of theirs has not been reviewed | In an emergency | t | refused',
  'Carer_Sensitive | Read a record | As your caregiver | f | {records,sensitive} | done',
  'Carer | Tried to read a record and was refused: had no right to it | As your caregiver | f | {records} | refused',
  'Share_View | Tried to download a file of a record and was refused: you share it for viewing only | By a record that you share | f | refused',
  'Admin | Reviewed an emergency access to your chart | In an emergency | t | done',
  'Doc | Tried to open your chart and was refused: had signed in without a second factor | To treat you | f | refused',
  'Carer | Updated a care relationship with you | As your caregiver | f | {records} | done',
  'Carer | Closed your chart | As your caregiver | f | {records} | done',
  -- No scopes: what the patient gave has ended.
  'Carer_Lapsed | Tried to open your chart and was refused: had no right to it | As your caregiver | f | refused'
], 'it says who, what, why, in an emergency or not, within which scopes, and with what outcome');

-- The scopes are those of the time.
update public.care_relationships set scopes = '{records}'
where member_id = tests.id('carer_sensitive');
select is(
  (select line from pg_temp.log() where line like 'Carer_Sensitive%'),
  'Carer_Sensitive | Read a record | As your caregiver | f | {records,sensitive} | done',
  'scopes that are narrowed later change nothing that was logged'
);

select is(private.access_summary(action, resource_type, code), summary, summary)
from (values
  ('refuse_import_records', 'medical_record', 'not_found',
    'Tried to import records for you and was refused: had no right to it'),
  ('refuse_export_records', 'medical_record', 'not_found',
    'Tried to export your records and was refused: had no right to it'),
  ('refuse_share_record', 'medical_record', 'already_shared',
    'Tried to share a record of yours and was refused: it is shared with them already'),
  ('refuse_erase_file', 'medical_record', 'forbidden',
    'Tried to erase a file of a record of yours and was refused: may not do this'),
  ('refuse_review_emergency', 'chart_session', 'already_reviewed',
    'Tried to review an emergency access to your chart and was refused: it has been reviewed'),
  ('refuse_object_to_emergency', 'chart_session', 'already_objected',
    'Tried to object to an emergency access to your chart and was refused: an objection is on record'),
  ('refuse_revoke_share', 'medical_record_share', 'not_found',
    'Tried to end a share of a record of yours and was refused: had no right to it'),
  ('refuse_delete_record', 'medical_record', 'not_found',
    'Tried to delete a record of yours and was refused: had no right to it'),
  ('refuse_restore_record', 'medical_record', 'not_found',
    'Tried to restore a record of yours and was refused: had no right to it'),
  ('refuse_upload_file', 'medical_record', 'already_uploaded',
    'Tried to add a file to a record of yours and was refused: the record has its file already'),
  ('refuse_request_care', 'care_relationship', 'already_requested',
    'Tried to enter into a care relationship with you and was refused: there is one or a request '
      || 'for one already'),
  ('refuse_answer_care', 'care_relationship', 'already_answered',
    'Tried to answer a care request to you and was refused: it has been answered'),
  ('refuse_set_care_scopes', 'care_relationship', 'mfa_required',
    'Tried to change what a caregiver may see of you and was refused: had signed in without a '
      || 'second factor'),
  ('refuse_end_care', 'care_relationship', 'already_ended',
    'Tried to end a care relationship with you and was refused: it has ended'),
  ('refuse_turn_over', 'medical_record', 'new_code',
    'Tried to turn over (a record) and was refused'),
  ('export_records', 'patient', null, 'Exported your records'),
  ('turn_over', 'medical_record', null, 'Turn over (a record)')
) as w (action, resource_type, code, summary);

-- Too many to be listed -----------------------------------------------------------------------------

insert into seen select id from public.audit_events on conflict do nothing;
create function pg_temp.be_refused(p_actor text, p_patient text, p_times integer)
returns text language plpgsql as $$
declare
  v_messages text[];
begin
  perform tests.act_as(p_actor);
  select array_agg(distinct concat_ws(' ', o.code, o.message, o.details)) into v_messages
  from generate_series(1, p_times) as n,
    lateral public.open_chart(case when n > 0 then tests.id(p_patient) end, 'treatment') as o;
  perform tests.act_as_owner();
  return v_messages::text || ' ' || current_setting('response.status');
end
$$;
create temp view refusals as
  select
    n.names ->> a.actor_id::text as actor, n.names ->> a.patient_id::text as patient,
    a.actor_role, a.action, a.new_values
  from public.audit_events as a, (select tests.names()) as n (names)
  where a.id not in (select id from seen) and a.action like 'refuse%';
create temp view counted as
  select n.names ->> u.actor_id::text as actor, n.names ->> u.patient_id::text as patient,
    u.actor_role, u.refusals
  from private.unlisted_refusals as u, (select tests.names()) as n (names);
create function pg_temp.pass(p_time interval) returns void language sql as $$
  update private.rate_limits set refilled_at = refilled_at - p_time where key like 'refusals %';
  update private.unlisted_refusals set first_at = first_at - p_time;
$$;
select pg_temp.pass('1 hour');
select is(
  pg_temp.be_refused('doc_stranger', 'omar', 30),
  '{"PT404 not_found No patient in active care with this id"} 404',
  'the thirtieth refusal is answered as the first'
);
select results_eq('select actor, patient, new_values::text, count(*) from refusals group by 1, 2, 3',
  $$ values ('Doc_Stranger', 'Omar', '{"code": "not_found"}', 20::bigint) $$,
  'twenty have a row each');
select results_eq('select actor, patient, actor_role, refusals from counted',
  $$ values ('Doc_Stranger', 'Omar', 'doctor', 10) $$, 'and ten are counted');
select lives_ok($$ select pg_temp.be_refused('doc_stranger', 'pia', 2),
  pg_temp.be_refused('doc_withdrawn', 'omar', 2), pg_temp.be_refused('doc_stranger', 'nobody', 22) $$,
  'who tries to reach another patient, or is somebody else,');
select results_eq(
  'select actor, patient, count(*) from refusals group by 1, 2 order by 1, 2 nulls last',
  $$ values ('Doc_Stranger', 'Omar', 20::bigint), ('Doc_Stranger', 'Pia', 2), ('Doc_Stranger', null, 20),
    ('Doc_Withdrawn', 'Omar', 2) $$, 'is counted apart; so are ids of nobody');
select results_eq('select actor, patient, refusals from counted order by 3',
  $$ values ('Doc_Stranger', null, 2), ('Doc_Stranger', 'Omar', 10) $$, 'all ids of nobody as one');

insert into seen select id from public.audit_events on conflict do nothing;
select pg_temp.pass('3 minutes');
select pg_temp.be_refused('doc_stranger', 'omar', 3);
select results_eq('select action, new_values::text from refusals',
  $$ values ('refuse_open_chart', '{"code": "not_found", "unlisted": 10}') $$,
  'three minutes later one more has a row, which says how many had none');
select results_eq('select actor, patient, refusals from counted order by 3',
  $$ values ('Doc_Stranger', null, 2), ('Doc_Stranger', 'Omar', 2) $$,
  'and the count begins anew');
select is(
  (
    select l.summary
    from tests.act_as('omar') as a, public.my_access_log(1) as l
  ),
  'Tried to open your chart and was refused: had no right to it; 10 more before it are not listed',
  'the patient reads how many there were'
);
select tests.act_as_owner();

insert into seen select id from public.audit_events on conflict do nothing;
select is(tests.attempt('audit_worker', 'select private.list_refusals()'), '0',
  'what was counted within the hour is left to the next refusal');
select pg_temp.pass('58 minutes');
select is(tests.attempt('audit_worker', 'select private.list_refusals()'), '1',
  'after an hour the worker takes it to the trail');
update private.unlisted_refusals set first_at = now() - interval '1 hour';
select is(tests.attempt('audit_worker', 'select private.list_refusals()'), '0', 'and no earlier');
select pg_temp.pass('1 second');
select is(private.list_refusals(), 2, 'it does so');
select is(private.list_refusals(), 0, 'once');
select results_eq(
  'select actor, patient, actor_role, action, new_values::text from refusals order by 2',
  $$ values ('Doc_Stranger', 'Omar', 'doctor', 'refuse_more', '{"unlisted": 2}'),
    ('Doc_Stranger', null, 'doctor', 'refuse_more', '{"unlisted": 2}') $$,
  'with who it was, whose data, and how many'
);
select is_empty('select refusals from counted', 'and the counts are gone');
select is(
  (
    select concat_ws(' | ', l.actor_name, l.summary, l.outcome)
    from tests.act_as('omar') as a, public.my_access_log(1) as l
  ),
  'Doc_Stranger | Tried to reach your data 2 more times and was refused | refused',
  'which the patient reads'
);
select tests.act_as_owner();
select is(tests.attempt(actor, 'select private.list_refusals()'), '42501 grant',
  format('list_refusals: not for %s', actor))
from unnest(array['pia', 'admin', 'anon', 'service_role', 'records_worker']) as actor;
select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, statement))
from unnest(array['pia', 'doc_stranger', 'admin', 'anon', 'service_role', 'audit_worker']) as actor
cross join unnest(array[
  'select refusals from private.unlisted_refusals', 'delete from private.unlisted_refusals',
  'update private.unlisted_refusals set refusals = 1',
  $$insert into private.unlisted_refusals (actor_id, actor_role, refusals)
    values (gen_random_uuid(), 'patient', 1)$$
]) as statement;
select is(
  tests.refusal(format('insert into private.unlisted_refusals (actor_id, actor_role, refusals)
    values (%L, ''patient'', %s)', tests.id('pia'), refusals)),
  constraint_name, format('a count of %s', refusals)
)
from (values (0, 'unlisted_refusals_refusals_check'), (1, 'done')) as c (refusals, constraint_name);
insert into private.unlisted_refusals (actor_id, actor_role, refusals)
values (tests.id('pia'), 'patient', 1);
select is(
  tests.refusal(format('insert into private.unlisted_refusals (actor_id, actor_role, refusals)
    values (%L, ''patient'', 1)', tests.id('pia'))),
  'unlisted_refusals_key', 'one count for an actor and nobody''s ids'
);

-- Staff ------------------------------------------------------------------------------------------

create function pg_temp.sign_in(p_handle text) returns text language plpgsql as $$
declare
  v_id constant uuid := gen_random_uuid();
begin
  insert into auth.sessions (id, user_id, aal, ip, user_agent)
  values (v_id, tests.id(p_handle), 'aal1', '203.0.113.9', repeat('u', 300));
  return coalesce((
    select concat_ws(' ', n.names ->> a.actor_id::text, a.actor_role, a.action, a.resource_type,
      a.resource_id = v_id, a.session_id = v_id, a.ip_address, length(a.user_agent), a.patient_id)
    from public.audit_events as a, (select tests.names()) as n (names)
    where a.session_id = v_id
  ), 'nothing');
end
$$;
select is(pg_temp.sign_in(handle), trail, format('a sign-in of %s', handle))
from (values
  ('doc', 'Doc doctor sign_in session t t 203.0.113.9 200'),
  ('newdoc', 'Newdoc doctor sign_in session t t 203.0.113.9 200'),
  ('admin', 'Admin admin sign_in session t t 203.0.113.9 200'),
  ('pia', 'nothing'), ('carer', 'nothing'), ('guest', 'nothing')
) as s (handle, trail);

-- An audit that cannot be written fails the sign-in, of staff alone.
create function pg_temp.sign_in_without_audit(p_handle text) returns text language plpgsql as $$
begin
  begin
    alter table public.audit_events add constraint nothing_more check (false) not valid;
    insert into auth.sessions (id, user_id, aal)
    values (gen_random_uuid(), tests.id(p_handle), 'aal1');
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return 'signed in';
    when check_violation then return 'refused';
  end;
end
$$;
select is(pg_temp.sign_in_without_audit(handle), outcome,
  format('without a trail, a sign-in of %s', handle))
from (values ('doc', 'refused'), ('admin', 'refused'), ('pia', 'signed in')) as s (handle, outcome);

-- Who became what by whom, and why.
create function pg_temp.trail_of(p_handle text, p_statement text) returns text language plpgsql as $$
begin
  insert into seen select id from public.audit_events on conflict do nothing;
  if p_handle is not null then
    perform tests.act_as(p_handle);
  end if;
  execute p_statement;
  perform tests.act_as_owner();
  return (
    select string_agg(concat_ws(' ', n.names ->> a.actor_id::text, a.actor_role, a.action,
      a.resource_type, a.purpose, coalesce(a.new_values ->> 'role', a.new_values ->> 'grant',
        a.old_values ->> 'grant', a.new_values ->> 'rejected_reason', a.new_values ->> 'is_active')),
      ' + ' order by a.id)
    from public.audit_events as a, (select tests.names()) as n (names)
    where a.id not in (select id from seen)
  );
end
$$;
select is(pg_temp.trail_of(actor, statement), trail, left(statement, 60))
from (values
  ('admin', $$select public.verify_doctor(tests.id('newdoc'), true, 'Asked the council')$$,
    'Admin admin update doctor + Admin admin update profile + '
      || 'Admin admin verify doctor Asked the council'),
  ('admin', $$select public.verify_doctor(tests.id('newdoc'), false, 'Licence lapsed')$$,
    'Admin admin update doctor Licence lapsed + Admin admin update profile'),
  ('admin', $$select public.grant_account(tests.id('omar'), 'moderator')$$,
    'Admin admin create account_grant moderator'),
  ('admin', $$select public.revoke_account_grant(tests.id('omar'), 'moderator')$$,
    'Admin admin delete account_grant moderator'),
  ('admin', $$select public.set_account_active(tests.id('omar'), false, 'Stolen telephone')$$,
    'Admin admin update profile false + Admin admin lock profile Stolen telephone'),
  ('admin', $$select public.set_account_active(tests.id('omar'), true, 'Has a new one')$$,
    'Admin admin update profile true + Admin admin unlock profile Has a new one'),
  (null, $$update public.profiles set role = 'admin' where id = tests.id('omar')$$,
    session_user || ' update profile admin')
) as t (actor, statement, trail);

select * from finish();
rollback;
