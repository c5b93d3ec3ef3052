-- my_access_log: a patient reads who touched her data. Pia is a patient, omar another; doc and
-- carer have her chart open, rae has a share.
begin;
select plan(56);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('rae'),
  tests.make_user('doc', 'doctor'), tests.make_user('carer', 'caregiver'),
  tests.make_user('ada', 'admin');
select tests.make_record('Scan', 'pia'), tests.make_record('Bill', 'omar');
select tests.make_share('Scan', 'rae'), tests.make_share('Bill', 'rae');
select tests.open_chart('pia', 'doc'), tests.open_chart('pia', 'carer'),
  tests.open_chart('omar', 'doc');

create function pg_temp.log_of(p_handle text) returns text language sql as $$
  select tests.attempt(p_handle, $q$
    select string_agg(concat_ws(' / ', actor_name, actor_role, action, resource_type, purpose,
      summary), E'\n'
      order by occurred_at desc, id desc)
    from public.my_access_log(100)
  $q$)
$$;
create function pg_temp.act(p_handle text, p_statement text) returns void language plpgsql as $$
begin
  perform tests.act_as(p_handle);
  execute p_statement;
  perform tests.act_as_owner();
end
$$;

-- What is in it ----------------------------------------------------------------------------------

select is(pg_temp.log_of('pia'), 'nothing', 'what the system and she herself did is not in it');

select pg_temp.act('pia', $$ update public.medical_records set title = 'CT' $$),
  pg_temp.act('rae', $$ select public.open_medical_record(tests.id('Scan')) $$),
  pg_temp.act('rae', $$ select public.open_medical_record(tests.id('Bill')) $$),
  pg_temp.act('doc', $$ select public.open_chart(tests.id('pia'), 'treatment') $$),
  pg_temp.act('doc', $$ insert into public.medical_records (patient_id, title, record_type)
    values (tests.id('pia'), 'Note', 'other') $$),
  pg_temp.act('doc', $$ update public.medical_records set title = 'Notes' where title = 'Note' $$),
  pg_temp.act('carer', $$ select public.open_chart(tests.id('pia'), 'delegated') $$),
  pg_temp.act('carer', $$ select public.open_medical_record(tests.id('Scan')) $$),
  pg_temp.act('carer', $$ select public.close_chart(id) from public.chart_sessions
    where closed_at is null $$),
  pg_temp.act('rae', $$ select public.revoke_record_share(id) from public.medical_record_shares
    where record_id = tests.id('Scan') $$),
  pg_temp.act('doc', $$ select public.end_care(id) from public.care_relationships
    where patient_id = tests.id('pia') $$);
select is(pg_temp.log_of('pia'),
  $t$Doc / doctor / close_chart / chart_session / treatment / Closed your chart
Doc / doctor / update / care_relationship / treatment / Updated a care relationship with you
Rae / patient / update / medical_record_share / Updated a share of a record
Carer / caregiver / close_chart / chart_session / delegated / Closed your chart
Carer / caregiver / open_record / medical_record / delegated / Read a record
Carer / caregiver / open_chart / chart_session / delegated / Opened your chart
Carer / caregiver / close_chart / chart_session / delegated / Closed your chart
Doc / doctor / update / medical_record / treatment / Updated a record
Doc / doctor / create / medical_record / treatment / Created a record
Doc / doctor / open_chart / chart_session / treatment / Opened your chart
Doc / doctor / close_chart / chart_session / treatment / Closed your chart
Rae / patient / open_record / medical_record / share / Read a record$t$,
  'it names everybody else who touched her data, as what, how and for what, newest first');
select is(pg_temp.log_of('omar'),
  'Rae / patient / open_record / medical_record / share / Read a record',
  'each patient reads of her own data only');
select is(pg_temp.log_of(h), 'nothing',
  format('there is nothing in it for %s, who is not the patient', h))
from unnest(array['rae', 'doc', 'carer', 'ada']) as h;

select is(tests.attempt(actor, 'select id from public.my_access_log()', standing), outcome,
  format('my_access_log: %s, %s', actor, standing))
from (values
  ('anon', 'live', '42501 grant'),
  ('service_role', 'live', '42501 grant'),
  ('pia', 'signed out', 'PT401 unauthenticated'),
  ('pia', 'out of time', 'PT401 unauthenticated'),
  ('pia', 'locked', 'PT401 unauthenticated'),
  ('pia', 'banned', 'PT401 unauthenticated'),
  ('pia', 'deleted', 'PT401 unauthenticated')
) as m (actor, standing, outcome);

-- The body behind it decides for itself.
select is(tests.attempt('pia', 'select count(*) > 0 from private.my_access_log(100, null, null)',
  standing), outcome, format('the body of my_access_log: pia, %s', standing))
from (values ('live', 'true'), ('signed out', 'false')) as m (standing, outcome);

update public.profiles set role = 'patient', display_name = null where id = tests.id('doc');
select ok(pg_temp.log_of('pia') like 'doctor / close_chart / chart_session /%',
  'the role is the one of the time; who has no name any more is still there');

