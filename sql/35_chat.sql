-- Chat: conversations, who takes part in them and since when, and the topic of each. What is said is
-- in 36_chat_messages.sql, what goes over the socket in 38_realtime.sql.
-- Needs: 10_identity.sql, 15_audit.sql, 20_care.sql, 26_access.sql, 75_moderation.sql (blocks, looked
-- up when a function runs). Policies: policies/35_chat.sql.

create table public.conversations (
  id uuid primary key default gen_random_uuid(),
  kind text not null,
  title text,
  community_id uuid,
  patient_id uuid references public.patients (id) on delete restrict,
  pair uuid[],
  created_by uuid references public.profiles (id) on delete set null,
  last_message_id bigint,
  last_message_at timestamptz,
  last_seq bigint not null default 0,
  epoch integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint conversations_kind_check check (kind in ('direct', 'group', 'community', 'care')),
  constraint conversations_title_check check (
    title is null or title = btrim(title) and length(title) between 1 and 120 and kind <> 'direct'
  ),
  constraint conversations_community_check check ((kind = 'community') = (community_id is not null)),
  constraint conversations_patient_check check ((kind = 'care') = (patient_id is not null)),
  constraint conversations_pair_check check (
    (kind = 'direct') = (pair is not null)
    and cardinality(pair) = 2 and array_position(pair, null) is null and pair[1] < pair[2]
  ),
  constraint conversations_one_direct unique (pair),
  constraint conversations_last_message_check check (
    last_seq >= 0
    and num_nulls(last_message_id, last_message_at) = case when last_seq = 0 then 2 else 0 end
  ),
  constraint conversations_epoch_check check (epoch >= 0)
);
comment on table public.conversations is
  'One conversation: direct (two people, once a pair), group (up to 256), care (a patient and members '
  'of their care team), community (none yet). PHI if of care: who is treated by whom; so rows with '
  'patient_id are clinical.';
comment on column public.conversations.title is 'Name of a group or of a conversation of care.';
comment on column public.conversations.community_id is 'Set for the kind community only.';
comment on column public.conversations.patient_id is 'Whose care it is about; set for the kind care only.';
comment on column public.conversations.pair is
  'The two accounts of a direct conversation, the smaller id first; null for other kinds.';
comment on column public.conversations.last_seq is
  'Number of the newest message. Messages are counted under a lock on this row, so the number, the '
  'id and the order of commits agree, and unread is a difference of two numbers.';
comment on column public.conversations.epoch is
  'Which topic is the current one: conversation:<id> at first, conversation:<id>:<epoch> after. '
  'Raised whenever somebody is to hear no more, as a channel that is joined stays joined, and when '
  'somebody comes later, as a topic is replayed to whoever joins it.';

create index conversations_patient_id_idx on public.conversations (patient_id);
create index conversations_created_by_idx on public.conversations (created_by);

create trigger conversations_set_updated_at
  before update on public.conversations
  for each row execute function private.set_updated_at();

create table public.conversation_participants (
  id uuid primary key default gen_random_uuid(),
  conversation_id uuid not null references public.conversations (id) on delete restrict,
  user_id uuid not null references public.profiles (id) on delete cascade,
  patient_id uuid,
  role text not null default 'member',
  joined_at timestamptz not null default now(),
  joined_seq bigint not null default 0,
  left_at timestamptz,
  left_seq bigint,
  last_read_message_id bigint,
  last_read_seq bigint not null default 0,
  last_sent_seq bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint conversation_participants_role_check check (role in ('owner', 'admin', 'member')),
  constraint conversation_participants_stretch_check check (
    joined_seq >= 0
    and num_nulls(left_at, left_seq) in (0, 2)
    and left_at >= joined_at and left_seq >= joined_seq
  ),
  constraint conversation_participants_read_check
    check (last_read_seq >= joined_seq and last_sent_seq >= 0)
);
comment on table public.conversation_participants is
  'One stretch of one person in one conversation, from joining to leaving; who comes back has another. '
  'History is what was said within one''s stretches. PHI if of care.';
comment on column public.conversation_participants.patient_id is
  'As the conversation''s: whose care it is about; null for other kinds.';
comment on column public.conversation_participants.role is
  'owner and admin add and remove people in a group; a patient owns the conversations of their care.';
