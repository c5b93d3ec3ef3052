-- Fields: the encrypted columns of patients (phone, address, insurance_policy_number,
-- emergency_contact_phone) and of medical_record_contents (description). Edge functions seal and
-- open them; what is here decides who may, keeps the wrapped keys and the digests by which patients
-- are found, and logs. Nothing here is reached through the data API, which does not serve
-- `private`.
-- Needs: 12_keys.sql, 25_records.sql. Policies: policies/27_fields.sql.

create table private.patient_search_keys (
  patient_id uuid not null references public.patients (id) on delete cascade,
  field text not null,
  digest bytea not null,

  -- The only index, on purpose. A search compares the digests of the patients whom the caller may
  -- see, so that neither its answer nor its time depends on anybody else's.
  primary key (patient_id, field),
  constraint patient_search_keys_field_check
    check (field in ('phone', 'phone_national', 'insurance_policy_number')),
  constraint patient_search_keys_digest_check check (octet_length(digest) = 32)
);
comment on table private.patient_search_keys is
  'Blind index: keyed digests by which a patient is found by phone or policy number. PHI only to '
  'who has the key of the digests, which is in the environment of functions.';
comment on column private.patient_search_keys.field is
  'phone: the number with its country, absent when it was given without; phone_national: the '
  'number within its country; insurance_policy_number: letters and digits.';
comment on column private.patient_search_keys.digest is
  'HMAC-SHA-256 of the field''s name and the normalised value.';

-- Keys -------------------------------------------------------------------------------------------

create function private.patient_key(p_patient_id uuid)
  returns table (data_key_id uuid, key_id text, key_version integer, wrapped_key text)
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select k.id, k.key_id, k.key_version, encode(k.wrapped_key, 'hex')
  from private.data_keys as k
  where k.subject_id = p_patient_id and k.purpose = 'patient_fields' and k.erased_at is null
$$;
comment on function private.patient_key(uuid) is
  'The key under which a patient''s fields are sealed now, wrapped, in hexadecimal; no row before '
  'the first. For definer functions only.';
revoke execute on function private.patient_key(uuid)
  from public, anon, authenticated, service_role;

create function private.patient_keys(p_patient_ids uuid[])
  returns table (patient_id uuid, keys jsonb)
  language sql -- without settings of its own, so that it becomes part of the calling statement
  stable
as $$
  select
    k.subject_id,
    jsonb_agg(
      jsonb_build_object(
        'data_key_id', k.id, 'key_id', k.key_id, 'key_version', k.key_version,
        'wrapped_key', encode(k.wrapped_key, 'hex')
      )
    )
  from private.data_keys as k
  where k.subject_id = any (p_patient_ids) and k.purpose = 'patient_fields'
  group by k.subject_id
$$;
comment on function private.patient_keys(uuid[]) is
  'Every key that patients'' fields have been sealed under, wrapped: for each patient that has '
  'one an array of {data_key_id, key_id, key_version, wrapped_key}, the last null when erased. '
  'For definer functions only.';
revoke execute on function private.patient_keys(uuid[])
  from public, anon, authenticated, service_role;

create function private.require_patient_key(p_patient_id uuid, p_sealed text[])
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_key_id uuid;
begin
  -- The lock keeps the key from being erased between this check and the write.
  select k.id into v_key_id
  from private.data_keys as k
  where k.subject_id = p_patient_id and k.purpose = 'patient_fields' and k.erased_at is null
  for share;
  if exists (
    select 1 from unnest(p_sealed) as s (value)
    where split_part(s.value, '.', 2) is distinct from v_key_id::text and s.value is not null
  ) then
    raise exception using errcode = 'PT503', message = 'unavailable',
      detail = 'The key of the patient has changed meanwhile: try again';
  end if;
end;
$$;
comment on function private.require_patient_key(uuid, text[]) is
  'Refuses a value that is not sealed under the patient''s key of now: nobody could read it. Nulls '
  'pass. For definer functions only. Errors: PT503 unavailable.';
revoke execute on function private.require_patient_key(uuid, text[])
  from public, anon, authenticated, service_role;

