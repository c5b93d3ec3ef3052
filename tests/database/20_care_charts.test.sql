-- Opening and closing charts, and what ends an opening. The ward: pia, a patient, is surrounded by
-- one person for each way to stand to her (tests.make_ward); her record is Scan, Genes is
-- sensitive.
begin;
select plan(132);

select tests.make_ward();

create function pg_temp.call(p_handle text, p_call text,
  p_aal text default null) returns text language plpgsql as $$
declare
  v_result text;
begin
  begin
    perform tests.act_as(p_handle, p_aal);
    execute 'select ' || p_call into v_result;
    perform tests.act_as_owner();
    return coalesce(tests.refusal(), nullif(v_result, ''), 'done');
  exception
    when others then return concat_ws(' ', sqlstate, sqlerrm);
  end;
end
$$;
create function pg_temp.reads(p_handle text) returns text language sql as $$
  select tests.attempt(p_handle, $q$ select title from public.medical_records
    where title in ('Scan', 'Genes') $q$)
$$;
create function pg_temp.open_charts(p_handle text) returns text language sql as $$
  select coalesce(string_agg(c.purpose, ', ' order by c.purpose), 'none')
    from public.chart_sessions as c
  where c.viewer_id = tests.id(p_handle) and c.closed_at is null and c.expires_at > now()
$$;
create function pg_temp.chart_id(p_handle text) returns uuid language sql security definer as $$
  select c.id from public.chart_sessions as c where c.viewer_id = tests.id(p_handle)
  order by c.closed_at is not null, c.expires_at desc limit 1
$$;

-- Who may open -----------------------------------------------------------------------------------

-- Answered is for how long, or what refuses.
create temp table before as select tests.state() as state;
select is(
  tests.attempt(actor, format('select expires_at - now() from public.open_chart(tests.id(%L), %L)',
    'pia', purpose)),
  outcome, format('open_chart: %s for %s', actor, purpose)
)
from (values
  ('doc',              'treatment',         '01:00:00'),
  ('doc',              'care_coordination', '01:00:00'),
  ('doc_closed',       'treatment',         '01:00:00'),
  ('doc_expired',      'treatment',         '01:00:00'),
  ('doc@aal1',         'treatment',         'PT403 mfa_required'),
  ('doc@aal1',         'care_coordination', 'PT403 mfa_required'),
  ('doc_requested',    'treatment',         'PT404 not_found'),
  ('doc_declined',     'treatment',         'PT404 not_found'),
  ('doc_ended',        'treatment',         'PT404 not_found'),
  ('doc_lapsed',       'treatment',         'PT404 not_found'),
  ('doc_stranger',     'treatment',         'PT404 not_found'),
  ('doc_stranger@aal1', 'treatment',        'PT403 mfa_required'),
  ('doc_withdrawn',    'treatment',         'PT403 not_verified'),
  ('doc_unverified',   'treatment',         'PT403 not_verified'),
  ('doc_unverified@aal1', 'treatment',      'PT403 not_verified'),
  ('doc',              'delegated',         'PT404 not_found'),
  ('carer',            'delegated',         '01:00:00'),
  ('carer_other',      'delegated',         '01:00:00'),
  ('carer_closed',     'delegated',         '01:00:00'),
  ('carer_expired',    'delegated',         '01:00:00'),
  ('carer_requested',  'delegated',         'PT404 not_found'),
  ('carer_declined',   'delegated',         'PT404 not_found'),
  ('carer_ended',      'delegated',         'PT404 not_found'),
  ('carer_lapsed',     'delegated',         'PT404 not_found'),
  ('carer',            'treatment',         'PT403 not_verified'),
  ('share_view',       'delegated',         'PT404 not_found'),
  ('omar',             'delegated',         'PT404 not_found'),
  ('omar',             'treatment',         'PT403 not_verified'),
  ('pia',              'delegated',         'PT404 not_found'),
  ('admin',            'treatment',         'PT403 not_verified'),
  ('admin',            'delegated',         'PT404 not_found'),
  ('guest',            'delegated',         'PT404 not_found'),
  ('doc',              'emergency',         'PT400 invalid_request'),
  ('doc',              'curiosity',         'PT400 invalid_request'),
  ('doc',              null,                'PT400 invalid_request'),
  ('anon',             'treatment',         '42501 grant'),
  ('service_role',     'treatment',         '42501 grant')
) as m (actor, purpose, outcome);
select is(tests.attempt('doc',
  format('select id from public.open_chart(%s, %L)', patient, 'treatment')), 'PT404 not_found',
  format('open_chart: of %s', patient))
