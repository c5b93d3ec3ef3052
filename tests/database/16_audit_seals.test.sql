-- Seals: hashes as RFC 6962 has them, who may seal, prove and check, and that the seals are as
-- append-only as the trail. Pia and omar are patients, doc is pia's doctor, ada an administrator.
-- Events are given a transaction that has long ended, as nobody seals what is not committed.
begin;
select plan(187);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('doc', 'doctor'),
  tests.make_user('ada', 'admin');
select tests.open_chart('pia', 'doc');

create function pg_temp.write(p_patient text, p_count integer, p_transaction_id xid8 default '5')
  returns void language sql as $$
  insert into public.audit_events (actor_id, actor_role, action, resource_type, patient_id,
    new_values, transaction_id)
  select tests.id('doc'), 'doctor', 'update', 'medical_record', tests.id(p_patient),
    jsonb_build_object('title', 'Note ' || n), p_transaction_id
  from generate_series(1, p_count) as n
$$;

-- Leaves -----------------------------------------------------------------------------------------

select is(
  private.audit_canonical(
    7, '2026-01-02 08:30:00.123456+05:30', '00000000-0000-0000-0000-00000000000a', 'doctor', null,
    'update', 'medical_record', '00000000-0000-0000-0000-00000000000b',
    '00000000-0000-0000-0000-00000000000c', E'a "b" \\ é\n', '{"title": "Old"}',
    '{"title": null, "size": 1.50}', '203.0.113.0/24', null, 'r-1', '42'
  ),
  '["audit_event/1", 7, 1767322800123456, "00000000-0000-0000-0000-00000000000a", "doctor", null, '
    || '"update", "medical_record", "00000000-0000-0000-0000-00000000000b", '
    || '"00000000-0000-0000-0000-00000000000c", "a \"b\" \\ é\n", {"title": "Old"}, '
    || '{"size": 1.50, "title": null}, "203.0.113.0/24", null, "r-1", "42"]',
  'the canonical form is a JSON array of every column'
);
-- Computed from the text above by another program.
select is(
  encode(private.audit_leaf(
    7, '2026-01-02 08:30:00.123456+05:30', '00000000-0000-0000-0000-00000000000a', 'doctor', null,
    'update', 'medical_record', '00000000-0000-0000-0000-00000000000b',
    '00000000-0000-0000-0000-00000000000c', E'a "b" \\ é\n', '{"title": "Old"}',
    '{"title": null, "size": 1.50}', '203.0.113.0/24', null, 'r-1', '42'
  ), 'hex'),
  '186f6c92fc76613f1ce4ea48a2bd20754abb9ec300a6465a2ccf62a0cbda158e', 'the leaf hash is its SHA-256'
);
select pg_temp.write('pia', 3);
create temp table hashed as
  select a.leaf_hash, to_jsonb(a) - 'leaf_hash' as kept
  from public.audit_events as a order by a.id desc limit 1;
set local timezone = 'Asia/Kolkata';
set local datestyle = 'SQL, DMY';
set local extra_float_digits = 0;
select is_empty(
  $$
    select a.id from public.audit_events as a
    where a.leaf_hash <> private.audit_leaf(a.id, a.occurred_at, a.actor_id, a.actor_role,
      a.session_id, a.action, a.resource_type, a.resource_id, a.patient_id, a.purpose, a.old_values,
      a.new_values, a.ip_address, a.user_agent, a.request_id, a.transaction_id)
  $$,
  'every row carries its leaf hash, which no setting of the session changes'
);
reset timezone;
reset datestyle;
select is(
  (
    select string_agg(attname, ', ' order by attnum) from pg_attribute
    where attrelid = 'public.audit_events'::regclass and attnum > 0 and not attisdropped
  ),
  'id, occurred_at, actor_id, actor_role, session_id, action, resource_type, resource_id, '
    || 'patient_id, purpose, old_values, new_values, ip_address, user_agent, request_id, '
    || 'transaction_id, leaf_hash',
  'the canonical form has every column: a new one needs a new form'
);
select throws_ok(
  $$ insert into public.audit_events (actor_role, action, resource_type, leaf_hash)
    values ('doctor', 'update', 'medical_record', '\x00') $$,
  '428C9', null, 'nobody gives a leaf hash of one''s own'
);
select is(
  (
    select count(*) from (
      select a.leaf_hash from public.audit_events as a
      union
      select private.audit_leaf(a.id, a.occurred_at, case n when 1 then tests.id('omar')
        else a.actor_id end, case n when 2 then 'x' else a.actor_role end,
        case n when 3 then tests.id('s') else a.session_id end,
        case n when 4 then 'x' else a.action end, case n when 5 then 'x' else a.resource_type end,
        case n when 6 then tests.id('r') else a.resource_id end,
        case n when 7 then tests.id('omar') else a.patient_id end,
        case n when 8 then 'x' else a.purpose end, case n when 9 then '{}' else a.old_values end,
        case n when 10 then '{}' else a.new_values end,
        case n when 11 then '10.0.0.1' else a.ip_address end,
        case n when 12 then 'x' else a.user_agent end,
        case n when 13 then 'x' else a.request_id end,
        case n when 14 then '6' else a.transaction_id end)
      from public.audit_events as a
      cross join generate_series(1, 14) as n
      where a.id = (select max(id) from public.audit_events)
    ) as u
  ),
  (select count(*) + 14 from public.audit_events), 'each column counts'
);

