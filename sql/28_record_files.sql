-- Record files: the keys of encrypted files, and their erasure. A file lies in Storage as ciphertext
-- only (docs/file-encryption.md); its data key is in private.data_keys, wrapped.
-- Needs: 12_keys.sql, 25_records.sql. No tables of its own, hence no policies.

-- Keys of files, called by the function `records` --------------------------------------------------

create function private.add_record_file_key(
  p_upload_id uuid,
  p_key_id text,
  p_key_version integer,
  p_wrapped_key text
)
  returns void
  language plpgsql
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
begin
  insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
  select
    u.data_key_id, 'record_file', u.record_id, p_key_id, p_key_version, decode(p_wrapped_key, 'hex')
  from private.record_uploads as u
  where u.id = p_upload_id and u.completed_at is null and u.rejected_at is null
  for share;
  if not found then
    raise exception using errcode = 'PT409', message = 'upload_missing',
      detail = 'The announcement is gone or was rejected';
  end if;
end;
$$;
comment on function private.add_record_file_key(uuid, text, integer, text) is
  'Keeps the data key of an announced file, wrapped, in hexadecimal; once for each announcement. '
  'Errors: PT409 upload_missing.';
revoke execute on function private.add_record_file_key(uuid, text, integer, text)
  from public, anon, authenticated, service_role;
grant execute on function private.add_record_file_key(uuid, text, integer, text) to records_worker;

create function private.record_file_key(p_record_id uuid, p_storage_path text)
  returns table (data_key_id uuid, key_id text, key_version integer, wrapped_key text)
  language sql
  stable
  security definer -- the worker has no rights on the tables themselves
  set search_path = ''
as $$
  select k.id, k.key_id, k.key_version, encode(k.wrapped_key, 'hex')
  from private.data_keys as k
  where k.purpose = 'record_file' and k.subject_id = p_record_id and k.erased_at is null
    and k.id = coalesce(
      (
        select c.data_key_id
        from public.medical_record_contents as c
        where c.record_id = p_record_id and c.storage_path = p_storage_path
      ),
      (
        select u.data_key_id
        from private.record_uploads as u
        where u.storage_path = p_storage_path and u.record_id = p_record_id
          and u.completed_at is null and u.rejected_at is null
      )
    )
$$;
comment on function private.record_file_key(uuid, text) is
  'The data key of one object of one record, wrapped, in hexadecimal: of the record''s file or of an '
  'open upload. No row when it was erased. Whether somebody may have it is decided, and logged, before.';
revoke execute on function private.record_file_key(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function private.record_file_key(uuid, text) to records_worker;

-- Erasing files ----------------------------------------------------------------------------------

create function private.dead_record_objects(p_record_id uuid)
  returns setof text
  language sql
  stable
  security definer -- called by functions that have decided on the right; no role may call it
  set search_path = ''
as $$
  select u.storage_path
  from private.record_uploads as u
  join storage.objects as o on o.bucket_id = 'medical-records' and o.name = u.storage_path
  where u.record_id = p_record_id and (u.rejected_at is not null or u.erased_at is not null)
$$;
comment on function private.dead_record_objects(uuid) is
  'Objects of a record''s erased and rejected uploads that still lie in Storage: after a crash between '
  'the two, or uploaded once more while the signed address was good. Nobody can read them.';
revoke execute on function private.dead_record_objects(uuid)
  from public, anon, authenticated, service_role;

create function private.shred_record_file(p_record_id uuid)
  returns setof text
  language plpgsql
  security definer -- called by functions that have decided on the right; no role may call it
  set search_path = ''
as $$
declare
  v_patient_id uuid;
begin
  -- An upload that is being completed comes before or after, never between.
  select r.patient_id into v_patient_id
  from public.medical_records as r
  where r.id = p_record_id
  for no key update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  update private.record_uploads as u set
    rejected_at = case when u.completed_at is null then now() end,
    erased_at = case when u.completed_at is not null then now() end
  where u.record_id = p_record_id and u.rejected_at is null and u.erased_at is null;
  update public.medical_record_contents as c set storage_path = null, data_key_id = null
  where c.record_id = p_record_id and c.storage_path is not null;
  update public.medical_records as r set
    file_name = null, file_type = null, file_size = null, file_sha256 = null
  where r.id = p_record_id and r.file_name is not null;
  if private.erase_data_keys('record_file', p_record_id) > 0 then
    perform private.write_audit('erase_file', 'medical_record', p_record_id, v_patient_id);
  end if;
  return query select d from private.dead_record_objects(p_record_id) as d;
end;
$$;
comment on function private.shred_record_file(uuid) is
  'Erases the keys of a record''s file and of its open uploads, takes the file from the record, and '
  'writes an audit row; the record may get another file. Returns the objects to be removed from '
  'Storage; repeating it changes nothing. It asks nobody''s right: its caller does. Errors: PT404 '
  'not_found.';
revoke execute on function private.shred_record_file(uuid)
  from public, anon, authenticated, service_role;

create function private.erase_record_file(p_record_id uuid)
  returns table (
    erased_at timestamptz,
    storage_path text,
    code text,
    message text,
    details text
  )
  language plpgsql
  security definer -- record_uploads and data_keys are not writable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_upload private.record_uploads;
  v_erased_at timestamptz;
  v_refusal jsonb;
begin
  perform 1 from public.medical_records as r
    where r.id = p_record_id and r.patient_id = v_caller
      -- Who is a clinician or administrator, too, needs the second factor here as everywhere.
      and r.patient_id = private.clinical_caller()
    for no key update;
  if not found then
    v_refusal := private.refuse_record('erase_file', p_record_id);
  else
    select u.* into v_upload
    from private.record_uploads as u
    where u.record_id = p_record_id and u.completed_at is not null
    order by u.erased_at desc nulls first
    limit 1;
    if not found then
      raise exception using errcode = 'PT404', message = 'not_found',
        detail = 'The record has no file';
    end if;
    v_erased_at := v_upload.erased_at;
    if v_erased_at is null then
      -- What a doctor has added is part of the documentation of care.
      if v_upload.requested_by <> v_caller then
        v_refusal := private.refuse(
          'erase_file', 'medical_record', p_record_id, v_caller, 'forbidden',
          'A patient can erase a file that the patient has uploaded, and no other'
        );
      else
        perform private.shred_record_file(p_record_id);
        v_erased_at := now();
      end if;
    end if;
  end if;
  if v_refusal is not null then
    return query
      select null::timestamptz, null::text, f.code, f.message, f.details
      from jsonb_to_record(v_refusal) as f (code text, message text, details text);
    return;
  end if;
  return query
    select v_erased_at, d.path, null::text, null::text, null::text
    from (select) as one
    left join private.dead_record_objects(p_record_id) as d (path) on true;
end;
$$;
comment on function private.erase_record_file(uuid) is
  'The patient erases the file that they uploaded to a record of theirs, for ever. Returns when, and a '
  'row for each object to be removed from Storage, or one with a null path; repeating it gives what is '
  'left of them. Or the refusal, which is logged, in code, message and details: PT403 forbidden (a '
  'doctor uploaded it), PT404 not_found. Raises: PT401 unauthenticated, PT404 not_found for a record '
  'without file.';
revoke execute on function private.erase_record_file(uuid) from public, anon, service_role;
grant execute on function private.erase_record_file(uuid) to authenticated;
