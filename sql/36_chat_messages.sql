-- Messages: what is said in a conversation, in one order for all, each once.
-- Needs: 35_chat.sql, 38_realtime.sql and 30_notifications.sql (looked up when a function runs).
-- Policies: policies/35_chat.sql.

create function private.is_attachment(p_kind text, p_metadata jsonb, p_is_encrypted boolean)
  returns boolean
  language plpgsql -- not sql: that would be planned anew for every message
  immutable
  set search_path = ''
as $$
begin
  return coalesce(
    jsonb_typeof(p_metadata) = 'object'
    and case
      when p_kind not in ('image', 'file') then p_metadata = '{}'
      when p_metadata ? 'record_id' then
        p_metadata - array['record_id', 'name'] = '{}'
        and p_metadata ->> 'record_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      else
        p_metadata - array['path', 'mime', 'size', 'name'] = '{}'
        and p_metadata ->> 'path'
          ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        and p_metadata ->> 'mime' ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,98}$'
        and (p_kind <> 'image' or p_is_encrypted or p_metadata ->> 'mime' like 'image/%')
        and jsonb_typeof(p_metadata -> 'size') = 'number'
        and p_metadata ->> 'size' ~ '^[1-9][0-9]{0,7}$'
        and (p_metadata ->> 'size')::bigint <= 26214400
    end
    and (
      not p_metadata ? 'name'
      or jsonb_typeof(p_metadata -> 'name') = 'string'
        and length(p_metadata ->> 'name') between 1 and 200
    ),
    false
  );
end;
$$;
comment on function private.is_attachment(text, jsonb, boolean) is
  'Whether metadata has the form that a kind of message asks for. image and file: {record_id, name?} '
  'of a medical record, or {path, mime, size, name?} of an object in the bucket chat-attachments, '
  'size in bytes up to 25 MiB; others: {}.';
revoke execute on function private.is_attachment(text, jsonb, boolean)
  from public, anon, service_role;
grant execute on function private.is_attachment(text, jsonb, boolean) to authenticated;

create table public.messages (
  id bigint generated always as identity,
  conversation_id uuid not null references public.conversations (id) on delete restrict,
  seq bigint not null,
  sender_id uuid,
  client_id text,
  kind text not null default 'text',
  content text,
  metadata jsonb not null default '{}',
  attachment_path text generated always as (metadata ->> 'path') stored,
  is_encrypted boolean not null default false,
  reply_to_id bigint,
  edited_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default now(),

  primary key (id, created_at),
  constraint messages_seq_check check (seq > 0),
  constraint messages_kind_check check (kind in ('text', 'image', 'file', 'system')),
  constraint messages_sender_check
    check ((kind = 'system') = (sender_id is null) and (sender_id is null) = (client_id is null)),
  constraint messages_client_id_check check (length(client_id) between 1 and 100),
  constraint messages_content_check check (
    (content is not null or kind in ('image', 'file') or deleted_at is not null)
    and length(content) between 1 and 8000
  ),
  constraint messages_metadata_check check (
    kind = 'system' and jsonb_typeof(metadata) = 'object'
    or private.is_attachment(kind, metadata, is_encrypted)
    or deleted_at is not null
  ),
  constraint messages_deleted_check check (deleted_at is null or content is null and metadata = '{}')
)
partition by range (created_at);
comment on table public.messages is
  'One message. What people say, of their health too: PHI, and a clinical row if its conversation is '
  'about care. Deleted ones stay without what they said, and those of a closed account as they are.';
comment on column public.messages.id is 'Grows in a conversation in the order of commits.';
comment on column public.messages.seq is
  'Number in the conversation: 1, 2, 3 … without a gap, so that a client sees what it has missed.';
comment on column public.messages.sender_id is
  'Who wrote it; null for the kind system. No foreign key: the account may be gone.';
comment on column public.messages.client_id is
  'The sender''s own id of it: sent again, it is the same message.';
comment on column public.messages.kind is 'text, image, file; system: written by functions only.';
comment on column public.messages.content is
  'Text, or caption of an image or file; up to 8,000 characters; null when deleted.';
