-- Blocks: one's own alone, and what they do. Ana and ben are public and talk directly; eve is not.
begin;
select plan(50);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid', 'eve']) as u;
select tests.make_user('guest', p_anonymous => true), tests.make_user('ada', 'admin');
update public.profiles set is_public = true where id <> tests.uid('eve');
create temp table c (id uuid);
grant all on c to public;
select tests.act_as('ana');
insert into c select (public.start_conversation(array[tests.uid('ben')])).id;
select tests.act_as_owner();
insert into public.blocks (blocker_id, blocked_id) values (tests.uid('ana'), tests.uid('cid')), (tests.uid('cid'), tests.uid('ben'));
create temp table before as select tests.state() as state;

select is(tests.attempt(actor, statement, standing), outcome, format('%s, %s: %s', actor, standing, left(statement, 70)))
from (values
  ('ana', 'live', 'Ana/Cid', '1', '1'), ('cid', 'live', 'Cid/Ben', '1', '1'), ('ben', 'live', 'nothing', '1', '0'),
  ('ada', 'live', 'nothing', '1', '0'), ('guest', 'live', 'nothing', '1', '0'),
  ('ana', 'signed out', 'nothing', '42501 policy', '0'), ('ana', 'locked', 'nothing', '42501 policy', '0'),
  ('anon', 'live', '42501 grant', '42501 grant', '42501 grant'), ('service_role', 'live', '42501 grant', '42501 grant', '42501 grant')
) as m (actor, standing, "select", "insert", "delete")
cross join lateral (values
  ($$ select concat_ws('/', n ->> blocker_id::text, n ->> blocked_id::text) from public.blocks, tests.names() as n $$, "select"),
  ($$ insert into public.blocks (blocked_id) values (tests.id('eve')) $$, "insert"),
  ($$ delete from public.blocks $$, "delete")
) as v (statement, outcome);
select is(tests.attempt('ana', statement), outcome, 'ana: ' || statement)
from (values
  ($$ insert into public.blocks (blocker_id, blocked_id) values (tests.id('ben'), tests.id('ana')) $$, '42501 policy'),
  ($$ insert into public.blocks (blocker_id, blocked_id) values (tests.id('ana'), tests.id('ben')) $$, '1'),
  ($$ update public.blocks set blocked_id = tests.id('ben') $$, '42501 grant'),
  ($$ insert into public.blocks (blocked_id) values (tests.id('ana')) $$, '23514'),
  ($$ insert into public.blocks (blocked_id) values (tests.id('cid')) $$, '23505'),
  -- Whether there is such an account is not told.
  ($$ insert into public.blocks (blocked_id) values (gen_random_uuid()) $$, '1')
) as t (statement, outcome);
select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- A block in a direct conversation is the absence of the other.
create function pg_temp.words(p_actor text) returns text language plpgsql as $$
declare
  v_words text;
begin
  perform tests.act_as(p_actor);
  perform public.send_message((select id from c), 'Hello', 'hello');
  perform tests.act_as_owner();
  return 'sent';
exception when sqlstate 'PT404' then
  get stacked diagnostics v_words = pg_exception_detail;
  perform tests.act_as_owner();
  return concat_ws('/', sqlstate, sqlerrm, v_words);
end
$$;
create temp table said (who text, content text);
select is(pg_temp.words('ben'), 'sent', 'before, ben writes');
update public.profiles set is_active = false where id = tests.uid('ana');
insert into said select 'absent', pg_temp.words('ben');
update public.profiles set is_active = true where id = tests.uid('ana');
select matches((select content from said), '^PT404/not_found/', 'to an absent account he cannot');
select tests.act_as('ana');
insert into public.blocks (blocked_id) values (tests.uid('ben'));
select tests.act_as_owner();
select is(pg_temp.words(u), (select content from said), 'a block is told to ' || u || ' as absence')
from unnest(array['ben', 'ana']) as u;
select is(tests.attempt('ben', format('select public.start_conversation(%L)', array[tests.id('ana')])), 'PT404 not_found', 'nor does ben start anew');
select is(tests.attempt('ben', format('select public.edit_message(%s, ''Psst'')', (select id from public.messages))), 'PT404 not_found', 'nor edit what he has said');
select is(tests.attempt('ben', format('select (public.delete_message(%s)).kind', (select id from public.messages))), 'text', 'he may take it back');
select is(tests.attempt('ben', $$ select display_name from public.public_profiles where id = tests.id('ana') $$), 'nothing', 'ana has no face for him');
select is(tests.attempt('ana', format('select content from public.list_messages(%L)', (select id from c))), 'Hello', 'what was said stays');
select is(tests.attempt('ana', format('select public.start_conversation(%L, ''group'')', array[tests.id('ben')])), 'PT404 not_found', 'nor does ana bring him into a group');
select is(tests.attempt('ben', format('select public.start_conversation(%L, ''group'')', array[tests.id('ana')])), 'PT404 not_found', 'nor he her');
-- A mark that moves would tell that there is somebody who reads.
select tests.attempt('ben', 'select last_read_seq, last_sent_seq from public.conversation_participants order by user_id') as marks into temp marks;
select tests.act_as('ana');
select lives_ok(format('select public.mark_conversation_read(%L, %s)', (select id from c), (select id from public.messages)), 'ana reads on');
select tests.act_as_owner();
select is(tests.attempt('ben', 'select last_read_seq, last_sent_seq from public.conversation_participants order by user_id'), (select marks from marks), 'and ben does not see it');
select is_empty($$ select 1 from public.notifications where user_id = tests.id('ana') and read_at is null $$, 'her bell is quiet');
select tests.act_as('ana');
delete from public.blocks where blocked_id = tests.uid('ben');
select tests.act_as_owner();
select is((select epoch from public.conversations), 2, 'the lock and the block have moved the conversation');
select is(pg_temp.words('ben'), 'sent', 'when it is over he writes again');

select * from finish();
rollback;