create function private.field_key_for_patient(p_patient_id uuid)
  returns table (
    patient_id uuid,
    data_key_id uuid,
    key_id text,
    key_version integer,
    wrapped_key text
  )
  language plpgsql
  stable
  security definer -- data_keys is not readable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
begin
  perform private.require_live_session();
  return query
    select p.id, k.data_key_id, k.key_id, k.key_version, k.wrapped_key
    from public.patients as p
    left join private.patient_key(p_patient_id) as k on true
    where p.id = p_patient_id
      -- In every case with the token that clinical rows ask for.
      and (
        p.id = private.clinical_caller()
        or p.id = any (array(select private.treated_patient_ids()))
      );
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No patient with this id';
  end if;
end;
$$;
comment on function private.field_key_for_patient(uuid) is
  'The wrapped key under which the caller seals registry fields: their own, or those of a patient '
  'whose chart they have open as a doctor, for an import. Nulls before the first. Errors: PT401 '
  'unauthenticated, PT404 not_found.';
revoke execute on function private.field_key_for_patient(uuid) from public, anon, service_role;
grant execute on function private.field_key_for_patient(uuid) to authenticated;

create function private.field_key_for_record(p_record_id uuid)
  returns table (
    patient_id uuid,
    data_key_id uuid,
    key_id text,
    key_version integer,
    wrapped_key text
  )
  language plpgsql
  stable
  security definer -- data_keys is not readable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_patient_id uuid;
begin
  perform private.require_live_session();
  v_patient_id := private.writable_record(p_record_id);
  if v_patient_id is null then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No record with this id';
  end if;
  return query
    select v_patient_id, k.data_key_id, k.key_id, k.key_version, k.wrapped_key
    from (select 1) as one
    left join private.patient_key(v_patient_id) as k on true;
end;
$$;
comment on function private.field_key_for_record(uuid) is
  'The wrapped key under which the caller seals the description of a record that they may change. '
  'Nulls before the first. Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function private.field_key_for_record(uuid) from public, anon, service_role;
grant execute on function private.field_key_for_record(uuid) to authenticated;

create function private.keep_patient_key(
  p_patient_id uuid,
  p_data_key_id uuid,
  p_key_id text,
  p_key_version integer,
  p_wrapped_key text
)
  returns table (data_key_id uuid, key_id text, key_version integer, wrapped_key text)
  language plpgsql
  security definer -- the worker has no rights on the table itself
  set search_path = ''
as $$
#variable_conflict use_column
begin
  -- Who comes second waits here for who came first, and takes their key.
  insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
  select
    p_data_key_id, 'patient_fields', p.id, p_key_id, p_key_version, decode(p_wrapped_key, 'hex')
  from public.patients as p
  where p.id = p_patient_id
  on conflict (subject_id) where purpose = 'patient_fields' and erased_at is null do nothing;
  return query
    select k.data_key_id, k.key_id, k.key_version, k.wrapped_key
    from private.patient_key(p_patient_id) as k;
end;
$$;
comment on function private.keep_patient_key(uuid, uuid, text, integer, text) is
  'Keeps the first key for a patient''s fields, wrapped, in hexadecimal, unless there is one. '
  'Returns the one that is kept.';
revoke execute on function private.keep_patient_key(uuid, uuid, text, integer, text)
  from public, anon, authenticated, service_role;
grant execute on function private.keep_patient_key(uuid, uuid, text, integer, text)
  to identity_worker;

-- Fields of patients, called by the function `identity` -------------------------------------------

create function private.set_search_keys(p_patient_id uuid, p_search_keys jsonb)
  returns void
  language sql
  set search_path = ''
as $$
  delete from private.patient_search_keys as k
  where k.patient_id = p_patient_id and p_search_keys ? k.field;
  insert into private.patient_search_keys (patient_id, field, digest)
  select p_patient_id, s.key, decode(s.value, 'hex')
  from jsonb_each_text(p_search_keys) as s
  where s.value is not null;
$$;
comment on function private.set_search_keys(uuid, jsonb) is
  'Sets the digests of the fields named in p_search_keys, an object of digests in hexadecimal; '
  'null removes one. For definer functions that hold the lock on the patient''s row.';
