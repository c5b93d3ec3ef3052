-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

DROP FUNCTION "private"."access_summary"(text, text, text);

DROP FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text);

DROP FUNCTION "private"."complete_record_upload"(uuid, text, text);

DROP FUNCTION "private"."end_care"(uuid, text);

DROP FUNCTION "private"."erase_record_file"(uuid);

DROP FUNCTION "private"."object_to_emergency_access"(uuid, text);

DROP FUNCTION "private"."pending_record_upload"(uuid, uuid);

DROP FUNCTION "private"."request_care"(uuid, text, text[]);

DROP FUNCTION "private"."require_clinical_caller"();

DROP FUNCTION "private"."respond_care_request"(uuid, boolean, text[]);

DROP FUNCTION "private"."review_emergency_access"(uuid, text, text);

DROP FUNCTION "private"."revoke_record_share"(uuid);

DROP FUNCTION "private"."set_care_scopes"(uuid, text[]);

DROP FUNCTION "private"."set_record_deleted"(uuid, boolean);

DROP FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone);

DROP FUNCTION "public"."delete_medical_record"(uuid);

DROP FUNCTION "public"."end_care"(uuid, text);

DROP FUNCTION "public"."object_to_emergency_access"(uuid, text);

DROP FUNCTION "public"."request_care"(uuid, text, text[]);

DROP FUNCTION "public"."respond_care_request"(uuid, boolean, text[]);

DROP FUNCTION "public"."restore_medical_record"(uuid);

DROP FUNCTION "public"."review_emergency_access"(uuid, text, text);

DROP FUNCTION "public"."revoke_record_share"(uuid);

DROP FUNCTION "public"."set_care_scopes"(uuid, text[]);

DROP FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone);

CREATE TABLE "private"."unlisted_refusals" (
  "id"         uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "actor_id"   uuid                     NOT NULL,
  "patient_id" uuid,
  "actor_role" text                     NOT NULL,
  "refusals"   integer                  NOT NULL,
  "first_at"   timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "unlisted_refusals_key" UNIQUE NULLS NOT DISTINCT (actor_id, patient_id),
  CONSTRAINT "unlisted_refusals_pkey" PRIMARY KEY (id),
  CONSTRAINT "unlisted_refusals_refusals_check" CHECK ((refusals > 0))
);

ALTER TABLE "private"."unlisted_refusals"
  ENABLE ROW LEVEL SECURITY;