-- In words ----------------------------------------------------------------------------------------

select is(private.access_summary(action, resource_type), summary,
  format('%s %s: %s', action, resource_type, summary))
from (values
  ('open_chart', 'chart_session', 'Opened your chart'),
  ('close_chart', 'chart_session', 'Closed your chart'),
  ('open_record', 'medical_record', 'Read a record'),
  ('download_file', 'medical_record', 'Downloaded a file of a record'),
  ('upload_file', 'medical_record', 'Added a file to a record'),
  ('create', 'medical_record', 'Created a record'),
  ('update', 'medical_record_content', 'Updated the contents of a record'),
  ('delete', 'medical_record_share', 'Deleted a share of a record'),
  ('create', 'record_upload', 'Created an upload of a file'),
  ('update', 'patient_identifier', 'Updated your id in another system'),
  ('update', 'patient', 'Updated your registry entry'),
  ('create', 'care_relationship', 'Created a care relationship with you'),
  ('create', 'some_other_thing', 'Created a some other thing')
) as w (action, resource_type, summary);

-- Page by page -----------------------------------------------------------------------------------

-- Forty rows at four moments, over two months and the default partition.
insert into public.audit_events (actor_id, actor_role, action, resource_type, patient_id,
  occurred_at)
select tests.id('rae'), 'patient', 'open_record', 'medical_record', tests.id('omar'), moment
from unnest(array[
  now() + interval '1 hour', now() + interval '1 hour 1 microsecond', now() + interval '32 days',
  timestamptz '2199-01-01'
]) as moment
cross join generate_series(1, 10);

create function pg_temp.pages(p_limit integer) returns bigint[] language plpgsql as $$
declare
  v_ids bigint[] := '{}';
  v_cursor text;
  v_row record;
begin
  perform tests.act_as('omar');
  for v_page in 1..60 loop
    v_row := null;
    for v_row in select l.id, l.cursor from public.my_access_log(p_limit, v_cursor) as l loop
      v_ids := v_ids || v_row.id;
    end loop;
    exit when v_row is null;
    v_cursor := v_row.cursor;
  end loop;
  perform tests.act_as_owner();
  return v_ids;
end
$$;
create temp table whole as
  select array_agg(id order by occurred_at desc, id desc) as ids from public.audit_events
  where patient_id = tests.id('omar') and actor_id <> patient_id;
select is((select cardinality(ids) from whole), 41, 'there are forty-one rows');
select is(pg_temp.pages(size), (select ids from whole),
  format('pages of %s lose no row, double none and keep the order', size))
from unnest(array[1, 2, 3, 7, 10, 40, 41, 100]) as size;

set local enable_indexscan = off;
set local enable_bitmapscan = off;
select is(pg_temp.pages(3), (select ids from whole),
  'nor do they when the planner goes another way');
reset enable_indexscan;
reset enable_bitmapscan;

-- A page taken while rows are added shows what was below the cursor, once.
select tests.act_as('omar');
create temp table first_page as select id, cursor from public.my_access_log(5);
select tests.act_as_owner();
insert into public.audit_events (actor_id, actor_role, action, resource_type, patient_id,
  occurred_at)
values (tests.id('rae'), 'patient', 'open_record', 'medical_record', tests.id('omar'),
  '2199-02-01');
grant select on first_page to public;
select is(
  tests.attempt('omar', $$
    select id from public.my_access_log(100, (select cursor from first_page order by id limit 1))
  $$),
  (select string_agg(id::text, ', ' order by id::text)
    from unnest((select ids[6:] from whole)) as id),
  'rows that come later do not move the pages below'
);
select is(
  tests.attempt('pia', $$ select actor_id from public.my_access_log(100, (select cursor
    from first_page limit 1))
    where actor_id = tests.id('rae') and resource_id is null $$),
  'nothing', 'a cursor of another gives no right'
);

set local timezone = 'Asia/Kolkata';
select is(pg_temp.pages(3), (select array_agg(id order by occurred_at desc, id desc)
  from public.audit_events
  where patient_id = tests.id('omar') and actor_id <> patient_id),
  'a cursor is the same moment in every time zone');

select is(tests.attempt('pia', format('select id from public.my_access_log(%s)', arguments)),
  'PT400 invalid_request', format('my_access_log(%s)', arguments))
from unnest(array[
  '0', '101', '-1', 'null', $$5, 'nonsense'$$, $$5, ''$$, $$5, encode('["2026-01-01"]', 'base64')$$,
  $$5, encode('{"a": 1}', 'base64')$$,
  $$5, encode('["abc", 1]', 'base64')$$, $$5, encode('["2026-01-01", "x"]', 'base64')$$,
  $$5, encode('["2026-01-01", 99999999999999999999]', 'base64')$$,
  $$5, encode('[null, null]', 'base64')$$, $$5, encode('[{}, []]', 'base64')$$
]) as arguments;

select * from finish();
rollback;
