-- The audit trail is append-only, for everyone, and is written by no one directly. Pia is a patient
-- with her ward around her; postgres owns the tables, and supabase_admin is the superuser.
begin;
select plan(220);

select tests.make_ward();
-- One row in the partition of this month, and one in the default partition.
insert into public.audit_events (actor_role, action, resource_type, patient_id, occurred_at) values
  ('doctor', 'open_chart', 'chart_session', tests.uid('pia'), now()),
  ('doctor', 'open_chart', 'chart_session', tests.uid('pia'), '2199-01-01');
create temp table trail (name text, is_filled boolean);
insert into trail values
  ('public.audit_events', true),
  ('private.audit_events_default', true),
  ('private.' || to_char(now() at time zone 'UTC', '"audit_events_"YYYY_MM'), true),
  ('private.' || to_char(now() at time zone 'UTC' + interval '1 month', '"audit_events_"YYYY_MM'),
    false);
create temp table before as select tests.state() as state;

-- Through the API ---------------------------------------------------------------------------------

select is(
  tests.attempt(actor, replace(statement, 'TRAIL', name)), '42501 grant',
  format('%s: %s', actor, replace(statement, 'TRAIL', name))
)
from unnest(array[
  'pia', 'doc', 'carer', 'share_view', 'admin', 'guest', 'anon', 'service_role', 'records_worker',
  'rate_limit_worker'
]) as actor
cross join (
  select name from trail where is_filled
) as t
cross join unnest(array[
  'select id from TRAIL',
  $$ insert into TRAIL (actor_role, action, resource_type)
    values ('admin', 'open_chart', 'chart_session') $$,
  $$ update TRAIL set action = 'forgotten' $$,
  'delete from TRAIL',
  'truncate TRAIL'
]) as statement;

select is(tests.attempt(actor, statement), '42501 grant',
  format('%s: %s', actor, left(statement, 70)))
from unnest(array['pia', 'service_role']) as actor
cross join unnest(array[
  $$ select private.write_audit('open_chart', 'chart_session', null, tests.id('pia')) $$,
  $$ select nextval('public.audit_events_id_seq') $$
]) as statement;

-- Whoever may make temporary tables might put the function that writes the trail on one of them.
create function pg_temp.forge() returns void language plpgsql as $$
begin
  create temp table forged (id uuid, patient_id uuid);
  create trigger forge after insert on forged referencing new table as new_rows
    for each statement execute function private.audit_rows('chart_session', 'id', 'patient_id', '');
end
$$;
select is(tests.attempt('pia', 'select pg_temp.forge()'), '42501 grant',
  'a trigger of one''s own cannot use the function that writes the trail');
select is(tests.attempt('pia',
  $$ select set_config('session_replication_role', 'replica', true) $$), '42501',
  'triggers cannot be put to sleep');

-- As its owner, and as superuser -----------------------------------------------------------------

create function pg_temp.attempt_as(p_role text,
  p_statement text) returns text language plpgsql as $$
begin
  begin
    perform set_config('role', p_role, true);
    execute p_statement;
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return 'done';
    when others then return concat_ws(': ', sqlstate, sqlerrm);
  end;
end
$$;
select matches(
  pg_temp.attempt_as(role, replace(statement, 'TRAIL', name)),
  '^42501: Cannot (update|delete|truncate) audit_events(_default|_[0-9]{4}_[0-9]{2})?: it is append-only$',
  format('%s: %s', role, replace(statement, 'TRAIL', name))
)
from unnest(array['postgres', 'supabase_admin']) as role
cross join trail
cross join unnest(array[
  'truncate TRAIL',
  'truncate TRAIL cascade',
  'delete from TRAIL',
  'update TRAIL set actor_id = null',
  'update TRAIL set new_values = null',
  $$ update TRAIL set occurred_at = occurred_at + interval '1 month' $$,
  'merge into TRAIL as a using (select 1) as s on true when matched then delete',
  'with gone as (delete from TRAIL returning id) select count(*) from gone'
]) as statement
where is_filled or statement like 'truncate%'; -- a row trigger needs a row

-- Hosted projects let the owner of the database play the replica, where ordinary triggers sleep.
create function pg_temp.attempt_as_replica(p_statement text) returns text language plpgsql as $$
begin
  begin
    perform set_config('session_replication_role', 'replica', true);
    execute p_statement;
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return 'done';
    when others then return sqlstate;
  end;
end
$$;
select is(pg_temp.attempt_as_replica(replace(statement, 'TRAIL', name)), '42501',
  format('who plays the replica: %s', replace(statement, 'TRAIL', name)))
from trail
cross join unnest(array[
  'truncate TRAIL cascade', 'delete from TRAIL', 'update TRAIL set actor_id = null'
]) as statement
where is_filled or statement like 'truncate%';

select is(tests.state(), (select state from before), 'not one row of the trail has changed');

-- Whatever partition a job makes later is as closed.
select private.ensure_month_partitions('public.audit_events', 14);
select is_empty(
  $$
    select c.relname, r.name
    from pg_class as c
    left join pg_inherits as i on i.inhrelid = c.oid
    cross join unnest(array['anon', 'authenticated', 'service_role', 'records_worker']) as r (name)
    where 'public.audit_events'::regclass in (c.oid, i.inhparent) and c.relkind in ('r', 'p') and (
      not c.relrowsecurity
      or has_any_column_privilege(r.name, c.oid, 'select, insert, update, references')
      or has_table_privilege(r.name, c.oid, 'delete, truncate, trigger, maintain')
      or not exists (
        select 1 from pg_trigger as t where t.tgrelid = c.oid and t.tgenabled = 'A'
          and t.tgfoid = 'private.refuse_change()'::regprocedure
            and t.tgtype = 34 -- before truncate
      )
      or not exists (
        select 1 from pg_trigger as t where t.tgrelid = c.oid and t.tgenabled = 'A'
          and t.tgfoid = 'private.refuse_change()'::regprocedure
            and t.tgtype = 27 -- before update, delete
      )
    )
  $$,
  'the trail and every partition has row-level security, no grant, and refuses change'
);

select * from finish();
rollback;
