-- Who may join and write which private channel: policies on realtime.messages, all of them. Realtime
-- asks with a row of its own that has topic and extension and nothing else, so nothing else is tested.
--   realtime.messages  authenticated  select  join: user:<self>; the current topic of a conversation
--                                             in which the caller takes part
--   realtime.messages  authenticated  insert  be present in such a conversation; send (typing) there,
--                                             unless it is about care
-- What a participant sends by themselves may claim to be any event: policies do not see the event, and
-- the REST endpoint takes whatever id the sender names. What counts is what list_messages answers, and
-- about care nobody but the database sends (definer functions of sql/38_realtime.sql). The grants are
-- the platform's.

create policy messages_select_authenticated on realtime.messages
  for select to authenticated
  using (extension in ('broadcast', 'presence') and (select private.topic_is_readable()));

create policy messages_insert_authenticated on realtime.messages
  for insert to authenticated
  with check (
    (extension = 'presence' and (select private.topic_is_shared()))
    or (extension = 'broadcast' and (select private.topic_takes_broadcasts()))
  );
