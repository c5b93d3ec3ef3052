-- Joining and leaving: who adds and removes whom, what each may read by the stretch they were there
-- for, and what ends when care ends. A group of ana (owner), ben and cid; a conversation about the
-- care of ana with doc and carer.
begin;
select plan(128);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid', 'dan', 'eve', 'bad']) as u;
select tests.make_user('carer', 'caregiver'), tests.make_user('clerk', 'caregiver');
select tests.make_user('doc', 'doctor'), tests.make_user('doc2', 'doctor'), tests.make_user('ada', 'admin');
select tests.make_care('ana', u) from unnest(array['doc', 'doc2', 'clerk']) as u;
select tests.make_care('ana', 'carer', p_scopes => '{messages, records}');
update public.profiles set is_public = true where id <> tests.uid('eve');
insert into public.blocks (blocker_id, blocked_id) values (tests.uid('bad'), tests.uid('ana'));
create temp table c (name text primary key, id uuid);
grant all on c to public;
create function pg_temp.c(p_name text) returns uuid language sql as $$ select id from c where name = p_name $$;
create function pg_temp.say(p_actor text, p_conversation text, p_content text) returns void language plpgsql as $$
begin
  perform tests.act_as(p_actor);
  perform public.send_message(pg_temp.c(p_conversation), p_content, p_content);
  perform tests.act_as_owner();
end
$$;
create function pg_temp.reads(p_actor text, p_name text, p_standing text default 'live') returns text language sql as $$
  select concat_ws(' | ',
    tests.attempt(p_actor, format('select content from public.list_messages(%L)', pg_temp.c(p_name)), p_standing),
    tests.attempt(p_actor, format('select content from public.messages where conversation_id = %L', pg_temp.c(p_name)), p_standing)
  )
$$;
create function pg_temp.who(p_name text) returns text language sql as $$
  select string_agg(concat_ws(' ', p.display_name, q.role), ', ' order by p.display_name collate "C")
  from public.conversation_participants as q join public.profiles as p on p.id = q.user_id
  where q.conversation_id = pg_temp.c(p_name) and q.left_at is null
$$;

select tests.act_as('ana');
insert into c select 'group', (public.start_conversation(array[tests.uid('ben'), tests.uid('cid')], 'group')).id;
insert into c select 'direct', (public.start_conversation(array[tests.uid('ben')])).id;
insert into c select 'care', (public.start_conversation(array[tests.uid('doc'), tests.uid('carer')], 'care')).id;
select tests.act_as_owner();

update public.conversation_participants set joined_at = joined_at + interval '1 minute' where conversation_id = pg_temp.c('group');
select is(tests.attempt('ana', format('select public.remove_participant(%L, %L)', pg_temp.c('group'), tests.id('ben'))), 'done',
  'a clock that was set back keeps nobody in');
update public.conversation_participants set joined_at = joined_at - interval '1 minute' where conversation_id = pg_temp.c('group');

-- Adding -----------------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(tests.attempt(actor, format('select public.add_participant(%L, %L, %L)', pg_temp.c(conversation), tests.id(person), role), standing),
  outcome, format('%s adds %s as %s to %s, %s', actor, person, role, conversation, standing))
