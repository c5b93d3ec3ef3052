-- Messages: writing each once, editing, deleting, reading, and the list. Ana and ben talk directly
-- and, with cid, in a group; eve is a stranger.
begin;
select plan(110);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid', 'eve']) as u;
update public.profiles set is_public = true;
create temp table c (name text primary key, id uuid);
create temp table m (name text primary key, id bigint, seq bigint, row public.chat_message);
grant all on c, m to public;
create function pg_temp.c(p_name text) returns uuid language sql as $$ select id from c where name = p_name $$;
create function pg_temp.m(p_name text) returns bigint language sql as $$ select id from m where name = p_name $$;
create function pg_temp.say(p_actor text, p_conversation text, p_content text, p_id text default null)
  returns void language plpgsql as $$
declare
  v_row public.chat_message;
begin
  perform tests.act_as(p_actor);
  v_row := public.send_message(pg_temp.c(p_conversation), p_content, coalesce(p_id, p_content));
  insert into m values (p_content, v_row.id, v_row.seq, v_row);
  perform tests.act_as_owner();
end
$$;
create function pg_temp.heard(p_event text) returns table (topic text, payload jsonb) language sql as $$
  select h.topic, h.payload from realtime.messages as h where h.event = p_event
  order by case when h.payload ->> 'id' ~ '^\d+$' then (h.payload ->> 'id')::bigint end
$$;

select tests.act_as('ana');
insert into c select 'direct', (public.start_conversation(array[tests.uid('ben')])).id;
insert into c select 'group', (public.start_conversation(array[tests.uid('ben'), tests.uid('cid')], 'group')).id;
select tests.act_as_owner();