comment on column public.messages.metadata is
  'Of an image or file: {record_id, name?}, or {path, mime, size, name?}; else {}.';
comment on column public.messages.attachment_path is
  'Object in the bucket chat-attachments, from metadata; null for none. A column, since policies of '
  'messages let no index of an expression be used.';
comment on column public.messages.is_encrypted is
  'Whether content is ciphertext of the clients, which nobody here reads or looks at.';
comment on column public.messages.reply_to_id is
  'An earlier message of the same conversation that its sender could see. What it said is not copied.';
comment on column public.messages.created_at is
  'Clock time of the write, UTC; the partition key. Never before that of an earlier message.';

create index messages_conversation_id_idx on public.messages (conversation_id, seq desc);
-- Who may read a file is who may see its message.
create index messages_attachment_path_idx on public.messages (attachment_path)
  where attachment_path is not null;

create trigger messages_set_updated_at
  before update on public.messages
  for each row execute function private.set_updated_at();

create table private.messages_default partition of public.messages default;
comment on table private.messages_default is 'Messages of months that have no partition yet. PHI.';
alter table private.messages_default enable row level security;
revoke all on table private.messages_default from public, anon, authenticated, service_role;
create trigger messages_default_no_truncate
  before truncate on private.messages_default
  for each statement execute function private.refuse_change();
alter table private.messages_default enable always trigger messages_default_no_truncate;

select private.ensure_month_partitions('public.messages', 12);

create table private.sent_messages (
  sender_id uuid not null references public.profiles (id) on delete cascade,
  client_id text not null,
  message_id bigint not null,
  message_created_at timestamptz not null,
  digest bytea not null,

  primary key (sender_id, client_id)
);
comment on table private.sent_messages is
  'What has been sent under which id of a sender, so that sending again sends nothing twice. One row a '
  'message: a constraint that messages, parted by time, could not hold. Personal data.';
comment on column private.sent_messages.digest is 'SHA-256 of what was sent, to tell it from another.';

-- What follows from a message --------------------------------------------------------------------

create type public.chat_message as (
  id bigint,
  conversation_id uuid,
  seq bigint,
  sender_id uuid,
  client_id text,
  kind text,
  content text,
  metadata jsonb,
  is_encrypted boolean,
  reply_to_id bigint,
  edited_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz
);
comment on type public.chat_message is
  'One message as clients have it, from RPC and from the channel alike.';

create function private.as_chat_message(p_message public.messages)
  returns public.chat_message
  language sql -- without settings of its own, so that it becomes part of the calling statement
  immutable
as $$
  select row(
    p_message.id, p_message.conversation_id, p_message.seq, p_message.sender_id, p_message.client_id,
    p_message.kind, p_message.content, p_message.metadata, p_message.is_encrypted,
    p_message.reply_to_id, p_message.edited_at, p_message.deleted_at, p_message.created_at
  )::public.chat_message
$$;
comment on function private.as_chat_message(public.messages) is 'A message as clients have it.';
revoke execute on function private.as_chat_message(public.messages)
  from public, anon, authenticated, service_role;

create function private.follow_message()
  returns trigger
  language plpgsql
  security definer -- tells on the channel, and writes notifications, which nobody does directly
  set search_path = ''
as $$
declare
  v_payload jsonb := to_jsonb(private.as_chat_message(new));
