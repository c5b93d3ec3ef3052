-- Records: the patient's medical history, its contents, the shares of single records, files, and the
-- import and export of FHIR bundles.
-- Needs: 20_care.sql (open charts). Policies: policies/25_records.sql. Who may do what with a record is
-- decided in 26_access.sql.

create table public.medical_records (
  id uuid primary key default gen_random_uuid(),
  patient_id uuid not null references public.patients (id) on delete restrict,
  title text not null,
  record_type text not null,
  record_date date,
  source text not null default 'upload',
  source_system text,
  source_id text,
  source_url text,
  sensitivity text not null default 'normal',
  file_name text,
  file_type text,
  file_size bigint,
  file_sha256 text,
  created_by uuid default auth.uid() references public.profiles (id) on delete set null,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint medical_records_title_check
    check (title = btrim(title) and length(title) between 1 and 300),
  constraint medical_records_record_type_check check (
    record_type in (
      'condition', 'observation', 'procedure', 'medication', 'immunization', 'diagnostic_report',
      'encounter', 'care_plan', 'imaging', 'lab_result', 'pathology', 'prescription',
      'discharge_summary', 'insurance', 'other'
    )
  ),
  constraint medical_records_record_date_check
    check (record_date between date '1880-01-01' and date '2200-01-01'),
  constraint medical_records_source_check check (source in ('upload', 'fhir', 'doctor')),
  constraint medical_records_source_id_check check (
    (source_system is null) = (source_id is null)
    and (source = 'fhir') = (source_id is not null)
    and length(source_system) between 1 and 500 and length(source_id) between 1 and 500
  ),
  constraint medical_records_source_url_check check (
    source_url is null or source = 'fhir' and length(source_url) between 1 and 500
  ),
  constraint medical_records_sensitivity_check check (sensitivity in ('normal', 'sensitive')),
  constraint medical_records_file_check check (
    num_nulls(file_name, file_type, file_size, file_sha256) in (0, 4)
    and file_size between 1 and 50000000
    and file_sha256 ~ '^[0-9a-f]{64}$'
  )
);
comment on table public.medical_records is
  'The list of a patient''s records: what, when, from where; what it says is in '
  'medical_record_contents. PHI.';
comment on column public.medical_records.record_date is
  'Clinical date in the place of care; null when the source gives none.';
comment on column public.medical_records.source is
  'upload (by the patient), doctor (added under an open chart), fhir (imported).';
comment on column public.medical_records.source_system is
  'Where an imported resource comes from, a URI; with source_id unique for the patient.';
comment on column public.medical_records.source_id is 'Resource there, for example Condition/123.';
comment on column public.medical_records.source_url is
  'fullUrl of the resource in the bundle it came with, by which other resources of that bundle refer '
  'to it; null when it had none.';
comment on column public.medical_records.sensitivity is
  'sensitive: a caregiver needs the scope of that name beside records.';
comment on column public.medical_records.file_type is 'Media type, as found in the file itself.';
comment on column public.medical_records.file_size is 'Bytes before encryption, at most 50 MB.';
comment on column public.medical_records.file_sha256 is
  'SHA-256 of the file before encryption, hexadecimal.';
comment on column public.medical_records.created_by is 'Who added it; null when that account is gone.';
comment on column public.medical_records.deleted_at is
  'When the patient deleted it: from then on only the patient sees the row. Null: not deleted.';

-- Newest first, as clients list it.
create index medical_records_patient_id_idx on public.medical_records
  (patient_id, record_date desc nulls last, id desc);
create index medical_records_record_type_idx on public.medical_records
  (patient_id, record_type, record_date desc nulls last, id desc);
create unique index medical_records_source_key on public.medical_records
  (patient_id, source_system, source_id) where source = 'fhir';
create index medical_records_created_by_idx on public.medical_records (created_by);

create trigger medical_records_set_updated_at
  before update on public.medical_records
  for each row execute function private.set_updated_at();
select private.audit_table('public.medical_records', 'medical_record', 'id', 'patient_id');

create function private.set_record_source()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  new.created_by := (select auth.uid());
  new.source := case when new.patient_id = (select auth.uid()) then 'upload' else 'doctor' end;
  return new;
end;
$$;
comment on function private.set_record_source() is
  'Trigger: a row that a client inserts says by whom, and whether the patient or a doctor.';
revoke execute on function private.set_record_source()
  from public, anon, authenticated, service_role;

create trigger medical_records_set_source
  before insert on public.medical_records
  for each row when (new.source <> 'fhir')
  execute function private.set_record_source();

create table public.medical_record_contents (
  record_id uuid primary key references public.medical_records (id) on delete cascade,
  patient_id uuid not null references public.patients (id) on delete restrict,
  sensitivity text not null,
  deleted_at timestamptz,
  description text,
  fhir jsonb,
  storage_path text,
  data_key_id uuid references private.data_keys (id) on delete restrict,
  metadata jsonb not null default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  -- Ciphertext only; a character has up to 4 bytes.
  constraint medical_record_contents_description_check
    check (private.is_sealed(description, 1, 80000)),
  constraint medical_record_contents_metadata_check
    check (jsonb_typeof(metadata) = 'object' and pg_column_size(metadata) <= 16384),
  constraint medical_record_contents_storage_path_check
    check (storage_path like patient_id::text || '/' || record_id::text || '/%'),
  -- No file without a key of its own.
  constraint medical_record_contents_data_key_check
    check ((storage_path is null) = (data_key_id is null))
);
comment on table public.medical_record_contents is
  'What a record says: at most one row a record. PHI. Apart from medical_records, because whom a '
  'record is shared with may list it, but reads its contents only after open_medical_record.';
comment on column public.medical_record_contents.patient_id is
  'Copied from the record by trigger, so that policies need no join.';
comment on column public.medical_record_contents.sensitivity is 'Copied from the record by trigger.';
comment on column public.medical_record_contents.deleted_at is 'Copied from the record by trigger.';
comment on column public.medical_record_contents.description is
  'Ciphertext, v1.<data key>.<base64 of nonce, ciphertext, tag>: read and written through the function '
  'records. At most 20,000 characters.';
comment on column public.medical_record_contents.fhir is 'The FHIR R4 resource as it was imported.';
comment on column public.medical_record_contents.storage_path is
  'Object in the private bucket medical-records: patient/record/uuid. Null: no file.';
comment on column public.medical_record_contents.data_key_id is
  'Key in private.data_keys that the object is encrypted with. Null: no file.';
comment on column public.medical_record_contents.metadata is 'The client''s own, an object of at most 16 KiB.';

create index medical_record_contents_patient_id_idx on public.medical_record_contents (patient_id);
-- A key seals one file.
create unique index medical_record_contents_data_key_id_key
  on public.medical_record_contents (data_key_id) where data_key_id is not null;