revoke execute on function private.set_search_keys(uuid, jsonb)
  from public, anon, authenticated, service_role;

create function private.write_patient_fields(p_fields jsonb, p_search_keys jsonb)
  returns void
  language plpgsql
  security definer -- the encrypted columns are none that their owner may set
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  perform private.require_patient_key(
    v_caller, array(select f.value from jsonb_each_text(p_fields) as f)
  );
  update public.patients as p set
    phone = case when p_fields ? 'phone' then p_fields ->> 'phone' else p.phone end,
    address = case when p_fields ? 'address' then p_fields ->> 'address' else p.address end,
    insurance_policy_number = case
      when p_fields ? 'insurance_policy_number' then p_fields ->> 'insurance_policy_number'
      else p.insurance_policy_number
    end,
    emergency_contact_phone = case
      when p_fields ? 'emergency_contact_phone' then p_fields ->> 'emergency_contact_phone'
      else p.emergency_contact_phone
    end
  where p.id = v_caller and p.id = private.clinical_caller();
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'The account is no patient''s';
  end if;
  perform private.set_search_keys(v_caller, p_search_keys);
exception
  when check_violation or not_null_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Fields are sealed, and their digests 32 bytes in hexadecimal';
end;
$$;
comment on function private.write_patient_fields(jsonb, jsonb) is
  'Writes encrypted columns of the caller''s own registry row: p_fields, sealed values by column, '
  'null empties, what is not named stays; p_search_keys, digests as set_search_keys takes them. '
  'Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT503 unavailable.';
revoke execute on function private.write_patient_fields(jsonb, jsonb)
  from public, anon, service_role;
grant execute on function private.write_patient_fields(jsonb, jsonb) to authenticated;

create function private.disclose_patient_fields(p_patient_ids uuid[])
  returns table (
    id uuid,
    phone text,
    address text,
    insurance_policy_number text,
    emergency_contact_phone text,
    keys jsonb
  )
  language plpgsql
  security definer -- reads data_keys and writes the audit trail, which no caller may
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_patient_ids uuid[];
begin
  -- Policies have chosen these ids; the grounds are asked here, too, so that a call past them gives
  -- no more.
  v_patient_ids := array(
    select p.id
    from public.patients as p
    where p.id = any (p_patient_ids)
      and (p.id = v_caller or p.id = any (array(select private.chart_patient_ids('records'))))
  );
  perform private.write_audit('read_contact', 'patient', v.id, v.id)
  from unnest(v_patient_ids) as v (id)
  where v.id <> v_caller;
  return query
    select
      p.id, p.phone, p.address, p.insurance_policy_number, p.emergency_contact_phone,
      coalesce(k.keys, '[]')
    from public.patients as p
    left join private.patient_keys(v_patient_ids) as k on k.patient_id = p.id
    where p.id = any (v_patient_ids);
end;
$$;
comment on function private.disclose_patient_fields(uuid[]) is
  'Body of private.read_patient_fields: logs, then gives sealed fields and wrapped keys.';
revoke execute on function private.disclose_patient_fields(uuid[]) from public, anon, service_role;
grant execute on function private.disclose_patient_fields(uuid[]) to authenticated;

create function private.read_patient_fields(p_patient_ids uuid[])
  returns table (
    id uuid,
    phone text,
    address text,
    insurance_policy_number text,
    emergency_contact_phone text,
    keys jsonb
  )
  language sql
  set search_path = ''
as $$
  select
    d.id, d.phone, d.address, d.insurance_policy_number, d.emergency_contact_phone, d.keys
  from private.disclose_patient_fields(
    -- Read with the caller's own rights: the policies of patients choose.
    array(select p.id from public.patients as p where p.id = any (p_patient_ids))
  ) as d
$$;
comment on function private.read_patient_fields(uuid[]) is
  'Sealed fields and wrapped keys of those of the patients whom the caller may see; each but the '
  'caller leaves an audit row. Errors: PT401 unauthenticated.';
revoke execute on function private.read_patient_fields(uuid[]) from public, anon, service_role;
grant execute on function private.read_patient_fields(uuid[]) to authenticated;