comment on column public.conversation_participants.joined_seq is
  'Number of the newest message at joining; history starts after it.';
comment on column public.conversation_participants.left_at is 'End of the stretch; null: takes part now.';
comment on column public.conversation_participants.left_seq is
  'Number of the newest message at leaving; the last that can be read.';
comment on column public.conversation_participants.last_read_message_id is
  'Newest message marked as read; null: none. Never goes back.';
comment on column public.conversation_participants.last_read_seq is 'Its number.';
comment on column public.conversation_participants.last_sent_seq is
  'Number of the newest message of one''s own: whoever writes has read what is above.';

-- Taking part twice at once is being there once.
create unique index conversation_participants_one_current
  on public.conversation_participants (conversation_id, user_id) where left_at is null;
create index conversation_participants_conversation_id_idx
  on public.conversation_participants (conversation_id, user_id, joined_seq);
create index conversation_participants_patient_id_idx
  on public.conversation_participants (patient_id);
create index conversation_participants_user_id_idx
  on public.conversation_participants (user_id, conversation_id);

create trigger conversation_participants_set_updated_at
  before update on public.conversation_participants
  for each row execute function private.set_updated_at();

create table private.conversation_mutes (
  conversation_id uuid not null references public.conversations (id) on delete cascade,
  user_id uuid not null references public.profiles (id) on delete cascade,
  muted_until timestamptz not null,

  primary key (user_id, conversation_id)
);
comment on table private.conversation_mutes is
  'Until when somebody wants no notifications of a conversation. Apart from the participants, whose '
  'rows the others read, so that nobody learns who has muted them; list_conversations tells one''s own. '
  'Personal data.';
comment on column private.conversation_mutes.muted_until is 'A time that has passed mutes nothing.';

create index conversation_mutes_conversation_id_idx
  on private.conversation_mutes (conversation_id);

-- Who takes part ---------------------------------------------------------------------------------

create function private.chat_patient_ids(p_member_id uuid)
  returns setof uuid
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select g.patient_id
  from private.care_grounds(p_member_id) as g
  where g.kind = 'doctor' or 'messages' = any (g.scopes)
$$;
comment on function private.chat_patient_ids(uuid) is
  'Patients with whom somebody may chat about their care: as a verified doctor in care, or as a '
  'caregiver with the scope messages. For definer functions only.';

create function private.chat_seats(p_claims jsonb)
  returns setof public.conversation_participants
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select p.*
  from private.live_account(p_claims) as l
  join public.conversation_participants as p on p.user_id = l.id
  where p.patient_id is null
    or exists (
      select
      from private.clinical_account(p_claims) as c
      where p.patient_id = c.id or p.patient_id in (select private.chat_patient_ids(c.id))
    )
$$;
comment on function private.chat_seats(jsonb) is
  'The stretches, past ones too, of the account of a token''s claims, while its session is live. Those '
  'of care only while the care is in force, as a patient or by chat_patient_ids, and with the second '
  'factor that clinical rows ask for. For definer functions only.';
revoke execute on function private.chat_patient_ids(uuid), private.chat_seats(jsonb)
  from public, anon, authenticated, service_role;

create function private.current_conversation_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- must not depend on the policies of the tables it reads
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select s.conversation_id from private.chat_seats(v_claims) as s where s.left_at is null;
end;
$$;
comment on function private.current_conversation_ids() is
  'Conversations in which the caller takes part now.';
revoke execute on function private.current_conversation_ids() from public, anon, service_role;
grant execute on function private.current_conversation_ids() to authenticated;

create function private.readable_conversation_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- must not depend on the policies of the tables it reads
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query select distinct s.conversation_id from private.chat_seats(v_claims) as s;
end;
$$;
comment on function private.readable_conversation_ids() is
  'Conversations of which the caller may read some stretch.';
revoke execute on function private.readable_conversation_ids() from public, anon, service_role;
grant execute on function private.readable_conversation_ids() to authenticated;

create function private.attachment_folders()
  returns setof text
  language sql
  stable
  set search_path = ''
as $$
  select c.id::text from private.current_conversation_ids() as c (id)
$$;
comment on function private.attachment_folders() is
  'Folders of the bucket chat-attachments to which the caller may upload: those of the conversations '
  'in which they take part.';