-- Trees ------------------------------------------------------------------------------------------

-- The leaves by which implementations of Certificate Transparency are tested.
create temp table inputs as
  select n, sha256('\x00'::bytea || decode(input, 'hex')) as leaf
  from unnest(array['', '00', '10', '2021', '3031', '40414243', '5051525354555657',
    '606162636465666768696a6b6c6d6e6f']) with ordinality as i (input, n);
create function pg_temp.leaves(p_count bigint) returns bytea language sql as $$
  select coalesce(string_agg(leaf, '' order by n), '') from inputs where n <= p_count
$$;
select is(encode(private.merkle_root(pg_temp.leaves(n - 1)), 'hex'), root,
  format('the root of %s leaves is that of RFC 6962', n - 1))
from unnest(array[
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328'
]) with ordinality as r (root, n);
select is(
  (select array_agg(left(node, 16) order by o)
    from unnest(private.merkle_path(pg_temp.leaves(size), at)) with ordinality as p (node, o)),
  path, format('the path of leaf %s of %s is that of RFC 6962', at, size))
from (values
  (0, 1, null),
  (0, 8, array['96a296d224f285c6', '5f083f0a1a33ca07', '6b47aaf29ee3c2af']),
  (5, 8, array['bc1a0643b12e4d2d', 'ca854ea128ed050b', 'd37ee418976dd957']),
  (2, 3, array['fac54203e7cc696c']),
  (1, 5, array['6e340b9cffb37a98', '5f083f0a1a33ca07', 'bc1a0643b12e4d2d']),
  (4, 5, array['d37ee418976dd957']),
  (6, 7, array['0ebc5d3437fbe2db', 'd37ee418976dd957'])
) as v (at, size, path);

-- Sealing ----------------------------------------------------------------------------------------

create function pg_temp.seal(p_max_seals integer default 64) returns text language plpgsql as $$
declare
  v_sealed record;
begin
  perform tests.act_as_role('audit_worker');
  select * into v_sealed from private.seal_audit(p_max_seals, 64);
  perform tests.act_as_owner();
  return format('%s seals, %s events%s%s', v_sealed.seals, v_sealed.events,
    case when not v_sealed.is_drained then ', more to come' end,
    case when v_sealed.is_busy then ', busy' end);
end
$$;

select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, statement))
from unnest(array[
  'pia', 'doc', 'ada', 'anon', 'service_role', 'records_worker', 'rate_limit_worker'
]) as actor
cross join unnest(array[
  'select seals from private.seal_audit()', 'select seal_id from private.audit_head()',
  'select ok from private.check_audit()'
]) as statement;
select is(tests.attempt('audit_worker', 'select seal_id from private.audit_head()'), 'nothing',
  'there is no head before the first seal');

-- Two whole seals and 10 events over, beside those that the cast has made, which are not committed.
select pg_temp.write('omar', 2 * 64 + 10 - 3);
select is(pg_temp.seal(1), '1 seals, 64 events, more to come',
  'the worker seals, no more than it is told');