from (values
  ('ana', 'group', 'dan', 'member', 'live', 'done'), ('ana', 'group', 'dan', 'admin', 'live', 'done'),
  ('ana', 'group', 'dan', 'owner', 'live', 'PT400 invalid_request'), ('ana', 'group', 'dan', null, 'live', 'PT400 invalid_request'),
  ('ana', 'group', 'ben', 'member', 'live', 'PT409 already_participant'),
  ('ana', 'group', 'ana', 'member', 'live', 'PT409 already_participant'),
  ('ana', 'group', 'eve', 'member', 'live', 'PT404 not_found'), ('ana', 'group', 'bad', 'member', 'live', 'PT404 not_found'),
  ('ana', 'group', 'nobody', 'member', 'live', 'PT404 not_found'),
  ('ben', 'group', 'dan', 'member', 'live', 'PT403 forbidden'), ('ben', 'group', 'nobody', 'member', 'live', 'PT403 forbidden'),
  ('dan', 'group', 'dan', 'member', 'live', 'PT404 not_found'), ('anon', 'group', 'dan', 'member', 'live', '42501 grant'),
  ('ana', 'group', 'dan', 'member', 'signed out', 'PT401 unauthenticated'),
  ('ana', 'direct', 'dan', 'member', 'live', 'PT403 forbidden'),
  ('ana', 'care', 'doc2', 'member', 'live', 'done'), ('ana', 'care', 'doc2', 'admin', 'live', 'PT403 forbidden'),
  ('ana', 'care', 'clerk', 'member', 'live', 'PT404 not_found'), ('ana', 'care', 'dan', 'member', 'live', 'PT404 not_found'),
  ('doc', 'care', 'doc2', 'member', 'live', 'PT403 forbidden'), ('doc@aal1', 'care', 'doc2', 'member', 'live', 'PT404 not_found'),
  ('doc2', 'care', 'doc2', 'member', 'live', 'PT404 not_found')
) as t (actor, conversation, person, role, standing, outcome);

-- Removing and leaving ---------------------------------------------------------------------------

select is(tests.attempt(actor, format('select public.remove_participant(%L, %L)', pg_temp.c(conversation), tests.id(person)), standing),
  outcome, format('%s removes %s from %s, %s', actor, person, conversation, standing))
from (values
  ('ana', 'group', 'ben', 'live', 'done'), ('ana', 'group', 'ana', 'live', 'PT400 invalid_request'),
  ('ana', 'group', 'dan', 'live', 'PT404 not_found'), ('ben', 'group', 'cid', 'live', 'PT403 forbidden'),
  ('eve', 'group', 'cid', 'live', 'PT404 not_found'), ('anon', 'group', 'cid', 'live', '42501 grant'),
  ('ana', 'group', 'ben', 'signed out', 'PT401 unauthenticated'), ('ana', 'direct', 'ben', 'live', 'PT403 forbidden'),
  ('ana', 'care', 'doc', 'live', 'done'), ('doc', 'care', 'carer', 'live', 'PT403 forbidden')
) as t (actor, conversation, person, standing, outcome);
select is(tests.attempt(actor, format('select public.leave_conversation(%L)', pg_temp.c(conversation)), standing),
  outcome, format('%s leaves %s, %s', actor, conversation, standing))
from (values
  ('ben', 'group', 'live', 'done'), ('ana', 'group', 'live', 'done'), ('ben', 'direct', 'live', 'PT403 forbidden'),
  ('dan', 'group', 'live', 'PT404 not_found'), ('anon', 'group', 'live', '42501 grant'),
  ('ben', 'group', 'signed out', 'PT401 unauthenticated'), ('doc', 'care', 'live', 'done'), ('doc@aal1', 'care', 'live', 'PT404 not_found')
) as t (actor, conversation, standing, outcome);
select is(tests.attempt(actor, format('select public.conversation_topic(%L) = %L', pg_temp.c('group'), 'conversation:' || pg_temp.c('group')), standing),
  outcome, format('%s asks for the topic, %s', actor, standing))
from (values
  ('ben', 'live', 'true'), ('dan', 'live', 'PT404 not_found'), ('anon', 'live', '42501 grant'), ('ben', 'signed out', 'PT401 unauthenticated')
) as t (actor, standing, outcome);
select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- Stretches --------------------------------------------------------------------------------------

select pg_temp.say('ana', 'group', 'A');
select tests.act_as('ana');
select public.add_participant(pg_temp.c('group'), tests.uid('dan'), 'admin');
select tests.act_as_owner();
select is(pg_temp.reads('dan', 'group'), 'nothing | nothing', 'history starts at joining');
select is(tests.attempt('dan', 'select concat_ws(''/'', unread_count, last_message) from public.list_conversations()'), '0',
  'nothing is unread, and no last message shows');
