-- Private channels: who may join, write and be present where, asked as Realtime asks, with a row of
-- its own and the topic in a setting. Ana and ben talk directly; ana, cid and dan (who was removed) in
-- a group; ana, doc and carer about ana's care.
begin;
select plan(72);

select tests.make_user(u) from unnest(array['ana', 'ben', 'cid', 'dan', 'eve']) as u;
select tests.make_user('carer', 'caregiver'), tests.make_user('doc', 'doctor'), tests.make_user('ada', 'admin');
select tests.make_user('guest', p_anonymous => true);
select tests.make_care('ana', 'doc'), tests.make_care('ana', 'carer', p_scopes => '{messages}');
update public.profiles set is_public = true;
create temp table c (name text primary key, topic text);
grant all on c to public;
select tests.act_as('ana');
insert into c select 'direct', (public.start_conversation(array[tests.uid('ben')])).topic;
insert into c select 'group, before', (public.start_conversation(array[tests.uid('cid'), tests.uid('dan')], 'group')).topic;
insert into c select 'care', (public.start_conversation(array[tests.uid('doc'), tests.uid('carer')], 'care')).topic;
select public.remove_participant(split_part(topic, ':', 2)::uuid, tests.uid('dan')) from c where name = 'group, before';
select tests.act_as_owner();
insert into c select 'group', topic || ':1' from c where name = 'group, before';
insert into c select 'group, after', topic || ':2' from c where name = 'group, before';
insert into c select 'user:' || u, 'user:' || tests.id(u) from unnest(array['ana', 'ben']) as u;
insert into c values ('nothing', null), ('empty', ''), ('room', 'room'), ('half', 'conversation:'),
  ('no id', 'conversation:' || repeat('x', 36)), ('nobody', 'conversation:' || gen_random_uuid()),
  ('longer', (select topic || ':0' from c where name = 'direct')), ('upper', (select upper(topic) from c where name = 'direct')),
  ('all', 'user:%');

-- Answers r for what may be read, w for what may be written, of broadcast and presence.
create function pg_temp.may(p_actor text, p_topic text, p_standing text default 'live') returns text language plpgsql as $$
declare
  v_read text;
  v_written text := '';
  v_extension text;
begin
  begin
    insert into realtime.messages (topic, extension)
    select coalesce(p_topic, 'room'), e from unnest(array['broadcast', 'presence', 'postgres_changes']) as e;
    perform set_config('realtime.topic', coalesce(p_topic, ''), true);
    v_read := tests.attempt(p_actor, format(
      'select extension from realtime.messages where topic = %L and event is null', coalesce(p_topic, 'room')
    ), p_standing);
    foreach v_extension in array array['broadcast', 'presence', 'postgres_changes'] loop
      v_written := concat_ws(', ', nullif(v_written, ''), case tests.attempt(p_actor, format(
        'insert into realtime.messages (topic, extension) values (%L, %L)', coalesce(p_topic, 'room'), v_extension
      ), p_standing) when '1' then v_extension when '42501 policy' then null else 'otherwise' end);
    end loop;
    raise exception using errcode = 'UNDO0';
  exception when sqlstate 'UNDO0' then
    return format('%s | %s', v_read, coalesce(nullif(v_written, ''), 'nothing'));
  end;
end
$$;

select is(pg_temp.may(actor, (select topic from c where c.name = m.name)),
  case may when 'rw' then 'broadcast, presence | broadcast, presence' when 'rp' then 'broadcast, presence | presence' when 'r' then 'broadcast, presence | nothing' else 'nothing | nothing' end,
  format('%s at %s: %s', actor, name, may))
