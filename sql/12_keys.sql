-- Keys: data keys in wrapped form. Each file of a record and each patient's registry fields have a key
-- of their own; functions wrap them under a key-encryption key that never comes here.
-- Needs: 00_platform.sql. Policies: policies/12_keys.sql.

create table private.data_keys (
  id uuid primary key default gen_random_uuid(),
  purpose text not null,
  subject_id uuid not null,
  key_id text not null,
  key_version integer not null,
  wrapped_key bytea,
  created_at timestamptz not null default now(),
  rewrapped_at timestamptz,
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

create index data_keys_subject_id_idx on private.data_keys (subject_id, purpose);
-- A patient has one key for their fields at a time.
create unique index data_keys_one_patient_key on private.data_keys (subject_id)
  where purpose = 'patient_fields' and erased_at is null;
-- What is still under an old version, in the order in which it is re-wrapped.
create index data_keys_key_version_idx on private.data_keys (key_version, id)
  where erased_at is null;