create function private.matching_patient_ids(p_patient_ids uuid[], p_search_keys jsonb)
  returns setof uuid
  language plpgsql
  security definer -- reads patient_search_keys and writes the audit trail, which no caller may
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
  v_phone constant bytea := decode(p_search_keys ->> 'phone', 'hex');
  v_national constant bytea := decode(p_search_keys ->> 'phone_national', 'hex');
  v_policy_number constant bytea := decode(p_search_keys ->> 'insurance_policy_number', 'hex');
  v_found uuid[];
begin
  v_found := array(
    select p.id
    from public.patients as p
    left join private.patient_search_keys as phone
      on phone.patient_id = p.id and phone.field = 'phone'
    left join private.patient_search_keys as national
      on national.patient_id = p.id and national.field = 'phone_national'
    left join private.patient_search_keys as policy_number
      on policy_number.patient_id = p.id and policy_number.field = 'insurance_policy_number'
    where p.id = any (p_patient_ids)
      -- As in disclose_patient_fields.
      and (p.id = v_caller or p.id = any (array(select private.chart_patient_ids('records'))))
      and (
        phone.digest = v_phone
        -- Countries are compared where both are known.
        or national.digest = v_national and (v_phone is null or phone.digest is null)
        or policy_number.digest = v_policy_number
      )
  );
  perform private.write_audit('match_contact', 'patient', v.id, v.id)
  from unnest(v_found) as v (id)
  where v.id <> v_caller;
  return query select v.id from unnest(v_found) as v (id);
end;
$$;
comment on function private.matching_patient_ids(uuid[], jsonb) is
  'Body of private.find_patients: compares digests, and logs whom it finds.';
revoke execute on function private.matching_patient_ids(uuid[], jsonb)
  from public, anon, service_role;
grant execute on function private.matching_patient_ids(uuid[], jsonb) to authenticated;

create function private.find_patients(p_search_keys jsonb)
  returns table (id uuid, first_name text, last_name text)
  language plpgsql
  set search_path = ''
as $$
#variable_conflict use_column
begin
  -- Asked first: in the statement it would depend on the plan whether it is asked at all.
  perform private.require_live_session();
  return query
    select p.id, p.first_name, p.last_name
    from public.patients as p
    where p.id = any (
      array(
        select private.matching_patient_ids(
          -- Read with the caller's own rights: the policies of patients choose.
          array(select visible.id from public.patients as visible), p_search_keys
        )
      )
    )
    order by coalesce(p.last_name, ''), coalesce(p.first_name, ''), p.id;
end;
$$;
comment on function private.find_patients(jsonb) is
  'Patients whom the caller may see and whose digests match: p_search_keys has {phone, '
  'phone_national} of a number with its country, {phone_national} of one without, or '
  '{insurance_policy_number}, in hexadecimal. Each but the caller leaves an audit row. Errors: '
  'PT401 unauthenticated.';
revoke execute on function private.find_patients(jsonb) from public, anon, service_role;
grant execute on function private.find_patients(jsonb) to authenticated;

-- Descriptions of records, called by the function `records` ---------------------------------------

create function private.write_record_description(p_record_id uuid, p_description text)
  returns void
  language plpgsql
  security definer -- description is no column that a client may write
  set search_path = ''
as $$
declare
  v_patient_id uuid;
begin
  perform private.require_live_session();
  if private.writable_record(p_record_id) is not null then
    -- Whoever deletes the record at this moment comes after this, or before it and is seen below.
    perform 1 from public.medical_records as r where r.id = p_record_id for share;
    v_patient_id := private.writable_record(p_record_id);
  end if;
  if v_patient_id is null then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No record with this id';
  end if;
  perform private.require_patient_key(v_patient_id, array[p_description]);
  insert into public.medical_record_contents as c (record_id, description)
  values (p_record_id, p_description)
  on conflict (record_id) do update set description = excluded.description;
exception
  when check_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A description is sealed, and has 1 to 20000 characters';
end;
$$;
comment on function private.write_record_description(uuid, text) is
  'Writes the sealed description of a record that the caller may change; null empties it. Errors: '
  'PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT503 unavailable.';