create trigger medical_record_contents_set_updated_at
  before update on public.medical_record_contents
  for each row execute function private.set_updated_at();
select private.audit_table(
  'public.medical_record_contents', 'medical_record_content', 'record_id', 'patient_id',
  'fhir,description'
);

create function private.copy_record_to_contents()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  -- Read with the caller's own rights: a record that the caller may not see is as absent.
  select r.patient_id, r.sensitivity, r.deleted_at
  into new.patient_id, new.sensitivity, new.deleted_at
  from public.medical_records as r
  where r.id = new.record_id
  -- Whoever marks or deletes the record at this moment comes before or after, never between.
  for share;
  if not found then
    -- One that the caller may read, yet not change, cannot be locked: the policy refuses the row.
    select r.patient_id, r.sensitivity, r.deleted_at
    into new.patient_id, new.sensitivity, new.deleted_at
    from public.medical_records as r
    where r.id = new.record_id;
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  return new;
end;
$$;
comment on function private.copy_record_to_contents() is
  'Trigger: takes over what policies need from the record. Errors: PT404 not_found.';
revoke execute on function private.copy_record_to_contents()
  from public, anon, authenticated, service_role;

create trigger medical_record_contents_copy_record
  before insert on public.medical_record_contents
  for each row when (new.patient_id is null) -- an import brings the copies itself
  execute function private.copy_record_to_contents();

create function private.keep_sensitive_mark()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  raise exception using errcode = 'PT403', message = 'forbidden',
    detail = 'Only the patient takes back that a record is sensitive';
end;
$$;
comment on function private.keep_sensitive_mark() is
  'Trigger: refuses that somebody but the patient makes a sensitive record a normal one. Errors: '
  'PT403 forbidden.';
revoke execute on function private.keep_sensitive_mark()
  from public, anon, authenticated, service_role;

create trigger medical_records_keep_sensitive_mark
  before update of sensitivity on public.medical_records
  for each row
  when (
    old.sensitivity = 'sensitive' and new.sensitivity = 'normal'
    and auth.uid() is not null and auth.uid() <> old.patient_id
  )
  execute function private.keep_sensitive_mark();

create function private.sync_record_contents()
  returns trigger
  language plpgsql
  security definer -- whoever may change the record need not be able to change its contents
  set search_path = ''
as $$
begin
  update public.medical_record_contents as c set
    sensitivity = new.sensitivity,
    deleted_at = new.deleted_at
  where c.record_id = new.id;
  return null;
end;
$$;
comment on function private.sync_record_contents() is
  'Trigger: keeps the copies in the contents equal to the record.';
revoke execute on function private.sync_record_contents()
  from public, anon, authenticated, service_role;

create trigger medical_records_sync_contents
  after update of sensitivity, deleted_at on public.medical_records
  for each row
  when (
    old.sensitivity is distinct from new.sensitivity or old.deleted_at is distinct from new.deleted_at
  )
  execute function private.sync_record_contents();

create table public.medical_record_shares (
  id uuid primary key default gen_random_uuid(),
  record_id uuid not null references public.medical_records (id) on delete restrict,
  patient_id uuid not null references public.patients (id) on delete restrict,
  shared_with_id uuid not null references public.profiles (id) on delete restrict,
  shared_by_id uuid not null references public.profiles (id) on delete restrict,
  access_level text not null default 'view',
  expires_at timestamptz not null,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint medical_record_shares_access_level_check check (access_level in ('view', 'download')),
  constraint medical_record_shares_expires_at_check
    check (expires_at > created_at and expires_at - created_at <= interval '366 days'),
  constraint medical_record_shares_revoked_at_check check (revoked_at >= created_at),
  constraint medical_record_shares_people_check check (shared_with_id <> patient_id),
  -- At any moment at most one share of a record with a person is live.
  -- (The two ids are one text, lest the planner take this index, slow for that, to find shares.)
  constraint medical_record_shares_one_live exclude using gist (
    (record_id::text || shared_with_id::text) with =,
    tstzrange(created_at, least(revoked_at, expires_at)) with &&
  )
);
comment on table public.medical_record_shares is
  'One record shown to one other account until a day. PHI. Live means revoked_at null and expires_at '
  'in the future; no job ends it.';
comment on column public.medical_record_shares.access_level is
  'view: list it and open its contents; download: also its file.';
comment on column public.medical_record_shares.expires_at is 'At most a year after it was made.';

create index medical_record_shares_record_id_idx on public.medical_record_shares (record_id);
create index medical_record_shares_patient_id_idx
  on public.medical_record_shares (patient_id, created_at desc, id);
create index medical_record_shares_shared_with_id_idx
  on public.medical_record_shares (shared_with_id, expires_at desc, id)
  include (record_id) where revoked_at is null;
create index medical_record_shares_shared_with_history_idx
  on public.medical_record_shares (shared_with_id);
create index medical_record_shares_shared_by_id_idx on public.medical_record_shares (shared_by_id);

create trigger medical_record_shares_set_updated_at
  before update on public.medical_record_shares
  for each row execute function private.set_updated_at();
select private.audit_table(
  'public.medical_record_shares', 'medical_record_share', 'id', 'patient_id'
);

create table private.record_uploads (
  id uuid primary key default gen_random_uuid(),
  record_id uuid not null references public.medical_records (id) on delete cascade,
  patient_id uuid not null references public.patients (id) on delete restrict,
  storage_path text not null unique,
  data_key_id uuid not null unique default gen_random_uuid(),
  file_name text not null,
  file_type text not null,
  file_size bigint not null,
  file_sha256 text not null,
  ciphertext_sha256 text,
  requested_by uuid not null,
  expires_at timestamptz not null,
  completed_at timestamptz,
  object_version text,
  rejected_at timestamptz,
  swept_at timestamptz,
  erased_at timestamptz,
  created_at timestamptz not null default now(),

  constraint record_uploads_file_name_check check (
    file_name !~ '[[:cntrl:]/\\]' and length(file_name) between 1 and 255
  ),
  constraint record_uploads_file_type_check check (
    file_type in (
      'application/pdf', 'image/jpeg', 'image/png', 'application/dicom', 'text/plain',
      'application/json'
    )
  ),
  constraint record_uploads_file_size_check check (file_size between 1 and 50000000),
  constraint record_uploads_file_sha256_check check (file_sha256 ~ '^[0-9a-f]{64}$'),
  constraint record_uploads_ciphertext_sha256_check check (
    ciphertext_sha256 ~ '^[0-9a-f]{64}$'
    and (ciphertext_sha256 is null) = (completed_at is null)
  ),
  constraint record_uploads_outcome_check check (
    case
      when completed_at is null then erased_at is null
      else rejected_at is null and (erased_at is not null or swept_at is null)
    end
  ),
  constraint record_uploads_object_version_check
    check ((completed_at is null) = (object_version is null))
);
comment on table private.record_uploads is
  'A file that was announced for a record, with what it was declared to be. PHI: the file name. Open '
  'means neither completed nor rejected; the upload itself must come before expires_at.';
