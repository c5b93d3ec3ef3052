-- Schema realtime as the platform gives it: its shape, what the product's triggers may call, and that a
-- message which nobody allowed is lost without a word. Pia is a patient; Omar another.
begin;
select plan(41);

select tests.make_user(u) from unnest(array['pia', 'omar']) as u;

-- Shape ------------------------------------------------------------------------------------------

select results_eq(
  $$
    select a.attname::text collate "C",
      concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
        pg_get_expr(d.adbin, d.adrelid)) collate "C"
    from pg_attribute as a
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = 'realtime.messages'::regclass and a.attnum > 0
    order by a.attnum
  $$,
  $$
    values ('topic' collate "C", 'text not null' collate "C"), ('extension', 'text not null'), ('payload', 'jsonb'),
      ('event', 'text'), ('private', 'boolean false'),
      ('updated_at', 'timestamp without time zone not null now()'),
      ('inserted_at', 'timestamp without time zone not null now()'),
      ('id', 'uuid not null gen_random_uuid()'), ('binary_payload', 'bytea')
  $$,
  'realtime.messages has the columns of hosted projects'
);
select col_is_pk('realtime', 'messages', array['id', 'inserted_at'], 'its key is the id and the time');
select table_owner_is('realtime', 'messages', 'supabase_realtime_admin', 'it belongs to Realtime');
select is(pg_get_partkeydef('realtime.messages'::regclass), 'RANGE (inserted_at)', 'it is parted by time');
select throws_ok(
  $$ insert into realtime.messages (topic, extension, payload, binary_payload)
     values ('room', 'broadcast', '{}', '\x00') $$,
  '23514', null, 'a message is JSON or bytes, not both'
);
select is(
  pg_get_indexdef('realtime.messages_inserted_at_topic_index'::regclass),
  'CREATE INDEX messages_inserted_at_topic_index ON ONLY realtime.messages USING btree '
    || '(inserted_at DESC, topic) WHERE ((extension = ''broadcast''::text) AND (private IS TRUE))',
  'messages that are sent again are found by time and topic'
);
select results_eq(
  $$
    select (select relrowsecurity from pg_class where oid = 'realtime.messages'::regclass),
      (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'realtime') collate "C"
  $$,
  $$ values (true, 'supabase_admin'::name collate "C") $$,
  'it has row level security, in a schema of the platform'
);
select results_eq(
  $$
    select r.role collate "C", p.privilege
    from unnest(array['anon', 'authenticated', 'service_role', 'records_worker']) as r (role)
    cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger', 'maintain'])
      as p (privilege)
    where has_table_privilege(r.role, 'realtime.messages', p.privilege)
    order by 1, 2
  $$,
  $$
    select role collate "C", privilege from unnest(array['anon', 'authenticated', 'service_role']) as role
    cross join unnest(array['insert', 'select', 'update']) as privilege order by 1, 2
  $$,
  'API roles may select, insert and update, as far as policies go'
);
select results_eq(
  $$
    select role collate "C" from unnest(array['anon', 'authenticated', 'service_role']) as role
    where has_schema_privilege(role, 'realtime', 'usage') and not has_schema_privilege(role, '_realtime', 'usage')
  $$,
  $$ values ('anon' collate "C"), ('authenticated'), ('service_role') $$,
  'they may use the schema, and not the one of the local Realtime'
);
select results_eq(
  $$ select prrelid::regclass::text from pg_publication_rel
     where prpubid = (select oid from pg_publication where pubname = 'supabase_realtime_messages_publication') $$,
  $$ values ('realtime.messages') $$,
  'the publication of messages is of this table alone'
);

select function_returns('realtime', 'topic', array[]::text[], 'text');
select results_eq(
  $$
    select format('%s(%s) %s %s', p.proname, pg_get_function_arguments(p.oid), l.lanname,
        case when p.prosecdef then 'definer' else 'invoker' end) collate "C",
      pg_get_function_result(p.oid), pg_get_userbyid(p.proowner) = 'supabase_realtime_admin',
      has_function_privilege('authenticated', p.oid, 'execute')
    from pg_proc as p join pg_language as l on l.oid = p.prolang
    where p.pronamespace = 'realtime'::regnamespace
    order by 1
  $$,
  $$
    values
      ('broadcast_changes(topic_name text, event_name text, operation text, table_name text, '
        'table_schema text, new record, old record, level text DEFAULT ''ROW''::text) plpgsql invoker'
        collate "C", 'void', true, true),
      ('send(payload jsonb, event text, topic text, private boolean DEFAULT true) plpgsql invoker',
        'void', true, true),
      ('send_binary(payload bytea, event text, topic text, private boolean DEFAULT true) plpgsql invoker',
        'void', true, true),
      ('topic() sql invoker', 'text', true, true)
  $$,
  'the functions have the signatures of hosted projects'
);