from unnest(array['gen_random_uuid()', 'null', $$tests.id('omar')$$,
  $$tests.id('carer')$$]) as patient;
select is(tests.attempt(actor,
  format('select id from public.open_chart(tests.id(%L), %L)', 'pia', purpose), standing),
  'PT401 unauthenticated', format('open_chart: %s, %s', actor, standing))
from (values ('doc', 'treatment'), ('carer', 'delegated')) as m (actor, purpose)
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.state(), (select state from before), 'none of which opens or closes anything');

-- The verification is the licence's, the role the account's: opening needs both.
update public.profiles set role = 'patient' where id = tests.uid('doc');
select is(tests.attempt('doc',
  $$ select id from public.open_chart(tests.id('pia'), 'treatment') $$), 'PT403 not_verified',
  'open_chart: a verified clinician whose account is no doctor''s any more');
update public.profiles set role = 'doctor' where id = tests.uid('doc');

-- Opening opens ----------------------------------------------------------------------------------

select is(pg_temp.reads('doc_closed'), 'nothing', 'before opening the doctor reads nothing');
select is(pg_temp.call('doc_closed',
  $$expires_at - now() from public.open_chart(tests.id('pia'), 'treatment')$$), '01:00:00',
  'the doctor opens');
select is(pg_temp.reads('doc_closed'), 'Genes, Scan', 'and reads');
select is(tests.attempt('doc_closed@aal1', 'select title from public.medical_records'), 'nothing',
  'but not with a token of a session without second factor');
select is(pg_temp.reads('carer_closed'), 'nothing', 'before opening the caregiver reads nothing');
select is(pg_temp.call('carer_closed',
  $$expires_at - now() from public.open_chart(tests.id('pia'), 'delegated')$$), '01:00:00',
  'the caregiver opens');
select is(pg_temp.reads('carer_closed'), 'Scan', 'and reads what the scopes give');
select results_eq(
  $$
    select v.handle, c.purpose, c.opened_at = now(), c.expires_at - c.opened_at, c.reason,
      c.reviewed_at
    from unnest(array['carer_closed', 'doc_closed']) as v (handle)
    join public.chart_sessions as c on c.viewer_id = tests.id(v.handle) and c.closed_at is null
    where c.patient_id = tests.id('pia') order by 1
  $$,
  $$ values
    ('carer_closed', 'delegated', true, interval '60 minutes', null::text, null::timestamptz),
    ('doc_closed', 'treatment', true, interval '60 minutes', null, null) $$,
  'an opening says who, whose, for what and until when'
);

-- Opening again closes the earlier opening; an emergency stands by itself.
select tests.make_emergency('pia', 'doc');
select is(pg_temp.call('doc', $$count(*)
  from public.open_chart(tests.id('pia'), 'care_coordination')$$), '1',
  'a doctor opens again for another purpose');
select is(pg_temp.open_charts('doc'), 'care_coordination, emergency',
  'one opening is left, and the emergency');
delete from public.chart_sessions where purpose = 'emergency';

-- Closing ----------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, format('select public.close_chart(%L)', chart)), outcome,
  format('close_chart: %s of %s', actor, whose)
)
from (values
  ('doc', 'doc', 'done'), ('carer', 'carer', 'done'), ('doc_ended', 'doc_ended', 'done'),
  ('doc@aal1', 'doc', 'done'), ('doc_expired', 'doc_expired', 'done'),
  ('pia', 'doc', 'PT404 not_found'), ('carer', 'doc', 'PT404 not_found'),
    ('doc_closed', 'doc', 'PT404 not_found'),
  ('admin', 'doc', 'PT404 not_found'), ('guest', 'doc', 'PT404 not_found'),
  ('anon', 'doc', '42501 grant'), ('service_role', 'doc', '42501 grant')
) as m (actor, whose, outcome)
cross join lateral (select pg_temp.chart_id(whose) as chart) as c;
select is(tests.attempt('doc', format('select public.close_chart(%s)', chart)), 'PT404 not_found',
  format('close_chart: %s', chart))
