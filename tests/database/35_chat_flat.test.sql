-- What lists cost: the same for a long history as for a short one. Counted in blocks that the
-- statement touches, which no load of the machine changes.
begin;
select plan(11);

select tests.make_user(u) from unnest(array['ana', 'ben']) as u;
update public.profiles set is_public = true;
create temp table c (name text primary key, id uuid);
grant all on c to public;
select tests.act_as('ana');
insert into c select 'short', (public.start_conversation(array[tests.uid('ben')], 'group')).id;
insert into c select 'long', (public.start_conversation(array[tests.uid('ben')], 'group')).id;
select tests.act_as_owner();

-- A message each 10 minutes, as send_message leaves them, without telling anybody.
alter table public.messages disable trigger messages_written;
create function pg_temp.fill(p_name text, p_messages integer) returns void language sql as $$
  update public.conversation_participants set joined_at = now() - interval '1 year' where conversation_id = (select id from c where name = p_name);
  insert into public.messages (conversation_id, seq, sender_id, client_id, content, created_at)
  select c.id, n, tests.id('ben'), c.name || n, 'Message ' || n, now() - (p_messages - n) * interval '1 second'
  from c, generate_series(1, p_messages) as n where c.name = p_name;
  update public.conversations as v set last_seq = m.seq, last_message_id = m.id, last_message_at = m.created_at
  from (select * from public.messages order by seq desc) as m
  where v.id = (select id from c where name = p_name) and m.conversation_id = v.id and m.seq = p_messages;
$$;
select pg_temp.fill('short', 10), pg_temp.fill('long', 10000);
alter table public.messages enable trigger messages_written;
analyze public.messages, public.conversations, public.conversation_participants;

create function pg_temp.blocks(p_statement text) returns integer language plpgsql as $$
declare
  v_plan json;
begin
  perform tests.act_as('ana');
  -- The first call plans; what counts is the second.
  execute p_statement;
  execute 'explain (analyze, buffers, format json, timing off) ' || p_statement into v_plan;
  perform tests.act_as_owner();
  return (v_plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::integer + (v_plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::integer;
end
$$;
create function pg_temp.page(p_name text, p_from bigint default null) returns integer language sql as $$
  select pg_temp.blocks(format(
    'select count(content) from public.list_messages(%L, 50, %L)', (select id from c where name = p_name),
    (select private.make_cursor(jsonb_build_array(m.created_at, m.seq)) from public.messages as m
      where m.conversation_id = (select id from c where name = p_name) and m.seq = p_from)
  ))
$$;

select is(tests.attempt('ana', 'select unread_count from public.list_conversations()'), '10, 10000', 'all of them are unread');
-- The list of one, then of the other: each left alone for the moment.
create function pg_temp.list_of(p_name text) returns integer language plpgsql as $$
declare
  v_blocks integer;
begin
  update public.conversation_participants set left_at = now(), left_seq = 0
  where conversation_id = (select id from c where name <> p_name);
  v_blocks := pg_temp.blocks('select count(last_message) from public.list_conversations()');
  update public.conversation_participants set left_at = null, left_seq = null
  where conversation_id = (select id from c where name <> p_name);
  return v_blocks;
end
$$;
create temp table cost (what text primary key, blocks integer);
insert into cost select 'list short', pg_temp.list_of('short');
insert into cost select 'list long', pg_temp.list_of('long');
insert into cost select 'page short', pg_temp.page('short');
insert into cost select 'page long', pg_temp.page('long');
insert into cost select 'page deep', pg_temp.page('long', 60);
create function pg_temp.cost(p_what text) returns integer language sql as $$ select blocks from cost where what = p_what $$;

select cmp_ok(pg_temp.cost('list long'), '<=', pg_temp.cost('list short') + 10, 'the list costs as much with 10,000 messages as with 10');
select cmp_ok(pg_temp.cost('list long'), '>', 0, 'which is counted');
select cmp_ok(pg_temp.cost('page long'), '<=', pg_temp.cost('page short') + 60, 'the first page, too, but for its 40 rows');
select cmp_ok(pg_temp.cost('page deep'), '<=', pg_temp.cost('page long') + 30, 'a page deep in the history as much as the first');

-- A gap between two stretches is not walked.
update public.conversation_participants set left_at = now() - interval '9999 seconds' + interval '100 seconds', left_seq = 100
where user_id = tests.uid('ana') and conversation_id = (select id from c where name = 'long');
insert into public.conversation_participants (conversation_id, user_id, joined_at, joined_seq, last_read_seq)
select id, tests.uid('ana'), now() - interval '20 seconds', 9980, 9980 from c where name = 'long';
select is(tests.attempt('ana', format('select array_agg(seq order by seq desc) from public.list_messages(%L, 22)', (select id from c where name = 'long'))),
  (select (array_agg(n order by n desc))::text from (select generate_series(9981, 10000) as n union all select generate_series(99, 100)) as s),
  'a page goes on across it');
insert into cost select 'page gap', pg_temp.page('long');
select cmp_ok(pg_temp.cost('page gap'), '<=', pg_temp.cost('page long') + 60, 'and costs no more for it');

-- Whether a file may be read is asked of the one message that has it.
insert into storage.buckets (id, name) values ('chat-attachments', 'chat-attachments') on conflict do nothing;
create function pg_temp.path() returns text language sql as $$ select c.id || '/' || tests.id('file') from c where name = 'long' $$;
insert into storage.objects (bucket_id, name, owner_id) values ('chat-attachments', pg_temp.path(), tests.uid('ben'));
alter table public.messages disable trigger messages_written;
update public.messages set kind = 'image', metadata = jsonb_build_object('path', pg_temp.path(), 'mime', 'image/png', 'size', 1)
where seq = 9990 and conversation_id = (select id from c where name = 'long');
alter table public.messages enable trigger messages_written;
select is(tests.attempt('ana', 'select count(*) from storage.objects'), '1', 'ana may read the file of a message');
select cmp_ok(pg_temp.blocks(format('select name from storage.objects where name = %L', pg_temp.path())), '<=', 150,
  'which costs no look at the others');

-- One statement: nothing is asked once a conversation but what is looked up by a key.
select tests.act_as('ana');
select is((select count(*) from public.list_conversations()), 2::bigint, 'the list has both');
select tests.act_as_owner();
select unalike((select prosrc from pg_proc where oid = 'private.list_conversations(integer,timestamptz,uuid)'::regprocedure),
  '%count(%', 'and counts nothing');

select * from finish();
rollback;
