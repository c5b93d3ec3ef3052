-- Automatic logoff: a chart that its viewer has left alone for 15 minutes is closed, for good. What
-- is logged counts as use. In the ward (tests.make_ward): doc and carer have pia's chart open, doc
-- has omar's, too. The clock stands still within a test; what is moved is when a chart was last
-- used.
begin;
select plan(41);

select tests.make_ward();
select tests.make_care('omar', 'doc'), tests.open_chart('omar', 'doc');
select tests.make_file('Scan');
insert into public.medical_records (id, patient_id, title, record_type)
values (tests.id('Finding'), tests.uid('pia'), 'Finding', 'other');
update public.medical_records set source = 'doctor', created_by = tests.uid('doc')
where title = 'Finding';

create function pg_temp.unused_for(p_viewer text, p_time interval, p_patient text default 'pia')
  returns void language sql as $$
  update public.chart_sessions set last_used_at = now() - p_time
  where viewer_id = tests.id(p_viewer) and patient_id = tests.id(p_patient)
$$;
create function pg_temp.idle_time(p_viewer text, p_patient text default 'pia') returns text
language sql as $$
  select string_agg((now() - last_used_at)::text, ', ' order by last_used_at)
  from public.chart_sessions
  where viewer_id = tests.id(p_viewer) and patient_id = tests.id(p_patient)
$$;
create function pg_temp.after(p_viewer text, p_call text, p_unused_for interval default null)
  returns text language plpgsql as $$
begin
  if p_unused_for is not null then
    perform pg_temp.unused_for(p_viewer, p_unused_for);
  end if;
  perform tests.act_as(p_viewer);
  execute p_call;
  perform tests.act_as_owner();
  return pg_temp.idle_time(p_viewer);
end
$$;

-- Open until it is idle --------------------------------------------------------------------------

select is(pg_temp.idle_time('doc'), '00:00:00', 'a chart that is opened is in use');
select pg_temp.unused_for(u, interval '14 minutes 59 seconds')
from unnest(array['doc', 'carer']) as u;
select is(
  tests.attempt(actor, $$ select title from public.medical_records where title = 'Scan' $$), 'Scan',
  format('after 14 minutes and 59 seconds %s reads', actor)
) from unnest(array['doc', 'carer']) as actor;
select is(
  tests.attempt('pia', $$
    select until - now() from public.why_can_see(tests.id('doc'), tests.id('pia'))
    where rule = 'open_chart'
  $$),
  '00:00:01', 'and the patient is told until when'
);
select pg_temp.unused_for(u, interval '15 minutes') from unnest(array['doc', 'carer']) as u;
select is(
  tests.attempt(actor, format($$ select id from public.%s where %s = tests.id('pia') $$, name, id)),
  'nothing', format('after 15 minutes %s reads nothing of %s', actor, name)
)
from unnest(array['doc', 'carer']) as actor
cross join (values ('medical_records', 'patient_id'), ('patients', 'id')) as t (name, id);
select is(
  tests.attempt('doc', 'select title from public.medical_records'), 'Bill',
  'a chart of another patient, which is in use, stays open'
);
select is(
  tests.attempt('pia', $$
    select rule from public.why_can_see(tests.id('doc'), tests.id('pia'))
  $$),
  'care_doctor', 'and the patient is told that it is open no more'
);

-- What counts as use -----------------------------------------------------------------------------

select is(pg_temp.after('doc', call, interval '14 minutes'), '00:00:00',
  format('in use again: %s', what))
from (values
  ('opening a record', $$ select public.open_medical_record(tests.id('Scan')) $$),
  ('a download', $$ select private.authorize_record_download(tests.id('Scan')) $$),
  ('a new record', $$ insert into public.medical_records (patient_id, title, record_type)
    values (tests.id('pia'), 'New', 'other') $$),
  ('a change of a record', $$ update public.medical_records set record_date = '2026-02-02'
    where id = tests.id('Note') $$),
  ('new contents', $$ insert into public.medical_record_contents (record_id, metadata)
    values (tests.id('Finding'), '{}') $$),
  ('a change of contents', $$ update public.medical_record_contents set metadata = '{"y": 1}'
    where record_id = tests.id('Note') $$),
  ('an upload', $$ select private.begin_record_upload(
    tests.id('Finding'), 'f', 'text/plain', 1, repeat('a', 64)) $$)
) as c (what, call);
select is(
  pg_temp.after('carer', $$ select public.open_medical_record(tests.id('Scan')) $$, '14 minutes'),
  '00:00:00', 'in use again: a caregiver''s chart'
);