begin
  -- An edit must not tell an old message to those who have come since.
  if tg_op = 'UPDATE' and new.deleted_at is null and exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = new.conversation_id
      and p.left_at is null
      and p.joined_seq >= new.seq
      and not exists (
        select
        from public.conversation_participants as b
        where b.conversation_id = p.conversation_id and b.user_id = p.user_id
          and b.joined_seq < new.seq and b.left_seq >= new.seq
      )
  ) then
    v_payload := v_payload - array['content', 'metadata'];
  end if;
  perform private.broadcast(
    new.conversation_id,
    case
      when tg_op = 'INSERT' then 'message'
      when new.deleted_at is not null then 'message_deleted'
      else 'message_edited'
    end,
    v_payload
  );
  if tg_op = 'INSERT' and new.kind <> 'system' then
    perform private.notify(
      o.user_id, 'new_message', jsonb_build_object('conversation_id', new.conversation_id)
    )
    from (
      select p.user_id
      from public.conversation_participants as p
      join public.profiles as a on a.id = p.user_id and a.is_active
      where p.conversation_id = new.conversation_id
        and p.left_at is null
        and p.user_id is distinct from new.sender_id
        and not exists (
          select from private.conversation_mutes as m
          where m.conversation_id = p.conversation_id and m.user_id = p.user_id
            and m.muted_until > now()
        )
      order by p.user_id
    ) as o;
  end if;
  return null;
end;
$$;
comment on function private.follow_message() is
  'Trigger: a message that is written, edited or deleted goes to the channel of its conversation in '
  'the same transaction, and a new one is notified to the others who have not muted it. When somebody '
  'who takes part cannot read it, an edit of it comes without content and metadata.';
revoke execute on function private.follow_message()
  from public, anon, authenticated, service_role;

create trigger messages_written
  after insert or update on public.messages
  for each row execute function private.follow_message();

create function private.follow_reading()
  returns trigger
  language plpgsql
  security definer -- tells on the channel, where nobody writes directly
  set search_path = ''
as $$
begin
  perform private.broadcast(
    new.conversation_id, 'read', jsonb_build_object(
      'conversation_id', new.conversation_id,
      'user_id', new.user_id,
      'message_id', new.last_read_message_id,
      'seq', new.last_read_seq
    )
  );
  return null;
end;
$$;
comment on function private.follow_reading() is
  'Trigger: tells a conversation how far somebody has read.';
revoke execute on function private.follow_reading()
  from public, anon, authenticated, service_role;

create trigger conversation_participants_read
  after update of last_read_seq on public.conversation_participants
  for each row when (new.last_read_seq > old.last_read_seq)
  execute function private.follow_reading();

-- Writing ----------------------------------------------------------------------------------------

create function private.require_content(p_content text, p_kind text, p_is_encrypted boolean)
  returns void
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  -- Of ciphertext nothing is known but how long it is.
  if length(p_content) > 8000
    or p_kind = 'text' and p_content is null
    or p_content = ''
    or not p_is_encrypted and p_content !~ '\S'
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = format(
        'Cannot write a message of %s characters: it has 1 to 8000, not all of them blank',
        coalesce(length(p_content), 0)
      );
  end if;
end;
$$;
comment on function private.require_content(text, text, boolean) is
  'Refuses a content that is no message. Errors: PT400 invalid_request.';

create function private.require_attachment(p_conversation_id uuid, p_metadata jsonb)
  returns void
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  if p_metadata ? 'record_id' then
    -- Naming a record shows it to nobody: each reads it by their own right.
    perform 1
    from private.record_access((p_metadata ->> 'record_id')::uuid) as a
    where a.ground is not null;
  elsif p_metadata ? 'path' then
    perform 1
    from storage.objects as o
    where o.bucket_id = 'chat-attachments'
      and o.name = p_metadata ->> 'path'
      and o.owner_id = (select auth.uid())::text
      and split_part(o.name, '/', 1) = p_conversation_id::text
      -- Older ones may be swept at any moment: private.unused_attachments.
      and o.created_at > now() - interval '1 hour';
  else
    return;
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such record, or no such file that the caller has uploaded to the conversation''s '
        || 'folder within the hour';
  end if;
end;
$$;
comment on function private.require_attachment(uuid, jsonb) is
  'Refuses metadata that names a record the caller may not read, or a file they have not uploaded for '
  'this conversation within the hour. For definer functions only. Errors: PT404 not_found.';

-- A message takes a file within an hour of its upload, so a file that is two hours old and in no
-- message will never be in one, however long a transaction takes.
create function private.unused_attachments(p_limit integer)
  returns setof text
  language sql
  stable
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
  select o.name
  from storage.objects as o
  where o.bucket_id = 'chat-attachments' and o.created_at < now() - interval '2 hours'
    and not exists (select from public.messages as m where m.attachment_path = o.name)
  order by o.created_at, o.name
  limit p_limit
