-- Demo people and a little data for them, loaded into every new local database. Never load this
-- into a project that others can reach: everybody's password stands in the next line.
--
-- Password of all: beautiful-life-demo
--
--   admin@example.com      administrator       no right of the role works without a second factor
--   patient@example.com    patient             four records, one shared, a doctor in care
--   relative@example.com   caregiver           sees the one shared record for a week
--   doctor@example.com     verified doctor     cares for the patient; a chart needs a second factor
--   applicant@example.com  unverified doctor   has asked to be verified
--   stranger@example.com   patient             has nothing to do with the others
--
-- Runs as `postgres` on the embedded stack and on `supabase start`; running it again changes
-- nothing.

-- Accounts. Hosted Auth cannot read null from the columns of tokens, hence the empty texts.
insert into auth.users (
  id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
  raw_user_meta_data, confirmation_token, recovery_token, email_change, email_change_token_new,
  email_change_token_current, phone_change, phone_change_token, reauthentication_token, created_at,
  updated_at
)
select
  p.id::uuid, 'authenticated', 'authenticated', p.email,
  extensions.crypt('beautiful-life-demo', extensions.gen_salt('bf', 10)), now(),
  '{"provider": "email", "providers": ["email"]}'::jsonb,
  jsonb_build_object('display_name', p.display_name, 'role', p.role),
  '', '', '', '', '', '', '', '', now(), now()
from (values
  ('d0000000-0000-4000-8000-000000000001', 'admin@example.com', 'Nadia Admin', 'patient'),
  ('d0000000-0000-4000-8000-000000000002', 'patient@example.com', 'Asha Verma', 'patient'),
  ('d0000000-0000-4000-8000-000000000003', 'relative@example.com', 'Ravi Verma', 'caregiver'),
  ('d0000000-0000-4000-8000-000000000004', 'doctor@example.com', 'Dr Meera Iyer', 'patient'),
  ('d0000000-0000-4000-8000-000000000005', 'applicant@example.com', 'Dr Tom Quill', 'patient'),
  ('d0000000-0000-4000-8000-000000000006', 'stranger@example.com', 'Sam Stranger', 'patient')
) as p (id, email, display_name, role)
on conflict do nothing;

-- Hosted Auth finds an account by its instance, too; the embedded one has no such column.
do $$
begin
  if exists (
    select 1 from pg_catalog.pg_attribute
    where attrelid = 'auth.users'::regclass and attname = 'instance_id' and not attisdropped
  ) then
    execute $sql$
      update auth.users set instance_id = '00000000-0000-0000-0000-000000000000'
      where id::text like 'd0000000-0000-4000-8000-00000000000_' and instance_id is null
    $sql$;
  end if;
end
$$;

insert into auth.identities (
  id, user_id, provider, provider_id, identity_data, last_sign_in_at, created_at, updated_at
)
select
  u.id, u.id, 'email', u.id::text,
  jsonb_build_object(
    'sub', u.id, 'email', u.email, 'email_verified', true, 'phone_verified', false
  ),
  now(), now(), now()
from auth.users as u
where u.id::text like 'd0000000-0000-4000-8000-00000000000_'
on conflict do nothing;

-- Roles. The sign-up trigger has made profiles and registry rows.
update public.profiles set role = 'admin'
where id = 'd0000000-0000-4000-8000-000000000001' and role <> 'admin';

insert into public.doctors (id, license_number, specialty, organization, verified_at, verified_by)
values
  (
    'd0000000-0000-4000-8000-000000000004', 'KMC 48213', 'Medical oncology',
    'City Cancer Hospital', now(), 'd0000000-0000-4000-8000-000000000001'
  ),
  (
    'd0000000-0000-4000-8000-000000000005', 'KMC 90177', 'Radiation oncology',
    'Lakeside Clinic', null, null
  )
on conflict do nothing;

update public.profiles set role = 'doctor', is_verified = true
where id = 'd0000000-0000-4000-8000-000000000004' and not is_verified;

-- The patient's data, written in the patient's name, as the audit trail shall tell it.
select set_config(
  'request.jwt.claims',
  '{"sub": "d0000000-0000-4000-8000-000000000002", "role": "authenticated"}',
  false
);

update public.patients set
  first_name = 'Asha',
  last_name = 'Verma',
  date_of_birth = '1984-05-17',
  gender = 'female',
  city = 'Pune',
  country = 'IN',
  cancer_type = 'Breast cancer, left, stage IIA',
  diagnosis_date = '2024-02-12',
  treatment_stage = 'Adjuvant chemotherapy'
where id = 'd0000000-0000-4000-8000-000000000002' and last_name is null;

insert into public.medical_records (id, patient_id, title, record_type, record_date, sensitivity)
select
  r.id::uuid, 'd0000000-0000-4000-8000-000000000002', r.title, r.record_type, r.record_date::date,
  r.sensitivity
from (values
  ('d1000000-0000-4000-8000-000000000001', 'Core needle biopsy, left breast', 'pathology',
    '2024-02-12', 'normal'),
  ('d1000000-0000-4000-8000-000000000002', 'CT of the chest', 'imaging', '2024-02-20', 'normal'),
  ('d1000000-0000-4000-8000-000000000003', 'Complete blood count', 'lab_result', '2024-06-03',
    'normal'),
  ('d1000000-0000-4000-8000-000000000004', 'BRCA1 and BRCA2 gene test', 'lab_result',
    '2024-03-01', 'sensitive')
) as r (id, title, record_type, record_date, sensitivity)
on conflict do nothing;

-- No phone, address, policy number or description: those columns take what a function has sealed,
-- and the seed has no key. `deno task demo` writes some.

insert into public.care_relationships (
  id, patient_id, member_id, kind, status, requested_by, starts_at
)
values (
  'd2000000-0000-4000-8000-000000000001', 'd0000000-0000-4000-8000-000000000002',
  'd0000000-0000-4000-8000-000000000004', 'doctor', 'active',
  'd0000000-0000-4000-8000-000000000004', now()
)
on conflict do nothing;

insert into public.medical_record_shares (
  id, record_id, patient_id, shared_with_id, shared_by_id, access_level, expires_at
)
values (
  'd3000000-0000-4000-8000-000000000001', 'd1000000-0000-4000-8000-000000000002',
  'd0000000-0000-4000-8000-000000000002', 'd0000000-0000-4000-8000-000000000003',
  'd0000000-0000-4000-8000-000000000002', 'view', now() + interval '7 days'
)
on conflict do nothing;

select set_config('request.jwt.claims', '', false);
