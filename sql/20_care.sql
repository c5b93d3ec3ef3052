-- Care: who looks after whom, and the open chart, without which nobody but the patient and those a
-- record is shared with sees a clinical row.
-- Needs: 10_identity.sql, 15_audit.sql. Policies: policies/20_care.sql. What care and charts let
-- somebody do is decided in 26_access.sql.

create table public.care_relationships (
  id uuid primary key default gen_random_uuid(),
  patient_id uuid not null references public.patients (id) on delete restrict,
  member_id uuid not null references public.profiles (id) on delete restrict,
  kind text not null,
  scopes text[] not null default '{}',
  status text not null default 'requested',
  requested_by uuid not null references public.profiles (id) on delete restrict,
  starts_at timestamptz,
  ends_at timestamptz,
  ended_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint care_relationships_kind_check check (kind in ('doctor', 'caregiver')),
  constraint care_relationships_status_check
    check (status in ('requested', 'active', 'declined', 'ended')),
  constraint care_relationships_scopes_check check (
    scopes <@ array['records', 'tracking', 'medications', 'appointments', 'messages', 'sensitive']
    and array_position(scopes, null) is null
  ),
  constraint care_relationships_doctor_scopes_check
    check (kind = 'caregiver' or scopes = '{}'),
  constraint care_relationships_caregiver_scopes_check
    check (kind = 'doctor' or status <> 'active' or cardinality(scopes) > 0),
  constraint care_relationships_people_check
    check (patient_id <> member_id and requested_by in (patient_id, member_id)),
  constraint care_relationships_times_check check (
    (status = 'requested') = (starts_at is null and ends_at is null)
    and (status <> 'active' or starts_at is not null)
    and (status not in ('declined', 'ended') or ends_at is not null)
  ),
  constraint care_relationships_ended_reason_check check (length(ended_reason) <= 500)
);
comment on table public.care_relationships is
  'One person looking after one patient, from request to end. PHI: who is treated by whom. A doctor '
  'sees the whole chart; a caregiver sees what the scopes name. Active means status active and '
  'ends_at null or in the future.';
comment on column public.care_relationships.member_id is 'The doctor or caregiver.';
comment on column public.care_relationships.scopes is
  'What a caregiver may see: records, tracking, medications, appointments, messages; sensitive is '
  'needed beside records for records marked so. Empty for doctors.';
comment on column public.care_relationships.status is
  'requested by the member, active or declined by the patient, ended by either.';
comment on column public.care_relationships.starts_at is 'When the patient activated it; null before.';
comment on column public.care_relationships.ends_at is 'When it ended or was declined; null while open.';

-- One open relationship of a kind between two people.
create unique index care_relationships_one_open on public.care_relationships
  (patient_id, member_id, kind) where status in ('requested', 'active');
create index care_relationships_patient_id_idx
  on public.care_relationships (patient_id, created_at desc, id);
create index care_relationships_member_id_idx
  on public.care_relationships (member_id, created_at desc, id);
create index care_relationships_requested_by_idx on public.care_relationships (requested_by);

create trigger care_relationships_set_updated_at
  before update on public.care_relationships
  for each row execute function private.set_updated_at();
select private.audit_table('public.care_relationships', 'care_relationship', 'id', 'patient_id');

