-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

CREATE SCHEMA "private";

CREATE TABLE "private"."patient_identifiers" (
  "patient_id" uuid                     NOT NULL,
  "system"     text                     NOT NULL,
  "value"      text                     NOT NULL,
  "created_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "patient_identifiers_pkey" PRIMARY KEY (patient_id, system),
  CONSTRAINT "patient_identifiers_system_check" CHECK (((length(system) >= 1) AND (length(system) <= 500))),
  CONSTRAINT "patient_identifiers_value_check" CHECK (((length(value) >= 1) AND (length(value) <= 500)))
);

ALTER TABLE "private"."patient_identifiers"
  ENABLE ROW LEVEL SECURITY;

CREATE UNLOGGED TABLE "private"."rate_limits" (
  "key"         text                     NOT NULL,
  "tokens"      double precision         NOT NULL,
  "granted"     boolean                  NOT NULL,
  "refilled_at" timestamp with time zone NOT NULL,
  CONSTRAINT "rate_limits_key_check" CHECK (((length(key) >= 1) AND (length(key) <= 200))),
  CONSTRAINT "rate_limits_pkey" PRIMARY KEY (key),
  CONSTRAINT "rate_limits_tokens_check" CHECK ((tokens >= (0)::double precision))
);

ALTER TABLE "private"."rate_limits"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."record_uploads" (
  "id"           uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "record_id"    uuid                     NOT NULL,
  "storage_path" text                     NOT NULL,
  "file_name"    text                     NOT NULL,
  "file_type"    text                     NOT NULL,
  "file_size"    bigint                   NOT NULL,
  "file_sha256"  text                     NOT NULL,
  "requested_by" uuid                     NOT NULL,
  "expires_at"   timestamp with time zone NOT NULL,
  "completed_at" timestamp with time zone,
  "rejected_at"  timestamp with time zone,
  "created_at"   timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "record_uploads_file_name_check" CHECK (((file_name !~ '[[:cntrl:]/\\]'::text) AND ((length(file_name) >= 1) AND (length(file_name) <= 255)))),
  CONSTRAINT "record_uploads_file_sha256_check" CHECK ((file_sha256 ~ '^[0-9a-f]{64}$'::text)),
  CONSTRAINT "record_uploads_file_size_check" CHECK (((file_size >= 1) AND (file_size <= 52428800))),
  CONSTRAINT "record_uploads_file_type_check"
    CHECK ((file_type = ANY (ARRAY['application/pdf'::text, 'image/jpeg'::text, 'image/png'::text, 'application/dicom'::text, 'text/plain'::text, 'application/json'::text]))),
  CONSTRAINT "record_uploads_outcome_check" CHECK (((completed_at IS NULL) OR (rejected_at IS NULL))),
  CONSTRAINT "record_uploads_pkey" PRIMARY KEY (id),
  CONSTRAINT "record_uploads_storage_path_key" UNIQUE (storage_path)
);

ALTER TABLE "private"."record_uploads"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."sign_in_failures" (
  "user_id"           uuid                     NOT NULL,
  "method"            text                     NOT NULL,
  "failures"          integer                  NOT NULL,
  "window_started_at" timestamp with time zone NOT NULL,
  CONSTRAINT "sign_in_failures_failures_check" CHECK (((failures >= 1) AND (failures <= 5))),
  CONSTRAINT "sign_in_failures_method_check" CHECK ((method = ANY (ARRAY['password'::text, 'mfa'::text]))),
  CONSTRAINT "sign_in_failures_pkey" PRIMARY KEY (user_id, method)
);

ALTER TABLE "private"."sign_in_failures"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "public"."account_grants" (
  "id"         uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "user_id"    uuid                     NOT NULL,
  "grant"      text                     NOT NULL,
  "granted_by" uuid,
  "created_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "account_grants_grant_check" CHECK (("grant" = ANY (ARRAY['moderator'::text, 'seller'::text, 'listener'::text]))),
  CONSTRAINT "account_grants_one_each" UNIQUE (user_id, "grant"),
  CONSTRAINT "account_grants_pkey" PRIMARY KEY (id)
);

ALTER TABLE "public"."account_grants"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."account_grants" FROM "anon", "service_role";

CREATE TABLE "public"."audit_events" (
  "id"            bigint                   GENERATED ALWAYS AS IDENTITY NOT NULL,
  "occurred_at"   timestamp with time zone NOT NULL,
  "actor_id"      uuid,
  "actor_role"    text                     NOT NULL,
  "session_id"    uuid,
  "action"        text                     NOT NULL,
  "resource_type" text                     NOT NULL,
  "resource_id"   uuid,
  "patient_id"    uuid,
  "purpose"       text,
  "old_values"    jsonb,
  "new_values"    jsonb,
  "ip_address"    inet,
  "user_agent"    text,
  "request_id"    text
) PARTITION BY RANGE (occurred_at);

ALTER TABLE "public"."audit_events"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."audit_events" FROM "anon", "authenticated", "service_role";

CREATE TABLE "public"."care_relationships" (
  "id"           uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "patient_id"   uuid                     NOT NULL,
  "member_id"    uuid                     NOT NULL,
  "kind"         text                     NOT NULL,
  "scopes"       text[]                   NOT NULL DEFAULT '{}'::text[],
  "status"       text                     NOT NULL DEFAULT 'requested'::text,
  "requested_by" uuid                     NOT NULL,
  "starts_at"    timestamp with time zone,
  "ends_at"      timestamp with time zone,
  "ended_reason" text,
  "created_at"   timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"   timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "care_relationships_caregiver_scopes_check" CHECK (((kind = 'doctor'::text) OR (status <> 'active'::text) OR (cardinality(scopes) > 0))),
  CONSTRAINT "care_relationships_doctor_scopes_check" CHECK (((kind = 'caregiver'::text) OR (scopes = '{}'::text[]))),
  CONSTRAINT "care_relationships_ended_reason_check" CHECK ((length(ended_reason) <= 500)),
  CONSTRAINT "care_relationships_kind_check" CHECK ((kind = ANY (ARRAY['doctor'::text, 'caregiver'::text]))),
  CONSTRAINT "care_relationships_people_check" CHECK (((patient_id <> member_id) AND ((requested_by = patient_id) OR (requested_by = member_id)))),
  CONSTRAINT "care_relationships_pkey" PRIMARY KEY (id),
  CONSTRAINT "care_relationships_scopes_check"
    CHECK
    (((scopes <@ ARRAY['records'::text, 'tracking'::text, 'medications'::text, 'appointments'::text, 'messages'::text, 'sensitive'::text]) AND (array_position(scopes, NULL::text)
    IS NULL))),
  CONSTRAINT "care_relationships_status_check" CHECK ((status = ANY (ARRAY['requested'::text, 'active'::text, 'declined'::text, 'ended'::text]))),
  CONSTRAINT "care_relationships_times_check" CHECK ((((status = 'requested'::text) = ((starts_at IS NULL) AND (ends_at IS NULL))) AND ((status <> 'active'::text) OR (starts_at IS
    NOT NULL)) AND ((status <> ALL (ARRAY['declined'::text, 'ended'::text])) OR (ends_at IS NOT NULL))))
);

ALTER TABLE "public"."care_relationships"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."care_relationships" FROM "anon", "service_role";

CREATE TABLE "public"."chart_sessions" (
  "id"             uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "patient_id"     uuid                     NOT NULL,
  "viewer_id"      uuid                     NOT NULL,
  "purpose"        text                     NOT NULL,
  "reason"         text,
  "opened_at"      timestamp with time zone NOT NULL DEFAULT now(),
  "expires_at"     timestamp with time zone NOT NULL,
  "closed_at"      timestamp with time zone,
  "reviewed_at"    timestamp with time zone,
  "reviewed_by"    uuid,
  "review_outcome" text,
  "created_at"     timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"     timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "chart_sessions_lifetime_check" CHECK (((expires_at > opened_at) AND ((expires_at - opened_at) <= '01:00:00'::interval))),
  CONSTRAINT "chart_sessions_people_check" CHECK ((patient_id <> viewer_id)),
  CONSTRAINT "chart_sessions_pkey" PRIMARY KEY (id),
  CONSTRAINT "chart_sessions_purpose_check" CHECK ((purpose = ANY (ARRAY['treatment'::text, 'care_coordination'::text, 'delegated'::text, 'emergency'::text]))),
  CONSTRAINT "chart_sessions_reason_check" CHECK ((length(reason) <= 1000))
);

ALTER TABLE "public"."chart_sessions"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."chart_sessions" FROM "anon", "service_role";

CREATE TABLE "public"."doctors" (
  "id"              uuid                     NOT NULL,
  "license_number"  text                     NOT NULL,
  "specialty"       text                     NOT NULL,
  "organization"    text,
  "verified_at"     timestamp with time zone,
  "verified_by"     uuid,
  "rejected_reason" text,
  "created_at"      timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"      timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "doctors_decision_check" CHECK (((verified_at IS NULL) OR (rejected_reason IS NULL))),
  CONSTRAINT "doctors_license_number_check" CHECK (((license_number = btrim(license_number)) AND ((length(license_number) >= 3) AND (length(license_number) <= 60)))),
  CONSTRAINT "doctors_organization_check" CHECK (((length(organization) >= 2) AND (length(organization) <= 200))),
  CONSTRAINT "doctors_pkey" PRIMARY KEY (id),
  CONSTRAINT "doctors_rejected_reason_check" CHECK (((length(rejected_reason) >= 1) AND (length(rejected_reason) <= 500))),
  CONSTRAINT "doctors_specialty_check" CHECK (((specialty = btrim(specialty)) AND ((length(specialty) >= 2) AND (length(specialty) <= 120))))
);

ALTER TABLE "public"."doctors"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."doctors" FROM "anon", "service_role";

CREATE TABLE "public"."medical_record_contents" (
  "record_id"    uuid                     NOT NULL,
  "patient_id"   uuid                     NOT NULL,
  "sensitivity"  text                     NOT NULL,
  "deleted_at"   timestamp with time zone,
  "description"  text,
  "fhir"         jsonb,
  "storage_path" text,
  "metadata"     jsonb                    NOT NULL DEFAULT '{}'::jsonb,
  "created_at"   timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"   timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "medical_record_contents_description_check" CHECK ((length(description) <= 20000)),
  CONSTRAINT "medical_record_contents_metadata_check" CHECK (((jsonb_typeof(metadata) = 'object'::text) AND (pg_column_size(metadata) <= 16384))),
  CONSTRAINT "medical_record_contents_pkey" PRIMARY KEY (record_id),
  CONSTRAINT "medical_record_contents_storage_path_check" CHECK ((storage_path ~~ ((((patient_id)::text || '/'::text) || (record_id)::text) || '/%'::text)))
);

ALTER TABLE "public"."medical_record_contents"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."medical_record_contents" FROM "anon", "service_role";

CREATE TABLE "public"."medical_record_shares" (
  "id"             uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "record_id"      uuid                     NOT NULL,
  "patient_id"     uuid                     NOT NULL,
  "shared_with_id" uuid                     NOT NULL,
  "shared_by_id"   uuid                     NOT NULL,
  "access_level"   text                     NOT NULL DEFAULT 'view'::text,
  "expires_at"     timestamp with time zone NOT NULL,
  "revoked_at"     timestamp with time zone,
  "created_at"     timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"     timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "medical_record_shares_access_level_check" CHECK ((access_level = ANY (ARRAY['view'::text, 'download'::text]))),
  CONSTRAINT "medical_record_shares_expires_at_check" CHECK (((expires_at > created_at) AND ((expires_at - created_at) <= '366 days'::interval))),
  CONSTRAINT "medical_record_shares_people_check" CHECK ((shared_with_id <> patient_id)),
  CONSTRAINT "medical_record_shares_pkey" PRIMARY KEY (id),
  CONSTRAINT "medical_record_shares_revoked_at_check" CHECK ((revoked_at >= created_at))
);

ALTER TABLE "public"."medical_record_shares"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."medical_record_shares" FROM "anon", "service_role";

CREATE TABLE "public"."medical_records" (
  "id"            uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "patient_id"    uuid                     NOT NULL,
  "title"         text                     NOT NULL,
  "record_type"   text                     NOT NULL,
  "record_date"   date,
  "source"        text                     NOT NULL DEFAULT 'upload'::text,
  "source_system" text,
  "source_id"     text,
  "sensitivity"   text                     NOT NULL DEFAULT 'normal'::text,
  "file_name"     text,
  "file_type"     text,
  "file_size"     bigint,
  "file_sha256"   text,
  "deleted_at"    timestamp with time zone,
  "created_at"    timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"    timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "medical_records_file_check"
    CHECK
    (((num_nulls(file_name, file_type, file_size, file_sha256) = ANY (ARRAY[0, 4])) AND ((file_size >= 1) AND (file_size <= 52428800)) AND (file_sha256 ~ '^[0-9a-f]{64}$'::text))),
  CONSTRAINT "medical_records_pkey" PRIMARY KEY (id),
  CONSTRAINT "medical_records_record_date_check" CHECK (((record_date >= '1880-01-01'::date) AND (record_date <= '2200-01-01'::date))),
  CONSTRAINT "medical_records_record_type_check"
    CHECK
    ((record_type = ANY (ARRAY['condition'::text, 'observation'::text, 'procedure'::text, 'medication'::text, 'immunization'::text, 'diagnostic_report'::text, 'encounter'::text,
    'care_plan'::text, 'imaging'::text, 'lab_result'::text, 'pathology'::text, 'prescription'::text, 'discharge_summary'::text, 'insurance'::text, 'other'::text]))),
  CONSTRAINT "medical_records_sensitivity_check" CHECK ((sensitivity = ANY (ARRAY['normal'::text, 'sensitive'::text]))),
  CONSTRAINT "medical_records_source_check" CHECK ((source = ANY (ARRAY['upload'::text, 'fhir'::text, 'doctor'::text]))),
  CONSTRAINT "medical_records_source_id_check" CHECK ((((source_system IS NULL) = (source_id IS NULL)) AND ((source = 'fhir'::text) = (source_id IS
    NOT NULL)) AND ((length(source_system) >= 1) AND (length(source_system) <= 500)) AND ((length(source_id) >= 1) AND (length(source_id) <= 500)))),
  CONSTRAINT "medical_records_title_check" CHECK (((title = btrim(title)) AND ((length(title) >= 1) AND (length(title) <= 300)))),
  "created_by"    uuid                     DEFAULT auth.uid()
);