comment on column private.record_uploads.object_version is
  'storage.objects.version of the bytes that were checked; no other ones are handed out.';
comment on column private.record_uploads.swept_at is
  'When what may have been uploaded was removed, because nothing came of it or it was erased. Null: '
  'not yet, or kept.';
comment on column private.record_uploads.data_key_id is
  'Key of the file in private.data_keys. No foreign key: the announcement comes before the key, which '
  'is made once the database has allowed it.';
comment on column private.record_uploads.file_size is 'Bytes before encryption.';
comment on column private.record_uploads.file_sha256 is 'SHA-256 before encryption, hexadecimal.';
comment on column private.record_uploads.ciphertext_sha256 is
  'SHA-256 of the object in Storage, hexadecimal; null until it is completed.';
comment on column private.record_uploads.erased_at is
  'When the completed file''s key was erased; null: it is the record''s file.';

-- A record has one file at a time; until then a newer announcement replaces an older one.
create unique index record_uploads_one_completed on private.record_uploads (record_id)
  where completed_at is not null and erased_at is null;
create index record_uploads_record_id_idx on private.record_uploads (record_id, created_at desc);
create index record_uploads_patient_id_idx on private.record_uploads (patient_id);
create index record_uploads_unswept_idx on private.record_uploads (expires_at)
  where (completed_at is null or erased_at is not null) and swept_at is null;
select private.audit_table('private.record_uploads', 'record_upload', 'id', 'patient_id');

create table private.patient_identifiers (
  id uuid primary key default gen_random_uuid(),
  patient_id uuid not null references public.patients (id) on delete cascade,
  system text not null,
  value text not null,
  created_at timestamptz not null default now(),

  constraint patient_identifiers_system_key unique (patient_id, system),
  constraint patient_identifiers_system_check check (length(system) between 1 and 510),
  constraint patient_identifiers_value_check check (length(value) between 1 and 500)
);
comment on table private.patient_identifiers is
  'Who a patient is in a system that bundles were imported from: the id of its FHIR Patient. PHI. '
  'A later bundle of that system about another id is refused as somebody else''s.';
comment on column private.patient_identifiers.system is
  'The source system, for the identifier that belongs to it; followed by " Patient", for the id of '
  'the resource itself.';

select private.audit_table(
  'private.patient_identifiers', 'patient_identifier', 'id', 'patient_id'
);

create table private.record_openings (
  viewer_id uuid not null references public.profiles (id) on delete cascade,
  record_id uuid not null references public.medical_records (id) on delete cascade,
  opened_at timestamptz not null,

  primary key (viewer_id, record_id)
);
comment on table private.record_openings is
  'When somebody last opened a record that is shared with them, which the audit trail says for '
  'good. PHI. Opens its contents to them for 60 minutes, while the share is live.';

create index record_openings_record_id_idx on private.record_openings (record_id);

-- RPC: shares ------------------------------------------------------------------------------------

create function private.share_medical_record(
  p_record_id uuid,
  p_shared_with_id uuid,
  p_access_level text,
  p_expires_at timestamptz
)
  returns jsonb
  language plpgsql
  security definer -- medical_record_shares is written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
  v_id uuid;
begin
  -- The lock makes shares of one record wait for each other here: in the exclusion constraint two of
  -- them would wait for one another, a deadlock.
  perform 1 from public.medical_records as r
    where r.id = p_record_id and r.deleted_at is null
      and (
        select d.allowed
        from private.access_decision(private.clinical_caller(), r.patient_id, r.id, 'share') as d
      )
    for no key update;
  if not found then
    return private.refuse_record('share_record', p_record_id);
  end if;
  if p_shared_with_id = v_caller then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot share a record with oneself';
  end if;
  -- Neither account closes between this check and the new share.
  perform 1 from public.profiles as p
    where p.id in (v_caller, p_shared_with_id) and p.is_active
    order by p.id
    for share;
  perform 1 from public.profiles as p
    where p.id = p_shared_with_id and p.is_active and private.is_permanent(p.id);
  if not found then
    return private.refuse(
      'share_record', 'medical_record', p_record_id, v_caller, 'not_found',
      'No account with this id'
    );
  end if;
  insert into public.medical_record_shares (
    record_id, patient_id, shared_with_id, shared_by_id, access_level, expires_at
  )
  values (p_record_id, v_caller, p_shared_with_id, v_caller, p_access_level, p_expires_at)
  returning id into v_id;
  perform private.notify(
    p_shared_with_id, 'record_shared',
    jsonb_build_object('share_id', v_id, 'record_id', p_record_id)
  );
  return to_jsonb(v_id);
exception
  when exclusion_violation then
    return private.refuse(
      'share_record', 'medical_record', p_record_id, v_caller, 'already_shared',
      'The record is shared with this account already: revoke that share first'
    );
  when check_violation or not_null_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A share has the level view or download and ends in the future, within a year';
end;
$$;
comment on function private.share_medical_record(uuid, uuid, text, timestamptz) is
  'Body of public.share_medical_record.';
revoke execute on function private.share_medical_record(uuid, uuid, text, timestamptz)
  from public, anon, service_role;
grant execute on function private.share_medical_record(uuid, uuid, text, timestamptz)
  to authenticated;

create function public.share_medical_record(
  p_record_id uuid,
  p_shared_with_id uuid,
  p_access_level text,
  p_expires_at timestamptz
)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.share_medical_record(p_record_id, p_shared_with_id, p_access_level, p_expires_at)
$$;
comment on function public.share_medical_record(uuid, uuid, text, timestamptz) is
  'Shares one of the caller''s own records with another account until p_expires_at (at most a year); '
  'p_access_level view or download. Answers the share''s id, or the error that refuses it, which is '
  'logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 '
  'already_shared.';
revoke execute on function public.share_medical_record(uuid, uuid, text, timestamptz)
  from public, anon, service_role;
grant execute on function public.share_medical_record(uuid, uuid, text, timestamptz)
  to authenticated;

create function private.revoke_record_share(p_id uuid)
  returns jsonb
  language plpgsql
  security definer -- medical_record_shares is written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.medical_record_shares as s set revoked_at = now()
  where s.id = p_id and v_caller in (s.patient_id, s.shared_with_id)
    and s.revoked_at is null and s.expires_at > now();
  if not found then
    perform 1 from public.medical_record_shares as s
      where s.id = p_id and v_caller in (s.patient_id, s.shared_with_id);
    if not found then
      return private.refuse(
        'revoke_share', 'medical_record_share', p_id,
        (select s.patient_id from public.medical_record_shares as s where s.id = p_id),
        'not_found', 'No share with this id'
      );
    end if;
  end if;
  return null;