-- Sending ----------------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(
  tests.attempt(actor, format(
    'select (public.send_message(%L, %L, %L, %L, %L, %L, %L)).content',
    (select id from c where name = 'direct'), content, client_id, kind, metadata, null, encrypted
  ), standing), outcome,
  format('%s sends %s %s %s %s %s, %s', actor, kind, left(content, 20), left(client_id, 9), metadata, encrypted, standing)
)
from (values
  ('ana', 'Hello', '1', 'text', '{}', false, 'live', 'Hello'),
  ('ana', 'Hello', '1', 'text', null, null, 'live', 'Hello'),
  ('ana', repeat('x', 8000), '1', 'text', '{}', false, 'live', repeat('x', 8000)),
  ('ana', repeat('x', 8001), '1', 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', '', '1', 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', E' \n', '1', 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', null, '1', 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', ' ', '1', 'text', '{}', true, 'live', ' '),
  ('ana', '', '1', 'text', '{}', true, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', '', 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', null, 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', repeat('x', 100), 'text', '{}', false, 'live', 'Hello'),
  ('ana', 'Hello', repeat('x', 101), 'text', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', '1', 'system', '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', '1', null, '{}', false, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', '1', 'text', '{"a": 1}', false, 'live', 'PT400 invalid_request'),
  ('ana', 'Hello', '1', 'image', '{}', false, 'live', 'PT400 invalid_request'),
  ('ben', 'Hello', '1', 'text', '{}', false, 'live', 'Hello'),
  ('cid', 'Hello', '1', 'text', '{}', false, 'live', 'PT404 not_found'),
  ('eve', 'Hello', '1', 'text', '{}', false, 'live', 'PT404 not_found'),
  ('anon', 'Hello', '1', 'text', '{}', false, 'live', '42501 grant'),
  ('service_role', 'Hello', '1', 'text', '{}', false, 'live', '42501 grant'),
  ('ana', 'Hello', '1', 'text', '{}', false, 'signed out', 'PT401 unauthenticated'),
  ('ana', 'Hello', '1', 'text', '{}', false, 'locked', 'PT401 unauthenticated')
) as t (actor, content, client_id, kind, metadata, encrypted, standing, outcome);
select is(tests.attempt('ana', format('select public.send_message(%L, ''Hello'', ''1'')', gen_random_uuid())),
  'PT404 not_found', 'to a conversation that is not there');
select is(tests.state(), (select state from before), 'no attempt has changed anything');

select pg_temp.say('ana', 'direct', 'One'), pg_temp.say('ben', 'direct', 'Two'), pg_temp.say('ana', 'direct', 'Three'),
  pg_temp.say('cid', 'group', 'Four');
select is((select array_agg(seq order by id) from m), array[1, 2, 3, 1]::bigint[], 'messages are numbered in each conversation');
select results_eq(
  'select id from m order by id', $$ select id from m order by ((row).created_at, id) $$, 'ids grow with time'
);
select results_eq(
  $$ select topic, payload from pg_temp.heard('message') $$,
  $$ select 'conversation:' || (row).conversation_id, to_jsonb(row) from m order by id $$,
  'each is heard on its topic, as the sender was answered'
);
select results_eq(
  $$ select p.display_name collate "C", c.name collate "C", count(*) from public.notifications as n
    join public.profiles as p on p.id = n.user_id join c on c.id::text = n.data ->> 'conversation_id'
    where n.kind = 'new_message' group by 1, 2 order by 1, 2 $$,
  $$ values ('Ana' collate "C", 'direct' collate "C", 1::bigint), ('Ana', 'group', 1), ('Ben', 'direct', 1),
    ('Ben', 'group', 1) $$,
  'the others are notified, once a conversation'
);
select is_empty(
  $$ select 1 from public.audit_events where new_values::text ~ 'One|Two|Three' or resource_type = 'message' $$,
  'what is said is not in the trail'
);

-- The same again ---------------------------------------------------------------------------------

select tests.act_as('ana');
select is(public.send_message(pg_temp.c('direct'), 'One', 'One'), (select row from m where name = 'One'),
  'sent again it is the same message');
select throws_ok(statement, 'PT409', 'client_id_reused', 'under its id not: ' || statement)
from unnest(array[
  $$ select public.send_message(pg_temp.c('direct'), 'Uno', 'One') $$,
  $$ select public.send_message(pg_temp.c('group'), 'One', 'One') $$,
  $$ select public.send_message(pg_temp.c('direct'), 'One', 'One', p_reply_to_id => pg_temp.m('Two')) $$,
  $$ select public.send_message(pg_temp.c('direct'), 'One', 'One', p_is_encrypted => true) $$
]) as statement;
select tests.act_as('ben');
select is((public.send_message(pg_temp.c('direct'), 'Too', 'One')).seq, 4::bigint, 'another''s ids are their own');
select tests.act_as_owner();
select is((select count(*) from public.messages), 5::bigint, 'there are as many as were meant');

-- Replies ----------------------------------------------------------------------------------------

select is(tests.attempt(actor, format('select (public.send_message(%L, ''Re'', ''r'', p_reply_to_id => %s)).reply_to_id = %2$s',
  (select id from c where name = conversation), target)), outcome, format('%s replies in %s to %s', actor, conversation, name))
from (values
  ('ana', 'direct', 'Two', 'true'), ('ana', 'direct', 'One', 'true'), ('ana', 'direct', 'Four', 'PT404 not_found'),
  ('cid', 'group', 'Two', 'PT404 not_found')
) as t (actor, conversation, name, outcome)
cross join lateral (select id from m where m.name = t.name) as x (target);
select is(tests.attempt('ana', format('select public.send_message(%L, ''Re'', ''r'', p_reply_to_id => -1)', pg_temp.c('direct'))),
  'PT404 not_found', 'to nothing');

-- Editing ----------------------------------------------------------------------------------------

select is(tests.attempt(actor, format('select (public.edit_message(%s, %L)).content', (select id from m where m.name = t.name), content), standing),
  outcome, format('%s edits %s to %s, %s', actor, name, left(content, 10), standing))
from (values
  ('ana', 'One', 'Uno', 'live', 'Uno'), ('ana', 'One', ' ', 'live', 'PT400 invalid_request'),
  ('ana', 'One', null, 'live', 'PT400 invalid_request'), ('ana', 'One', repeat('x', 8001), 'live', 'PT400 invalid_request'),
  ('ben', 'One', 'Uno', 'live', 'PT403 forbidden'), ('cid', 'One', 'Uno', 'live', 'PT404 not_found'),
  ('eve', 'One', 'Uno', 'live', 'PT404 not_found'), ('anon', 'One', 'Uno', 'live', '42501 grant'),
  ('ana', 'One', 'Uno', 'signed out', 'PT401 unauthenticated')
) as t (actor, name, content, standing, outcome);
select tests.act_as('ana');
select lives_ok($$ select public.edit_message(pg_temp.m('One'), 'Uno') $$, 'ana edits hers');
select tests.act_as_owner();
select results_eq(
  $$ select topic, payload ->> 'content', payload ->> 'edited_at' is not null, (payload ->> 'id')::bigint from pg_temp.heard('message_edited') $$,
  $$ select 'conversation:' || pg_temp.c('direct'), 'Uno', true, pg_temp.m('One') $$, 'and it is heard'
);
select tests.act_as('ana');
select is((public.send_message(pg_temp.c('direct'), 'One', 'One')).content, 'Uno', 'sent again it is the message as it is now');
select tests.act_as_owner();
create temp table old as select tests.attempt('ana', format($$
    select (public.edit_message(%s, 'Late')).content
  $$, (select pg_temp.m('Three')))) as at_once;
update public.conversation_participants set joined_at = joined_at - interval '1 hour';
update public.messages set created_at = now() - interval '15 minutes' + (seq - 3) * interval '1 second'
where conversation_id = pg_temp.c('direct') and seq <= 3;
select is((select at_once from old), 'Late', 'within 15 minutes a message can be edited');
select is(tests.attempt('ana', format($$ select public.edit_message(%s, 'Late') $$, (select pg_temp.m('Three')))),
  'PT409 edit_window_over', 'and after them not');

-- Deleting ---------------------------------------------------------------------------------------

select is(tests.attempt(actor, format('select (public.delete_message(%s)).content is null', (select id from m where m.name = 'Three')), standing),
  outcome, format('%s deletes Three, %s', actor, standing))
from (values
  ('ana', 'live', 'true'), ('ben', 'live', 'PT403 forbidden'), ('cid', 'live', 'PT404 not_found'),
  ('eve', 'live', 'PT404 not_found'), ('anon', 'live', '42501 grant'), ('ana', 'signed out', 'PT401 unauthenticated')
) as t (actor, standing, outcome);
select tests.act_as('ana');
select isnt((public.delete_message(pg_temp.m('Three'))).deleted_at, null, 'ana deletes hers, however old');
select isnt((public.delete_message(pg_temp.m('Three'))).deleted_at, null, 'and again');
select throws_ok($$ select public.edit_message(pg_temp.m('Three'), 'Three') $$, 'PT409', 'already_deleted', 'it is not edited any more');
select tests.act_as_owner();
select results_eq(
  $$ select payload -> 'content', payload -> 'metadata', (payload ->> 'id')::bigint from pg_temp.heard('message_deleted') $$,
  $$ select 'null'::jsonb, '{}'::jsonb, pg_temp.m('Three') $$, 'it is heard once, without what it said'
);
select results_eq(
  $$ select content, deleted_at is not null from public.messages where id = pg_temp.m('Three') $$,
  $$ values (null::text, true) $$, 'and is nowhere any more'
);

-- Reading up to somewhere ------------------------------------------------------------------------

select is(tests.attempt(actor, format('select public.mark_conversation_read(%L, %s)', pg_temp.c(conversation), (select id from m where m.name = t.name)),
  standing), outcome, format('%s reads %s up to %s, %s', actor, conversation, name, standing))
from (values
  ('ben', 'direct', 'One', 'live', 'done'), ('ben', 'direct', 'Four', 'live', 'PT404 not_found'),
  ('cid', 'direct', 'One', 'live', 'PT404 not_found'), ('eve', 'direct', 'One', 'live', 'PT404 not_found'),
  ('cid', 'group', 'One', 'live', 'PT404 not_found'), ('anon', 'direct', 'One', 'live', '42501 grant'),
  ('ben', 'direct', 'One', 'signed out', 'PT401 unauthenticated')
) as t (actor, conversation, name, standing, outcome);

create function pg_temp.unread(p_actor text, p_name text) returns text language sql as $$
  select tests.attempt(p_actor, format('select unread_count from public.list_conversations() where id = %L', pg_temp.c(p_name)))
$$;
select is(pg_temp.unread('ana', 'direct'), '1', 'what came after one''s own last word is unread');
select is(pg_temp.unread('ben', 'direct'), '0', 'whoever has written last has read all');
select is(pg_temp.unread('ana', 'group'), '1', 'in each conversation apart');
select tests.act_as('ana');
select lives_ok($$ select public.mark_conversation_read(pg_temp.c('group'), pg_temp.m('Four')) $$, 'ana reads');
select lives_ok($$ select public.mark_conversation_read(pg_temp.c('group'), pg_temp.m('Four')) $$, 'and again');
select tests.act_as_owner();
select is(pg_temp.unread('ana', 'group'), '0', 'nothing is unread');
select is(pg_temp.unread('ben', 'group'), '1', 'for her');
select results_eq(
  $$ select topic, (payload ->> 'message_id')::bigint, payload ->> 'user_id' from pg_temp.heard('read') $$,
  $$ select 'conversation:' || pg_temp.c('group'), pg_temp.m('Four'), tests.id('ana')::text $$, 'which is heard once'
);
select results_eq(
  $$ select data ->> 'conversation_id', read_at is not null from public.notifications where user_id = tests.id('ana') order by 2 $$,
  $$ values (pg_temp.c('direct')::text, false), (pg_temp.c('group')::text, true) $$, 'the notification of it is read, too'
);
select pg_temp.say('cid', 'group', 'Five'), pg_temp.say('cid', 'group', 'Six');
select tests.act_as('ana');
select public.mark_conversation_read(pg_temp.c('group'), pg_temp.m('Six')), public.mark_conversation_read(pg_temp.c('group'), pg_temp.m('Five'));
select tests.act_as_owner();
select is(pg_temp.unread('ana', 'group'), '0', 'reading never goes back');

-- Lists ------------------------------------------------------------------------------------------

select is(tests.attempt(actor, 'select concat_ws(''/'', kind, last_message ->> ''content'') from public.list_conversations()', standing),
  outcome, format('list_conversations of %s, %s', actor, standing))
from (values
  ('ana', 'live', 'direct/Too, group/Six'), ('cid', 'live', 'group/Six'), ('eve', 'live', 'nothing'),
  ('anon', 'live', '42501 grant'), ('ana', 'signed out', 'PT401 unauthenticated'), ('ana', 'locked', 'PT401 unauthenticated')
) as t (actor, standing, outcome);
select tests.act_as('ana');
select results_eq(
  $$ select kind, peer_id, role, topic, last_read_message_id from public.list_conversations() $$,
  $$ values ('group', null, 'owner', 'conversation:' || pg_temp.c('group'), pg_temp.m('Six')),
    ('direct', tests.id('ben'), 'member', 'conversation:' || pg_temp.c('direct'), null) $$,
  'the one with the newest message first'
);
create temp table page as select * from public.list_conversations(1);
select is((select kind from page), 'group', 'a page of one');
select results_eq($$ select kind from public.list_conversations(1, (select cursor from page)) $$, array['direct'], 'and the next');
select results_eq(
  $$ select content, seq from public.list_messages(pg_temp.c('direct')) $$,
  $$ values ('Too', 4::bigint), (null, 3), ('Two', 2), ('Uno', 1) $$, 'messages come newest first'
);
create temp table page2 as select * from public.list_messages(pg_temp.c('direct'), 2);
select results_eq($$ select content from public.list_messages(pg_temp.c('direct'), 2, (select min(cursor) from page2 where seq = 3)) $$,
  $$ values ('Two'), ('Uno') $$, 'by page');
select tests.act_as_owner();
select is(tests.attempt(actor, format('select seq from public.list_messages(%L)', pg_temp.c('direct')), standing), outcome,
  format('list_messages of %s, %s', actor, standing))
from (values
  ('ben', 'live', '1, 2, 3, 4'), ('cid', 'live', 'PT404 not_found'), ('eve', 'live', 'PT404 not_found'),
  ('anon', 'live', '42501 grant'), ('ben', 'signed out', 'PT401 unauthenticated'), ('ben', 'locked', 'PT401 unauthenticated')
) as t (actor, standing, outcome);

-- Muting -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, format('select public.mute_conversation(%L, ''infinity'')', pg_temp.c('group')), standing), outcome,
  format('mute_conversation by %s, %s', actor, standing))