ALTER TABLE "public"."medical_records"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."medical_records" FROM "anon", "service_role";

CREATE TABLE "public"."patients" (
  "id"                             uuid                     NOT NULL,
  "first_name"                     text,
  "last_name"                      text,
  "date_of_birth"                  date,
  "gender"                         text,
  "phone"                          text,
  "address"                        text,
  "city"                           text,
  "state"                          text,
  "postal_code"                    text,
  "country"                        text,
  "insurance_provider"             text,
  "insurance_policy_number"        text,
  "emergency_contact_name"         text,
  "emergency_contact_phone"        text,
  "emergency_contact_relationship" text,
  "cancer_type"                    text,
  "diagnosis_date"                 date,
  "treatment_stage"                text,
  "medical_history"                text,
  "is_active"                      boolean                  NOT NULL DEFAULT true,
  "created_by"                     uuid,
  "created_at"                     timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"                     timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "patients_date_of_birth_check" CHECK (((date_of_birth >= '1880-01-01'::date) AND (date_of_birth <= (CURRENT_DATE + 1)))),
  CONSTRAINT "patients_diagnosis_date_check" CHECK ((diagnosis_date >= date_of_birth)),
  CONSTRAINT "patients_emergency_contact_phone_check" CHECK ((emergency_contact_phone ~ '^[+0-9 ().x-]{4,40}$'::text)),
  CONSTRAINT "patients_first_name_check" CHECK (((length(first_name) >= 1) AND (length(first_name) <= 100))),
  CONSTRAINT "patients_gender_check" CHECK ((gender = ANY (ARRAY['male'::text, 'female'::text, 'other'::text, 'unknown'::text]))),
  CONSTRAINT "patients_last_name_check" CHECK (((length(last_name) >= 1) AND (length(last_name) <= 100))),
  CONSTRAINT "patients_phone_check" CHECK ((phone ~ '^[+0-9 ().x-]{4,40}$'::text)),
  CONSTRAINT "patients_pkey" PRIMARY KEY (id),
  CONSTRAINT "patients_texts_check"
    CHECK
    (((length(address) <= 500) AND (length(city) <= 100) AND (length(state) <= 100) AND (length(postal_code) <= 20) AND (length(country) <= 100) AND (length(insurance_provider) <=
    200) AND (length(insurance_policy_number) <= 100) AND (length(emergency_contact_name) <= 200) AND (length(emergency_contact_relationship) <= 100) AND
    (length(cancer_type) <= 200) AND (length(treatment_stage) <= 200) AND (length(medical_history) <= 20000)))
);

ALTER TABLE "public"."patients"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."patients" FROM "anon", "service_role";