-- Partitions -------------------------------------------------------------------------------------

select results_eq(
  $$ select inhrelid::regclass::text collate "C" from pg_inherits
     where inhparent = 'realtime.messages'::regclass order by 1 $$,
  $$ select 'realtime.messages_' || to_char((now() at time zone 'UTC')::date + i, 'YYYY_MM_DD') collate "C"
     from generate_series(-1, 3) as i order by 1 $$,
  'there are partitions from yesterday to three days ahead'
);
select is_empty(
  $$
    select c.oid::regclass, role from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    cross join unnest(array['anon', 'authenticated', 'service_role']) as role
    where i.inhparent = 'realtime.messages'::regclass and (
      not c.relrowsecurity or pg_get_userbyid(c.relowner) <> 'supabase_realtime_admin'
      or has_any_column_privilege(role, c.oid, 'select, insert, update, references')
      or has_table_privilege(role, c.oid, 'delete, truncate, trigger, maintain')
    )
  $$,
  'no partition is open by its own name'
);

do $$
declare
  v_today date := (now() at time zone 'UTC')::date;
begin
  execute format('drop table realtime.%I', to_char(v_today + 3, '"messages_"YYYY_MM_DD'));
  for v_age in 2..5 loop
    execute format(
      'create table realtime.%I partition of realtime.messages for values from (%L) to (%L)',
      to_char(v_today - v_age, '"messages_"YYYY_MM_DD'), v_today - v_age, v_today - v_age + 1
    );
  end loop;
end
$$;
select lives_ok('select _realtime.roll_partitions()', 'partitions are rolled by the day');
select results_eq(
  $$ select inhrelid::regclass::text collate "C" from pg_inherits
     where inhparent = 'realtime.messages'::regclass order by 1 $$,
  $$ select 'realtime.messages_' || to_char((now() at time zone 'UTC')::date + i, 'YYYY_MM_DD') collate "C"
     from generate_series(-3, 3) as i order by 1 $$,
  'what is missing is made, and what is over for 72 hours is dropped'
);
select lives_ok('select _realtime.roll_partitions()', 'which may be repeated');

-- The topic --------------------------------------------------------------------------------------

select is(realtime.topic(), null, 'without a question there is no topic');
select set_config('realtime.topic', '', true);
select is(realtime.topic(), null, 'an empty topic is none');
select set_config('realtime.topic', 'room:1', true);
select is(realtime.topic(), 'room:1', 'the topic is the one that is asked about');

-- Sending ----------------------------------------------------------------------------------------

create temp view sent as
  select topic, event, payload, binary_payload, private, extension, id, inserted_at
  from realtime.messages;

select realtime.send('{"text": "hello"}', 'said', 'room:2');
select is(realtime.topic(), 'room:2', 'sending sets the topic for the rest of the transaction');
select results_eq(
  $$ select topic, event, payload - 'id', private, extension, payload ->> 'id' = id::text, inserted_at = now()::timestamp
     from sent where topic = 'room:2' $$,
  $$ values ('room:2', 'said', '{"text": "hello"}'::jsonb, true, 'broadcast', true, true) $$,
  'a message is private unless said otherwise, and its payload has its id'
);
select realtime.send('{"id": "mine"}', 'said', 'room:3', false);
select results_eq(
  $$ select payload, private, id::text <> 'mine' from sent where topic = 'room:3' $$,
  $$ values ('{"id": "mine"}'::jsonb, false, true) $$,
  'an id of the payload stays'
);
select realtime.send_binary('\x0102', 'bytes', 'room:4');
select results_eq(
  $$ select event, payload, binary_payload, private, extension from sent where topic = 'room:4' $$,
  $$ values ('bytes', null::jsonb, '\x0102'::bytea, true, 'broadcast') $$,
  'bytes are sent as they are'
);
savepoint before_it;
select realtime.send('{}', 'said', 'room:5');
select isnt_empty($$ select 1 from sent where topic = 'room:5' $$, 'a message is there');
rollback to before_it;
select is_empty($$ select 1 from sent where topic = 'room:5' $$, 'and goes with what it was sent in');