end;
$$;
comment on function private.revoke_record_share(uuid) is 'Body of public.revoke_record_share.';
revoke execute on function private.revoke_record_share(uuid) from public, anon, service_role;
grant execute on function private.revoke_record_share(uuid) to authenticated;

create function public.revoke_record_share(p_id uuid)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.revoke_record_share(p_id)
$$;
comment on function public.revoke_record_share(uuid) is
  'The patient takes a share back, or its recipient gives it up, at once; ending an ended share '
  'changes nothing. Answers null, or the error that refuses it, which is logged. Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.revoke_record_share(uuid) from public, anon, service_role;
grant execute on function public.revoke_record_share(uuid) to authenticated;

-- RPC: records -----------------------------------------------------------------------------------

create function private.refuse_record(p_request text, p_record_id uuid)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.refuse(
    p_request, 'medical_record', p_record_id,
    (select r.patient_id from public.medical_records as r where r.id = p_record_id),
    'not_found', 'No record with this id'
  )
$$;
comment on function private.refuse_record(text, uuid) is
  'Refuses a request for a record that is not there for the caller: private.refuse with the patient '
  'whose it is. For definer functions only.';
revoke execute on function private.refuse_record(text, uuid)
  from public, anon, authenticated, service_role;

create type public.opened_record as (
  id uuid,
  patient_id uuid,
  title text,
  record_type text,
  record_date date,
  source text,
  sensitivity text,
  file_name text,
  file_type text,
  file_size bigint,
  file_sha256 text,
  may_download boolean,
  code text,
  message text,
  details text,
  hint text
);
comment on type public.opened_record is
  'Answer of open_medical_record: the record, or the error that refuses it (code to hint); the other '
  'members are null.';

create function private.open_medical_record(p_record_id uuid)
  returns public.opened_record
  language plpgsql
  security definer -- writes the opening, which no caller may
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
  v_ground text;
  v_patient_id uuid;
  v_opened public.opened_record;
begin
  select a.ground, a.patient_id into v_ground, v_patient_id
  from private.record_access(p_record_id) as a;
  if v_ground is null then
    return jsonb_populate_record(
      null::public.opened_record,
      private.refuse(
        'open_record', 'medical_record', p_record_id, v_patient_id, 'not_found',
        'No record with this id'
      )
    );
  end if;
  if v_ground <> 'owner' then
    perform private.write_audit('open_record', 'medical_record', p_record_id, v_patient_id,
      case when v_ground like 'share%' then 'share' end);
  end if;
  if v_ground like 'share%' then
    insert into private.record_openings as o (viewer_id, record_id, opened_at)
    values (v_caller, p_record_id, now())
    on conflict (viewer_id, record_id) do update set opened_at = excluded.opened_at;
  end if;
  select
    r.id, r.patient_id, r.title, r.record_type, r.record_date, r.source, r.sensitivity,
    r.file_name, r.file_type, r.file_size, r.file_sha256,
    r.file_name is not null and v_ground <> 'share_view',
    null, null, null, null
  into v_opened
  from public.medical_records as r
  where r.id = p_record_id;
  return v_opened;
end;
$$;
comment on function private.open_medical_record(uuid) is 'Body of public.open_medical_record.';

revoke execute on function private.open_medical_record(uuid) from public, anon, service_role;
grant execute on function private.open_medical_record(uuid) to authenticated;

create function public.open_medical_record(p_record_id uuid)
  returns public.opened_record
  language sql
  set search_path = ''
as $$
  select private.open_medical_record(p_record_id)
$$;
comment on function public.open_medical_record(uuid) is
  'Opens one record: for its patient, under an open chart, or by a live share; anyone but the '
  'patient leaves an audit row, as does a refusal. By a share this comes before its contents: '
  'medical_record_contents shows them from the next request on, for 60 minutes, while the share is '
  'live. They are not in this answer, '
  'because an error on the way out would take the audit row back. Errors: PT401 unauthenticated, '
  'PT404 not_found.';
revoke execute on function public.open_medical_record(uuid) from public, anon, service_role;
grant execute on function public.open_medical_record(uuid) to authenticated;

create function private.set_record_deleted(p_id uuid, p_deleted boolean)
  returns jsonb
  language plpgsql
  security definer -- deleted_at is no column that its owner may set
  set search_path = ''
as $$
begin
  perform private.require_live_session();
  update public.medical_records as r
  set deleted_at = case when p_deleted then coalesce(r.deleted_at, now()) end
  where r.id = p_id
    and (
      select d.allowed
      from private.access_decision(private.clinical_caller(), r.patient_id, r.id, 'delete') as d
    );
  if not found then
    return private.refuse_record(
      case when p_deleted then 'delete_record' else 'restore_record' end, p_id
    );
  end if;
  return null;
end;
$$;
comment on function private.set_record_deleted(uuid, boolean) is
  'Body of public.delete_medical_record and public.restore_medical_record.';
revoke execute on function private.set_record_deleted(uuid, boolean)
  from public, anon, service_role;
grant execute on function private.set_record_deleted(uuid, boolean) to authenticated;

create function public.delete_medical_record(p_id uuid)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.set_record_deleted(p_id, true)
$$;
comment on function public.delete_medical_record(uuid) is
  'The patient deletes a record: nobody else sees it from now on; it can be restored until retention '
  'removes it. Deleting twice changes nothing. Answers null, or the error that refuses it, which is '
  'logged. Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.delete_medical_record(uuid) from public, anon, service_role;
grant execute on function public.delete_medical_record(uuid) to authenticated;

create function public.restore_medical_record(p_id uuid)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.set_record_deleted(p_id, false)
$$;
comment on function public.restore_medical_record(uuid) is
  'The patient takes a deletion back; shares that are still live show the record again. Answers '
  'null, or the error that refuses it, which is logged. Errors: PT401 unauthenticated, PT404 '
  'not_found.';
revoke execute on function public.restore_medical_record(uuid) from public, anon, service_role;
grant execute on function public.restore_medical_record(uuid) to authenticated;

-- Files, called by the function `records` ----------------------------------------------------------

create function private.begin_record_upload(
  p_record_id uuid,
  p_file_name text,
  p_file_type text,
  p_file_size bigint,
  p_file_sha256 text
)
  returns table (
    upload_id uuid,
    storage_path text,
    expires_at timestamptz,
    data_key_id uuid,
    code text,
    message text,
    details text
  )
  language plpgsql
  security definer -- record_uploads is not writable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_patient_id constant uuid := private.writable_record(p_record_id);
  v_refusal jsonb;
  v_upload private.record_uploads;