select is(pg_temp.seal(2), '2 seals, 74 events', 'the rest is for the next call');
select is(pg_temp.seal(), '0 seals, 0 events', 'nothing makes no seal');
select results_eq(
  $$
    select s.id, s.leaf_count, s.is_drained, s.is_restart,
      s.previous_hash is not distinct from lag(s.hash) over (order by s.id),
      s.from_id = (select min(event_id) from private.audit_seal_leaves where seal_id = s.id),
      s.to_id = (select max(event_id) from private.audit_seal_leaves where seal_id = s.id)
    from public.audit_seals as s order by s.id
  $$,
  $$ values
    (1::bigint, 64, false, false, true, true, true),
    (2::bigint, 64, false, false, true, true, true),
    (3::bigint, 10, true, false, true, true, true)
  $$,
  'each seal follows from the one before'
);
select is_empty(
  $$
    select a.id, l.seal_id
    from public.audit_events as a
    full join private.audit_seal_leaves as l on l.event_id = a.id and l.occurred_at = a.occurred_at
    where (a.transaction_id = '5') is distinct from (l.leaf_hash = a.leaf_hash)
      and (a.transaction_id = pg_current_xact_id()) is distinct from (l.event_id is null)
  $$,
  'every committed event is in one seal, and no other'
);
select is_empty(
  $$
    select seal_id, position
    from (
      select seal_id, position,
        row_number() over (partition by seal_id order by event_id) - 1 as expected
      from private.audit_seal_leaves
    ) as l
    where position <> expected
  $$,
  'leaves are in the order of ids'
);
select is(
  tests.attempt('audit_worker', 'select seal_id || canonical || hash from private.audit_head()'),
  (
    select concat(s.id, format('["audit_seal/1", 3, %s, %s, 10, "%s", "%s", "%s", true, false, %s]',
      s.from_id, s.to_id, encode(s.merkle_root, 'hex'), encode(s.previous_hash, 'hex'), s.snapshot,
      (extract(epoch from s.sealed_at) * 1000000)::bigint), encode(s.hash, 'hex'))
    from public.audit_seals as s where s.id = 3
  ),
  'the head is the newest seal'
);
select is(encode(s.hash, 'hex'), encode(sha256(convert_to(h.canonical, 'UTF8')), 'hex'),
  'the hash of a seal is that of its canonical form')
from public.audit_seals as s cross join private.audit_head() as h where s.id = 3;

-- Append-only ------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, replace(statement, 'TRAIL', name)), '42501 grant',
  format('%s: %s', actor, replace(statement, 'TRAIL', name))
)
from unnest(array[
  'pia', 'doc', 'ada', 'anon', 'service_role', 'records_worker', 'audit_worker'
]) as actor
cross join unnest(array['public.audit_seals', 'private.audit_seal_leaves']) as name
cross join unnest(array[
  'select count(*) from TRAIL', 'insert into TRAIL default values',
  'update TRAIL set leaf_count = 1',
  'delete from TRAIL', 'truncate TRAIL'
]) as statement
where statement not like 'update%' or name = 'public.audit_seals';

create function pg_temp.attempt_as(p_role text, p_statement text)
  returns text language plpgsql as $$
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
select matches(pg_temp.attempt_as(role, statement),
  '^42501: Cannot (update|delete|truncate) audit_seal(s|_leaves): it is append-only$',
  format('%s: %s', role, statement))
from unnest(array['postgres', 'supabase_admin']) as role
cross join unnest(array[
  'update public.audit_seals set leaf_count = leaf_count + 1',
  'delete from public.audit_seals where id = 3', 'truncate public.audit_seals cascade',
  'update private.audit_seal_leaves set position = position + 1',
  'delete from private.audit_seal_leaves where seal_id = 3', 'truncate private.audit_seal_leaves'
]) as statement;
set local session_replication_role = replica;
select matches(pg_temp.attempt_as('postgres', 'delete from private.audit_seal_leaves'),
  'append-only', 'nor when triggers sleep');
set local session_replication_role = origin;

-- Checking ---------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, 'select v from public.verify_audit() as v'), outcome,
  format('verify_audit: %s', actor))
from (values
  ('ada', '(t,138,,,)'),
  ('ada@aal1', 'PT403 forbidden'),
  ('doc', 'PT403 forbidden'),
  ('pia', 'PT403 forbidden'),
  ('anon', '42501 grant'),
  ('service_role', '42501 grant')
) as m (actor, outcome);
select is(
  tests.attempt('ada', 'select v from public.verify_audit(now() + interval ''1 hour'') as v'),
  '(t,0,,,)', 'verify_audit keeps to the interval');