$$;
comment on function private.unused_attachments(integer) is
  'Files of the bucket chat-attachments, oldest first, that were uploaded two hours ago or earlier and '
  'are in no message: never sent, or sent and deleted. They may be removed.';
revoke execute on function private.unused_attachments(integer)
  from public, anon, authenticated, service_role;
grant execute on function private.unused_attachments(integer) to records_worker;

create function private.require_open_pair(p_conversation public.conversations)
  returns void
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  if p_conversation.pair is not null and not private.pair_is_open(p_conversation.pair) then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such account to talk to';
  end if;
end;
$$;
comment on function private.require_open_pair(public.conversations) is
  'Refuses to write to somebody who is gone, locked, has blocked the caller or is blocked: one answer '
  'for all. For definer functions only. Errors: PT404 not_found.';

create function private.visible_message(p_id bigint)
  returns public.messages
  language plpgsql
  stable
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_message public.messages;
begin
  perform private.require_live_session();
  select m.* into v_message
  from public.messages as m
  where m.id = p_id
    and exists (
      select from private.chat_seats(v_claims) as s
      where s.conversation_id = m.conversation_id
        and m.seq > s.joined_seq
        and m.seq <= coalesce(s.left_seq, 9223372036854775807)
    );
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No message with this id';
  end if;
  return v_message;
end;
$$;
comment on function private.visible_message(bigint) is
  'A message that the caller may read. For definer functions only. Errors: PT401 unauthenticated, '
  'PT404 not_found.';
revoke execute on function
  private.require_content(text, text, boolean), private.require_attachment(uuid, jsonb),
  private.require_open_pair(public.conversations), private.visible_message(bigint)
from public, anon, authenticated, service_role;

create function private.sent_before(p_client_id text, p_digest bytea)
  returns public.chat_message
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_sent private.sent_messages;
begin
  select s.* into v_sent
  from private.sent_messages as s
  where s.sender_id = (select auth.uid()) and s.client_id = p_client_id;
  if not found then
    return null;
  end if;
  if v_sent.digest <> p_digest then
    raise exception using errcode = 'PT409', message = 'client_id_reused',
      detail = 'Another message was sent under this p_client_id';
  end if;
  return (
    select private.as_chat_message(m)
    from public.messages as m
    where m.id = v_sent.message_id and m.created_at = v_sent.message_created_at
  );
end;
$$;
comment on function private.sent_before(text, bytea) is
  'The message that the caller has sent under an id of theirs; null for none. For definer functions '
  'only. Errors: PT409 client_id_reused when it was another.';
revoke execute on function private.sent_before(text, bytea)
  from public, anon, authenticated, service_role;

create function private.send_message(
  p_conversation_id uuid,
  p_content text,
  p_client_id text,
  p_kind text,
  p_metadata jsonb,
  p_reply_to_id bigint,
  p_is_encrypted boolean
)
  returns public.chat_message
  language plpgsql
  security definer -- messages is written by these functions only
  set search_path = ''
as $$
declare
  v_metadata constant jsonb := coalesce(p_metadata, '{}');
  v_is_encrypted constant boolean := coalesce(p_is_encrypted, false);
  v_digest constant bytea := sha256(convert_to(
    jsonb_build_array(
      p_conversation_id, p_kind, p_content, v_metadata, v_is_encrypted, p_reply_to_id
    )::text, 'UTF8'
  ));
  v_caller constant uuid := private.require_live_session();
  v_conversation public.conversations;
  v_seat public.conversation_participants;
  v_message public.messages;
  v_sent public.chat_message;