create table public.chart_sessions (
  id uuid primary key default gen_random_uuid(),
  patient_id uuid not null references public.patients (id) on delete restrict,
  viewer_id uuid not null references public.profiles (id) on delete restrict,
  purpose text not null,
  reason text,
  opened_at timestamptz not null default now(),
  expires_at timestamptz not null,
  last_used_at timestamptz not null default now(),
  closed_at timestamptz,
  reviewed_at timestamptz,
  reviewed_by uuid references public.profiles (id) on delete restrict,
  review_outcome text,
  review_note text,
  objected_at timestamptz,
  objection text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint chart_sessions_purpose_check
    check (purpose in ('treatment', 'care_coordination', 'delegated', 'emergency')),
  constraint chart_sessions_reason_check check (length(reason) <= 1000),
  constraint chart_sessions_lifetime_check check (
    expires_at > opened_at and expires_at - opened_at <= interval '60 minutes'
  ),
  constraint chart_sessions_people_check check (patient_id <> viewer_id),
  constraint chart_sessions_emergency_check check (
    purpose <> 'emergency'
    or length(reason) >= 20 and reason is not null and expires_at - opened_at <= interval '30 minutes'
  ),
  constraint chart_sessions_review_outcome_check
    check (review_outcome in ('justified', 'unjustified')),
  constraint chart_sessions_review_check check (
    num_nulls(reviewed_at, reviewed_by, review_outcome, review_note) in (0, 4)
    and (reviewed_at is null or purpose = 'emergency')
    and reviewed_by not in (viewer_id, patient_id)
    and length(review_note) between 1 and 1000
  ),
  constraint chart_sessions_objection_check check (
    num_nulls(objected_at, objection) in (0, 2)
    and (objected_at is null or purpose = 'emergency')
    and length(objection) between 1 and 1000
  )
);
comment on table public.chart_sessions is
  'One opening of one patient''s chart by one viewer: the right to read, for at most 60 minutes, and '
  'the record that it was used. PHI: who looked at whom, when and why. Open means closed_at null, '
  'expires_at in the future and last_used_at within 15 minutes; no job closes it.';
comment on column public.chart_sessions.purpose is
  'treatment or care_coordination (doctor), delegated (caregiver), emergency (without relationship).';
comment on column public.chart_sessions.last_used_at is
  'When the viewer last did something with the patient''s data that is logged, to the minute. A chart '
  'that was left alone for 15 minutes is closed for good.';
comment on column public.chart_sessions.reason is
  'In the viewer''s words; needed for an emergency, then of 20 to 1,000 characters.';
comment on column public.chart_sessions.reviewed_at is
  'When an emergency was reviewed; null: not yet, and the viewer may have no other.';
comment on column public.chart_sessions.reviewed_by is
  'Administrator who reviewed an emergency, neither its viewer nor its patient.';
comment on column public.chart_sessions.review_outcome is 'justified or unjustified.';
comment on column public.chart_sessions.review_note is
  'Why, in the administrator''s words; patient and viewer read it.';
comment on column public.chart_sessions.objected_at is 'When the patient objected to an emergency.';
comment on column public.chart_sessions.objection is
  'In the patient''s words; the viewer and administrators read it.';

create index chart_sessions_viewer_id_idx
  on public.chart_sessions (viewer_id, expires_at) where closed_at is null;
create index chart_sessions_viewer_history_idx
  on public.chart_sessions (viewer_id, opened_at desc, id);
create index chart_sessions_patient_id_idx
  on public.chart_sessions (patient_id, opened_at desc, id);
create index chart_sessions_reviewed_by_idx on public.chart_sessions (reviewed_by);
-- Whoever has opened a chart in an emergency opens no other until that one is reviewed.
create unique index chart_sessions_one_unreviewed_emergency on public.chart_sessions (viewer_id)
  where purpose = 'emergency' and reviewed_at is null;
-- As administrators list them: what waits for its review first.
create index chart_sessions_emergencies_idx on public.chart_sessions
  ((reviewed_at is null) desc, opened_at desc, id desc) where purpose = 'emergency';

create trigger chart_sessions_set_updated_at
  before update on public.chart_sessions
  for each row execute function private.set_updated_at();

create function private.audit_chart_close()
  returns trigger
  language plpgsql
  security definer -- nobody may insert into audit_events directly
  set search_path = ''
as $$
begin
  perform private.write_audit('close_chart', 'chart_session', new.id, new.patient_id, new.purpose);
  return null;
end;
$$;
comment on function private.audit_chart_close() is
  'Trigger: logs the closing of a chart, whoever closes it: its viewer, the end of care, a new '
  'opening, the closing of an account. That it runs out is in its expires_at.';
revoke execute on function private.audit_chart_close()
  from public, anon, authenticated, service_role;

create trigger chart_sessions_audit_close
  after update of closed_at on public.chart_sessions
  for each row when (old.closed_at is null and new.closed_at is not null)
  execute function private.audit_chart_close();

create function private.with_caregiver_scopes(p_values jsonb, p_patient_id uuid)
  returns jsonb
  language sql
  stable
  security definer -- care_relationships is not readable by every actor
  set search_path = ''
as $$
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
$$;
comment on function private.with_caregiver_scopes(jsonb, uuid) is
  'The values of an audit row, with the scopes that the caller has as the patient''s caregiver; '
  'unchanged for whoever is none.';