begin
  if v_patient_id is null then
    v_refusal := private.refuse_record('upload_file', p_record_id);
  elsif exists (
    select 1 from public.medical_records as r
    where r.id = p_record_id and r.file_name is not null
  ) then
    v_refusal := private.refuse(
      'upload_file', 'medical_record', p_record_id, v_patient_id, 'already_uploaded',
      'The record has its file already'
    );
  end if;
  if v_refusal is not null then
    return query
      select null::uuid, null::text, null::timestamptz, null::uuid, f.code, f.message, f.details
      from jsonb_to_record(v_refusal) as f (code text, message text, details text);
    return;
  end if;
  insert into private.record_uploads (
    record_id, patient_id, storage_path, file_name, file_type, file_size, file_sha256, requested_by,
    expires_at
  )
  values (
    p_record_id,
    v_patient_id,
    format('%s/%s/%s', v_patient_id, p_record_id, gen_random_uuid()),
    p_file_name, p_file_type, p_file_size, p_file_sha256, v_caller, now() + interval '10 minutes'
  )
  returning * into v_upload;
  return query
    select v_upload.id, v_upload.storage_path, v_upload.expires_at, v_upload.data_key_id,
      null::text, null::text, null::text;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A file has a name of 1 to 255 characters, a known type, 1 to 50000000 bytes and a '
        || 'SHA-256 of 64 lower-case hexadecimal digits';
end;
$$;
comment on function private.begin_record_upload(uuid, text, text, bigint, text) is
  'Announces a file for a record. Returns where to put it, until when, and the id for its key, which '
  'add_record_file_key then brings; or the refusal, which is logged, in code, message and details: '
  'PT404 not_found, PT409 already_uploaded. Raises: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function private.begin_record_upload(uuid, text, text, bigint, text)
  from public, anon, service_role;
grant execute on function private.begin_record_upload(uuid, text, text, bigint, text)
  to authenticated;

create function private.pending_record_upload(p_record_id uuid, p_upload_id uuid default null)
  returns table (
    upload_id uuid,
    storage_path text,
    file_name text,
    file_type text,
    file_size bigint,
    file_sha256 text,
    ciphertext_sha256 text,
    completed_at timestamptz,
    object_version text,
    content_type text,
    content_encoding text,
    code text,
    message text,
    details text
  )
  language plpgsql
  security definer -- record_uploads is not readable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
begin
  perform private.require_live_session();
  if private.writable_record(p_record_id) is null then
    return query
      select null::uuid, null::text, null::text, null::text, null::bigint, null::text, null::text,
        null::timestamptz, null::text, null::text, null::text, f.code, f.message, f.details
      from jsonb_to_record(private.refuse_record('upload_file', p_record_id))
        as f (code text, message text, details text);
    return;
  end if;
  return query
    with announced as (
      select
        u.id, u.storage_path, u.file_name, u.file_type, u.file_size, u.file_sha256,
        u.ciphertext_sha256, u.expires_at, u.completed_at, u.created_at
      from private.record_uploads as u
      where u.record_id = p_record_id
        and (p_upload_id is null or u.id = p_upload_id)
        and u.rejected_at is null
        and u.erased_at is null
        -- The file may lie there by then; an hour more lets a slow client still say so.
        and (u.completed_at is not null or u.expires_at > now() - interval '1 hour')
    ), newest as (
      select a.file_name, a.file_type, a.file_size, a.file_sha256
      from announced as a
      order by a.completed_at nulls last, a.created_at desc, a.id
      limit 1
    )
    -- Of announcements of the same file any may have been answered to the client: where it lies counts.
    select
      a.id, a.storage_path, a.file_name, a.file_type, a.file_size, a.file_sha256,
      a.ciphertext_sha256, a.completed_at, o.version, o.metadata ->> 'mimetype',
      o.metadata ->> 'contentEncoding', null::text, null::text, null::text
    from newest as n
    join announced as a
      on (a.file_name, a.file_type, a.file_size, a.file_sha256)
        = (n.file_name, n.file_type, n.file_size, n.file_sha256)
    left join storage.objects as o
      on o.bucket_id = 'medical-records' and o.name = a.storage_path and o.created_at <= a.expires_at
    order by a.completed_at nulls last, o.id is null, a.created_at desc, a.id
    limit 1;
  if not found then
    raise exception using errcode = 'PT409', message = 'upload_missing',
      detail = 'No file has been announced for the record, or not in time';
  end if;
end;
$$;
comment on function private.pending_record_upload(uuid, uuid) is
  'The completed announcement of a record, or its newest open one, or the one of an id, with what '
  'Storage has there; object_version is null while nothing has arrived in time; or the refusal, '
  'which is logged, in code, message and details: PT404 not_found. Raises: PT401 unauthenticated, '
  'PT409 upload_missing.';
revoke execute on function private.pending_record_upload(uuid, uuid)
  from public, anon, service_role;
grant execute on function private.pending_record_upload(uuid, uuid) to authenticated;

create function private.complete_record_upload(
  p_upload_id uuid,
  p_object_version text,
  p_ciphertext_sha256 text
)
  returns jsonb
  language plpgsql
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
declare
  v_upload private.record_uploads;
begin
  perform private.require_live_session();
  -- Reading a file takes seconds, in which rights end. What ends them for this record comes before
  -- this lock, and is seen below, or after this transaction.
  perform 1
  from public.medical_records as r
  where r.id = (select u.record_id from private.record_uploads as u where u.id = p_upload_id)
  for no key update;
  select u.* into v_upload from private.record_uploads as u where u.id = p_upload_id for update;
  if not found
    or num_nonnulls(v_upload.rejected_at, v_upload.erased_at) > 0
    or (v_upload.completed_at is null and v_upload.expires_at <= now() - interval '1 hour')
  then
    raise exception using errcode = 'PT409', message = 'upload_missing',
      detail = 'The announcement is gone, was rejected, or is too old';
  end if;
  if private.writable_record(v_upload.record_id) is null then
    return private.refuse_record('upload_file', v_upload.record_id);
  end if;
  if v_upload.completed_at is not null then
    return null;
  end if;
  perform 1
  from storage.objects as o
  where o.bucket_id = 'medical-records' and o.name = v_upload.storage_path
    and o.version = p_object_version and o.created_at <= v_upload.expires_at
  for share;
  if not found then
    raise exception using errcode = 'PT409', message = 'upload_missing',
      detail = 'The uploaded file is gone, or is not the one that was checked';
  end if;
  perform 1 from private.data_keys as k
    where k.id = v_upload.data_key_id and k.subject_id = v_upload.record_id and k.erased_at is null
    for share;
  if not found then
    raise exception using errcode = 'PT409', message = 'upload_missing',
      detail = 'The key of the announced file is gone';
  end if;
  update private.record_uploads as u set
    completed_at = now(),
    object_version = p_object_version,
    ciphertext_sha256 = p_ciphertext_sha256
  where u.id = p_upload_id;
  update public.medical_records as r set
    file_name = v_upload.file_name,
    file_type = v_upload.file_type,
    file_size = v_upload.file_size,
    file_sha256 = v_upload.file_sha256
  where r.id = v_upload.record_id;
  insert into public.medical_record_contents as c (record_id, storage_path, data_key_id)
  values (v_upload.record_id, v_upload.storage_path, v_upload.data_key_id)
  on conflict (record_id) do update set
    storage_path = excluded.storage_path,
    data_key_id = excluded.data_key_id;
  perform private.write_audit(
    'upload_file', 'medical_record', v_upload.record_id,
    (select r.patient_id from public.medical_records as r where r.id = v_upload.record_id)
  );
  return null;