begin
  if length(p_client_id) not between 1 and 100 or p_client_id is null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot send a message as p_client_id must have 1 to 100 characters';
  end if;
  if p_kind is null or p_kind not in ('text', 'image', 'file') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot send a message as p_kind must be text, image or file';
  end if;
  perform private.require_content(p_content, p_kind, v_is_encrypted);
  if not private.is_attachment(p_kind, v_metadata, v_is_encrypted) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'p_metadata of an image or file is {record_id, name?} or {path, mime, size, name?}, '
        || 'else {}';
  end if;

  -- From here on one after the other: number, id and commit come in the same order.
  v_conversation := private.enter_conversation(p_conversation_id);
  v_seat := private.require_seat(p_conversation_id);
  perform private.require_open_pair(v_conversation);
  v_sent := private.sent_before(p_client_id, v_digest);
  if v_sent.id is not null then
    return v_sent;
  end if;
  perform private.require_attachment(p_conversation_id, v_metadata);
  if p_reply_to_id is not null
    and (private.visible_message(p_reply_to_id)).conversation_id <> p_conversation_id
  then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No message with this id';
  end if;

  v_message.id := nextval('public.messages_id_seq');
  v_message.created_at := private.conversation_clock(v_conversation);
  -- The same id may be on its way to another conversation, whose lock is another.
  insert into private.sent_messages (sender_id, client_id, message_id, message_created_at, digest)
  values (v_caller, p_client_id, v_message.id, v_message.created_at, v_digest)
  on conflict (sender_id, client_id) do nothing;
  if not found then
    return private.sent_before(p_client_id, v_digest);
  end if;
  update public.conversations as c set
    last_seq = v_conversation.last_seq + 1,
    last_message_id = v_message.id,
    last_message_at = v_message.created_at
  where c.id = p_conversation_id;
  update public.conversation_participants as p set last_sent_seq = v_conversation.last_seq + 1
  where p.id = v_seat.id;
  insert into public.messages (
    id, conversation_id, seq, sender_id, client_id, kind, content, metadata, is_encrypted,
    reply_to_id, created_at
  )
  overriding system value
  values (
    v_message.id, p_conversation_id, v_conversation.last_seq + 1, v_caller, p_client_id, p_kind,
    p_content, v_metadata, v_is_encrypted, p_reply_to_id, v_message.created_at
  )
  returning * into v_message;
  return private.as_chat_message(v_message);
end;
$$;
comment on function private.send_message(uuid, text, text, text, jsonb, bigint, boolean) is
  'Body of public.send_message.';
revoke execute on function
  private.send_message(uuid, text, text, text, jsonb, bigint, boolean)
from public, anon, service_role;
grant execute on function
  private.send_message(uuid, text, text, text, jsonb, bigint, boolean)
to authenticated;

create function public.send_message(
  p_conversation_id uuid,
  p_content text,
  p_client_id text,
  p_kind text default 'text',
  p_metadata jsonb default '{}',
  p_reply_to_id bigint default null,
  p_is_encrypted boolean default false
)
  returns public.chat_message
  language sql
  set search_path = ''
as $$
  select private.send_message(
    p_conversation_id, p_content, p_client_id, p_kind, p_metadata, p_reply_to_id, p_is_encrypted
  )
$$;
comment on function public.send_message(uuid, text, text, text, jsonb, bigint, boolean) is
  'Writes to a conversation in which the caller takes part, and answers the message. p_client_id is '
  'the caller''s own id of it, 1 to 100 characters: sent again with the same contents it answers the '
  'same message, with others it is refused. p_content has 1 to 8,000 characters (null for an image or '
  'file without caption); p_kind text, image or file; p_metadata of those {record_id, name?} of a '
  'record the caller may read, or {path, mime, size, name?} of an object they uploaded to the bucket '
  'chat-attachments as <conversation_id>/<uuid>, within an hour; p_reply_to_id a message of the '
  'conversation that the caller can see; p_is_encrypted: p_content is ciphertext, and is not looked at. '
  'To write is to have read. Everybody who takes part hears the event message, and is notified unless '
  'they have muted the conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 '
  'not_found (also when the other account of a direct conversation is not to be reached), PT409 '
  'client_id_reused.';
revoke execute on function
  public.send_message(uuid, text, text, text, jsonb, bigint, boolean)
from public, anon, service_role;
grant execute on function
  public.send_message(uuid, text, text, text, jsonb, bigint, boolean)