revoke execute on function private.attachment_folders() from public, anon, service_role;
grant execute on function private.attachment_folders() to authenticated;

create function private.require_seat(p_conversation_id uuid)
  returns public.conversation_participants
  language plpgsql
  stable
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_seat public.conversation_participants;
begin
  perform private.require_live_session();
  select s.* into v_seat
  from private.chat_seats(v_claims) as s
  where s.conversation_id = p_conversation_id and s.left_at is null;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No conversation with this id';
  end if;
  return v_seat;
end;
$$;
comment on function private.require_seat(uuid) is
  'The caller''s stretch in a conversation in which they take part. For definer functions only. '
  'Errors: PT401 unauthenticated, PT404 not_found.';

create function private.lock_conversation(p_conversation_id uuid)
  returns public.conversations
  language plpgsql
  set search_path = ''
as $$
declare
  v_conversation public.conversations;
begin
  -- Whoever writes, joins, leaves or moves does so after the others, in one order for all.
  select c.* into v_conversation
  from public.conversations as c
  where c.id = p_conversation_id
  for no key update;
  return v_conversation;
end;
$$;
comment on function private.lock_conversation(uuid) is
  'A conversation, locked until the transaction ends, as it is once the lock is there.';

create function private.conversation_clock(p_conversation public.conversations)
  returns timestamptz
  language plpgsql
  set search_path = ''
as $$
begin
  return greatest(clock_timestamp(), p_conversation.last_message_at, p_conversation.created_at);
end;
$$;
comment on function private.conversation_clock(public.conversations) is
  'Now, and never before the newest message, so that times in a conversation have the order of its '
  'numbers even when the clock is set back. To be called under the lock on the conversation.';

create function private.reachable_ids(p_user_ids uuid[])
  returns setof uuid
  language plpgsql -- names a table of a later domain, which is looked up when it runs
  stable
  set search_path = ''
as $$
declare
  v_caller constant uuid := auth.uid();
begin
  return query
    select v.id
    from private.visible_profiles as v
    where v.id = any (p_user_ids)
      and v.id <> v_caller
      and private.is_permanent(v.id)
      and not exists (
        select from public.blocks as b where b.blocker_id = v_caller and b.blocked_id = v.id
      );
end;
$$;
comment on function private.reachable_ids(uuid[]) is
  'Those of some accounts whom the caller may start to talk to: whose public face they see (which '
  'whoever has blocked them does not show), and whom they have not blocked. For definer functions '
  'only.';

create function private.pair_is_open(p_pair uuid[])
  returns boolean
  language plpgsql -- names a table of a later domain, which is looked up when it runs
  stable
  set search_path = ''
as $$
begin
  return (select count(*) = 2 from public.profiles as p where p.id = any (p_pair) and p.is_active)
    and not exists (
      select from public.blocks as b
      where b.blocker_id = any (p_pair) and b.blocked_id = any (p_pair)
    );
end;
$$;
comment on function private.pair_is_open(uuid[]) is
  'Whether two people can talk directly: neither account is closed or locked, and neither has '
  'blocked the other. One answer for all of it, so that no reason can be told from another. For '
  'definer functions only.';
revoke execute on function
  private.require_seat(uuid), private.lock_conversation(uuid),
  private.conversation_clock(public.conversations), private.reachable_ids(uuid[]),
  private.pair_is_open(uuid[])
from public, anon, authenticated, service_role;

-- Joining and leaving ----------------------------------------------------------------------------

create function private.follow_joining()
  returns trigger
  language plpgsql
  security definer -- tells on channels and in the trail, where nobody writes directly
  set search_path = ''
as $$
begin
  perform private.tell_user(
    new.user_id, 'conversation_joined', jsonb_build_object(
      'conversation_id', new.conversation_id,
      'topic', private.current_topic(new.conversation_id)
    )
  );
  perform private.write_audit(
    'add_participant', 'conversation', new.conversation_id, new.patient_id, null,
    jsonb_build_object('participant_id', new.user_id, 'role', new.role)
  );
  return null;
end;
$$;
comment on function private.follow_joining() is
  'Trigger: tells whoever joins a conversation, on their own channel, and logs it.';

create function private.follow_leaving()
  returns trigger
  language plpgsql
  security definer -- moves the conversation, tells on channels and in the trail
  set search_path = ''