exception
  when unique_violation then
    return private.refuse(
      'upload_file', 'medical_record', v_upload.record_id, v_upload.patient_id, 'already_uploaded',
      'The record has its file already'
    );
end;
$$;
comment on function private.complete_record_upload(uuid, text, text) is
  'Gives a record the file of a checked upload, while its object still is the version that was read '
  'and the caller may still write the record; repeating it changes nothing. Answers null, or the '
  'error that refuses it, which is logged: PT404 not_found, PT409 already_uploaded. Raises: PT401 '
  'unauthenticated, PT409 upload_missing.';
revoke execute on function private.complete_record_upload(uuid, text, text)
  from public, anon, authenticated, service_role;
grant execute on function private.complete_record_upload(uuid, text, text) to records_worker;

create function private.reject_record_upload(p_upload_id uuid)
  returns boolean
  language plpgsql
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
declare
  v_upload private.record_uploads;
begin
  update private.record_uploads as u set rejected_at = coalesce(u.rejected_at, now())
  where u.id = p_upload_id and u.completed_at is null
  returning u.* into v_upload;
  if not found then
    return false;
  end if;
  -- Whatever comes to lie at its place, now or later, nobody can read.
  update private.data_keys as k set wrapped_key = null, claimed_until = null, erased_at = now()
  where k.id = v_upload.data_key_id and k.purpose = 'record_file' and k.erased_at is null;
  return true;
end;
$$;
comment on function private.reject_record_upload(uuid) is
  'Closes an upload whose file was not what had been announced, and erases its key; repeating it '
  'changes nothing. Answers whether it is rejected, so that nobody will take it over and its object '
  'may be removed.';
revoke execute on function private.reject_record_upload(uuid)
  from public, anon, authenticated, service_role;
grant execute on function private.reject_record_upload(uuid) to records_worker;

-- An address that was signed for an upload takes it for two hours, whatever has become of the
-- announcement since, and nothing is taken over an hour after its end: three hours after it nothing
-- can come of an upload any more.
create function private.ended_record_uploads(p_limit integer)
  returns table (upload_id uuid, storage_path text)
  language sql
  stable
  security definer -- the worker has no rights on the table itself
  set search_path = ''
as $$
  select u.id, u.storage_path
  from private.record_uploads as u
  where (u.completed_at is null or u.erased_at is not null) and u.swept_at is null
    and u.expires_at < now() - interval '3 hours'
  order by u.expires_at, u.id
  limit p_limit
$$;
comment on function private.ended_record_uploads(integer) is
  'Uploads of which nothing came, rejected, expired or overtaken, or whose file was erased, and nothing '
  'can come any more, oldest first: what lies there may be removed.';

create function private.note_uploads_swept(p_upload_ids uuid[])
  returns void
  language sql
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
  with swept as (
    update private.record_uploads as u set swept_at = now()
    where u.id = any (p_upload_ids) and (u.completed_at is null or u.erased_at is not null)
      and u.swept_at is null and u.expires_at < now() - interval '3 hours'
    returning u.data_key_id
  )
  update private.data_keys as k set wrapped_key = null, claimed_until = null, erased_at = now()
  from swept as s
  where k.id = s.data_key_id and k.purpose = 'record_file' and k.erased_at is null
$$;
comment on function private.note_uploads_swept(uuid[]) is
  'Notes that the objects of ended uploads have been removed, and erases their keys; repeating it '
  'changes nothing.';
revoke execute on function
  private.ended_record_uploads(integer), private.note_uploads_swept(uuid[])
from public, anon, authenticated, service_role;
grant execute on function
  private.ended_record_uploads(integer), private.note_uploads_swept(uuid[])
to records_worker;

create type private.record_download as (
  storage_path text,
  file_name text,
  file_type text,
  file_size bigint,
  file_sha256 text,
  code text,
  message text,
  details text
);
comment on type private.record_download is
  'Answer of authorize_record_download: where the file is and what it is, or the error that refuses '
  'it (code to details); the other members are null.';

create function private.authorize_record_download(p_record_id uuid)
  returns private.record_download
  language plpgsql
  security definer -- decides and logs for callers who may not read the contents, where the path is
  set search_path = ''
as $$
declare
  v_ground text;
  v_patient_id uuid;
  v_download private.record_download;
begin
  perform private.require_live_session();
  select a.ground, a.patient_id into v_ground, v_patient_id
  from private.record_access(p_record_id) as a;
  if v_ground is null or v_ground = 'share_view' then
    return jsonb_populate_record(
      null::private.record_download,
      private.refuse(
        'download_file', 'medical_record', p_record_id, v_patient_id,
        case when v_ground is null then 'not_found' else 'forbidden' end,
        case
          when v_ground is null then 'No record with this id'
          else 'The record is shared for viewing, not for download'
        end,
        p_purpose => case when v_ground is not null then 'share' end
      )
    );
  end if;
  select c.storage_path, r.file_name, r.file_type, r.file_size, r.file_sha256, null, null, null
  into v_download
  from public.medical_records as r
  join public.medical_record_contents as c on c.record_id = r.id
  join private.record_uploads as u on u.storage_path = c.storage_path
  -- Bytes that were put there after the check are not the record's file.
  join storage.objects as o
    on o.bucket_id = 'medical-records' and o.name = u.storage_path and o.version = u.object_version
  where r.id = p_record_id and r.file_name is not null;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'The record has no file that was checked';
  end if;
  perform private.write_audit('download_file', 'medical_record', p_record_id, v_patient_id,
    case when v_ground = 'share_download' then 'share' end);
  return v_download;
end;
$$;
comment on function private.authorize_record_download(uuid) is
  'Decides on and logs a download, the patient''s own included, or the refusal of one, which it '
  'answers in code, message and details: PT403 forbidden (shared for viewing only), PT404 not_found. '
  'Raises: PT401 unauthenticated, PT404 not_found for a record without file.';
revoke execute on function private.authorize_record_download(uuid) from public, anon, service_role;
grant execute on function private.authorize_record_download(uuid) to authenticated;