to authenticated;

create function private.edit_message(p_id bigint, p_content text)
  returns public.chat_message
  language plpgsql
  security definer -- messages is written by these functions only
  set search_path = ''
as $$
declare
  v_message public.messages := private.visible_message(p_id);
  v_conversation constant public.conversations :=
    private.enter_conversation(v_message.conversation_id);
begin
  v_message := private.visible_message(p_id);
  if v_message.sender_id is distinct from (select auth.uid()) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only its sender edits a message';
  end if;
  perform private.require_open_pair(v_conversation);
  if v_message.deleted_at is not null then
    raise exception using errcode = 'PT409', message = 'already_deleted',
      detail = 'The message is deleted';
  end if;
  if v_message.created_at <= now() - interval '15 minutes' then
    raise exception using errcode = 'PT409', message = 'edit_window_over',
      detail = 'A message is edited within 15 minutes';
  end if;
  perform private.require_content(p_content, v_message.kind, v_message.is_encrypted);
  update public.messages as m set content = p_content, edited_at = now()
  where m.id = p_id and m.created_at = v_message.created_at
  returning m.* into v_message;
  return private.as_chat_message(v_message);
end;
$$;
comment on function private.edit_message(bigint, text) is 'Body of public.edit_message.';
revoke execute on function private.edit_message(bigint, text) from public, anon, service_role;
grant execute on function private.edit_message(bigint, text) to authenticated;

create function public.edit_message(p_id bigint, p_content text)
  returns public.chat_message
  language sql
  set search_path = ''
as $$
  select private.edit_message(p_id, p_content)
$$;
comment on function public.edit_message(bigint, text) is
  'Changes the content of a message of the caller''s within 15 minutes, while they take part. Everybody '
  'hears the event message_edited, which is without content and metadata when somebody takes part who '
  'came after the message: who may read it reads it from messages. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 '
  'forbidden (another''s), PT404 not_found, PT409 already_deleted or edit_window_over.';
revoke execute on function public.edit_message(bigint, text) from public, anon, service_role;
grant execute on function public.edit_message(bigint, text) to authenticated;

create function private.delete_message(p_id bigint)
  returns public.chat_message
  language plpgsql
  security definer -- messages is written by these functions only
  set search_path = ''
as $$
declare
  v_message public.messages := private.visible_message(p_id);
begin
  if v_message.sender_id is distinct from (select auth.uid()) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only its sender deletes a message';
  end if;
  -- Also by one who has left: what is one's own can be taken back.
  perform private.settle_conversation(v_message.conversation_id);
  update public.messages as m set content = null, metadata = '{}', deleted_at = now()
  where m.id = p_id and m.created_at = v_message.created_at and m.deleted_at is null;
  return private.as_chat_message(private.visible_message(p_id));
end;
$$;
comment on function private.delete_message(bigint) is 'Body of public.delete_message.';
revoke execute on function private.delete_message(bigint) from public, anon, service_role;
grant execute on function private.delete_message(bigint) to authenticated;

create function public.delete_message(p_id bigint)
  returns public.chat_message
  language sql
  set search_path = ''
as $$
  select private.delete_message(p_id)
$$;
comment on function public.delete_message(bigint) is
  'Deletes a message of the caller''s: it stays in its place without content and attachment, and '
  'nobody reads them any more; deleting it again changes nothing. Everybody hears the event '
  'message_deleted. Errors: PT401 unauthenticated, PT403 forbidden (another''s), PT404 not_found.';
revoke execute on function public.delete_message(bigint) from public, anon, service_role;
grant execute on function public.delete_message(bigint) to authenticated;

create function private.mark_conversation_read(p_id uuid, p_message_id bigint)
  returns void
  language plpgsql
  security definer -- conversation_participants is written by these functions only
  set search_path = ''
as $$
declare
  v_message constant public.messages := private.visible_message(p_message_id);
  v_seat public.conversation_participants;
