-- Keys: data keys in wrapped form. Each file of a record and each patient's registry fields have a key
-- of their own; functions wrap them under a key-encryption key that never comes here.
-- The function `keys` wraps them anew when the key-encryption key has a new version.
-- Needs: 00_platform.sql; 15_audit.sql when it runs. Policies: policies/12_keys.sql.

create table private.data_keys (
  id uuid primary key default gen_random_uuid(),
  purpose text not null,
  subject_id uuid not null,
  key_id text not null,
  key_version integer not null,
  wrapped_key bytea,
  created_at timestamptz not null default now(),
  rewrapped_at timestamptz,
  claimed_until timestamptz,
  erased_at timestamptz,

  constraint data_keys_purpose_check check (purpose in ('record_file', 'patient_fields')),
  constraint data_keys_key_id_check check (key_id ~ '^[a-z][a-z0-9-]{0,31}$'),
  constraint data_keys_key_version_check check (key_version between 1 and 999999),
  -- 12 bytes of nonce, 32 of key, 16 of tag.
  constraint data_keys_wrapped_key_check check (octet_length(wrapped_key) = 60),
  constraint data_keys_erased_check check ((wrapped_key is null) = (erased_at is not null))
);
comment on table private.data_keys is
  'Data keys (AES-256), each wrapped with AES-256-GCM under a version of the key-encryption key. What '
  'a key has sealed cannot be read any more once its wrapped form is erased. No foreign key: a key is '
  'made before what it seals, and its erasure outlives it.';
comment on column private.data_keys.id is 'The key; part of what the wrapping authenticates.';
comment on column private.data_keys.purpose is
  'record_file: one file of a record; patient_fields: the encrypted columns of a patient and of the '
  'contents of their records.';
comment on column private.data_keys.subject_id is
  'What it belongs to: the record, or the patient.';
comment on column private.data_keys.key_id is 'Name of the key-encryption key.';
comment on column private.data_keys.key_version is 'Version of the key-encryption key, from 1.';
comment on column private.data_keys.wrapped_key is
  'Nonce (12 bytes), ciphertext and tag; null when erased.';
comment on column private.data_keys.rewrapped_at is 'Last change to another version; null: none.';
comment on column private.data_keys.claimed_until is
  'Until when a run of the rotation has it in hand; null or past: nobody has.';
comment on column private.data_keys.erased_at is
  'When the wrapped form was erased: what the key has sealed is unreadable from then on.';

create index data_keys_subject_id_idx on private.data_keys (subject_id, purpose);
-- A patient has one key for their fields at a time.
create unique index data_keys_one_patient_key on private.data_keys (subject_id)
  where purpose = 'patient_fields' and erased_at is null;
-- What is still under an old version, in the order in which it is re-wrapped.
create index data_keys_key_version_idx on private.data_keys (key_version, id)
  where erased_at is null;

create table private.key_versions (
  key_id text not null,
  key_version integer not null,
  first_used_at timestamptz not null default now(),

  primary key (key_id, key_version)
);
comment on table private.key_versions is
  'Versions of the key-encryption key that have wrapped a data key, and since when. Not PHI; no key is '
  'here.';

create function private.note_key_version()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  insert into private.key_versions (key_id, key_version)
  values (new.key_id, new.key_version)
  on conflict (key_id, key_version) do nothing;
  return null;
end;
$$;
comment on function private.note_key_version() is
  'Trigger: remembers when a version of the key-encryption key wrapped its first data key.';
revoke execute on function private.note_key_version()
  from public, anon, authenticated, service_role;

create trigger data_keys_note_version_insert
  after insert on private.data_keys
  for each row execute function private.note_key_version();
create trigger data_keys_note_version_update
  after update of key_id, key_version on private.data_keys
  for each row
  when (old.key_id <> new.key_id or old.key_version <> new.key_version)
  execute function private.note_key_version();

-- Rotation, called by the function `keys` ----------------------------------------------------------

create function private.claim_data_keys(
  p_key_version integer,
  p_limit integer,
  p_claim_seconds integer default 60
)
  returns table (
    id uuid,
    purpose text,
    subject_id uuid,
    key_id text,
    key_version integer,
    wrapped_key text
  )
  language sql
  security definer -- the worker has no rights on the table itself
  set search_path = ''