revoke execute on function private.with_caregiver_scopes(jsonb, uuid)
  from public, anon, authenticated, service_role;

-- RPC: care --------------------------------------------------------------------------------------

create function private.refuse_care(
  p_request text,
  p_relationship_id uuid,
  p_code text,
  p_details text
)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.refuse(
    p_request, 'care_relationship', p_relationship_id,
    (select r.patient_id from public.care_relationships as r where r.id = p_relationship_id),
    p_code, p_details
  )
$$;
comment on function private.refuse_care(text, uuid, text, text) is
  'Refuses a request about a care relationship: private.refuse with the patient whose it is. For '
  'definer functions only.';
revoke execute on function private.refuse_care(text, uuid, text, text)
  from public, anon, authenticated, service_role;

create function private.request_care(
  p_member_or_patient_id uuid,
  p_kind text,
  p_scopes text[]
)
  returns jsonb
  language plpgsql
  security definer -- care_relationships is written by these functions only
  set search_path = ''
as $$
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
  perform private.notify(
    p_member_or_patient_id,
    case when v_is_asking then 'care_requested' else 'care_accepted' end,
    jsonb_build_object('care_id', v_id)
  );
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
$$;
comment on function private.request_care(uuid, text, text[]) is 'Body of public.request_care.';
revoke execute on function private.request_care(uuid, text, text[])
  from public, anon, service_role;
grant execute on function private.request_care(uuid, text, text[]) to authenticated;

create function public.request_care(
  p_member_or_patient_id uuid,
  p_kind text,
  p_scopes text[] default '{}'
)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.request_care(p_member_or_patient_id, p_kind, p_scopes)
$$;
comment on function public.request_care(uuid, text, text[]) is
  'Asks a patient for a care relationship (caller is a verified doctor, or a caregiver, of that '
  'kind), or appoints a doctor or caregiver (caller is the patient; active at once). p_scopes only '
  'for caregivers. Answers the id, or the error that refuses it, which is logged. Errors: PT400 '
  'invalid_request, PT401 unauthenticated, PT403 not_verified, forbidden or mfa_required (a '
  'clinician, for themselves), PT404 not_found, PT409 already_requested.';
revoke execute on function public.request_care(uuid, text, text[]) from public, anon, service_role;
grant execute on function public.request_care(uuid, text, text[]) to authenticated;

create function private.respond_care_request(p_id uuid, p_accept boolean, p_scopes text[])
  returns jsonb
  language plpgsql
  security definer -- care_relationships is written by these functions only
  set search_path = ''
as $$
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
  perform private.notify(r.member_id, 'care_accepted', jsonb_build_object('care_id', p_id))
  from public.care_relationships as r
  where r.id = p_id and p_accept;
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$$;
comment on function private.respond_care_request(uuid, boolean, text[]) is
  'Body of public.respond_care_request.';
revoke execute on function private.respond_care_request(uuid, boolean, text[])
  from public, anon, service_role;
grant execute on function private.respond_care_request(uuid, boolean, text[]) to authenticated;

create function public.respond_care_request(
  p_id uuid,
  p_accept boolean,
  p_scopes text[] default null
)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.respond_care_request(p_id, p_accept, p_scopes)
$$;
comment on function public.respond_care_request(uuid, boolean, text[]) is
  'The patient accepts or declines a request; p_scopes, for a caregiver, replaces what was asked for. '
  'Of several answers at once the first counts. Answers null, or the error that refuses it, which '
  'is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician accepts for themselves), PT404 not_found, PT409 '
  'already_answered.';
revoke execute on function public.respond_care_request(uuid, boolean, text[])
  from public, anon, service_role;
grant execute on function public.respond_care_request(uuid, boolean, text[]) to authenticated;

create function private.set_care_scopes(p_id uuid, p_scopes text[])
  returns jsonb
  language plpgsql
  security definer -- care_relationships is written by these functions only
  set search_path = ''
as $$
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
$$;
comment on function private.set_care_scopes(uuid, text[]) is 'Body of public.set_care_scopes.';
revoke execute on function private.set_care_scopes(uuid, text[]) from public, anon, service_role;
grant execute on function private.set_care_scopes(uuid, text[]) to authenticated;