from (values
  ('ana', 'direct', 'rw'), ('ben', 'direct', 'rw'), ('cid', 'direct', '-'), ('eve', 'direct', '-'), ('guest', 'direct', '-'),
  ('ada', 'direct', '-'), ('anon', 'direct', '-'),
  ('ana', 'group', 'rw'), ('cid', 'group', 'rw'), ('dan', 'group', '-'), ('eve', 'group', '-'), ('anon', 'group', '-'),
  ('ana', 'group, before', '-'), ('dan', 'group, before', '-'), ('cid', 'group, after', '-'),
  ('ana', 'care', 'rp'), ('doc', 'care', 'rp'), ('carer', 'care', 'rp'), ('doc@aal1', 'care', '-'), ('ada', 'care', '-'),
  ('ana', 'user:ana', 'r'), ('ben', 'user:ana', '-'), ('guest', 'user:ana', '-'), ('anon', 'user:ana', '-'), ('ada', 'user:ana', '-'),
  ('ana', 'nothing', '-'), ('ana', 'empty', '-'), ('ana', 'room', '-'), ('ana', 'half', '-'), ('ana', 'no id', '-'),
  ('ana', 'nobody', '-'), ('ana', 'longer', '-'), ('ana', 'upper', '-'), ('ana', 'all', '-')
) as m (actor, name, may);
select is(pg_temp.may(actor, (select topic from c where c.name = m.name), standing), 'nothing | nothing',
  format('%s at %s, %s', actor, name, standing))
from (values ('ana', 'direct'), ('doc', 'care'), ('ana', 'user:ana')) as m (actor, name)
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

-- What ends a direct channel, for both and whatever the cause, so that no cause can be told.
create function pg_temp.after(p_actor text, p_change text) returns text language plpgsql as $$
declare
  v_outcome text;
begin
  begin
    execute p_change;
    v_outcome := concat_ws(' / ',
      pg_temp.may(p_actor, (select topic from c where name = 'direct')),
      pg_temp.may(p_actor, (select topic || ':1' from c where name = 'direct')),
      (select string_agg(concat_ws(' ', m.event, m.topic = c.topic), ', ') from realtime.messages as m, c
        where c.name = 'direct' and m.payload ->> 'topic' = c.topic || ':1')
    );
    raise exception using errcode = 'UNDO0';
  exception when sqlstate 'UNDO0' then
    return v_outcome;
  end;
end
$$;
select is(pg_temp.after(actor, change), 'nothing | nothing / nothing | nothing / moved t', format('%s: %s', actor, left(change, 60)))
from unnest(array[
  format('insert into public.blocks (blocker_id, blocked_id) values (%L, %L)', tests.id('ana'), tests.id('ben')),
  format('insert into public.blocks (blocker_id, blocked_id) values (%L, %L)', tests.id('ben'), tests.id('ana')),
  format('update public.profiles set is_active = false where id = %L', tests.id('ben'))
]) as change
cross join unnest(array['ana', 'ben']) as actor;
-- When it is over they go on, where they are now.
insert into public.blocks (blocker_id, blocked_id) values (tests.uid('ana'), tests.uid('ben'));
delete from public.blocks;
select is(pg_temp.may(actor, (select topic || ':1' from c where name = 'direct')), 'broadcast, presence | broadcast, presence',
  actor || ' after the block')
from unnest(array['ana', 'ben']) as actor;
-- A group is not a pair: a block changes nothing there.
insert into public.blocks (blocker_id, blocked_id) values (tests.uid('ana'), tests.uid('cid'));
select is(pg_temp.may('cid', (select topic from c where name = 'group')), 'broadcast, presence | broadcast, presence', 'a block and a group');

-- Policies ask nothing that the row of the question does not have.
select is_empty(
  $$
    select polname from pg_policy
    where polrelid = 'realtime.messages'::regclass
      and concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) ~ '\m(payload|event|private|binary_payload)\M(?!\.)'
  $$,
  'no policy tests payload, event or private'
);
-- What the database sends needs no right of whoever caused it, and nobody reads it by a query.
select is(tests.attempt('ana', $$ select count(*) from realtime.messages $$), '0', 'messages that were sent are not read back');
select is(tests.attempt(actor, call), '42501 grant', format('%s: %s', actor, call))
from unnest(array['ana', 'anon', 'service_role']) as actor
cross join unnest(array[
  $$ select private.broadcast(gen_random_uuid(), 'message', '{}') $$, $$ select private.tell_user(tests.id('ben'), 'x', '{}') $$,
  $$ select private.move_conversation(gen_random_uuid()) $$, $$ select private.move_conversations_of(tests.id('ana')) $$
]) as call;

select * from finish();
rollback;
