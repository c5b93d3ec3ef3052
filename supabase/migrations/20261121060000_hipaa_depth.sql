-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

REVOKE ALL ("description") ON TABLE "public"."medical_record_contents" FROM "authenticated";

REVOKE ALL ("address") ON TABLE "public"."patients" FROM "authenticated";

REVOKE ALL ("emergency_contact_phone") ON TABLE "public"."patients" FROM "authenticated";

REVOKE ALL ("insurance_policy_number") ON TABLE "public"."patients" FROM "authenticated";

REVOKE ALL ("phone") ON TABLE "public"."patients" FROM "authenticated";

DROP POLICY "account_grants_select_authenticated" ON "public"."account_grants";

DROP POLICY "care_relationships_select_authenticated" ON "public"."care_relationships";

DROP POLICY "chart_sessions_select_authenticated" ON "public"."chart_sessions";

DROP POLICY "doctors_select_authenticated" ON "public"."doctors";

DROP POLICY "medical_record_contents_insert_authenticated" ON "public"."medical_record_contents";

DROP POLICY "medical_record_contents_select_authenticated" ON "public"."medical_record_contents";

DROP POLICY "medical_record_contents_update_authenticated" ON "public"."medical_record_contents";

DROP POLICY "medical_record_shares_select_authenticated" ON "public"."medical_record_shares";

DROP POLICY "medical_records_insert_authenticated" ON "public"."medical_records";

DROP POLICY "medical_records_select_authenticated" ON "public"."medical_records";

DROP POLICY "medical_records_update_authenticated" ON "public"."medical_records";

DROP POLICY "patients_select_authenticated" ON "public"."patients";

DROP POLICY "patients_update_authenticated" ON "public"."patients";

DROP POLICY "profiles_select_authenticated" ON "public"."profiles";

DROP POLICY "profiles_update_authenticated" ON "public"."profiles";

DROP POLICY "avatars_delete_authenticated" ON "storage"."objects";

DROP POLICY "avatars_insert_authenticated" ON "storage"."objects";

DROP POLICY "avatars_select_authenticated" ON "storage"."objects";

DROP POLICY "avatars_update_authenticated" ON "storage"."objects";

DROP TRIGGER "medical_record_contents_audit_delete" ON "public"."medical_record_contents";

DROP TRIGGER "medical_record_contents_audit_insert" ON "public"."medical_record_contents";

DROP TRIGGER "medical_record_contents_audit_update" ON "public"."medical_record_contents";

DROP TRIGGER "patients_audit_delete" ON "public"."patients";

DROP TRIGGER "patients_audit_insert" ON "public"."patients";

DROP TRIGGER "patients_audit_update" ON "public"."patients";

DROP INDEX "private"."record_uploads_one_completed";

DROP VIEW "public"."public_profiles";

DROP VIEW "private"."visible_profiles";

ALTER TABLE "private"."patient_identifiers"
  DROP CONSTRAINT "patient_identifiers_pkey";

ALTER TABLE "private"."patient_identifiers"
  DROP CONSTRAINT "patient_identifiers_system_check";

ALTER TABLE "private"."record_uploads"
  DROP CONSTRAINT "record_uploads_file_size_check";

ALTER TABLE "private"."record_uploads"
  DROP CONSTRAINT "record_uploads_outcome_check";

ALTER TABLE "private"."sign_in_failures"
  DROP CONSTRAINT "sign_in_failures_failures_check";

ALTER TABLE "public"."medical_record_contents"
  DROP CONSTRAINT "medical_record_contents_description_check";

ALTER TABLE "public"."medical_records"
  DROP CONSTRAINT "medical_records_file_check";

ALTER TABLE "public"."patients"
  DROP CONSTRAINT "patients_diagnosis_date_check";

ALTER TABLE "public"."patients"
  DROP CONSTRAINT "patients_emergency_contact_phone_check";

ALTER TABLE "public"."patients"
  DROP CONSTRAINT "patients_phone_check";

ALTER TABLE "public"."patients"
  DROP CONSTRAINT "patients_texts_check";

ALTER TABLE "public"."profiles"
  DROP CONSTRAINT "profiles_avatar_path_check";

DROP FUNCTION "private"."access_summary"(text, text);

DROP FUNCTION "private"."added_record_ids"();

DROP FUNCTION "private"."authorize_record_download"(uuid);

DROP FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text);

DROP FUNCTION "private"."chart_patient_ids"(text);

DROP FUNCTION "private"."complete_record_upload"(uuid);

DROP FUNCTION "private"."my_access_log"(integer, timestamp WITH time zone, bigint);

DROP FUNCTION "private"."open_chart"(uuid, text);

DROP FUNCTION "private"."open_chart_purpose"(uuid);

DROP FUNCTION "private"."open_charts"();

DROP FUNCTION "private"."open_medical_record"(uuid);

DROP FUNCTION "private"."pending_record_upload"(uuid);

DROP FUNCTION "private"."read_cursor"(text, integer);

DROP FUNCTION "private"."record_access"(uuid);

DROP FUNCTION "private"."reject_record_upload"(uuid);

DROP FUNCTION "private"."touch_last_active"();

DROP FUNCTION "private"."writable_record"(uuid);

DROP FUNCTION "public"."my_access_log"(integer, text);

DROP FUNCTION "public"."open_chart"(uuid, text);

DROP FUNCTION "public"."open_medical_record"(uuid);

CREATE TABLE "private"."audit_seal_leaves" (
  "seal_id"     bigint                   NOT NULL,
  "position"    integer                  NOT NULL,
  "event_id"    bigint                   NOT NULL,
  "occurred_at" timestamp with time zone NOT NULL,
  "leaf_hash"   bytea                    NOT NULL,
  CONSTRAINT "audit_seal_leaves_one_seal" UNIQUE (event_id, occurred_at),
  CONSTRAINT "audit_seal_leaves_pkey" PRIMARY KEY (seal_id, "position"),
  CONSTRAINT "audit_seal_leaves_position_check" CHECK (("position" >= 0))
);

ALTER TABLE "private"."audit_seal_leaves"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."data_keys" (
  "id"            uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "purpose"       text                     NOT NULL,
  "subject_id"    uuid                     NOT NULL,
  "key_id"        text                     NOT NULL,
  "key_version"   integer                  NOT NULL,
  "wrapped_key"   bytea,
  "created_at"    timestamp with time zone NOT NULL DEFAULT now(),
  "rewrapped_at"  timestamp with time zone,
  "claimed_until" timestamp with time zone,
  "erased_at"     timestamp with time zone,
  CONSTRAINT "data_keys_erased_check" CHECK (((wrapped_key IS NULL) = (erased_at IS NOT NULL))),
  CONSTRAINT "data_keys_key_id_check" CHECK ((key_id ~ '^[a-z][a-z0-9-]{0,31}$'::text)),
  CONSTRAINT "data_keys_key_version_check" CHECK (((key_version >= 1) AND (key_version <= 999999))),
  CONSTRAINT "data_keys_pkey" PRIMARY KEY (id),
  CONSTRAINT "data_keys_purpose_check" CHECK ((purpose = ANY (ARRAY['record_file'::text, 'patient_fields'::text]))),
  CONSTRAINT "data_keys_wrapped_key_check" CHECK ((octet_length(wrapped_key) = 60))
);

ALTER TABLE "private"."data_keys"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."key_versions" (
  "key_id"        text                     NOT NULL,
  "key_version"   integer                  NOT NULL,
  "first_used_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "key_versions_pkey" PRIMARY KEY (key_id, key_version)
);

ALTER TABLE "private"."key_versions"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."patient_search_keys" (
  "patient_id" uuid  NOT NULL,
  "field"      text  NOT NULL,
  "digest"     bytea NOT NULL,
  CONSTRAINT "patient_search_keys_digest_check" CHECK ((octet_length(digest) = 32)),
  CONSTRAINT "patient_search_keys_field_check" CHECK ((field = ANY (ARRAY['phone'::text, 'phone_national'::text, 'insurance_policy_number'::text]))),
  CONSTRAINT "patient_search_keys_pkey" PRIMARY KEY (patient_id, field)
);

ALTER TABLE "private"."patient_search_keys"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."record_openings" (
  "viewer_id" uuid                     NOT NULL,
  "record_id" uuid                     NOT NULL,
  "opened_at" timestamp with time zone NOT NULL,
  CONSTRAINT "record_openings_pkey" PRIMARY KEY (viewer_id, record_id)
);

ALTER TABLE "private"."record_openings"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "public"."audit_seals" (
  "id"            bigint                   NOT NULL,
  "from_id"       bigint                   NOT NULL,
  "to_id"         bigint                   NOT NULL,
  "leaf_count"    integer                  NOT NULL,
  "merkle_root"   bytea                    NOT NULL,
  "previous_hash" bytea,
  "snapshot"      pg_snapshot              NOT NULL,
  "is_drained"    boolean                  NOT NULL,
  "is_restart"    boolean                  NOT NULL,
  "sealed_at"     timestamp with time zone NOT NULL,
  CONSTRAINT "audit_seals_id_check" CHECK ((id >= 1)),
  CONSTRAINT "audit_seals_leaf_count_check" CHECK ((leaf_count >= 1)),
  CONSTRAINT "audit_seals_merkle_root_check" CHECK ((length(merkle_root) = 32)),
  CONSTRAINT "audit_seals_pkey" PRIMARY KEY (id),
  CONSTRAINT "audit_seals_previous_hash_check" CHECK (
CASE
    WHEN (id = 1) THEN (previous_hash IS NULL)
    ELSE ((previous_hash IS NOT NULL) AND (length(previous_hash) = 32))
END),
  CONSTRAINT "audit_seals_previous_hash_key" UNIQUE (previous_hash),
  CONSTRAINT "audit_seals_range_check" CHECK ((from_id <= to_id))
);

ALTER TABLE "public"."audit_seals"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."audit_seals" FROM "anon", "authenticated", "service_role";

CREATE TABLE "public"."notifications" (
  "id"         uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "user_id"    uuid                     NOT NULL,
  "kind"       text                     NOT NULL,
  "title"      text                     NOT NULL,
  "body"       text                     NOT NULL,
  "data"       jsonb                    NOT NULL DEFAULT '{}'::jsonb,
  "read_at"    timestamp with time zone,
  "created_at" timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "notifications_body_check" CHECK (((length(body) >= 1) AND (length(body) <= 500))),
  CONSTRAINT "notifications_data_check" CHECK (((jsonb_typeof(data) = 'object'::text) AND (pg_column_size(data) <= 1024))),
  CONSTRAINT "notifications_kind_check" CHECK (((kind ~ '^[a-z]+(_[a-z]+)*$'::text) AND (length(kind) <= 60))),
  CONSTRAINT "notifications_pkey" PRIMARY KEY (id),
  CONSTRAINT "notifications_title_check" CHECK (((length(title) >= 1) AND (length(title) <= 120)))
);

ALTER TABLE "public"."notifications"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."notifications" FROM "anon", "service_role";

ALTER TABLE "private"."patient_identifiers"
  ADD COLUMN "id" uuid NOT NULL DEFAULT gen_random_uuid();

ALTER TABLE "private"."record_uploads"
  ADD COLUMN "patient_id" uuid NOT NULL;

ALTER TABLE "private"."record_uploads"
  ADD COLUMN "data_key_id" uuid NOT NULL DEFAULT gen_random_uuid();

ALTER TABLE "private"."record_uploads"
  ADD COLUMN "ciphertext_sha256" text;

ALTER TABLE "private"."record_uploads"
  ADD COLUMN "object_version" text;

ALTER TABLE "private"."record_uploads"
  ADD COLUMN "swept_at" timestamp WITH time zone;

ALTER TABLE "private"."record_uploads"
  ADD COLUMN "erased_at" timestamp WITH time zone;

ALTER TABLE "public"."chart_sessions"
  ADD COLUMN "last_used_at" timestamp WITH time zone NOT NULL DEFAULT now();

ALTER TABLE "public"."chart_sessions"
  ADD COLUMN "review_note" text;

ALTER TABLE "public"."chart_sessions"
  ADD COLUMN "objected_at" timestamp WITH time zone;

ALTER TABLE "public"."chart_sessions"
  ADD COLUMN "objection" text;

ALTER TABLE "public"."medical_record_contents"
  ADD COLUMN "data_key_id" uuid;

ALTER TABLE "public"."medical_records"
  ADD COLUMN "source_url" text;

CREATE TYPE "private"."record_download" AS (
  "storage_path" text,
  "file_name"    text,
  "file_type"    text,
  "file_size"    bigint,
  "file_sha256"  text,
  "code"         text,
  "message"      text,
  "details"      text
);

CREATE TYPE "public"."opened_chart" AS (
  "id"         uuid,
  "expires_at" timestamp WITH time zone,
  "code"       text,
  "message"    text,
  "details"    text,
  "hint"       text
);

CREATE TYPE "public"."opened_record" AS (
  "id"           uuid,
  "patient_id"   uuid,
  "title"        text,
  "record_type"  text,
  "record_date"  date,
  "source"       text,
  "sensitivity"  text,
  "file_name"    text,
  "file_type"    text,
  "file_size"    bigint,
  "file_sha256"  text,
  "may_download" boolean,
  "code"         text,
  "message"      text,
  "details"      text,
  "hint"         text
);