select pg_temp.unused_for('doc', interval '5 minutes');
select is(pg_temp.after('doc', 'select title from public.medical_records'), '00:05:00',
  'rows that are read leave no trace, and so no use');
select is(pg_temp.after('pia', $$ update public.medical_records set record_date = '2026-03-03' $$),
  null, 'what the patient does is done without a chart');
select is(pg_temp.idle_time('doc'), '00:05:00', 'and is no use of anybody''s');
select is(pg_temp.after('carer', $$ select public.open_medical_record(tests.id('Scan')) $$),
  '00:00:00', 'what one viewer does');
select is(pg_temp.idle_time('doc'), '00:05:00', 'is no use of another''s chart');
select tests.act_as('doc', 'aal1');
select is((public.open_medical_record(tests.id('Scan'))).message, 'not_found',
  'without the second factor a record is refused, which is logged');
select tests.act_as_owner();
select set_config('response.status', '', true);
select is(pg_temp.idle_time('doc'), '00:05:00', 'and a refusal of that kind is no use either');
select pg_temp.unused_for('doc', interval '5 minutes', 'omar');
select is(pg_temp.after('doc', $$ select public.open_medical_record(tests.id('Scan')) $$),
  '00:00:00', 'what is done with one patient''s data');
select is(pg_temp.idle_time('doc', 'omar'), '00:05:00', 'is no use of another patient''s chart');

-- One statement about two patients is use of both charts.
select pg_temp.unused_for('doc', interval '5 minutes');
update public.medical_records set source = 'doctor', created_by = tests.uid('doc')
where title = 'Bill';
select is(
  pg_temp.after('doc', $$ update public.medical_records set record_date = '2026-04-04'
    where id in (tests.id('Bill'), tests.id('Note')) $$),
  '00:00:00', 'a statement about two patients'
);
select is(pg_temp.idle_time('doc', 'omar'), '00:00:00', 'is use of the charts of both');

-- Noted at most once a minute.
select pg_temp.unused_for('doc', interval '59 seconds');
select is(pg_temp.after('doc', $$ select public.open_medical_record(tests.id('Scan')) $$),
  '00:00:59', 'within a minute nothing is written');
select pg_temp.unused_for('doc', interval '60 seconds');
select is(pg_temp.after('doc', $$ select public.open_medical_record(tests.id('Scan')) $$),
  '00:00:00', 'after it, something is');

-- Nothing brings an idle chart back ---------------------------------------------------------------

select tests.make_share('Scan', 'doc', 'download');
select pg_temp.unused_for('doc', interval '15 minutes');
select is(pg_temp.after('doc', $$ select public.open_medical_record(tests.id('Scan')) $$),
  '00:15:00', 'not an action that is logged, which a share allows');
select is(
  (select purpose from public.audit_events where action = 'open_record' order by id desc limit 1),
  'share', 'and which is logged under the share'
);
select is(tests.attempt('doc', $$ select title from public.medical_records
  where patient_id = tests.id('pia') $$), 'Scan', 'so that nothing but the share is open');
update public.medical_record_shares set revoked_at = now()
where shared_with_id = tests.id('doc');
select is(
  tests.attempt('doc', 'update public.chart_sessions set last_used_at = now()'),
  '42501 grant', 'nor may its viewer write that it was used'
);

-- It is closed, and opened anew.
select tests.act_as('doc');
select is((select count(*) from public.open_chart(tests.id('pia'), 'treatment')), 1::bigint,
  'it must be opened again');
select tests.act_as_owner();
select results_eq(
  $$ select closed_at is null, now() - last_used_at from public.chart_sessions
    where viewer_id = tests.id('doc') and patient_id = tests.id('pia') order by 1 $$,
  $$ values (false, interval '15 minutes'), (true, interval '0') $$,
  'the idle one is closed, as one in use is'
);
select is(
  (select action from public.audit_events where resource_type = 'chart_session'
    and action = 'close_chart' order by id desc limit 1),
  'close_chart', 'which is logged'
);
select is(tests.attempt('doc', $$ select title from public.medical_records where title = 'Scan' $$),
  'Scan', 'and the new one shows what the old one showed');
select pg_temp.unused_for('carer', interval '15 minutes');
select is(
  pg_temp.after('carer', format('select public.close_chart(%L)',
    (select id from public.chart_sessions where viewer_id = tests.id('carer')))),
  '00:15:00', 'a viewer may close an idle chart, too'
);
select isnt((select closed_at from public.chart_sessions where viewer_id = tests.id('carer')), null,
  'and it says when');

select * from finish();
rollback;
