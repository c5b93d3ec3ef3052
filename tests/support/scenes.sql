-- Scenes that suites share: who cares for whom, open charts, records and shares. Follows cast.sql. The
-- rows are written past policies and RPC, which are what suites test; constraints and triggers hold.

create function tests.make_care(
  p_patient text,
  p_member text,
  p_status text default 'active',
  p_scopes text[] default array['records'],
  p_ends_in interval default null
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id constant uuid := tests.id(format('care of %s by %s', p_patient, p_member));
  v_kind constant text := (
    select case role when 'doctor' then 'doctor' else 'caregiver' end
    from public.profiles where id = tests.uid(p_member)
  );
begin
  insert into public.care_relationships (
    id, patient_id, member_id, kind, scopes, status, requested_by, starts_at, ends_at
  )
  values (
    v_id, tests.uid(p_patient), tests.uid(p_member), v_kind,
    case when v_kind = 'caregiver' then p_scopes else '{}' end,
    p_status, tests.uid(p_member),
    case when p_status in ('active', 'ended') then now() - interval '30 days' end,
    case when p_status in ('declined', 'ended') then now() else now() + p_ends_in end
  );
  return v_id;
end;
$$;
comment on function tests.make_care(text, text, text, text[], interval) is
  'A care relationship in any status. Its kind follows the member''s role; p_scopes are a caregiver''s; '
  'p_ends_in counts from now, negative for one whose end has passed.';

create function tests.open_chart(
  p_patient text,
  p_viewer text,
  closed boolean default false,
  expired boolean default false
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_opened_at constant timestamptz := now() - case when expired then interval '2 hours' else '0' end;
  v_kind text;
  v_id uuid;
begin
  select kind into v_kind from public.care_relationships
  where patient_id = tests.uid(p_patient) and member_id = tests.uid(p_viewer);
  if not found then
    perform tests.make_care(p_patient, p_viewer);
    select kind into v_kind from public.care_relationships
    where patient_id = tests.uid(p_patient) and member_id = tests.uid(p_viewer);
  end if;
  insert into public.chart_sessions (
    patient_id, viewer_id, purpose, opened_at, expires_at, closed_at
  )
  values (
    tests.uid(p_patient), tests.uid(p_viewer),
    case v_kind when 'doctor' then 'treatment' else 'delegated' end,
    v_opened_at, v_opened_at + interval '60 minutes',
    case when closed then now() end
  )
  returning id into v_id;
  return v_id;
end;
$$;
comment on function tests.open_chart(text, text, boolean, boolean) is
  'The viewer''s open chart of the patient, or one that was closed or has expired. Makes an active '
  'care relationship unless the two have one of any status.';

create function tests.make_emergency(
  p_patient text,
  p_viewer text,
  p_opened_ago interval default '0',
  p_outcome text default null,
  p_reviewer text default null
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id uuid;
begin
  insert into public.chart_sessions (
    patient_id, viewer_id, purpose, reason, opened_at, expires_at, reviewed_at, reviewed_by,
    review_outcome, review_note
  )
  values (
    tests.uid(p_patient), tests.uid(p_viewer), 'emergency', 'Found unconscious at the station',
    now() - p_opened_ago, now() - p_opened_ago + interval '30 minutes',
    case when p_outcome is not null then now() end, tests.id(p_reviewer), p_outcome,
    case when p_outcome is not null then 'Asked the ward' end
  )
  returning id into v_id;
  return v_id;
end;
$$;
comment on function tests.make_emergency(text, text, interval, text, text) is
  'An emergency access of 30 minutes, opened p_opened_ago; reviewed by p_reviewer when p_outcome is '
  'given.';

create function tests.sealed(p_text text, p_handle text default 'nobody')
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select format(
    'v1.%s.%s',
    tests.id('field key of ' || p_handle),
    translate(
      encode(decode(repeat('00', 28), 'hex') || convert_to(p_text, 'UTF8'), 'base64'), E'\n', ''
    )
  )
$$;
comment on function tests.sealed(text, text) is
  'A text in the form of a sealed field, under the key of tests.make_field_key: for the database, which '
  'has no key, as good as one that a function has sealed.';

create function tests.unsealed(p_value text)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select convert_from(substr(decode(split_part(p_value, '.', 3), 'base64'), 29), 'UTF8')
$$;
comment on function tests.unsealed(text) is 'The text that tests.sealed was given.';

create function tests.make_field_key(p_handle text)
  returns uuid
  language sql
  security definer
  set search_path = ''
as $$
  insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
  values (
    tests.id('field key of ' || p_handle), 'patient_fields', tests.uid(p_handle), 'test', 1,
    decode(repeat('ab', 60), 'hex')
  )
  returning id
$$;
comment on function tests.make_field_key(text) is
  'A key for a patient''s fields, as an edge function keeps it; its wrapped form is made up.';

create function tests.make_record(
  p_name text,
  p_patient text,
  p_record_type text default 'other',
  p_sensitivity text default 'normal',
  p_record_date date default '2026-01-15',
  p_description text default null,
  p_deleted boolean default false
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id constant uuid := tests.id(p_name);
  v_claims constant text := coalesce(current_setting('request.jwt.claims', true), '');
begin
  -- Triggers note who added it.
  perform set_config('request.jwt.claims', tests.claims(p_patient)::text, true);
  insert into public.medical_records (
    id, patient_id, title, record_type, record_date, sensitivity, deleted_at
  )
  values (
    v_id, tests.uid(p_patient), p_name, p_record_type, p_record_date, p_sensitivity,
    case when p_deleted then now() end
  );
  insert into public.medical_record_contents (record_id, description)
  values (v_id, tests.sealed(coalesce(p_description, 'Contents of ' || p_name)));
  perform set_config('request.jwt.claims', v_claims, true);
  return v_id;
end;
$$;
comment on function tests.make_record(text, text, text, text, date, text, boolean) is
  'A record with contents that the patient uploaded; p_name is its title, and tests.id(p_name) its id.';

create function tests.make_share(
  p_record text,
  p_recipient text,
  p_access_level text default 'view',
  p_expires_in interval default '7 days',
  p_revoked boolean default false
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id constant uuid := tests.id(format('share of %s with %s', p_record, p_recipient));
  v_patient_id constant uuid := (
    select patient_id from public.medical_records where id = tests.id(p_record)
  );
begin
  insert into public.medical_record_shares (
    id, record_id, patient_id, shared_with_id, shared_by_id, access_level, created_at, expires_at,
    revoked_at
  )
  values (
    v_id, tests.id(p_record), v_patient_id, tests.uid(p_recipient), v_patient_id, p_access_level,
    now() - interval '30 days', now() + p_expires_in,
    case when p_revoked then now() end
  );
  return v_id;
end;
$$;
comment on function tests.make_share(text, text, text, interval, boolean) is
  'A share of a record made 30 days ago; p_expires_in counts from now, negative for one that expired.';

create function tests.open_record_before(
  p_record text,
  p_viewer text,
  p_ago interval default '1 minute'
)
  returns void
  language plpgsql
  security definer
  set search_path = ''
as $$
begin
  -- A share that a test has made in this transaction begins before what was opened by it.
  update public.medical_record_shares as s set created_at = now() - p_ago
  where s.record_id = tests.id(p_record) and s.shared_with_id = tests.uid(p_viewer)
    and s.revoked_at is null and s.created_at > now() - p_ago;
  insert into private.record_openings as o (viewer_id, record_id, opened_at)
  values (tests.uid(p_viewer), tests.id(p_record), now() - p_ago)
  on conflict (viewer_id, record_id) do update set opened_at = excluded.opened_at;
end;
$$;
comment on function tests.open_record_before(text, text, interval) is
  'Notes that somebody has opened a record, p_ago before now, in an earlier transaction: a test is '
  'one transaction, and what is opened in it can be read in the next one only.';

create function tests.put_object(
  p_path text,
  p_version text default 'v1',
  p_created_at timestamptz default now(),
  p_metadata jsonb default '{"mimetype": "application/pdf"}'
)
  returns void
  language sql
  security definer
  set search_path = ''
as $$
  insert into storage.buckets (id, name, public)
  values ('medical-records', 'medical-records', false)
  on conflict do nothing;
  insert into storage.objects (bucket_id, name, version, created_at, metadata)
  values ('medical-records', p_path, p_version, p_created_at, p_metadata)
  on conflict (bucket_id, name) do update set version = excluded.version,
    created_at = excluded.created_at, metadata = excluded.metadata;
$$;
comment on function tests.put_object(text, text, timestamptz, jsonb) is
  'What Storage lists of an upload to the bucket of records: a row, without bytes; another version of '
  'it is another upload.';

create function tests.make_file(p_record text, p_name text default 'scan.pdf')
  returns void
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_record public.medical_records;
  v_path text;
  v_key uuid;
begin
  update public.medical_records as r set
    file_name = p_name, file_type = 'application/pdf', file_size = 9, file_sha256 = repeat('a', 64)
  where r.id = tests.id(p_record)
  returning r.* into v_record;
  v_path := format('%s/%s/x', v_record.patient_id, v_record.id);
  v_key := tests.make_data_key(v_record.id);
  update public.medical_record_contents set storage_path = v_path, data_key_id = v_key
  where record_id = v_record.id;
  insert into private.record_uploads (
    record_id, patient_id, storage_path, file_name, file_type, file_size, file_sha256, requested_by,
    expires_at, completed_at, object_version, data_key_id, ciphertext_sha256
  )
  values (
    v_record.id, v_record.patient_id, v_path, p_name, 'application/pdf', 9, repeat('a', 64),
    v_record.patient_id, now() + interval '10 minutes', now(), 'v1', v_key,
    repeat('c', 64)
  );
  perform tests.put_object(v_path);
end;
$$;
comment on function tests.make_file(text, text) is
  'Gives a record that has contents a file, as an upload that was checked and taken over does.';

create function tests.make_data_key(
  p_subject_id uuid,
  p_purpose text default 'record_file',
  p_key_version integer default 1
)
  returns uuid
  language sql
  security definer
  set search_path = ''
as $$
  insert into private.data_keys (purpose, subject_id, key_id, key_version, wrapped_key)
  values (
    p_purpose, p_subject_id, 'main', p_key_version,
    -- Random, as what comes out of a key ring looks.
    decode(replace(concat(
      gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), left(gen_random_uuid()::text, 28)
    ), '-', ''), 'hex')
  )
  returning id
$$;
comment on function tests.make_data_key(uuid, text, integer) is
  'A wrapped data key of a record or a patient, under a version of the key-encryption key `main`.';

create function tests.make_reminder(
  p_name text,
  p_owner text,
  p_upcoming timestamptz[] default '{}',
  p_settings jsonb default '{}'
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id constant uuid := tests.id(p_name);
begin
  insert into public.reminders (
    id, user_id, title, description, reminder_type, rrule, starts_at_local, timezone, rdate, exdate,
    cycle_days_on, cycle_days_off, shift_minutes, is_active, grace_minutes, repeat_every_minutes,
    max_repeats, escalate_to, medication_id, per_day, upcoming, expansion, expanded_to
  )
  select
    r.id, r.user_id, r.title, r.description, r.reminder_type, r.rrule, r.starts_at_local,
    r.timezone, r.rdate, r.exdate, r.cycle_days_on, r.cycle_days_off, r.shift_minutes,
    r.is_active, r.grace_minutes, r.repeat_every_minutes, r.max_repeats, r.escalate_to,
    r.medication_id, r.per_day, r.upcoming, r.expansion, r.expanded_to
  from jsonb_populate_record(
    null::public.reminders,
    jsonb_build_object(
      'id', v_id, 'user_id', tests.uid(p_owner), 'title', p_name, 'reminder_type', 'medication',
      'rrule', 'FREQ=DAILY', 'starts_at_local', '2027-01-01T08:00:00', 'timezone', 'UTC',
      'rdate', array[]::timestamp[], 'exdate', array[]::timestamp[], 'shift_minutes', 0,
      'is_active', true, 'grace_minutes', 60, 'max_repeats', 0, 'upcoming', p_upcoming,
      'expansion', 'open', 'expanded_to', '2027-01-01'
    ) || p_settings
  ) as r;
  return v_id;
end;
$$;
comment on function tests.make_reminder(text, text, timestamptz[], jsonb) is
  'A daily reminder that is due at p_upcoming; p_settings are columns that are to be otherwise.';

create function tests.make_medicine(p_name text, p_owner text, p_stock numeric default 30)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id constant uuid := tests.id(p_name);
begin
  insert into public.medications (id, user_id, name, dose, dose_unit, stock)
  values (v_id, tests.uid(p_owner), p_name, 500, 'mg', p_stock);
  return v_id;
end;
$$;
comment on function tests.make_medicine(text, text, numeric) is
  'A medicine of which p_stock units are left, one taken a dose.';