as $$
begin
  perform private.move_conversation(old.conversation_id);
  perform private.broadcast(
    old.conversation_id, 'participant_left', jsonb_build_object(
      'conversation_id', old.conversation_id, 'user_id', old.user_id
    )
  );
  perform private.tell_user(
    old.user_id, 'conversation_left', jsonb_build_object('conversation_id', old.conversation_id)
  );
  perform private.write_audit(
    'remove_participant', 'conversation', old.conversation_id, old.patient_id, null,
    jsonb_build_object('participant_id', old.user_id)
  );
  return null;
end;
$$;
comment on function private.follow_leaving() is
  'Trigger: whoever stops taking part, for whatever cause, hears nothing more: the conversation moves '
  'to another topic in the same transaction. Tells those who stay and those who go, and logs it.';
revoke execute on function private.follow_joining(), private.follow_leaving()
  from public, anon, authenticated, service_role;

create trigger conversation_participants_joined
  after insert on public.conversation_participants
  for each row execute function private.follow_joining();
create trigger conversation_participants_left
  after update of left_at on public.conversation_participants
  for each row when (old.left_at is null and new.left_at is not null)
  execute function private.follow_leaving();
create trigger conversation_participants_gone
  after delete on public.conversation_participants
  for each row when (old.left_at is null)
  execute function private.follow_leaving();