CREATE OR REPLACE FUNCTION private.access_decision (
  p_viewer_id  uuid,
  p_patient_id uuid,
  p_record_id  uuid,
  p_action     text
)
  RETURNS TABLE (
    allowed boolean,
    rule    text,
    since   timestamp with time zone,
    until   timestamp with time zone
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_reads constant boolean := p_action in ('list', 'read', 'download');
  v_writes constant boolean := p_action in ('write', 'upload');
begin
  if p_action is null or not (v_reads or v_writes or p_action in ('share', 'delete')) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot decide as p_action must be one of list, read, download, write, upload, '
        || 'share, delete';
  end if;
  return query
    with target as (
      select r.id as record_id, r.patient_id, r.sensitivity, r.created_by, r.created_at,
        r.deleted_at is not null as is_deleted
      from public.medical_records as r
      where r.id = p_record_id and r.patient_id = p_patient_id
      union all
      select null, p.id, 'normal', null, p.created_at, false
      from public.patients as p
      where p.id = p_patient_id and p_record_id is null and p_action in ('list', 'read', 'write')
    ), grounds as (
      select 1 as rank, 'owner' as rule, t.created_at as since, null::timestamptz as until
      from target as t
      where t.patient_id = p_viewer_id
        and exists (select 1 from private.active_account(p_viewer_id))
        and (v_reads or p_action = 'delete' or not t.is_deleted)
      union all
      select 2, g.rule, g.since, g.until
      from target as t
      join private.chart_grounds(p_viewer_id) as g on g.patient_id = t.patient_id
      where not t.is_deleted
        and (
          v_reads and (
            g.scopes is null
            or 'records' = any (g.scopes)
              and (t.sensitivity = 'normal' or 'sensitive' = any (g.scopes))
          )
          or v_writes and g.scopes is null
            and (t.record_id is null or t.created_by = p_viewer_id)
        )
      union all
      select 3, 'share', g.since, g.until
      from target as t
      join private.share_grounds(p_viewer_id) as g on g.record_id = t.record_id
      where not t.is_deleted
        and (p_action in ('list', 'read') or p_action = 'download' and g.access_level = 'download')
    )
    select true, g.rule, g.since, g.until
    from grounds as g
    order by g.rank, g.until desc nulls first
    limit 1;
  if not found then
    return query select false, null::text, null::timestamptz, null::timestamptz;
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.access_grounds (
  p_patient_id uuid
)
  RETURNS TABLE (
    viewer_id   uuid,
    viewer_name text,
    viewer_role text,
    rule        text,
    explanation text,
    since       timestamp with time zone,
    until       timestamp with time zone
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select v.id, p.display_name, p.role, g.rule, g.explanation, g.since, g.until
  from (
    select r.member_id from public.care_relationships as r where r.patient_id = p_patient_id
    union
    select c.viewer_id from public.chart_sessions as c where c.patient_id = p_patient_id
    union
    select s.shared_with_id from public.medical_record_shares as s
    where s.patient_id = p_patient_id
  ) as v (id)
  join public.profiles as p on p.id = v.id
  cross join lateral (
    select
      'care_' || c.kind,
      case c.kind
        when 'doctor' then 'Doctor in active care: may open your chart for 60 minutes at a time'
        else 'Caregiver: may open your chart and see ' || array_to_string(c.scopes, ', ')
      end,
      c.since,
      c.until
    from private.care_grounds(v.id) as c
    where c.patient_id = p_patient_id
    union all
    select
      c.rule,
      case c.purpose
        when 'emergency' then 'Opened your chart in an emergency, without being in your care team'
        when 'delegated' then 'Has your chart open as your caregiver'
        else 'Has your chart open for ' || replace(c.purpose, '_', ' ')
      end,
      c.since,
      c.until
    from private.chart_grounds(v.id) as c
    where c.patient_id = p_patient_id
    union all
    select
      'share',
      case s.access_level
        when 'download' then 'You share the record "' || m.title || '", with its file'
        else 'You share the record "' || m.title || '"'
      end,
      s.since,
      s.until
    from private.share_grounds(v.id) as s
    join public.medical_records as m on m.id = s.record_id
    where s.patient_id = p_patient_id and m.deleted_at is null
  ) as g (rule, explanation, since, until)
$function$;

CREATE OR REPLACE FUNCTION private.access_object (
  p_resource_type text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case p_resource_type
    when 'patient' then 'your registry entry'
    when 'medical_record' then 'a record'
    when 'medical_record_content' then 'the contents of a record'
    when 'medical_record_share' then 'a share of a record'
    when 'record_upload' then 'an upload of a file'
    when 'patient_identifier' then 'your id in another system'
    when 'care_relationship' then 'a care relationship with you'
    when 'chart_session' then 'an opening of your chart'
    else 'a ' || replace(p_resource_type, '_', ' ')
  end
$function$;

CREATE OR REPLACE FUNCTION private.access_reason (
  p_purpose text,
  p_reason  text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case p_purpose
    when 'treatment' then 'To treat you'
    when 'care_coordination' then 'To coordinate your care'
    when 'delegated' then 'As your caregiver'
    when 'share' then 'By a record that you share'
    when 'emergency' then 'In an emergency'
    else p_purpose
  end || coalesce(': ' || p_reason, '')
$function$;

CREATE OR REPLACE FUNCTION private.access_summary (
  p_action        text,
  p_resource_type text,
  p_code          text DEFAULT NULL::text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case
    when p_action like 'refuse\_%' then
      'Tried to ' || case p_action
        when 'refuse_open_chart' then 'open your chart'
        when 'refuse_break_glass' then 'open your chart in an emergency'
        when 'refuse_open_record' then 'read a record'
        when 'refuse_download_file' then 'download a file of a record'
        when 'refuse_import_records' then 'import records for you'
        when 'refuse_export_records' then 'export your records'
        else format(
          '%s (%s)', replace(substr(p_action, 8), '_', ' '), private.access_object(p_resource_type)
        )
      end || ' and was refused' || case p_code
        when 'not_found' then ': had no right to it'
        when 'not_verified' then ': is not a verified clinician'
        when 'mfa_required' then ': had signed in without a second factor'
        when 'forbidden' then ': you share it for viewing only'
        when 'review_pending' then ': an earlier emergency of theirs has not been reviewed'
        when 'already_in_care' then ': is in your care team, who need no emergency'
        else ''
      end
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

CREATE OR REPLACE FUNCTION private.active_account (
  p_account_id uuid
)
  RETURNS TABLE (
    id   uuid,
    role text
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select p.id, p.role from public.profiles as p where p.id = p_account_id and p.is_active
$function$;

CREATE OR REPLACE FUNCTION private.add_record_file_key (
  p_upload_id   uuid,
  p_key_id      text,
  p_key_version integer,
  p_wrapped_key text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.added_record_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query
    select r.id
    from private.chart_grounds(v_caller) as g
    join public.medical_records as r on r.patient_id = g.patient_id and r.created_by = v_caller
    where g.scopes is null and r.deleted_at is null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_canonical (
  p_id             bigint,
  p_occurred_at    timestamp with time zone,
  p_actor_id       uuid,
  p_actor_role     text,
  p_session_id     uuid,
  p_action         text,
  p_resource_type  text,
  p_resource_id    uuid,
  p_patient_id     uuid,
  p_purpose        text,
  p_old_values     jsonb,
  p_new_values     jsonb,
  p_ip_address     inet,
  p_user_agent     text,
  p_request_id     text,
  p_transaction_id xid8
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  AS $function$
  select json_array(
    'audit_event/1'::text, p_id,
    (extract(epoch from p_occurred_at at time zone 'UTC') * 1000000)::bigint,
    p_actor_id, p_actor_role, p_session_id, p_action, p_resource_type, p_resource_id, p_patient_id,
    p_purpose, p_old_values, p_new_values, p_ip_address, p_user_agent, p_request_id,
    p_transaction_id::text
    null on null returning text
  )
$function$;

CREATE OR REPLACE FUNCTION private.audit_chart_close()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.write_audit('close_chart', 'chart_session', new.id, new.patient_id, new.purpose);
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_head()
  RETURNS TABLE (
    seal_id     bigint,
    hash        text,
    merkle_root text,
    sealed_at   timestamp with time zone,
    canonical   text
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select s.id, encode(s.hash, 'hex'), encode(s.merkle_root, 'hex'), s.sealed_at,
    private.audit_seal_canonical(
      s.id, s.from_id, s.to_id, s.leaf_count, s.merkle_root, s.previous_hash, s.snapshot,
      s.is_drained, s.is_restart, s.sealed_at
    )
  from public.audit_seals as s
  order by s.id desc
  limit 1
$function$;

CREATE OR REPLACE FUNCTION private.audit_leaf (
  p_id             bigint,
  p_occurred_at    timestamp with time zone,
  p_actor_id       uuid,
  p_actor_role     text,
  p_session_id     uuid,
  p_action         text,
  p_resource_type  text,
  p_resource_id    uuid,
  p_patient_id     uuid,
  p_purpose        text,
  p_old_values     jsonb,
  p_new_values     jsonb,
  p_ip_address     inet,
  p_user_agent     text,
  p_request_id     text,
  p_transaction_id xid8
)
  RETURNS bytea
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
begin
  return sha256('\x00'::bytea || convert_to(
    private.audit_canonical(
      p_id, p_occurred_at, p_actor_id, p_actor_role, p_session_id, p_action, p_resource_type,
      p_resource_id, p_patient_id, p_purpose, p_old_values, p_new_values, p_ip_address,
      p_user_agent, p_request_id, p_transaction_id
    ),
    'UTF8'
  ));
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_proof (
  p_event_id bigint
)
  RETURNS TABLE (
    event_id       bigint,
    leaf_hash      text,
    "position"     integer,
    tree_size      integer,
    path           text[],
    seal_id        bigint,
    merkle_root    text,
    hash           text,
    previous_hash  text,
    sealed_at      timestamp with time zone,
    seal_canonical text
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_event record;
  v_leaf record;
begin
  select e.id, e.occurred_at, e.leaf_hash into v_event
  from public.audit_events as e
  where e.id = p_event_id and (e.patient_id = v_caller or private.is_admin())
  order by e.occurred_at
  limit 1;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No such event';
  end if;
  select l.seal_id, l.position into v_leaf
  from private.audit_seal_leaves as l
  where l.event_id = v_event.id and l.occurred_at = v_event.occurred_at;
  if not found then
    raise exception using errcode = 'PT409', message = 'not_sealed',
      detail = 'The event is not sealed yet: ask again in a minute';
  end if;
  return query
    select
      v_event.id, encode(v_event.leaf_hash, 'hex'), v_leaf.position, s.leaf_count,
      private.merkle_path(
        (
          select string_agg(l.leaf_hash, ''::bytea order by l.position)
          from private.audit_seal_leaves as l
          where l.seal_id = s.id
        ),
        v_leaf.position
      ),
      s.id, encode(s.merkle_root, 'hex'), encode(s.hash, 'hex'), encode(s.previous_hash, 'hex'),
      s.sealed_at,
      private.audit_seal_canonical(
        s.id, s.from_id, s.to_id, s.leaf_count, s.merkle_root, s.previous_hash, s.snapshot,
        s.is_drained, s.is_restart, s.sealed_at
      )
    from public.audit_seals as s
    where s.id = v_leaf.seal_id;
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_rows()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_resource_type constant text := tg_argv[0];
  v_id_column constant text := tg_argv[1];
  v_patient_column constant text := tg_argv[2]; -- '' when the row belongs to no patient
  v_without constant text[] := string_to_array(tg_argv[3], ',');
  v_by constant private.audit_context := private.current_audit_context();
  v_changes text;
begin
  -- One statement, one set of audit rows, whatever the number of rows it touched.
  v_changes := case tg_op
    when 'INSERT' then
      'select null::jsonb as old, to_jsonb(n) as new from new_rows as n'
    when 'DELETE' then
      'select to_jsonb(o) as old, null::jsonb as new from old_rows as o'
    else
      format(
        'select to_jsonb(o) as old, to_jsonb(n) as new
         from new_rows as n join old_rows as o on o.%1$I = n.%1$I', v_id_column
      )
  end;
  execute format(
    $sql$
      with change as (%s), kept as (
        select
          (coalesce(new, old) ->> %L)::uuid as resource_id,
          nullif(coalesce(new, old) ->> nullif(%L, ''), '')::uuid as patient_id,
          private.changed_values(old, new, $2) as old_values,
          private.changed_values(new, old, $2) as new_values
        from change
      )
      insert into public.audit_events (
        actor_id, actor_role, session_id, action, resource_type, resource_id, patient_id, purpose,
        old_values, new_values, ip_address, user_agent, request_id
      )
      select
        $1.actor_id, $1.actor_role, $1.session_id, $3, $4, resource_id, patient_id,
        private.open_chart_purpose(patient_id), old_values,
        case $1.actor_role
          when 'caregiver' then private.with_caregiver_scopes(new_values, patient_id)
          else new_values
        end,
        $1.ip_address, $1.user_agent, $1.request_id
      from kept
      where old_values is not null or new_values is not null
    $sql$,
    v_changes, v_id_column, v_patient_column
  )
  using
    v_by, v_without,
    case tg_op when 'INSERT' then 'create' when 'UPDATE' then 'update' else 'delete' end,
    v_resource_type;
  if v_patient_column <> '' and v_by.actor_id is not null then
    execute format(
      'select private.touch_chart(id) from (select distinct %I as id from %I) as patients',
      v_patient_column, case tg_op when 'DELETE' then 'old_rows' else 'new_rows' end
    );
  end if;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_seal_canonical (
  p_id            bigint,
  p_from_id       bigint,
  p_to_id         bigint,
  p_leaf_count    integer,
  p_merkle_root   bytea,
  p_previous_hash bytea,
  p_snapshot      pg_snapshot,
  p_is_drained    boolean,
  p_is_restart    boolean,
  p_sealed_at     timestamp with time zone
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  AS $function$
  select json_array(
    'audit_seal/1'::text, p_id, p_from_id, p_to_id, p_leaf_count, encode(p_merkle_root, 'hex'),
    encode(p_previous_hash, 'hex'), p_snapshot::text, p_is_drained, p_is_restart,
    (extract(epoch from p_sealed_at at time zone 'UTC') * 1000000)::bigint
    null on null returning text
  )
$function$;

CREATE OR REPLACE FUNCTION private.audit_seal_hash (
  p_canonical text
)
  RETURNS bytea
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
begin
  return sha256(convert_to(p_canonical, 'UTF8'));
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_search (
  p_actor_id      uuid,
  p_patient_id    uuid,
  p_action        text,
  p_resource_type text,
  p_resource_id   uuid,
  p_request_id    text,
  p_from          timestamp with time zone,
  p_to            timestamp with time zone,
  p_limit         integer,
  p_before_id     bigint
)
  RETURNS TABLE (
    id            bigint,
    occurred_at   timestamp with time zone,
    actor_id      uuid,
    actor_role    text,
    session_id    uuid,
    action        text,
    resource_type text,
    resource_id   uuid,
    patient_id    uuid,
    purpose       text,
    request_id    text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_custom_plan'
  AS $function$
#variable_conflict use_column
begin
  perform private.require_admin();
  perform private.write_audit(
    'search_audit', 'audit_event', null, p_patient_id,
    p_new_values => jsonb_strip_nulls(jsonb_build_object(
      'actor_id', p_actor_id, 'action', p_action, 'resource_type', p_resource_type,
      'resource_id', p_resource_id, 'request_id', p_request_id, 'from', p_from, 'to', p_to,
      'limit', p_limit, 'before_id', p_before_id
    ))
  );
  return query
    select
      e.id, e.occurred_at, e.actor_id, e.actor_role, e.session_id, e.action, e.resource_type,
      e.resource_id, e.patient_id, e.purpose, e.request_id
    from public.audit_events as e
    where (p_actor_id is null or e.actor_id = p_actor_id)
      and (p_patient_id is null or e.patient_id = p_patient_id)
      and (p_action is null or e.action = p_action)
      and (p_resource_type is null or e.resource_type = p_resource_type)
      and (p_resource_id is null or e.resource_id = p_resource_id)
      and (p_request_id is null or e.request_id = p_request_id)
      and (p_from is null or e.occurred_at >= p_from)
      and (p_to is null or e.occurred_at < p_to)
      and (p_before_id is null or e.id < p_before_id)
    order by e.id desc
    limit p_limit;
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_staff_sign_in()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  -- Without a handler on purpose: a sign-in of staff that cannot be logged does not happen.
  insert into public.audit_events (
    actor_id, actor_role, session_id, action, resource_type, resource_id, ip_address, user_agent
  )
  select
    p.id, p.role, new.id, 'sign_in', 'session', new.id, new.ip, left(new.user_agent, 200)
  from public.profiles as p
  where p.id = new.user_id and p.role in ('doctor', 'admin');
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.authorize_export (
  p_patient_id     uuid,
  p_since          timestamp with time zone,
  p_resource_types text[]
)
  RETURNS TABLE (
    grounds     text[],
    identifiers jsonb,
    code        text,
    message     text,
    details     text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.authorize_record_download (
  p_record_id uuid
)
  RETURNS private.record_download
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
    data_key_id  uuid
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_patient_id constant uuid := private.writable_record(p_record_id);
  v_upload private.record_uploads;
begin
  if v_patient_id is null then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  perform 1 from public.medical_records as r
    where r.id = p_record_id and r.file_name is not null;
  if found then
    raise exception using errcode = 'PT409', message = 'already_uploaded',
      detail = 'The record has its file already';
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
    select v_upload.id, v_upload.storage_path, v_upload.expires_at, v_upload.data_key_id;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A file has a name of 1 to 255 characters, a known type, 1 to 50000000 bytes and a '
        || 'SHA-256 of 64 lower-case hexadecimal digits';
end;
$function$;

CREATE OR REPLACE FUNCTION private.break_glass (
  p_patient_id uuid,
  p_reason     text
)
  RETURNS public.opened_chart
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_reason constant text := regexp_replace(p_reason, '^\s+|\s+$', '', 'g');
  v_code text;
  v_details text;
  v_hint text;
  v_chart public.chart_sessions;
begin
  if v_reason is null or length(v_reason) not between 20 and 1000 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = format(
        'Cannot open the chart as p_reason must have 20 to 1000 characters: current value has %s',
        coalesce(length(v_reason), 0)
      );
  end if;
  if p_patient_id = v_caller then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot open the chart of oneself: a patient sees it without';
  end if;
  -- Of many at once the first goes on, and the others find its emergency, which waits for review.
  -- Nor does a verification end between the check of it and the new chart.
  perform 1 from public.doctors as d where d.id = v_caller for no key update;
  -- What depends on the caller alone comes first: it tells nothing about the patient.
  if not private.is_permanent(v_caller) then
    v_code := 'forbidden';
    v_details := 'Anonymous accounts may not do this: add an address first';
  elsif not private.is_verified_doctor() then
    v_code := 'not_verified';
    v_details := 'The clinician is not verified';
  elsif (select auth.jwt()) ->> 'aal' is distinct from 'aal2' then
    v_code := 'mfa_required';
    v_details := 'Opening a chart needs multi-factor sign-in';
  elsif exists (
    select 1 from public.chart_sessions as c
    where c.viewer_id = v_caller and c.purpose = 'emergency' and c.reviewed_at is null
  ) then
    v_code := 'review_pending';
    v_details := 'An earlier emergency access has not been reviewed yet';
  else
    -- The account does not close between this check and the new chart. One that is closed or locked
    -- could not be told, and what cannot be told is not opened.
    perform 1 from public.patients as t
      join public.profiles as p on p.id = t.id
      where t.id = p_patient_id and p.is_active
      for share of p;
    if not found then
      v_code := 'not_found';
      v_details := 'No patient with this id';
    elsif exists (
      select 1 from public.care_relationships as r
      where r.patient_id = p_patient_id and r.member_id = v_caller and r.kind = 'doctor'
        and private.care_is_active(r)
    ) then
      -- Who has the patient's consent needs no emergency, and none should wait for a review.
      v_code := 'already_in_care';
      v_details := 'The patient is in active care of the caller';
      v_hint := 'Call open_chart';
    end if;
  end if;
  if v_code is not null then
    return jsonb_populate_record(
      null::public.opened_chart,
      private.refuse(
        'break_glass', 'chart_session', null, p_patient_id, v_code, v_details, v_hint,
        p_purpose => 'emergency'
      )
    );
  end if;
  insert into public.chart_sessions (patient_id, viewer_id, purpose, reason, expires_at)
  values (p_patient_id, v_caller, 'emergency', v_reason, now() + interval '30 minutes')
  returning * into v_chart;
  perform private.write_audit(
    'break_glass', 'chart_session', v_chart.id, p_patient_id, 'emergency',
    jsonb_build_object('reason', v_reason)
  );
  perform private.notify(
    p_patient_id, 'emergency_access',
    jsonb_build_object('chart_id', v_chart.id, 'viewer_id', v_caller)
  );
  perform private.notify_administrators(
    'emergency_review_due', jsonb_build_object('chart_id', v_chart.id)
  );
  return row(v_chart.id, v_chart.expires_at, null, null, null, null)::public.opened_chart;
end;
$function$;

CREATE OR REPLACE FUNCTION private.care_grounds (
  p_viewer_id uuid
)
  RETURNS TABLE (
    patient_id uuid,
    kind       text,
    scopes     text[],
    since      timestamp with time zone,
    until      timestamp with time zone
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select r.patient_id, r.kind, r.scopes, r.starts_at, r.ends_at
  from public.care_relationships as r
  where r.member_id = p_viewer_id
    and private.care_is_active(r)
    and case r.kind
      when 'doctor' then exists (select 1 from private.verified_doctor(p_viewer_id))
      else exists (select 1 from private.active_account(p_viewer_id))
    end
$function$;

CREATE OR REPLACE FUNCTION private.care_is_active (
  p_care public.care_relationships
)
  RETURNS boolean
  LANGUAGE sql
  STABLE
  AS $function$
  select p_care.status = 'active' and (p_care.ends_at is null or p_care.ends_at > now())
$function$;

CREATE OR REPLACE FUNCTION private.chart_grounds (
  p_viewer_id uuid
)
  RETURNS TABLE (
    patient_id uuid,
    scopes     text[],
    rule       text,
    purpose    text,
    since      timestamp with time zone,
    until      timestamp with time zone
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select
    c.patient_id,
    case when c.purpose = 'delegated' then r.scopes end,
    case c.purpose when 'emergency' then 'emergency' else 'open_chart' end,
    c.purpose,
    c.opened_at,
    least(c.expires_at, private.chart_idles_at(c), r.until)
  from public.chart_sessions as c
  left join private.care_grounds(p_viewer_id) as r
    on c.purpose <> 'emergency'
    and r.patient_id = c.patient_id
    and r.kind = case c.purpose when 'delegated' then 'caregiver' else 'doctor' end
  where c.viewer_id = p_viewer_id
    and private.chart_is_open(c)
    and case c.purpose
      when 'emergency' then exists (select 1 from private.verified_doctor(p_viewer_id))
      else r.kind is not null
    end
$function$;

CREATE OR REPLACE FUNCTION private.chart_idles_at (
  p_chart public.chart_sessions
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  STABLE
  AS $function$
  select p_chart.last_used_at + interval '15 minutes'
$function$;

CREATE OR REPLACE FUNCTION private.chart_is_open (
  p_chart public.chart_sessions
)
  RETURNS boolean
  LANGUAGE sql
  STABLE
  AS $function$
  select p_chart.closed_at is null
    and p_chart.expires_at > now()
    and private.chart_idles_at(p_chart) > now()
$function$;

CREATE OR REPLACE FUNCTION private.chart_patient_ids (
  p_scope text
)
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query
    select g.patient_id
    from private.chart_grounds(v_caller) as g
    where g.scopes is null or p_scope = any (g.scopes);
end;
$function$;

CREATE OR REPLACE FUNCTION private.check_audit (
  p_from timestamp with time zone DEFAULT NULL::timestamp WITH time zone,
  p_to   timestamp with time zone DEFAULT NULL::timestamp WITH time zone
)
  RETURNS TABLE (
    ok                boolean,
    checked           bigint,
    first_bad_id      bigint,
    first_bad_seal_id bigint,
    reason            text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_seal_id bigint;
  v_found record;
begin
  checked := 0;
  for v_seal_id in
    select s.id from public.audit_seals as s
    where (p_from is null or s.sealed_at >= p_from) and (p_to is null or s.sealed_at < p_to)
    order by s.id
  loop
    select c.checked, c.bad_id, c.reason into v_found
    from private.check_audit_seal(v_seal_id) as c;
    checked := checked + v_found.checked;
    if v_found.reason is not null then
      ok := false;
      first_bad_id := v_found.bad_id;
      first_bad_seal_id := v_seal_id;
      reason := v_found.reason;
      return next;
      return;
    end if;
  end loop;

  select l.event_id as bad_id, l.seal_id, 'the seal of the event is missing'::text as reason
  into v_found
  from private.audit_seal_leaves as l
  where l.seal_id > (select coalesce(max(s.id), 0) from public.audit_seals as s)
  order by l.seal_id, l.position
  limit 1;
  if not found then
    select u.bad_id, null::bigint as seal_id, u.reason into v_found
    from private.find_unsealed_event(p_from, p_to) as u;
  end if;
  ok := v_found.reason is null;
  first_bad_id := v_found.bad_id;
  first_bad_seal_id := v_found.seal_id;
  reason := v_found.reason;
  return next;
end;
$function$;

CREATE OR REPLACE FUNCTION private.check_audit_seal (
  p_seal_id bigint
)
  RETURNS TABLE (
    checked bigint,
    bad_id  bigint,
    reason  text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  -- Clocks are set, and a row is dated an instant before its transaction has a number.
  v_tolerance constant interval := '1 minute';
  v_seal public.audit_seals;
  v_previous public.audit_seals;
  v_run_from_id bigint;
  v_drained pg_snapshot;
  v_leaves record;
begin
  select s.* into v_seal from public.audit_seals as s where s.id = p_seal_id;
  select s.* into v_previous from public.audit_seals as s where s.id = p_seal_id - 1;
  -- Transaction numbers can be compared with those of seals since they began anew.
  select coalesce(max(s.id), 0) into v_run_from_id
  from public.audit_seals as s
  where s.is_restart and s.id < p_seal_id;
  select s.snapshot into v_drained
  from public.audit_seals as s
  where s.is_drained and s.id < p_seal_id and s.id >= v_run_from_id
  order by s.id desc
  limit 1;

  with leaf as (
    select l.position, l.event_id, l.occurred_at, l.leaf_hash as sealed_hash, e.id, e.leaf_hash,
      e.transaction_id,
      private.audit_leaf(
        e.id, e.occurred_at, e.actor_id, e.actor_role, e.session_id, e.action, e.resource_type,
        e.resource_id, e.patient_id, e.purpose, e.old_values, e.new_values, e.ip_address,
        e.user_agent, e.request_id, e.transaction_id
      ) as hash,
      lag(l.event_id) over w as id_before,
      row_number() over w - 1 as n
    from private.audit_seal_leaves as l
    left join public.audit_events as e
      on e.id = l.event_id and e.occurred_at = l.occurred_at
      -- Follows from the rest, and keeps a large trail from being read whole for each seal.
      and e.id between v_seal.from_id and v_seal.to_id
    where l.seal_id = v_seal.id
    window w as (order by l.position)
  ), judged as (
    select f.position, f.event_id, f.hash,
      case
        when f.position <> f.n then 'leaves are missing before it'
        when f.id is null then 'the event is missing'
        when f.hash <> f.leaf_hash then 'the leaf hash is not that of the event'
        when f.hash <> f.sealed_hash then 'the event has changed since it was sealed'
        when f.event_id < f.id_before then 'the leaves are out of order'
        when v_seal.is_restart then null
        when not pg_visible_in_snapshot(f.transaction_id, v_seal.snapshot)
          then 'the event is younger than its seal'
        when pg_visible_in_snapshot(f.transaction_id, v_drained)
          then 'the event is older than a seal that it should have been in'
        when f.occurred_at > v_seal.sealed_at + v_tolerance
          or f.occurred_at < made_before.sealed_at - v_tolerance
          then 'the event is dated outside the time of its transaction'
      end as reason
    from leaf as f
    left join lateral (
      -- The last seal that was made before the event's transaction began, mostly the one before.
      select s.sealed_at
      from public.audit_seals as s
      where s.id < v_seal.id and s.id >= v_run_from_id
        and pg_snapshot_xmax(s.snapshot) <= f.transaction_id
      order by s.id desc
      limit 1
    ) as made_before on true
  )
  select
    count(j.hash) as checked,
    (array_agg(j.event_id order by j.position) filter (where j.reason is not null))[1] as bad_id,
    (array_agg(j.reason order by j.position) filter (where j.reason is not null))[1] as reason,
    count(*) as leaf_count,
    min(j.event_id) as from_id,
    max(j.event_id) as to_id,
    string_agg(j.hash, ''::bytea order by j.position) as level
  into v_leaves
  from judged as j;

  checked := v_leaves.checked;
  reason := case
    when v_seal.hash <> private.audit_seal_hash(private.audit_seal_canonical(
      v_seal.id, v_seal.from_id, v_seal.to_id, v_seal.leaf_count, v_seal.merkle_root,
      v_seal.previous_hash, v_seal.snapshot, v_seal.is_drained, v_seal.is_restart, v_seal.sealed_at
    )) then 'the hash of the seal is not that of its columns'
    when v_previous.id is null and v_seal.id <> 1 then 'the seal before it is missing'
    when v_seal.previous_hash is distinct from v_previous.hash
      then 'the seal does not follow from the one before'
    when not v_seal.is_restart
      and pg_snapshot_xmax(v_seal.snapshot) < pg_snapshot_xmax(v_previous.snapshot)
      or v_seal.sealed_at < v_previous.sealed_at - v_tolerance
      then 'the seal is older than the one before'
    when v_leaves.reason is not null then v_leaves.reason
    when v_leaves.leaf_count <> v_seal.leaf_count
      or v_leaves.from_id <> v_seal.from_id or v_leaves.to_id <> v_seal.to_id
      then 'the seal is of other leaves'
    when private.merkle_root(v_leaves.level) <> v_seal.merkle_root
      then 'the root of the seal is not that of its leaves'
  end;
  bad_id := case
    when reason is null then null
    when reason = v_leaves.reason then v_leaves.bad_id
    else v_seal.from_id
  end;
  return next;
end;
$function$;

CREATE OR REPLACE FUNCTION private.claim_data_keys (
  p_key_version   integer,
  p_limit         integer,
  p_claim_seconds integer DEFAULT 60
)
  RETURNS TABLE (
    id          uuid,
    purpose     text,
    subject_id  uuid,
    key_id      text,
    key_version integer,
    wrapped_key text
  )
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  update private.data_keys as k
  set claimed_until = now() + make_interval(secs => p_claim_seconds)
  where k.id in (
    select c.id
    from private.data_keys as c
    where c.key_version < p_key_version and c.erased_at is null
      and (c.claimed_until is null or c.claimed_until <= now())
    -- Those that failed before come last, so that they hold up nobody.
    order by c.claimed_until nulls first, c.key_version, c.id
    limit p_limit
    -- What another run is claiming at this moment, or somebody is erasing, is not waited for.
    for update skip locked
  )
  returning k.id, k.purpose, k.subject_id, k.key_id, k.key_version, encode(k.wrapped_key, 'hex')
$function$;

CREATE OR REPLACE FUNCTION private.clinical_account (
  p_claims jsonb
)
  RETURNS TABLE (
    id uuid
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select l.id
  from private.live_account(p_claims) as l
  where l.role not in ('doctor', 'admin') or p_claims ->> 'aal' = 'aal2'
$function$;

CREATE OR REPLACE FUNCTION private.clinical_caller()
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return (select a.id from private.clinical_account(v_claims) as a);
end;
$function$;

CREATE OR REPLACE FUNCTION private.close_account()
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
  perform private.write_audit('close_account', 'profile', v_caller, null);
  delete from auth.sessions as s where s.user_id = v_caller;
end;
$function$;

CREATE OR REPLACE FUNCTION private.close_chart (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.chart_sessions as c set closed_at = now()
  where c.id = p_id and c.viewer_id = v_caller and c.closed_at is null and c.expires_at > now();
  if found then
    return;
  end if;
  perform 1 from public.chart_sessions as c where c.id = p_id and c.viewer_id = v_caller;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No chart with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.complete_record_upload (
  p_upload_id         uuid,
  p_object_version    text,
  p_ciphertext_sha256 text
)
  RETURNS void
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  if v_upload.completed_at is not null then
    return;
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
exception
  when unique_violation then
    raise exception using errcode = 'PT409', message = 'already_uploaded',
      detail = 'The record has its file already';
end;
$function$;

CREATE OR REPLACE FUNCTION private.copy_record_to_contents()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.dead_record_objects (
  p_record_id uuid
)
  RETURNS SETOF text
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select u.storage_path
  from private.record_uploads as u
  join storage.objects as o on o.bucket_id = 'medical-records' and o.name = u.storage_path
  where u.record_id = p_record_id and (u.rejected_at is not null or u.erased_at is not null)
$function$;

CREATE OR REPLACE FUNCTION private.disclose_patient_fields (
  p_patient_ids uuid[]
)
  RETURNS TABLE (
    id                      uuid,
    phone                   text,
    address                 text,
    insurance_policy_number text,
    emergency_contact_phone text,
    keys                    jsonb
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.disclose_record_descriptions (
  p_record_ids uuid[]
)
  RETURNS TABLE (
    record_id   uuid,
    patient_id  uuid,
    description text,
    keys        jsonb
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.ended_record_uploads (
  p_limit integer
)
  RETURNS TABLE (
    upload_id    uuid,
    storage_path text
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select u.id, u.storage_path
  from private.record_uploads as u
  where (u.completed_at is null or u.erased_at is not null) and u.swept_at is null
    and u.expires_at < now() - interval '3 hours'
  order by u.expires_at, u.id
  limit p_limit
$function$;

CREATE OR REPLACE FUNCTION private.ensure_month_partitions (
  p_parent       regclass,
  p_months_ahead integer  DEFAULT 3
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_month date;
  v_name text;
begin
  -- Two at once would both find a month missing.
  perform pg_advisory_xact_lock(hashtextextended('private.ensure_month_partitions', 0));
  for v_month in
    select generate_series(
      date_trunc('month', now() at time zone 'UTC'),
      date_trunc('month', now() at time zone 'UTC') + make_interval(months => p_months_ahead),
      interval '1 month'
    )::date
  loop
    v_name := format(
      '%s_%s',
      (select c.relname from pg_catalog.pg_class as c where c.oid = p_parent),
      to_char(v_month, 'YYYY_MM')
    );
    if to_regclass(format('private.%I', v_name)) is null then
      execute format(
        'create table private.%I partition of %s for values from (%L) to (%L)',
        v_name, p_parent,
        v_month::text || ' 00:00+00', (v_month + interval '1 month')::date::text || ' 00:00+00'
      );
      execute format('alter table private.%I enable row level security', v_name);
      execute format(
        'revoke all on table private.%I from public, anon, authenticated, service_role', v_name
      );
      execute format(
        'create trigger %I before truncate on private.%I
         for each statement execute function private.refuse_change()',
        v_name || '_no_truncate', v_name
      );
      execute format(
        'alter table private.%I enable always trigger %I', v_name, v_name || '_no_truncate'
      );
      execute format(
        'comment on table private.%I is %L',
        v_name, format('Rows of %s of one month, UTC.', p_parent)
      );
    end if;
  end loop;
end;
$function$;

CREATE OR REPLACE FUNCTION private.erase_data_keys (
  p_purpose    text,
  p_subject_id uuid
)
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

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
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No patient with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.field_key_for_record (
  p_record_id uuid
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
$function$;

CREATE OR REPLACE FUNCTION private.find_patients (
  p_search_keys jsonb
)
  RETURNS TABLE (
    id         uuid,
    first_name text,
    last_name  text
  )
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.find_unsealed_event (
  p_from timestamp with time zone,
  p_to   timestamp with time zone
)
  RETURNS TABLE (
    bad_id bigint,
    reason text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_tolerance constant interval := '1 minute';
  v_now constant pg_snapshot := pg_current_snapshot();
  v_run_from_id bigint;
  v_last public.audit_seals;
  v_drained pg_snapshot;
begin
  select coalesce(max(s.id) filter (where s.is_restart), 0) into v_run_from_id
  from public.audit_seals as s;
  select s.* into v_last from public.audit_seals as s order by s.id desc limit 1;
  -- Numbers have begun anew, and the seal that will say so is to come.
  if v_last.id is null or pg_snapshot_xmax(v_now) < pg_snapshot_xmax(v_last.snapshot) then
    return;
  end if;
  select s.snapshot into v_drained
  from public.audit_seals as s
  where s.is_drained and s.id >= v_run_from_id
  order by s.id desc
  limit 1;
  return query
    select u.id, u.reason
    from (
      select e.id, e.occurred_at,
        case
          when pg_visible_in_snapshot(e.transaction_id, v_drained)
            then 'the event is older than a seal that it should have been in'
          when e.transaction_id >= pg_snapshot_xmax(v_now)
            and e.transaction_id is distinct from pg_current_xact_id_if_assigned()
            then 'the event is of a transaction that has not been'
          when e.occurred_at > clock_timestamp() + v_tolerance
            or e.occurred_at < made_before.sealed_at - v_tolerance
            then 'the event is dated outside the time of its transaction'
        end as reason
      from public.audit_events as e
      left join lateral (
        select s.sealed_at
        from public.audit_seals as s
        where s.id >= v_run_from_id and pg_snapshot_xmax(s.snapshot) <= e.transaction_id
        order by s.id desc
        limit 1
      ) as made_before on true
      where (p_from is null or e.occurred_at >= p_from)
        and (p_to is null or e.occurred_at < p_to)
        and not exists (
          select from private.audit_seal_leaves as l
          where l.event_id = e.id and l.occurred_at = e.occurred_at
        )
    ) as u
    where u.reason is not null
    order by u.id, u.occurred_at
    limit 1;
end;
$function$;

CREATE OR REPLACE FUNCTION private.import_records (
  p_patient_id    uuid,
  p_source_system text,
  p_patient       jsonb,
  p_rows          jsonb
)
  RETURNS TABLE (
    source_id text,
    outcome   text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.is_permanent (
  p_user_id uuid
)
  RETURNS boolean
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select exists (select 1 from auth.users as u where u.id = p_user_id and not u.is_anonymous)
$function$;

CREATE OR REPLACE FUNCTION private.is_sealed (
  p_value     text,
  p_min_bytes integer,
  p_max_bytes integer
)
  RETURNS boolean
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select p_value is null
    or p_value ~ (
        '^v1\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
        || '\.([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}(==|[A-Za-z0-9+/]=))?$'
      )
      -- Of three bytes come four letters; 28 bytes are the nonce and the tag.
      and length(rtrim(split_part(p_value, '.', 3), '=')) * 3 / 4 - 28
        between p_min_bytes and p_max_bytes
$function$;

CREATE OR REPLACE FUNCTION private.is_verified_doctor()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  return exists (select 1 from private.verified_doctor(auth.uid()));
end;
$function$;

CREATE OR REPLACE FUNCTION private.keep_patient_key (
  p_patient_id  uuid,
  p_data_key_id uuid,
  p_key_id      text,
  p_key_version integer,
  p_wrapped_key text
)
  RETURNS TABLE (
    data_key_id uuid,
    key_id      text,
    key_version integer,
    wrapped_key text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.keep_sensitive_mark()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  raise exception using errcode = 'PT403', message = 'forbidden',
    detail = 'Only the patient takes back that a record is sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.key_status()
  RETURNS TABLE (
    key_id         text,
    key_version    integer,
    first_used_at  timestamp with time zone,
    record_files   bigint,
    patient_fields bigint,
    erased         bigint
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.limit_sign_in_attempts (
  p_event jsonb
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.list_emergency_accesses (
  p_limit integer,
  p_after jsonb
)
  RETURNS TABLE (
    id             uuid,
    patient_id     uuid,
    patient_name   text,
    viewer_id      uuid,
    viewer_name    text,
    reason         text,
    opened_at      timestamp with time zone,
    ended_at       timestamp with time zone,
    actions        bigint,
    objected_at    timestamp with time zone,
    objection      text,
    reviewed_at    timestamp with time zone,
    reviewed_by    uuid,
    review_outcome text,
    review_note    text
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
begin
  perform private.require_admin();
  return query
    select
      c.id, c.patient_id, pp.display_name, c.viewer_id, vp.display_name, c.reason, c.opened_at,
      coalesce(c.closed_at, c.expires_at),
      (
        select count(*)
        from public.audit_events as a
        where a.actor_id = c.viewer_id
          and a.patient_id = c.patient_id
          and a.purpose = 'emergency'
          and a.action not in ('break_glass', 'close_chart')
          and a.action not like 'refuse\_%'
          and a.occurred_at between c.opened_at and coalesce(c.closed_at, c.expires_at)
      ),
      c.objected_at, c.objection, c.reviewed_at, c.reviewed_by, c.review_outcome, c.review_note
    from public.chart_sessions as c
    join public.profiles as pp on pp.id = c.patient_id
    join public.profiles as vp on vp.id = c.viewer_id
    where c.purpose = 'emergency'
      and ((c.reviewed_at is null), c.opened_at, c.id) < (
        coalesce((p_after ->> 0)::boolean, true),
        coalesce((p_after ->> 1)::timestamptz, 'infinity'),
        coalesce((p_after ->> 2)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by (c.reviewed_at is null) desc, c.opened_at desc, c.id desc
    limit p_limit;
end;
$function$;

CREATE OR REPLACE FUNCTION private.live_account (
  p_claims jsonb
)
  RETURNS TABLE (
    id   uuid,
    role text
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select a.id, a.role
  from auth.sessions as s
  cross join private.active_account(s.user_id) as a
  where s.id = (p_claims ->> 'session_id')::uuid
    and s.user_id = (p_claims ->> 'sub')::uuid
    and (s.not_after is null or s.not_after > now())
$function$;

CREATE OR REPLACE FUNCTION private.mark_all_notifications_read()
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_count integer;
begin
  update public.notifications as n set read_at = now()
  where n.user_id = v_caller and n.read_at is null;
  get diagnostics v_count = row_count;
  return v_count;
end;
$function$;

CREATE OR REPLACE FUNCTION private.mark_notification_read (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.notifications as n set read_at = now()
  where n.id = p_id and n.user_id = v_caller and n.read_at is null;
  if found then
    return;
  end if;
  perform 1 from public.notifications as n where n.id = p_id and n.user_id = v_caller;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No notification with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.matching_patient_ids (
  p_patient_ids uuid[],
  p_search_keys jsonb
)
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.may_see_clinical_rows()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return exists (select 1 from private.clinical_account(v_claims));
end;
$function$;

CREATE OR REPLACE FUNCTION private.merge_imported_patient (
  p_patient_id    uuid,
  p_source_system text,
  p_patient       jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.merkle_parents (
  p_level bytea
)
  RETURNS bytea
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select string_agg(
    case length(pair) when 64 then sha256('\x01'::bytea || pair) else pair end, ''::bytea order by n
  )
  from (
    select n, substr(p_level, n * 64 + 1, 64) as pair
    from generate_series(0, (length(p_level) / 32 - 1) / 2) as n
  ) as pairs
$function$;

CREATE OR REPLACE FUNCTION private.merkle_path (
  p_leaves   bytea,
  p_position integer
)
  RETURNS text[]
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
declare
  v_level bytea := p_leaves;
  v_at integer := p_position;
  v_beside integer;
  v_path text[] := '{}';
begin
  while length(v_level) > 32 loop
    v_beside := case v_at % 2 when 0 then v_at + 1 else v_at - 1 end;
    if v_beside * 32 < length(v_level) then
      v_path := v_path || encode(substr(v_level, v_beside * 32 + 1, 32), 'hex');
    end if;
    v_level := private.merkle_parents(v_level);
    v_at := v_at / 2;
  end loop;
  return v_path;
end;
$function$;

CREATE OR REPLACE FUNCTION private.merkle_root (
  p_leaves bytea
)
  RETURNS bytea
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
declare
  v_level bytea := p_leaves;
begin
  while length(v_level) > 32 loop
    v_level := private.merkle_parents(v_level);
  end loop;
  return case length(v_level) when 0 then sha256(''::bytea) else v_level end;
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
    private.access_summary(a.action, a.resource_type, a.new_values ->> 'code'),
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

CREATE OR REPLACE FUNCTION private.note_key_version()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  insert into private.key_versions (key_id, key_version)
  values (new.key_id, new.key_version)
  on conflict (key_id, key_version) do nothing;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.note_uploads_swept (
  p_upload_ids uuid[]
)
  RETURNS void
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  with swept as (
    update private.record_uploads as u set swept_at = now()
    where u.id = any (p_upload_ids) and (u.completed_at is null or u.erased_at is not null)
      and u.swept_at is null and u.expires_at < now() - interval '3 hours'
    returning u.data_key_id
  )
  update private.data_keys as k set wrapped_key = null, claimed_until = null, erased_at = now()
  from swept as s
  where k.id = s.data_key_id and k.purpose = 'record_file' and k.erased_at is null
$function$;

CREATE OR REPLACE FUNCTION private.notify (
  p_user_id uuid,
  p_kind    text,
  p_data    jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  insert into public.notifications (user_id, kind, title, body, data)
  select p.id, t.kind, t.title, t.body, p_data
  from public.profiles as p
  join private.notification_templates as t
    on t.kind = p_kind and t.locale in (p.locale, split_part(p.locale, '-', 1), 'en')
  where p.id = p_user_id
  -- hi-IN before hi before en.
  order by t.locale = p.locale desc, t.locale <> 'en' desc
  limit 1;
  if not found then
    raise exception 'Cannot notify: no such account, or no words for the kind %', p_kind;
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify_administrators (
  p_kind text,
  p_data jsonb
)
  RETURNS void
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select private.notify(p.id, p_kind, p_data)
  from public.profiles as p
  where p.role = 'admin' and p.is_active
$function$;

CREATE OR REPLACE FUNCTION private.object_to_emergency_access (
  p_id   uuid,
  p_note text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_note constant text := regexp_replace(p_note, '^\s+|\s+$', '', 'g');
begin
  if v_note is null or length(v_note) not between 1 and 1000 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'An objection has a note of 1 to 1000 characters';
  end if;
  update public.chart_sessions as c set objected_at = now(), objection = v_note
  where c.id = p_id and c.patient_id = v_caller and c.purpose = 'emergency'
    and c.objected_at is null;
  if not found then
    perform 1 from public.chart_sessions as c
      where c.id = p_id and c.patient_id = v_caller and c.purpose = 'emergency';
    if found then
      raise exception using errcode = 'PT409', message = 'already_objected',
        detail = 'An objection to this emergency access is on record';
    end if;
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No emergency access with this id';
  end if;
  perform private.write_audit(
    'object_to_emergency', 'chart_session', p_id, v_caller, 'emergency',
    jsonb_build_object('note', v_note)
  );
  perform private.notify_administrators(
    'emergency_objection', jsonb_build_object('chart_id', p_id)
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.open_chart (
  p_patient_id uuid,
  p_purpose    text
)
  RETURNS public.opened_chart
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_kind text;
  v_code text;
  v_details text;
  v_chart public.chart_sessions;
begin
  v_kind := case
    when p_purpose in ('treatment', 'care_coordination') then 'doctor'
    when p_purpose = 'delegated' then 'caregiver'
  end;
  if v_kind is null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot open the chart as p_purpose must be treatment, care_coordination or delegated';
  end if;
  -- What depends on the caller alone comes first: it tells nothing about the patient.
  if v_kind = 'doctor' and not private.is_verified_doctor() then
    v_code := 'not_verified';
    v_details := 'The clinician is not verified';
  elsif v_kind = 'doctor' and (select auth.jwt()) ->> 'aal' is distinct from 'aal2' then
    v_code := 'mfa_required';
    v_details := 'Opening a chart needs multi-factor sign-in';
  else
    -- The lock on the relationship keeps it from ending between this check and the new chart.
    perform 1 from public.care_relationships as r
      where r.patient_id = p_patient_id and r.member_id = v_caller and r.kind = v_kind
        and private.care_is_active(r)
      for update;
    if not found then
      v_code := 'not_found';
      v_details := 'No patient in active care with this id';
    end if;
  end if;
  if v_code is not null then
    return jsonb_populate_record(
      null::public.opened_chart,
      private.refuse(
        'open_chart', 'chart_session', null, p_patient_id, v_code, v_details,
        p_purpose => p_purpose
      )
    );
  end if;
  -- Opening again closes the earlier opening, so that each has its own end.
  update public.chart_sessions as c set closed_at = now()
  where c.patient_id = p_patient_id and c.viewer_id = v_caller
    and c.closed_at is null and c.expires_at > now() and c.purpose <> 'emergency';
  insert into public.chart_sessions (patient_id, viewer_id, purpose, expires_at)
  values (p_patient_id, v_caller, p_purpose, now() + interval '60 minutes')
  returning * into v_chart;
  perform private.write_audit(
    'open_chart', 'chart_session', v_chart.id, p_patient_id, p_purpose
  );
  return row(v_chart.id, v_chart.expires_at, null, null, null, null)::public.opened_chart;
end;
$function$;

CREATE OR REPLACE FUNCTION private.open_chart_purpose (
  p_patient_id uuid
)
  RETURNS text
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
begin
  return (
    select c.purpose
    from public.chart_sessions as c
    where c.viewer_id = auth.uid() and c.patient_id = p_patient_id and private.chart_is_open(c)
    order by c.opened_at desc
    limit 1
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.open_medical_record (
  p_record_id uuid
)
  RETURNS public.opened_record
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.opened_record_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query
    select o.record_id
    from private.share_grounds(v_caller) as g
    join private.record_openings as o on o.viewer_id = v_caller and o.record_id = g.record_id
    -- By this share: with one that has ended ended what was opened by it.
    where o.opened_at >= g.since
      -- Not in the transaction that opens: an error in it would take the audit row back, and could
      -- carry what it read.
      and o.opened_at < now()
      and o.opened_at > now() - interval '60 minutes';
end;
$function$;

CREATE OR REPLACE FUNCTION private.patient_key (
  p_patient_id uuid
)
  RETURNS TABLE (
    data_key_id uuid,
    key_id      text,
    key_version integer,
    wrapped_key text
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select k.id, k.key_id, k.key_version, encode(k.wrapped_key, 'hex')
  from private.data_keys as k
  where k.subject_id = p_patient_id and k.purpose = 'patient_fields' and k.erased_at is null
$function$;

CREATE OR REPLACE FUNCTION private.patient_keys (
  p_patient_ids uuid[]
)
  RETURNS TABLE (
    patient_id uuid,
    keys       jsonb
  )
  LANGUAGE sql
  STABLE
  AS $function$
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
    content_encoding  text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
begin
  perform private.require_live_session();
  if private.writable_record(p_record_id) is null then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
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
      o.metadata ->> 'contentEncoding'
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

CREATE OR REPLACE FUNCTION private.reachable_patient_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  if v_caller is null then
    return;
  end if;
  return next v_caller;
  return query
    select c.patient_id from public.chart_sessions as c
    where c.viewer_id = v_caller and private.chart_is_open(c);
  return query
    select s.patient_id from public.medical_record_shares as s
    where s.shared_with_id = v_caller and private.share_is_live(s);
end;
$function$;

CREATE OR REPLACE FUNCTION private.read_cursor (
  p_cursor text,
  p_types  text[]
)
  RETURNS jsonb
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
declare
  v_key jsonb;
begin
  if p_cursor is null then
    return null;
  end if;
  v_key := convert_from(decode(p_cursor, 'base64'), 'UTF8')::jsonb;
  if jsonb_typeof(v_key) <> 'array'
    or jsonb_array_length(v_key) <> cardinality(p_types)
    or exists (
      select 1
      from unnest(p_types) with ordinality as t (name, position)
      where not coalesce(pg_input_is_valid(v_key ->> (position - 1)::integer, name), false)
    )
  then
    raise data_exception;
  end if;
  return v_key;
exception
  when data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot read p_cursor: pass the cursor of the last row of the page before';
end;
$function$;

CREATE OR REPLACE FUNCTION private.read_patient_fields (
  p_patient_ids uuid[]
)
  RETURNS TABLE (
    id                      uuid,
    phone                   text,
    address                 text,
    insurance_policy_number text,
    emergency_contact_phone text,
    keys                    jsonb
  )
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select
    d.id, d.phone, d.address, d.insurance_policy_number, d.emergency_contact_phone, d.keys
  from private.disclose_patient_fields(
    -- Read with the caller's own rights: the policies of patients choose.
    array(select p.id from public.patients as p where p.id = any (p_patient_ids))
  ) as d
$function$;

CREATE OR REPLACE FUNCTION private.read_record_descriptions (
  p_record_ids uuid[]
)
  RETURNS TABLE (
    record_id   uuid,
    patient_id  uuid,
    description text,
    keys        jsonb
  )
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select d.record_id, d.patient_id, d.description, d.keys
  from private.disclose_record_descriptions(
    -- Read with the caller's own rights: the policies of the contents choose.
    array(
      select c.record_id from public.medical_record_contents as c
      where c.record_id = any (p_record_ids)
    )
  ) as d
$function$;

CREATE OR REPLACE FUNCTION private.record_access (
  p_record_id uuid
)
  RETURNS TABLE (
    ground     text,
    patient_id uuid
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.clinical_caller();
begin
  return query
    select
      case
        when not d.allowed then null
        when d.rule = 'owner' then 'owner'
        when d.rule = 'share' then (
          select case when f.allowed then 'share_download' else 'share_view' end
          from private.access_decision(v_caller, r.patient_id, r.id, 'download') as f
        )
        else 'chart'
      end,
      r.patient_id
    from public.medical_records as r
    cross join private.access_decision(v_caller, r.patient_id, r.id, 'read') as d
    where r.id = p_record_id;
end;
$function$;

CREATE OR REPLACE FUNCTION private.record_file_key (
  p_record_id    uuid,
  p_storage_path text
)
  RETURNS TABLE (
    data_key_id uuid,
    key_id      text,
    key_version integer,
    wrapped_key text
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
    when 'already_in_care' then 409
    when 'review_pending' then 409
  end;
begin
  if v_status is null then
    raise exception 'No status is known for the refusal %', p_code;
  end if;
  perform private.write_audit(
    'refuse_' || p_request, p_resource_type, p_resource_id,
    -- An id that a caller made up is nobody's, and must not fill the trail of somebody to come.
    (select p.id from public.patients as p where p.id = p_patient_id),
    p_purpose, jsonb_build_object('code', p_code)
  );
  perform set_config('response.status', v_status::text, true);
  return jsonb_build_object(
    'code', 'PT' || v_status, 'message', p_code, 'details', p_details, 'hint', p_hint
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.reject_record_upload (
  p_upload_id uuid
)
  RETURNS boolean
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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

CREATE OR REPLACE FUNCTION private.request_doctor_verification (
  p_license_number text,
  p_specialty      text,
  p_organization   text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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

CREATE OR REPLACE FUNCTION private.require_patient_key (
  p_patient_id uuid,
  p_sealed     text[]
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.require_permanent_account()
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if not private.is_permanent(v_caller) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Anonymous accounts may not do this: add an address first';
  end if;
  return v_caller;
end;
$function$;

CREATE OR REPLACE FUNCTION private.resource_time (
  p_fhir jsonb
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  select case
    when pg_input_is_valid(p_fhir #>> '{meta,lastUpdated}', 'timestamptz')
      then (p_fhir #>> '{meta,lastUpdated}')::timestamptz
  end
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

CREATE OR REPLACE FUNCTION private.review_emergency_access (
  p_id      uuid,
  p_outcome text,
  p_note    text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_admin constant uuid := private.require_admin();
  v_note constant text := regexp_replace(p_note, '^\s+|\s+$', '', 'g');
  v_chart public.chart_sessions;
begin
  if p_outcome is null or p_outcome not in ('justified', 'unjustified')
    or v_note is null or length(v_note) not between 1 and 1000
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A review has the outcome justified or unjustified and a note of 1 to 1000 characters';
  end if;
  -- The row lock lets exactly one of several reviews through: the others find it done.
  select c.* into v_chart
  from public.chart_sessions as c
  where c.id = p_id and c.purpose = 'emergency'
  for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No emergency access with this id';
  end if;
  -- A doctor or patient of then may be an administrator by now.
  if v_admin in (v_chart.viewer_id, v_chart.patient_id) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Nobody reviews an emergency access in which they took part';
  end if;
  if v_chart.reviewed_at is not null then
    raise exception using errcode = 'PT409', message = 'already_reviewed',
      detail = 'The emergency access has been reviewed';
  end if;
  update public.chart_sessions as c set
    reviewed_at = now(),
    reviewed_by = v_admin,
    review_outcome = p_outcome,
    review_note = v_note,
    -- What was never justified does not stay open.
    closed_at = case
      when p_outcome = 'unjustified' and c.expires_at > now() then coalesce(c.closed_at, now())
      else c.closed_at
    end
  where c.id = p_id;
  perform private.write_audit(
    'review_emergency', 'chart_session', p_id, v_chart.patient_id, 'emergency',
    jsonb_build_object('outcome', p_outcome, 'note', v_note)
  );
  perform private.notify(person, 'emergency_reviewed', jsonb_build_object('chart_id', p_id))
  from unnest(array[v_chart.viewer_id, v_chart.patient_id]) as person;
end;
$function$;

CREATE OR REPLACE FUNCTION private.seal_audit (
  p_max_seals  integer DEFAULT 64,
  p_max_leaves integer DEFAULT 16384
)
  RETURNS TABLE (
    is_busy    boolean,
    seals      integer,
    events     bigint,
    is_drained boolean
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_last public.audit_seals;
  v_is_restart boolean;
  v_settled_before xid8;
  v_looked_at timestamptz;
  v_batch record;
begin
  seals := 0;
  events := 0;
  is_drained := true;
  -- Whoever finds another at it has nothing to do: that one, or the next, seals the same rows.
  is_busy := not pg_try_advisory_xact_lock(hashtextextended('private.seal_audit', 0));
  if is_busy then
    is_drained := false;
    return next;
    return;
  end if;

  select s.* into v_last from public.audit_seals as s order by s.id desc limit 1;
  -- In one server the number of the next transaction only grows.
  v_is_restart := coalesce(
    pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax(v_last.snapshot)
      or v_last.is_restart and not v_last.is_drained,
    false
  );
  -- Rows of transactions that had all ended when a drained seal looked are sealed.
  select pg_snapshot_xmin(s.snapshot) into v_settled_before
  from public.audit_seals as s
  where s.is_drained
    and not v_is_restart
    and s.id >= (select coalesce(max(r.id), 0) from public.audit_seals as r where r.is_restart)
  order by s.id desc
  limit 1;

  v_looked_at := clock_timestamp();
  for v_batch in
    -- One statement, so one snapshot: what commits meanwhile is of the next call, smaller ids too.
    with candidate as (
      select e.id, e.occurred_at, e.leaf_hash
      from public.audit_events as e
      where e.transaction_id >= coalesce(v_settled_before, '0'::xid8)
        -- Of the caller's own transaction nobody knows yet whether it commits.
        and (
          v_is_restart
          or pg_visible_in_snapshot(e.transaction_id, (select private.snapshot_before_self()))
        )
        and not exists (
          select from private.audit_seal_leaves as l
          where l.event_id = e.id and l.occurred_at = e.occurred_at
        )
      order by e.id, e.occurred_at
      limit p_max_seals * p_max_leaves + 1
    ), numbered as (
      select c.id, c.occurred_at, c.leaf_hash,
        row_number() over (order by c.id, c.occurred_at) - 1 as n
      from candidate as c
    )
    select
      n / p_max_leaves as batch,
      count(*)::integer as leaf_count,
      min(id) as from_id,
      max(id) as to_id,
      array_agg(id order by n) as ids,
      array_agg(occurred_at order by n) as times,
      array_agg(leaf_hash order by n) as leaves,
      string_agg(leaf_hash, ''::bytea order by n) as level,
      private.snapshot_before_self() as snapshot,
      (select count(*) from candidate) as found
    from numbered
    group by n / p_max_leaves
    order by batch
  loop
    if v_batch.batch >= p_max_seals then
      is_drained := false;
      exit;
    end if;
    insert into public.audit_seals (
      id, from_id, to_id, leaf_count, merkle_root, previous_hash, snapshot, is_drained, is_restart,
      sealed_at
    )
    values (
      coalesce(v_last.id, 0) + 1, v_batch.from_id, v_batch.to_id, v_batch.leaf_count,
      private.merkle_root(v_batch.level), v_last.hash, v_batch.snapshot,
      v_batch.found <= (v_batch.batch + 1) * p_max_leaves,
      v_is_restart, v_looked_at
    )
    returning * into v_last;
    insert into private.audit_seal_leaves (seal_id, position, event_id, occurred_at, leaf_hash)
    select v_last.id, u.position - 1, u.event_id, u.occurred_at, u.leaf_hash
    from unnest(v_batch.ids, v_batch.times, v_batch.leaves)
      with ordinality as u (event_id, occurred_at, leaf_hash, position);
    seals := seals + 1;
    events := events + v_batch.leaf_count;
  end loop;
  return next;
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

CREATE OR REPLACE FUNCTION private.set_record_deleted (
  p_id      uuid,
  p_deleted boolean
)
  RETURNS void
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.set_search_keys (
  p_patient_id  uuid,
  p_search_keys jsonb
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  delete from private.patient_search_keys as k
  where k.patient_id = p_patient_id and p_search_keys ? k.field;
  insert into private.patient_search_keys (patient_id, field, digest)
  select p_patient_id, s.key, decode(s.value, 'hex')
  from jsonb_each_text(p_search_keys) as s
  where s.value is not null;
$function$;

CREATE OR REPLACE FUNCTION private.share_grounds (
  p_viewer_id uuid
)
  RETURNS TABLE (
    record_id    uuid,
    patient_id   uuid,
    access_level text,
    since        timestamp with time zone,
    until        timestamp with time zone
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select s.record_id, s.patient_id, s.access_level, s.created_at, s.expires_at
  from public.medical_record_shares as s
  where s.shared_with_id = p_viewer_id
    and private.share_is_live(s)
    and exists (select 1 from private.active_account(p_viewer_id))
$function$;

CREATE OR REPLACE FUNCTION private.share_is_live (
  p_share public.medical_record_shares
)
  RETURNS boolean
  LANGUAGE sql
  STABLE
  AS $function$
  select p_share.revoked_at is null and p_share.expires_at > now()
$function$;

CREATE OR REPLACE FUNCTION private.share_medical_record (
  p_record_id      uuid,
  p_shared_with_id uuid,
  p_access_level   text,
  p_expires_at     timestamp with time zone
)
  RETURNS uuid
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No account with this id';
  end if;
  insert into public.medical_record_shares (
    record_id, patient_id, shared_with_id, shared_by_id, access_level, expires_at
  )
  values (p_record_id, v_caller, p_shared_with_id, v_caller, p_access_level, p_expires_at)
  returning id into v_id;
  return v_id;
exception
  when exclusion_violation then
    raise exception using errcode = 'PT409', message = 'already_shared',
      detail = 'The record is shared with this account already: revoke that share first';
  when check_violation or not_null_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A share has the level view or download and ends in the future, within a year';
end;
$function$;

CREATE OR REPLACE FUNCTION private.shared_record_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query select g.record_id from private.share_grounds(v_caller) as g;
end;
$function$;

CREATE OR REPLACE FUNCTION private.shred_record_file (
  p_record_id uuid
)
  RETURNS SETOF text
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.snapshot_before_self()
  RETURNS pg_snapshot
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_snapshot constant pg_snapshot := pg_current_snapshot();
  v_self constant xid8 := pg_current_xact_id_if_assigned();
begin
  if v_self is null or v_self >= pg_snapshot_xmax(v_snapshot) then
    return v_snapshot;
  end if;
  return format('%s:%s:%s',
    least(pg_snapshot_xmin(v_snapshot), v_self), pg_snapshot_xmax(v_snapshot),
    (
      select string_agg(x.id::text, ',' order by x.id)
      from (select pg_snapshot_xip(v_snapshot) as id union select v_self) as x
    )
  )::pg_snapshot;
end;
$function$;

CREATE OR REPLACE FUNCTION private.store_rewrapped_keys (
  p_key_id      text,
  p_key_version integer,
  p_keys        jsonb
)
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.touch_chart (
  p_patient_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_caller uuid := auth.uid();
begin
  if p_patient_id is null or v_caller is null or v_caller = p_patient_id then
    return;
  end if;
  -- A refusal is logged, too: what a token may not open it does not keep open either.
  v_caller := private.clinical_caller();
  update public.chart_sessions as c set last_used_at = now()
  where c.id = any (array(
    select o.id
    from public.chart_sessions as o
    where o.viewer_id = v_caller and o.patient_id = p_patient_id
      -- One that has been idle too long is not open, and nothing brings it back.
      and private.chart_is_open(o)
      and o.last_used_at <= now() - interval '1 minute'
    -- Whoever holds the row either does the same, or closes the chart.
    for no key update skip locked
  ));
end;
$function$;

CREATE OR REPLACE FUNCTION private.touch_last_active()
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.profiles set last_active_at = now()
  where id = v_caller
    and (last_active_at is null or last_active_at < now() - interval '1 minute');
end;
$function$;

CREATE OR REPLACE FUNCTION private.treated_patient_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query select g.patient_id from private.chart_grounds(v_caller) as g where g.scopes is null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.verified_doctor (
  p_account_id uuid
)
  RETURNS TABLE (
    id uuid
  )
  LANGUAGE sql
  STABLE
  AS $function$
  select a.id
  from private.active_account(p_account_id) as a
  join public.doctors as d on d.id = a.id
  where a.role = 'doctor' and d.verified_at is not null
$function$;

CREATE OR REPLACE FUNCTION private.verify_audit (
  p_from timestamp with time zone,
  p_to   timestamp with time zone
)
  RETURNS TABLE (
    ok                boolean,
    checked           bigint,
    first_bad_id      bigint,
    first_bad_seal_id bigint,
    reason            text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_result record;
begin
  perform private.require_admin();
  select c.ok, c.checked, c.first_bad_id, c.first_bad_seal_id, c.reason into v_result
  from private.check_audit(p_from, p_to) as c;
  perform private.write_audit(
    'verify_audit', 'audit_seal', null, null,
    p_new_values => jsonb_build_object(
      'from', p_from, 'to', p_to, 'ok', v_result.ok, 'checked', v_result.checked,
      'first_bad_id', v_result.first_bad_id
    )
  );
  return query select
    v_result.ok, v_result.checked, v_result.first_bad_id, v_result.first_bad_seal_id,
    v_result.reason;
end;
$function$;

CREATE OR REPLACE FUNCTION private.verify_doctor (
  p_user_id uuid,
  p_approve boolean,
  p_reason  text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
end;
$function$;

CREATE OR REPLACE FUNCTION private.who_can_see (
  p_patient_id uuid
)
  RETURNS TABLE (
    viewer_id   uuid,
    viewer_name text,
    viewer_role text,
    rule        text,
    explanation text,
    since       timestamp with time zone,
    until       timestamp with time zone
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
begin
  if p_patient_id is distinct from private.require_live_session() then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No patient with this id';
  end if;
  -- A clinician who is a patient, too.
  if private.clinical_caller() is null then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'Seeing clinical data needs multi-factor sign-in';
  end if;
  return query
    select g.viewer_id, g.viewer_name, g.viewer_role, g.rule, g.explanation, g.since, g.until
    from private.access_grounds(p_patient_id) as g
    order by g.since desc, g.viewer_id, g.rule, g.explanation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.with_caregiver_scopes (
  p_values     jsonb,
  p_patient_id uuid
)
  RETURNS jsonb
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select coalesce(
    (
      select coalesce(p_values, '{}') || jsonb_build_object('caregiver_scopes', r.scopes)
      from public.care_relationships as r
      where r.patient_id = p_patient_id
        and r.member_id = (select auth.uid())
        and r.kind = 'caregiver'
        -- What ends in this transaction has held until now.
        and (r.status = 'active' or r.status = 'ended')
        and (r.ends_at is null or r.ends_at >= now())
      order by r.status
      limit 1
    ),
    p_values
  )
$function$;

CREATE OR REPLACE FUNCTION private.writable_record (
  p_record_id uuid
)
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
begin
  return (
    select r.patient_id
    from public.medical_records as r
    cross join private.access_decision(
      private.clinical_caller(), r.patient_id, r.id, 'upload'
    ) as d
    where r.id = p_record_id and d.allowed
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.write_audit (
  p_action        text,
  p_resource_type text,
  p_resource_id   uuid,
  p_patient_id    uuid,
  p_purpose       text  DEFAULT NULL::text,
  p_new_values    jsonb DEFAULT NULL::jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_by constant private.audit_context := private.current_audit_context();
begin
  insert into public.audit_events (
    actor_id, actor_role, session_id, action, resource_type, resource_id, patient_id, purpose,
    new_values, ip_address, user_agent, request_id
  )
  values (
    v_by.actor_id, v_by.actor_role, v_by.session_id, p_action, p_resource_type, p_resource_id,
    p_patient_id, coalesce(p_purpose, private.open_chart_purpose(p_patient_id)),
    case v_by.actor_role
      when 'caregiver' then private.with_caregiver_scopes(p_new_values, p_patient_id)
      else p_new_values
    end,
    v_by.ip_address, v_by.user_agent, v_by.request_id
  );
  perform private.touch_chart(p_patient_id);
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

CREATE OR REPLACE FUNCTION private.write_record_description (
  p_record_id   uuid,
  p_description text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.audit_proof (
  p_event_id bigint
)
  RETURNS TABLE (
    event_id       bigint,
    leaf_hash      text,
    "position"     integer,
    tree_size      integer,
    path           text[],
    seal_id        bigint,
    merkle_root    text,
    hash           text,
    previous_hash  text,
    sealed_at      timestamp with time zone,
    seal_canonical text
  )
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  select
    p.event_id, p.leaf_hash, p.position, p.tree_size, p.path, p.seal_id, p.merkle_root, p.hash,
    p.previous_hash, p.sealed_at, p.seal_canonical
  from private.audit_proof(p_event_id) as p
$function$;

REVOKE ALL ON FUNCTION "public"."audit_proof"(bigint) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.audit_search (
  p_actor_id      uuid                     DEFAULT NULL::uuid,
  p_patient_id    uuid                     DEFAULT NULL::uuid,
  p_action        text                     DEFAULT NULL::text,
  p_resource_type text                     DEFAULT NULL::text,
  p_resource_id   uuid                     DEFAULT NULL::uuid,
  p_request_id    text                     DEFAULT NULL::text,
  p_from          timestamp with time zone DEFAULT NULL::timestamp WITH time zone,
  p_to            timestamp with time zone DEFAULT NULL::timestamp WITH time zone,
  p_limit         integer                  DEFAULT 20,
  p_cursor        text                     DEFAULT NULL::text
)
  RETURNS TABLE (
    id            bigint,
    occurred_at   timestamp with time zone,
    actor_id      uuid,
    actor_role    text,
    session_id    uuid,
    action        text,
    resource_type text,
    resource_id   uuid,
    patient_id    uuid,
    purpose       text,
    request_id    text,
    cursor        text
  )
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['bigint']);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      f.id, f.occurred_at, f.actor_id, f.actor_role, f.session_id, f.action, f.resource_type,
      f.resource_id, f.patient_id, f.purpose, f.request_id,
      private.make_cursor(jsonb_build_array(f.id))
    from private.audit_search(
      p_actor_id, p_patient_id, p_action, p_resource_type, p_resource_id, p_request_id, p_from,
      p_to, p_limit, (v_after ->> 0)::bigint
    ) as f
    order by f.id desc;
end;
$function$;

REVOKE ALL
  ON FUNCTION "public"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp WITH time zone, timestamp WITH time zone, integer, text)
  FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.break_glass (
  p_patient_id uuid,
  p_reason     text
)
  RETURNS public.opened_chart
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.break_glass(p_patient_id, p_reason)
$function$;

REVOKE ALL ON FUNCTION "public"."break_glass"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.list_emergency_accesses (
  p_limit  integer DEFAULT 20,
  p_cursor text    DEFAULT NULL::text
)
  RETURNS TABLE (
    id             uuid,
    patient_id     uuid,
    patient_name   text,
    viewer_id      uuid,
    viewer_name    text,
    reason         text,
    opened_at      timestamp with time zone,
    ended_at       timestamp with time zone,
    actions        bigint,
    objected_at    timestamp with time zone,
    objection      text,
    reviewed_at    timestamp with time zone,
    reviewed_by    uuid,
    review_outcome text,
    review_note    text,
    cursor         text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['boolean', 'timestamptz', 'uuid']);
begin
  perform private.require_admin();
  perform private.require_page_size(p_limit);
  return query
    select
      e.id, e.patient_id, e.patient_name, e.viewer_id, e.viewer_name, e.reason, e.opened_at,
      e.ended_at, e.actions, e.objected_at, e.objection, e.reviewed_at, e.reviewed_by,
      e.review_outcome, e.review_note,
      private.make_cursor(jsonb_build_array(e.reviewed_at is null, e.opened_at, e.id))
    from private.list_emergency_accesses(p_limit, v_after) as e;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."list_emergency_accesses"(integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.mark_all_notifications_read()
  RETURNS integer
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.mark_all_notifications_read()
$function$;

REVOKE ALL ON FUNCTION "public"."mark_all_notifications_read"() FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.mark_notification_read (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.mark_notification_read(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."mark_notification_read"(uuid) FROM PUBLIC, "anon", "service_role";

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

REVOKE ALL ON FUNCTION "public"."my_access_log"(integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.object_to_emergency_access (
  p_id   uuid,
  p_note text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.object_to_emergency_access(p_id, p_note)
$function$;

REVOKE ALL ON FUNCTION "public"."object_to_emergency_access"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.open_chart (
  p_patient_id uuid,
  p_purpose    text
)
  RETURNS public.opened_chart
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.open_chart(p_patient_id, p_purpose)
$function$;

REVOKE ALL ON FUNCTION "public"."open_chart"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.open_medical_record (
  p_record_id uuid
)
  RETURNS public.opened_record
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.open_medical_record(p_record_id)
$function$;

REVOKE ALL ON FUNCTION "public"."open_medical_record"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.review_emergency_access (
  p_id      uuid,
  p_outcome text,
  p_note    text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.review_emergency_access(p_id, p_outcome, p_note)
$function$;

REVOKE ALL ON FUNCTION "public"."review_emergency_access"(uuid, text, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.search_patients (
  p_query  text    DEFAULT NULL::text,
  p_limit  integer DEFAULT 20,
  p_cursor text    DEFAULT NULL::text
)
  RETURNS TABLE (
    id            uuid,
    first_name    text,
    last_name     text,
    date_of_birth date,
    gender        text,
    cancer_type   text,
    cursor        text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.verify_audit (
  p_from timestamp with time zone DEFAULT NULL::timestamp WITH time zone,
  p_to   timestamp with time zone DEFAULT NULL::timestamp WITH time zone
)
  RETURNS TABLE (
    ok                boolean,
    checked           bigint,
    first_bad_id      bigint,
    first_bad_seal_id bigint,
    reason            text
  )
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select v.ok, v.checked, v.first_bad_id, v.first_bad_seal_id, v.reason
  from private.verify_audit(p_from, p_to) as v
$function$;

REVOKE ALL ON FUNCTION "public"."verify_audit"(timestamp WITH time zone, timestamp WITH time zone) FROM PUBLIC, "anon", "service_role";

ALTER TABLE "private"."patient_identifiers"
  ADD CONSTRAINT "patient_identifiers_pkey" PRIMARY KEY (id);

ALTER TABLE "private"."patient_identifiers"
  ADD CONSTRAINT "patient_identifiers_system_check" CHECK (((length(system) >= 1) AND (length(system) <= 510)));

ALTER TABLE "private"."patient_identifiers"
  ADD CONSTRAINT "patient_identifiers_system_key" UNIQUE (patient_id, system);

ALTER TABLE "private"."patient_search_keys"
  ADD CONSTRAINT "patient_search_keys_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE CASCADE;

ALTER TABLE "private"."record_openings"
  ADD CONSTRAINT "record_openings_record_id_fkey" FOREIGN KEY (record_id) REFERENCES public.medical_records(id) ON DELETE CASCADE;

ALTER TABLE "private"."record_openings"
  ADD CONSTRAINT "record_openings_viewer_id_fkey" FOREIGN KEY (viewer_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_ciphertext_sha256_check" CHECK (((ciphertext_sha256 ~ '^[0-9a-f]{64}$'::text) AND ((ciphertext_sha256 IS NULL) = (completed_at IS NULL))));

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_data_key_id_key" UNIQUE (data_key_id);

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_file_size_check" CHECK (((file_size >= 1) AND (file_size <= 50000000)));

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_object_version_check" CHECK (((completed_at IS NULL) = (object_version IS NULL)));

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_outcome_check" CHECK (
CASE
    WHEN (completed_at IS NULL) THEN (erased_at IS NULL)
    ELSE ((rejected_at IS NULL) AND ((erased_at IS NOT NULL) OR (swept_at IS NULL)))
END);

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "private"."sign_in_failures"
  ADD CONSTRAINT "sign_in_failures_failures_check" CHECK (((failures >= 0) AND (failures <= 5)));

ALTER TABLE "private"."audit_seal_leaves"
  ADD CONSTRAINT "audit_seal_leaves_seal_id_fkey" FOREIGN KEY (seal_id) REFERENCES public.audit_seals(id);

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_emergency_check" CHECK (((purpose <> 'emergency'::text) OR ((length(reason) >= 20) AND (reason IS
    NOT NULL) AND ((expires_at - opened_at) <= '00:30:00'::interval))));

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_objection_check"
    CHECK
    (((num_nulls(objected_at, objection) = ANY (ARRAY[0, 2])) AND ((objected_at IS NULL) OR (purpose = 'emergency'::text)) AND ((length(objection) >= 1) AND (length(objection) <=
    1000))));

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_review_check"
    CHECK
    (((num_nulls(reviewed_at, reviewed_by, review_outcome, review_note) = ANY (ARRAY[0, 4])) AND ((reviewed_at IS NULL) OR (purpose = 'emergency'::text)) AND ((reviewed_by <>
    viewer_id) AND (reviewed_by <> patient_id)) AND ((length(review_note) >= 1) AND (length(review_note) <= 1000))));

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_review_outcome_check" CHECK ((review_outcome = ANY (ARRAY['justified'::text, 'unjustified'::text])));

ALTER TABLE "public"."medical_record_contents"
  ADD CONSTRAINT "medical_record_contents_data_key_check" CHECK (((storage_path IS NULL) = (data_key_id IS NULL)));

ALTER TABLE "public"."medical_record_contents"
  ADD CONSTRAINT "medical_record_contents_data_key_id_fkey" FOREIGN KEY (data_key_id) REFERENCES private.data_keys(id) ON DELETE RESTRICT;

ALTER TABLE "public"."medical_records"
  ADD CONSTRAINT "medical_records_file_check"
    CHECK
    (((num_nulls(file_name, file_type, file_size, file_sha256) = ANY (ARRAY[0, 4])) AND ((file_size >= 1) AND (file_size <= 50000000)) AND (file_sha256 ~ '^[0-9a-f]{64}$'::text)));

ALTER TABLE "public"."medical_records"
  ADD CONSTRAINT "medical_records_source_url_check" CHECK (((source_url IS NULL) OR ((source = 'fhir'::text) AND ((length(source_url) >= 1) AND (length(source_url) <= 500)))));

ALTER TABLE "public"."notifications"
  ADD CONSTRAINT "notifications_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_diagnosis_date_check" CHECK (((diagnosis_date >= COALESCE(date_of_birth, '1880-01-01'::date)) AND (diagnosis_date <= (CURRENT_DATE + 1))));

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_texts_check"
    CHECK
    (((length(city) <= 100) AND (length(state) <= 100) AND (length(postal_code) <= 20) AND (length(country) <= 100) AND (length(insurance_provider) <= 200) AND
    (length(emergency_contact_name) <= 200) AND (length(emergency_contact_relationship) <= 100) AND (length(cancer_type) <= 200) AND (length(treatment_stage) <= 200) AND
    (length(medical_history) <= 20000)));

ALTER TABLE "public"."profiles"
  ADD CONSTRAINT "profiles_avatar_path_check" CHECK (((avatar_path ~~ ((id)::text || '/%'::text)) AND (avatar_path !~ '\.\.'::text) AND (length(avatar_path) <= 300)));

CREATE VIEW "private"."notification_templates" AS  SELECT kind,
    locale,
    title,
    body
   FROM ( VALUES ('emergency_access'::text,'en'::text,'Your chart was opened in an emergency'::text,('A doctor has opened your chart in an emergency and said why. Every look into it is in your '::text || 'access log, an administrator will review it, and you may object.'::text)), ('emergency_access'::text,'hi'::text,'आपात स्थिति में आपका चार्ट खोला गया'::text,('एक डॉक्टर ने आपात स्थिति में आपका चार्ट खोला है और कारण बताया है। हर पहुँच आपके एक्सेस लॉग में '::text || 'दर्ज है, एक प्रशासक इसकी समीक्षा करेगा, और आप आपत्ति कर सकते हैं।'::text)), ('emergency_review_due'::text,'en'::text,'An emergency access waits for review'::text,'A doctor has opened a chart in an emergency. Please review whether it was justified.'::text), ('emergency_review_due'::text,'hi'::text,'एक आपातकालीन पहुँच समीक्षा की प्रतीक्षा में है'::text,'एक डॉक्टर ने आपात स्थिति में एक चार्ट खोला है। कृपया समीक्षा करें कि यह उचित था या नहीं।'::text), ('emergency_reviewed'::text,'en'::text,'An emergency access was reviewed'::text,'An administrator has reviewed an emergency access that concerns you. The outcome is with it.'::text), ('emergency_reviewed'::text,'hi'::text,'एक आपातकालीन पहुँच की समीक्षा हुई'::text,'एक प्रशासक ने आपसे जुड़ी एक आपातकालीन पहुँच की समीक्षा की है। परिणाम उसी के साथ है।'::text), ('emergency_objection'::text,'en'::text,'A patient objects to an emergency access'::text,'A patient has objected to an emergency access to their chart. The objection is with it.'::text), ('emergency_objection'::text,'hi'::text,'एक मरीज़ ने आपातकालीन पहुँच पर आपत्ति की'::text,'एक मरीज़ ने अपने चार्ट की आपातकालीन पहुँच पर आपत्ति की है। आपत्ति उसी के साथ है।'::text)) t(kind, locale, title, body);

CREATE VIEW "private"."visible_profiles" WITH (security_barrier=true) AS  SELECT id,
    role,
    display_name,
    avatar_path,
    bio,
    is_verified
   FROM public.profiles p
  WHERE (( SELECT private.session_is_live() AS session_is_live) AND is_active AND (is_public OR (id = ( SELECT auth.uid() AS uid)) OR (id = ANY (ARRAY( SELECT private.connected_profile_ids() AS connected_profile_ids)))));

CREATE VIEW "public"."public_profiles" WITH (security_invoker=true) AS  SELECT id,
    role,
    display_name,
    avatar_path,
    bio,
    is_verified
   FROM private.visible_profiles v;

REVOKE ALL ON TABLE "public"."public_profiles" FROM "anon", "service_role";

CREATE INDEX audit_events_default_patient_id_occurred_at_id_idx1 ON private.audit_events_default USING btree (patient_id, occurred_at DESC, id DESC)
  WHERE (actor_id <> patient_id);

CREATE INDEX data_keys_key_version_idx ON private.data_keys USING btree (key_version, id)
  WHERE (erased_at IS NULL);

CREATE UNIQUE INDEX data_keys_one_patient_key ON private.data_keys USING btree (subject_id)
  WHERE ((purpose = 'patient_fields'::text) AND (erased_at IS NULL));

CREATE INDEX data_keys_subject_id_idx ON private.data_keys USING btree (subject_id, purpose);

CREATE INDEX record_openings_record_id_idx ON private.record_openings USING btree (record_id);

CREATE UNIQUE INDEX record_uploads_one_completed ON private.record_uploads USING btree (record_id)
  WHERE ((completed_at IS NOT NULL) AND (erased_at IS NULL));

CREATE INDEX record_uploads_patient_id_idx ON private.record_uploads USING btree (patient_id);

CREATE INDEX record_uploads_unswept_idx ON private.record_uploads USING btree (expires_at)
  WHERE (((completed_at IS NULL) OR (erased_at IS NOT NULL)) AND (swept_at IS NULL));

CREATE INDEX audit_events_access_log_idx ON public.audit_events USING btree (patient_id, occurred_at DESC, id DESC)
  WHERE (actor_id <> patient_id);

ALTER INDEX "public"."audit_events_access_log_idx" ATTACH PARTITION "private"."audit_events_default_patient_id_occurred_at_id_idx1";

CREATE INDEX audit_seals_restart_idx ON public.audit_seals USING btree (id)
  WHERE is_restart;

CREATE INDEX audit_seals_sealed_at_idx ON public.audit_seals USING btree (sealed_at);

CREATE INDEX chart_sessions_emergencies_idx ON public.chart_sessions USING btree (((reviewed_at IS NULL)) DESC, opened_at DESC, id DESC)
  WHERE (purpose = 'emergency'::text);

CREATE UNIQUE INDEX chart_sessions_one_unreviewed_emergency ON public.chart_sessions USING btree (viewer_id)
  WHERE ((purpose = 'emergency'::text) AND (reviewed_at IS NULL));

CREATE UNIQUE INDEX medical_record_contents_data_key_id_key ON public.medical_record_contents USING btree (data_key_id)
  WHERE (data_key_id IS NOT NULL);

CREATE INDEX notifications_unread_idx ON public.notifications USING btree (user_id, created_at DESC, id DESC)
  WHERE (read_at IS NULL);

CREATE INDEX notifications_user_id_idx ON public.notifications USING btree (user_id, created_at DESC, id DESC);

CREATE TRIGGER on_auth_session_created
  AFTER INSERT ON auth.sessions
  FOR EACH ROW
  EXECUTE FUNCTION private.audit_staff_sign_in();

CREATE TRIGGER audit_seal_leaves_append_only
  BEFORE DELETE OR UPDATE ON private.audit_seal_leaves
  FOR EACH ROW
  EXECUTE FUNCTION private.refuse_change();

ALTER TABLE "private"."audit_seal_leaves"
  ENABLE ALWAYS TRIGGER "audit_seal_leaves_append_only";

CREATE TRIGGER audit_seal_leaves_no_truncate
  BEFORE TRUNCATE ON private.audit_seal_leaves
  FOR EACH STATEMENT
  EXECUTE FUNCTION private.refuse_change();

ALTER TABLE "private"."audit_seal_leaves"
  ENABLE ALWAYS TRIGGER "audit_seal_leaves_no_truncate";

CREATE TRIGGER data_keys_note_version_insert
  AFTER INSERT ON private.data_keys
  FOR EACH ROW
  EXECUTE FUNCTION private.note_key_version();

CREATE TRIGGER data_keys_note_version_update
  AFTER UPDATE OF key_id, key_version ON private.data_keys
  FOR EACH ROW
  WHEN (((old.key_id <> new.key_id) OR (old.key_version <> new.key_version)))
  EXECUTE FUNCTION private.note_key_version();

CREATE TRIGGER patient_identifiers_audit_delete AFTER DELETE ON private.patient_identifiers
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient_identifier',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER patient_identifiers_audit_insert AFTER INSERT ON private.patient_identifiers
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient_identifier',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER patient_identifiers_audit_update AFTER UPDATE ON private.patient_identifiers
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient_identifier',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER record_uploads_audit_delete AFTER DELETE ON private.record_uploads REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'record_upload',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER record_uploads_audit_insert AFTER INSERT ON private.record_uploads REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'record_upload',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER record_uploads_audit_update AFTER UPDATE ON private.record_uploads
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'record_upload',
  'id',
  'patient_id',
  ''
);

ALTER TABLE "public"."audit_events"
  ENABLE ALWAYS TRIGGER "audit_events_append_only";

ALTER TABLE "public"."audit_events"
  ENABLE ALWAYS TRIGGER "audit_events_no_truncate";

CREATE TRIGGER audit_seals_append_only
  BEFORE DELETE OR UPDATE ON public.audit_seals
  FOR EACH ROW
  EXECUTE FUNCTION private.refuse_change();

ALTER TABLE "public"."audit_seals"
  ENABLE ALWAYS TRIGGER "audit_seals_append_only";

CREATE TRIGGER audit_seals_no_truncate
  BEFORE TRUNCATE ON public.audit_seals
  FOR EACH STATEMENT
  EXECUTE FUNCTION private.refuse_change();

ALTER TABLE "public"."audit_seals"
  ENABLE ALWAYS TRIGGER "audit_seals_no_truncate";

CREATE TRIGGER chart_sessions_audit_close
  AFTER UPDATE OF closed_at ON public.chart_sessions
  FOR EACH ROW
  WHEN (((old.closed_at IS NULL) AND (new.closed_at IS NOT NULL)))
  EXECUTE FUNCTION private.audit_chart_close();

CREATE TRIGGER medical_record_contents_audit_delete AFTER DELETE ON public.medical_record_contents
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_content',
  'record_id',
  'patient_id',
  'fhir,description'
);

CREATE TRIGGER medical_record_contents_audit_insert AFTER INSERT ON public.medical_record_contents
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_content',
  'record_id',
  'patient_id',
  'fhir,description'
);

CREATE TRIGGER medical_record_contents_audit_update AFTER UPDATE ON public.medical_record_contents
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_content',
  'record_id',
  'patient_id',
  'fhir,description'
);

CREATE TRIGGER medical_records_keep_sensitive_mark
  BEFORE UPDATE OF sensitivity ON public.medical_records
  FOR EACH ROW
  WHEN (((old.sensitivity = 'sensitive'::text) AND (new.sensitivity = 'normal'::text) AND (auth.uid() IS NOT NULL) AND (auth.uid() <> old.patient_id)))
  EXECUTE FUNCTION private.keep_sensitive_mark();

CREATE TRIGGER notifications_set_updated_at
  BEFORE UPDATE ON public.notifications
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER patients_audit_delete AFTER DELETE ON public.patients REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient',
  'id',
  'id',
  'phone,address,insurance_policy_number,emergency_contact_phone'
);

CREATE TRIGGER patients_audit_insert AFTER INSERT ON public.patients REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient',
  'id',
  'id',
  'phone,address,insurance_policy_number,emergency_contact_phone'
);

CREATE TRIGGER patients_audit_update AFTER UPDATE ON public.patients
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient',
  'id',
  'id',
  'phone,address,insurance_policy_number,emergency_contact_phone'
);

CREATE POLICY "account_grants_select_authenticated" ON "public"."account_grants"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND ((user_id = ( SELECT auth.uid() AS uid)) OR ( SELECT private.is_admin() AS is_admin))));

CREATE POLICY "audit_seals_select_authenticated" ON "public"."audit_seals"
  FOR SELECT
  TO "authenticated"
  USING (false);

CREATE POLICY "care_relationships_select_authenticated_only" ON "public"."care_relationships"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "care_relationships_select_authenticated" ON "public"."care_relationships"
  FOR SELECT
  TO "authenticated"
  USING (((patient_id = ( SELECT auth.uid() AS uid)) OR (member_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "chart_sessions_select_authenticated_only" ON "public"."chart_sessions"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "chart_sessions_select_authenticated" ON "public"."chart_sessions"
  FOR SELECT
  TO "authenticated"
  USING (((patient_id = ( SELECT auth.uid() AS uid)) OR (viewer_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "doctors_select_authenticated" ON "public"."doctors"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND ((id = ( SELECT auth.uid() AS uid)) OR ( SELECT private.is_admin() AS is_admin))));

CREATE POLICY "medical_record_contents_insert_authenticated_only" ON "public"."medical_record_contents"
  AS RESTRICTIVE
  FOR INSERT
  TO "authenticated"
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medical_record_contents_insert_authenticated" ON "public"."medical_record_contents"
  FOR INSERT
  TO "authenticated"
  WITH
    CHECK
    (((deleted_at IS NULL) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS treated_patient_ids))) AND
    (record_id = ANY (ARRAY( SELECT private.added_record_ids() AS added_record_ids)))))));

CREATE POLICY "medical_record_contents_select_authenticated_only" ON "public"."medical_record_contents"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medical_record_contents_select_authenticated" ON "public"."medical_record_contents"
  FOR SELECT
  TO "authenticated"
  USING
    (((patient_id = ( SELECT auth.uid() AS uid)) OR ((deleted_at IS NULL) AND ((record_id = ANY (ARRAY( SELECT private.opened_record_ids() AS opened_record_ids))) OR ((patient_id =
    ANY (ARRAY( SELECT private.chart_patient_ids('records'::text) AS chart_patient_ids))) AND
    ((sensitivity = 'normal'::text) OR (patient_id = ANY (ARRAY( SELECT private.chart_patient_ids('sensitive'::text) AS chart_patient_ids)))))))));

CREATE POLICY "medical_record_contents_update_authenticated_only" ON "public"."medical_record_contents"
  AS RESTRICTIVE
  FOR UPDATE
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows))
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medical_record_contents_update_authenticated" ON "public"."medical_record_contents"
  FOR UPDATE
  TO "authenticated"
  USING
    (((deleted_at IS NULL) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS treated_patient_ids))) AND
    (record_id = ANY (ARRAY( SELECT private.added_record_ids() AS added_record_ids)))))))
  WITH
    CHECK
    (((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS treated_patient_ids))) AND (record_id = ANY (ARRAY( SELECT
    private.added_record_ids() AS added_record_ids))))));

CREATE POLICY "medical_record_shares_select_authenticated_only" ON "public"."medical_record_shares"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medical_record_shares_select_authenticated" ON "public"."medical_record_shares"
  FOR SELECT
  TO "authenticated"
  USING (((patient_id = ( SELECT auth.uid() AS uid)) OR ((shared_with_id = ( SELECT auth.uid() AS uid)) AND (revoked_at IS NULL) AND (expires_at > ( SELECT now() AS now)))));

CREATE POLICY "medical_records_insert_authenticated_only" ON "public"."medical_records"
  AS RESTRICTIVE
  FOR INSERT
  TO "authenticated"
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medical_records_insert_authenticated" ON "public"."medical_records"
  FOR INSERT
  TO "authenticated"
  WITH CHECK (((patient_id = ( SELECT auth.uid() AS uid)) OR (patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS treated_patient_ids)))));

CREATE POLICY "medical_records_select_authenticated_only" ON "public"."medical_records"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING ((patient_id = ANY (ARRAY( SELECT private.reachable_patient_ids() AS reachable_patient_ids))));

CREATE POLICY "medical_records_select_authenticated" ON "public"."medical_records"
  FOR SELECT
  TO "authenticated"
  USING
    (((patient_id = ( SELECT auth.uid() AS uid)) OR ((deleted_at IS NULL) AND ((id = ANY (ARRAY( SELECT private.shared_record_ids() AS shared_record_ids))) OR ((patient_id = ANY
    (ARRAY( SELECT private.chart_patient_ids('records'::text) AS chart_patient_ids))) AND
    ((sensitivity = 'normal'::text) OR (patient_id = ANY (ARRAY( SELECT private.chart_patient_ids('sensitive'::text) AS chart_patient_ids)))))))));

CREATE POLICY "medical_records_update_authenticated_only" ON "public"."medical_records"
  AS RESTRICTIVE
  FOR UPDATE
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows))
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medical_records_update_authenticated" ON "public"."medical_records"
  FOR UPDATE
  TO "authenticated"
  USING
    (((deleted_at IS NULL) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((created_by = ( SELECT auth.uid() AS uid)) AND (patient_id = ANY (ARRAY( SELECT
    private.treated_patient_ids() AS treated_patient_ids)))))))
  WITH
    CHECK
    (((patient_id = ( SELECT auth.uid() AS uid)) OR ((created_by = ( SELECT auth.uid() AS uid)) AND (patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS
    treated_patient_ids))))));

CREATE POLICY "notifications_select_authenticated" ON "public"."notifications"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "patients_select_authenticated_only" ON "public"."patients"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "patients_select_authenticated" ON "public"."patients"
  FOR SELECT
  TO "authenticated"
  USING (((id = ( SELECT auth.uid() AS uid)) OR (id = ANY (ARRAY( SELECT private.chart_patient_ids('records'::text) AS chart_patient_ids)))));

CREATE POLICY "patients_update_authenticated_only" ON "public"."patients"
  AS RESTRICTIVE
  FOR UPDATE
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows))
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "patients_update_authenticated" ON "public"."patients"
  FOR UPDATE
  TO "authenticated"
  USING ((id = ( SELECT auth.uid() AS uid)))
  WITH CHECK ((id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "profiles_select_authenticated" ON "public"."profiles"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND ((id = ( SELECT auth.uid() AS uid)) OR ( SELECT private.is_admin() AS is_admin))));

CREATE POLICY "profiles_update_authenticated" ON "public"."profiles"
  FOR UPDATE
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (id = ( SELECT auth.uid() AS uid))))
  WITH CHECK ((( SELECT private.session_is_live() AS session_is_live) AND (id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "avatars_delete_authenticated" ON "storage"."objects"
  FOR DELETE
  TO "authenticated"
  USING (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text) AND ( SELECT private.session_is_live() AS session_is_live)));

CREATE POLICY "avatars_insert_authenticated" ON "storage"."objects"
  FOR INSERT
  TO "authenticated"
  WITH
    CHECK
    (((bucket_id = 'avatars'::text) AND ((( SELECT auth.jwt() AS jwt) ->> 'is_anonymous'::text) IS DISTINCT FROM 'true'::text) AND ((storage.foldername(name))[1] = (( SELECT
    auth.uid() AS uid))::text) AND ( SELECT private.session_is_live() AS session_is_live)));

CREATE POLICY "avatars_select_authenticated" ON "storage"."objects"
  FOR SELECT
  TO "authenticated"
  USING (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text) AND ( SELECT private.session_is_live() AS session_is_live)));

CREATE POLICY "avatars_update_authenticated" ON "storage"."objects"
  FOR UPDATE
  TO "authenticated"
  USING (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text) AND ( SELECT private.session_is_live() AS session_is_live)))
  WITH CHECK (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text) AND ( SELECT private.session_is_live() AS session_is_live)));

CREATE POLICY "medical_records_delete_anon_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR DELETE
  TO "anon"
  USING ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_delete_authenticated_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR DELETE
  TO "authenticated"
  USING ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_insert_anon_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR INSERT
  TO "anon"
  WITH CHECK ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_insert_authenticated_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR INSERT
  TO "authenticated"
  WITH CHECK ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_select_anon_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR SELECT
  TO "anon"
  USING ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_select_authenticated_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_update_anon_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR UPDATE
  TO "anon"
  USING ((bucket_id <> 'medical-records'::text))
  WITH CHECK ((bucket_id <> 'medical-records'::text));

CREATE POLICY "medical_records_update_authenticated_only" ON "storage"."objects"
  AS RESTRICTIVE
  FOR UPDATE
  TO "authenticated"
  USING ((bucket_id <> 'medical-records'::text))
  WITH CHECK ((bucket_id <> 'medical-records'::text));

COMMENT ON COLUMN "private"."audit_seal_leaves"."leaf_hash" IS 'Of the event, as it was when sealed.';

COMMENT ON COLUMN "private"."audit_seal_leaves"."occurred_at" IS 'Of the event; leads to its partition.';

COMMENT ON COLUMN "private"."audit_seal_leaves"."position" IS 'Index of the leaf in the tree, from 0.';

COMMENT ON COLUMN "private"."data_keys"."claimed_until" IS 'Until when a run of the rotation has it in hand; null or past: nobody has.';

COMMENT ON COLUMN "private"."data_keys"."erased_at" IS 'When the wrapped form was erased: what the key has sealed is unreadable from then on.';

COMMENT ON COLUMN "private"."data_keys"."id" IS 'The key; part of what the wrapping authenticates.';

COMMENT ON COLUMN "private"."data_keys"."key_id" IS 'Name of the key-encryption key.';

COMMENT ON COLUMN "private"."data_keys"."key_version" IS 'Version of the key-encryption key, from 1.';

COMMENT ON COLUMN "private"."data_keys"."purpose" IS 'record_file: one file of a record; patient_fields: the encrypted columns of a patient and of the contents of their records.';

COMMENT ON COLUMN "private"."data_keys"."rewrapped_at" IS 'Last change to another version; null: none.';

COMMENT ON COLUMN "private"."data_keys"."subject_id" IS 'What it belongs to: the record, or the patient.';

COMMENT ON COLUMN "private"."data_keys"."wrapped_key" IS 'Nonce (12 bytes), ciphertext and tag; null when erased.';

COMMENT ON COLUMN "private"."patient_identifiers"."system" IS 'The source system, for the identifier that belongs to it; followed by " Patient", for the id of the resource itself.';

COMMENT ON COLUMN "private"."patient_search_keys"."digest" IS 'HMAC-SHA-256 of the field''s name and the normalised value.';

COMMENT ON COLUMN "private"."patient_search_keys"."field" IS 'phone: the number with its country, absent when it was given without; phone_national: the number within its country; insurance_policy_number: letters and digits.';

COMMENT ON COLUMN "private"."record_uploads"."ciphertext_sha256" IS 'SHA-256 of the object in Storage, hexadecimal; null until it is completed.';

COMMENT ON COLUMN "private"."record_uploads"."data_key_id" IS 'Key of the file in private.data_keys. No foreign key: the announcement comes before the key, which is made once the database has allowed it.';

COMMENT ON COLUMN "private"."record_uploads"."erased_at" IS 'When the completed file''s key was erased; null: it is the record''s file.';

COMMENT ON COLUMN "private"."record_uploads"."file_sha256" IS 'SHA-256 before encryption, hexadecimal.';

COMMENT ON COLUMN "private"."record_uploads"."file_size" IS 'Bytes before encryption.';

COMMENT ON COLUMN "private"."record_uploads"."object_version" IS 'storage.objects.version of the bytes that were checked; no other ones are handed out.';

COMMENT ON COLUMN "private"."record_uploads"."swept_at" IS 'When what may have been uploaded was removed, because nothing came of it or it was erased. Null: not yet, or kept.';

COMMENT ON COLUMN "public"."audit_events"."action" IS 'create, update, delete, or a verb of the product such as open_chart, open_record, download_file; refuse_ and the verb for a request that was refused.';

COMMENT ON COLUMN "public"."audit_events"."new_values" IS 'Columns that changed, after; never file contents. Of a deed that changes no row, what else is to be known of it: the reason of an emergency, the code of a refusal. caregiver_scopes: what the patient let a caregiver see at that time.';

COMMENT ON COLUMN "public"."audit_events"."transaction_id" IS 'Transaction that wrote the row. Tells a row that was committed late from one that was slipped in.';

COMMENT ON COLUMN "public"."audit_seals"."from_id" IS 'Smallest id of its events; seals may overlap in ids.';

COMMENT ON COLUMN "public"."audit_seals"."id" IS 'From 1 without gaps.';

COMMENT ON COLUMN "public"."audit_seals"."is_drained" IS 'Whether the sealer left nothing over of what it saw.';

COMMENT ON COLUMN "public"."audit_seals"."is_restart" IS 'Whether its rows may carry numbers of another server''s transactions: the first after a restore.';

COMMENT ON COLUMN "public"."audit_seals"."merkle_root" IS 'Root of RFC 6962, section 2.1, over the leaves in the order of their ids.';

COMMENT ON COLUMN "public"."audit_seals"."previous_hash" IS 'Hash of the seal before; null for the first.';

COMMENT ON COLUMN "public"."audit_seals"."sealed_at" IS 'When the sealer looked, UTC.';

COMMENT ON COLUMN "public"."audit_seals"."snapshot" IS 'Which transactions the sealer saw as committed. A row of one of those that is not sealed by then was slipped in later.';

COMMENT ON COLUMN "public"."audit_seals"."to_id" IS 'Largest id of its events.';

COMMENT ON COLUMN "public"."chart_sessions"."last_used_at" IS 'When the viewer last did something with the patient''s data that is logged, to the minute. A chart that was left alone for 15 minutes is closed for good.';

COMMENT ON COLUMN "public"."chart_sessions"."objected_at" IS 'When the patient objected to an emergency.';

COMMENT ON COLUMN "public"."chart_sessions"."objection" IS 'In the patient''s words; the viewer and administrators read it.';

COMMENT ON COLUMN "public"."chart_sessions"."reason" IS 'In the viewer''s words; needed for an emergency, then of 20 to 1,000 characters.';

COMMENT ON COLUMN "public"."chart_sessions"."review_note" IS 'Why, in the administrator''s words; patient and viewer read it.';

COMMENT ON COLUMN "public"."chart_sessions"."review_outcome" IS 'justified or unjustified.';

COMMENT ON COLUMN "public"."chart_sessions"."reviewed_at" IS 'When an emergency was reviewed; null: not yet, and the viewer may have no other.';

COMMENT ON COLUMN "public"."chart_sessions"."reviewed_by" IS 'Administrator who reviewed an emergency, neither its viewer nor its patient.';

COMMENT ON COLUMN "public"."medical_record_contents"."data_key_id" IS 'Key in private.data_keys that the object is encrypted with. Null: no file.';

COMMENT ON COLUMN "public"."medical_record_contents"."description" IS 'Ciphertext, v1.<data key>.<base64 of nonce, ciphertext, tag>: read and written through the function records. At most 20,000 characters.';

COMMENT ON COLUMN "public"."medical_records"."file_sha256" IS 'SHA-256 of the file before encryption, hexadecimal.';

COMMENT ON COLUMN "public"."medical_records"."file_size" IS 'Bytes before encryption, at most 50 MB.';

COMMENT ON COLUMN "public"."medical_records"."source_url" IS 'fullUrl of the resource in the bundle it came with, by which other resources of that bundle refer to it; null when it had none.';

COMMENT ON COLUMN "public"."notifications"."data" IS 'Ids of what it is about, by name, for example {"chart_id": …}; nothing else.';

COMMENT ON COLUMN "public"."notifications"."kind" IS 'What it is about; a kind of notification_templates.';

COMMENT ON COLUMN "public"."notifications"."read_at" IS 'When it was marked as read; null: unread.';

COMMENT ON COLUMN "public"."notifications"."title" IS 'In the language of the account when it was written.';

COMMENT ON COLUMN "public"."notifications"."user_id" IS 'Whom it is for.';

COMMENT ON COLUMN "public"."patients"."address" IS 'Ciphertext as phone; at most 500 characters.';

COMMENT ON COLUMN "public"."patients"."emergency_contact_phone" IS 'Ciphertext as phone, and of its form.';

COMMENT ON COLUMN "public"."patients"."insurance_policy_number" IS 'Ciphertext as phone; at most 100 characters.';

COMMENT ON COLUMN "public"."patients"."phone" IS 'Ciphertext, v1.<data key>.<base64 of nonce, ciphertext, tag>: read, written and searched through the function identity. Digits, signs and blanks, 4 to 40 characters.';

COMMENT ON FUNCTION "private"."access_decision"(uuid, uuid, uuid, text) IS 'Whether a viewer may do something with a patient''s record, in one row: allowed, by which rule (owner, open_chart, emergency, share), since and until when (null: open end). p_action: list, read (what it says), download (its file), write (change it), upload (give it a file), share, delete (and restore). p_record_id null: the patient as a whole, of which one may list the records, read the registry row and write a new record. A record that a share shows is read once it has been opened. Speaks of the viewer; for the caller pass private.clinical_caller(), which adds what the token must be. For definer functions only. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."access_object"(text) IS 'What an audit row is about, in words for the patient, for example "a share of a record".';

COMMENT ON FUNCTION "private"."access_reason"(text, text) IS 'The purpose of an audit row in words for the patient, with the reason that the actor gave; null without purpose.';

COMMENT ON FUNCTION "private"."access_summary"(text, text, text) IS 'An audit row in words for the patient, for example "Opened your chart". p_code is the code of a refusal.';

COMMENT ON FUNCTION "private"."active_account"(uuid) IS 'An account, in one row, unless it is locked. For definer functions only.';

COMMENT ON FUNCTION "private"."add_record_file_key"(uuid, text, integer, text) IS 'Keeps the data key of an announced file, wrapped, in hexadecimal; once for each announcement. Errors: PT409 upload_missing.';

COMMENT ON FUNCTION "private"."added_record_ids"() IS 'Records that the caller, a doctor, has added to charts that are open now.';

COMMENT ON FUNCTION "private"."audit_canonical"(bigint, timestamp
  with time zone, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text, text, xid8) IS 'An audit row as the text that is hashed: a JSON array of the name of this form and all columns, occurred_at in microseconds since 1970 UTC, old and new values as jsonb writes itself.';

COMMENT ON FUNCTION "private"."audit_chart_close"() IS 'Trigger: logs the closing of a chart, whoever closes it: its viewer, the end of care, a new opening, the closing of an account. That it runs out is in its expires_at.';

COMMENT ON FUNCTION "private"."audit_head"() IS 'The newest seal, which stands for all before it, with its canonical form; no row before the first.';

COMMENT ON FUNCTION "private"."audit_leaf"(bigint, timestamp
  with time zone, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text, text, xid8) IS 'Leaf hash of RFC 6962, section 2.1: SHA-256 of a zero byte and the canonical form in UTF-8.';

COMMENT ON FUNCTION "private"."audit_proof"(bigint) IS 'Body of public.audit_proof.';

COMMENT ON FUNCTION "private"."audit_seal_canonical"(bigint, bigint, bigint, integer, bytea, bytea, pg_snapshot, boolean, boolean, timestamp
  with time zone) IS 'A seal as the text that is hashed: a JSON array of the name of this form and all columns but the hash itself, hashes in hexadecimal, sealed_at in microseconds since 1970 UTC.';

COMMENT ON FUNCTION "private"."audit_seal_hash"(text) IS 'SHA-256 of a seal''s canonical form in UTF-8. It begins with no zero or one byte, so it is the hash of no leaf and no node.';

COMMENT ON FUNCTION "private"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp with time zone, timestamp with time zone, integer, bigint) IS 'Body of public.audit_search.';

COMMENT ON FUNCTION "private"."audit_staff_sign_in"() IS 'Trigger on auth.sessions: logs each sign-in of a doctor or administrator, with address and user agent as Auth has them. Fails closed: without the row there is no session.';

COMMENT ON FUNCTION "private"."authorize_export"(uuid, timestamp with time zone, text[]) IS 'Decides on and logs an export, the patient''s own included, with the filter it was asked with; commit before the first byte goes out. Returns export_grounds, and the patient''s ids in other systems, [{system, value}], first linked first; or the refusal, which is logged, in code, message and details: PT404 not_found. Raises: PT401 unauthenticated.';

COMMENT ON FUNCTION "private"."authorize_record_download"(uuid) IS 'Decides on and logs a download, the patient''s own included, or the refusal of one, which it answers in code, message and details: PT403 forbidden (shared for viewing only), PT404 not_found. Raises: PT401 unauthenticated, PT404 not_found for a record without file.';

COMMENT ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) IS 'Announces a file for a record. Returns where to put it, until when, and the id for its key, which add_record_file_key then brings. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_uploaded.';

COMMENT ON FUNCTION "private"."break_glass"(uuid, text) IS 'Body of public.break_glass.';

COMMENT ON FUNCTION "private"."care_grounds"(uuid) IS 'Patients whose chart a viewer may open: in active care as a verified doctor, or as a caregiver with these scopes. until: null while nothing ends it.';

COMMENT ON FUNCTION "private"."care_is_active"(public.care_relationships) IS 'Whether a relationship has been accepted and has not ended.';

COMMENT ON FUNCTION "private"."chart_grounds"(uuid) IS 'Open charts of a viewer that still stand on something: active care of that kind or, in an emergency, the licence alone. scopes: a caregiver''s; null for a doctor, who sees all of it. until: the earliest of its end, 15 minutes without use, and the end of care.';

COMMENT ON FUNCTION "private"."chart_idles_at"(public.chart_sessions) IS 'When an opening of a chart ends for want of use: automatic logoff, 45 CFR 164.312(a)(2)(iii).';

COMMENT ON FUNCTION "private"."chart_is_open"(public.chart_sessions) IS 'Whether an opening of a chart is neither closed nor over, nor idle. No ground by itself.';

COMMENT ON FUNCTION "private"."chart_patient_ids"(text) IS 'Patients whose chart the caller has open and may read in `p_scope`: all of a doctor''s, and a caregiver''s where the patient gave that scope.';

COMMENT ON FUNCTION "private"."check_audit"(timestamp with time zone, timestamp with time zone) IS 'Checks the seals made in an interval, half-open, and that no event of it was slipped in; null is no bound. Computes every leaf, root and link anew. Answers the number of sealed events checked, and the first that is wrong, with its seal and the reason. For the owner of the database; administrators call public.verify_audit.';

COMMENT ON FUNCTION "private"."check_audit_seal"(bigint) IS 'Computes one seal anew from its events. Answers how many events it checked, and the first that is wrong with the reason; when the fault is the seal''s, its first event.';

COMMENT ON FUNCTION "private"."claim_data_keys"(integer, integer, integer) IS 'Hands a run of the rotation up to p_limit data keys that are under an older version than p_key_version, wrapped keys in hexadecimal. No other run gets them for p_claim_seconds; a run that dies leaves them to the next one after that.';

COMMENT ON FUNCTION "private"."clinical_account"(jsonb) IS 'The account of a token''s claims, in one row, if the token may carry a clinical right: its session is live, the account is not locked, and a clinician or administrator has signed in with a second factor (aal2). For definer functions only.';

COMMENT ON FUNCTION "private"."clinical_caller"() IS 'The caller, if their token may carry a clinical right, as private.clinical_account says. Null otherwise, which stands on no ground. For definer functions only.';

COMMENT ON FUNCTION "private"."complete_record_upload"(uuid, text, text) IS 'Gives a record the file of a checked upload, while its object still is the version that was read and the caller may still write the record; repeating it changes nothing. Errors: PT401 unauthenticated, PT404 not_found, PT409 already_uploaded or upload_missing.';

COMMENT ON FUNCTION "private"."dead_record_objects"(uuid) IS 'Objects of a record''s erased and rejected uploads that still lie in Storage: after a crash between the two, or uploaded once more while the signed address was good. Nobody can read them.';

COMMENT ON FUNCTION "private"."disclose_patient_fields"(uuid[]) IS 'Body of private.read_patient_fields: logs, then gives sealed fields and wrapped keys.';

COMMENT ON FUNCTION "private"."disclose_record_descriptions"(uuid[]) IS 'Body of private.read_record_descriptions: logs, then gives sealed descriptions and wrapped keys.';

COMMENT ON FUNCTION "private"."ended_record_uploads"(integer) IS 'Uploads of which nothing came, rejected, expired or overtaken, or whose file was erased, and nothing can come any more, oldest first: what lies there may be removed.';

COMMENT ON FUNCTION "private"."erase_data_keys"(text, uuid) IS 'Erases every data key of one subject: what they have sealed is unreadable for ever. Returns how many there were; repeating it changes nothing. The caller writes the audit row.';

COMMENT ON FUNCTION "private"."erase_record_file"(uuid) IS 'The patient erases the file that they uploaded to a record of theirs, for ever. Returns when, and a row for each object to be removed from Storage, or one with a null path; repeating it gives what is left of them. Errors: PT401 unauthenticated, PT403 forbidden (a doctor uploaded it), PT404 not_found.';

COMMENT ON FUNCTION "private"."export_grounds"(uuid) IS 'By what the caller may take a patient''s records along now: owner; or chart, with sensitive where those records are seen, too, and the ids of records that were opened by a share; empty when by nothing. Row-level security decides on every row all the same: this is for the answer 404, and for an export under way to notice that a right has gone.';

COMMENT ON FUNCTION "private"."export_keys"(uuid) IS 'The wrapped keys of a patient whose records the caller may take along now, as patient_keys gives them; [] otherwise. Writes no audit row: private.authorize_export, which comes before it in a transaction of its own, has logged the export as the one event that it is. What the keys seal is read as the caller, by policies.';

COMMENT ON FUNCTION "private"."field_key_for_patient"(uuid) IS 'The wrapped key under which the caller seals registry fields: their own, or those of a patient whose chart they have open as a doctor, for an import. Nulls before the first. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."field_key_for_record"(uuid) IS 'The wrapped key under which the caller seals the description of a record that they may change. Nulls before the first. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."find_patients"(jsonb) IS 'Patients whom the caller may see and whose digests match: p_search_keys has {phone, phone_national} of a number with its country, {phone_national} of one without, or {insurance_policy_number}, in hexadecimal. Each but the caller leaves an audit row. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "private"."find_unsealed_event"(timestamp with time zone, timestamp with time zone) IS 'The first event in no seal that cannot be there because it waits for the next one: slipped in. Events of an interval, half-open; null is no bound.';

COMMENT ON FUNCTION "private"."import_records"(uuid, text, jsonb, jsonb) IS 'Writes the resources of a FHIR bundle as records of a patient, for the patient or a doctor with the chart open, in one statement. p_rows: array of {source_id, source_url, record_type, title, record_date, sensitivity, fhir}; p_patient: registry fields of the bundle''s Patient, phone and address sealed, with the search_keys of the phone, and its ids, or null. Returns for each row imported, updated, unchanged, or kept: it differs, but is newer than what comes, or another than the doctor who imports added it. A caller without the right on the patient is refused by one row with the outcome not_found, so that the refusal is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT422 wrong_patient.';

COMMENT ON FUNCTION "private"."is_permanent"(uuid) IS 'Whether an account has an address or another way to be signed in to again; anonymous ones have not, and take no part in care and sharing.';

COMMENT ON FUNCTION "private"."is_sealed"(text, integer, integer) IS 'Whether a text is a field sealed by a function, v1.<data key>.<base64 of nonce, ciphertext, tag>, whose plaintext has so many bytes; true for null. For check constraints: no plaintext has this form.';

COMMENT ON FUNCTION "private"."keep_patient_key"(uuid, uuid, text, integer, text) IS 'Keeps the first key for a patient''s fields, wrapped, in hexadecimal, unless there is one. Returns the one that is kept.';

COMMENT ON FUNCTION "private"."keep_sensitive_mark"() IS 'Trigger: refuses that somebody but the patient makes a sensitive record a normal one. Errors: PT403 forbidden.';

COMMENT ON FUNCTION "private"."key_status"() IS 'Versions of the key-encryption key that were ever used, with the number of data keys that each wraps now, by purpose, and of those that were erased while under it.';

COMMENT ON FUNCTION "private"."list_emergency_accesses"(integer, jsonb) IS 'Body of public.list_emergency_accesses. p_after: [waits, opened_at, id] of the last row of the page before; null for the first page.';

COMMENT ON FUNCTION "private"."mark_all_notifications_read"() IS 'Body of public.mark_all_notifications_read.';

COMMENT ON FUNCTION "private"."mark_notification_read"(uuid) IS 'Body of public.mark_notification_read.';

COMMENT ON FUNCTION "private"."matching_patient_ids"(uuid[], jsonb) IS 'Body of private.find_patients: compares digests, and logs whom it finds.';

COMMENT ON FUNCTION "private"."may_see_clinical_rows"() IS 'Whether the caller''s token may carry a clinical right at all; a restrictive policy on every table with a patient''s data asks, whatever the other policies allow.';

COMMENT ON FUNCTION "private"."merge_imported_patient"(uuid, text, jsonb) IS 'Compares the Patient of a bundle with the registry, fills what is empty there, and remembers the patient''s ids in the source system. Two names that both differ, another date of birth or another id there mean somebody else. Of a bundle without a Patient it compares the ids. Phone and address come sealed. Errors: PT422 wrong_patient, PT503 unavailable when the patient''s key has changed.';

COMMENT ON FUNCTION "private"."merkle_parents"(bytea) IS 'The level above: of each pair of nodes SHA-256 of a one byte and both; a last single node as it is.';

COMMENT ON FUNCTION "private"."merkle_path"(bytea, integer) IS 'Audit path of RFC 6962, section 2.1.1, of the leaf at a position, lowest node first, in hexadecimal.';

COMMENT ON FUNCTION "private"."merkle_root"(bytea) IS 'Root of the tree over leaf hashes that stand one after the other, 32 bytes each.';

COMMENT ON FUNCTION "private"."my_access_log"(integer, timestamp with time zone, bigint) IS 'Body of public.my_access_log.';

COMMENT ON FUNCTION "private"."note_key_version"() IS 'Trigger: remembers when a version of the key-encryption key wrapped its first data key.';

COMMENT ON FUNCTION "private"."note_uploads_swept"(uuid[]) IS 'Notes that the objects of ended uploads have been removed, and erases their keys; repeating it changes nothing.';

COMMENT ON FUNCTION "private"."notify"(uuid, text, jsonb) IS 'Tells an account something, in its language where there are words in it, else in English. The only way in, for definer functions; it fails, and with it the transaction, when it cannot.';

COMMENT ON FUNCTION "private"."notify_administrators"(text, jsonb) IS 'Tells every active administrator something.';

COMMENT ON FUNCTION "private"."object_to_emergency_access"(uuid, text) IS 'Body of public.object_to_emergency_access.';

COMMENT ON FUNCTION "private"."open_chart"(uuid, text) IS 'Body of public.open_chart.';

COMMENT ON FUNCTION "private"."open_chart_purpose"(uuid) IS 'Purpose of the chart that the caller has open of a patient, for the audit row; null for none.';

COMMENT ON FUNCTION "private"."open_medical_record"(uuid) IS 'Body of public.open_medical_record.';

COMMENT ON FUNCTION "private"."opened_record_ids"() IS 'Records that are shared with the caller now, and that they have opened by that share within 60 minutes, in an earlier transaction.';

COMMENT ON FUNCTION "private"."patient_key"(uuid) IS 'The key under which a patient''s fields are sealed now, wrapped, in hexadecimal; no row before the first. For definer functions only.';

COMMENT ON FUNCTION "private"."patient_keys"(uuid[]) IS 'Every key that patients'' fields have been sealed under, wrapped: for each patient that has one an array of {data_key_id, key_id, key_version, wrapped_key}, the last null when erased. For definer functions only.';

COMMENT ON FUNCTION "private"."pending_record_upload"(uuid, uuid) IS 'The completed announcement of a record, or its newest open one, or the one of an id, with what Storage has there; object_version is null while nothing has arrived in time. Errors: PT401 unauthenticated, PT404 not_found, PT409 upload_missing.';

COMMENT ON FUNCTION "private"."reachable_patient_ids"() IS 'Patients of whom the caller may perhaps see a record: oneself, those whose chart was opened, those who share one; none without the token that private.may_see_clinical_rows asks for. No ground by itself: it lets the planner find the rows that the grounds then decide on.';

COMMENT ON FUNCTION "private"."read_cursor"(text, text[]) IS 'Reads a cursor back as an array whose parts can be cast to `p_types`, none of them null; null for null. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."read_patient_fields"(uuid[]) IS 'Sealed fields and wrapped keys of those of the patients whom the caller may see; each but the caller leaves an audit row. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "private"."read_record_descriptions"(uuid[]) IS 'Sealed descriptions and wrapped keys of those of the records whose contents the caller may see; another''s leaves an audit row. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "private"."record_access"(uuid) IS 'Why the caller may read one record: owner, chart, share_view or share_download; null when not. And whose it is, for the log of a refusal. No row when there is no such record.';

COMMENT ON FUNCTION "private"."record_file_key"(uuid, text) IS 'The data key of one object of one record, wrapped, in hexadecimal: of the record''s file or of an open upload. No row when it was erased. Whether somebody may have it is decided, and logged, before.';

COMMENT ON FUNCTION "private"."refuse"(text, text, uuid, uuid, text, text, text, text) IS 'Refuses a clinical request: logs it as refuse_<request>, sets the status of the answer, and gives the members code, message, details and hint of an error, for the function to answer. What the caller learns is what raising would have told. One row a refused request: how many an account may cause is for the limits on requests of the API and of the functions.';

COMMENT ON FUNCTION "private"."reject_record_upload"(uuid) IS 'Closes an upload whose file was not what had been announced, and erases its key; repeating it changes nothing. Answers whether it is rejected, so that nobody will take it over and its object may be removed.';

COMMENT ON FUNCTION "private"."require_clinical_caller"() IS 'The caller''s id, if their token may carry a clinical right. Whoever lets somebody else in, as the patient, passes here: a token that may not see must not appoint who may. For definer functions only. Errors: PT401 unauthenticated, PT403 mfa_required.';

COMMENT ON FUNCTION "private"."require_patient_key"(uuid, text[]) IS 'Refuses a value that is not sealed under the patient''s key of now: nobody could read it. Nulls pass. For definer functions only. Errors: PT503 unavailable.';

COMMENT ON FUNCTION "private"."require_permanent_account"() IS 'The caller''s id. Errors: PT401 unauthenticated, PT403 forbidden for anonymous accounts.';

COMMENT ON FUNCTION "private"."resource_time"(jsonb) IS 'When the source system last changed a FHIR resource; null when it does not say.';

COMMENT ON FUNCTION "private"."review_emergency_access"(uuid, text, text) IS 'Body of public.review_emergency_access.';

COMMENT ON FUNCTION "private"."seal_audit"(integer, integer) IS 'Seals every committed event that is in no seal yet, up to `p_max_seals` seals of `p_max_leaves`. Answers how many seals and events, whether none was left over, and whether another sealer was at work (then it did nothing). Nothing to seal makes no seal. Never waits, and nobody waits for it.';

COMMENT ON FUNCTION "private"."set_search_keys"(uuid, jsonb) IS 'Sets the digests of the fields named in p_search_keys, an object of digests in hexadecimal; null removes one. For definer functions that hold the lock on the patient''s row.';

COMMENT ON FUNCTION "private"."share_grounds"(uuid) IS 'Live shares with a viewer. A record that its patient has deleted is shown by none of them.';

COMMENT ON FUNCTION "private"."share_is_live"(public.medical_record_shares) IS 'Whether a share is neither revoked nor over.';

COMMENT ON FUNCTION "private"."shred_record_file"(uuid) IS 'Erases the keys of a record''s file and of its open uploads, takes the file from the record, and writes an audit row; the record may get another file. Returns the objects to be removed from Storage; repeating it changes nothing. It asks nobody''s right: its caller does. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."snapshot_before_self"() IS 'The snapshot of the calling statement, with the calling transaction among those in progress, where a snapshot passes over it.';

COMMENT ON FUNCTION "private"."store_rewrapped_keys"(text, integer, jsonb) IS 'Takes data keys back that were wrapped under a newer version. p_keys: array of {id, was, wrapped_key}, the wrapped forms before and after in hexadecimal. Returns how many it took; one that has changed since it was handed out is left as it is. Writes one audit row, without keys.';

COMMENT ON FUNCTION "private"."touch_chart"(uuid) IS 'Notes that the caller uses the chart they have open of a patient; written at most once a minute, and never waited for. The audit functions call it, so that whatever is logged counts as use.';

COMMENT ON FUNCTION "private"."touch_last_active"() IS 'Body of public.touch_last_active.';

COMMENT ON FUNCTION "private"."verified_doctor"(uuid) IS 'An account, in one row, if it is a verified clinician''s and not locked. For definer functions only.';

COMMENT ON FUNCTION "private"."verify_audit"(timestamp with time zone, timestamp with time zone) IS 'Body of public.verify_audit.';

COMMENT ON FUNCTION "private"."with_caregiver_scopes"(jsonb, uuid) IS 'The values of an audit row, with the scopes that the caller has as the patient''s caregiver; unchanged for whoever is none.';

COMMENT ON FUNCTION "private"."writable_record"(uuid) IS 'The patient of a record that the caller may change: the patient, or the doctor who added it, with the chart open. Null otherwise.';

COMMENT ON FUNCTION "private"."write_patient_fields"(jsonb, jsonb) IS 'Writes encrypted columns of the caller''s own registry row: p_fields, sealed values by column, null empties, what is not named stays; p_search_keys, digests as set_search_keys takes them. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT503 unavailable.';

COMMENT ON FUNCTION "private"."write_record_description"(uuid, text) IS 'Writes the sealed description of a record that the caller may change; null empties it. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT503 unavailable.';

COMMENT ON FUNCTION "public"."audit_proof"(bigint) IS 'Shows that an event is in the sealed audit trail: its leaf hash, position, and the audit path of RFC 6962 to the root of its seal; hashes in hexadecimal. For the patient whom the event concerns, and administrators. Errors: PT401 unauthenticated, PT404 not_found, PT409 not_sealed.';

COMMENT ON FUNCTION "public"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp with time zone, timestamp with time zone, integer, text) IS 'Who did what to whose data: events that match every filter given, newest first by id, without the values that changed. p_from until before p_to bounds occurred_at. For administrators; writes an audit row, which the patient searched for can read. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden.';

COMMENT ON FUNCTION "public"."break_glass"(uuid, text) IS 'Opens the chart of a patient who is not in the caller''s care for 30 minutes, for a verified doctor with aal2 in an emergency; p_reason has 20 to 1,000 characters, and the patient reads it. The patient and every administrator are notified at once, an administrator reviews the access, and until then the doctor has no other. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (anonymous account), not_verified or mfa_required, PT404 not_found, PT409 review_pending, or already_in_care for a patient whose chart open_chart opens.';

COMMENT ON FUNCTION "public"."close_chart"(uuid) IS 'The viewer closes a chart before its time; closing a closed one changes nothing. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."list_emergency_accesses"(integer, text) IS 'Administrators: every emergency access, those that wait for a review first, then newest first: whose chart, by whom, the reason given, until when, how many logged actions were done under it (actions), objection and review. Nothing of the chart itself. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden.';

COMMENT ON FUNCTION "public"."mark_all_notifications_read"() IS 'Marks all of the caller''s unread notifications as read and answers how many there were. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."mark_notification_read"(uuid) IS 'Marks one of the caller''s notifications as read; one that was read keeps its time. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."my_access_log"(integer, text) IS 'Who touched the caller''s data as a patient, or tried to: every row that somebody else caused, newest first, with name, role and purpose; summary (what) and reason (why) in words; is_emergency; scopes, what the caller let a caregiver see at that time, null for others; outcome done or refused. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician who is a patient, too).';

COMMENT ON FUNCTION "public"."object_to_emergency_access"(uuid, text) IS 'The patient objects, once, to an emergency access to their chart, before or after its review, with a note of 1 to 1,000 characters that administrators and the doctor read. It is put on record and told to every administrator; it closes nothing, as an emergency may go on. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_objected.';

COMMENT ON FUNCTION "public"."open_chart"(uuid, text) IS 'Opens a patient''s chart for 60 minutes, or until it is unused for 15: p_purpose treatment or care_coordination for a verified doctor with aal2, delegated for a caregiver; both need an active relationship. The opening is the audit of every read under it, and a refusal is logged too. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 not_verified or mfa_required, PT404 not_found.';

COMMENT ON FUNCTION "public"."open_medical_record"(uuid) IS 'Opens one record: for its patient, under an open chart, or by a live share; anyone but the patient leaves an audit row, as does a refusal. By a share this comes before its contents: medical_record_contents shows them from the next request on, for 60 minutes, while the share is live. They are not in this answer, because an error on the way out would take the audit row back. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."request_care"(uuid, text, text[]) IS 'Asks a patient for a care relationship (caller is a verified doctor, or a caregiver, of that kind), or appoints a doctor or caregiver (caller is the patient; active at once). p_scopes only for caregivers. Returns the id. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 not_verified, forbidden or mfa_required (a clinician, for themselves), PT404 not_found, PT409 already_requested.';

COMMENT ON FUNCTION "public"."request_doctor_verification"(text, text, text) IS 'Asks to be verified as a clinician; asking again replaces a request that is open or was refused. Changes no right until an administrator decides. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden for anonymous accounts, PT409 already_answered when verified already.';

COMMENT ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) IS 'The patient accepts or declines a request; p_scopes, for a caregiver, replaces what was asked for. Of several answers at once the first counts. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician accepts for themselves), PT404 not_found, PT409 already_answered.';

COMMENT ON FUNCTION "public"."review_emergency_access"(uuid, text, text) IS 'Administrators: decides once whether an emergency access was justified or unjustified, with a note of 1 to 1,000 characters that doctor and patient read; both are notified. An unjustified one that is still open closes at once; withdrawing the verification is a decision of its own. Not for its own doctor or patient. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found, PT409 already_reviewed.';

COMMENT ON FUNCTION "public"."search_patients"(text, integer, text) IS 'Patients whose registry row the caller may see, by name, in order of name. Policies decide the rows, so a name that the caller may not see is as absent. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."set_care_scopes"(uuid, text[]) IS 'The patient widens or narrows what an active caregiver may see; it bites on the next statement. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician, for themselves), PT404 not_found.';

COMMENT ON FUNCTION "public"."touch_last_active"() IS 'Stamps the caller''s last_active_at; written at most once a minute. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."verify_audit"(timestamp with time zone, timestamp with time zone) IS 'Computes the sealed audit trail anew: the seals made from p_from until before p_to (null: no bound), every leaf, root and link of them, and that no event was slipped in. Answers ok, the number of events checked, and the first bad one with its seal and the reason. For administrators; writes an audit row. Errors: PT401 unauthenticated, PT403 forbidden.';

COMMENT ON FUNCTION "public"."who_can_see"(uuid) IS 'For the patient: everybody else who may see any of their data now, with the rule (care_doctor, care_caregiver, open_chart, emergency, share) and in words. Errors: PT401 unauthenticated, PT403 mfa_required, PT404 not_found for anyone but the patient.';

COMMENT ON FUNCTION "public"."why_can_see"(uuid, uuid) IS 'For the patient: the rules by which one account may see any of their data now; none: it may not. Errors: PT401 unauthenticated, PT403 mfa_required, PT404 not_found for anyone but the patient.';

COMMENT ON TABLE "private"."audit_seal_leaves" IS 'Which event is which leaf of which seal. Not PHI. No foreign key to the events: that one is missing must be possible to say.';

COMMENT ON TABLE "private"."data_keys" IS 'Data keys (AES-256), each wrapped with AES-256-GCM under a version of the key-encryption key. What a key has sealed cannot be read any more once its wrapped form is erased. No foreign key: a key is made before what it seals, and its erasure outlives it.';

COMMENT ON TABLE "private"."key_versions" IS 'Versions of the key-encryption key that have wrapped a data key, and since when. Not PHI; no key is here.';

COMMENT ON TABLE "private"."patient_search_keys" IS 'Blind index: keyed digests by which a patient is found by phone or policy number. PHI only to who has the key of the digests, which is in the environment of functions.';

COMMENT ON TABLE "private"."record_openings" IS 'When somebody last opened a record that is shared with them, which the audit trail says for good. PHI. Opens its contents to them for 60 minutes, while the share is live.';

COMMENT ON TABLE "public"."audit_seals" IS 'One row a closed stretch of the audit trail. Not PHI: hashes, counts and times.';

COMMENT ON TABLE "public"."chart_sessions" IS 'One opening of one patient''s chart by one viewer: the right to read, for at most 60 minutes, and the record that it was used. PHI: who looked at whom, when and why. Open means closed_at null, expires_at in the future and last_used_at within 15 minutes; no job closes it.';

COMMENT ON TABLE "public"."medical_record_contents" IS 'What a record says: at most one row a record. PHI. Apart from medical_records, because whom a record is shared with may list it, but reads its contents only after open_medical_record.';

COMMENT ON TABLE "public"."notifications" IS 'One thing that one account is told. Personal data; the words carry no health data, so that they may leave the app, and what it is about is named by ids.';

COMMENT ON TYPE "private"."record_download" IS 'Answer of authorize_record_download: where the file is and what it is, or the error that refuses it (code to details); the other members are null.';

COMMENT ON TYPE "public"."opened_chart" IS 'Answer of open_chart and break_glass: the chart''s id and end, or the error that refuses it, of the same shape as every error of the API; the other members are null.';

COMMENT ON TYPE "public"."opened_record" IS 'Answer of open_medical_record: the record, or the error that refuses it (code to hint); the other members are null.';

COMMENT ON VIEW "private"."notification_templates" IS 'The words of every kind of notification by language (BCP 47). Each kind has English; no text says anything of somebody''s health, nor a name.';

COMMENT ON VIEW "private"."visible_profiles" IS 'The rows and columns of profiles that the caller may see of others. Runs with its owner''s rights on purpose: the policies of profiles show a caller only their own row, in full.';

COMMENT ON VIEW "public"."public_profiles" IS 'Public faces of accounts that are public, or connected with the caller by care or a share. Not PHI by itself.';

REVOKE ALL ON FUNCTION "private"."access_decision"(uuid, uuid, uuid, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."access_object"(text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."access_reason"(text, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."access_summary"(text, text, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."active_account"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."add_record_file_key"(uuid, text, integer, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."add_record_file_key"(uuid, text, integer, text) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."added_record_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."added_record_ids"() TO "authenticated";

REVOKE ALL
  ON FUNCTION "private"."audit_canonical"(bigint, timestamp WITH time zone, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text, text, xid8)
  FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."audit_chart_close"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."audit_head"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."audit_head"() TO "audit_worker";

REVOKE ALL ON FUNCTION "private"."audit_leaf"(bigint, timestamp WITH time zone, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text, text, xid8) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."audit_proof"(bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."audit_proof"(bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."audit_seal_canonical"(bigint, bigint, bigint, integer, bytea, bytea, pg_snapshot, boolean, boolean, timestamp WITH time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."audit_seal_hash"(text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp WITH time zone, timestamp WITH time zone, integer, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp WITH time zone, timestamp WITH time zone, integer, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."audit_staff_sign_in"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."authorize_export"(uuid, timestamp WITH time zone, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."authorize_export"(uuid, timestamp WITH time zone, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."authorize_record_download"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."authorize_record_download"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."break_glass"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."break_glass"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."care_grounds"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."care_is_active"(public.care_relationships) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chart_grounds"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chart_idles_at"(public.chart_sessions) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chart_is_open"(public.chart_sessions) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chart_patient_ids"(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."chart_patient_ids"(text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."check_audit"(timestamp WITH time zone, timestamp WITH time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."check_audit_seal"(bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."claim_data_keys"(integer, integer, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."claim_data_keys"(integer, integer, integer) TO "keys_worker";

REVOKE ALL ON FUNCTION "private"."clinical_account"(jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."clinical_caller"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."complete_record_upload"(uuid, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."complete_record_upload"(uuid, text, text) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."dead_record_objects"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."disclose_patient_fields"(uuid[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."disclose_patient_fields"(uuid[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."disclose_record_descriptions"(uuid[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."disclose_record_descriptions"(uuid[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."ended_record_uploads"(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."ended_record_uploads"(integer) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."erase_data_keys"(text, uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."erase_record_file"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."erase_record_file"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."export_grounds"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."export_grounds"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."export_keys"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."export_keys"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."field_key_for_patient"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."field_key_for_patient"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."field_key_for_record"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."field_key_for_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."find_patients"(jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."find_patients"(jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."find_unsealed_event"(timestamp WITH time zone, timestamp WITH time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."is_permanent"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."is_sealed"(text, integer, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."is_sealed"(text, integer, integer) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."keep_patient_key"(uuid, uuid, text, integer, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."keep_patient_key"(uuid, uuid, text, integer, text) TO "identity_worker";

REVOKE ALL ON FUNCTION "private"."keep_sensitive_mark"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."key_status"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."key_status"() TO "keys_worker";

REVOKE ALL ON FUNCTION "private"."list_emergency_accesses"(integer, jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."list_emergency_accesses"(integer, jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."mark_all_notifications_read"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."mark_all_notifications_read"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."mark_notification_read"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."mark_notification_read"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."matching_patient_ids"(uuid[], jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."matching_patient_ids"(uuid[], jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."may_see_clinical_rows"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."may_see_clinical_rows"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."merkle_parents"(bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."merkle_path"(bytea, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."merkle_root"(bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."my_access_log"(integer, timestamp WITH time zone, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."my_access_log"(integer, timestamp WITH time zone, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."note_key_version"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."note_uploads_swept"(uuid[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."note_uploads_swept"(uuid[]) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."notify"(uuid, text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."notify_administrators"(text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."object_to_emergency_access"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."object_to_emergency_access"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."open_chart"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."open_chart"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."open_chart_purpose"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."open_medical_record"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."open_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."opened_record_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."opened_record_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."patient_key"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."patient_keys"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."pending_record_upload"(uuid, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."pending_record_upload"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."read_cursor"(text, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."read_cursor"(text, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."read_patient_fields"(uuid[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."read_patient_fields"(uuid[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."read_record_descriptions"(uuid[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."read_record_descriptions"(uuid[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."record_access"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."record_file_key"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."record_file_key"(uuid, text) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."refuse"(text, text, uuid, uuid, text, text, text, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."reject_record_upload"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."reject_record_upload"(uuid) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."require_clinical_caller"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_patient_key"(uuid, text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_permanent_account"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."resource_time"(jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."review_emergency_access"(uuid, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."review_emergency_access"(uuid, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."seal_audit"(integer, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."seal_audit"(integer, integer) TO "audit_worker";

REVOKE ALL ON FUNCTION "private"."set_search_keys"(uuid, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."share_grounds"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."share_is_live"(public.medical_record_shares) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."shred_record_file"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."snapshot_before_self"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."store_rewrapped_keys"(text, integer, jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."store_rewrapped_keys"(text, integer, jsonb) TO "keys_worker";

REVOKE ALL ON FUNCTION "private"."touch_chart"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."touch_last_active"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."touch_last_active"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."verified_doctor"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."verify_audit"(timestamp WITH time zone, timestamp WITH time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."verify_audit"(timestamp WITH time zone, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."with_caregiver_scopes"(jsonb, uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."writable_record"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."write_patient_fields"(jsonb, jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."write_patient_fields"(jsonb, jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."write_record_description"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."write_record_description"(uuid, text) TO "authenticated";

GRANT EXECUTE ON FUNCTION "public"."audit_proof"(bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."audit_proof"(bigint) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."audit_proof"(bigint) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp WITH time zone, timestamp WITH time zone, integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp WITH time zone, timestamp WITH time zone, integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."audit_search"(uuid, uuid, text, text, uuid, text, timestamp WITH time zone, timestamp WITH time zone, integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."break_glass"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."break_glass"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."break_glass"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_emergency_accesses"(integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_emergency_accesses"(integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_emergency_accesses"(integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_all_notifications_read"() TO "authenticated";

REVOKE ALL ON FUNCTION "public"."mark_all_notifications_read"() FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_all_notifications_read"() TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_notification_read"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."mark_notification_read"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_notification_read"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."my_access_log"(integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."my_access_log"(integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."my_access_log"(integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."object_to_emergency_access"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."object_to_emergency_access"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."object_to_emergency_access"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_chart"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."open_chart"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_chart"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."open_medical_record"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_medical_record"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."review_emergency_access"(uuid, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."review_emergency_access"(uuid, text, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."review_emergency_access"(uuid, text, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."verify_audit"(timestamp WITH time zone, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."verify_audit"(timestamp WITH time zone, timestamp WITH time zone) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."verify_audit"(timestamp WITH time zone, timestamp WITH time zone) TO "postgres";

REVOKE ALL ON SCHEMA "private" FROM "audit_worker";

GRANT USAGE ON SCHEMA "private" TO "audit_worker";

REVOKE ALL ON SCHEMA "private" FROM "identity_worker";

GRANT USAGE ON SCHEMA "private" TO "identity_worker";

REVOKE ALL ON SCHEMA "private" FROM "keys_worker";

GRANT USAGE ON SCHEMA "private" TO "keys_worker";

REVOKE ALL ON TABLE "public"."audit_seals" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."audit_seals" TO "postgres";

REVOKE ALL ON TABLE "public"."notifications" FROM "authenticated";

GRANT SELECT ON TABLE "public"."notifications" TO "authenticated";

REVOKE ALL ON TABLE "public"."notifications" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."notifications" TO "postgres";

GRANT SELECT ON TABLE "private"."visible_profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."public_profiles" FROM "authenticated";

GRANT SELECT ON TABLE "public"."public_profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."public_profiles" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."public_profiles" TO "postgres";

ALTER TABLE "public"."audit_events"
  ADD COLUMN "leaf_hash" bytea GENERATED ALWAYS AS
    (private.audit_leaf(id, occurred_at, actor_id, actor_role, session_id, action, resource_type, resource_id, patient_id, purpose, old_values, new_values, ip_address, user_agent,
    request_id, transaction_id)) STORED NOT NULL;

COMMENT ON COLUMN "public"."audit_events"."leaf_hash" IS 'Leaf of the row in the Merkle tree of its seal. Generated: nobody can give it another value.';

ALTER TABLE "public"."audit_seals"
  ADD COLUMN "hash" bytea GENERATED ALWAYS AS
    (private.audit_seal_hash(private.audit_seal_canonical(id, from_id, to_id, leaf_count, merkle_root, previous_hash, snapshot, is_drained, is_restart, sealed_at))) STORED NOT NULL;

COMMENT ON COLUMN "public"."audit_seals"."hash" IS 'SHA-256 of the canonical form. Generated.';

ALTER TABLE "public"."medical_record_contents"
  ADD CONSTRAINT "medical_record_contents_description_check" CHECK (private.is_sealed(description, 1, 80000));

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_address_check" CHECK (private.is_sealed(address, 1, 2000));

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_emergency_contact_phone_check" CHECK (private.is_sealed(emergency_contact_phone, 4, 40));

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_insurance_policy_number_check" CHECK (private.is_sealed(insurance_policy_number, 1, 400));

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_phone_check" CHECK (private.is_sealed(phone, 4, 40));