CREATE TABLE "public"."profiles" (
  "id"                uuid                     NOT NULL,
  "role"              text                     NOT NULL DEFAULT 'patient'::text,
  "display_name"      text,
  "avatar_path"       text,
  "bio"               text,
  "is_public"         boolean                  NOT NULL DEFAULT false,
  "is_active"         boolean                  NOT NULL DEFAULT true,
  "is_verified"       boolean                  NOT NULL DEFAULT false,
  "subscription_tier" text                     NOT NULL DEFAULT 'free'::text,
  "locale"            text                     NOT NULL DEFAULT 'en'::text,
  "timezone"          text                     NOT NULL DEFAULT 'UTC'::text,
  "last_active_at"    timestamp with time zone,
  "created_at"        timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"        timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "profiles_avatar_path_check" CHECK ((avatar_path ~~ ((id)::text || '/%'::text))),
  CONSTRAINT "profiles_bio_check" CHECK ((length(bio) <= 500)),
  CONSTRAINT "profiles_display_name_check" CHECK (((length(display_name) <= 80) AND (display_name = btrim(display_name)) AND (display_name <> ''::text))),
  CONSTRAINT "profiles_locale_check" CHECK ((locale ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$'::text)),
  CONSTRAINT "profiles_pkey" PRIMARY KEY (id),
  CONSTRAINT "profiles_role_check" CHECK ((role = ANY (ARRAY['patient'::text, 'caregiver'::text, 'doctor'::text, 'admin'::text]))),
  CONSTRAINT "profiles_subscription_tier_check" CHECK ((subscription_tier = ANY (ARRAY['free'::text, 'plus'::text, 'premium'::text])))
);

ALTER TABLE "public"."profiles"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."profiles" FROM "anon", "service_role";

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "anon";

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "authenticated";

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "service_role";

ALTER TABLE "public"."audit_events"
  ALTER COLUMN "occurred_at" SET DEFAULT clock_timestamp();

CREATE TYPE "private"."audit_context" AS (
  "actor_id"   uuid,
  "actor_role" text,
  "session_id" uuid,
  "ip_address" inet,
  "user_agent" text,
  "request_id" text
);

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
  select g.viewer_id, p.display_name, p.role, g.rule, g.explanation, g.since, g.until
  from (
    select
      r.member_id as viewer_id,
      'care_' || r.kind as rule,
      case r.kind
        when 'doctor' then 'Doctor in active care: may open your chart for 60 minutes at a time'
        else 'Caregiver: may open your chart and see ' || array_to_string(r.scopes, ', ')
      end as explanation,
      r.starts_at as since,
      r.ends_at as until
    from public.care_relationships as r
    where r.patient_id = p_patient_id and r.status = 'active'
      and (r.ends_at is null or r.ends_at > now())
    union all
    select
      c.viewer_id,
      'open_chart',
      'Has your chart open for ' || replace(c.purpose, '_', ' '),
      c.opened_at,
      c.expires_at
    from public.chart_sessions as c
    where c.patient_id = p_patient_id and c.closed_at is null and c.expires_at > now()
    union all
    select
      s.shared_with_id,
      'share',
      case s.access_level
        when 'download' then 'You share the record "' || m.title || '", with its file'
        else 'You share the record "' || m.title || '"'
      end,
      s.created_at,
      s.expires_at
    from public.medical_record_shares as s
    join public.medical_records as m on m.id = s.record_id
    where s.patient_id = p_patient_id and s.revoked_at is null and s.expires_at > now()
      and m.deleted_at is null
  ) as g
  join public.profiles as p on p.id = g.viewer_id
  -- An account that is locked sees nothing, whatever it was given.
  where p.is_active
$function$;

CREATE OR REPLACE FUNCTION private.access_summary (
  p_action        text,
  p_resource_type text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case p_action
    when 'open_chart' then 'Opened your chart'
    when 'close_chart' then 'Closed your chart'
    when 'open_record' then 'Read a record'
    when 'download_file' then 'Downloaded a file of a record'
    when 'upload_file' then 'Added a file to a record'
    else initcap(replace(p_action, '_', ' ')) || 'd ' || case p_resource_type
      when 'patient' then 'your registry entry'
      when 'medical_record' then 'a record'
      when 'medical_record_content' then 'the contents of a record'
      when 'medical_record_share' then 'a share of a record'
      when 'care_relationship' then 'a care relationship with you'
      when 'chart_session' then 'an opening of your chart'
      else 'a ' || replace(p_resource_type, '_', ' ')
    end
  end
$function$;

CREATE OR REPLACE FUNCTION private.added_record_ids()
  RETURNS SETOF uuid
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select r.id
  from public.medical_records as r
  where r.created_by = (select auth.uid())
    and r.patient_id <> (select auth.uid())
    and r.patient_id = any (array(select private.treated_patient_ids()))
    and r.deleted_at is null
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
        private.open_chart_purpose(patient_id), old_values, new_values,
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
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.audit_table (
  p_table          regclass,
  p_resource_type  text,
  p_id_column      text,
  p_patient_column text,
  p_without        text     DEFAULT ''::text
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_name constant text := (select c.relname from pg_catalog.pg_class as c where c.oid = p_table);
begin
  execute format(
    'create trigger %I after insert on %s referencing new table as new_rows
     for each statement execute function private.audit_rows(%L, %L, %L, %L)',
    v_name || '_audit_insert', p_table, p_resource_type, p_id_column, p_patient_column, p_without
  );
  execute format(
    'create trigger %I after update on %s referencing old table as old_rows new table as new_rows
     for each statement execute function private.audit_rows(%L, %L, %L, %L)',
    v_name || '_audit_update', p_table, p_resource_type, p_id_column, p_patient_column, p_without
  );
  execute format(
    'create trigger %I after delete on %s referencing old table as old_rows
     for each statement execute function private.audit_rows(%L, %L, %L, %L)',
    v_name || '_audit_delete', p_table, p_resource_type, p_id_column, p_patient_column, p_without
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.authorize_record_download (
  p_record_id uuid
)
  RETURNS TABLE (
    storage_path text,
    file_name    text,
    file_type    text,
    file_size    bigint,
    file_sha256  text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_ground text;
  v_patient_id uuid;
begin
  perform private.require_live_session();
  select a.ground, a.patient_id into v_ground, v_patient_id
  from private.record_access(p_record_id) as a;
  if v_ground is null then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  if v_ground = 'share_view' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'The record is shared for viewing, not for download';
  end if;
  return query
    select c.storage_path, r.file_name, r.file_type, r.file_size, r.file_sha256
    from public.medical_records as r
    join public.medical_record_contents as c on c.record_id = r.id
    where r.id = p_record_id and r.file_name is not null and c.storage_path is not null;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'The record has no file';
  end if;
  perform private.write_audit('download_file', 'medical_record', p_record_id, v_patient_id,
    case when v_ground = 'share_download' then 'share' end);
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
    expires_at   timestamp with time zone
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
    record_id, storage_path, file_name, file_type, file_size, file_sha256, requested_by, expires_at
  )
  values (
    p_record_id,
    format('%s/%s/%s', v_patient_id, p_record_id, gen_random_uuid()),
    p_file_name, p_file_type, p_file_size, p_file_sha256, v_caller, now() + interval '10 minutes'
  )
  returning * into v_upload;
  return query select v_upload.id, v_upload.storage_path, v_upload.expires_at;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A file has a name of 1 to 255 characters, a known type, 1 to 52428800 bytes and a '
        || 'SHA-256 of 64 lower-case hexadecimal digits';
end;
$function$;

CREATE OR REPLACE FUNCTION private.changed_values (
  p_side    jsonb,
  p_other   jsonb,
  p_without text[]
)
  RETURNS jsonb
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select jsonb_object_agg(
    s.key,
    case when s.key = any (p_without) then to_jsonb('(not kept)'::text) else s.value end
  )
  from jsonb_each(p_side) as s
  -- Stamps follow from the deed and say nothing of it.
  where s.key not in ('created_at', 'updated_at', 'last_active_at')
    and case
      when p_other is null then s.value <> 'null'::jsonb
      else s.value is distinct from p_other -> s.key
    end
$function$;

CREATE OR REPLACE FUNCTION private.chart_patient_ids (
  p_scope text DEFAULT NULL::text
)
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
begin
  return query
    select c.patient_id
    from private.open_charts() as c
    where c.scopes is null or p_scope is null or p_scope = any (c.scopes);
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
  update public.medical_record_shares as s set revoked_at = now()
  where (s.patient_id = v_caller or s.shared_with_id = v_caller)
    and s.revoked_at is null and s.expires_at > now();
  update public.chart_sessions as c set closed_at = now()
  where (c.patient_id = v_caller or c.viewer_id = v_caller)
    and c.closed_at is null and c.expires_at > now();
  update public.care_relationships as r
  set status = 'ended', ends_at = now(), ended_reason = 'The account was closed'
  where (r.patient_id = v_caller or r.member_id = v_caller)
    and r.status in ('requested', 'active');
  update public.profiles set is_active = false, is_public = false where id = v_caller;
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
  v_chart public.chart_sessions;
begin
  update public.chart_sessions as c set closed_at = now()
  where c.id = p_id and c.viewer_id = (select auth.uid())
    and c.closed_at is null and c.expires_at > now()
  returning c.* into v_chart;
  if found then
    perform private.write_audit(
      'close_chart', 'chart_session', v_chart.id, v_chart.patient_id, v_chart.purpose
    );
    return;
  end if;
  perform 1 from public.chart_sessions as c
    where c.id = p_id and c.viewer_id = (select auth.uid());
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No chart with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.complete_record_upload (
  p_upload_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_upload private.record_uploads;
begin
  update private.record_uploads as u set completed_at = now()
  where u.id = p_upload_id and u.completed_at is null and u.rejected_at is null
  returning u.* into v_upload;
  if not found then
    perform 1 from private.record_uploads as u where u.id = p_upload_id and u.completed_at is not null;
    if not found then
      raise exception using errcode = 'PT409', message = 'upload_missing',
        detail = 'The announcement is gone or was rejected';
    end if;
    return;
  end if;
  update public.medical_records as r set
    file_name = v_upload.file_name,
    file_type = v_upload.file_type,
    file_size = v_upload.file_size,
    file_sha256 = v_upload.file_sha256
  where r.id = v_upload.record_id;
  insert into public.medical_record_contents as c (record_id, storage_path)
  values (v_upload.record_id, v_upload.storage_path)
  on conflict (record_id) do update set storage_path = excluded.storage_path;
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

CREATE OR REPLACE FUNCTION private.connected_profile_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := auth.uid();
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
      and s.expires_at > now();
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
  where r.id = new.record_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  return new;
end;
$function$;

CREATE OR REPLACE FUNCTION private.current_audit_context()
  RETURNS private.audit_context
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_claims constant jsonb := coalesce((select auth.jwt()), '{}'::jsonb);
  v_headers constant jsonb :=
    coalesce(nullif(current_setting('request.headers', true), ''), '{}')::jsonb;
  v_context private.audit_context;
begin
  v_context.actor_id := (v_claims ->> 'sub')::uuid;
  v_context.session_id := (v_claims ->> 'session_id')::uuid;
  v_context.actor_role := coalesce(
    (select p.role from public.profiles as p where p.id = v_context.actor_id),
    v_claims ->> 'role',
    session_user::text
  );
  v_context.user_agent := left(v_headers ->> 'user-agent', 200);
  v_context.request_id := left(v_headers ->> 'x-request-id', 100);
  begin
    -- Hosted Supabase's edge writes cf-connecting-ip itself; x-forwarded-for may begin with what the
    -- client claims, and is used only where there is no such edge.
    v_context.ip_address := coalesce(
      v_headers ->> 'cf-connecting-ip',
      btrim(split_part(v_headers ->> 'x-forwarded-for', ',', 1))
    )::inet;
  exception
    when invalid_text_representation then
      v_context.ip_address := null;
  end;
  return v_context;
end;
$function$;

CREATE OR REPLACE FUNCTION private.end_barred_sessions()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  delete from auth.sessions as s where s.user_id = new.id;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.end_care (
  p_id     uuid,
  p_reason text
)
  RETURNS void
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
      raise exception using errcode = 'PT409', message = 'already_ended',
        detail = 'The relationship is not active';
    end if;
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No relationship with this id';
  end if;
  update public.chart_sessions as c set closed_at = now()
  where c.patient_id = v_ended.patient_id and c.viewer_id = v_ended.member_id
    and c.closed_at is null and c.expires_at > now()
    and c.purpose = any (
      case v_ended.kind
        when 'doctor' then array['treatment', 'care_coordination'] else array['delegated']
      end
    );
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A reason has at most 500 characters';
end;
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
        'comment on table private.%I is %L',
        v_name, format('Rows of %s of one month, UTC.', p_parent)
      );
    end if;
  end loop;
end;
$function$;

CREATE OR REPLACE FUNCTION private.grant_account (
  p_user_id uuid,
  p_grant   text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.handle_new_user()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.handle_user_upgrade()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  insert into public.patients (id, created_by)
  select p.id, p.id from public.profiles as p where p.id = new.id and p.role = 'patient'
  on conflict (id) do nothing;
  return new;
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
      and (p.id = v_caller or p.id = any (array(select private.treated_patient_ids())))
    for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No patient with this id';
  end if;
  if p_patient is not null then
    perform private.merge_imported_patient(p_patient_id, p_source_system, p_patient);
  end if;

  return query
    with incoming as materialized (
      select r.source_id, r.record_type, r.title, r.record_date, r.sensitivity, r.fhir
      from jsonb_to_recordset(p_rows) as r (
        source_id text, record_type text, title text, record_date date, sensitivity text, fhir jsonb
      )
    ), compared as materialized (
      select
        i.source_id, i.record_type, i.title, i.record_date, i.fhir,
        -- A patient may have marked it sensitive; an import never takes that back.
        case when m.sensitivity = 'sensitive' then 'sensitive' else i.sensitivity end as sensitivity,
        coalesce(m.id, gen_random_uuid()) as record_id,
        case
          when m.id is null then 'imported'
          when (i.record_type, i.title, i.record_date, i.fhir)
            is distinct from (m.record_type, m.title, m.record_date, c.fhir)
            or i.sensitivity = 'sensitive' and m.sensitivity = 'normal'
            then 'updated'
          else 'unchanged'
        end as outcome
      from incoming as i
      left join public.medical_records as m
        on m.patient_id = p_patient_id and m.source_system = p_source_system
        and m.source_id = i.source_id and m.source = 'fhir'
      left join public.medical_record_contents as c on c.record_id = m.id
    ), inserted as (
      insert into public.medical_records (
        id, patient_id, title, record_type, record_date, source, source_system, source_id,
        sensitivity, created_by
      )
      select
        n.record_id, p_patient_id, n.title, n.record_type, n.record_date, 'fhir', p_source_system,
        n.source_id, n.sensitivity, v_caller
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
        sensitivity = n.sensitivity
      from compared as n
      where n.outcome = 'updated' and m.id = n.record_id
    ), updated_contents as (
      update public.medical_record_contents as c set fhir = n.fhir
      from compared as n
      where n.outcome = 'updated' and c.record_id = n.record_id
    )
    select n.source_id, n.outcome from compared as n;
exception
  when unique_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A source id stands twice among the rows';
  when check_violation or not_null_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A row has a title of 1 to 300 characters, a known record type, a date from 1880 on, '
        || 'a sensitivity and a source id';
end;
$function$;

CREATE OR REPLACE FUNCTION private.is_admin()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  return auth.jwt() ->> 'aal' = 'aal2'
    and exists (select 1 from public.profiles as p where p.id = auth.uid() and p.role = 'admin')
    and private.session_is_live();
end;
$function$;

CREATE OR REPLACE FUNCTION private.is_timezone (
  p_name text
)
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
begin
  -- Only names of the IANA database: 'Asia/Kolkata', 'UTC'; abbreviations and offsets are not zones.
  perform now() at time zone p_name;
  return p_name = 'UTC' or p_name ~ '^[A-Z][A-Za-z_+-]+(/[A-Za-z0-9_+-]+)+$';
exception
  when invalid_parameter_value then
    return false;
end;
$function$;

CREATE OR REPLACE FUNCTION private.is_verified_doctor()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  return exists (
    select 1
    from public.profiles as p
    join public.doctors as d on d.id = p.id
    where p.id = auth.uid() and p.role = 'doctor' and d.verified_at is not null
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.letters (
  p_text text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select lower(regexp_replace(p_text, '[^[:alpha:]]', '', 'g'))
$function$;

CREATE OR REPLACE FUNCTION private.like_escape (
  p_text text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select replace(replace(replace(p_text, '\', '\\'), '%', '\%'), '_', '\_')
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
  -- Attempts at once wait for each other here, or at the insert below.
  select f.failures into v_failures
  from private.sign_in_failures as f
  where f.user_id = v_user and f.method = v_method and f.window_started_at > now() - v_window
  for update;

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
    insert into private.sign_in_failures as f (user_id, method, failures, window_started_at)
    values (v_user, v_method, 1, now())
    on conflict (user_id, method) do update set
      failures = case
        when f.window_started_at > now() - v_window then least(f.failures + 1, v_limit)
        else 1
      end,
      window_started_at = case
        when f.window_started_at > now() - v_window then f.window_started_at
        else now()
      end;
  end if;
  return jsonb_build_object('decision', 'continue');
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
  select p.id, p.role
  from auth.sessions as s
  join public.profiles as p on p.id = s.user_id
  where s.id = (p_claims ->> 'session_id')::uuid
    and s.user_id = (p_claims ->> 'sub')::uuid
    and (s.not_after is null or s.not_after > now())
    and p.is_active
$function$;

CREATE OR REPLACE FUNCTION private.make_cursor (
  p_key jsonb
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select translate(encode(convert_to(p_key::text, 'UTF8'), 'base64'), E'\n', '')
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
begin
  select p.* into v_known from public.patients as p where p.id = p_patient_id;
  select g.* into v_given from jsonb_to_record(p_patient) as g (
    source_id text, first_name text, last_name text, date_of_birth date, gender text, phone text,
    address text, city text, state text, postal_code text, country text
  );
  select i.value into v_linked from private.patient_identifiers as i
  where i.patient_id = p_patient_id and i.system = p_source_system;

  if v_linked <> v_given.source_id
    or v_known.date_of_birth <> v_given.date_of_birth
    or (
      private.letters(v_known.first_name) <> private.letters(v_given.first_name)
      and private.letters(v_known.last_name) <> private.letters(v_given.last_name)
    )
  then
    raise exception using errcode = 'PT422', message = 'wrong_patient',
      detail = 'The bundle is about somebody else: date of birth, names or patient id differ';
  end if;

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
  if v_given.source_id is not null then
    insert into private.patient_identifiers (patient_id, system, value)
    values (p_patient_id, p_source_system, v_given.source_id)
    on conflict (patient_id, system) do nothing;
  end if;
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
    summary       text
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select
    a.id, a.occurred_at, a.actor_id, p.display_name, a.actor_role, a.action, a.resource_type,
    a.resource_id, a.purpose, private.access_summary(a.action, a.resource_type)
  from public.audit_events as a
  left join public.profiles as p on p.id = a.actor_id
  where a.patient_id = (select auth.uid())
    and a.actor_id <> a.patient_id
    and (p_after is null or (a.occurred_at, a.id) < (p_after, p_after_id))
  order by a.occurred_at desc, a.id desc
  limit p_limit
$function$;

CREATE OR REPLACE FUNCTION private.open_chart (
  p_patient_id uuid,
  p_purpose    text
)
  RETURNS TABLE (
    id         uuid,
    expires_at timestamp with time zone
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_kind text;
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
  if v_kind = 'doctor' then
    if not private.is_verified_doctor() then
      raise exception using errcode = 'PT403', message = 'not_verified',
        detail = 'The clinician is not verified';
    end if;
    if (select auth.jwt()) ->> 'aal' is distinct from 'aal2' then
      raise exception using errcode = 'PT403', message = 'mfa_required',
        detail = 'Opening a chart needs multi-factor sign-in';
    end if;
  end if;
  -- The lock on the relationship keeps it from ending between this check and the new chart.
  perform 1 from public.care_relationships as r
    where r.patient_id = p_patient_id and r.member_id = v_caller and r.kind = v_kind
      and r.status = 'active' and (r.ends_at is null or r.ends_at > now())
    for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No patient in active care with this id';
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
  return query select v_chart.id, v_chart.expires_at;
end;
$function$;

CREATE OR REPLACE FUNCTION private.open_chart_purpose (
  p_patient_id uuid
)
  RETURNS text
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select c.purpose
  from public.chart_sessions as c
  where c.viewer_id = (select auth.uid())
    and c.patient_id = p_patient_id
    and c.closed_at is null
    and c.expires_at > now()
  order by c.opened_at desc
  limit 1
$function$;

CREATE OR REPLACE FUNCTION private.open_charts()
  RETURNS TABLE (
    patient_id uuid,
    scopes     text[]
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
#variable_conflict use_column
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select c.patient_id, case when c.purpose = 'delegated' then r.scopes end
    from private.live_account(v_claims) as l
    join public.chart_sessions as c
      on c.viewer_id = l.id and c.closed_at is null and c.expires_at > now()
    left join public.doctors as d
      on d.id = l.id and l.role = 'doctor' and d.verified_at is not null
      and v_claims ->> 'aal' = 'aal2'
    left join public.care_relationships as r
      on r.patient_id = c.patient_id
      and r.member_id = c.viewer_id
      and r.kind = case c.purpose when 'delegated' then 'caregiver' else 'doctor' end
      and r.status = 'active'
      and (r.ends_at is null or r.ends_at > now())
    where (c.purpose = 'emergency' or r.id is not null)
      and (c.purpose = 'delegated' or d.id is not null);
end;
$function$;

CREATE OR REPLACE FUNCTION private.open_medical_record (
  p_record_id uuid
)
  RETURNS TABLE (
    id           uuid,
    patient_id   uuid,
    title        text,
    record_type  text,
    record_date  date,
    source       text,
    sensitivity  text,
    description  text,
    fhir         jsonb,
    metadata     jsonb,
    file_name    text,
    file_type    text,
    file_size    bigint,
    file_sha256  text,
    may_download boolean
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_ground text;
  v_patient_id uuid;
begin
  select a.ground, a.patient_id into v_ground, v_patient_id
  from private.record_access(p_record_id) as a;
  if v_ground is null then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  if v_ground <> 'owner' then
    perform private.write_audit('open_record', 'medical_record', p_record_id, v_patient_id,
      case when v_ground like 'share%' then 'share' end);
  end if;
  return query
    select
      r.id, r.patient_id, r.title, r.record_type, r.record_date, r.source, r.sensitivity,
      c.description, c.fhir, coalesce(c.metadata, '{}'), r.file_name, r.file_type, r.file_size,
      r.file_sha256, r.file_name is not null and v_ground <> 'share_view'
    from public.medical_records as r
    left join public.medical_record_contents as c on c.record_id = r.id
    where r.id = p_record_id;
end;
$function$;

CREATE OR REPLACE FUNCTION private.pending_record_upload (
  p_record_id uuid
)
  RETURNS TABLE (
    upload_id    uuid,
    storage_path text,
    file_name    text,
    file_type    text,
    file_size    bigint,
    file_sha256  text,
    completed_at timestamp with time zone
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
    select u.id, u.storage_path, u.file_name, u.file_type, u.file_size, u.file_sha256, u.completed_at
    from private.record_uploads as u
    where u.record_id = p_record_id
      and u.rejected_at is null
      -- The file may lie there by then; an hour more lets a slow client still say so.
      and (u.completed_at is not null or u.expires_at > now() - interval '1 hour')
    order by u.completed_at nulls last, u.created_at desc, u.id
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
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller uuid;
begin
  select l.id into v_caller from private.live_account(v_claims) as l;
  if not found then
    return;
  end if;
  return next v_caller;
  return query
    select c.patient_id
    from public.chart_sessions as c
    where c.viewer_id = v_caller and c.closed_at is null and c.expires_at > now();
  return query
    select s.patient_id
    from public.medical_record_shares as s
    where s.shared_with_id = v_caller and s.revoked_at is null and s.expires_at > now();
end;
$function$;

CREATE OR REPLACE FUNCTION private.read_cursor (
  p_cursor text,
  p_parts  integer
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
  if jsonb_typeof(v_key) <> 'array' or jsonb_array_length(v_key) <> p_parts then
    raise data_exception;
  end if;
  return v_key;
exception
  when data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot read p_cursor: pass the cursor of the last row of the page before';
end;
$function$;

CREATE OR REPLACE FUNCTION private.record_access (
  p_record_id uuid
)
  RETURNS TABLE (
    ground     text,
    patient_id uuid
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select
    case
      when r.patient_id = (select auth.uid()) then 'owner'
      when r.deleted_at is not null then null
      when r.patient_id = any (array(select private.chart_patient_ids('records')))
        and (
          r.sensitivity = 'normal'
          or r.patient_id = any (array(select private.chart_patient_ids('sensitive')))
        )
        then 'chart'
      else (
        -- The better level first, though at most one share of a record is live for a person.
        select 'share_' || s.access_level
        from public.medical_record_shares as s
        where s.record_id = r.id and s.shared_with_id = (select auth.uid())
          and s.revoked_at is null and s.expires_at > now()
        order by s.access_level
        limit 1
      )
    end,
    r.patient_id
  from public.medical_records as r
  where r.id = p_record_id and (select private.session_is_live())
$function$;

CREATE OR REPLACE FUNCTION private.refuse_change()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  raise exception using errcode = '42501',
    message = format('Cannot %s %s: it is append-only', lower(tg_op), tg_table_name);
end;
$function$;

CREATE OR REPLACE FUNCTION private.reject_record_upload (
  p_upload_id uuid
)
  RETURNS void
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  update private.record_uploads as u set rejected_at = now()
  where u.id = p_upload_id and u.completed_at is null and u.rejected_at is null
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
  v_caller constant uuid := private.require_live_session();
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

  if v_caller_role = p_kind then
    -- A doctor or caregiver asks; the patient will answer.
    if p_kind = 'doctor' and not private.is_verified_doctor() then
      raise exception using errcode = 'PT403', message = 'not_verified',
        detail = 'The clinician is not verified';
    end if;
    perform 1 from public.patients as t
      join public.profiles as p on p.id = t.id
      where t.id = p_member_or_patient_id and p.is_active;
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
    perform 1 from public.patients as t where t.id = v_caller;
    if not found then
      raise exception using errcode = 'PT403', message = 'forbidden',
        detail = 'The account is no patient''s';
    end if;
    perform 1 from public.profiles as p
      left join public.doctors as d on d.id = p.id
      where p.id = p_member_or_patient_id and p.is_active and p.role = p_kind
        and (p_kind <> 'doctor' or d.verified_at is not null);
    if not found then
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
  v_caller constant uuid := private.require_live_session();
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

CREATE OR REPLACE FUNCTION private.require_admin()
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if not private.is_admin() then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only administrators with multi-factor sign-in may do this';
  end if;
  return v_caller;
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_live_session()
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
begin
  if not private.session_is_live() then
    raise exception using errcode = 'PT401', message = 'unauthenticated',
      detail = 'The session has ended or the account is locked: sign in again';
  end if;
  return (select auth.uid());
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_page_size (
  p_limit integer
)
  RETURNS void
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = format('Cannot list as p_limit must be 1 to 100: current value is %s', p_limit);
  end if;
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

CREATE OR REPLACE FUNCTION private.revoke_account_grant (
  p_user_id uuid,
  p_grant   text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.require_admin();
  delete from public.account_grants where user_id = p_user_id and "grant" = p_grant;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'The account has no such grant';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.revoke_record_share (
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
  update public.medical_record_shares as s set revoked_at = now()
  where s.id = p_id and v_caller in (s.patient_id, s.shared_with_id)
    and s.revoked_at is null and s.expires_at > now();
  if not found then
    perform 1 from public.medical_record_shares as s
      where s.id = p_id and v_caller in (s.patient_id, s.shared_with_id);
    if not found then
      raise exception using errcode = 'PT404', message = 'not_found',
        detail = 'No share with this id';
    end if;
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.session_is_live()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return exists (select 1 from private.live_account(v_claims));
end;
$function$;

CREATE OR REPLACE FUNCTION private.set_account_active (
  p_user_id uuid,
  p_active  boolean,
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
  v_caller constant uuid := private.require_live_session();
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
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.medical_records as r
  set deleted_at = case when p_deleted then coalesce(r.deleted_at, now()) end
  where r.id = p_id and r.patient_id = v_caller;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.set_record_source()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  new.created_by := (select auth.uid());
  new.source := case when new.patient_id = (select auth.uid()) then 'upload' else 'doctor' end;
  return new;
end;
$function$;

CREATE OR REPLACE FUNCTION private.set_updated_at()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  new.updated_at := now();
  return new;
end;
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
    where r.id = p_record_id and r.patient_id = v_caller and r.deleted_at is null
    for no key update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No record with this id';
  end if;
  if p_shared_with_id = v_caller then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot share a record with oneself';
  end if;
  perform 1 from public.profiles as p where p.id = p_shared_with_id and p.is_active;
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
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select s.record_id
    from private.live_account(v_claims) as l
    join public.medical_record_shares as s
      on s.shared_with_id = l.id and s.revoked_at is null and s.expires_at > now();
end;
$function$;

CREATE OR REPLACE FUNCTION private.sync_record_contents()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  update public.medical_record_contents as c set
    sensitivity = new.sensitivity,
    deleted_at = new.deleted_at
  where c.record_id = new.id;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.take_rate_token (
  p_key            text,
  p_capacity       integer,
  p_refill_seconds integer
)
  RETURNS TABLE (
    allowed       boolean,
    remaining     integer,
    reset_seconds integer
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_now constant timestamptz := clock_timestamp();
  v_per_second constant double precision := p_capacity::double precision / p_refill_seconds;
  v_bucket private.rate_limits;
begin
  insert into private.rate_limits as b (key, tokens, granted, refilled_at)
  values (p_key, p_capacity - 1, true, v_now)
  on conflict (key) do update set
    (tokens, granted, refilled_at) = (
      -- A refusal leaves tokens and time as they are, so that hammering does not delay the refill;
      -- another request may have passed us while we waited for the row, hence the greatest().
      select
        case when filled.tokens >= 1 then filled.tokens - 1 else b.tokens end,
        filled.tokens >= 1,
        case when filled.tokens >= 1 then greatest(v_now, b.refilled_at) else b.refilled_at end
      from (
        select least(
          p_capacity,
          b.tokens
            + greatest(0, extract(epoch from v_now - b.refilled_at)::double precision)
            * v_per_second
        ) as tokens
      ) as filled
    )
  returning b.* into v_bucket;

  allowed := v_bucket.granted;
  remaining := case when allowed then floor(v_bucket.tokens)::integer else 0 end;
  reset_seconds := case
    when allowed then ceil((p_capacity - v_bucket.tokens) / v_per_second)::integer
    else greatest(1, ceil(
      (1 - v_bucket.tokens) / v_per_second - extract(epoch from v_now - v_bucket.refilled_at)
    )::integer)
  end;
  return next;
end;
$function$;

CREATE OR REPLACE FUNCTION private.touch_last_active()
  RETURNS void
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  update public.profiles set last_active_at = now()
  where id = (select auth.uid())
    and (last_active_at is null or last_active_at < now() - interval '1 minute')
$function$;

CREATE OR REPLACE FUNCTION private.treated_patient_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
begin
  return query select c.patient_id from private.open_charts() as c where c.scopes is null;
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No patient with this id';
  end if;
  return query
    select g.viewer_id, g.viewer_name, g.viewer_role, g.rule, g.explanation, g.since, g.until
    from private.access_grounds(p_patient_id) as g
    order by g.since desc, g.viewer_id, g.rule, g.explanation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.writable_record (
  p_record_id uuid
)
  RETURNS uuid
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select r.patient_id
  from public.medical_records as r
  where r.id = p_record_id
    and r.deleted_at is null
    and (select private.session_is_live())
    and (
      r.patient_id = (select auth.uid())
      or r.created_by = (select auth.uid())
        and r.patient_id = any (array(select private.treated_patient_ids()))
    )
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
    p_patient_id, coalesce(p_purpose, private.open_chart_purpose(p_patient_id)), p_new_values,
    v_by.ip_address, v_by.user_agent, v_by.request_id
  );
end;
$function$;

CREATE OR REPLACE FUNCTION public.close_account()
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.close_account()
$function$;

REVOKE ALL ON FUNCTION "public"."close_account"() FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.close_chart (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.close_chart(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."close_chart"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.delete_medical_record (
  p_id uuid
)
  RETURNS void
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
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.end_care(p_id, p_reason)
$function$;

REVOKE ALL ON FUNCTION "public"."end_care"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.grant_account (
  p_user_id uuid,
  p_grant   text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.grant_account(p_user_id, p_grant)
$function$;

REVOKE ALL ON FUNCTION "public"."grant_account"(uuid, text) FROM PUBLIC, "anon", "service_role";

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
    cursor        text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, 2);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      l.id, l.occurred_at, l.actor_id, l.actor_name, l.actor_role, l.action, l.resource_type,
      l.resource_id, l.purpose, l.summary,
      private.make_cursor(jsonb_build_array(l.occurred_at, l.id))
    from private.my_access_log(
      p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::bigint
    ) as l;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."my_access_log"(integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.open_chart (
  p_patient_id uuid,
  p_purpose    text
)
  RETURNS TABLE (
    id         uuid,
    expires_at timestamp with time zone
  )
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select o.id, o.expires_at from private.open_chart(p_patient_id, p_purpose) as o
$function$;

REVOKE ALL ON FUNCTION "public"."open_chart"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.open_medical_record (
  p_record_id uuid
)
  RETURNS TABLE (
    id           uuid,
    patient_id   uuid,
    title        text,
    record_type  text,
    record_date  date,
    source       text,
    sensitivity  text,
    description  text,
    fhir         jsonb,
    metadata     jsonb,
    file_name    text,
    file_type    text,
    file_size    bigint,
    file_sha256  text,
    may_download boolean
  )
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select
    o.id, o.patient_id, o.title, o.record_type, o.record_date, o.source, o.sensitivity,
    o.description, o.fhir, o.metadata, o.file_name, o.file_type, o.file_size, o.file_sha256,
    o.may_download
  from private.open_medical_record(p_record_id) as o
$function$;

REVOKE ALL ON FUNCTION "public"."open_medical_record"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.request_care (
  p_member_or_patient_id uuid,
  p_kind                 text,
  p_scopes               text[] DEFAULT '{}'::text[]
)
  RETURNS uuid
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.request_care(p_member_or_patient_id, p_kind, p_scopes)
$function$;

REVOKE ALL ON FUNCTION "public"."request_care"(uuid, text, text[]) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.request_doctor_verification (
  p_license_number text,
  p_specialty      text,
  p_organization   text DEFAULT NULL::text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.request_doctor_verification(p_license_number, p_specialty, p_organization)
$function$;

REVOKE ALL ON FUNCTION "public"."request_doctor_verification"(text, text, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.respond_care_request (
  p_id     uuid,
  p_accept boolean,
  p_scopes text[]  DEFAULT NULL::text[]
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.respond_care_request(p_id, p_accept, p_scopes)
$function$;

REVOKE ALL ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.restore_medical_record (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.set_record_deleted(p_id, false)
$function$;

REVOKE ALL ON FUNCTION "public"."restore_medical_record"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.revoke_account_grant (
  p_user_id uuid,
  p_grant   text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.revoke_account_grant(p_user_id, p_grant)
$function$;

REVOKE ALL ON FUNCTION "public"."revoke_account_grant"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.revoke_record_share (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.revoke_record_share(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."revoke_record_share"(uuid) FROM PUBLIC, "anon", "service_role";

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
  v_after constant jsonb := private.read_cursor(p_cursor, 3);
begin
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

REVOKE ALL ON FUNCTION "public"."search_patients"(text, integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.set_account_active (
  p_user_id uuid,
  p_active  boolean,
  p_reason  text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.set_account_active(p_user_id, p_active, p_reason)
$function$;

REVOKE ALL ON FUNCTION "public"."set_account_active"(uuid, boolean, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.set_care_scopes (
  p_id     uuid,
  p_scopes text[]
)
  RETURNS void
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
  RETURNS uuid
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.share_medical_record(p_record_id, p_shared_with_id, p_access_level, p_expires_at)
$function$;

REVOKE ALL ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.touch_last_active()
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.touch_last_active()
$function$;

REVOKE ALL ON FUNCTION "public"."touch_last_active"() FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.verify_doctor (
  p_user_id uuid,
  p_approve boolean,
  p_reason  text    DEFAULT NULL::text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.verify_doctor(p_user_id, p_approve, p_reason)
$function$;

REVOKE ALL ON FUNCTION "public"."verify_doctor"(uuid, boolean, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.who_can_see (
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
  SET search_path TO ''
  AS $function$
  select w.viewer_id, w.viewer_name, w.viewer_role, w.rule, w.explanation, w.since, w.until
  from private.who_can_see(p_patient_id) as w
$function$;

REVOKE ALL ON FUNCTION "public"."who_can_see"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.why_can_see (
  p_viewer_id  uuid,
  p_patient_id uuid
)
  RETURNS TABLE (
    rule        text,
    explanation text,
    since       timestamp with time zone,
    until       timestamp with time zone
  )
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  select w.rule, w.explanation, w.since, w.until
  from private.who_can_see(p_patient_id) as w
  where w.viewer_id = p_viewer_id
$function$;

REVOKE ALL ON FUNCTION "public"."why_can_see"(uuid, uuid) FROM PUBLIC, "anon", "service_role";

ALTER TABLE "private"."sign_in_failures"
  ADD CONSTRAINT "sign_in_failures_user_id_fkey" FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE;

ALTER TABLE "public"."audit_events"
  ADD CONSTRAINT "audit_events_action_check" CHECK ((action ~ '^[a-z]+(_[a-z]+)*$'::text));

ALTER TABLE "public"."audit_events"
  ADD CONSTRAINT "audit_events_pkey" PRIMARY KEY (id, occurred_at);

ALTER TABLE "public"."audit_events"
  ADD CONSTRAINT "audit_events_resource_type_check" CHECK ((resource_type ~ '^[a-z]+(_[a-z]+)*$'::text));

ALTER TABLE "public"."medical_record_shares"
  ADD CONSTRAINT "medical_record_shares_one_live" EXCLUDE USING gist ((((record_id)::text || (shared_with_id)::text)) WITH =, tstzrange(created_at, LEAST(revoked_at, expires_at))
    WITH &&);

ALTER TABLE "private"."record_uploads"
  ADD CONSTRAINT "record_uploads_record_id_fkey" FOREIGN KEY (record_id) REFERENCES public.medical_records(id) ON DELETE CASCADE;

ALTER TABLE "public"."medical_record_contents"
  ADD CONSTRAINT "medical_record_contents_record_id_fkey" FOREIGN KEY (record_id) REFERENCES public.medical_records(id) ON DELETE CASCADE;

ALTER TABLE "public"."medical_record_shares"
  ADD CONSTRAINT "medical_record_shares_record_id_fkey" FOREIGN KEY (record_id) REFERENCES public.medical_records(id) ON DELETE RESTRICT;

ALTER TABLE "private"."patient_identifiers"
  ADD CONSTRAINT "patient_identifiers_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE CASCADE;

ALTER TABLE "public"."care_relationships"
  ADD CONSTRAINT "care_relationships_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "public"."medical_record_contents"
  ADD CONSTRAINT "medical_record_contents_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "public"."medical_record_shares"
  ADD CONSTRAINT "medical_record_shares_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "public"."medical_records"
  ADD CONSTRAINT "medical_records_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "public"."profiles"
  ADD CONSTRAINT "profiles_id_fkey" FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE;

ALTER TABLE "public"."account_grants"
  ADD CONSTRAINT "account_grants_granted_by_fkey" FOREIGN KEY (granted_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE "public"."account_grants"
  ADD CONSTRAINT "account_grants_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "public"."care_relationships"
  ADD CONSTRAINT "care_relationships_member_id_fkey" FOREIGN KEY (member_id) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."care_relationships"
  ADD CONSTRAINT "care_relationships_requested_by_fkey" FOREIGN KEY (requested_by) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_reviewed_by_fkey" FOREIGN KEY (reviewed_by) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."chart_sessions"
  ADD CONSTRAINT "chart_sessions_viewer_id_fkey" FOREIGN KEY (viewer_id) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."doctors"
  ADD CONSTRAINT "doctors_id_fkey" FOREIGN KEY (id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "public"."doctors"
  ADD CONSTRAINT "doctors_verified_by_fkey" FOREIGN KEY (verified_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE "public"."medical_record_shares"
  ADD CONSTRAINT "medical_record_shares_shared_by_id_fkey" FOREIGN KEY (shared_by_id) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."medical_record_shares"
  ADD CONSTRAINT "medical_record_shares_shared_with_id_fkey" FOREIGN KEY (shared_with_id) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_created_by_fkey" FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE "public"."patients"
  ADD CONSTRAINT "patients_id_fkey" FOREIGN KEY (id) REFERENCES public.profiles(id) ON DELETE CASCADE;

CREATE VIEW "private"."visible_profiles" WITH (security_barrier=true) AS  SELECT id,
    role,
    display_name,
    avatar_path,
    bio,
    is_verified
   FROM public.profiles p
  WHERE (is_active AND (is_public OR (id = ( SELECT auth.uid() AS uid)) OR (id = ANY (ARRAY( SELECT private.connected_profile_ids() AS connected_profile_ids)))));

CREATE VIEW "public"."public_profiles" WITH (security_invoker=true) AS  SELECT id,
    role,
    display_name,
    avatar_path,
    bio,
    is_verified
   FROM private.visible_profiles v;

REVOKE ALL ON TABLE "public"."public_profiles" FROM "anon", "service_role";

CREATE INDEX rate_limits_refilled_at_idx ON private.rate_limits USING btree (refilled_at);

CREATE UNIQUE INDEX record_uploads_one_completed ON private.record_uploads USING btree (record_id)
  WHERE (completed_at IS NOT NULL);

CREATE INDEX record_uploads_record_id_idx ON private.record_uploads USING btree (record_id, created_at DESC);

CREATE INDEX account_grants_granted_by_idx ON public.account_grants USING btree (granted_by);

CREATE INDEX audit_events_actor_id_idx ON ONLY public.audit_events USING btree (actor_id, occurred_at DESC, id DESC);

CREATE INDEX audit_events_patient_id_idx ON ONLY public.audit_events USING btree (patient_id, occurred_at DESC, id DESC);

CREATE TABLE "private"."audit_events_default" PARTITION OF "public"."audit_events" DEFAULT;

ALTER TABLE "private"."audit_events_default"
  ENABLE ROW LEVEL SECURITY;

CREATE INDEX care_relationships_member_id_idx ON public.care_relationships USING btree (member_id, created_at DESC, id);

CREATE UNIQUE INDEX care_relationships_one_open ON public.care_relationships USING btree (patient_id, member_id, kind)
  WHERE (status = ANY (ARRAY['requested'::text, 'active'::text]));

CREATE INDEX care_relationships_patient_id_idx ON public.care_relationships USING btree (patient_id, created_at DESC, id);

CREATE INDEX care_relationships_requested_by_idx ON public.care_relationships USING btree (requested_by);

CREATE INDEX chart_sessions_patient_id_idx ON public.chart_sessions USING btree (patient_id, opened_at DESC, id);

CREATE INDEX chart_sessions_reviewed_by_idx ON public.chart_sessions USING btree (reviewed_by);

CREATE INDEX chart_sessions_viewer_history_idx ON public.chart_sessions USING btree (viewer_id, opened_at DESC, id);

CREATE INDEX chart_sessions_viewer_id_idx ON public.chart_sessions USING btree (viewer_id, expires_at)
  WHERE (closed_at IS NULL);

CREATE INDEX doctors_created_at_idx ON public.doctors USING btree (created_at DESC, id);

CREATE INDEX doctors_verified_by_idx ON public.doctors USING btree (verified_by);

CREATE INDEX medical_record_contents_patient_id_idx ON public.medical_record_contents USING btree (patient_id);

CREATE INDEX medical_record_shares_patient_id_idx ON public.medical_record_shares USING btree (patient_id, created_at DESC, id);

CREATE INDEX medical_record_shares_record_id_idx ON public.medical_record_shares USING btree (record_id);

CREATE INDEX medical_record_shares_shared_by_id_idx ON public.medical_record_shares USING btree (shared_by_id);

CREATE INDEX medical_record_shares_shared_with_history_idx ON public.medical_record_shares USING btree (shared_with_id);

CREATE INDEX medical_record_shares_shared_with_id_idx ON public.medical_record_shares USING btree (shared_with_id, expires_at DESC, id) INCLUDE (record_id)
  WHERE (revoked_at IS NULL);

CREATE INDEX medical_records_patient_id_idx ON public.medical_records USING btree (patient_id, record_date DESC NULLS LAST, id DESC);

CREATE INDEX medical_records_record_type_idx ON public.medical_records USING btree (patient_id, record_type, record_date DESC NULLS LAST, id DESC);

CREATE UNIQUE INDEX medical_records_source_key ON public.medical_records USING btree (patient_id, source_system, source_id)
  WHERE (source = 'fhir'::text);

CREATE INDEX patients_created_by_idx ON public.patients USING btree (created_by);

CREATE INDEX patients_name_idx ON public.patients USING btree (COALESCE(last_name, ''::text), COALESCE(first_name, ''::text), id);

CREATE INDEX patients_name_trgm_idx ON public.patients USING gin ((((COALESCE(first_name, ''::text) || ' '::text) || COALESCE(last_name, ''::text))) extensions.gin_trgm_ops);

CREATE INDEX profiles_last_active_at_idx ON public.profiles USING btree (last_active_at DESC, id);

CREATE INDEX profiles_role_idx ON public.profiles USING btree (ROLE, id);

CREATE TRIGGER on_auth_user_barred
  AFTER UPDATE OF banned_until, deleted_at ON auth.users
  FOR EACH ROW
  WHEN ((((new.banned_until > now()) AND (new.banned_until IS DISTINCT FROM old.banned_until)) OR ((new.deleted_at IS NOT NULL) AND (old.deleted_at IS NULL))))
  EXECUTE FUNCTION private.end_barred_sessions();

CREATE TRIGGER on_auth_user_created
  AFTER INSERT ON auth.users
  FOR EACH ROW
  EXECUTE FUNCTION private.handle_new_user();

CREATE TRIGGER on_auth_user_upgraded
  AFTER UPDATE OF is_anonymous ON auth.users
  FOR EACH ROW
  WHEN ((old.is_anonymous AND (NOT new.is_anonymous)))
  EXECUTE FUNCTION private.handle_user_upgrade();

CREATE TRIGGER audit_events_default_no_truncate
  BEFORE TRUNCATE ON private.audit_events_default
  FOR EACH STATEMENT
  EXECUTE FUNCTION private.refuse_change();

CREATE TRIGGER account_grants_audit_delete AFTER DELETE ON public.account_grants REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'account_grant',
  'id',
  '',
  ''
);

CREATE TRIGGER account_grants_audit_insert AFTER INSERT ON public.account_grants REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'account_grant',
  'id',
  '',
  ''
);

CREATE TRIGGER account_grants_audit_update AFTER UPDATE ON public.account_grants
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'account_grant',
  'id',
  '',
  ''
);

CREATE TRIGGER audit_events_append_only
  BEFORE DELETE OR UPDATE ON public.audit_events
  FOR EACH ROW
  EXECUTE FUNCTION private.refuse_change();

CREATE TRIGGER audit_events_no_truncate
  BEFORE TRUNCATE ON public.audit_events
  FOR EACH STATEMENT
  EXECUTE FUNCTION private.refuse_change();

CREATE TRIGGER care_relationships_audit_delete AFTER DELETE ON public.care_relationships REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'care_relationship',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER care_relationships_audit_insert AFTER INSERT ON public.care_relationships REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'care_relationship',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER care_relationships_audit_update AFTER UPDATE ON public.care_relationships
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'care_relationship',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER care_relationships_set_updated_at
  BEFORE UPDATE ON public.care_relationships
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER chart_sessions_set_updated_at
  BEFORE UPDATE ON public.chart_sessions
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER doctors_audit_delete AFTER DELETE ON public.doctors REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'doctor',
  'id',
  '',
  ''
);

CREATE TRIGGER doctors_audit_insert AFTER INSERT ON public.doctors REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'doctor',
  'id',
  '',
  ''
);

CREATE TRIGGER doctors_audit_update AFTER UPDATE ON public.doctors REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'doctor',
  'id',
  '',
  ''
);

CREATE TRIGGER doctors_set_updated_at
  BEFORE UPDATE ON public.doctors
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER medical_record_contents_audit_delete AFTER DELETE ON public.medical_record_contents
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_content',
  'record_id',
  'patient_id',
  'fhir'
);

CREATE TRIGGER medical_record_contents_audit_insert AFTER INSERT ON public.medical_record_contents
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_content',
  'record_id',
  'patient_id',
  'fhir'
);

CREATE TRIGGER medical_record_contents_audit_update AFTER UPDATE ON public.medical_record_contents
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_content',
  'record_id',
  'patient_id',
  'fhir'
);

CREATE TRIGGER medical_record_contents_copy_record
  BEFORE INSERT ON public.medical_record_contents
  FOR EACH ROW
  WHEN ((new.patient_id IS NULL))
  EXECUTE FUNCTION private.copy_record_to_contents();

CREATE TRIGGER medical_record_contents_set_updated_at
  BEFORE UPDATE ON public.medical_record_contents
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER medical_record_shares_audit_delete AFTER DELETE ON public.medical_record_shares
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_share',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER medical_record_shares_audit_insert AFTER INSERT ON public.medical_record_shares
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_share',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER medical_record_shares_audit_update AFTER UPDATE ON public.medical_record_shares
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record_share',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER medical_record_shares_set_updated_at
  BEFORE UPDATE ON public.medical_record_shares
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER medical_records_audit_delete AFTER DELETE ON public.medical_records REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER medical_records_audit_insert AFTER INSERT ON public.medical_records REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER medical_records_audit_update AFTER UPDATE ON public.medical_records
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medical_record',
  'id',
  'patient_id',
  ''
);

CREATE TRIGGER medical_records_set_source
  BEFORE INSERT ON public.medical_records
  FOR EACH ROW
  WHEN ((new.source <> 'fhir'::text))
  EXECUTE FUNCTION private.set_record_source();

CREATE TRIGGER medical_records_set_updated_at
  BEFORE UPDATE ON public.medical_records
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER medical_records_sync_contents
  AFTER UPDATE OF sensitivity, deleted_at ON public.medical_records
  FOR EACH ROW
  WHEN (((old.sensitivity IS DISTINCT FROM new.sensitivity) OR (old.deleted_at IS DISTINCT FROM new.deleted_at)))
  EXECUTE FUNCTION private.sync_record_contents();

CREATE TRIGGER patients_audit_delete AFTER DELETE ON public.patients REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient',
  'id',
  'id',
  ''
);

CREATE TRIGGER patients_audit_insert AFTER INSERT ON public.patients REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient',
  'id',
  'id',
  ''
);

CREATE TRIGGER patients_audit_update AFTER UPDATE ON public.patients
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'patient',
  'id',
  'id',
  ''
);

CREATE TRIGGER patients_set_updated_at
  BEFORE UPDATE ON public.patients
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER profiles_audit_delete AFTER DELETE ON public.profiles REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'profile',
  'id',
  '',
  ''
);

CREATE TRIGGER profiles_audit_insert AFTER INSERT ON public.profiles REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'profile',
  'id',
  '',
  ''
);

CREATE TRIGGER profiles_audit_update AFTER UPDATE ON public.profiles
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'profile',
  'id',
  '',
  ''
);

CREATE TRIGGER profiles_set_updated_at
  BEFORE UPDATE ON public.profiles
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE POLICY "account_grants_select_authenticated" ON "public"."account_grants"
  FOR SELECT
  TO "authenticated"
  USING (((user_id = ( SELECT auth.uid() AS uid)) OR ( SELECT private.is_admin() AS is_admin)));

CREATE POLICY "audit_events_select_authenticated" ON "public"."audit_events"
  FOR SELECT
  TO "authenticated"
  USING (false);

CREATE POLICY "care_relationships_select_authenticated" ON "public"."care_relationships"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR (member_id = ( SELECT auth.uid() AS uid)))));

CREATE POLICY "chart_sessions_select_authenticated" ON "public"."chart_sessions"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR (viewer_id = ( SELECT auth.uid() AS uid)))));

CREATE POLICY "doctors_select_authenticated" ON "public"."doctors"
  FOR SELECT
  TO "authenticated"
  USING (((id = ( SELECT auth.uid() AS uid)) OR ( SELECT private.is_admin() AS is_admin)));

CREATE POLICY "medical_record_contents_insert_authenticated" ON "public"."medical_record_contents"
  FOR INSERT
  TO "authenticated"
  WITH
    CHECK
    ((( SELECT private.session_is_live() AS session_is_live) AND (deleted_at IS NULL) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT
    private.treated_patient_ids() AS treated_patient_ids))) AND (record_id = ANY (ARRAY( SELECT private.added_record_ids() AS added_record_ids)))))));

CREATE POLICY "medical_record_contents_select_authenticated" ON "public"."medical_record_contents"
  FOR SELECT
  TO "authenticated"
  USING
    ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT
    private.chart_patient_ids('records'::text) AS chart_patient_ids))) AND (deleted_at IS NULL) AND
    ((sensitivity = 'normal'::text) OR (patient_id = ANY (ARRAY( SELECT private.chart_patient_ids('sensitive'::text) AS chart_patient_ids))))))));

CREATE POLICY "medical_record_contents_update_authenticated" ON "public"."medical_record_contents"
  FOR UPDATE
  TO "authenticated"
  USING
    ((( SELECT private.session_is_live() AS session_is_live) AND (deleted_at IS NULL) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT
    private.treated_patient_ids() AS treated_patient_ids))) AND (record_id = ANY (ARRAY( SELECT private.added_record_ids() AS added_record_ids)))))))
  WITH
    CHECK
    ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS
    treated_patient_ids))) AND (record_id = ANY (ARRAY( SELECT private.added_record_ids() AS added_record_ids)))))));