CREATE OR REPLACE FUNCTION private.access_summary (
  p_action        text,
  p_resource_type text,
  p_code          text    DEFAULT NULL::text,
  p_unlisted      integer DEFAULT NULL::integer
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case
    when p_action = 'refuse_more' then
      format('Tried to reach your data %s more times and was refused', p_unlisted)
    when p_action like 'refuse\_%' then
      'Tried to ' || case p_action
        when 'refuse_open_chart' then 'open your chart'
        when 'refuse_break_glass' then 'open your chart in an emergency'
        when 'refuse_open_record' then 'read a record'
        when 'refuse_download_file' then 'download a file of a record'
        when 'refuse_import_records' then 'import records for you'
        when 'refuse_export_records' then 'export your records'
        when 'refuse_review_emergency' then 'review an emergency access to your chart'
        when 'refuse_object_to_emergency' then 'object to an emergency access to your chart'
        when 'refuse_share_record' then 'share a record of yours'
        when 'refuse_revoke_share' then 'end a share of a record of yours'
        when 'refuse_delete_record' then 'delete a record of yours'
        when 'refuse_restore_record' then 'restore a record of yours'
        when 'refuse_upload_file' then 'add a file to a record of yours'
        when 'refuse_erase_file' then 'erase a file of a record of yours'
        when 'refuse_request_care' then 'enter into a care relationship with you'
        when 'refuse_answer_care' then 'answer a care request to you'
        when 'refuse_set_care_scopes' then 'change what a caregiver may see of you'
        when 'refuse_end_care' then 'end a care relationship with you'
        else format(
          '%s (%s)', replace(substr(p_action, 8), '_', ' '), private.access_object(p_resource_type)
        )
      end || ' and was refused' || case p_code
        when 'not_found' then ': had no right to it'
        when 'not_verified' then ': is not a verified clinician'
        when 'mfa_required' then ': had signed in without a second factor'
        when 'forbidden' then case p_action
          when 'refuse_download_file' then ': you share it for viewing only'
          else ': may not do this'
        end
        when 'review_pending' then ': an earlier emergency of theirs has not been reviewed'
        when 'already_in_care' then ': is in your care team, who need no emergency'
        when 'already_answered' then ': it has been answered'
        when 'already_ended' then ': it has ended'
        when 'already_objected' then ': an objection is on record'
        when 'already_requested' then ': there is one or a request for one already'
        when 'already_reviewed' then ': it has been reviewed'
        when 'already_shared' then ': it is shared with them already'
        when 'already_uploaded' then ': the record has its file already'
        else ''
      end || coalesce('; ' || p_unlisted || ' more before it are not listed', '')
    else case p_action
      when 'open_chart' then 'Opened your chart'
      when 'break_glass' then 'Opened your chart in an emergency'
      when 'close_chart' then 'Closed your chart'
      when 'review_emergency' then 'Reviewed an emergency access to your chart'
      when 'open_record' then 'Read a record'
      when 'download_file' then 'Downloaded a file of a record'
      when 'upload_file' then 'Added a file to a record'
      when 'export_records' then 'Exported your records'
      when 'search_audit' then 'Searched the audit trail for what concerns you'
      when 'read_contact' then 'Read your contact details'
      when 'match_contact' then 'Found you by your phone or policy number'
      when 'read_description' then 'Read the description of a record'
      when 'create' then 'Created ' || private.access_object(p_resource_type)
      when 'update' then 'Updated ' || private.access_object(p_resource_type)
      when 'delete' then 'Deleted ' || private.access_object(p_resource_type)
      else format(
        '%s (%s)', upper(left(p_action, 1)) || replace(substr(p_action, 2), '_', ' '),
        private.access_object(p_resource_type)
      )
    end
  end
$function$;

CREATE OR REPLACE FUNCTION private.begin_record_upload (
  p_record_id   uuid,
  p_file_name   text,
  p_file_type   text,
  p_file_size   bigint,
  p_file_sha256 text
)
  RETURNS TABLE (
    upload_id    uuid,
    storage_path text,
    expires_at   timestamp with time zone,
    data_key_id  uuid,
    code         text,
    message      text,
    details      text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.complete_record_upload (
  p_upload_id         uuid,
  p_object_version    text,
  p_ciphertext_sha256 text
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.end_care (
  p_id     uuid,
  p_reason text
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_ended public.care_relationships;
begin
  update public.care_relationships as r set
    status = 'ended', ends_at = now(), ended_reason = nullif(btrim(p_reason), '')
  where r.id = p_id
    and v_caller in (r.patient_id, r.member_id)
    and (r.status = 'active' or r.status = 'requested' and r.requested_by = v_caller)
  returning r.* into v_ended;
  if not found then
    perform 1 from public.care_relationships as r
      where r.id = p_id and v_caller in (r.patient_id, r.member_id);
    if found then
      return private.refuse_care(
        'end_care', p_id, 'already_ended', 'The relationship is not active'
      );
    end if;
    return private.refuse_care('end_care', p_id, 'not_found', 'No relationship with this id');
  end if;
  update public.chart_sessions as c set closed_at = now()
  where c.patient_id = v_ended.patient_id and c.viewer_id = v_ended.member_id
    and c.closed_at is null and c.expires_at > now()
    and c.purpose = any (
      case v_ended.kind
        when 'doctor' then array['treatment', 'care_coordination'] else array['delegated']
      end
    );
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A reason has at most 500 characters';
end;
$function$;

CREATE OR REPLACE FUNCTION private.erase_record_file (
  p_record_id uuid
)
  RETURNS TABLE (
    erased_at    timestamp with time zone,
    storage_path text,
    code         text,
    message      text,
    details      text
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
$function$;

CREATE OR REPLACE FUNCTION private.list_refusals()
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_count integer;
begin
  with counted as (
    delete from private.unlisted_refusals as u
    where u.id = any (array(
      select d.id from private.unlisted_refusals as d
      where d.first_at < now() - interval '1 hour'
      -- A caller who goes on being refused holds its row, and brings the number along.
      for update skip locked
    ))
    returning u.actor_id, u.patient_id, u.actor_role, u.refusals
  )
  insert into public.audit_events (
    actor_id, actor_role, action, resource_type, patient_id, new_values
  )
  select
    c.actor_id, c.actor_role, 'refuse_more', 'patient', c.patient_id,
    jsonb_build_object('unlisted', c.refusals)
  from counted as c;
  get diagnostics v_count = row_count;
  return v_count;
end;
$function$;

CREATE OR REPLACE FUNCTION private.my_access_log (
  p_limit    integer,
  p_after    timestamp with time zone,
  p_after_id bigint
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
    outcome       text
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select
    a.id, a.occurred_at, a.actor_id, p.display_name, a.actor_role, a.action, a.resource_type,
    a.resource_id, a.purpose,
    private.access_summary(
      a.action, a.resource_type, a.new_values ->> 'code', (a.new_values ->> 'unlisted')::integer
    ),
    private.access_reason(
      a.purpose, case when a.resource_type = 'chart_session' then a.new_values ->> 'reason' end
    ),
    a.purpose is not distinct from 'emergency',
    case when a.actor_role = 'caregiver' and a.new_values ? 'caregiver_scopes' then
      array(select jsonb_array_elements_text(a.new_values -> 'caregiver_scopes'))
    end,
    case when a.action like 'refuse\_%' then 'refused' else 'done' end
  from public.audit_events as a
  left join public.profiles as p on p.id = a.actor_id
  where a.patient_id = (select auth.uid())
    and a.actor_id <> a.patient_id
    and (select private.session_is_live())
    -- Always a bound of the index, never an `or`; the plain one lets whole months be left out.
    and a.occurred_at <= coalesce(p_after, 'infinity')
    and (a.occurred_at, a.id)
      < (coalesce(p_after, 'infinity'), coalesce(p_after_id, 9223372036854775807))
  order by a.occurred_at desc, a.id desc
  limit p_limit
$function$;

CREATE OR REPLACE FUNCTION private.object_to_emergency_access (
  p_id   uuid,
  p_note text
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_note constant text := regexp_replace(p_note, '^\s+|\s+$', '', 'g');
  v_patient_id uuid;
begin
  if v_note is null or length(v_note) not between 1 and 1000 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'An objection has a note of 1 to 1000 characters';
  end if;
  update public.chart_sessions as c set objected_at = now(), objection = v_note
  where c.id = p_id and c.patient_id = v_caller and c.purpose = 'emergency'
    and c.objected_at is null;
  if not found then
    select c.patient_id into v_patient_id
    from public.chart_sessions as c
    where c.id = p_id and c.purpose = 'emergency';
    if v_patient_id = v_caller then
      return private.refuse(
        'object_to_emergency', 'chart_session', p_id, v_patient_id, 'already_objected',
        'An objection to this emergency access is on record', p_purpose => 'emergency'
      );
    end if;
    return private.refuse(
      'object_to_emergency', 'chart_session', p_id, v_patient_id, 'not_found',
      'No emergency access with this id', p_purpose => 'emergency'
    );
  end if;
  perform private.write_audit(
    'object_to_emergency', 'chart_session', p_id, v_caller, 'emergency',
    jsonb_build_object('note', v_note)
  );
  perform private.notify_administrators(
    'emergency_objection', jsonb_build_object('chart_id', p_id)
  );
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.pending_record_upload (
  p_record_id uuid,
  p_upload_id uuid DEFAULT NULL::uuid
)
  RETURNS TABLE (
    upload_id         uuid,
    storage_path      text,
    file_name         text,
    file_type         text,
    file_size         bigint,
    file_sha256       text,
    ciphertext_sha256 text,
    completed_at      timestamp with time zone,
    object_version    text,
    content_type      text,
    content_encoding  text,
    code              text,
    message           text,
    details           text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.refuse (
  p_request       text,
  p_resource_type text,
  p_resource_id   uuid,
  p_patient_id    uuid,
  p_code          text,
  p_details       text,
  p_hint          text DEFAULT NULL::text,
  p_purpose       text DEFAULT NULL::text
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_status constant integer := case p_code
    when 'forbidden' then 403
    when 'mfa_required' then 403
    when 'not_verified' then 403
    when 'not_found' then 404
    when 'already_answered' then 409
    when 'already_ended' then 409
    when 'already_in_care' then 409
    when 'already_objected' then 409
    when 'already_requested' then 409
    when 'already_reviewed' then 409
    when 'already_shared' then 409
    when 'already_uploaded' then 409
    when 'review_pending' then 409
  end;
  v_by constant private.audit_context := private.current_audit_context();
  -- An id that a caller made up is nobody's, and must not fill the trail of somebody to come.
  v_patient_id constant uuid := (
    select p.id from public.patients as p where p.id = p_patient_id
  );
  v_unlisted integer;
begin
  if v_status is null then
    raise exception 'No status is known for the refusal %', p_code;
  end if;
  -- Nobody fills a patient's log: 20 at once, then one in three minutes, are listed one by one, and
  -- the next one listed says how many were not. The bucket's lock makes refusals of one caller for
  -- one patient wait for each other, so that none is counted twice or lost.
  if (
    select t.allowed
    from private.take_rate_token(
      'refusals ' || encode(
        sha256(uuid_send(v_by.actor_id) || coalesce(uuid_send(v_patient_id), '')), 'hex'
      ),
      20, 3600
    ) as t
  ) then
    delete from private.unlisted_refusals as u
    where u.actor_id = v_by.actor_id and u.patient_id is not distinct from v_patient_id
    returning u.refusals into v_unlisted;
    perform private.write_audit(
      'refuse_' || p_request, p_resource_type, p_resource_id, v_patient_id, p_purpose,
      jsonb_strip_nulls(jsonb_build_object('code', p_code, 'unlisted', v_unlisted))
    );
  else
    insert into private.unlisted_refusals as u (actor_id, patient_id, actor_role, refusals)
    values (v_by.actor_id, v_patient_id, v_by.actor_role, 1)
    on conflict (actor_id, patient_id) do update set
      refusals = u.refusals + 1,
      actor_role = excluded.actor_role;
  end if;
  perform set_config('response.status', v_status::text, true);
  return jsonb_build_object(
    'code', 'PT' || v_status, 'message', p_code, 'details', p_details, 'hint', p_hint
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.refuse_care (
  p_request         text,
  p_relationship_id uuid,
  p_code            text,
  p_details         text
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.refuse(
    p_request, 'care_relationship', p_relationship_id,
    (select r.patient_id from public.care_relationships as r where r.id = p_relationship_id),
    p_code, p_details
  )
$function$;

CREATE OR REPLACE FUNCTION private.refuse_record (
  p_request   text,
  p_record_id uuid
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.refuse(
    p_request, 'medical_record', p_record_id,
    (select r.patient_id from public.medical_records as r where r.id = p_record_id),
    'not_found', 'No record with this id'
  )
$function$;

CREATE OR REPLACE FUNCTION private.request_care (
  p_member_or_patient_id uuid,
  p_kind                 text,
  p_scopes               text[]
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_caller_role constant text := (select p.role from public.profiles as p where p.id = v_caller);
  v_scopes constant text[] := case
    when p_kind = 'doctor' then '{}'
    else array(select distinct s from unnest(p_scopes) as s order by s)
  end;
  -- A doctor or caregiver asks the patient; a patient appoints one.
  v_is_asking constant boolean := v_caller_role = p_kind;
  v_patient_id constant uuid := case when v_is_asking then p_member_or_patient_id else v_caller end;
  v_code text;
  v_details text;
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

  if not private.is_permanent(v_caller) then
    v_code := 'forbidden';
    v_details := 'Anonymous accounts may not do this: add an address first';
  elsif v_is_asking and p_kind = 'doctor' and not private.is_verified_doctor() then
    v_code := 'not_verified';
    v_details := 'The clinician is not verified';
  elsif v_is_asking then
    perform 1 from public.patients as t
      join public.profiles as p on p.id = t.id
      where t.id = p_member_or_patient_id and p.is_active and private.is_permanent(p.id);
    if not found then
      v_code := 'not_found';
      v_details := 'No patient with this id';
    end if;
  elsif p_kind = 'doctor' and v_caller_role <> 'patient' then
    v_code := 'not_verified';
    v_details := 'Only a verified clinician may ask for care as a doctor';
  elsif private.clinical_caller() is null then
    v_code := 'mfa_required';
    v_details := 'Letting somebody see clinical data needs multi-factor sign-in';
  elsif not exists (select 1 from public.patients as t where t.id = v_caller) then
    v_code := 'forbidden';
    v_details := 'The account is no patient''s';
  else
    perform 1 from public.profiles as p
      left join public.doctors as d on d.id = p.id
      where p.id = p_member_or_patient_id and p.is_active and private.is_permanent(p.id)
        and p.role = p_kind
        and (p_kind <> 'doctor' or d.verified_at is not null);
    if not found then
      -- Whoever waits to be verified means to ask as a doctor, and learns why that fails.
      if p_kind = 'doctor' and exists (select 1 from public.doctors as d where d.id = v_caller) then
        v_code := 'not_verified';
        v_details := 'The clinician is not verified';
      else
        v_code := 'not_found';
        v_details := 'No such doctor or caregiver';
      end if;
    end if;
  end if;
  if v_code is not null then
    return private.refuse(
      'request_care', 'care_relationship', null, v_patient_id, v_code, v_details
    );
  end if;
  insert into public.care_relationships (
    patient_id, member_id, kind, scopes, status, requested_by, starts_at
  )
  values (
    v_patient_id,
    case when v_is_asking then v_caller else p_member_or_patient_id end,
    p_kind, v_scopes,
    -- The patient's asking is consenting, so it is active at once; the member may end it.
    case when v_is_asking then 'requested' else 'active' end,
    v_caller,
    case when not v_is_asking then now() end
  )
  returning id into v_id;
  return to_jsonb(v_id);
exception
  when unique_violation then
    return private.refuse(
      'request_care', 'care_relationship', null, v_patient_id, 'already_requested',
      'There is an open relationship or request of this kind already'
    );
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.respond_care_request (
  p_id     uuid,
  p_accept boolean,
  p_scopes text[]
)
  RETURNS jsonb
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
  if p_accept and private.clinical_caller() is null then
    return private.refuse_care(
      'answer_care', p_id, 'mfa_required',
      'Letting somebody see clinical data needs multi-factor sign-in'
    );
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
      return private.refuse_care(
        'answer_care', p_id, 'already_answered', 'The request has been answered or withdrawn'
      );
    end if;
    return private.refuse_care('answer_care', p_id, 'not_found', 'No request with this id');
  end if;
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.review_emergency_access (
  p_id      uuid,
  p_outcome text,
  p_note    text
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_note constant text := regexp_replace(p_note, '^\s+|\s+$', '', 'g');
  v_code text;
  v_details text;
  v_chart public.chart_sessions;
begin
  select c.* into v_chart
  from public.chart_sessions as c
  where c.id = p_id and c.purpose = 'emergency';
  if not private.is_admin() then
    v_code := 'forbidden';
    v_details := 'Only administrators with multi-factor sign-in may do this';
  elsif p_outcome is null or p_outcome not in ('justified', 'unjustified')
    or v_note is null or length(v_note) not between 1 and 1000
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A review has the outcome justified or unjustified and a note of 1 to 1000 characters';
  elsif v_chart.id is null then
    v_code := 'not_found';
    v_details := 'No emergency access with this id';
  elsif v_caller in (v_chart.viewer_id, v_chart.patient_id) then
    -- A doctor or patient of then may be an administrator by now.
    v_code := 'forbidden';
    v_details := 'Nobody reviews an emergency access in which they took part';
  else
    -- The row lock lets exactly one of several reviews through: the others find it done.
    update public.chart_sessions as c set
      reviewed_at = now(),
      reviewed_by = v_caller,
      review_outcome = p_outcome,
      review_note = v_note,
      -- What was never justified does not stay open.
      closed_at = case
        when p_outcome = 'unjustified' and c.expires_at > now() then coalesce(c.closed_at, now())
        else c.closed_at
      end
    where c.id = p_id and c.reviewed_at is null;
    if not found then
      v_code := 'already_reviewed';
      v_details := 'The emergency access has been reviewed';
    end if;
  end if;
  if v_code is not null then
    return private.refuse(
      'review_emergency', 'chart_session', p_id, v_chart.patient_id, v_code, v_details,
      p_purpose => 'emergency'
    );
  end if;
  perform private.write_audit(
    'review_emergency', 'chart_session', p_id, v_chart.patient_id, 'emergency',
    jsonb_build_object('outcome', p_outcome, 'note', v_note)
  );
  perform private.notify(person, 'emergency_reviewed', jsonb_build_object('chart_id', p_id))
  from unnest(array[v_chart.viewer_id, v_chart.patient_id]) as person;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.revoke_record_share (
  p_id uuid
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.set_care_scopes (
  p_id     uuid,
  p_scopes text[]
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if private.clinical_caller() is null then
    return private.refuse_care(
      'set_care_scopes', p_id, 'mfa_required',
      'Letting somebody see clinical data needs multi-factor sign-in'
    );
  end if;
  update public.care_relationships as r set
    scopes = array(select distinct s from unnest(p_scopes) as s order by s)
  where r.id = p_id and r.patient_id = v_caller and r.kind = 'caregiver' and r.status = 'active';
  if not found then
    return private.refuse_care(
      'set_care_scopes', p_id, 'not_found', 'No active caregiver with this id'
    );
  end if;
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.set_record_deleted (
  p_id      uuid,
  p_deleted boolean
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.share_medical_record (
  p_record_id      uuid,
  p_shared_with_id uuid,
  p_access_level   text,
  p_expires_at     timestamp with time zone
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.delete_medical_record (
  p_id uuid
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.set_record_deleted(p_id, true)
$function$;

REVOKE ALL ON FUNCTION "public"."delete_medical_record"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.end_care (
  p_id     uuid,
  p_reason text DEFAULT NULL::text
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.end_care(p_id, p_reason)
$function$;

REVOKE ALL ON FUNCTION "public"."end_care"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.object_to_emergency_access (
  p_id   uuid,
  p_note text
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.object_to_emergency_access(p_id, p_note)
$function$;

REVOKE ALL ON FUNCTION "public"."object_to_emergency_access"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.request_care (
  p_member_or_patient_id uuid,
  p_kind                 text,
  p_scopes               text[] DEFAULT '{}'::text[]
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.request_care(p_member_or_patient_id, p_kind, p_scopes)
$function$;

REVOKE ALL ON FUNCTION "public"."request_care"(uuid, text, text[]) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.respond_care_request (
  p_id     uuid,
  p_accept boolean,
  p_scopes text[]  DEFAULT NULL::text[]
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.respond_care_request(p_id, p_accept, p_scopes)
$function$;

REVOKE ALL ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.restore_medical_record (
  p_id uuid
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.set_record_deleted(p_id, false)
$function$;

REVOKE ALL ON FUNCTION "public"."restore_medical_record"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.review_emergency_access (
  p_id      uuid,
  p_outcome text,
  p_note    text
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.review_emergency_access(p_id, p_outcome, p_note)
$function$;

REVOKE ALL ON FUNCTION "public"."review_emergency_access"(uuid, text, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.revoke_record_share (
  p_id uuid
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.revoke_record_share(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."revoke_record_share"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.set_care_scopes (
  p_id     uuid,
  p_scopes text[]
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.set_care_scopes(p_id, p_scopes)
$function$;

REVOKE ALL ON FUNCTION "public"."set_care_scopes"(uuid, text[]) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.share_medical_record (
  p_record_id      uuid,
  p_shared_with_id uuid,
  p_access_level   text,
  p_expires_at     timestamp with time zone
)
  RETURNS jsonb
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.share_medical_record(p_record_id, p_shared_with_id, p_access_level, p_expires_at)
$function$;

REVOKE ALL ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) FROM PUBLIC, "anon", "service_role";

COMMENT ON COLUMN "private"."unlisted_refusals"."actor_role" IS 'As in audit_events, at the last of them.';

COMMENT ON COLUMN "private"."unlisted_refusals"."patient_id" IS 'Whose data it was; null for ids of nobody.';

COMMENT ON COLUMN "public"."audit_events"."action" IS 'create, update, delete, or a verb of the product such as open_chart, open_record, download_file; refuse_ and the verb for a request that was refused, refuse_more for several.';

COMMENT ON COLUMN "public"."audit_events"."new_values" IS 'Columns that changed, after; never file contents. Of a deed that changes no row, what else is to be known of it: the reason of an emergency, the code of a refusal, and in unlisted how many more refusals of the same actor it stands for. caregiver_scopes: what the patient let a caregiver see at that time.';

COMMENT ON FUNCTION "private"."access_summary"(text, text, text, integer) IS 'An audit row in words for the patient, for example "Opened your chart". p_code is the code of a refusal, p_unlisted how many others it stands for.';

COMMENT ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) IS 'Announces a file for a record. Returns where to put it, until when, and the id for its key, which add_record_file_key then brings; or the refusal, which is logged, in code, message and details: PT404 not_found, PT409 already_uploaded. Raises: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "private"."complete_record_upload"(uuid, text, text) IS 'Gives a record the file of a checked upload, while its object still is the version that was read and the caller may still write the record; repeating it changes nothing. Answers null, or the error that refuses it, which is logged: PT404 not_found, PT409 already_uploaded. Raises: PT401 unauthenticated, PT409 upload_missing.';

COMMENT ON FUNCTION "private"."end_care"(uuid, text) IS 'Body of public.end_care.';

COMMENT ON FUNCTION "private"."erase_record_file"(uuid) IS 'The patient erases the file that they uploaded to a record of theirs, for ever. Returns when, and a row for each object to be removed from Storage, or one with a null path; repeating it gives what is left of them. Or the refusal, which is logged, in code, message and details: PT403 forbidden (a doctor uploaded it), PT404 not_found. Raises: PT401 unauthenticated, PT404 not_found for a record without file.';

COMMENT ON FUNCTION "private"."list_refusals"() IS 'Writes an audit row for refusals that were only counted for an hour, refuse_more with how many in unlisted, for those whom no further refusal brings to the trail. Answers how many rows; repeating it does no harm.';

COMMENT ON FUNCTION "private"."object_to_emergency_access"(uuid, text) IS 'Body of public.object_to_emergency_access.';

COMMENT ON FUNCTION "private"."pending_record_upload"(uuid, uuid) IS 'The completed announcement of a record, or its newest open one, or the one of an id, with what Storage has there; object_version is null while nothing has arrived in time; or the refusal, which is logged, in code, message and details: PT404 not_found. Raises: PT401 unauthenticated, PT409 upload_missing.';

COMMENT ON FUNCTION "private"."refuse"(text, text, uuid, uuid, text, text, text, text) IS 'Refuses a clinical request: logs it as refuse_<request>, sets the status of the answer, and gives the members code, message, details and hint of an error, for the function to answer. What the caller learns is what raising would have told. Of many by one caller for one patient not each has a row: the next row says in unlisted how many there were besides.';

COMMENT ON FUNCTION "private"."refuse_care"(text, uuid, text, text) IS 'Refuses a request about a care relationship: private.refuse with the patient whose it is. For definer functions only.';

COMMENT ON FUNCTION "private"."refuse_record"(text, uuid) IS 'Refuses a request for a record that is not there for the caller: private.refuse with the patient whose it is. For definer functions only.';

COMMENT ON FUNCTION "private"."request_care"(uuid, text, text[]) IS 'Body of public.request_care.';

COMMENT ON FUNCTION "private"."respond_care_request"(uuid, boolean, text[]) IS 'Body of public.respond_care_request.';

COMMENT ON FUNCTION "private"."review_emergency_access"(uuid, text, text) IS 'Body of public.review_emergency_access.';

COMMENT ON FUNCTION "private"."revoke_record_share"(uuid) IS 'Body of public.revoke_record_share.';

COMMENT ON FUNCTION "private"."set_care_scopes"(uuid, text[]) IS 'Body of public.set_care_scopes.';

COMMENT ON FUNCTION "private"."set_record_deleted"(uuid, boolean) IS 'Body of public.delete_medical_record and public.restore_medical_record.';

COMMENT ON FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp with time zone) IS 'Body of public.share_medical_record.';

COMMENT ON FUNCTION "public"."delete_medical_record"(uuid) IS 'The patient deletes a record: nobody else sees it from now on; it can be restored until retention removes it. Deleting twice changes nothing. Answers null, or the error that refuses it, which is logged. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."end_care"(uuid, text) IS 'Either side ends an active relationship, or the asker withdraws a request; charts that stand on it close at once. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_ended.';

COMMENT ON FUNCTION "public"."object_to_emergency_access"(uuid, text) IS 'The patient objects, once, to an emergency access to their chart, before or after its review, with a note of 1 to 1,000 characters that administrators and the doctor read. It is put on record and told to every administrator; it closes nothing, as an emergency may go on. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_objected.';

COMMENT ON FUNCTION "public"."request_care"(uuid, text, text[]) IS 'Asks a patient for a care relationship (caller is a verified doctor, or a caregiver, of that kind), or appoints a doctor or caregiver (caller is the patient; active at once). p_scopes only for caregivers. Answers the id, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 not_verified, forbidden or mfa_required (a clinician, for themselves), PT404 not_found, PT409 already_requested.';

COMMENT ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) IS 'The patient accepts or declines a request; p_scopes, for a caregiver, replaces what was asked for. Of several answers at once the first counts. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician accepts for themselves), PT404 not_found, PT409 already_answered.';

COMMENT ON FUNCTION "public"."restore_medical_record"(uuid) IS 'The patient takes a deletion back; shares that are still live show the record again. Answers null, or the error that refuses it, which is logged. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."review_emergency_access"(uuid, text, text) IS 'Administrators: decides once whether an emergency access was justified or unjustified, with a note of 1 to 1,000 characters that doctor and patient read; both are notified. An unjustified one that is still open closes at once; withdrawing the verification is a decision of its own. Not for its own doctor or patient. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found, PT409 already_reviewed.';

COMMENT ON FUNCTION "public"."revoke_record_share"(uuid) IS 'The patient takes a share back, or its recipient gives it up, at once; ending an ended share changes nothing. Answers null, or the error that refuses it, which is logged. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."set_care_scopes"(uuid, text[]) IS 'The patient widens or narrows what an active caregiver may see; it bites on the next statement. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician, for themselves), PT404 not_found.';

COMMENT ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp with time zone) IS 'Shares one of the caller''s own records with another account until p_expires_at (at most a year); p_access_level view or download. Answers the share''s id, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_shared.';

COMMENT ON TABLE "private"."unlisted_refusals" IS 'Refusals that were too many to be listed one by one: how many, by whom, for whose data, since the last audit row that told such a number. PHI: who tried to reach whom. No foreign keys, as in the trail, where each row ends.';

REVOKE ALL ON FUNCTION "private"."access_summary"(text, text, text, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."complete_record_upload"(uuid, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."complete_record_upload"(uuid, text, text) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."end_care"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."end_care"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."erase_record_file"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."erase_record_file"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."list_refusals"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."list_refusals"() TO "audit_worker";

REVOKE ALL ON FUNCTION "private"."object_to_emergency_access"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."object_to_emergency_access"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."pending_record_upload"(uuid, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."pending_record_upload"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."refuse_care"(text, uuid, text, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."refuse_record"(text, uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."request_care"(uuid, text, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."request_care"(uuid, text, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."respond_care_request"(uuid, boolean, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."respond_care_request"(uuid, boolean, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."review_emergency_access"(uuid, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."review_emergency_access"(uuid, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."revoke_record_share"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."revoke_record_share"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."set_care_scopes"(uuid, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."set_care_scopes"(uuid, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."set_record_deleted"(uuid, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."set_record_deleted"(uuid, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) TO "authenticated";

GRANT EXECUTE ON FUNCTION "public"."delete_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."delete_medical_record"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_medical_record"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."end_care"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."end_care"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."end_care"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."object_to_emergency_access"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."object_to_emergency_access"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."object_to_emergency_access"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."request_care"(uuid, text, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."request_care"(uuid, text, text[]) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."request_care"(uuid, text, text[]) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."restore_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."restore_medical_record"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."restore_medical_record"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."review_emergency_access"(uuid, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."review_emergency_access"(uuid, text, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."review_emergency_access"(uuid, text, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."revoke_record_share"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."revoke_record_share"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."revoke_record_share"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."set_care_scopes"(uuid, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."set_care_scopes"(uuid, text[]) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."set_care_scopes"(uuid, text[]) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) TO "postgres";