begin
  v_seat := private.require_seat(p_id);
  -- The topic on which this is told does not change meanwhile.
  if v_seat.patient_id is null then
    perform 1 from public.conversations as c where c.id = p_id for share;
  else
    perform private.settle_conversation(p_id);
  end if;
  if v_message.conversation_id <> p_id then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No message with this id';
  end if;
  -- Where the two cannot talk a mark stays where it is: of an account that is locked it does, too.
  update public.conversation_participants as p set
    last_read_message_id = v_message.id,
    last_read_seq = v_message.seq
  where p.id = v_seat.id and p.left_at is null and p.last_read_seq < v_message.seq
    and not exists (
      select from public.conversations as c
      where c.id = p_id and c.pair is not null and not private.pair_is_open(c.pair)
    );
  update public.notifications as n set read_at = now()
  where n.user_id = v_seat.user_id and n.kind = 'new_message' and n.collapse_key = p_id::text
    and n.read_at is null;
end;
$$;
comment on function private.mark_conversation_read(uuid, bigint) is
  'Body of public.mark_conversation_read.';
revoke execute on function private.mark_conversation_read(uuid, bigint)
  from public, anon, service_role;
grant execute on function private.mark_conversation_read(uuid, bigint) to authenticated;

create function public.mark_conversation_read(p_id uuid, p_message_id bigint)
  returns void
  language sql
  set search_path = ''
as $$
  select private.mark_conversation_read(p_id, p_message_id)
$$;
comment on function public.mark_conversation_read(uuid, bigint) is
  'The caller has read a conversation up to a message, and with it the notification of new messages; '
  'an earlier one than before changes nothing. Everybody hears the event read. In a direct conversation '
  'whose two cannot talk only the notification is read, so that a block looks like a lock. Errors: '
  'PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.mark_conversation_read(uuid, bigint)
  from public, anon, service_role;
grant execute on function public.mark_conversation_read(uuid, bigint) to authenticated;

-- Reading ----------------------------------------------------------------------------------------

