-- Emergency: a doctor opens the chart of a patient who is not in their care, gives the reason, and
-- everybody who has to know is told in the same transaction. An administrator reviews it; until
-- then the doctor has no other emergency. The opening itself is a row of chart_sessions, so that
-- whatever asks for open charts knows emergencies without more ado.
-- Needs: 20_care.sql (chart_sessions), 30_notifications.sql (private.notify, looked up when these
-- run). Policies: policies/21_emergency.sql.

create function private.break_glass(p_patient_id uuid, p_reason text)
  returns public.opened_chart
  language plpgsql
  security definer -- chart_sessions is written by these functions only
  set search_path = ''
as $$
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
$$;
comment on function private.break_glass(uuid, text) is 'Body of public.break_glass.';
revoke execute on function private.break_glass(uuid, text) from public, anon, service_role;
grant execute on function private.break_glass(uuid, text) to authenticated;

create function public.break_glass(p_patient_id uuid, p_reason text)
  returns public.opened_chart
  language sql
  set search_path = ''
as $$
  select private.break_glass(p_patient_id, p_reason)
$$;
comment on function public.break_glass(uuid, text) is
  'Opens the chart of a patient who is not in the caller''s care for 30 minutes, for a verified '
  'doctor with aal2 in an emergency; p_reason has 20 to 1,000 characters, and the patient reads it. '
  'The patient and every administrator are notified at once, an administrator reviews the access, '
  'and until then the doctor has no other. Errors: PT400 invalid_request, PT401 unauthenticated, '
  'PT403 forbidden (anonymous account), not_verified or mfa_required, PT404 not_found, PT409 '
  'review_pending, or already_in_care for a patient whose chart open_chart opens.';
revoke execute on function public.break_glass(uuid, text) from public, anon, service_role;
grant execute on function public.break_glass(uuid, text) to authenticated;

-- Review -----------------------------------------------------------------------------------------

create function private.review_emergency_access(p_id uuid, p_outcome text, p_note text)
  returns jsonb
  language plpgsql
  security definer -- chart_sessions is written by these functions only
  set search_path = ''
as $$
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
$$;
comment on function private.review_emergency_access(uuid, text, text) is
  'Body of public.review_emergency_access.';
revoke execute on function private.review_emergency_access(uuid, text, text)
  from public, anon, service_role;
grant execute on function private.review_emergency_access(uuid, text, text) to authenticated;

create function public.review_emergency_access(p_id uuid, p_outcome text, p_note text)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.review_emergency_access(p_id, p_outcome, p_note)
$$;
comment on function public.review_emergency_access(uuid, text, text) is
  'Administrators: decides once whether an emergency access was justified or unjustified, with a note '
  'of 1 to 1,000 characters that doctor and patient read; both are notified. An unjustified one that '
  'is still open closes at once; withdrawing the verification is a decision of its own. Not for its '
  'own doctor or patient. Answers null, or the error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, '
  'PT404 not_found, PT409 already_reviewed.';
revoke execute on function public.review_emergency_access(uuid, text, text)
  from public, anon, service_role;
grant execute on function public.review_emergency_access(uuid, text, text) to authenticated;

create function private.list_emergency_accesses(p_limit integer, p_after jsonb)
  returns table (
    id uuid,
    patient_id uuid,
    patient_name text,
    viewer_id uuid,
    viewer_name text,
    reason text,
    opened_at timestamptz,
    ended_at timestamptz,
    actions bigint,
    objected_at timestamptz,
    objection text,
    reviewed_at timestamptz,
    reviewed_by uuid,
    review_outcome text,
    review_note text
  )
  language plpgsql
  stable
  security definer -- openings of others and the audit trail are not readable by the caller
  set search_path = ''
as $$
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
$$;
comment on function private.list_emergency_accesses(integer, jsonb) is
  'Body of public.list_emergency_accesses. p_after: [waits, opened_at, id] of the last row of the '
  'page before; null for the first page.';
revoke execute on function private.list_emergency_accesses(integer, jsonb)
  from public, anon, service_role;
grant execute on function private.list_emergency_accesses(integer, jsonb) to authenticated;

create function public.list_emergency_accesses(
  p_limit integer default 20,
  p_cursor text default null
)
  returns table (
    id uuid,
    patient_id uuid,
    patient_name text,
    viewer_id uuid,
    viewer_name text,
    reason text,
    opened_at timestamptz,
    ended_at timestamptz,
    actions bigint,
    objected_at timestamptz,
    objection text,
    reviewed_at timestamptz,
    reviewed_by uuid,
    review_outcome text,
    review_note text,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
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
$$;
comment on function public.list_emergency_accesses(integer, text) is
  'Administrators: every emergency access, those that wait for a review first, then newest first: '
  'whose chart, by whom, the reason given, until when, how many logged actions were done under it '
  '(actions), objection and review. Nothing of the chart itself. p_limit 1 to 100; p_cursor is the '
  'cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, '
  'PT403 forbidden.';
revoke execute on function public.list_emergency_accesses(integer, text)
  from public, anon, service_role;
grant execute on function public.list_emergency_accesses(integer, text) to authenticated;

-- Objection --------------------------------------------------------------------------------------

create function private.object_to_emergency_access(p_id uuid, p_note text)
  returns jsonb
  language plpgsql
  security definer -- chart_sessions is written by these functions only
  set search_path = ''
as $$
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
$$;
comment on function private.object_to_emergency_access(uuid, text) is
  'Body of public.object_to_emergency_access.';
revoke execute on function private.object_to_emergency_access(uuid, text)
  from public, anon, service_role;
grant execute on function private.object_to_emergency_access(uuid, text) to authenticated;

create function public.object_to_emergency_access(p_id uuid, p_note text)
  returns jsonb
  language sql
  set search_path = ''
as $$
  select private.object_to_emergency_access(p_id, p_note)
$$;
comment on function public.object_to_emergency_access(uuid, text) is
  'The patient objects, once, to an emergency access to their chart, before or after its review, with '
  'a note of 1 to 1,000 characters that administrators and the doctor read. It is put on record and '
  'told to every administrator; it closes nothing, as an emergency may go on. Answers null, or the '
  'error that refuses it, which is logged. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found, PT409 already_objected.';
revoke execute on function public.object_to_emergency_access(uuid, text)
  from public, anon, service_role;
grant execute on function public.object_to_emergency_access(uuid, text) to authenticated;
