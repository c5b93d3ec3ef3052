-- Who may join and write which private channel: policies on realtime.messages, all of them. Realtime
-- asks with a row of its own that has topic and extension and nothing else, so nothing else is tested.
--   realtime.messages  authenticated  select  join: user:<self>; the current topic of a conversation
--                                             in which the caller takes part
--   realtime.messages  authenticated  insert  send (typing) and be present: conversations only
-- What the database sends comes from definer functions (sql/38_realtime.sql) and carries `meta.id`,
-- which nothing sent by a client has: clients show no message without it. The grants are the
-- platform's.

create policy messages_select_authenticated on realtime.messages
  for select to authenticated
  using (extension in ('broadcast', 'presence') and (select private.topic_is_readable()));

create policy messages_insert_authenticated on realtime.messages
  for insert to authenticated
  with check (extension in ('broadcast', 'presence') and (select private.topic_is_writable()));