create function public.set_care_scopes(p_id uuid, p_scopes text[])
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.set_care_scopes(p_id, p_scopes)
$$;
comment on function public.set_care_scopes(uuid, text[]) is
  'The patient widens or narrows what an active caregiver may see; it bites on the next statement. '
  'Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician, for '
  'themselves), PT404 not_found.';
revoke execute on function public.set_care_scopes(uuid, text[]) from public, anon, service_role;
grant execute on function public.set_care_scopes(uuid, text[]) to authenticated;

create function private.end_care(p_id uuid, p_reason text)
  returns jsonb
  language plpgsql
  security definer -- care_relationships and chart_sessions are written by these functions only
  set search_path = ''
as $$
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
  -- Of a request that is withdrawn nobody is told: nothing has ended.
  perform private.notify(
    case v_caller when v_ended.patient_id then v_ended.member_id else v_ended.patient_id end,
    'care_ended', jsonb_build_object('care_id', p_id)
  )
  where v_ended.starts_at is not null;
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A reason has at most 500 characters';
end;
$$;
comment on function private.end_care(uuid, text) is 'Body of public.end_care.';
revoke execute on function private.end_care(uuid, text) from public, anon, service_role;
grant execute on function private.end_care(uuid, text) to authenticated;

create function public.end_care(p_id uuid, p_reason text default null)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.end_care(p_id, p_reason)
$$;
comment on function public.end_care(uuid, text) is
  'Either side ends an active relationship, or the asker withdraws a request; charts that stand on it '
  'close at once. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 '
  'already_ended.';
revoke execute on function public.end_care(uuid, text) from public, anon, service_role;
grant execute on function public.end_care(uuid, text) to authenticated;

-- RPC: charts ------------------------------------------------------------------------------------

create type public.opened_chart as (
  id uuid,
  expires_at timestamptz,
  code text,
  message text,
  details text,
  hint text
);
comment on type public.opened_chart is
  'Answer of open_chart and break_glass: the chart''s id and end, or the error that refuses it, of '
  'the same shape as every error of the API; the other members are null.';

create function private.open_chart(p_patient_id uuid, p_purpose text)
  returns public.opened_chart
  language plpgsql
  security definer -- chart_sessions is written by these functions only
  set search_path = ''
as $$
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
  perform private.notify(
    p_patient_id, 'chart_opened',
    jsonb_build_object('chart_id', v_chart.id, 'viewer_id', v_caller)
  );
  return row(v_chart.id, v_chart.expires_at, null, null, null, null)::public.opened_chart;
end;
$$;
comment on function private.open_chart(uuid, text) is 'Body of public.open_chart.';
revoke execute on function private.open_chart(uuid, text) from public, anon, service_role;
grant execute on function private.open_chart(uuid, text) to authenticated;

create function public.open_chart(p_patient_id uuid, p_purpose text)
  returns public.opened_chart
  language sql
  set search_path = ''
as $$
  select private.open_chart(p_patient_id, p_purpose)
$$;
comment on function public.open_chart(uuid, text) is
  'Opens a patient''s chart for 60 minutes, or until it is unused for 15: p_purpose treatment or '
  'care_coordination for a verified doctor with aal2, delegated for a caregiver; both need an active relationship. The opening is the '
  'audit of every read under it, and a refusal is logged too. Errors: PT400 invalid_request, PT401 '
  'unauthenticated, PT403 not_verified or mfa_required, PT404 not_found.';
revoke execute on function public.open_chart(uuid, text) from public, anon, service_role;
grant execute on function public.open_chart(uuid, text) to authenticated;

create function private.close_chart(p_id uuid)
  returns void
  language plpgsql
  security definer -- chart_sessions is written by these functions only
  set search_path = ''
as $$
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
$$;
comment on function private.close_chart(uuid) is 'Body of public.close_chart.';
revoke execute on function private.close_chart(uuid) from public, anon, service_role;
grant execute on function private.close_chart(uuid) to authenticated;

create function public.close_chart(p_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.close_chart(p_id)
$$;
comment on function public.close_chart(uuid) is
  'The viewer closes a chart before its time; closing a closed one changes nothing. Errors: PT401 '
  'unauthenticated, PT404 not_found.';
revoke execute on function public.close_chart(uuid) from public, anon, service_role;
grant execute on function public.close_chart(uuid) to authenticated;