-- Import, called by the function `records` ---------------------------------------------------------

create function private.letters(p_text text)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select lower(regexp_replace(p_text, '[^[:alpha:]]', '', 'g'))
$$;
comment on function private.letters(text) is
  'The letters of a name in lower case: how names are compared between systems.';
revoke execute on function private.letters(text) from public, anon, authenticated, service_role;

create function private.merge_imported_patient(
  p_patient_id uuid,
  p_source_system text,
  p_patient jsonb
)
  returns void
  language plpgsql
  security definer -- called by import_records, which has decided on the right
  set search_path = ''
as $$
declare
  v_known public.patients;
  v_given record;
  v_linked text;
  v_linked_resource text;
begin
  select p.* into v_known from public.patients as p where p.id = p_patient_id;
  select g.* into v_given from jsonb_to_record(p_patient) as g (
    is_reference boolean, source_id text, resource_id text, first_name text, last_name text, date_of_birth date,
    gender text, phone text, address text, city text, state text, postal_code text, country text,
    search_keys jsonb
  );
  select i.value into v_linked from private.patient_identifiers as i
  where i.patient_id = p_patient_id and i.system = p_source_system;
  select i.value into v_linked_resource from private.patient_identifiers as i
  where i.patient_id = p_patient_id and i.system = p_source_system || ' Patient';

  if v_linked <> v_given.source_id
    -- Where a bundle gives no more than the id of a resource, that has to tell people apart.
    or v_given.source_id is null and v_linked_resource <> v_given.resource_id
    or v_known.date_of_birth <> v_given.date_of_birth
    or (
      private.letters(v_known.first_name) <> private.letters(v_given.first_name)
      and private.letters(v_known.last_name) <> private.letters(v_given.last_name)
    )
  then
    raise exception using errcode = 'PT422', message = 'wrong_patient',
      detail = 'The bundle is about somebody else: date of birth, names or patient id differ';
  end if;

  perform private.require_patient_key(p_patient_id, array[v_given.phone, v_given.address]);
  update public.patients as p set
    first_name = coalesce(p.first_name, v_given.first_name),
    last_name = coalesce(p.last_name, v_given.last_name),
    date_of_birth = coalesce(p.date_of_birth, v_given.date_of_birth),
    gender = coalesce(p.gender, v_given.gender),
    phone = coalesce(p.phone, v_given.phone),
    address = coalesce(p.address, v_given.address),
    city = coalesce(p.city, v_given.city),
    state = coalesce(p.state, v_given.state),
    postal_code = coalesce(p.postal_code, v_given.postal_code),
    country = coalesce(p.country, v_given.country)
  where p.id = p_patient_id
    and (
      p.first_name is null and v_given.first_name is not null
      or p.last_name is null and v_given.last_name is not null
      or p.date_of_birth is null and v_given.date_of_birth is not null
      or p.gender is null and v_given.gender is not null
      or p.phone is null and v_given.phone is not null
      or p.address is null and v_given.address is not null
      or p.city is null and v_given.city is not null
      or p.state is null and v_given.state is not null
      or p.postal_code is null and v_given.postal_code is not null
      or p.country is null and v_given.country is not null
    );
  if v_known.phone is null and v_given.phone is not null then
    perform private.set_search_keys(p_patient_id, v_given.search_keys);
  end if;
  -- A bundle that only refers to somebody has not shown that it is this patient.
  if v_given.is_reference is not true then
    insert into private.patient_identifiers (patient_id, system, value)
    select p_patient_id, n.system, n.value
    from (
      values
        (p_source_system, v_given.source_id),
        (p_source_system || ' Patient', v_given.resource_id)
    ) as n (system, value)
    where n.value is not null
    on conflict (patient_id, system) do nothing;
  end if;
end;
$$;
comment on function private.merge_imported_patient(uuid, text, jsonb) is
  'Compares the Patient of a bundle with the registry, fills what is empty there, and remembers the '
  'patient''s ids in the source system. Two names that both differ, another date of birth or another '
  'id there mean somebody else. Of a bundle without a Patient it compares the ids. Phone and address '
  'come sealed. Errors: PT422 wrong_patient, PT503 unavailable when the patient''s key has changed.';
revoke execute on function private.merge_imported_patient(uuid, text, jsonb)
  from public, anon, authenticated, service_role;

create function private.resource_time(p_fhir jsonb)
  returns timestamptz
  language sql
  stable
  set search_path = ''
