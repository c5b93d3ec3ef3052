-- What was refused is in the trail, and in the log of the patient whose data it was about; sign-ins
-- and the standing of staff are in the trail. The ward: pia, a patient, is surrounded by one person
-- for each way to stand to her (tests.make_ward).
begin;
select plan(59);

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
  ('omar', $$private.authorize_record_download(ID)$$, $$tests.id('Scan')$$)
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
  ('refuse_turn_over', 'medical_record', 'new_code',
    'Tried to turn over (a record) and was refused'),
  ('export_records', 'patient', null, 'Exported your records'),
  ('turn_over', 'medical_record', null, 'Turn over (a record)')
) as w (action, resource_type, code, summary);

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
