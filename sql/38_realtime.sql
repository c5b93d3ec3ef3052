-- Realtime: who may join which private channel, and what the database sends on it.
-- Needs: 35_chat.sql. Policies: policies/38_realtime.sql, the one place of policies on
-- realtime.messages.
--
-- Topics: user:<account>, which that account alone hears and nobody writes to but the database; and
-- conversation:<id>, or conversation:<id>:<epoch> once somebody has left, been removed, or locked, or
-- has come later.
-- Who may join is asked once, when a client joins, and not again before its token changes. So whoever
-- is to hear no more is cut by going elsewhere: the epoch of the conversation is raised, the event
-- `moved` tells the new topic on the old one, and everything after that is sent on the new topic,
-- which only those who take part can join. Nor does joining ask since when somebody takes part, and a
-- topic is replayed to whoever joins it: what was sent before they came stays on the old one.

create function private.topic_of(p_conversation_id uuid, p_epoch integer)
  returns text
  language sql -- without settings of its own, so that it becomes part of the calling statement
  immutable
as $$
  select 'conversation:' || p_conversation_id::text
    || case when p_epoch > 0 then ':' || p_epoch::text else '' end
$$;
comment on function private.topic_of(uuid, integer) is
  'Topic of a conversation in an epoch: conversation:<id>, then conversation:<id>:<epoch>. For '
  'definer functions only.';

create function private.current_topic(p_conversation_id uuid)
  returns text
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  return (
    select private.topic_of(c.id, c.epoch)
    from public.conversations as c
    where c.id = p_conversation_id
  );
end;
$$;
comment on function private.current_topic(uuid) is
  'Topic on which a conversation is now. For definer functions only.';

-- Sending ----------------------------------------------------------------------------------------

create function private.broadcast(p_conversation_id uuid, p_event text, p_payload jsonb)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform realtime.send(p_payload, p_event, private.current_topic(p_conversation_id), true);
end;
$$;
comment on function private.broadcast(uuid, text, jsonb) is
  'Tells those who take part in a conversation something, when the transaction commits. For definer '
  'functions only, under a lock on the conversation, so that it does not move meanwhile.';

create function private.tell_user(p_user_id uuid, p_event text, p_payload jsonb)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform realtime.send(p_payload, p_event, 'user:' || p_user_id, true);
end;
$$;
comment on function private.tell_user(uuid, text, jsonb) is
  'Tells one account something on its own channel, when the transaction commits. For definer '
  'functions only.';

create function private.move_conversation(p_conversation_id uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_moved public.conversations;
begin
  update public.conversations as c set epoch = c.epoch + 1
  where c.id = p_conversation_id
  returning c.* into v_moved;
  perform realtime.send(
    jsonb_build_object(
      'conversation_id', v_moved.id,
      'topic', private.topic_of(v_moved.id, v_moved.epoch),
      'seq', v_moved.last_seq
    ),
    'moved', private.topic_of(v_moved.id, v_moved.epoch - 1), true
  );
end;
$$;
comment on function private.move_conversation(uuid) is
  'Sends a conversation to another topic and tells it on the old one: `moved`, with topic and the '
  'number of the newest message, after which whoever joins there lists what they have missed. For '
  'definer functions only.';

create function private.move_conversations_of(p_user_id uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_id uuid;
begin
  for v_id in
    select p.conversation_id
    from public.conversation_participants as p
    where p.user_id = p_user_id and p.left_at is null
    order by 1
  loop
    perform private.move_conversation(v_id);
  end loop;
end;
$$;
comment on function private.move_conversations_of(uuid) is
  'Moves every conversation in which somebody takes part. For definer functions only.';
revoke execute on function
  private.topic_of(uuid, integer), private.current_topic(uuid),
  private.broadcast(uuid, text, jsonb), private.tell_user(uuid, text, jsonb),
  private.move_conversation(uuid), private.move_conversations_of(uuid)
from public, anon, authenticated, service_role;

-- For the policies -------------------------------------------------------------------------------

create function private.topic_conversation()
  returns public.conversations
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_topic constant text := realtime.topic();
  v_claims constant jsonb := auth.jwt();
  v_conversation public.conversations;
begin
  -- Whatever a client names is asked here; most of it is no topic of ours.
  if v_topic ~ '^conversation:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[1-9][0-9]{0,8})?$' then
    select c.* into v_conversation
    from private.chat_seats(v_claims) as s
    join public.conversations as c on c.id = s.conversation_id
    where s.conversation_id = split_part(v_topic, ':', 2)::uuid
      and s.left_at is null
      and private.topic_of(c.id, c.epoch) = v_topic
      and (c.pair is null or private.pair_is_open(c.pair));
  end if;
  return v_conversation;
end;
$$;
comment on function private.topic_conversation() is
  'The conversation whose current topic Realtime asks about, if the caller takes part in it with a live '
  'session; a direct one only while the two can talk. Null otherwise. For definer functions only.';
revoke execute on function private.topic_conversation()
  from public, anon, authenticated, service_role;

create function private.topic_is_shared()
  returns boolean
  language plpgsql
  stable
  security definer -- must not depend on the policies of the tables it reads
  set search_path = ''
as $$
begin
  return (private.topic_conversation()).id is not null;
end;
$$;
comment on function private.topic_is_shared() is
  'Whether the topic that Realtime asks about is the current one of a conversation in which the caller '
  'takes part: there they may be present.';
revoke execute on function private.topic_is_shared() from public, anon, service_role;
grant execute on function private.topic_is_shared() to authenticated;

create function private.topic_takes_broadcasts()
  returns boolean
  language plpgsql
  stable
  security definer -- must not depend on the policies of the tables it reads
  set search_path = ''
as $$
declare
  v_conversation constant public.conversations := private.topic_conversation();
begin
  return v_conversation.id is not null and v_conversation.kind <> 'care';
end;
$$;
comment on function private.topic_takes_broadcasts() is
  'Whether the caller may send to the topic that Realtime asks about. Not in a conversation about '
  'care: what a client sends may claim to be any event of anybody, a doctor''s message too, as '
  'policies do not see the event.';
revoke execute on function private.topic_takes_broadcasts() from public, anon, service_role;
grant execute on function private.topic_takes_broadcasts() to authenticated;

create function private.topic_is_readable()
  returns boolean
  language plpgsql
  stable
  security definer -- auth.sessions and the lock of the account are not readable by the caller
  set search_path = ''
as $$
declare
  v_topic constant text := realtime.topic();
  v_claims constant jsonb := auth.jwt();
begin
  return exists (select from private.live_account(v_claims) as l where 'user:' || l.id = v_topic)
    or private.topic_is_shared();
end;
$$;
comment on function private.topic_is_readable() is
  'Whether the topic that Realtime asks about is the caller''s own, with a live session, or that of a '
  'conversation in which they take part.';
revoke execute on function private.topic_is_readable() from public, anon, service_role;
grant execute on function private.topic_is_readable() to authenticated;