from unnest(array['gen_random_uuid()', 'null']) as chart;

create temp table closing as select pg_temp.chart_id('doc') as id;
grant select on closing to public;
select is(pg_temp.call('doc', 'public.close_chart(id) from closing'), 'done', 'the doctor closes');
select is(pg_temp.reads('doc'), 'nothing', 'and reads nothing any more');
update public.chart_sessions set closed_at = now() - interval '1 minute'
  where id = (select id from closing);
select is(pg_temp.call('doc', 'public.close_chart(id) from closing'), 'done',
  'closing again is done');
select is((select closed_at from public.chart_sessions where id = (select id from closing)),
  now() - interval '1 minute',
  'and changes nothing');
select is(pg_temp.reads('doc_closed'), 'Genes, Scan', 'another''s opening stays');

-- What ends an opening without closing it ---------------------------------------------------------

create function pg_temp.without(p_change text, p_handle text) returns text language plpgsql as $$
declare
  v_reads text;
begin
  begin
    execute p_change;
    v_reads := pg_temp.reads(p_handle);
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return v_reads;
  end;
end
$$;
select is(pg_temp.call('doc', $$count(*) from public.open_chart(tests.id('pia'), 'treatment')$$),
  '1', 'the doctor opens once more');
select is(pg_temp.without(change, actor), outcome,
  format('%s reads %s after: %s', actor, outcome, change))
from (values
  ('doc', 'select', 'Genes, Scan'),
  ('carer_sensitive', 'select', 'Genes, Scan'),
  ('doc', $$update public.chart_sessions
    set opened_at = now() - interval '1 hour', expires_at = now()$$, 'nothing'),
  ('doc', $$update public.chart_sessions
    set opened_at = now() - interval '59 minutes', expires_at = now() + interval '1 second'$$,
    'Genes, Scan'),
  ('doc', $$update public.doctors set verified_at = null$$, 'nothing'),
  ('doc', $$delete from public.doctors where id = tests.id('doc')$$, 'nothing'),
  ('doc', $$update public.profiles set role = 'admin' where id = tests.id('doc')$$, 'nothing'),
  ('doc', $$update public.care_relationships set status = 'ended', ends_at = now()$$, 'nothing'),
  ('doc', $$update public.care_relationships set ends_at = now() where status = 'active'$$,
    'nothing'),
  ('doc', $$update public.care_relationships set ends_at = now() + interval '1 second'
    where status = 'active'$$, 'Genes, Scan'),
  ('doc', $$update public.care_relationships set kind = 'caregiver', scopes = '{records}'
    where member_id = tests.id('doc')$$,
    'nothing'),
  ('doc', $$update public.chart_sessions set patient_id = tests.id('omar')
    where viewer_id = tests.id('doc')$$, 'nothing'),
  ('carer_sensitive', $$update public.care_relationships set scopes = '{records}'
    where kind = 'caregiver'$$, 'Scan'),
  ('carer_sensitive', $$update public.care_relationships set scopes = '{sensitive}'
    where kind = 'caregiver'$$, 'nothing'),
  ('carer_sensitive', $$update public.care_relationships set status = 'ended', ends_at = now()$$,
    'nothing'),
  ('carer_sensitive', $$update public.chart_sessions
    set opened_at = now() - interval '1 hour', expires_at = now()$$, 'nothing'),
  ('carer', $$update public.care_relationships set scopes = '{records,sensitive}'
    where kind = 'caregiver'$$, 'Genes, Scan')
) as c (actor, change, outcome);

-- By the patient, through the API: on the next statement.
select is(pg_temp.call('pia', format('public.set_care_scopes(%L, %L)',
    (select id from public.care_relationships where member_id = tests.id('carer_sensitive')),
      '{records}')), 'done',
  'the patient narrows the scopes');