CREATE POLICY "medical_record_shares_select_authenticated" ON "public"."medical_record_shares"
  FOR SELECT
  TO "authenticated"
  USING
    ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((shared_with_id = ( SELECT auth.uid() AS uid)) AND (revoked_at IS
    NULL) AND (expires_at > ( SELECT now() AS now))))));

CREATE POLICY "medical_records_insert_authenticated" ON "public"."medical_records"
  FOR INSERT
  TO "authenticated"
  WITH
    CHECK
    ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR (patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS
    treated_patient_ids))))));

CREATE POLICY "medical_records_select_authenticated" ON "public"."medical_records"
  FOR SELECT
  TO "authenticated"
  USING
    (((patient_id = ANY (ARRAY( SELECT private.reachable_patient_ids() AS reachable_patient_ids))) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((deleted_at IS NULL) AND ((id
    = ANY (ARRAY( SELECT private.shared_record_ids() AS shared_record_ids))) OR
    ((patient_id = ANY (ARRAY( SELECT private.chart_patient_ids('records'::text) AS chart_patient_ids))) AND ((sensitivity = 'normal'::text) OR (patient_id = ANY (ARRAY( SELECT
    private.chart_patient_ids('sensitive'::text) AS chart_patient_ids))))))))));

CREATE POLICY "patients_select_authenticated" ON "public"."patients"
  FOR SELECT
  TO "authenticated"
  USING
    ((( SELECT private.session_is_live() AS session_is_live) AND ((id = ( SELECT auth.uid() AS uid)) OR (id = ANY (ARRAY( SELECT private.chart_patient_ids() AS
    chart_patient_ids))))));