select tests.act_as('ada');
select is((select ok from public.verify_audit()), true, 'it says so');
select tests.act_as_owner();
select is(
  (
    select concat_ws(' ', actor_id = tests.id('ada'), action, new_values ->> 'checked')
    from public.audit_events where id = (select max(id) from public.audit_events)
  ),
  't verify_audit 138', 'that somebody checked is an event, too'
);

-- Slipped in: as if it had been there when the first seals were made.
savepoint sound;
select pg_temp.write('pia', 1);
select results_eq(
  $$
    select ok, first_bad_id = (select max(id) from public.audit_events), reason
    from private.check_audit()
  $$,
  $$ values (false, true, 'the event is older than a seal that it should have been in') $$,
  'an event that a seal ought to have is found'
);
select is(pg_temp.seal(), '0 seals, 0 events', 'and no seal is made of it');
rollback to savepoint sound;
insert into public.audit_events (actor_role, action, resource_type, transaction_id)
values ('doctor', 'update', 'medical_record', '4000000000000');
select results_eq(
  'select ok, reason from private.check_audit()',
  $$ values (false, 'the event is of a transaction that has not been') $$,
  'an event of a transaction to come is found'
);
rollback to savepoint sound;
select is((select ok from private.check_audit()), true, 'without any of these all is well');

-- Proofs -----------------------------------------------------------------------------------------

select pg_temp.write('pia', 1, pg_current_xact_id());
create temp table sought as
  select
    (select min(id) from public.audit_events
      where transaction_id = '5' and patient_id = tests.id('pia'))
      as of_pia,
    (select max(id) from public.audit_events where patient_id = tests.id('pia')) as not_sealed;
grant select on sought to public;
select is(
  tests.attempt(actor, $$ select position || ' of ' || tree_size || ' in ' || seal_id
    from public.audit_proof((select of_pia from sought)) $$, standing), outcome,
  format('audit_proof of an event about pia: %s, %s', actor, standing))
from (values
  ('pia', 'live', '0 of 64 in 1'),
  ('ada', 'live', '0 of 64 in 1'),
  ('ada@aal1', 'live', 'PT404 not_found'),
  ('omar', 'live', 'PT404 not_found'),
  ('doc', 'live', 'PT404 not_found'),
  ('pia', 'signed out', 'PT401 unauthenticated'),
  ('pia', 'locked', 'PT401 unauthenticated'),
  ('anon', 'live', '42501 grant'),
  ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(
  tests.attempt('pia', format('select event_id from public.audit_proof(%s)', argument)), outcome,
  format('audit_proof(%s)', argument))
from (values
  ('(select not_sealed from sought)', 'PT409 not_sealed'),
  ('-1', 'PT404 not_found'),
  ('null', 'PT404 not_found'),
  ('9223372036854775807', 'PT404 not_found')
) as v (argument, outcome);
select tests.act_as('pia');
create temp table proof as select * from public.audit_proof((select of_pia from sought));
select tests.act_as_owner();
select is(
  (
    select encode(sha256(convert_to(p.seal_canonical, 'UTF8')), 'hex') = p.hash
      and (p.seal_canonical::jsonb ->> 5) = p.merkle_root and cardinality(p.path) = 6
      and encode(s.hash, 'hex') = p.hash and p.previous_hash is null
    from proof as p join public.audit_seals as s on s.id = p.seal_id
  ),
  true, 'a proof comes with the seal, which can be computed anew'
);
create function pg_temp.climb(p_proof proof) returns text language plpgsql as $$
declare
  v_hash bytea := decode(p_proof.leaf_hash, 'hex');
  v_node text;
  v_at integer := p_proof.position;
begin
  foreach v_node in array p_proof.path loop -- of a whole tree: each level has a node beside it
    v_hash := sha256('\x01'::bytea || case v_at % 2 when 0 then v_hash || decode(v_node, 'hex')
      else decode(v_node, 'hex') || v_hash end);
    v_at := v_at / 2;
  end loop;
  return encode(v_hash, 'hex');
end
$$;
select is(pg_temp.climb(p), p.merkle_root, 'its path leads from the leaf to the root')
from proof as p;

-- Search -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, 'select count(*) from public.audit_search()', standing), outcome,
  format('audit_search: %s, %s', actor, standing))
from (values
  ('ada', 'live', '20'),
  ('ada@aal1', 'live', 'PT403 forbidden'),
  ('ada', 'signed out', 'PT401 unauthenticated'),
  ('ada', 'locked', 'PT401 unauthenticated'),
  ('doc', 'live', 'PT403 forbidden'),
  ('pia', 'live', 'PT403 forbidden'),
  ('anon', 'live', '42501 grant'),
  ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt('ada', format('select count(*) from public.audit_search(%s)', arguments)),
  'PT400 invalid_request', format('audit_search(%s)', arguments))