create function private.end_participation(p_conversation_id uuid, p_user_id uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_conversation public.conversations := private.lock_conversation(p_conversation_id);
  v_left public.conversation_participants;
begin
  update public.conversation_participants as p set
    -- Not before joining, even when the clock was set back since: nobody is kept for that.
    left_at = greatest(private.conversation_clock(v_conversation), p.joined_at),
    left_seq = v_conversation.last_seq
  where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null
  returning p.* into v_left;
  if v_left.role = 'owner' then
    -- An admin before a member, and whoever has been there longest; with nobody left it is over.
    update public.conversation_participants as p set role = 'owner'
    where p.id = (
      select o.id
      from public.conversation_participants as o
      where o.conversation_id = p_conversation_id and o.left_at is null
        and v_conversation.kind = 'group'
      order by o.role, o.joined_at, o.id
      limit 1
    );
  end if;
end;
$$;
comment on function private.end_participation(uuid, uuid) is
  'Ends somebody''s stretch at the newest message, and passes a group on when its owner goes. For '
  'definer functions only.';

create function private.end_lapsed_care(p_conversation_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.end_participation(p.conversation_id, p.user_id)
  from public.conversation_participants as p
  where p.conversation_id = p_conversation_id
    and p.left_at is null
    and p.user_id <> p.patient_id
    and p.patient_id not in (select private.chat_patient_ids(p.user_id))
$$;
comment on function private.end_lapsed_care(uuid) is
  'Ends the stretches of those whose care has run out by time alone, which nothing else notices. For '
  'definer functions only.';

create function private.end_care_conversations(p_member_id uuid)
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
    where p.user_id = p_member_id
      and p.left_at is null
      and p.user_id <> p.patient_id
      and p.patient_id not in (select private.chat_patient_ids(p_member_id))
    order by 1
  loop
    perform private.end_participation(v_id, p_member_id);
  end loop;
end;
$$;
comment on function private.end_care_conversations(uuid) is
  'Ends the stretches of somebody in conversations about care in which they are no more. For definer '
  'functions only.';

create function private.settle_conversation(p_conversation_id uuid)
  returns public.conversations
  language plpgsql
  set search_path = ''
as $$
declare
  v_conversation public.conversations := private.lock_conversation(p_conversation_id);
begin
  if v_conversation.kind = 'care' then
    perform private.end_lapsed_care(p_conversation_id);
  end if;
  return v_conversation;
end;
$$;
comment on function private.settle_conversation(uuid) is
  'Locks a conversation in which something is about to be told, and sees to it that nobody hears it '
  'whose care is over. For definer functions only.';

create function private.enter_conversation(p_conversation_id uuid)
  returns public.conversations
  language plpgsql
  set search_path = ''
as $$
declare
  v_conversation public.conversations;
begin
  -- Asked before, so that nobody locks a conversation that is none of theirs; and after, since
  -- whoever held the lock may have removed the caller.
  perform private.require_seat(p_conversation_id);
  v_conversation := private.settle_conversation(p_conversation_id);
  perform private.require_seat(p_conversation_id);
  return v_conversation;
end;
$$;
comment on function private.enter_conversation(uuid) is
  'Locks a conversation in which the caller takes part, as settle_conversation. For definer functions '
  'only. Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function
  private.end_participation(uuid, uuid), private.end_lapsed_care(uuid),
  private.end_care_conversations(uuid), private.settle_conversation(uuid),
  private.enter_conversation(uuid)
from public, anon, authenticated, service_role;

create function private.follow_care()
  returns trigger
  language plpgsql
  security definer -- ends stretches, whoever changes the care
  set search_path = ''
as $$
begin
  perform private.end_care_conversations(old.member_id);
  return null;
end;
$$;
comment on function private.follow_care() is
  'Trigger: care that ends, or loses the scope messages, takes its member out of the conversations '
  'about it in the same transaction.';

create function private.follow_verification()
  returns trigger
  language plpgsql
  security definer -- ends stretches, whoever withdraws the verification
  set search_path = ''
as $$
begin
  perform private.end_care_conversations(old.id);
  return null;
end;
$$;
comment on function private.follow_verification() is
  'Trigger: who is no verified clinician any more leaves the conversations about care.';

create function private.follow_lock()
  returns trigger
  language plpgsql
  security definer -- moves conversations, whoever locks the account
  set search_path = ''
as $$
begin
  perform private.move_conversations_of(new.id);
  return null;
end;
$$;
comment on function private.follow_lock() is
  'Trigger: an account that is locked or closed hears nothing more; its stretches go on, for it may be '
  'unlocked.';
revoke execute on function
  private.follow_care(), private.follow_verification(), private.follow_lock()
from public, anon, authenticated, service_role;

create trigger care_relationships_end_conversations
  after update of status, ends_at, scopes on public.care_relationships
  for each row when (old.status = 'active')
  execute function private.follow_care();
create trigger doctors_end_conversations
  after update of verified_at on public.doctors
  for each row when (old.verified_at is not null and new.verified_at is null)
  execute function private.follow_verification();
create trigger profiles_move_conversations
  after update of is_active on public.profiles
  for each row when (old.is_active and not new.is_active)
  execute function private.follow_lock();

-- RPC --------------------------------------------------------------------------------------------

create type public.started_conversation as (
  id uuid,
  kind text,
  title text,
  topic text,
  created_at timestamptz
);
comment on type public.started_conversation is
  'Answer of start_conversation. topic: name of the private channel, until the event moved names '
  'another.';

create function private.care_patient(p_people uuid[])
  returns uuid
  language sql
  stable
  set search_path = ''
as $$
  select u.id
  from unnest(p_people) with ordinality as u (id, position)
  join public.patients as t on t.id = u.id
  where not exists (
    select from unnest(p_people) as m (id)
    where m.id <> u.id and u.id not in (select private.chat_patient_ids(m.id))
  )
  order by u.position
  limit 1
$$;
comment on function private.care_patient(uuid[]) is
  'The first of some people who is a patient and in whose care team all the others are; null for none.';
revoke execute on function private.care_patient(uuid[])
  from public, anon, authenticated, service_role;

create function private.start_conversation(p_participant_ids uuid[], p_kind text, p_title text)
  returns public.started_conversation
  language plpgsql
  security definer -- conversations is written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_permanent_account();
  v_others constant uuid[] := array(
    select distinct u from unnest(p_participant_ids) as u where u <> v_caller order by u
  );
  v_pair constant uuid[] := case
    when p_kind = 'direct' then array(select u from unnest(v_others || v_caller) as u order by u)
  end;
  v_title constant text := nullif(btrim(p_title), '');
  v_patient uuid;
  v_reachable bigint;
  v_new public.conversations;
begin
  if p_kind is null or p_kind not in ('direct', 'group', 'care') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot start a conversation as p_kind must be direct, group or care';
  end if;
  if array_position(p_participant_ids, null) is not null
    or cardinality(v_others) not between 1 and (case p_kind when 'direct' then 1 else 255 end)
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A conversation has one other participant if direct, else 1 to 255';
  end if;
  if length(v_title) > 120 or p_kind = 'direct' and v_title is not null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A title has at most 120 characters, and a direct conversation has none';
  end if;

  if p_kind = 'care' then
    -- The care that it stands on does not end between this check and the new rows.
    perform 1 from public.care_relationships as r
      where r.status = 'active'
        and r.patient_id = any (v_others || v_caller) and r.member_id = any (v_others || v_caller)
      order by r.id
      for share;
    v_patient := private.care_patient(v_caller || v_others);
  else
    select count(*) into v_reachable from private.reachable_ids(v_others);
  end if;
  if v_patient is null and v_reachable is distinct from cardinality(v_others) then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such account to talk to';
  end if;
  if p_kind = 'care' and private.clinical_caller() is null then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'A conversation about care needs multi-factor sign-in';
  end if;

  -- Of many at once for one pair the first makes it; the others wait for it here, and find it.
  insert into public.conversations (kind, title, patient_id, pair, created_by)
  values (p_kind, v_title, v_patient, v_pair, v_caller)
  on conflict (pair) do nothing
  returning * into v_new;
  if not found then
    select c.* into v_new from public.conversations as c where c.pair = v_pair;
  else
    insert into public.conversation_participants (conversation_id, user_id, patient_id, role)
    select
      v_new.id, u.id, v_patient,
      case
        when p_kind = 'direct' then 'member'
        when u.id = coalesce(v_patient, v_caller) then 'owner'
        else 'member'
      end
    from unnest(v_caller || v_others) as u (id);
  end if;
  return row(
    v_new.id, v_new.kind, v_new.title, private.topic_of(v_new.id, v_new.epoch), v_new.created_at
  )::public.started_conversation;
end;
$$;
comment on function private.start_conversation(uuid[], text, text) is
  'Body of public.start_conversation.';
revoke execute on function private.start_conversation(uuid[], text, text)
  from public, anon, service_role;
grant execute on function private.start_conversation(uuid[], text, text) to authenticated;

create function public.start_conversation(
  p_participant_ids uuid[],
  p_kind text default 'direct',
  p_title text default null
)
  returns public.started_conversation
  language sql
  set search_path = ''
as $$
  select private.start_conversation(p_participant_ids, p_kind, p_title)
$$;
comment on function public.start_conversation(uuid[], text, text) is
  'Starts a conversation with others: direct with one, and starting it again answers the one there is; '
  'a group with 1 to 255, of which the caller is the owner; or one about care, between a patient and '
  'members of their active care team (verified doctors, caregivers with the scope messages), started '
  'by either, of which the patient is the owner. Everybody must be somebody whose public face the '
  'caller sees; an account that is absent, locked, hidden, or that has blocked the caller or is '
  'blocked by them, are one and the same not_found. Errors: PT400 invalid_request, PT401 '
  'unauthenticated, PT403 forbidden (anonymous account) or mfa_required (a clinician, about care), '
  'PT404 not_found.';
revoke execute on function public.start_conversation(uuid[], text, text)
  from public, anon, service_role;
grant execute on function public.start_conversation(uuid[], text, text) to authenticated;

create function private.require_manager(p_conversation_id uuid)
  returns public.conversations
  language plpgsql
  set search_path = ''
as $$
declare
  v_conversation public.conversations := private.enter_conversation(p_conversation_id);
  v_seat constant public.conversation_participants := private.require_seat(p_conversation_id);
begin
  if v_conversation.kind = 'direct' or v_seat.role = 'member' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only an owner or admin of a group, or the patient, changes who takes part';
  end if;
  return v_conversation;
end;
$$;
comment on function private.require_manager(uuid) is
  'Locks a conversation whose participants the caller may change. For definer functions only. Errors: '
  'PT401 unauthenticated, PT403 forbidden, PT404 not_found.';
revoke execute on function private.require_manager(uuid)
  from public, anon, authenticated, service_role;

create function private.add_participant(p_conversation_id uuid, p_user_id uuid, p_role text)
  returns void
  language plpgsql
  security definer -- conversation_participants is written by these functions only
  set search_path = ''
as $$
declare
  v_seat constant public.conversation_participants := private.require_seat(p_conversation_id);
  v_conversation public.conversations;
begin
  if p_role is null or p_role not in ('admin', 'member') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot add a participant as p_role must be admin or member';
  end if;
  -- As start_conversation, and before the conversation, as the end of care has it.
  perform 1 from public.care_relationships as r
    where r.patient_id = v_seat.patient_id and r.member_id = p_user_id and r.status = 'active'
    order by r.id
    for share;
  v_conversation := private.require_manager(p_conversation_id);
  if p_role = 'admin'
    and (v_conversation.kind = 'care' or (private.require_seat(p_conversation_id)).role <> 'owner')
  then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only the owner of a group makes somebody its admin';
  end if;
  perform 1 from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null;
  if found then
    raise exception using errcode = 'PT409', message = 'already_participant',
      detail = 'The account takes part already';
  end if;
  if v_conversation.kind = 'care' then
    perform 1 from private.chat_patient_ids(p_user_id) as c (id)
      where c.id = v_conversation.patient_id;
  else
    perform 1 from private.reachable_ids(array[p_user_id]);
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such account to talk to';
  end if;
  if (
    select count(*) >= 256
    from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.left_at is null
  ) then
    raise exception using errcode = 'PT409', message = 'conversation_full',
      detail = 'A conversation has at most 256 participants';
  end if;
  -- Realtime replays what was sent on a topic to whoever may join it, from before they came, too.
  if v_conversation.last_seq > 0 then
    perform private.move_conversation(p_conversation_id);
  end if;
  insert into public.conversation_participants (
    conversation_id, user_id, patient_id, role, joined_at, joined_seq, last_read_seq
  )
  values (
    p_conversation_id, p_user_id, v_conversation.patient_id, p_role,
    private.conversation_clock(v_conversation), v_conversation.last_seq, v_conversation.last_seq
  );
  perform private.broadcast(
    p_conversation_id, 'participant_added', jsonb_build_object(
      'conversation_id', p_conversation_id, 'user_id', p_user_id, 'role', p_role
    )
  );
end;
$$;
comment on function private.add_participant(uuid, uuid, text) is 'Body of public.add_participant.';
revoke execute on function private.add_participant(uuid, uuid, text)
  from public, anon, service_role;
grant execute on function private.add_participant(uuid, uuid, text) to authenticated;

create function public.add_participant(
  p_conversation_id uuid,
  p_user_id uuid,
  p_role text default 'member'
)
  returns void
  language sql
  set search_path = ''
as $$
  select private.add_participant(p_conversation_id, p_user_id, p_role)
$$;
comment on function public.add_participant(uuid, uuid, text) is
  'Adds somebody to a group (its owner or an admin; only the owner adds an admin) or to a conversation '
  'about care (the patient, a member of their care team). Their history starts here; who was there '
  'before reads again what was said then, and nothing of what was said in between; the conversation '
  'moves to another topic if anything was said, so that no replay tells it. Who may be added '
  'is as for start_conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 '
  'forbidden, PT404 not_found, PT409 already_participant or conversation_full (256).';
revoke execute on function public.add_participant(uuid, uuid, text) from public, anon, service_role;
grant execute on function public.add_participant(uuid, uuid, text) to authenticated;

create function private.remove_participant(p_conversation_id uuid, p_user_id uuid)
  returns void
  language plpgsql
  security definer -- conversation_participants is written by these functions only
  set search_path = ''
as $$
declare
  v_theirs text;
begin
  perform private.require_manager(p_conversation_id);
  if p_user_id = (select auth.uid()) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot remove oneself: call leave_conversation';
  end if;
  select p.role into v_theirs
  from public.conversation_participants as p
  where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No participant with this id';
  end if;
  if v_theirs <> 'member' and (private.require_seat(p_conversation_id)).role <> 'owner' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only the owner removes an admin';
  end if;
  perform private.end_participation(p_conversation_id, p_user_id);
end;
$$;
comment on function private.remove_participant(uuid, uuid) is 'Body of public.remove_participant.';
revoke execute on function private.remove_participant(uuid, uuid) from public, anon, service_role;
grant execute on function private.remove_participant(uuid, uuid) to authenticated;

create function public.remove_participant(p_conversation_id uuid, p_user_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.remove_participant(p_conversation_id, p_user_id)
$$;
comment on function public.remove_participant(uuid, uuid) is
  'Removes somebody from a group (its owner; an admin removes members) or from a conversation about '
  'care (the patient). They keep what was said while they took part, if it is not about care, and '
  'hear nothing more: the conversation moves to another topic at once. Errors: PT400 '
  'invalid_request, PT401 unauthenticated, PT403 forbidden (also in a direct conversation), PT404 '
  'not_found.';
revoke execute on function public.remove_participant(uuid, uuid) from public, anon, service_role;
grant execute on function public.remove_participant(uuid, uuid) to authenticated;

create function private.leave_conversation(p_id uuid)
  returns void
  language plpgsql
  security definer -- conversation_participants is written by these functions only
  set search_path = ''
as $$
declare
  v_conversation public.conversations := private.enter_conversation(p_id);
  v_caller constant uuid := (select auth.uid());
begin
  if v_conversation.kind = 'direct' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'A direct conversation is not left: mute it, or block the other account';
  end if;
  if v_caller = v_conversation.patient_id then
    -- Without the patient there is nobody whose care it could be about.
    perform private.end_participation(p_id, p.user_id)
    from public.conversation_participants as p
    where p.conversation_id = p_id and p.left_at is null and p.user_id <> v_caller;
  end if;
  perform private.end_participation(p_id, v_caller);
end;
$$;
comment on function private.leave_conversation(uuid) is 'Body of public.leave_conversation.';
revoke execute on function private.leave_conversation(uuid) from public, anon, service_role;
grant execute on function private.leave_conversation(uuid) to authenticated;

create function public.leave_conversation(p_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.leave_conversation(p_id)
$$;
comment on function public.leave_conversation(uuid) is
  'The caller takes part no more. An owner passes the group on, to an admin or to whoever has been '
  'there longest; a conversation about care that its patient leaves ends for all. Errors: PT401 '
  'unauthenticated, PT403 forbidden for a direct conversation, PT404 not_found.';
revoke execute on function public.leave_conversation(uuid) from public, anon, service_role;
grant execute on function public.leave_conversation(uuid) to authenticated;

create function private.mute_conversation(p_id uuid, p_until timestamptz)
  returns void
  language plpgsql
  security definer -- conversation_mutes is written by these functions only
  set search_path = ''
as $$
declare
  v_seat constant public.conversation_participants := private.require_seat(p_id);
begin
  if p_until is null then
    delete from private.conversation_mutes as m
    where m.conversation_id = p_id and m.user_id = v_seat.user_id;
  else
    insert into private.conversation_mutes (conversation_id, user_id, muted_until)
    values (p_id, v_seat.user_id, p_until)
    on conflict (user_id, conversation_id) do update set muted_until = excluded.muted_until;
  end if;
end;
$$;
comment on function private.mute_conversation(uuid, timestamptz) is
  'Body of public.mute_conversation.';
revoke execute on function private.mute_conversation(uuid, timestamptz)
  from public, anon, service_role;
grant execute on function private.mute_conversation(uuid, timestamptz) to authenticated;

create function public.mute_conversation(p_id uuid, p_until timestamptz)
  returns void
  language sql
  set search_path = ''
as $$
  select private.mute_conversation(p_id, p_until)
$$;
comment on function public.mute_conversation(uuid, timestamptz) is
  'No notifications of this conversation until then (infinity: for good); null ends it. Messages '
  'come as before, and nobody else learns of it. Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.mute_conversation(uuid, timestamptz)
  from public, anon, service_role;
grant execute on function public.mute_conversation(uuid, timestamptz) to authenticated;

create function private.conversation_topic(p_id uuid)
  returns text
  language plpgsql
  stable
  security definer -- conversation_participants is not readable by every caller
  set search_path = ''
as $$
begin
  perform private.require_seat(p_id);
  return private.current_topic(p_id);
end;
$$;
comment on function private.conversation_topic(uuid) is 'Body of public.conversation_topic.';
revoke execute on function private.conversation_topic(uuid) from public, anon, service_role;
grant execute on function private.conversation_topic(uuid) to authenticated;

create function public.conversation_topic(p_id uuid)
  returns text
  language sql
  stable
  set search_path = ''
as $$
  select private.conversation_topic(p_id)
$$;
comment on function public.conversation_topic(uuid) is
  'Name of the private channel of a conversation in which the caller takes part. Ask again when '
  'joining is refused: the conversation has moved. Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.conversation_topic(uuid) from public, anon, service_role;
grant execute on function public.conversation_topic(uuid) to authenticated;