-- Losing -----------------------------------------------------------------------------------------

select lives_ok($$ select realtime.send('[1]', 'said', 'room:6') $$, 'a payload that is no object fails nothing');
select lives_ok($$ select realtime.send(null, 'said', null) $$, 'nor does a topic that is null');
select is_empty($$ select 1 from sent where topic = 'room:6' or topic is null $$, 'both are lost');

select tests.act_as('pia');
select lives_ok($$ select realtime.send('{}', 'said', 'room:7') $$, 'a caller whom no policy lets send goes on');
select lives_ok($$ select realtime.send_binary('\x00', 'said', 'room:7') $$, 'with bytes, too');
select tests.act_as_owner();
select is_empty($$ select 1 from sent where topic = 'room:7' $$, 'and has sent nothing');

-- A policy that the role of migrations makes, as the product's do.
set local role postgres;
create policy rooms_insert_authenticated on realtime.messages
  for insert to authenticated
  with check (realtime.topic() = 'room of ' || (select auth.uid()) and extension = 'broadcast');
set local role none;
select tests.act_as('pia');
select realtime.send('{}', 'said', 'room of ' || tests.uid('pia'));
select realtime.send('{}', 'said', 'room of ' || tests.uid('omar'));
select is_empty('select 1 from realtime.messages', 'who may send need not be one who may read');
select throws_ok(
  format('select 1 from realtime.%I', to_char(now() at time zone 'UTC', '"messages_"YYYY_MM_DD')),
  '42501', null, 'nor may a part be read by its name'
);
select tests.act_as_owner();
select results_eq(
  $$ select topic from sent where topic like 'room of %' $$,
  $$ select 'room of ' || tests.uid('pia') $$,
  'a policy decides by topic who sends'
);

-- Changes of rows --------------------------------------------------------------------------------

create temp table things (id integer, name text);
create function pg_temp.tell() returns trigger language plpgsql as $$
begin
  perform realtime.broadcast_changes(
    'things', 'changed', coalesce(tg_argv[0], tg_op), tg_table_name, 'public', new, old, tg_level
  );
  return null;
end
$$;
create trigger tell after insert or update or delete on things for each row execute function pg_temp.tell();
insert into things values (1, 'a');
update things set name = 'b';
delete from things;
select results_eq(
  $$ select payload - 'id' from sent where topic = 'things' and private and event = 'changed'
     order by array_position(array['INSERT', 'UPDATE', 'DELETE'], payload ->> 'operation') $$,
  $$
    select jsonb_build_object('schema', 'public', 'table', 'things') || v::jsonb from (values
      ('{"operation": "INSERT", "record": {"id": 1, "name": "a"}, "old_record": null}'),
      ('{"operation": "UPDATE", "record": {"id": 1, "name": "b"}, "old_record": {"id": 1, "name": "a"}}'),
      ('{"operation": "DELETE", "record": null, "old_record": {"id": 1, "name": "b"}}')
    ) as t (v)
  $$,
  'a change is sent with the row before and after it'
);
create trigger tell_of_all after insert on things for each statement execute function pg_temp.tell();
select throws_ok(
  $$ insert into things values (2, 'c') $$,
  'P0001',
  'Failed to process the row: function can only be triggered for each row, not for each statement',
  'a trigger for statements is refused'
);
drop trigger tell_of_all on things;
create trigger tell_wrongly after insert on things for each row execute function pg_temp.tell('MERGE');
select throws_ok(
  $$ insert into things values (2, 'c') $$,
  'P0001',
  'Failed to process the row: Unexpected operation type: MERGE',
  'so is what is no change of a row'
);
select is_empty('select 1 from things', 'and the change itself does not happen');

-- The local feed ---------------------------------------------------------------------------------

select has_trigger('realtime', 'messages', 'announce_message', 'the local Realtime is told of messages');
select is(
  (select count(*) from pg_trigger where tgname = 'announce_message'),
  1 + (select count(*) from pg_inherits where inhparent = 'realtime.messages'::regclass),
  'by every partition'
);

select * from finish();
rollback;
