-- Written by hand: data that chat needs. The partitions of the months from now on (a job makes later
-- ones), and the bucket of attachments: private, 25 MiB a file; bytes without a type are ciphertext.

select private.ensure_month_partitions('public.messages', 12);

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values (
  'chat-attachments', 'chat-attachments', false, 26214400,
  array[
    'image/jpeg', 'image/png', 'image/webp', 'image/gif', 'application/pdf', 'text/plain',
    'application/octet-stream'
  ]
)
on conflict (id) do nothing;
