-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

CREATE OR REPLACE FUNCTION private.erase_record_file (
  p_record_id uuid
)
  RETURNS TABLE (
    erased_at    timestamp with time zone,
    storage_path text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_upload private.record_uploads;
  v_erased_at timestamptz;
begin
  perform 1 from public.medical_records as r
    where r.id = p_record_id and r.patient_id = v_caller
      -- Who is a clinician or administrator, too, needs the second factor here as everywhere.
      and r.patient_id = private.clinical_caller()
    for no key update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  select u.* into v_upload
  from private.record_uploads as u
  where u.record_id = p_record_id and u.completed_at is not null
  order by u.erased_at desc nulls first
  limit 1;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'The record has no file';
  end if;
  v_erased_at := v_upload.erased_at;
  if v_erased_at is null then
    -- What a doctor has added is part of the documentation of care.
    if v_upload.requested_by <> v_caller then
      raise exception using errcode = 'PT403', message = 'forbidden',
        detail = 'A patient can erase a file that the patient has uploaded, and no other';
    end if;
    perform private.shred_record_file(p_record_id);
    v_erased_at := now();
  end if;
  return query
    select v_erased_at, d.path
    from (select) as one
    left join private.dead_record_objects(p_record_id) as d (path) on true;
end;
$function$;

CREATE OR REPLACE FUNCTION private.export_grounds (
  p_patient_id uuid
)
  RETURNS text[]
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.export_keys (
  p_patient_id uuid
)
  RETURNS jsonb
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  if private.export_grounds(p_patient_id) = '{}' then
    return '[]';
  end if;
  return coalesce((select k.keys from private.patient_keys(array[p_patient_id]) as k), '[]');
end;
$function$;

CREATE OR REPLACE FUNCTION private.field_key_for_patient (
  p_patient_id uuid
)
  RETURNS TABLE (
    patient_id  uuid,
    data_key_id uuid,
    key_id      text,
    key_version integer,
    wrapped_key text
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No patient with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.request_care (
  p_member_or_patient_id uuid,
  p_kind                 text,
  p_scopes               text[]
)
  RETURNS uuid
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_permanent_account();
  v_caller_role constant text := (select p.role from public.profiles as p where p.id = v_caller);
  v_scopes constant text[] := case
    when p_kind = 'doctor' then '{}'
    else array(select distinct s from unnest(p_scopes) as s order by s)
  end;
  v_id uuid;
begin
  if p_kind is null or p_kind not in ('doctor', 'caregiver') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot request care as p_kind must be doctor or caregiver';
  end if;
  if p_member_or_patient_id = v_caller then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot request care of oneself';
  end if;

  -- Neither account closes between the checks below and the new row.
  perform 1 from public.profiles as p
    where p.id in (v_caller, p_member_or_patient_id) and p.is_active
    order by p.id
    for share;

  if v_caller_role = p_kind then
    -- A doctor or caregiver asks; the patient will answer.
    if p_kind = 'doctor' and not private.is_verified_doctor() then
      raise exception using errcode = 'PT403', message = 'not_verified',
        detail = 'The clinician is not verified';
    end if;
    perform 1 from public.patients as t
      join public.profiles as p on p.id = t.id
      where t.id = p_member_or_patient_id and p.is_active and private.is_permanent(p.id);
    if not found then
      raise exception using errcode = 'PT404', message = 'not_found',
        detail = 'No patient with this id';
    end if;
    insert into public.care_relationships (patient_id, member_id, kind, scopes, requested_by)
    values (p_member_or_patient_id, v_caller, p_kind, v_scopes, v_caller)
    returning id into v_id;
  elsif p_kind = 'doctor' and v_caller_role <> 'patient' then
    raise exception using errcode = 'PT403', message = 'not_verified',
      detail = 'Only a verified clinician may ask for care as a doctor';
  else
    -- A patient appoints; asking is consenting, so it is active at once. The member may end it.
    perform private.require_clinical_caller();
    perform 1 from public.patients as t where t.id = v_caller;
    if not found then
      raise exception using errcode = 'PT403', message = 'forbidden',
        detail = 'The account is no patient''s';
    end if;
    perform 1 from public.profiles as p
      left join public.doctors as d on d.id = p.id
      where p.id = p_member_or_patient_id and p.is_active and private.is_permanent(p.id)
        and p.role = p_kind
        and (p_kind <> 'doctor' or d.verified_at is not null);
    if not found then
      -- Whoever waits to be verified means to ask as a doctor, and learns why that fails.
      if p_kind = 'doctor' and exists (select 1 from public.doctors as d where d.id = v_caller) then
        raise exception using errcode = 'PT403', message = 'not_verified',
          detail = 'The clinician is not verified';
      end if;
      raise exception using errcode = 'PT404', message = 'not_found',
        detail = 'No such doctor or caregiver';
    end if;
    insert into public.care_relationships (
      patient_id, member_id, kind, scopes, status, requested_by, starts_at
    )
    values (
      v_caller, p_member_or_patient_id, p_kind, v_scopes, 'active', v_caller, now()
    )
    returning id into v_id;
  end if;
  return v_id;
exception
  when unique_violation then
    raise exception using errcode = 'PT409', message = 'already_requested',
      detail = 'There is an open relationship or request of this kind already';
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_clinical_caller()
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if private.clinical_caller() is null then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'Letting somebody see clinical data needs multi-factor sign-in';
  end if;
  return v_caller;
end;
$function$;

CREATE OR REPLACE FUNCTION private.respond_care_request (
  p_id     uuid,
  p_accept boolean,
  p_scopes text[]
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if p_accept is null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot respond as p_accept must be true or false';
  end if;
  if p_accept then
    perform private.require_clinical_caller();
  end if;
  -- The row lock lets exactly one of several answers through: the others find no request.
  update public.care_relationships as r set
    status = case when p_accept then 'active' else 'declined' end,
    starts_at = case when p_accept then now() end,
    ends_at = case when not p_accept then now() end,
    scopes = case
      when r.kind = 'caregiver' and p_scopes is not null
        then array(select distinct s from unnest(p_scopes) as s order by s)
      else r.scopes
    end
  where r.id = p_id and r.patient_id = v_caller and r.status = 'requested';
  if not found then
    perform 1 from public.care_relationships as r where r.id = p_id and r.patient_id = v_caller;
    if found then
      raise exception using errcode = 'PT409', message = 'already_answered',
        detail = 'The request has been answered or withdrawn';
    end if;
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No request with this id';
  end if;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.set_care_scopes (
  p_id     uuid,
  p_scopes text[]
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_clinical_caller();
begin
  update public.care_relationships as r set
    scopes = array(select distinct s from unnest(p_scopes) as s order by s)
  where r.id = p_id and r.patient_id = v_caller and r.kind = 'caregiver' and r.status = 'active';
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No active caregiver with this id';
  end if;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.write_patient_fields (
  p_fields      jsonb,
  p_search_keys jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.my_access_log (
  p_limit  integer DEFAULT 20,
  p_cursor text    DEFAULT NULL::text
)
  RETURNS TABLE (
    id            bigint,
    occurred_at   timestamp with time zone,
    actor_id      uuid,
    actor_name    text,
    actor_role    text,
    action        text,
    resource_type text,
    resource_id   uuid,
    purpose       text,
    summary       text,
    reason        text,
    is_emergency  boolean,
    scopes        text[],
    outcome       text,
    cursor        text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'bigint']);
begin
  perform private.require_live_session();
  -- Who opened whose chart is clinical, as the charts themselves are.
  if not private.may_see_clinical_rows() then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'Seeing clinical data needs multi-factor sign-in';
  end if;
  perform private.require_page_size(p_limit);
  return query
    select
      l.id, l.occurred_at, l.actor_id, l.actor_name, l.actor_role, l.action, l.resource_type,
      l.resource_id, l.purpose, l.summary, l.reason, l.is_emergency, l.scopes, l.outcome,
      private.make_cursor(jsonb_build_array(l.occurred_at, l.id))
    from private.my_access_log(
      p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::bigint
    ) as l;
end;
$function$;

COMMENT ON FUNCTION "private"."export_keys"(uuid) IS 'The wrapped keys of a patient whose records the caller may take along now, as patient_keys gives them; [] otherwise. Writes no audit row: private.authorize_export, which comes before it in a transaction of its own, has logged the export as the one event that it is. What the keys seal is read as the caller, by policies.';

COMMENT ON FUNCTION "private"."require_clinical_caller"() IS 'The caller''s id, if their token may carry a clinical right. Whoever lets somebody else in, as the patient, passes here: a token that may not see must not appoint who may. For definer functions only. Errors: PT401 unauthenticated, PT403 mfa_required.';

COMMENT ON FUNCTION "public"."my_access_log"(integer, text) IS 'Who touched the caller''s data as a patient, or tried to: every row that somebody else caused, newest first, with name, role and purpose; summary (what) and reason (why) in words; is_emergency; scopes, what the caller let a caregiver see at that time, null for others; outcome done or refused. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician who is a patient, too).';

COMMENT ON FUNCTION "public"."request_care"(uuid, text, text[]) IS 'Asks a patient for a care relationship (caller is a verified doctor, or a caregiver, of that kind), or appoints a doctor or caregiver (caller is the patient; active at once). p_scopes only for caregivers. Returns the id. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 not_verified, forbidden or mfa_required (a clinician, for themselves), PT404 not_found, PT409 already_requested.';

COMMENT ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) IS 'The patient accepts or declines a request; p_scopes, for a caregiver, replaces what was asked for. Of several answers at once the first counts. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician accepts for themselves), PT404 not_found, PT409 already_answered.';

COMMENT ON FUNCTION "public"."set_care_scopes"(uuid, text[]) IS 'The patient widens or narrows what an active caregiver may see; it bites on the next statement. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician, for themselves), PT404 not_found.';

REVOKE ALL ON FUNCTION "private"."export_keys"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."export_keys"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."require_clinical_caller"() FROM PUBLIC;