select results_eq(
  $$ select topic, payload ->> 'user_id', payload ->> 'role' from realtime.messages where event = 'participant_added' $$,
  $$ select 'conversation:' || pg_temp.c('group') || ':1', tests.id('dan')::text, 'admin' $$, 'the others hear of it'
);
-- Realtime replays a topic to whoever may join it.
select is_empty(
  $$ select event from realtime.messages where topic = 'conversation:' || pg_temp.c('group') || ':1' and payload ? 'content' $$,
  'nothing that was said before is on the topic which he joins'
);
select results_eq(
  $$ select payload ->> 'topic' from realtime.messages where event = 'conversation_joined' and topic = 'user:' || tests.id('dan') $$,
  $$ select 'conversation:' || pg_temp.c('group') || ':1' $$, 'and that is the one he is told'
);
select tests.act_as('ana');
select public.edit_message((select id from public.messages where content = 'A'), 'A');
select tests.act_as_owner();
select results_eq(
  $$ select (payload ->> 'seq')::bigint, payload ? 'content', payload ? 'metadata' from realtime.messages where event = 'message_edited' $$,
  $$ values (1::bigint, false, false) $$, 'an edit does not tell him what was said before he came'
);
select pg_temp.say('cid', 'group', 'B');
select tests.act_as('cid');
select public.edit_message((select id from public.messages where content = 'B'), 'B');
select tests.act_as_owner();
select is((select payload ->> 'content' from realtime.messages where event = 'message_edited' and payload ->> 'seq' = '2'), 'B',
  'and tells him what was said after');
select is(pg_temp.reads('dan', 'group'), 'B | B', 'what is said from then on is read');
select is(pg_temp.reads('ben', 'group'), 'A, B | A, B', 'by who was there before, all');
-- dan, an admin, removes cid, and not ana; ben removes nobody.
select is(tests.attempt('dan', format('select public.remove_participant(%L, %L)', pg_temp.c('group'), tests.id('ana'))),
  'PT403 forbidden', 'an admin does not remove the owner');
select is(tests.attempt('dan', format('select public.add_participant(%L, %L, ''admin'')', pg_temp.c('group'), tests.id('clerk'))),
  'PT403 forbidden', 'nor make admins');
select is(tests.attempt('dan', format('select public.add_participant(%L, %L)', pg_temp.c('group'), tests.id('clerk'))),
  'done', 'yet adds members');
select tests.act_as('dan');
select lives_ok($$ select public.remove_participant(pg_temp.c('group'), tests.uid('cid')) $$, 'and removes one');
select tests.act_as_owner();
select pg_temp.say('ana', 'group', 'C');
select is(pg_temp.reads('cid', 'group'), 'A, B | A, B', 'who was removed keeps what was said till then, and reads nothing new');
select is(tests.attempt('cid', statement), outcome, 'cid, removed: ' || left(statement, 60))
from (values
  (format('select public.send_message(%L, ''X'', ''X'')', pg_temp.c('group')), 'PT404 not_found'),
  (format('select public.leave_conversation(%L)', pg_temp.c('group')), 'PT404 not_found'),
  (format('select public.conversation_topic(%L)', pg_temp.c('group')), 'PT404 not_found'),
  (format('select public.mute_conversation(%L, ''infinity'')', pg_temp.c('group')), 'PT404 not_found'),
  (format('select public.mark_conversation_read(%L, %s)', pg_temp.c('group'), (select id from public.messages where content = 'A')), 'PT404 not_found'),
  (format('select public.edit_message(%s, ''X'')', (select id from public.messages where content = 'B')), 'PT404 not_found'),
  (format('select (public.delete_message(%s)).content is null', (select id from public.messages where content = 'B')), 'true'),
  ('select kind from public.list_conversations()', 'nothing'),
  ('select kind from public.conversations', 'nothing'),
  ('select left_seq from public.conversation_participants', '2')
) as t (statement, outcome);
select results_eq(
  $$ select topic, payload ->> 'topic', (payload ->> 'seq')::bigint from realtime.messages where event = 'moved' order by 3 $$,
  $$ values ('conversation:' || pg_temp.c('group'), 'conversation:' || pg_temp.c('group') || ':1', 1::bigint),
    ('conversation:' || pg_temp.c('group') || ':1', 'conversation:' || pg_temp.c('group') || ':2', 2) $$,
  'the conversation has moved, which is told where it was'
);
select results_eq(
  $$ select event, topic from realtime.messages where event = 'participant_left' or payload ->> 'content' = 'C' order by 1 $$,
  $$ select e, 'conversation:' || pg_temp.c('group') || ':2' from unnest(array['message', 'participant_left']) as e $$,
  'and all that follows is told where it is'
);
select isnt_empty(
  $$ select 1 from realtime.messages where event = 'conversation_left' and topic = 'user:' || tests.id('cid') $$,
  'who goes is told so'
);
select results_eq(
  $$ select actor_id, new_values from public.audit_events where action = 'remove_participant' $$,
  $$ select tests.id('dan'), jsonb_build_object('participant_id', tests.id('cid')) $$, 'it is in the trail'
);
select is(tests.attempt('ana', 'select topic from public.list_conversations() where kind = ''group'''),
  'conversation:' || pg_temp.c('group') || ':2', 'the list tells the new topic');