as $$
  update private.data_keys as k
  set claimed_until = now() + make_interval(secs => p_claim_seconds)
  -- An array, which is made once: a join may look for the next ones again for each row, and take more.
  where k.id = any (array(
    select c.id
    from private.data_keys as c
    where c.key_version < p_key_version and c.erased_at is null
      and (c.claimed_until is null or c.claimed_until <= now())
    -- Those that failed before come last, so that they hold up nobody.
    order by c.claimed_until nulls first, c.key_version, c.id
    limit p_limit
    -- What another run is claiming at this moment, or somebody is erasing, is not waited for.
    for update skip locked
  ))
  returning k.id, k.purpose, k.subject_id, k.key_id, k.key_version, encode(k.wrapped_key, 'hex')
$$;
comment on function private.claim_data_keys(integer, integer, integer) is
  'Hands a run of the rotation up to p_limit data keys that are under an older version than '
  'p_key_version, wrapped keys in hexadecimal. No other run gets them for p_claim_seconds; a run that '
  'dies leaves them to the next one after that.';
revoke execute on function private.claim_data_keys(integer, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function private.claim_data_keys(integer, integer, integer) to keys_worker;

create function private.store_rewrapped_keys(
  p_key_id text,
  p_key_version integer,
  p_keys jsonb
)
  returns integer
  language plpgsql
  security definer -- the worker has no rights on the table itself
  set search_path = ''
as $$
declare
  v_count integer;
begin
  update private.data_keys as k set
    key_id = p_key_id,
    key_version = p_key_version,
    wrapped_key = decode(n.wrapped_key, 'hex'),
    rewrapped_at = now(),
    claimed_until = null
  from jsonb_to_recordset(p_keys) as n (id uuid, was text, wrapped_key text)
  -- Only what is still as it was handed out: a key that was erased meanwhile stays erased, and of two
  -- runs that had the same key the first one counts.
  where k.id = n.id and k.wrapped_key = decode(n.was, 'hex') and k.key_version < p_key_version;
  get diagnostics v_count = row_count;
  if v_count > 0 then
    perform private.write_audit(
      'rotate_keys', 'data_key', null, null, null,
      jsonb_build_object('key_id', p_key_id, 'key_version', p_key_version, 'data_keys', v_count)
    );
  end if;
  return v_count;
end;
$$;
comment on function private.store_rewrapped_keys(text, integer, jsonb) is
  'Takes data keys back that were wrapped under a newer version. p_keys: array of {id, was, '
  'wrapped_key}, the wrapped forms before and after in hexadecimal. Returns how many it took; one that '
  'has changed since it was handed out is left as it is. Writes one audit row, without keys.';
revoke execute on function private.store_rewrapped_keys(text, integer, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function private.store_rewrapped_keys(text, integer, jsonb) to keys_worker;

create function private.key_status()
  returns table (
    key_id text,
    key_version integer,
    first_used_at timestamptz,
    record_files bigint,
    patient_fields bigint,
    erased bigint
  )
  language sql
  stable
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
  select
    v.key_id,
    v.key_version,
    v.first_used_at,
    count(*) filter (where k.erased_at is null and k.purpose = 'record_file'),
    count(*) filter (where k.erased_at is null and k.purpose = 'patient_fields'),
    count(*) filter (where k.erased_at is not null)
  from private.key_versions as v
  left join private.data_keys as k on k.key_id = v.key_id and k.key_version = v.key_version
  group by v.key_id, v.key_version
  order by v.key_version, v.key_id
$$;
comment on function private.key_status() is
  'Versions of the key-encryption key that were ever used, with the number of data keys that each '
  'wraps now, by purpose, and of those that were erased while under it.';
revoke execute on function private.key_status() from public, anon, authenticated, service_role;
grant execute on function private.key_status() to keys_worker;

-- Erasing ----------------------------------------------------------------------------------------

create function private.erase_data_keys(p_purpose text, p_subject_id uuid)
  returns integer
  language plpgsql
  security definer -- called by functions that have decided on the right; no role may call it
  set search_path = ''
as $$
declare
  v_count integer;
begin
  update private.data_keys as k set
    wrapped_key = null,
    claimed_until = null,
    erased_at = now()
  where k.purpose = p_purpose and k.subject_id = p_subject_id and k.erased_at is null;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.erase_data_keys(text, uuid) is
  'Erases every data key of one subject: what they have sealed is unreadable for ever. Returns how '
  'many there were; repeating it changes nothing. The caller writes the audit row.';
revoke execute on function private.erase_data_keys(text, uuid)
  from public, anon, authenticated, service_role;