as $$
  select case
    when pg_input_is_valid(p_fhir #>> '{meta,lastUpdated}', 'timestamptz')
      then (p_fhir #>> '{meta,lastUpdated}')::timestamptz
  end
$$;
comment on function private.resource_time(jsonb) is
  'When the source system last changed a FHIR resource; null when it does not say.';
revoke execute on function private.resource_time(jsonb)
  from public, anon, authenticated, service_role;

create function private.import_records(
  p_patient_id uuid,
  p_source_system text,
  p_patient jsonb,
  p_rows jsonb
)
  returns table (source_id text, outcome text)
  language plpgsql
  security definer -- source, source_id and fhir are no columns that a client may write
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
begin
  -- The lock makes imports for one patient wait for each other: what is new is then known for sure.
  perform 1 from public.patients as p
    where p.id = p_patient_id
      and (
        select d.allowed
        from private.access_decision(private.clinical_caller(), p.id, null, 'write') as d
      )
    for no key update; -- what refers to the patient, a new share for example, need not wait
  if not found then
    perform private.refuse(
      'import_records', 'medical_record', null, p_patient_id, 'not_found', 'No patient with this id'
    );
    return query select null::text, 'not_found';
    return;
  end if;
  if exists (
    select 1 from jsonb_to_recordset(p_rows) as r (source_id text)
    group by r.source_id having count(*) > 1
  ) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A source id stands twice among the rows';
  end if;
  if p_patient is not null then
    perform private.merge_imported_patient(p_patient_id, p_source_system, p_patient);
  end if;

  return query
    with incoming as materialized (
      select
        r.source_id, r.source_url, r.record_type, r.title, r.record_date, r.sensitivity, r.fhir
      from jsonb_to_recordset(p_rows) as r (
        source_id text, source_url text, record_type text, title text, record_date date,
        sensitivity text, fhir jsonb
      )
    ), compared as materialized (
      select
        i.source_id, i.record_type, i.title, i.record_date, i.fhir,
        i.sensitivity,
        coalesce(i.source_url, m.source_url) as source_url,
        coalesce(m.id, gen_random_uuid()) as record_id,
        case
          when m.id is null then 'imported'
          -- What the patient has deleted is theirs alone, and looks to others like nothing new.
          when m.deleted_at is not null and p_patient_id <> v_caller then 'unchanged'
          -- Title, type and date follow from the resource; where it is the same, they are the patient's.
          when i.fhir is not distinct from c.fhir
            and (i.source_url is null or i.source_url is not distinct from m.source_url)
            and (i.sensitivity = 'normal' or m.sensitivity = 'sensitive')
            then 'unchanged'
          when p_patient_id <> v_caller and m.created_by is distinct from v_caller then 'kept'
          when private.resource_time(i.fhir) < private.resource_time(c.fhir) then 'kept'
          else 'updated'
        end as outcome
      from incoming as i
      left join public.medical_records as m
        on m.patient_id = p_patient_id and m.source_system = p_source_system
        and m.source_id = i.source_id and m.source = 'fhir'
      left join public.medical_record_contents as c on c.record_id = m.id
    ), inserted as (
      insert into public.medical_records (
        id, patient_id, title, record_type, record_date, source, source_system, source_id,
        source_url, sensitivity, created_by
      )
      select
        n.record_id, p_patient_id, n.title, n.record_type, n.record_date, 'fhir', p_source_system,
        n.source_id, n.source_url, n.sensitivity, v_caller
      from compared as n
      where n.outcome = 'imported'
    ), inserted_contents as (
      insert into public.medical_record_contents (record_id, patient_id, sensitivity, fhir)
      select n.record_id, p_patient_id, n.sensitivity, n.fhir
      from compared as n
      where n.outcome = 'imported'
    ), updated as (
      update public.medical_records as m set
        title = n.title,
        record_type = n.record_type,
        record_date = n.record_date,
        source_url = n.source_url,
        -- A patient may have marked it sensitive, even while this runs; an import never takes that
        -- back.
        sensitivity = case when m.sensitivity = 'sensitive' then 'sensitive' else n.sensitivity end
      from compared as n
      where n.outcome = 'updated' and m.id = n.record_id
    ), updated_contents as (
      update public.medical_record_contents as c set fhir = n.fhir
      from compared as n
      where n.outcome = 'updated' and c.record_id = n.record_id
    )
    select n.source_id, n.outcome from compared as n;
exception
  when check_violation or not_null_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A row has a title of 1 to 300 characters, a known record type, a date from 1880 on, '
        || 'a sensitivity and a source id';
end;
$$;
comment on function private.import_records(uuid, text, jsonb, jsonb) is
  'Writes the resources of a FHIR bundle as records of a patient, for the patient or a doctor with '
  'the chart open, in one statement. p_rows: array of {source_id, source_url, record_type, title, '
  'record_date, sensitivity, fhir}; p_patient: registry fields of the bundle''s Patient, phone and '
  'address sealed, with the search_keys of the phone, and its ids, or null. Returns for each row '
  'imported, updated, unchanged, or kept: it differs, but is newer than '
  'what comes, or another than the doctor who imports added it. A caller without the right on the '
  'patient is refused by one row with the outcome not_found, so that the refusal is logged. Errors: '
  'PT400 invalid_request, PT401 unauthenticated, PT422 wrong_patient.';
revoke execute on function private.import_records(uuid, text, jsonb, jsonb)
  from public, anon, service_role;
grant execute on function private.import_records(uuid, text, jsonb, jsonb) to authenticated;

-- Export, called by the function `records` ---------------------------------------------------------

create function private.export_grounds(p_patient_id uuid)
  returns text[]
  language plpgsql -- not sql: its plans are kept, and an export asks again and again
  stable
  security definer -- decides for callers who may not see the rows
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.clinical_caller();
  v_grounds text[] := '{}';
begin
  if v_caller is null then
    return '{}';
  end if;
  if p_patient_id = v_caller then
    return array(select 'owner' from public.patients as p where p.id = v_caller);
  end if;
  if p_patient_id in (select private.chart_patient_ids('records')) then
    v_grounds := array['chart'];
    if p_patient_id in (select private.chart_patient_ids('sensitive')) then
      v_grounds := v_grounds || array['sensitive'];
    end if;
  end if;
  return v_grounds || array(
    select r.id::text
    from public.medical_records as r
    where r.id = any (array(select private.opened_record_ids()))
      and r.patient_id = p_patient_id
      and r.deleted_at is null
    order by r.id
  );
end;
$$;
comment on function private.export_grounds(uuid) is
  'By what the caller may take a patient''s records along now: owner; or chart, with sensitive where '
  'those records are seen, too, and the ids of records that were opened by a share; empty when by '
  'nothing. Row-level security decides on every row all the same: this is for the answer 404, and for '
  'an export under way to notice that a right has gone.';
revoke execute on function private.export_grounds(uuid) from public, anon, service_role;
grant execute on function private.export_grounds(uuid) to authenticated;

create function private.authorize_export(
  p_patient_id uuid,
  p_since timestamptz,
  p_resource_types text[]
)
  returns table (grounds text[], identifiers jsonb, code text, message text, details text)
  language plpgsql
  security definer -- writes the audit row and reads patient_identifiers, which no caller may
  set search_path = ''
as $$
declare
  v_grounds text[];
begin
  perform private.require_live_session();
  v_grounds := private.export_grounds(p_patient_id);
  if v_grounds = '{}' then
    return query
      select null::text[], null::jsonb, f.code, f.message, f.details
      from jsonb_to_record(
        private.refuse(
          'export_records', 'patient', p_patient_id, p_patient_id, 'not_found',
          'No patient with this id'
        )
      ) as f (code text, message text, details text);
    return;
  end if;
  perform private.write_audit(
    'export_records', 'patient', p_patient_id, p_patient_id,
    case when not v_grounds && array['owner', 'chart'] then 'share' end,
    nullif(
      jsonb_strip_nulls(
        jsonb_build_object('since', p_since, 'resource_types', to_jsonb(p_resource_types))
      ),
      '{}'
    )
  );
  return query
    select
      v_grounds,
      -- Who sees the registry row sees who that is elsewhere.
      (
        select coalesce(
          jsonb_agg(
            jsonb_build_object('system', i.system, 'value', i.value) order by i.created_at, i.system
          ),
          '[]'
        )
        from private.patient_identifiers as i
        where i.patient_id = p_patient_id and v_grounds && array['owner', 'chart']
          and right(i.system, 8) <> ' Patient' -- ids of resources are no identifiers
      ),
      null::text, null::text, null::text;
end;
$$;
comment on function private.authorize_export(uuid, timestamptz, text[]) is
  'Decides on and logs an export, the patient''s own included, with the filter it was asked with; '
  'commit before the first byte goes out. Returns export_grounds, and the patient''s ids in other '
  'systems, [{system, value}], first linked first; or the refusal, which is logged, in code, message '
  'and details: PT404 not_found. Raises: PT401 unauthenticated.';
revoke execute on function private.authorize_export(uuid, timestamptz, text[])
  from public, anon, service_role;
grant execute on function private.authorize_export(uuid, timestamptz, text[]) to authenticated;
