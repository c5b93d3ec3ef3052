-- Identity: the account's public face, the patient registry, clinicians and their verification.
-- Credentials and sessions are Supabase Auth's; a trigger on auth.users makes the rows here.
-- Needs: 00_platform.sql. Policies: policies/10_identity.sql.

create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  role text not null default 'patient',
  display_name text,
  avatar_path text,
  bio text,
  is_public boolean not null default false,
  is_active boolean not null default true,
  is_verified boolean not null default false,
  subscription_tier text not null default 'free',
  locale text not null default 'en',
  timezone text not null default 'UTC',
  last_active_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint profiles_role_check check (role in ('patient', 'caregiver', 'doctor', 'admin')),
  constraint profiles_display_name_check
    check (length(display_name) <= 80 and display_name = btrim(display_name) and display_name <> ''),
  constraint profiles_avatar_path_check check (
    avatar_path like id::text || '/%' and avatar_path !~ '\.\.' and length(avatar_path) <= 300
  ),
  constraint profiles_bio_check check (length(bio) <= 500),
  constraint profiles_subscription_tier_check
    check (subscription_tier in ('free', 'plus', 'premium')),
  constraint profiles_locale_check check (locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$'),
  constraint profiles_timezone_check check (private.is_timezone(timezone))
);
comment on table public.profiles is
  'One row an account: its role, its public face and its preferences. Personal data; clinical facts '
  'are in patients. Others see the public columns only, through public_profiles.';
comment on column public.profiles.id is 'The account in auth.users.';
comment on column public.profiles.role is
  'What the account is. Never set from sign-up metadata beyond patient or caregiver, never by its '
  'owner: doctor comes from verify_doctor, admin from a database administrator.';
comment on column public.profiles.display_name is 'Name that others see, 1 to 80 characters.';
comment on column public.profiles.avatar_path is
  'Path in the public bucket avatars, below the folder of the account; null: none.';
comment on column public.profiles.is_public is 'Whether any signed-in account may see the public columns.';
comment on column public.profiles.is_active is
  'False locks the account: its tokens stay valid, and no clinical row is visible any more.';
comment on column public.profiles.is_verified is
  'Whether an administrator has verified the clinician. Mirrors doctors.verified_at for display.';
comment on column public.profiles.locale is 'BCP 47 language tag, for example en or hi-IN.';
comment on column public.profiles.timezone is 'IANA time zone, for example Asia/Kolkata.';
comment on column public.profiles.last_active_at is 'Last call of touch_last_active, to the minute.';

create index profiles_last_active_at_idx on public.profiles (last_active_at desc, id);
create index profiles_role_idx on public.profiles (role, id);

create trigger profiles_set_updated_at
  before update on public.profiles
  for each row execute function private.set_updated_at();

