-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

CREATE TABLE "private"."data_keys" (
  "id"           uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "purpose"      text                     NOT NULL,
  "subject_id"   uuid                     NOT NULL,
  "key_id"       text                     NOT NULL,
  "key_version"  integer                  NOT NULL,
  "wrapped_key"  bytea,
  "created_at"   timestamp with time zone NOT NULL DEFAULT now(),
  "rewrapped_at" timestamp with time zone,
  "erased_at"    timestamp with time zone,
  CONSTRAINT "data_keys_erased_check" CHECK (((wrapped_key IS NULL) = (erased_at IS NOT NULL))),
  CONSTRAINT "data_keys_key_id_check" CHECK ((key_id ~ '^[a-z][a-z0-9-]{0,31}$'::text)),
  CONSTRAINT "data_keys_key_version_check" CHECK (((key_version >= 1) AND (key_version <= 999999))),
  CONSTRAINT "data_keys_pkey" PRIMARY KEY (id),
  CONSTRAINT "data_keys_purpose_check" CHECK ((purpose = ANY (ARRAY['record_file'::text, 'patient_fields'::text]))),
  CONSTRAINT "data_keys_wrapped_key_check" CHECK ((octet_length(wrapped_key) = 60))
);

ALTER TABLE "private"."data_keys"
  ENABLE ROW LEVEL SECURITY;

ALTER TABLE "public"."medical_records"
  ADD COLUMN "source_url" text;

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
    when 'export_records' then 'Exported your records'
    else initcap(replace(p_action, '_', ' ')) || 'd ' || case p_resource_type
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
  end
$function$;

CREATE OR REPLACE FUNCTION private.authorize_export (
  p_patient_id     uuid,
  p_since          timestamp with time zone,
  p_resource_types text[]
)
  RETURNS TABLE (
    grounds     text[],
    identifiers jsonb
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
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No patient with this id';
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
      );
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
  v_caller constant uuid := (select auth.uid());
  v_grounds text[] := '{}';
begin
  if not private.session_is_live() then
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
    for no key update; -- what refers to the patient, a new share for example, need not wait
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No patient with this id';
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

ALTER TABLE "public"."medical_records"
  ADD CONSTRAINT "medical_records_source_url_check" CHECK (((source_url IS NULL) OR ((source = 'fhir'::text) AND ((length(source_url) >= 1) AND (length(source_url) <= 500)))));

CREATE INDEX data_keys_key_version_idx ON private.data_keys USING btree (key_version, id)
  WHERE (erased_at IS NULL);

CREATE UNIQUE INDEX data_keys_one_patient_key ON private.data_keys USING btree (subject_id)
  WHERE ((purpose = 'patient_fields'::text) AND (erased_at IS NULL));

CREATE INDEX data_keys_subject_id_idx ON private.data_keys USING btree (subject_id, purpose);

COMMENT ON COLUMN "private"."data_keys"."id" IS 'The key; part of what the wrapping authenticates.';

COMMENT ON COLUMN "private"."data_keys"."key_id" IS 'Name of the key-encryption key.';

COMMENT ON COLUMN "private"."data_keys"."key_version" IS 'Version of the key-encryption key, from 1.';

COMMENT ON COLUMN "private"."data_keys"."purpose" IS 'record_file: one file of a record; patient_fields: the encrypted columns of a patient and of the contents of their records.';

COMMENT ON COLUMN "private"."data_keys"."rewrapped_at" IS 'Last change to another version; null: none.';

COMMENT ON COLUMN "private"."data_keys"."subject_id" IS 'What it belongs to: the record, or the patient.';

COMMENT ON COLUMN "private"."data_keys"."wrapped_key" IS 'Nonce (12 bytes), ciphertext and tag; null when erased.';

COMMENT ON COLUMN "public"."medical_records"."source_url" IS 'fullUrl of the resource in the bundle it came with, by which other resources of that bundle refer to it; null when it had none.';

COMMENT ON FUNCTION "private"."authorize_export"(uuid, timestamp with time zone, text[]) IS 'Decides on and logs an export, the patient''s own included, with the filter it was asked with; commit before the first byte goes out. Returns export_grounds, and the patient''s ids in other systems, [{system, value}], first linked first. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."export_grounds"(uuid) IS 'By what the caller may take a patient''s records along now: owner; or chart, with sensitive where those records are seen, too, and the ids of records that were opened by a share; empty when by nothing. Row-level security decides on every row all the same: this is for the answer 404, and for an export under way to notice that a right has gone.';

COMMENT ON FUNCTION "private"."import_records"(uuid, text, jsonb, jsonb) IS 'Writes the resources of a FHIR bundle as records of a patient, for the patient or a doctor with the chart open, in one statement. p_rows: array of {source_id, source_url, record_type, title, record_date, sensitivity, fhir}; p_patient: registry fields of the bundle''s Patient and its source_id, or null. Returns for each row imported, updated, unchanged, or kept: it differs, but is newer than what comes, or another than the doctor who imports added it. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT422 wrong_patient.';

COMMENT ON TABLE "private"."data_keys" IS 'Data keys (AES-256), each wrapped with AES-256-GCM under a version of the key-encryption key. What a key has sealed cannot be read any more once its wrapped form is erased. No foreign key: a key is made before what it seals, and its erasure outlives it.';

REVOKE ALL ON FUNCTION "private"."authorize_export"(uuid, timestamp WITH time zone, text[]) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."authorize_export"(uuid, timestamp WITH time zone, text[]) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."export_grounds"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."export_grounds"(uuid) TO "authenticated";