select is(tests.attempt('ben', format('select public.conversation_topic(%L)', pg_temp.c('group'))),
  'conversation:' || pg_temp.c('group') || ':2', 'and so does asking');
select tests.act_as('ana');
select public.add_participant(pg_temp.c('group'), tests.uid('cid'));
select tests.act_as_owner();
select is_empty(
  $$ select 1 from realtime.messages where payload ->> 'content' = 'C' and topic = private.current_topic(pg_temp.c('group')) $$,
  'what was said in between is not on the topic that who comes back joins'
);
select pg_temp.say('ben', 'group', 'D');
select is(pg_temp.reads('cid', 'group'), 'A, B, D | A, B, D', 'who comes back reads both stretches, and nothing between');
select tests.act_as('cid');
select results_eq(
  $$ select content from public.list_messages(pg_temp.c('group')) $$, array['D', 'B', 'A'], 'in one list'
);
create temp table page as select * from public.list_messages(pg_temp.c('group'), 2);
select results_eq($$ select content from public.list_messages(pg_temp.c('group'), 2, (select cursor from page where content = 'B')) $$,
  array['A'], 'by page across the gap');
select tests.act_as_owner();
select is(tests.attempt('cid', $$ select unread_count from public.list_conversations() $$), '1', 'and only what is new is unread');

-- An owner goes: an admin before a member, and then who has been there longest.
select tests.act_as('ana');
select public.leave_conversation(pg_temp.c('group'));
select tests.act_as_owner();
select is(pg_temp.who('group'), 'Ben member, Cid member, Dan owner', 'a group passes to its admin');
select tests.act_as('dan');
select public.leave_conversation(pg_temp.c('group'));
select tests.act_as_owner();
select is(pg_temp.who('group'), 'Ben owner, Cid member', 'or to whoever has been there longest');
select tests.act_as('ben');
select public.leave_conversation(pg_temp.c('group'));
select tests.act_as('cid');
select public.leave_conversation(pg_temp.c('group'));
select tests.act_as_owner();
select is(pg_temp.who('group'), null, 'and is over with the last');
select is(pg_temp.reads('ana', 'group'), 'A, B, C, D | A, B, C, D', 'what was said stays readable');

-- Full.
select tests.act_as('ana');
insert into c select 'big', (public.start_conversation(array[tests.uid('ben')], 'group')).id;
select tests.act_as_owner();
do $$
begin
  perform tests.make_user('p' || n) from generate_series(1, 253) as n;
  insert into public.conversation_participants (conversation_id, user_id)
  select pg_temp.c('big'), tests.uid('p' || n) from generate_series(1, 253) as n;
end
$$;
select is(tests.attempt('ana', format('select public.add_participant(%L, %L)', pg_temp.c('big'), tests.id('dan'))), 'done', 'the 256th comes in');
insert into public.conversation_participants (conversation_id, user_id) values (pg_temp.c('big'), tests.uid('cid'));
select is(tests.attempt('ana', format('select public.add_participant(%L, %L)', pg_temp.c('big'), tests.id('dan'))), 'PT409 conversation_full', 'and no other');

-- Care -------------------------------------------------------------------------------------------