from (values ('ben', 'live', 'done'), ('eve', 'live', 'PT404 not_found'), ('anon', 'live', '42501 grant'), ('ben', 'signed out', 'PT401 unauthenticated'))
  as t (actor, standing, outcome);
delete from public.notifications;
select tests.act_as('ben');
select public.mute_conversation(pg_temp.c('group'), 'infinity');
select tests.act_as_owner();
select pg_temp.say('cid', 'group', 'Seven');
select results_eq('select user_id from public.notifications', array[tests.id('ana')], 'who has muted it is not notified');
select is(tests.attempt('ben', 'select muted_until from public.list_conversations() where muted_until is not null'), 'infinity', 'and is told so');
select tests.act_as('ben');
select public.mute_conversation(pg_temp.c('group'), null);
select tests.act_as_owner();
select pg_temp.say('cid', 'group', 'Eight');
select is((select count(*) from public.notifications where user_id = tests.id('ben')), 1::bigint, 'until they unmute it');
select tests.act_as('ben');
select public.mute_conversation(pg_temp.c('group'), now() - interval '1 second');
select tests.act_as_owner();
delete from public.notifications;
select pg_temp.say('cid', 'group', 'Nine');
select is((select count(*) from public.notifications where user_id = tests.id('ben')), 1::bigint, 'or the time is over');

select * from finish();
rollback;