create function private.list_conversations(
  p_limit integer,
  p_after timestamptz,
  p_after_id uuid
)
  returns table (
    id uuid,
    kind text,
    title text,
    topic text,
    patient_id uuid,
    peer_id uuid,
    role text,
    created_at timestamptz,
    active_at timestamptz,
    unread_count bigint,
    last_read_message_id bigint,
    muted_until timestamptz,
    last_message jsonb
  )
  language plpgsql
  stable
  security definer -- reads messages and mutes past their policies
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select
      c.id, c.kind, c.title, private.topic_of(c.id, c.epoch), c.patient_id,
      case when c.pair[1] = s.user_id then c.pair[2] else c.pair[1] end,
      s.role, c.created_at, coalesce(c.last_message_at, c.created_at),
      -- Numbers have no gaps, so that nothing is counted.
      greatest(0, c.last_seq - greatest(s.last_read_seq, s.last_sent_seq)),
      s.last_read_message_id,
      (
        select m.muted_until
        from private.conversation_mutes as m
        where m.conversation_id = c.id and m.user_id = s.user_id and m.muted_until > now()
      ),
      (
        select to_jsonb(private.as_chat_message(m))
        from public.messages as m
        where m.id = c.last_message_id and m.created_at = c.last_message_at
          and m.seq > s.joined_seq
      )
    from private.chat_seats(v_claims) as s
    join public.conversations as c on c.id = s.conversation_id
    where s.left_at is null
      and (coalesce(c.last_message_at, c.created_at), c.id) < (
        coalesce(p_after, 'infinity'),
        coalesce(p_after_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by coalesce(c.last_message_at, c.created_at) desc, c.id desc
    limit p_limit;
end;
$$;
comment on function private.list_conversations(integer, timestamptz, uuid) is
  'Body of public.list_conversations.';
revoke execute on function private.list_conversations(integer, timestamptz, uuid)
  from public, anon, service_role;
grant execute on function private.list_conversations(integer, timestamptz, uuid) to authenticated;

create function public.list_conversations(p_limit integer default 20, p_cursor text default null)
  returns table (
    id uuid,
    kind text,
    title text,
    topic text,
    patient_id uuid,
    peer_id uuid,
    role text,
    created_at timestamptz,
    active_at timestamptz,
    unread_count bigint,
    last_read_message_id bigint,
    muted_until timestamptz,
    last_message jsonb,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'uuid']);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      l.id, l.kind, l.title, l.topic, l.patient_id, l.peer_id, l.role, l.created_at, l.active_at,
      l.unread_count, l.last_read_message_id, l.muted_until, l.last_message,
      private.make_cursor(jsonb_build_array(l.active_at, l.id))
    from private.list_conversations(
      p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::uuid
    ) as l;
end;
$$;
comment on function public.list_conversations(integer, text) is
  'Conversations in which the caller takes part, the one with the newest message first: topic (the '
  'private channel to join), peer_id (the other account of a direct one), the caller''s role, '
  'active_at (time of the newest message, else of the start), unread_count (messages after what the '
  'caller has read or written, tombstones included), last_message as list_messages shows it (null '
  'when the caller came after it). p_limit 1 to 100; p_cursor is the cursor of the last row of the '
  'page before. Errors: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function public.list_conversations(integer, text)
  from public, anon, service_role;
grant execute on function public.list_conversations(integer, text) to authenticated;

create function private.list_messages(
  p_conversation_id uuid,
  p_limit integer,
  p_after timestamptz,
  p_after_seq bigint
)
  returns setof public.chat_message
  language plpgsql
  stable
  security definer -- walks the caller's stretches, which a policy could only test row by row
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_stretch public.conversation_participants;
  v_wanted integer := p_limit;
  v_found integer;
  v_is_participant boolean := false;
begin
  for v_stretch in
    select s.*
    from private.chat_seats(v_claims) as s
    where s.conversation_id = p_conversation_id
    order by s.joined_seq desc, s.left_seq desc
  loop
    v_is_participant := true;
    exit when v_wanted = 0;
    return query
      select (private.as_chat_message(m)).*
      from public.messages as m
      where m.conversation_id = p_conversation_id
        and m.seq > v_stretch.joined_seq
        and m.seq <= coalesce(v_stretch.left_seq, 9223372036854775807)
        and m.seq < coalesce(p_after_seq, 9223372036854775807)
        -- Times have the order of numbers: whole months are left out.
        and m.created_at >= v_stretch.joined_at
        and m.created_at <= least(p_after, v_stretch.left_at, 'infinity')
      order by m.seq desc
      limit v_wanted;
    get diagnostics v_found = row_count;
    v_wanted := v_wanted - v_found;
  end loop;
  if not v_is_participant then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No conversation with this id';
  end if;
end;
$$;
comment on function private.list_messages(uuid, integer, timestamptz, bigint) is
  'Body of public.list_messages.';
revoke execute on function private.list_messages(uuid, integer, timestamptz, bigint)
  from public, anon, service_role;
grant execute on function private.list_messages(uuid, integer, timestamptz, bigint)
  to authenticated;

create function public.list_messages(
  p_conversation_id uuid,
  p_limit integer default 50,
  p_cursor text default null
)
  returns table (
    id bigint,
    conversation_id uuid,
    seq bigint,
    sender_id uuid,
    client_id text,
    kind text,
    content text,
    metadata jsonb,
    is_encrypted boolean,
    reply_to_id bigint,
    edited_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'bigint']);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      m.id, m.conversation_id, m.seq, m.sender_id, m.client_id, m.kind, m.content, m.metadata,
      m.is_encrypted, m.reply_to_id, m.edited_at, m.deleted_at, m.created_at,
      private.make_cursor(jsonb_build_array(m.created_at, m.seq))
    from private.list_messages(
      p_conversation_id, p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::bigint
    ) as m;
end;
$$;
comment on function public.list_messages(uuid, integer, text) is
  'Messages of a conversation that were written while the caller took part, newest first; of one about '
  'care only while it is in force. p_limit 1 to 100; p_cursor is the cursor of the last row of the '
  'page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.list_messages(uuid, integer, text)
  from public, anon, service_role;
grant execute on function public.list_messages(uuid, integer, text) to authenticated;