select pg_temp.say('doc', 'care', 'Dose');
select is(pg_temp.reads(actor, 'care', standing), outcome, format('about care reads %s, %s', actor, standing))
from (values
  ('ana', 'live', 'Dose | Dose'), ('doc', 'live', 'Dose | Dose'), ('carer', 'live', 'Dose | Dose'),
  ('doc@aal1', 'live', 'PT404 not_found | nothing'), ('doc2', 'live', 'PT404 not_found | nothing'),
  ('ada', 'live', 'PT404 not_found | nothing'), ('clerk', 'live', 'PT404 not_found | nothing'),
  ('doc', 'locked', 'PT401 unauthenticated | nothing'), ('doc', 'signed out', 'PT401 unauthenticated | nothing'),
  ('anon', 'live', '42501 grant | 42501 grant')
) as t (actor, standing, outcome);
select is(tests.attempt('doc@aal1', statement), outcome, 'without second factor: ' || statement)
from (values
  ('select kind from public.list_conversations()', 'nothing'), ('select kind from public.conversations', 'nothing'),
  ('select role from public.conversation_participants', 'nothing'), ('select content from public.messages', 'nothing')
) as t (statement, outcome);
select is(tests.attempt('ana', 'select patient_id = (select auth.uid()) from public.list_conversations() where kind = ''care'''), 'true', 'the list tells whose care');

-- What ends a member's part, each undone after. How many have left, what they read, the epoch.
create function pg_temp.after(p_actor text, p_change text, p_member text) returns text language plpgsql as $$
declare
  v_outcome text;
begin
  begin
    if p_actor is null then
      execute p_change;
    else
      perform tests.act_as(p_actor);
      execute p_change;
      perform tests.act_as_owner();
    end if;
    v_outcome := concat_ws(' / ', pg_temp.who('care'), pg_temp.reads(p_member, 'care'),
      (select epoch from public.conversations where id = pg_temp.c('care')));
    raise exception using errcode = 'UNDO0';
  exception when sqlstate 'UNDO0' then
    return v_outcome;
  end;
end
$$;
select is(pg_temp.after(actor, change, member), outcome, left(change, 70))
from (values
  ('ana', format('select public.end_care(%L)', tests.id('care of ana by doc')), 'doc',
    'Ana owner, Carer member / PT404 not_found | nothing / 1'),
  ('doc', format('select public.end_care(%L)', tests.id('care of ana by doc')), 'doc',
    'Ana owner, Carer member / PT404 not_found | nothing / 1'),
  ('ana', format('select public.set_care_scopes(%L, ''{records}'')', tests.id('care of ana by carer')), 'carer',
    'Ana owner, Doc member / PT404 not_found | nothing / 1'),
  ('ana', format('select public.set_care_scopes(%L, ''{messages}'')', tests.id('care of ana by carer')), 'carer',
    'Ana owner, Carer member, Doc member / Dose | Dose / 0'),
  ('ada', format('select public.verify_doctor(%L, false, ''Expired'')', tests.id('doc')), 'doc',
    'Ana owner, Carer member / PT404 not_found | nothing / 1'),
  ('ada', format('select public.set_account_active(%L, false, ''Abuse'')', tests.id('carer')), 'carer',
    'Ana owner, Carer member, Doc member / PT401 unauthenticated | nothing / 1'),
  ('doc', 'select public.close_account()', 'doc', 'Ana owner, Carer member / PT401 unauthenticated | nothing / 2'),
  ('ana', format('select public.leave_conversation(%L)', pg_temp.c('care')), 'doc', 'Dose | Dose / 3'),
  ('ana', format('select public.remove_participant(%L, %L)', pg_temp.c('care'), tests.id('doc')), 'doc',
    'Ana owner, Carer member / Dose | Dose / 1'),
  (null, format('update auth.users set banned_until = now() + interval ''1 hour'' where id = %L', tests.id('doc')), 'doc',
    'Ana owner, Carer member, Doc member / PT401 unauthenticated | nothing / 1'),
  (null, format('update auth.users set deleted_at = now() where id = %L', tests.id('carer')), 'carer',
    'Ana owner, Carer member, Doc member / PT401 unauthenticated | nothing / 1')
) as t (actor, change, member, outcome);