CREATE POLICY "patients_update_authenticated" ON "public"."patients"
  FOR UPDATE
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (id = ( SELECT auth.uid() AS uid))))
  WITH CHECK ((( SELECT private.session_is_live() AS session_is_live) AND (id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "profiles_select_authenticated" ON "public"."profiles"
  FOR SELECT
  TO "authenticated"
  USING (((id = ( SELECT auth.uid() AS uid)) OR ( SELECT private.is_admin() AS is_admin)));

CREATE POLICY "profiles_update_authenticated" ON "public"."profiles"
  FOR UPDATE
  TO "authenticated"
  USING ((id = ( SELECT auth.uid() AS uid)))
  WITH CHECK ((id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "avatars_delete_authenticated" ON "storage"."objects"
  FOR DELETE
  TO "authenticated"
  USING (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

CREATE POLICY "avatars_insert_authenticated" ON "storage"."objects"
  FOR INSERT
  TO "authenticated"
  WITH CHECK (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

CREATE POLICY "avatars_select_authenticated" ON "storage"."objects"
  FOR SELECT
  TO "authenticated"
  USING (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

CREATE POLICY "avatars_update_authenticated" ON "storage"."objects"
  FOR UPDATE
  TO "authenticated"
  USING (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)))
  WITH CHECK (((bucket_id = 'avatars'::text) AND ((storage.foldername(name))[1] = (( SELECT auth.uid() AS uid))::text)));

COMMENT ON COLUMN "private"."rate_limits"."granted" IS 'Whether the newest request got a token.';

COMMENT ON COLUMN "private"."rate_limits"."tokens" IS 'Tokens left at refilled_at.';

COMMENT ON COLUMN "public"."account_grants"."grant" IS 'moderator: acts on reports; seller: offers in the market; listener: answers in support circles.';

COMMENT ON COLUMN "public"."account_grants"."granted_by" IS 'The administrator; null when gone.';

COMMENT ON COLUMN "public"."audit_events"."action" IS 'create, update, delete, or a verb of the product such as open_chart, open_record, download_file.';

COMMENT ON COLUMN "public"."audit_events"."actor_id" IS 'Account that acted; null for the system itself.';

COMMENT ON COLUMN "public"."audit_events"."actor_role" IS 'Role of the account in profiles at that time, or the database role when there was no account.';

COMMENT ON COLUMN "public"."audit_events"."id" IS 'Order of writing within a sequence; gaps are normal.';

COMMENT ON COLUMN "public"."audit_events"."ip_address" IS 'Client''s address as the gateway gave it.';

COMMENT ON COLUMN "public"."audit_events"."new_values" IS 'Columns that changed, after; never file contents.';

COMMENT ON COLUMN "public"."audit_events"."occurred_at" IS 'Clock time of the write, UTC; the partition key.';

COMMENT ON COLUMN "public"."audit_events"."old_values" IS 'Columns that changed, before; never file contents.';

COMMENT ON COLUMN "public"."audit_events"."patient_id" IS 'Whose data it was; null for none.';

COMMENT ON COLUMN "public"."audit_events"."purpose" IS 'Purpose of the open chart under which another''s data was touched, or the reason that was given.';

COMMENT ON COLUMN "public"."audit_events"."resource_type" IS 'What was acted on, in the singular.';

COMMENT ON COLUMN "public"."audit_events"."session_id" IS 'Session of Supabase Auth, from the token.';

COMMENT ON COLUMN "public"."audit_events"."user_agent" IS 'At most 200 characters.';

COMMENT ON COLUMN "public"."care_relationships"."ends_at" IS 'When it ended or was declined; null while open.';

COMMENT ON COLUMN "public"."care_relationships"."member_id" IS 'The doctor or caregiver.';

COMMENT ON COLUMN "public"."care_relationships"."scopes" IS 'What a caregiver may see: records, tracking, medications, appointments, messages; sensitive is needed beside records for records marked so. Empty for doctors.';

COMMENT ON COLUMN "public"."care_relationships"."starts_at" IS 'When the patient activated it; null before.';

COMMENT ON COLUMN "public"."care_relationships"."status" IS 'requested by the member, active or declined by the patient, ended by either.';

COMMENT ON COLUMN "public"."chart_sessions"."purpose" IS 'treatment or care_coordination (doctor), delegated (caregiver), emergency (without relationship).';

COMMENT ON COLUMN "public"."chart_sessions"."reason" IS 'In the viewer''s words; needed for an emergency.';

COMMENT ON COLUMN "public"."chart_sessions"."reviewed_by" IS 'Administrator who reviewed an emergency.';

COMMENT ON COLUMN "public"."doctors"."id" IS 'The clinician''s account.';

COMMENT ON COLUMN "public"."doctors"."license_number" IS 'Number of the licence, as the licensing body writes it.';

COMMENT ON COLUMN "public"."doctors"."rejected_reason" IS 'Why not, or why no longer; shown to the applicant.';

COMMENT ON COLUMN "public"."doctors"."verified_by" IS 'The administrator who decided.';

COMMENT ON COLUMN "public"."medical_record_contents"."deleted_at" IS 'Copied from the record by trigger.';

COMMENT ON COLUMN "public"."medical_record_contents"."fhir" IS 'The FHIR R4 resource as it was imported.';

COMMENT ON COLUMN "public"."medical_record_contents"."metadata" IS 'The client''s own, an object of at most 16 KiB.';

COMMENT ON COLUMN "public"."medical_record_contents"."patient_id" IS 'Copied from the record by trigger, so that policies need no join.';

COMMENT ON COLUMN "public"."medical_record_contents"."sensitivity" IS 'Copied from the record by trigger.';

COMMENT ON COLUMN "public"."medical_record_contents"."storage_path" IS 'Object in the private bucket medical-records: patient/record/uuid. Null: no file.';

COMMENT ON COLUMN "public"."medical_record_shares"."access_level" IS 'view: list it and open its contents; download: also its file.';

COMMENT ON COLUMN "public"."medical_record_shares"."expires_at" IS 'At most a year after it was made.';

COMMENT ON COLUMN "public"."medical_records"."deleted_at" IS 'When the patient deleted it: from then on only the patient sees the row. Null: not deleted.';

COMMENT ON COLUMN "public"."medical_records"."file_sha256" IS 'SHA-256 of the file, hexadecimal.';

COMMENT ON COLUMN "public"."medical_records"."file_size" IS 'Bytes, at most 50 MiB.';

COMMENT ON COLUMN "public"."medical_records"."file_type" IS 'Media type, as found in the file itself.';

COMMENT ON COLUMN "public"."medical_records"."record_date" IS 'Clinical date in the place of care; null when the source gives none.';

COMMENT ON COLUMN "public"."medical_records"."sensitivity" IS 'sensitive: a caregiver needs the scope of that name beside records.';

COMMENT ON COLUMN "public"."medical_records"."source" IS 'upload (by the patient), doctor (added under an open chart), fhir (imported).';

COMMENT ON COLUMN "public"."medical_records"."source_id" IS 'Resource there, for example Condition/123.';

COMMENT ON COLUMN "public"."medical_records"."source_system" IS 'Where an imported resource comes from, a URI; with source_id unique for the patient.';

COMMENT ON COLUMN "public"."patients"."created_by" IS 'Who made the row; null when that account is gone.';

COMMENT ON COLUMN "public"."patients"."gender" IS 'FHIR administrative-gender.';

COMMENT ON COLUMN "public"."patients"."id" IS 'The patient''s account.';

COMMENT ON COLUMN "public"."patients"."is_active" IS 'Whether the patient is in care; not the account''s lock.';

COMMENT ON COLUMN "public"."patients"."medical_history" IS 'Free text, at most 20,000 characters.';

COMMENT ON COLUMN "public"."profiles"."avatar_path" IS 'Path in the public bucket avatars, below the folder of the account; null: none.';

COMMENT ON COLUMN "public"."profiles"."display_name" IS 'Name that others see, 1 to 80 characters.';

COMMENT ON COLUMN "public"."profiles"."id" IS 'The account in auth.users.';

COMMENT ON COLUMN "public"."profiles"."is_active" IS 'False locks the account: its tokens stay valid, and no clinical row is visible any more.';

COMMENT ON COLUMN "public"."profiles"."is_public" IS 'Whether any signed-in account may see the public columns.';

COMMENT ON COLUMN "public"."profiles"."is_verified" IS 'Whether an administrator has verified the clinician. Mirrors doctors.verified_at for display.';

COMMENT ON COLUMN "public"."profiles"."last_active_at" IS 'Last call of touch_last_active, to the minute.';

COMMENT ON COLUMN "public"."profiles"."locale" IS 'BCP 47 language tag, for example en or hi-IN.';

COMMENT ON COLUMN "public"."profiles"."role" IS 'What the account is. Never set from sign-up metadata beyond patient or caregiver, never by its owner: doctor comes from verify_doctor, admin from a database administrator.';

COMMENT ON COLUMN "public"."profiles"."timezone" IS 'IANA time zone, for example Asia/Kolkata.';

COMMENT ON FUNCTION "private"."access_grounds"(uuid) IS 'Every ground on which somebody else may see a patient''s data now.';

COMMENT ON FUNCTION "private"."access_summary"(text, text) IS 'An audit row in words for the patient, for example "Opened your chart".';

COMMENT ON FUNCTION "private"."added_record_ids"() IS 'Records that the caller, a doctor, has added to charts that are open now.';

COMMENT ON FUNCTION "private"."audit_rows"() IS 'Statement trigger: writes an audit row for each changed row. Arguments: resource type, id column, patient column or the empty text, and columns, comma separated, whose values are too large or too close to file contents to keep: of these it says only that they changed.';

COMMENT ON FUNCTION "private"."audit_table"(regclass, text, text, text, text) IS 'Puts the three audit triggers on a table; used while the schema is loaded.';

COMMENT ON FUNCTION "private"."authorize_record_download"(uuid) IS 'Decides on and logs a download, the patient''s own included. Errors: PT401 unauthenticated, PT403 forbidden (shared for viewing only), PT404 not_found.';

COMMENT ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) IS 'Announces a file for a record. Returns where to put it and until when. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_uploaded.';

COMMENT ON FUNCTION "private"."changed_values"(jsonb, jsonb, text[]) IS 'The members of one side of a change that differ from the other side, or all that are not null when there is no other side; null when none. Values of `p_without` are replaced by a mark.';

COMMENT ON FUNCTION "private"."chart_patient_ids"(text) IS 'Patients whose chart the caller has open and may read in `p_scope`: all of a doctor''s, and a caregiver''s where the patient gave that scope. Without a scope: whatever the scopes, which is enough for the registry.';

COMMENT ON FUNCTION "private"."close_account"() IS 'Body of public.close_account.';

COMMENT ON FUNCTION "private"."close_chart"(uuid) IS 'Body of public.close_chart.';

COMMENT ON FUNCTION "private"."complete_record_upload"(uuid) IS 'Gives a record the file of a checked upload; repeating it changes nothing. Errors: PT409 already_uploaded or upload_missing.';

COMMENT ON FUNCTION "private"."connected_profile_ids"() IS 'Accounts whose public face the caller may see because they are in care together, or because a record is shared between them.';

COMMENT ON FUNCTION "private"."copy_record_to_contents"() IS 'Trigger: takes over what policies need from the record. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."current_audit_context"() IS 'Who acts, from the token''s claims and the request''s headers.';

COMMENT ON FUNCTION "private"."end_barred_sessions"() IS 'Trigger on auth.users: whoever is banned or deleted loses every session at once, where Auth alone would let them run until the next refresh.';

COMMENT ON FUNCTION "private"."end_care"(uuid, text) IS 'Body of public.end_care.';

COMMENT ON FUNCTION "private"."ensure_month_partitions"(regclass, integer) IS 'Makes the partitions of this month and the next ones in schema private, with row-level security on, no grants and no truncate; those that exist stay. Not for tables that may be truncated. Run it well before a month begins: rows that are in the default partition already keep the month from being made.';

COMMENT ON FUNCTION "private"."grant_account"(uuid, text) IS 'Body of public.grant_account.';

COMMENT ON FUNCTION "private"."handle_new_user"() IS 'Trigger on auth.users: makes the profile and, for a patient, the registry row. Takes role (patient or caregiver only), display_name, first_name, last_name, locale and timezone from the sign-up metadata. An anonymous account gets a profile and no registry row.';

COMMENT ON FUNCTION "private"."handle_user_upgrade"() IS 'Trigger on auth.users: when an anonymous account becomes a permanent one, its registry row is made.';

COMMENT ON FUNCTION "private"."import_records"(uuid, text, jsonb, jsonb) IS 'Writes the resources of a FHIR bundle as records of a patient, for the patient or a doctor with the chart open, in one statement. p_rows: array of {source_id, record_type, title, record_date, sensitivity, fhir}; p_patient: registry fields of the bundle''s Patient and its source_id, or null. Returns for each row imported, updated or unchanged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT422 wrong_patient.';

COMMENT ON FUNCTION "private"."is_admin"() IS 'Whether the caller is an active administrator with multi-factor sign-in (aal2).';

COMMENT ON FUNCTION "private"."is_timezone"(text) IS 'Whether a text is the name of an IANA time zone, for example Asia/Kolkata; null for null.';

COMMENT ON FUNCTION "private"."is_verified_doctor"() IS 'Whether the caller is a verified clinician.';

COMMENT ON FUNCTION "private"."letters"(text) IS 'The letters of a name in lower case: how names are compared between systems.';

COMMENT ON FUNCTION "private"."like_escape"(text) IS 'Makes a text match itself in LIKE and ILIKE.';

COMMENT ON FUNCTION "private"."limit_sign_in_attempts"(jsonb) IS 'Auth hook for password and multi-factor attempts: after five failures within 300 seconds of the first, every attempt of the account by that method is refused until they are over, the right one too. p_event: {user_id, valid, factor_id?}; returns {decision: continue | reject}.';

COMMENT ON FUNCTION "private"."live_account"(jsonb) IS 'The account of a token''s claims, in one row, while its session exists and it is not locked; no row otherwise. For definer functions only.';

COMMENT ON FUNCTION "private"."make_cursor"(jsonb) IS 'Writes a sort key as a cursor.';

COMMENT ON FUNCTION "private"."merge_imported_patient"(uuid, text, jsonb) IS 'Compares the Patient of a bundle with the registry, fills what is empty there, and remembers the patient''s id in the source system. Two names that both differ, another date of birth or another id there mean somebody else. Errors: PT422 wrong_patient.';

COMMENT ON FUNCTION "private"."my_access_log"(integer, timestamp with time zone, bigint) IS 'Body of public.my_access_log.';

COMMENT ON FUNCTION "private"."open_chart"(uuid, text) IS 'Body of public.open_chart.';

COMMENT ON FUNCTION "private"."open_chart_purpose"(uuid) IS 'Purpose of the chart that the caller has open of a patient, for the audit row; null for none.';

COMMENT ON FUNCTION "private"."open_charts"() IS 'Patients whose chart the caller has open, with the scopes of a caregiver, or null for a doctor, who sees all of it. A doctor must be verified and at aal2, and in active care of the patient unless it is an emergency; a caregiver must be appointed. Every condition is looked up anew, so whatever is withdrawn bites on the next statement.';

COMMENT ON FUNCTION "private"."open_medical_record"(uuid) IS 'Body of public.open_medical_record.';

COMMENT ON FUNCTION "private"."pending_record_upload"(uuid) IS 'The newest open announcement of a record, or the completed one. Errors: PT401 unauthenticated, PT404 not_found, PT409 upload_missing.';

COMMENT ON FUNCTION "private"."reachable_patient_ids"() IS 'Patients of whom the caller may perhaps see a record: oneself, those whose chart was opened, those who share one. Empty when the session is over. No ground by itself: it lets the planner find the rows that the grounds then decide on.';

COMMENT ON FUNCTION "private"."read_cursor"(text, integer) IS 'Reads a cursor back as an array of `p_parts`; null for null. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."record_access"(uuid) IS 'Why the caller may read one record: owner, chart, share_view or share_download; null when not.';

COMMENT ON FUNCTION "private"."refuse_change"() IS 'Trigger: refuses whatever it is put on.';

COMMENT ON FUNCTION "private"."reject_record_upload"(uuid) IS 'Closes an upload whose file was not what had been announced; repeating it changes nothing.';

COMMENT ON FUNCTION "private"."request_care"(uuid, text, text[]) IS 'Body of public.request_care.';

COMMENT ON FUNCTION "private"."request_doctor_verification"(text, text, text) IS 'Body of public.request_doctor_verification.';

COMMENT ON FUNCTION "private"."require_admin"() IS 'The caller''s id. Errors: PT401 unauthenticated, PT403 forbidden for anyone but an administrator.';

COMMENT ON FUNCTION "private"."require_live_session"() IS 'The caller''s id. Errors: PT401 unauthenticated when the session is over or the account locked.';

COMMENT ON FUNCTION "private"."require_page_size"(integer) IS 'Refuses a page of less than 1 or more than 100 rows. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."respond_care_request"(uuid, boolean, text[]) IS 'Body of public.respond_care_request.';

COMMENT ON FUNCTION "private"."revoke_account_grant"(uuid, text) IS 'Body of public.revoke_account_grant.';

COMMENT ON FUNCTION "private"."revoke_record_share"(uuid) IS 'Body of public.revoke_record_share.';

COMMENT ON FUNCTION "private"."session_is_live"() IS 'Whether the token''s session still exists and its account is active. A token outlives sign-out and lock by up to its lifetime; clinical policies ask here, so that both bite at once.';

COMMENT ON FUNCTION "private"."set_account_active"(uuid, boolean, text) IS 'Body of public.set_account_active.';

COMMENT ON FUNCTION "private"."set_care_scopes"(uuid, text[]) IS 'Body of public.set_care_scopes.';

COMMENT ON FUNCTION "private"."set_record_deleted"(uuid, boolean) IS 'Body of public.delete_medical_record and public.restore_medical_record.';

COMMENT ON FUNCTION "private"."set_record_source"() IS 'Trigger: a row that a client inserts says by whom, and whether the patient or a doctor.';

COMMENT ON FUNCTION "private"."set_updated_at"() IS 'Trigger: stamps updated_at with the time of the transaction.';

COMMENT ON FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp with time zone) IS 'Body of public.share_medical_record.';

COMMENT ON FUNCTION "private"."shared_record_ids"() IS 'Records that are shared with the caller now.';

COMMENT ON FUNCTION "private"."sync_record_contents"() IS 'Trigger: keeps the copies in the contents equal to the record.';

COMMENT ON FUNCTION "private"."take_rate_token"(text, integer, integer) IS 'Takes one token of the bucket `p_key`, which holds `p_capacity` and fills up in `p_refill_seconds`. Returns whether there was one, whole tokens left, and the seconds until the bucket is full (taken) or has its next token (refused).';

COMMENT ON FUNCTION "private"."touch_last_active"() IS 'Body of public.touch_last_active.';

COMMENT ON FUNCTION "private"."treated_patient_ids"() IS 'Patients whose chart the caller has open as a doctor.';

COMMENT ON FUNCTION "private"."verify_doctor"(uuid, boolean, text) IS 'Body of public.verify_doctor.';

COMMENT ON FUNCTION "private"."who_can_see"(uuid) IS 'Body of public.who_can_see and why_can_see.';

COMMENT ON FUNCTION "private"."writable_record"(uuid) IS 'The patient of a record that the caller may change: the patient, or the doctor who added it, with the chart open. Null otherwise.';

COMMENT ON FUNCTION "private"."write_audit"(text, text, uuid, uuid, text, jsonb) IS 'Writes one audit row for the caller. Only definer functions call it: whoever could call it directly could forge a trail.';

COMMENT ON FUNCTION "public"."close_account"() IS 'The caller closes their own account: shares, charts and care end, every session ends, and the account is locked. Nothing is erased, as records must be kept; an administrator can unlock it. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."close_chart"(uuid) IS 'The viewer closes a chart before its time; closing a closed one changes nothing. Errors: PT404 not_found.';

COMMENT ON FUNCTION "public"."delete_medical_record"(uuid) IS 'The patient deletes a record: nobody else sees it from now on; it can be restored until retention removes it. Deleting twice changes nothing. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."end_care"(uuid, text) IS 'Either side ends an active relationship, or the asker withdraws a request; charts that stand on it close at once. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_ended.';

COMMENT ON FUNCTION "public"."grant_account"(uuid, text) IS 'Administrators: gives an account a capability (moderator, seller, listener); giving it twice is as giving it once. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "public"."my_access_log"(integer, text) IS 'Who touched the caller''s data as a patient: every row that somebody else caused, newest first, with name, role, purpose and a summary in words. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."open_chart"(uuid, text) IS 'Opens a patient''s chart for 60 minutes: p_purpose treatment or care_coordination for a verified doctor with aal2, delegated for a caregiver; both need an active relationship. The opening is the audit of every read under it. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 not_verified or mfa_required, PT404 not_found.';

COMMENT ON FUNCTION "public"."open_medical_record"(uuid) IS 'One record with its contents, for its patient, under an open chart, or by a live share; anyone but the patient leaves an audit row. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."request_care"(uuid, text, text[]) IS 'Asks a patient for a care relationship (caller is a verified doctor, or a caregiver, of that kind), or appoints a doctor or caregiver (caller is the patient; active at once). p_scopes only for caregivers. Returns the id. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 not_verified or forbidden, PT404 not_found, PT409 already_requested.';

COMMENT ON FUNCTION "public"."request_doctor_verification"(text, text, text) IS 'Asks to be verified as a clinician; asking again replaces a request that is open or was refused. Changes no right until an administrator decides. Errors: PT400 invalid_request, PT401 unauthenticated, PT409 already_answered when verified already.';

COMMENT ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) IS 'The patient accepts or declines a request; p_scopes, for a caregiver, replaces what was asked for. Of several answers at once the first counts. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_answered.';

COMMENT ON FUNCTION "public"."restore_medical_record"(uuid) IS 'The patient takes a deletion back; shares that are still live show the record again. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."revoke_account_grant"(uuid, text) IS 'Administrators: takes a capability from an account. Errors: PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "public"."revoke_record_share"(uuid) IS 'The patient takes a share back, or its recipient gives it up, at once; ending an ended share changes nothing. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."search_patients"(text, integer, text) IS 'Patients whose registry row the caller may see, by name, in order of name. Policies decide the rows, so a name that the caller may not see is as absent. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "public"."set_account_active"(uuid, boolean, text) IS 'Administrators: locks or unlocks an account; a lock ends access to clinical rows at once. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "public"."set_care_scopes"(uuid, text[]) IS 'The patient widens or narrows what an active caregiver may see; it bites on the next statement. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp with time zone) IS 'Shares one of the caller''s own records with another account until p_expires_at (at most a year); p_access_level view or download. Returns the share''s id. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_shared.';

COMMENT ON FUNCTION "public"."touch_last_active"() IS 'Stamps the caller''s last_active_at; written at most once a minute.';

COMMENT ON FUNCTION "public"."verify_doctor"(uuid, boolean, text) IS 'Administrators: verifies a clinician, or refuses or withdraws the verification with a reason. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "public"."who_can_see"(uuid) IS 'For the patient: everybody else who may see any of their data now, with the rule (care_doctor, care_caregiver, open_chart, share) and in words. Errors: PT401 unauthenticated, PT404 not_found for anyone but the patient.';

COMMENT ON FUNCTION "public"."why_can_see"(uuid, uuid) IS 'For the patient: the rules by which one account may see any of their data now; none: it may not. Errors: PT401 unauthenticated, PT404 not_found for anyone but the patient.';

COMMENT ON SCHEMA "private" IS 'Helpers that see past a caller''s policies, and tables that no client reads. Not served by the API.';

COMMENT ON TABLE "private"."audit_events_default" IS 'Audit rows of months that have no partition yet. PHI.';

COMMENT ON TABLE "private"."patient_identifiers" IS 'Who a patient is in a system that bundles were imported from: the id of its FHIR Patient. PHI. A later bundle of that system about another id is refused as somebody else''s.';

COMMENT ON TABLE "private"."rate_limits" IS 'Token buckets, one a key. Not PHI: the key is a digest of route and caller. Unlogged, because a bucket that a crash empties is full again, which harms nobody.';

COMMENT ON TABLE "private"."record_uploads" IS 'A file that was announced for a record, with what it was declared to be. PHI: the file name. Open means neither completed nor rejected; the upload itself must come before expires_at.';

COMMENT ON TABLE "private"."sign_in_failures" IS 'Failed attempts of an account within 300 seconds of the first. Not PHI.';

COMMENT ON TABLE "public"."account_grants" IS 'Capabilities of an account beside its role, given and taken by administrators.';

COMMENT ON TABLE "public"."audit_events" IS 'The audit trail (45 CFR 164.312(b)): one row a change, an opening or a download of a person''s data. PHI: the values say what changed. No foreign keys: the trail outlives what it speaks of.';

COMMENT ON TABLE "public"."care_relationships" IS 'One person looking after one patient, from request to end. PHI: who is treated by whom. A doctor sees the whole chart; a caregiver sees what the scopes name. Active means status active and ends_at null or in the future.';

COMMENT ON TABLE "public"."chart_sessions" IS 'One opening of one patient''s chart by one viewer: the right to read, for at most 60 minutes, and the record that it was used. PHI: who looked at whom, when and why. Open means closed_at null and expires_at in the future; no job closes it.';

COMMENT ON TABLE "public"."doctors" IS 'Clinicians and those who ask to be verified as one. Verified means verified_at is set; a request without a decision has neither verified_at nor rejected_reason.';

COMMENT ON TABLE "public"."medical_record_contents" IS 'What a record says: at most one row a record. PHI. Apart from medical_records, because whom a record is shared with may list it, but reads its contents through open_medical_record only.';

COMMENT ON TABLE "public"."medical_record_shares" IS 'One record shown to one other account until a day. PHI. Live means revoked_at null and expires_at in the future; no job ends it.';

COMMENT ON TABLE "public"."medical_records" IS 'The list of a patient''s records: what, when, from where; what it says is in medical_record_contents. PHI.';

COMMENT ON TABLE "public"."patients" IS 'The patient registry: one row a patient, made at sign-up, filled by the patient or by an import. PHI throughout.';

COMMENT ON TABLE "public"."profiles" IS 'One row an account: its role, its public face and its preferences. Personal data; clinical facts are in patients. Others see the public columns only, through public_profiles.';

COMMENT ON TYPE "private"."audit_context" IS 'Who acts in this transaction, and from where.';

COMMENT ON VIEW "private"."visible_profiles" IS 'The rows and columns of profiles that the caller may see of others. Runs with its owner''s rights on purpose: the policies of profiles show a caller only their own row, in full.';

COMMENT ON VIEW "public"."public_profiles" IS 'Public faces of accounts that are public, or connected with the caller by care or a share. Not PHI by itself.';

REVOKE ALL ON FUNCTION "private"."access_grounds"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."access_summary"(text, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."added_record_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."added_record_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."audit_rows"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."audit_table"(regclass, text, text, text, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."authorize_record_download"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."authorize_record_download"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."begin_record_upload"(uuid, text, text, bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."changed_values"(jsonb, jsonb, text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chart_patient_ids"(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."chart_patient_ids"(text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."close_account"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."close_account"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."close_chart"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."close_chart"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."complete_record_upload"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."complete_record_upload"(uuid) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."connected_profile_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."connected_profile_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."copy_record_to_contents"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."current_audit_context"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."end_barred_sessions"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."end_care"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."end_care"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."ensure_month_partitions"(regclass, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."grant_account"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."grant_account"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."handle_new_user"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."handle_user_upgrade"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."import_records"(uuid, text, jsonb, jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."import_records"(uuid, text, jsonb, jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."is_admin"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."is_admin"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."is_timezone"(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."is_timezone"(text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."is_verified_doctor"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."is_verified_doctor"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."letters"(text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."like_escape"(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."like_escape"(text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."limit_sign_in_attempts"(jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."limit_sign_in_attempts"(jsonb) TO "supabase_auth_admin";

REVOKE ALL ON FUNCTION "private"."live_account"(jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."make_cursor"(jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."make_cursor"(jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."merge_imported_patient"(uuid, text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."my_access_log"(integer, timestamp WITH time zone, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."my_access_log"(integer, timestamp WITH time zone, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."open_chart"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."open_chart"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."open_chart_purpose"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."open_charts"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."open_medical_record"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."open_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."pending_record_upload"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."pending_record_upload"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."reachable_patient_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."reachable_patient_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."read_cursor"(text, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."read_cursor"(text, integer) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."record_access"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."refuse_change"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."reject_record_upload"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."reject_record_upload"(uuid) TO "records_worker";

REVOKE ALL ON FUNCTION "private"."request_care"(uuid, text, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."request_care"(uuid, text, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."request_doctor_verification"(text, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."request_doctor_verification"(text, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."require_admin"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."require_admin"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."require_live_session"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."require_live_session"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."require_page_size"(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."require_page_size"(integer) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."respond_care_request"(uuid, boolean, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."respond_care_request"(uuid, boolean, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."revoke_account_grant"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."revoke_account_grant"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."revoke_record_share"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."revoke_record_share"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."session_is_live"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."session_is_live"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."set_account_active"(uuid, boolean, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."set_account_active"(uuid, boolean, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."set_care_scopes"(uuid, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."set_care_scopes"(uuid, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."set_record_deleted"(uuid, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."set_record_deleted"(uuid, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."set_record_source"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."set_updated_at"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."shared_record_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."shared_record_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."sync_record_contents"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."take_rate_token"(text, integer, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."take_rate_token"(text, integer, integer) TO "rate_limit_worker";

REVOKE ALL ON FUNCTION "private"."touch_last_active"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."touch_last_active"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."treated_patient_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."treated_patient_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."verify_doctor"(uuid, boolean, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."verify_doctor"(uuid, boolean, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."who_can_see"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."who_can_see"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."writable_record"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."write_audit"(text, text, uuid, uuid, text, jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "public"."close_account"() TO "authenticated";

REVOKE ALL ON FUNCTION "public"."close_account"() FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."close_account"() TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."close_chart"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."close_chart"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."close_chart"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."delete_medical_record"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_medical_record"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."end_care"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."end_care"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."end_care"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."grant_account"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."grant_account"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."grant_account"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."my_access_log"(integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."my_access_log"(integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."my_access_log"(integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_chart"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."open_chart"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_chart"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."open_medical_record"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."open_medical_record"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."request_care"(uuid, text, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."request_care"(uuid, text, text[]) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."request_care"(uuid, text, text[]) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."request_doctor_verification"(text, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."request_doctor_verification"(text, text, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."request_doctor_verification"(text, text, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."respond_care_request"(uuid, boolean, text[]) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."restore_medical_record"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."restore_medical_record"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."restore_medical_record"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."revoke_account_grant"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."revoke_account_grant"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."revoke_account_grant"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."revoke_record_share"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."revoke_record_share"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."revoke_record_share"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."search_patients"(text, integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."search_patients"(text, integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."search_patients"(text, integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."set_account_active"(uuid, boolean, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."set_account_active"(uuid, boolean, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."set_account_active"(uuid, boolean, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."set_care_scopes"(uuid, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."set_care_scopes"(uuid, text[]) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."set_care_scopes"(uuid, text[]) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."share_medical_record"(uuid, uuid, text, timestamp WITH time zone) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."touch_last_active"() TO "authenticated";

REVOKE ALL ON FUNCTION "public"."touch_last_active"() FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."touch_last_active"() TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."verify_doctor"(uuid, boolean, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."verify_doctor"(uuid, boolean, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."verify_doctor"(uuid, boolean, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."who_can_see"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."who_can_see"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."who_can_see"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."why_can_see"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."why_can_see"(uuid, uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."why_can_see"(uuid, uuid) TO "postgres";

GRANT USAGE ON SCHEMA "private" TO "authenticated", "rate_limit_worker", "records_worker", "supabase_auth_admin";

REVOKE ALL ON SEQUENCE "public"."audit_events_id_seq" FROM "postgres";

GRANT SELECT, UPDATE, USAGE ON SEQUENCE "public"."audit_events_id_seq" TO "postgres";

REVOKE ALL ON TABLE "public"."account_grants" FROM "authenticated";

GRANT SELECT ON TABLE "public"."account_grants" TO "authenticated";

REVOKE ALL ON TABLE "public"."account_grants" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."account_grants" TO "postgres";

REVOKE ALL ON TABLE "public"."audit_events" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."audit_events" TO "postgres";

REVOKE ALL ON TABLE "public"."care_relationships" FROM "authenticated";

GRANT SELECT ON TABLE "public"."care_relationships" TO "authenticated";

REVOKE ALL ON TABLE "public"."care_relationships" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."care_relationships" TO "postgres";

REVOKE ALL ON TABLE "public"."chart_sessions" FROM "authenticated";

GRANT SELECT ON TABLE "public"."chart_sessions" TO "authenticated";

REVOKE ALL ON TABLE "public"."chart_sessions" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."chart_sessions" TO "postgres";

REVOKE ALL ON TABLE "public"."doctors" FROM "authenticated";

GRANT SELECT ON TABLE "public"."doctors" TO "authenticated";

REVOKE ALL ON TABLE "public"."doctors" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."doctors" TO "postgres";

REVOKE ALL ON TABLE "public"."medical_record_contents" FROM "authenticated";

REVOKE ALL ("description") ON TABLE "public"."medical_record_contents" FROM "authenticated";

GRANT INSERT ("description"), UPDATE ("description") ON TABLE "public"."medical_record_contents" TO "authenticated";

REVOKE ALL ("metadata") ON TABLE "public"."medical_record_contents" FROM "authenticated";

GRANT INSERT ("metadata"), UPDATE ("metadata") ON TABLE "public"."medical_record_contents" TO "authenticated";

REVOKE ALL ("record_id") ON TABLE "public"."medical_record_contents" FROM "authenticated";

GRANT INSERT ("record_id") ON TABLE "public"."medical_record_contents" TO "authenticated";

GRANT SELECT ON TABLE "public"."medical_record_contents" TO "authenticated";

REVOKE ALL ON TABLE "public"."medical_record_contents" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."medical_record_contents" TO "postgres";

REVOKE ALL ON TABLE "public"."medical_record_shares" FROM "authenticated";

GRANT SELECT ON TABLE "public"."medical_record_shares" TO "authenticated";

REVOKE ALL ON TABLE "public"."medical_record_shares" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."medical_record_shares" TO "postgres";

REVOKE ALL ON TABLE "public"."medical_records" FROM "authenticated";

REVOKE ALL ("patient_id") ON TABLE "public"."medical_records" FROM "authenticated";

GRANT INSERT ("patient_id") ON TABLE "public"."medical_records" TO "authenticated";

REVOKE ALL ("record_date") ON TABLE "public"."medical_records" FROM "authenticated";

GRANT INSERT ("record_date"), UPDATE ("record_date") ON TABLE "public"."medical_records" TO "authenticated";

REVOKE ALL ("record_type") ON TABLE "public"."medical_records" FROM "authenticated";

GRANT INSERT ("record_type"), UPDATE ("record_type") ON TABLE "public"."medical_records" TO "authenticated";

REVOKE ALL ("sensitivity") ON TABLE "public"."medical_records" FROM "authenticated";

GRANT INSERT ("sensitivity"), UPDATE ("sensitivity") ON TABLE "public"."medical_records" TO "authenticated";

REVOKE ALL ("title") ON TABLE "public"."medical_records" FROM "authenticated";

GRANT INSERT ("title"), UPDATE ("title") ON TABLE "public"."medical_records" TO "authenticated";

GRANT SELECT ON TABLE "public"."medical_records" TO "authenticated";

REVOKE ALL ON TABLE "public"."medical_records" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."medical_records" TO "postgres";

REVOKE ALL ON TABLE "public"."patients" FROM "authenticated";

REVOKE ALL ("address") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("address") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("cancer_type") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("cancer_type") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("city") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("city") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("country") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("country") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("date_of_birth") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("date_of_birth") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("diagnosis_date") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("diagnosis_date") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("emergency_contact_name") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("emergency_contact_name") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("emergency_contact_phone") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("emergency_contact_phone") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("emergency_contact_relationship") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("emergency_contact_relationship") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("first_name") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("first_name") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("gender") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("gender") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("insurance_policy_number") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("insurance_policy_number") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("insurance_provider") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("insurance_provider") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("last_name") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("last_name") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("medical_history") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("medical_history") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("phone") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("phone") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("postal_code") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("postal_code") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("state") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("state") ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ("treatment_stage") ON TABLE "public"."patients" FROM "authenticated";

GRANT UPDATE ("treatment_stage") ON TABLE "public"."patients" TO "authenticated";

GRANT SELECT ON TABLE "public"."patients" TO "authenticated";

REVOKE ALL ON TABLE "public"."patients" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."patients" TO "postgres";

REVOKE ALL ON TABLE "public"."profiles" FROM "authenticated";

REVOKE ALL ("avatar_path") ON TABLE "public"."profiles" FROM "authenticated";

GRANT UPDATE ("avatar_path") ON TABLE "public"."profiles" TO "authenticated";

REVOKE ALL ("bio") ON TABLE "public"."profiles" FROM "authenticated";

GRANT UPDATE ("bio") ON TABLE "public"."profiles" TO "authenticated";

REVOKE ALL ("display_name") ON TABLE "public"."profiles" FROM "authenticated";

GRANT UPDATE ("display_name") ON TABLE "public"."profiles" TO "authenticated";

REVOKE ALL ("is_public") ON TABLE "public"."profiles" FROM "authenticated";

GRANT UPDATE ("is_public") ON TABLE "public"."profiles" TO "authenticated";

REVOKE ALL ("locale") ON TABLE "public"."profiles" FROM "authenticated";

GRANT UPDATE ("locale") ON TABLE "public"."profiles" TO "authenticated";

REVOKE ALL ("timezone") ON TABLE "public"."profiles" FROM "authenticated";

GRANT UPDATE ("timezone") ON TABLE "public"."profiles" TO "authenticated";

GRANT SELECT ON TABLE "public"."profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."profiles" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."profiles" TO "postgres";

GRANT SELECT ON TABLE "private"."visible_profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."public_profiles" FROM "authenticated";

GRANT SELECT ON TABLE "public"."public_profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."public_profiles" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."public_profiles" TO "postgres";

ALTER TABLE "public"."medical_records"
  ADD CONSTRAINT "medical_records_created_by_fkey" FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

CREATE INDEX medical_records_created_by_idx ON public.medical_records USING btree (created_by);

CREATE POLICY "medical_records_update_authenticated" ON "public"."medical_records"
  FOR UPDATE
  TO "authenticated"
  USING
    ((( SELECT private.session_is_live() AS session_is_live) AND (deleted_at IS NULL) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((created_by = ( SELECT auth.uid() AS uid))
    AND (patient_id = ANY (ARRAY( SELECT private.treated_patient_ids() AS treated_patient_ids)))))))
  WITH
    CHECK
    ((( SELECT private.session_is_live() AS session_is_live) AND ((patient_id = ( SELECT auth.uid() AS uid)) OR ((created_by = ( SELECT auth.uid() AS uid)) AND (patient_id = ANY
    (ARRAY( SELECT private.treated_patient_ids() AS treated_patient_ids)))))));

COMMENT ON COLUMN "public"."medical_records"."created_by" IS 'Who added it; null when that account is gone.';

ALTER TABLE "public"."profiles"
  ADD CONSTRAINT "profiles_timezone_check" CHECK (private.is_timezone(timezone));