revoke execute on function private.write_record_description(uuid, text)
  from public, anon, service_role;
grant execute on function private.write_record_description(uuid, text) to authenticated;

create function private.disclose_record_descriptions(p_record_ids uuid[])
  returns table (record_id uuid, patient_id uuid, description text, keys jsonb)
  language plpgsql
  security definer -- reads data_keys and writes the audit trail, which no caller may
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_charts constant uuid[] := array(select private.chart_patient_ids('records'));
  v_sensitive constant uuid[] := array(select private.chart_patient_ids('sensitive'));
  v_opened constant uuid[] := array(select private.opened_record_ids());
  v_record_ids uuid[];
  v_patient_ids uuid[];
begin
  -- As in disclose_patient_fields: policies have chosen, the grounds are asked once more.
  v_record_ids := array(
    select c.record_id
    from public.medical_record_contents as c
    where c.record_id = any (p_record_ids)
      and (
        c.patient_id = v_caller
        or c.deleted_at is null
          and (
            c.record_id = any (v_opened)
            or c.patient_id = any (v_charts)
              and (c.sensitivity = 'normal' or c.patient_id = any (v_sensitive))
          )
      )
  );
  perform private.write_audit(
    'read_description', 'medical_record', c.record_id, c.patient_id,
    case when c.patient_id <> all (v_charts) then 'share' end
  )
  from public.medical_record_contents as c
  where c.record_id = any (v_record_ids) and c.patient_id <> v_caller;
  v_patient_ids := array(
    select distinct c.patient_id from public.medical_record_contents as c
    where c.record_id = any (v_record_ids)
  );
  return query
    select c.record_id, c.patient_id, c.description, coalesce(k.keys, '[]')
    from public.medical_record_contents as c
    left join private.patient_keys(v_patient_ids) as k on k.patient_id = c.patient_id
    where c.record_id = any (v_record_ids);
end;
$$;
comment on function private.disclose_record_descriptions(uuid[]) is
  'Body of private.read_record_descriptions: logs, then gives sealed descriptions and wrapped '
  'keys.';
revoke execute on function private.disclose_record_descriptions(uuid[])
  from public, anon, service_role;
grant execute on function private.disclose_record_descriptions(uuid[]) to authenticated;

create function private.read_record_descriptions(p_record_ids uuid[])
  returns table (record_id uuid, patient_id uuid, description text, keys jsonb)
  language sql
  set search_path = ''
as $$
  select d.record_id, d.patient_id, d.description, d.keys
  from private.disclose_record_descriptions(
    -- Read with the caller's own rights: the policies of the contents choose.
    array(
      select c.record_id from public.medical_record_contents as c
      where c.record_id = any (p_record_ids)
    )
  ) as d
$$;
comment on function private.read_record_descriptions(uuid[]) is
  'Sealed descriptions and wrapped keys of those of the records whose contents the caller may see; '
  'another''s leaves an audit row. Errors: PT401 unauthenticated.';
revoke execute on function private.read_record_descriptions(uuid[])
  from public, anon, service_role;
grant execute on function private.read_record_descriptions(uuid[]) to authenticated;

-- Keys of an export, called by the function `records` -----------------------------------------------

create function private.export_keys(p_patient_id uuid)
  returns jsonb
  language plpgsql
  stable
  security definer -- data_keys is not readable by the caller
  set search_path = ''
as $$
begin
  if private.export_grounds(p_patient_id) = '{}' then
    return '[]';
  end if;
  return coalesce((select k.keys from private.patient_keys(array[p_patient_id]) as k), '[]');
end;
$$;
comment on function private.export_keys(uuid) is
  'The wrapped keys of a patient whose records the caller may take along now, as patient_keys gives '
  'them; [] otherwise. Writes no audit row: private.authorize_export, which comes before it in a '
  'transaction of its own, has logged the export as the one event that it is. What the keys seal is '
  'read as the caller, by policies.';
revoke execute on function private.export_keys(uuid) from public, anon, service_role;
grant execute on function private.export_keys(uuid) to authenticated;