from unnest(array['p_limit => 0', 'p_limit => 101', 'p_limit => null', 'p_cursor => ''x''',
  'p_cursor => ''WyJ4Il0=''']) as arguments;
select is(
  (
    select array_agg(name order by name) from pg_proc as p
    cross join unnest(p.proargnames, p.proargmodes) as a (name, mode)
    where p.oid = 'public.audit_search'::regproc and mode = 't'
      and name ~ 'values|agent|address'
  ),
  null, 'it shows no values, and no addresses of people'
);

create temp table marked as
  select a.id, a.resource_id from public.audit_events as a where false;
insert into public.audit_events (actor_id, actor_role, action, resource_type, resource_id,
  patient_id, request_id, occurred_at)
select tests.id(actor), 'doctor', action, resource, tests.id(resource), tests.id(patient), request,
  at::timestamptz
from (values
  ('doc', 'look_one', 'thing', 'pia', 'req-1', '2026-01-01'),
  ('doc', 'look_one', 'other', 'pia', 'req-2', '2026-02-01'),
  ('ada', 'look_two', 'thing', 'omar', 'req-2', '2026-03-01')
) as v (actor, action, resource, patient, request, at);
select is(
  tests.attempt('ada', format(
    $$ select string_agg(action || ' ' || resource_type || ' ' || request_id, ', ' order by id)
      from public.audit_search(%s) where action like 'look\_%%' $$, arguments)),
  outcome, format('audit_search(%s)', arguments))
from (values
  ('p_actor_id => tests.id(''doc'')', 'look_one thing req-1, look_one other req-2'),
  ('p_patient_id => tests.id(''omar'')', 'look_two thing req-2'),
  ('p_action => ''look_one''', 'look_one thing req-1, look_one other req-2'),
  ('p_resource_type => ''thing''', 'look_one thing req-1, look_two thing req-2'),
  ('p_resource_id => tests.id(''other'')', 'look_one other req-2'),
  ('p_request_id => ''req-2''', 'look_one other req-2, look_two thing req-2'),
  ('p_to => ''2026-02-01''', 'look_one thing req-1'),
  ('p_from => ''2026-02-01'', p_to => ''2026-04-01''',
    'look_one other req-2, look_two thing req-2'),
  ('p_action => ''look_one'', p_request_id => ''req-2''', 'look_one other req-2'),
  ('p_action => ''look_one'', p_patient_id => tests.id(''omar'')', 'nothing')
) as v (arguments, outcome);

create function pg_temp.pages(p_limit integer) returns bigint[] language plpgsql as $$
declare
  v_ids bigint[] := '{}';
  v_cursor text;
  v_row record;
begin
  perform tests.act_as('ada');
  for v_page in 1..60 loop
    v_row := null;
    for v_row in select f.id, f.cursor
      from public.audit_search(p_patient_id => tests.id('pia'), p_resource_type => 'medical_record',
        p_limit => p_limit, p_cursor => v_cursor) as f
    loop
      v_ids := v_ids || v_row.id;
    end loop;
    exit when v_row is null;
    v_cursor := v_row.cursor;
  end loop;
  perform tests.act_as_owner();
  return v_ids;
end
$$;
select pg_temp.write('pia', 20);
create temp table whole as
  select array_agg(id order by id desc) as ids from public.audit_events
  where patient_id = tests.id('pia') and resource_type = 'medical_record';
select is(pg_temp.pages(size), (select ids from whole),
  format('pages of %s lose no row, double none and keep the order', size))
from unnest(array[1, 2, 7, 23, 100]) as size;

select is(
  (
    select concat_ws(' ', actor_id = tests.id('ada'), patient_id = tests.id('pia'), new_values)
    from public.audit_events where action = 'search_audit' order by id desc limit 1
  ),
  format('t t {"limit": 100, "before_id": %s, "resource_type": "medical_record"}',
    (select ids[cardinality(ids)] from whole)),
  'every search is an event'
);
select is(
  tests.attempt('pia', $$ select summary from public.my_access_log(1) $$),
  'Searched the audit trail for what concerns you', 'which the patient can read'
);

select * from finish();
rollback;
