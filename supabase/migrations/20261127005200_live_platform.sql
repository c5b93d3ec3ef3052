-- Written by hand, what a comparison of two databases does not find: the worker role of
-- notifications, as in sql/00_platform.sql, and the bucket of attachments in chat: private, 25 MiB a
-- file; bytes without a type are ciphertext.

do $$
begin
  if not exists (select 1 from pg_catalog.pg_roles where rolname = 'notification_worker') then
    create role notification_worker nologin noinherit;
    grant notification_worker to postgres with inherit false, set true;
  end if;
end
$$;

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values (
  'chat-attachments', 'chat-attachments', false, 26214400,
  array[
    'image/jpeg', 'image/png', 'image/webp', 'image/gif', 'application/pdf', 'text/plain',
    'application/octet-stream'
  ]
)
on conflict (id) do nothing;
