-- Written by hand: data that the schema needs. The partitions of the months from now on (a job makes
-- later ones), and the two buckets.

select private.ensure_month_partitions('public.audit_events', 12);

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values
  (
    'medical-records', 'medical-records', false, 52428800,
    array[
      'application/pdf', 'image/jpeg', 'image/png', 'application/dicom', 'text/plain',
      'application/json'
    ]
  ),
  ('avatars', 'avatars', true, 2097152, array['image/jpeg', 'image/png', 'image/webp'])
on conflict (id) do nothing;