create table public.patients (
  id uuid primary key references public.profiles (id) on delete cascade,
  first_name text,
  last_name text,
  date_of_birth date,
  gender text,
  phone text,
  address text,
  city text,
  state text,
  postal_code text,
  country text,
  insurance_provider text,
  insurance_policy_number text,
  emergency_contact_name text,
  emergency_contact_phone text,
  emergency_contact_relationship text,
  cancer_type text,
  diagnosis_date date,
  treatment_stage text,
  medical_history text,
  is_active boolean not null default true,
  created_by uuid references public.profiles (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint patients_first_name_check check (length(first_name) between 1 and 100),
  constraint patients_last_name_check check (length(last_name) between 1 and 100),
  constraint patients_date_of_birth_check check (date_of_birth between date '1880-01-01' and current_date + 1),
  constraint patients_gender_check check (gender in ('male', 'female', 'other', 'unknown')),
  -- Ciphertext only. What it holds is checked before it is sealed; a character has up to 4 bytes.
  constraint patients_phone_check check (private.is_sealed(phone, 4, 40)),
  constraint patients_address_check check (private.is_sealed(address, 1, 2000)),
  constraint patients_insurance_policy_number_check
    check (private.is_sealed(insurance_policy_number, 1, 400)),
  constraint patients_emergency_contact_phone_check
    check (private.is_sealed(emergency_contact_phone, 4, 40)),
  constraint patients_texts_check check (
    length(city) <= 100 and length(state) <= 100
    and length(postal_code) <= 20 and length(country) <= 100
    and length(insurance_provider) <= 200
    and length(emergency_contact_name) <= 200 and length(emergency_contact_relationship) <= 100
    and length(cancer_type) <= 200 and length(treatment_stage) <= 200
    and length(medical_history) <= 20000
  ),
  constraint patients_diagnosis_date_check check (
    diagnosis_date between coalesce(date_of_birth, date '1880-01-01') and current_date + 1
  )
);
comment on table public.patients is
  'The patient registry: one row a patient, made at sign-up, filled by the patient or by an import. '
  'PHI throughout.';
comment on column public.patients.id is 'The patient''s account.';
comment on column public.patients.gender is 'FHIR administrative-gender.';
comment on column public.patients.phone is
  'Ciphertext, v1.<data key>.<base64 of nonce, ciphertext, tag>: read, written and searched through the '
  'function identity. Digits, signs and blanks, 4 to 40 characters.';
comment on column public.patients.address is 'Ciphertext as phone; at most 500 characters.';
comment on column public.patients.insurance_policy_number is
  'Ciphertext as phone; at most 100 characters.';
comment on column public.patients.emergency_contact_phone is 'Ciphertext as phone, and of its form.';
comment on column public.patients.created_by is 'Who made the row; null when that account is gone.';
comment on column public.patients.is_active is 'Whether the patient is in care; not the account''s lock.';
comment on column public.patients.medical_history is 'Free text, at most 20,000 characters.';

create index patients_created_by_idx on public.patients (created_by);
create index patients_name_idx on public.patients
  ((coalesce(last_name, '')), (coalesce(first_name, '')), id);
create index patients_name_trgm_idx on public.patients
  using gin ((coalesce(first_name, '') || ' ' || coalesce(last_name, '')) extensions.gin_trgm_ops);

create trigger patients_set_updated_at
  before update on public.patients
  for each row execute function private.set_updated_at();

create table public.doctors (
  id uuid primary key references public.profiles (id) on delete cascade,
  license_number text not null,
  specialty text not null,
  organization text,
  verified_at timestamptz,
  verified_by uuid references public.profiles (id) on delete set null,
  rejected_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint doctors_license_number_check
    check (license_number = btrim(license_number) and length(license_number) between 3 and 60),
  constraint doctors_specialty_check
    check (specialty = btrim(specialty) and length(specialty) between 2 and 120),
  constraint doctors_organization_check check (length(organization) between 2 and 200),
  constraint doctors_decision_check check (verified_at is null or rejected_reason is null),
  constraint doctors_rejected_reason_check check (length(rejected_reason) between 1 and 500)
);
comment on table public.doctors is
  'Clinicians and those who ask to be verified as one. Verified means verified_at is set; a request '
  'without a decision has neither verified_at nor rejected_reason.';
comment on column public.doctors.id is 'The clinician''s account.';
comment on column public.doctors.license_number is 'Number of the licence, as the licensing body writes it.';
comment on column public.doctors.verified_by is 'The administrator who decided.';
comment on column public.doctors.rejected_reason is 'Why not, or why no longer; shown to the applicant.';

create index doctors_verified_by_idx on public.doctors (verified_by);
create index doctors_created_at_idx on public.doctors (created_at desc, id);

create trigger doctors_set_updated_at
  before update on public.doctors
  for each row execute function private.set_updated_at();

create table public.account_grants (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  "grant" text not null,
  granted_by uuid references public.profiles (id) on delete set null,
  created_at timestamptz not null default now(),

  constraint account_grants_grant_check check ("grant" in ('moderator', 'seller', 'listener')),
  constraint account_grants_one_each unique (user_id, "grant")
);
comment on table public.account_grants is
  'Capabilities of an account beside its role, given and taken by administrators.';
comment on column public.account_grants."grant" is
  'moderator: acts on reports; seller: offers in the market; listener: answers in support circles.';
comment on column public.account_grants.granted_by is 'The administrator; null when gone.';

create index account_grants_granted_by_idx on public.account_grants (granted_by);

-- Helpers ----------------------------------------------------------------------------------------

create function private.active_account(p_account_id uuid)
  returns table (id uuid, role text)
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select p.id, p.role from public.profiles as p where p.id = p_account_id and p.is_active
$$;
comment on function private.active_account(uuid) is
  'An account, in one row, unless it is locked. For definer functions only.';
revoke execute on function private.active_account(uuid)
  from public, anon, authenticated, service_role;

create function private.live_account(p_claims jsonb)
  returns table (id uuid, role text)
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select a.id, a.role
  from auth.sessions as s
  cross join private.active_account(s.user_id) as a
  where s.id = (p_claims ->> 'session_id')::uuid
    and s.user_id = (p_claims ->> 'sub')::uuid
    and (s.not_after is null or s.not_after > now())
$$;
comment on function private.live_account(jsonb) is
  'The account of a token''s claims, in one row, while its session exists and it is not locked; no '
  'row otherwise. For definer functions only.';
revoke execute on function private.live_account(jsonb)
  from public, anon, authenticated, service_role;

create function private.end_barred_sessions()
  returns trigger
  language plpgsql
  security definer -- runs as the Auth service, whose policies may not let it
  set search_path = ''
as $$
begin
  delete from auth.sessions as s where s.user_id = new.id;
  perform private.move_conversations_of(new.id);
  return null;
end;
$$;
comment on function private.end_barred_sessions() is
  'Trigger on auth.users: whoever is banned or deleted loses every session at once, where Auth alone '
  'would let them run until the next refresh, and hears no conversation any more.';
revoke execute on function private.end_barred_sessions()
  from public, anon, authenticated, service_role;

create trigger on_auth_user_barred
  after update of banned_until, deleted_at on auth.users
  for each row
  when (
    new.banned_until > now() and new.banned_until is distinct from old.banned_until
    or new.deleted_at is not null and old.deleted_at is null
  )
  execute function private.end_barred_sessions();

create function private.session_is_live()
  returns boolean
  language plpgsql -- not sql: its plan is kept, and this runs in nearly every request
  stable
  security definer -- auth.sessions and other accounts' state are not readable by the caller
  set search_path = ''
as $$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return exists (select 1 from private.live_account(v_claims));
end;
$$;
comment on function private.session_is_live() is
  'Whether the token''s session still exists and its account is active. A token outlives sign-out '
  'and lock by up to its lifetime; clinical policies ask here, so that both bite at once.';
revoke execute on function private.session_is_live() from public, anon, service_role;
grant execute on function private.session_is_live() to authenticated;

create function private.require_live_session()
  returns uuid
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  if not private.session_is_live() then
    raise exception using errcode = 'PT401', message = 'unauthenticated',
      detail = 'The session has ended or the account is locked: sign in again';
  end if;
  return (select auth.uid());
end;
$$;
comment on function private.require_live_session() is
  'The caller''s id. Errors: PT401 unauthenticated when the session is over or the account locked.';
revoke execute on function private.require_live_session() from public, anon, service_role;
grant execute on function private.require_live_session() to authenticated;

create function private.is_permanent(p_user_id uuid)
  returns boolean
  language sql
  stable
  security definer -- auth.users is not readable by the caller
  set search_path = ''
as $$
  select exists (select 1 from auth.users as u where u.id = p_user_id and not u.is_anonymous)
$$;
comment on function private.is_permanent(uuid) is
  'Whether an account has an address or another way to be signed in to again; anonymous ones have '
  'not, and take no part in care and sharing.';
revoke execute on function private.is_permanent(uuid)
  from public, anon, authenticated, service_role;

create function private.require_permanent_account()
  returns uuid
  language plpgsql
  stable
  security definer -- is_permanent is for definer functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if not private.is_permanent(v_caller) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Anonymous accounts may not do this: add an address first';
  end if;
  return v_caller;
end;
$$;
comment on function private.require_permanent_account() is
  'The caller''s id. Errors: PT401 unauthenticated, PT403 forbidden for anonymous accounts.';
revoke execute on function private.require_permanent_account()
  from public, anon, authenticated, service_role;

create function private.is_admin()
  returns boolean
  language plpgsql
  stable
  security definer -- reads the caller's profile whatever its policies say
  set search_path = ''
as $$
begin
  return auth.jwt() ->> 'aal' = 'aal2'
    and exists (select 1 from public.profiles as p where p.id = auth.uid() and p.role = 'admin')
    and private.session_is_live();
end;
$$;
comment on function private.is_admin() is
  'Whether the caller is an active administrator with multi-factor sign-in (aal2).';
revoke execute on function private.is_admin() from public, anon, service_role;
grant execute on function private.is_admin() to authenticated;

create function private.require_admin()
  returns uuid
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if not private.is_admin() then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only administrators with multi-factor sign-in may do this';
  end if;
  return v_caller;
end;
$$;
comment on function private.require_admin() is
  'The caller''s id. Errors: PT401 unauthenticated, PT403 forbidden for anyone but an administrator.';
revoke execute on function private.require_admin() from public, anon, service_role;
grant execute on function private.require_admin() to authenticated;

create function private.verified_doctor(p_account_id uuid)
  returns table (id uuid)
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select a.id
  from private.active_account(p_account_id) as a
  join public.doctors as d on d.id = a.id
  where a.role = 'doctor' and d.verified_at is not null
$$;
comment on function private.verified_doctor(uuid) is
  'An account, in one row, if it is a verified clinician''s and not locked. For definer functions only.';
revoke execute on function private.verified_doctor(uuid)
  from public, anon, authenticated, service_role;

create function private.is_verified_doctor()
  returns boolean
  language plpgsql
  stable
  security definer -- reads the caller's verification whatever its policies say
  set search_path = ''
as $$
begin
  return exists (select 1 from private.verified_doctor(auth.uid()));
end;
$$;
comment on function private.is_verified_doctor() is 'Whether the caller is a verified clinician.';
revoke execute on function private.is_verified_doctor() from public, anon, service_role;
grant execute on function private.is_verified_doctor() to authenticated;

-- Public faces -----------------------------------------------------------------------------------

create function private.connected_profile_ids()
  returns setof uuid
  language plpgsql -- names tables of later domains, which are looked up when it runs
  stable
  security definer -- the other side's rows are read to find who is on it
  set search_path = ''
as $$
declare
  v_caller constant uuid := auth.uid();
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select case when r.member_id = v_caller then r.patient_id else r.member_id end
    from public.care_relationships as r
    -- A patient sees who asks; who asks sees the patient once the answer was yes.
    where (
        r.member_id = v_caller and r.status = 'active'
        or r.patient_id = v_caller and r.status in ('requested', 'active')
      )
      and (r.ends_at is null or r.ends_at > now())
    union
    select case when s.shared_with_id = v_caller then s.patient_id else s.shared_with_id end
    from public.medical_record_shares as s
    where (s.shared_with_id = v_caller or s.patient_id = v_caller)
      and s.revoked_at is null
      and s.expires_at > now()
    union
    select o.user_id
    from private.chat_seats(v_claims) as s
    join public.conversation_participants as o on o.conversation_id = s.conversation_id
    where s.left_at is null and o.left_at is null;
end;
$$;
comment on function private.connected_profile_ids() is
  'Accounts whose public face the caller may see because they are in care together, because a record '
  'is shared between them, or because both take part in a conversation.';
revoke execute on function private.connected_profile_ids() from public, anon, service_role;
grant execute on function private.connected_profile_ids() to authenticated;

create function private.hidden_profile_ids()
  returns setof uuid
  language plpgsql -- names a table of a later domain, which is looked up when it runs
  stable
  security definer -- nobody may read who has blocked them
  set search_path = ''
as $$
begin
  return query select b.blocker_id from public.blocks as b where b.blocked_id = auth.uid();
end;
$$;
comment on function private.hidden_profile_ids() is
  'Accounts that have blocked the caller, who finds them absent.';
revoke execute on function private.hidden_profile_ids() from public, anon, service_role;
grant execute on function private.hidden_profile_ids() to authenticated;

create view private.visible_profiles with (security_barrier = true) as
  select p.id, p.role, p.display_name, p.avatar_path, p.bio, p.is_verified
  from public.profiles as p
  where (select private.session_is_live())
    and p.is_active
    and (
      p.is_public
      or p.id = (select auth.uid())
      or p.id = any (array(select private.connected_profile_ids()))
    )
    and p.id <> all (array(select private.hidden_profile_ids()));
comment on view private.visible_profiles is
  'The rows and columns of profiles that the caller may see of others. Runs with its owner''s rights '
  'on purpose: the policies of profiles show a caller only their own row, in full.';

create view public.public_profiles with (security_invoker = true) as
  select v.id, v.role, v.display_name, v.avatar_path, v.bio, v.is_verified
  from private.visible_profiles as v;
comment on view public.public_profiles is
  'Public faces of accounts that are public, or connected with the caller by care, a share or a '
  'conversation, unless they have blocked the caller. Not PHI by itself.';

-- Sign-up ----------------------------------------------------------------------------------------

create function private.handle_new_user()
  returns trigger
  language plpgsql
  security definer -- runs as the Auth service, which has no rights on our tables
  set search_path = ''
as $$
declare
  v_meta constant jsonb := coalesce(new.raw_user_meta_data, '{}'::jsonb);
  v_role constant text := case when v_meta ->> 'role' = 'caregiver' then 'caregiver' else 'patient' end;
  v_zone constant text := v_meta ->> 'timezone';
  v_locale constant text := v_meta ->> 'locale';
begin
  -- Metadata is the client's word: it may choose between two harmless roles and suggest words and
  -- preferences. What does not fit is left out; a sign-up never fails on it.
  insert into public.profiles (id, role, display_name, locale, timezone)
  values (
    new.id,
    v_role,
    nullif(btrim(left(btrim(coalesce(v_meta ->> 'display_name', v_meta ->> 'full_name')), 80)), ''),
    case
      when v_locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$' then v_locale
      else 'en'
    end,
    case when private.is_timezone(v_zone) then v_zone else 'UTC' end
  );
  if v_role = 'patient' and not new.is_anonymous then
    insert into public.patients (id, first_name, last_name, created_by)
    values (
      new.id,
      nullif(btrim(left(btrim(v_meta ->> 'first_name'), 100)), ''),
      nullif(btrim(left(btrim(v_meta ->> 'last_name'), 100)), ''),
      new.id
    );
  end if;
  return new;
end;
$$;
comment on function private.handle_new_user() is
  'Trigger on auth.users: makes the profile and, for a patient, the registry row. Takes role '
  '(patient or caregiver only), display_name, first_name, last_name, locale and timezone from the '
  'sign-up metadata. An anonymous account gets a profile and no registry row.';
revoke execute on function private.handle_new_user() from public, anon, authenticated, service_role;

create trigger on_auth_user_created
  after insert on auth.users
  for each row execute function private.handle_new_user();

create function private.handle_user_upgrade()
  returns trigger
  language plpgsql
  security definer -- runs as the Auth service, which has no rights on our tables
  set search_path = ''
as $$
begin
  insert into public.patients (id, created_by)
  select p.id, p.id from public.profiles as p where p.id = new.id and p.role = 'patient'
  on conflict (id) do nothing;
  return new;
end;
$$;
comment on function private.handle_user_upgrade() is
  'Trigger on auth.users: when an anonymous account becomes a permanent one, its registry row is made.';
revoke execute on function private.handle_user_upgrade()
  from public, anon, authenticated, service_role;

create trigger on_auth_user_upgraded
  after update of is_anonymous on auth.users
  for each row
  when (old.is_anonymous and not new.is_anonymous)
  execute function private.handle_user_upgrade();

-- Sign-in attempts -------------------------------------------------------------------------------

create table private.sign_in_failures (
  user_id uuid not null references auth.users (id) on delete cascade,
  method text not null,
  failures integer not null,
  window_started_at timestamptz not null,

  primary key (user_id, method),
  constraint sign_in_failures_method_check check (method in ('password', 'mfa')),
  constraint sign_in_failures_failures_check check (failures between 0 and 5)
);
comment on table private.sign_in_failures is
  'Failed attempts of an account within 300 seconds of the first. Not PHI.';

create function private.limit_sign_in_attempts(p_event jsonb)
  returns jsonb
  language plpgsql
  security definer -- runs as the Auth service, which has no rights on our tables
  set search_path = ''
as $$
declare
  v_limit constant integer := 5;
  v_window constant interval := interval '300 seconds';
  v_user constant uuid := (p_event ->> 'user_id')::uuid;
  v_method constant text := case when p_event ? 'factor_id' then 'mfa' else 'password' end;
  v_valid constant boolean := (p_event ->> 'valid')::boolean;
  v_failures integer;
begin
  -- The row is made and locked before anything is decided, so that attempts at once are counted one
  -- after the other.
  insert into private.sign_in_failures as f (user_id, method, failures, window_started_at)
  values (v_user, v_method, 0, clock_timestamp())
  on conflict (user_id, method) do update set
    failures = case
      when f.window_started_at > clock_timestamp() - v_window then f.failures else 0
    end,
    window_started_at = case
      when f.window_started_at > clock_timestamp() - v_window then f.window_started_at
      else clock_timestamp()
    end
  returning f.failures into v_failures;

  -- A right password within the refused time counts for nothing, or guessing would go on.
  if v_failures >= v_limit then
    return jsonb_build_object(
      'decision', 'reject',
      'message', 'Too many failed attempts: try again in five minutes',
      'should_logout_user', false
    );
  end if;
  if v_valid then
    delete from private.sign_in_failures as f where f.user_id = v_user and f.method = v_method;
  else
    update private.sign_in_failures as f set failures = f.failures + 1
    where f.user_id = v_user and f.method = v_method;
  end if;
  return jsonb_build_object('decision', 'continue');
end;
$$;
comment on function private.limit_sign_in_attempts(jsonb) is
  'Auth hook for password and multi-factor attempts: after five failures within 300 seconds of the '
  'first, every attempt of the account by that method is refused until they are over, the right one '
  'too. p_event: {user_id, valid, factor_id?}; returns {decision: continue | reject}.';
revoke execute on function private.limit_sign_in_attempts(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function private.limit_sign_in_attempts(jsonb) to supabase_auth_admin;

-- RPC --------------------------------------------------------------------------------------------

create function private.request_doctor_verification(
  p_license_number text,
  p_specialty text,
  p_organization text
)
  returns void
  language plpgsql
  security definer -- applicants have no write right on doctors
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_permanent_account();
begin
  insert into public.doctors as d (id, license_number, specialty, organization)
  values (
    v_caller, btrim(p_license_number), btrim(p_specialty), nullif(btrim(p_organization), '')
  )
  on conflict (id) do update set
    license_number = excluded.license_number,
    specialty = excluded.specialty,
    organization = excluded.organization,
    rejected_reason = null
  where d.verified_at is null;
  if not found then
    raise exception using errcode = 'PT409', message = 'already_answered',
      detail = 'The account is verified already';
  end if;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A licence number has 3 to 60 characters, a specialty 2 to 120, an organization 2 to 200';
end;
$$;
comment on function private.request_doctor_verification(text, text, text) is
  'Body of public.request_doctor_verification.';
revoke execute on function private.request_doctor_verification(text, text, text)
  from public, anon, service_role;
grant execute on function private.request_doctor_verification(text, text, text) to authenticated;

create function public.request_doctor_verification(
  p_license_number text,
  p_specialty text,
  p_organization text default null
)
  returns void
  language sql
  set search_path = ''
as $$
  select private.request_doctor_verification(p_license_number, p_specialty, p_organization)
$$;
comment on function public.request_doctor_verification(text, text, text) is
  'Asks to be verified as a clinician; asking again replaces a request that is open or was refused. '
  'Changes no right until an administrator decides. Errors: PT400 invalid_request, PT401 '
  'unauthenticated, PT403 forbidden for anonymous accounts, PT409 already_answered when verified '
  'already.';
revoke execute on function public.request_doctor_verification(text, text, text)
  from public, anon, service_role;
grant execute on function public.request_doctor_verification(text, text, text) to authenticated;

create function private.verify_doctor(p_user_id uuid, p_approve boolean, p_reason text)
  returns void
  language plpgsql
  security definer -- roles and verification are written by nobody but this
  set search_path = ''
as $$
declare
  v_admin constant uuid := private.require_admin();
begin
  if p_approve is null or (not p_approve and nullif(btrim(p_reason), '') is null)
    or length(p_reason) > 500
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A refusal needs a reason of 1 to 500 characters';
  end if;
  if p_user_id = v_admin then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Nobody decides on their own verification';
  end if;
  update public.doctors set
    verified_at = case when p_approve then coalesce(verified_at, now()) end,
    verified_by = v_admin,
    rejected_reason = case when not p_approve then btrim(p_reason) end
  where id = p_user_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No request for verification with this id';
  end if;
  update public.profiles set
    is_verified = p_approve,
    -- Withdrawal keeps the role: the account stays a clinician's, without the rights of one.
    role = case when p_approve and role <> 'admin' then 'doctor' else role end
  where id = p_user_id;
  -- The reason of a refusal stands in the row, and with it in the trail; that of an approval only here.
  if p_approve and nullif(btrim(p_reason), '') is not null then
    perform private.write_audit('verify', 'doctor', p_user_id, null, btrim(p_reason));
  end if;
  perform private.notify(
    p_user_id, case when p_approve then 'doctor_verified' else 'doctor_rejected' end, '{}'
  );
end;
$$;
comment on function private.verify_doctor(uuid, boolean, text) is 'Body of public.verify_doctor.';
revoke execute on function private.verify_doctor(uuid, boolean, text)
  from public, anon, service_role;
grant execute on function private.verify_doctor(uuid, boolean, text) to authenticated;

create function public.verify_doctor(p_user_id uuid, p_approve boolean, p_reason text default null)
  returns void
  language sql
  set search_path = ''
as $$
  select private.verify_doctor(p_user_id, p_approve, p_reason)
$$;
comment on function public.verify_doctor(uuid, boolean, text) is
  'Administrators: verifies a clinician, or refuses or withdraws the verification with a reason. '
  'Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found.';
revoke execute on function public.verify_doctor(uuid, boolean, text) from public, anon, service_role;
grant execute on function public.verify_doctor(uuid, boolean, text) to authenticated;

create function private.set_account_active(p_user_id uuid, p_active boolean, p_reason text)
  returns void
  language plpgsql
  security definer -- is_active is written by nobody but this
  set search_path = ''
as $$
declare
  v_admin constant uuid := private.require_admin();
begin
  if p_active is null or nullif(btrim(p_reason), '') is null or length(p_reason) > 500 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Locking and unlocking need a reason of 1 to 500 characters';
  end if;
  if p_user_id = v_admin then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Administrators do not lock themselves';
  end if;
  update public.profiles set is_active = p_active where id = p_user_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No account with this id';
  end if;
  perform private.write_audit(
    case when p_active then 'unlock' else 'lock' end, 'profile', p_user_id, null, btrim(p_reason)
  );
end;
$$;
comment on function private.set_account_active(uuid, boolean, text) is
  'Body of public.set_account_active.';
revoke execute on function private.set_account_active(uuid, boolean, text)
  from public, anon, service_role;
grant execute on function private.set_account_active(uuid, boolean, text) to authenticated;

create function public.set_account_active(p_user_id uuid, p_active boolean, p_reason text)
  returns void
  language sql
  set search_path = ''
as $$
  select private.set_account_active(p_user_id, p_active, p_reason)
$$;
comment on function public.set_account_active(uuid, boolean, text) is
  'Administrators: locks or unlocks an account; a lock ends access to clinical rows at once. '
  'Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found.';
revoke execute on function public.set_account_active(uuid, boolean, text)
  from public, anon, service_role;
grant execute on function public.set_account_active(uuid, boolean, text) to authenticated;

create function private.close_account()
  returns void
  language plpgsql
  security definer -- ends what only functions may end, and sessions, which are Auth's
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  -- The profile first: whoever gives this account something at the same moment locks it, too, and
  -- either comes before, and is ended here, or after, and finds the account closed.
  update public.profiles set is_active = false, is_public = false where id = v_caller;
  update public.medical_record_shares as s set revoked_at = now()
  where (s.patient_id = v_caller or s.shared_with_id = v_caller)
    and s.revoked_at is null and s.expires_at > now();
  update public.care_relationships as r
  set status = 'ended', ends_at = now(), ended_reason = 'The account was closed'
  where (r.patient_id = v_caller or r.member_id = v_caller)
    and r.status in ('requested', 'active');
  update public.chart_sessions as c set closed_at = now()
  where (c.patient_id = v_caller or c.viewer_id = v_caller)
    and c.closed_at is null and c.expires_at > now();
  update public.reminders as r set is_active = false
  where r.user_id = v_caller and r.is_active;
  perform private.write_audit('close_account', 'profile', v_caller, null);
  delete from auth.sessions as s where s.user_id = v_caller;
end;
$$;
comment on function private.close_account() is 'Body of public.close_account.';
revoke execute on function private.close_account() from public, anon, service_role;
grant execute on function private.close_account() to authenticated;

create function public.close_account()
  returns void
  language sql
  set search_path = ''
as $$
  select private.close_account()
$$;
comment on function public.close_account() is
  'The caller closes their own account: shares, charts and care end, every session ends, and the '
  'account is locked. Nothing is erased, as records must be kept; an administrator can unlock it. '
  'Errors: PT401 unauthenticated.';
revoke execute on function public.close_account() from public, anon, service_role;
grant execute on function public.close_account() to authenticated;

create function private.grant_account(p_user_id uuid, p_grant text)
  returns void
  language plpgsql
  security definer -- account_grants is written by nobody but this and its opposite
  set search_path = ''
as $$
declare
  v_admin constant uuid := private.require_admin();
begin
  insert into public.account_grants (user_id, "grant", granted_by)
  values (p_user_id, p_grant, v_admin)
  on conflict (user_id, "grant") do nothing;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A grant is one of moderator, seller, listener';
  when foreign_key_violation then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No account with this id';
end;
$$;
comment on function private.grant_account(uuid, text) is 'Body of public.grant_account.';
revoke execute on function private.grant_account(uuid, text) from public, anon, service_role;
grant execute on function private.grant_account(uuid, text) to authenticated;

create function public.grant_account(p_user_id uuid, p_grant text)
  returns void
  language sql
  set search_path = ''
as $$
  select private.grant_account(p_user_id, p_grant)
$$;
comment on function public.grant_account(uuid, text) is
  'Administrators: gives an account a capability (moderator, seller, listener); giving it twice is '
  'as giving it once. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 '
  'not_found.';
revoke execute on function public.grant_account(uuid, text) from public, anon, service_role;
grant execute on function public.grant_account(uuid, text) to authenticated;

create function private.revoke_account_grant(p_user_id uuid, p_grant text)
  returns void
  language plpgsql
  security definer -- account_grants is written by nobody but this and its opposite
  set search_path = ''
as $$
begin
  perform private.require_admin();
  delete from public.account_grants where user_id = p_user_id and "grant" = p_grant;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'The account has no such grant';
  end if;
end;
$$;
comment on function private.revoke_account_grant(uuid, text) is
  'Body of public.revoke_account_grant.';
revoke execute on function private.revoke_account_grant(uuid, text)
  from public, anon, service_role;
grant execute on function private.revoke_account_grant(uuid, text) to authenticated;

create function public.revoke_account_grant(p_user_id uuid, p_grant text)
  returns void
  language sql
  set search_path = ''
as $$
  select private.revoke_account_grant(p_user_id, p_grant)
$$;
comment on function public.revoke_account_grant(uuid, text) is
  'Administrators: takes a capability from an account. Errors: PT401 unauthenticated, PT403 '
  'forbidden, PT404 not_found.';
revoke execute on function public.revoke_account_grant(uuid, text) from public, anon, service_role;
grant execute on function public.revoke_account_grant(uuid, text) to authenticated;

create function private.touch_last_active()
  returns void
  language plpgsql
  security definer -- last_active_at is no column that its owner may set
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.profiles set last_active_at = now()
  where id = v_caller
    and (last_active_at is null or last_active_at < now() - interval '1 minute');
end;
$$;
comment on function private.touch_last_active() is 'Body of public.touch_last_active.';
revoke execute on function private.touch_last_active() from public, anon, service_role;
grant execute on function private.touch_last_active() to authenticated;

create function public.touch_last_active()
  returns void
  language sql
  set search_path = ''
as $$
  select private.touch_last_active()
$$;
comment on function public.touch_last_active() is
  'Stamps the caller''s last_active_at; written at most once a minute. Errors: PT401 unauthenticated.';
revoke execute on function public.touch_last_active() from public, anon, service_role;
grant execute on function public.touch_last_active() to authenticated;

create function public.search_patients(
  p_query text default null,
  p_limit integer default 20,
  p_cursor text default null
)
  returns table (
    id uuid,
    first_name text,
    last_name text,
    date_of_birth date,
    gender text,
    cancer_type text,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['text', 'text', 'uuid']);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      p.id, p.first_name, p.last_name, p.date_of_birth, p.gender, p.cancer_type,
      private.make_cursor(
        jsonb_build_array(coalesce(p.last_name, ''), coalesce(p.first_name, ''), p.id)
      )
    from public.patients as p
    where (
        nullif(btrim(p_query), '') is null
        or coalesce(p.first_name, '') || ' ' || coalesce(p.last_name, '')
          ilike '%' || private.like_escape(btrim(p_query)) || '%'
      )
      and (
        v_after is null
        or (coalesce(p.last_name, ''), coalesce(p.first_name, ''), p.id)
          > (v_after ->> 0, v_after ->> 1, (v_after ->> 2)::uuid)
      )
    order by coalesce(p.last_name, ''), coalesce(p.first_name, ''), p.id
    limit p_limit;
end;
$$;
comment on function public.search_patients(text, integer, text) is
  'Patients whose registry row the caller may see, by name, in order of name. Policies decide the '
  'rows, so a name that the caller may not see is as absent. p_limit 1 to 100; p_cursor is the '
  'cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function public.search_patients(text, integer, text)
  from public, anon, service_role;
grant execute on function public.search_patients(text, integer, text) to authenticated;