select is(pg_temp.reads('carer_sensitive'), 'Scan', 'the chart that is open shows less at once');

-- Ending care closes charts that stand on it ------------------------------------------------------

select tests.make_emergency('pia', 'doc');
select tests.make_care('omar', 'doc');
select tests.open_chart('omar', 'doc');
select is(pg_temp.open_charts('doc'), 'emergency, treatment, treatment',
  'a doctor has charts of two patients open');
select is(pg_temp.call('pia', format('public.end_care(%L)',
  (select id from public.care_relationships
  where member_id = tests.id('doc') and patient_id = tests.id('pia')))), 'done',
    'one patient ends care');
select is(pg_temp.open_charts('doc'), 'emergency, treatment',
  'her chart is closed, but neither the other''s nor the emergency');
select is(pg_temp.open_charts('doc_closed'), 'treatment',
  'another doctor''s opening of the same chart stays');
delete from public.chart_sessions where purpose = 'emergency';
select is(tests.attempt('doc', 'select title from public.medical_records'), 'Bill',
  'the doctor reads of the other patient only');
select is(pg_temp.open_charts('carer'), 'delegated',
  'a caregiver''s opening of the same chart stays');
select is(pg_temp.call('carer',
  format('public.end_care(%L)', (select id from public.care_relationships
  where member_id = tests.id('carer')))), 'done', 'the caregiver ends care');
select is(pg_temp.open_charts('carer'), 'none', 'and the chart is closed');
select is(pg_temp.reads('carer'), 'nothing', 'and read no more');
update public.care_relationships set status = 'active',
  ends_at = null where member_id = tests.id('carer');
select is(pg_temp.reads('carer'), 'nothing',
  'not even when care begins anew, until the chart is opened again');

-- Constraints ------------------------------------------------------------------------------------

select throws_ok(format('insert into public.chart_sessions (patient_id, viewer_id, purpose, opened_at, expires_at) values (%s)', row),
  '23514', null, format('no opening: %s', row))
from unnest(array[
  $$tests.id('pia'), tests.id('doc'), 'treatment', now(), now() + interval '61 minutes'$$,
  $$tests.id('pia'), tests.id('doc'), 'treatment', now(), now()$$,
  $$tests.id('pia'), tests.id('doc'), 'curiosity', now(), now() + interval '1 minute'$$,
  $$tests.id('pia'), tests.id('pia'), 'treatment', now(), now() + interval '1 minute'$$,
  $$tests.id('pia'), tests.id('doc'), 'treatment', now(), 'infinity'$$
]) as row;
select throws_ok(format('insert into public.care_relationships (patient_id, member_id, kind, scopes, status, requested_by, starts_at, ends_at)
  values (%s)', row), '23514', null, format('no relationship: %s', row))
from unnest(array[
  $$tests.id('omar'), tests.id('omar'), 'caregiver', '{records}', 'active', tests.id('omar'), now(),
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{records}', 'active', tests.id('pia'), now(),
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{}', 'active', tests.id('omar'), now(),
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{all}', 'requested', tests.id('carer'), null,
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', array['records', null], 'active',
    tests.id('omar'), now(), null$$,
  $$tests.id('omar'), tests.id('doc_stranger'), 'doctor', '{records}', 'active', tests.id('omar'),
    now(), null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{records}', 'active', tests.id('omar'), null,
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{records}', 'requested', tests.id('omar'),
    now(), null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{records}', 'ended', tests.id('omar'), now(),
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{records}', 'declined', tests.id('omar'),
    null, null$$,
  $$tests.id('omar'), tests.id('carer'), 'friend', '{records}', 'active', tests.id('omar'), now(),
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'friend', '{}', 'requested', tests.id('omar'), null,
    null$$,
  $$tests.id('omar'), tests.id('carer'), 'caregiver', '{records}', 'paused', tests.id('omar'),
    now(), null$$
]) as row;
select throws_ok(format('delete from public.%s', rows), '23503', null,
  format('history keeps: %s', rows))
from unnest(array[$$patients where id = tests.id('pia')$$,
  $$profiles where id = tests.id('doc_closed')$$]) as rows;

select * from finish();
rollback;
