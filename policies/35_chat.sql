-- Who may do what in chat. No row here: not allowed.
--   conversations              authenticated  select  those in which the caller takes part now
--   conversation_participants  authenticated  select  one's own stretches; everybody's in conversations
--                                                     in which the caller takes part now
--   messages                   authenticated  select  what was written within one's own stretches
--   storage chat-attachments   authenticated  select  files of messages that the caller may read; one's
--                                                     own, in the folder of a conversation in which one
--                                                     takes part
--   storage chat-attachments   authenticated  insert  <conversation>/<uuid>, taking part in it, under a
--                                                     name that no message has
--   storage chat-attachments   authenticated  delete  one's own, as for select
-- All of it needs a live session; rows about a patient's care are clinical, and also need what
-- 26_access.sql says and care that is in force. Everything is written by RPC only.

alter table public.conversations enable row level security;
revoke all on table public.conversations from public, anon, authenticated, service_role;
grant select on table public.conversations to authenticated;

create policy conversations_select_authenticated on public.conversations
  for select to authenticated
  using (id = any (array(select private.current_conversation_ids())));

create policy conversations_select_authenticated_only on public.conversations
  as restrictive for select to authenticated
  using (patient_id is null or (select private.may_see_clinical_rows()));

alter table public.conversation_participants enable row level security;
revoke all on table public.conversation_participants
  from public, anon, authenticated, service_role;
grant select on table public.conversation_participants to authenticated;

create policy conversation_participants_select_authenticated on public.conversation_participants
  for select to authenticated
  using (
    conversation_id = any (array(select private.current_conversation_ids()))
    or (
      user_id = (select auth.uid())
      and conversation_id = any (array(select private.readable_conversation_ids()))
    )
  );

create policy conversation_participants_select_authenticated_only
  on public.conversation_participants
  as restrictive for select to authenticated
  using (patient_id is null or (select private.may_see_clinical_rows()));

alter table public.messages enable row level security;
revoke all on table public.messages from public, anon, authenticated, service_role;
revoke all on sequence public.messages_id_seq from public, anon, authenticated, service_role;
grant select on table public.messages to authenticated;

-- Which stretch a message lies in is asked of each row, by index; list_messages walks the stretches.
create policy messages_select_authenticated on public.messages
  for select to authenticated
  using (
    exists (
      select
      from public.conversation_participants as p
      where p.conversation_id = messages.conversation_id
        and p.user_id = (select auth.uid())
        and p.joined_seq < messages.seq
        and messages.seq <= coalesce(p.left_seq, 9223372036854775807)
    )
  );

create policy messages_select_authenticated_only on public.messages
  as restrictive for select to authenticated
  using (conversation_id = any (array(select private.readable_conversation_ids())));

alter table private.conversation_mutes enable row level security;
revoke all on table private.conversation_mutes from public, anon, authenticated, service_role;
alter table private.sent_messages enable row level security;
revoke all on table private.sent_messages from public, anon, authenticated, service_role;

-- Files: whoever reads the message reads its file, by signed addresses, since the bucket is private.
create policy chat_attachments_select_authenticated on storage.objects
  for select to authenticated
  using (
    bucket_id = 'chat-attachments'
    and (
      (
        owner_id = (select auth.uid())::text
        and (storage.foldername(name))[1] = any (array(select private.attachment_folders()))
      )
      or exists (
        select
        from public.messages as m
        where m.attachment_path = objects.name
      )
    )
  );

create policy chat_attachments_insert_authenticated on storage.objects
  for insert to authenticated
  with check (
    bucket_id = 'chat-attachments'
    and name ~ '^[0-9a-f-]{36}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    and owner_id = (select auth.uid())::text
    and (storage.foldername(name))[1] = any (array(select private.attachment_folders()))
    -- The file of a message may be deleted, and nobody puts another in its place.
    and not exists (
      select
      from public.messages as m
      where m.attachment_path = objects.name
    )
  );

create policy chat_attachments_delete_authenticated on storage.objects
  for delete to authenticated
  using (
    bucket_id = 'chat-attachments'
    and owner_id = (select auth.uid())::text
    and (storage.foldername(name))[1] = any (array(select private.attachment_folders()))
  );
