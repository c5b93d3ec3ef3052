-- Moderation: so far, whom somebody does not want to hear from.
-- Needs: 10_identity.sql. Policies: policies/75_moderation.sql. What a block does is decided where it
-- does it: private.visible_profiles (10_identity.sql), private.reachable_ids and private.pair_is_open
-- (35_chat.sql).

create table public.blocks (
  id uuid primary key default gen_random_uuid(),
  blocker_id uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  blocked_id uuid not null,
  created_at timestamptz not null default now(),

  constraint blocks_one_each unique (blocker_id, blocked_id),
  constraint blocks_people_check check (blocker_id <> blocked_id)
);
comment on table public.blocks is
  'One account that another has blocked: it finds the other absent, and neither writes to the other '
  'directly. Personal data, for the blocker alone.';
comment on column public.blocks.blocker_id is 'Who blocks; the caller.';
comment on column public.blocks.blocked_id is
  'Who is blocked. No foreign key: its error would tell whether there is such an account.';

create index blocks_blocked_id_idx on public.blocks (blocked_id);

create function private.follow_block()
  returns trigger
  language plpgsql
  security definer -- moves a conversation, which no client may
  set search_path = ''
as $$
begin
  perform private.move_conversation(c.id)
  from public.conversations as c
  where c.pair = array[
    least(new.blocker_id, new.blocked_id), greatest(new.blocker_id, new.blocked_id)
  ];
  return null;
end;
$$;
comment on function private.follow_block() is
  'Trigger: a block cuts the channel that the two have joined, as the lock of either account would.';
revoke execute on function private.follow_block() from public, anon, authenticated, service_role;

create trigger blocks_move_conversation
  after insert on public.blocks
  for each row execute function private.follow_block();
