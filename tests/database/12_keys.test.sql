-- Data keys: versions that are remembered, the rotation's claims, and erasing. `keys_worker` is the
-- function `keys`; the wrapped forms here are random, as nothing in the database can tell.
begin;
select plan(51);

select tests.make_user('pia'), tests.make_user('admin', 'admin');
select tests.make_record('Scan', 'pia', 'imaging');

create temp table keys (name text, id uuid, was text);
grant select on keys to public;
create function pg_temp.make(p_name text, p_version integer default 1,
  p_purpose text default 'record_file') returns void language plpgsql as $$
declare
  v_id constant uuid := tests.make_data_key(tests.id(p_name), p_purpose, p_version);
begin
  insert into keys
  select p_name, k.id, encode(k.wrapped_key, 'hex') from private.data_keys as k where k.id = v_id;
end
$$;

-- A call of the worker that is kept; answers its rows as one text.
create function pg_temp.work(p_call text) returns text language plpgsql as $$
declare
  v_result text;
begin
  perform tests.act_as_role('keys_worker');
  execute format('select string_agg(q::text, '', '' order by q::text)
    from (select %s) as q (v)', p_call)
    into v_result;
  perform tests.act_as_owner();
  return v_result;
end
$$;
create function pg_temp.claims(p_version integer, p_limit integer) returns text language sql as $$
  select pg_temp.work(format(
    '(select k.name from keys as k where k.id = c.id) from private.claim_data_keys(%s, %s) as c',
    p_version, p_limit))
$$;
create function pg_temp.stores(p_name text, p_version integer, p_was text default null)
  returns text language sql as $$
  select pg_temp.work(format('private.store_rewrapped_keys(%L, %s, %L::jsonb)', 'main', p_version,
    jsonb_build_array(jsonb_build_object(
      'id', k.id, 'was', coalesce(p_was, k.was), 'wrapped_key', repeat('cd', 60)))))
  from keys as k where k.name = p_name
$$;

-- Who may ----------------------------------------------------------------------------------------

select is(tests.attempt(actor, 'select count(*) from private.' || call),
  case actor when 'keys_worker' then '1' else '42501 grant' end, format('%s: %s', actor, call))
from unnest(array['anon', 'pia', 'admin', 'service_role', 'records_worker', 'rate_limit_worker',
  'keys_worker']) as actor
cross join unnest(array['store_rewrapped_keys(''main'', 2, ''[]'')']) as call;
select is(tests.attempt(actor, format('select 1 from private.%I limit 1', name)), '42501 grant',
  format('%s reads no %s', actor, name))
from unnest(array['anon', 'pia', 'admin', 'service_role', 'records_worker', 'keys_worker']) as actor
cross join unnest(array['data_keys', 'key_versions']) as name;
select is(tests.attempt('keys_worker', 'select private.erase_data_keys(''record_file'', null)'),
  '42501 grant', 'nobody but the functions that have decided erases keys');

-- Rows -------------------------------------------------------------------------------------------

select pg_temp.make('a');
-- Of a table that is believed to have one row the planner asks for each row anew what is to be claimed.
analyze private.data_keys;
select pg_temp.make(name) from unnest(array['b', 'c']) as name;
select throws_ok(format('update private.data_keys set %s', change), '23514', null,
  'no data key with ' || change)
from unnest(array[
  'wrapped_key = null', 'erased_at = now()', $$wrapped_key = '\x00'$$, $$purpose = 'other'$$,
  'key_version = 0', $$key_id = 'Main'$$
]) as change;
select results_eq('select key_id, key_version, first_used_at from private.key_versions',
  $$ values ('main', 1, now()) $$, 'the first use of a version is remembered');
update private.key_versions set first_used_at = '2026-01-01';
select pg_temp.make('d', 2);
select pg_temp.make('p', 1, 'patient_fields');
select results_eq(
  'select key_version, first_used_at from private.key_versions order by key_version',
  $$ values (1, '2026-01-01'::timestamptz), (2, now()) $$, 'and no later one');
select throws_ok($$select tests.make_data_key(tests.id('p'), 'patient_fields')$$, '23505', null,
  'a patient has one key for their fields');

-- Rotation ---------------------------------------------------------------------------------------

select is(pg_temp.claims(1, 10), null, 'nothing is under an older version than the first');
select is(cardinality(string_to_array(pg_temp.claims(2, 3), ', ')), 3,
  'a run gets as many as it asks for');
select is((select count(*)
  from private.data_keys where claimed_until = now() + interval '60 seconds'),
  3::bigint, 'for a minute');
select is((select count(*) from private.data_keys as d join keys as k using (id)
  where k.name in ('d') and claimed_until is not null), 0::bigint,
  'and nothing that is under the new version already');
select is(cardinality(string_to_array(pg_temp.claims(2, 10), ', ')), 1,
  'another run gets the rest');
select is(pg_temp.claims(2, 10), null, 'and then there is nothing, while they are in hand');
update private.data_keys set claimed_until = now() where claimed_until is not null;
select is(pg_temp.claims(2, 10), '(a), (b), (c), (p)',
  'what a dead run has left is handed out again');

select is(pg_temp.stores('a', 2), '(1)', 'a key is taken back');
select results_eq(
  $$ select d.key_version, encode(d.wrapped_key, 'hex'), d.rewrapped_at = now(), d.claimed_until
    from private.data_keys as d join keys using (id) where name = 'a' $$,
  $$ values (2, repeat('cd', 60), true, null::timestamptz) $$, 'under the new version');
select is(pg_temp.stores('a', 2), '(0)', 'taking it back again changes nothing');
select is(pg_temp.stores('a', 2, repeat('cd', 60)), '(0)',
  'nor does wrapping under the same version');
select is(pg_temp.stores('b', 2, repeat('ee', 60)), '(0)',
  'a key that is not as it was handed out is left as it is');
select is((select encode(wrapped_key, 'hex') = was and key_version = 1
  from private.data_keys join keys using (id) where name = 'b'), true, 'wholly');
select is((select private.erase_data_keys('record_file', tests.id('c'))), 1,
  'a key is erased meanwhile');
select is(pg_temp.stores('c', 2), '(0)', 'and stays erased');
select is((select wrapped_key is null and erased_at = now() and claimed_until is null
  from private.data_keys join keys using (id) where name = 'c'), true, 'wholly');
select is((select private.erase_data_keys('record_file', tests.id('c'))), 0,
  'erasing again changes nothing');
select is((select private.erase_data_keys('record_file', tests.id('p'))), 0,
  'erasing the files'' keys leaves the fields'' key');
select is(pg_temp.claims(3, 10), '(a), (d)', 'an erased key is never handed out');

select is(
  (select jsonb_agg(new_values) from public.audit_events where action = 'rotate_keys'),
  '[{"key_id": "main", "data_keys": 1, "key_version": 2}]'::jsonb,
  'the trail says how many keys were wrapped anew'
);
select is(
  (select count(*) from public.audit_events as e, keys as k
   where to_jsonb(e)::text like '%' || k.was || '%' or to_jsonb(e)::text like '%' || repeat('cd',
    60) || '%'),
  0::bigint, 'and holds no key, wrapped or not');
select is(pg_temp.work('s from private.key_status() as s'),
  '("(main,1,""2026-01-01 00:00:00+00"",1,1,1)"), ' ||
    (select format('("(main,2,""%s"",2,0,0)")', now())),
  'the status counts keys by version and purpose');

select * from finish();
rollback;