-- Care that runs out by time alone is noticed by no trigger: it shows nothing, and the next message
-- goes elsewhere.
update public.care_relationships set ends_at = now() + interval '1 hour' where id = tests.id('care of ana by doc');
alter table public.care_relationships disable trigger care_relationships_end_conversations;
update public.care_relationships set ends_at = now() where id = tests.id('care of ana by doc');
alter table public.care_relationships enable trigger care_relationships_end_conversations;
select is(pg_temp.who('care'), 'Ana owner, Carer member, Doc member', 'doc''s care is over, and nothing has happened');
select is(pg_temp.reads('doc', 'care'), 'PT404 not_found | nothing', 'yet they read nothing');
create function pg_temp.told(p_statement text) returns text language plpgsql as $$
declare
  v_topics text;
begin
  begin
    delete from realtime.messages;
    perform tests.act_as('ana');
    execute p_statement;
    perform tests.act_as_owner();
    select string_agg(concat_ws(' ', event, replace(topic, pg_temp.c('care')::text, 'care')), ', ' order by event, topic) into v_topics
    from realtime.messages where topic like 'conversation:%' and event <> 'moved';
    raise exception using errcode = 'UNDO0';
  exception when sqlstate 'UNDO0' then
    return v_topics;
  end;
end
$$;
alter table public.messages disable trigger messages_written;
update public.messages set sender_id = tests.uid('ana') where content = 'Dose';
alter table public.messages enable trigger messages_written;
select is(pg_temp.told(statement), events, 'nor hear they of ' || left(statement, 40))
from public.messages as m
cross join lateral (values
  (format('select public.mark_conversation_read(%L, %s)', pg_temp.c('care'), m.id), 'participant_left conversation:care:1, read conversation:care:1'),
  (format('select public.edit_message(%s, ''Less'')', m.id), 'message_edited conversation:care:1, participant_left conversation:care:1'),
  (format('select public.delete_message(%s)', m.id), 'message_deleted conversation:care:1, participant_left conversation:care:1')
) as t (statement, events)
where m.content = 'Dose';
select pg_temp.say('ana', 'care', 'After');
select is(pg_temp.who('care'), 'Ana owner, Carer member', 'with the next message they are out');
select is((select topic from realtime.messages where payload ->> 'content' = 'After'), 'conversation:' || pg_temp.c('care') || ':1',
  'and do not hear it');
-- What one was told about somebody's care is not taken along.
select tests.act_as('carer');
select public.leave_conversation(pg_temp.c('care'));
select tests.act_as_owner();
select is(pg_temp.reads('carer', 'care'), 'After, Dose | After, Dose', 'who leaves while in care reads what was said till then');
update public.care_relationships set status = 'ended', ends_at = now() where id = tests.id('care of ana by carer');
select is(pg_temp.reads('carer', 'care'), 'PT404 not_found | nothing', 'and nothing once the care has ended');

-- Accounts ---------------------------------------------------------------------------------------

select tests.act_as('ben');
select public.send_message(pg_temp.c('direct'), 'Bye', 'Bye');
select lives_ok('select public.close_account()', 'ben closes his account');
select tests.act_as_owner();
select is(pg_temp.reads('ana', 'direct'), 'Bye | Bye', 'what he said stays');
select results_eq($$ select sender_id from public.messages where content = 'Bye' $$, array[tests.id('ben')], 'under his id');
select is(tests.attempt('ana', format('select public.send_message(%L, ''Ben?'', ''1'')', pg_temp.c('direct'))), 'PT404 not_found', 'nobody writes to him');
select is((select epoch from public.conversations where id = pg_temp.c('direct')), 1, 'and he hears nothing');
-- An account that is erased takes its stretches along, and leaves what it said.
select tests.make_user('gone');
insert into public.conversation_participants (conversation_id, user_id) values (pg_temp.c('group'), tests.uid('gone'));
create temp table epoch as select epoch from public.conversations where id = pg_temp.c('group');
delete from auth.users where id = tests.uid('gone');
select is((select epoch from public.conversations where id = pg_temp.c('group')), (select epoch + 1 from epoch), 'an erased account hears nothing more');

select * from finish();
rollback;
