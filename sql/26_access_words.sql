-- Access in words: the grounds of 26_access.sql, told to the patient whose data it is.
-- Needs: 26_access.sql.

create function private.access_grounds(p_patient_id uuid)
  returns table (
    viewer_id uuid,
    viewer_name text,
    viewer_role text,
    rule text,
    explanation text,
    since timestamptz,
    until timestamptz
  )
  language sql
  stable
  security definer -- reads the names of others
  set search_path = ''
as $$
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
$$;
comment on function private.access_grounds(uuid) is
  'Every ground on which somebody else may see a patient''s data now.';
revoke execute on function private.access_grounds(uuid)
  from public, anon, authenticated, service_role;

create function private.who_can_see(p_patient_id uuid)
  returns table (
    viewer_id uuid,
    viewer_name text,
    viewer_role text,
    rule text,
    explanation text,
    since timestamptz,
    until timestamptz
  )
  language plpgsql
  stable
  security definer -- access_grounds is for the patient only, which is decided here
  set search_path = ''
as $$
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
$$;
comment on function private.who_can_see(uuid) is 'Body of public.who_can_see and why_can_see.';
revoke execute on function private.who_can_see(uuid) from public, anon, service_role;
grant execute on function private.who_can_see(uuid) to authenticated;

create function public.who_can_see(p_patient_id uuid)
  returns table (
    viewer_id uuid,
    viewer_name text,
    viewer_role text,
    rule text,
    explanation text,
    since timestamptz,
    until timestamptz
  )
  language sql
  stable
  set search_path = ''
as $$
  select w.viewer_id, w.viewer_name, w.viewer_role, w.rule, w.explanation, w.since, w.until
  from private.who_can_see(p_patient_id) as w
$$;
comment on function public.who_can_see(uuid) is
  'For the patient: everybody else who may see any of their data now, with the rule (care_doctor, '
  'care_caregiver, open_chart, emergency, share) and in words. Errors: PT401 unauthenticated, '
  'PT403 mfa_required, PT404 not_found for anyone but the patient.';
revoke execute on function public.who_can_see(uuid) from public, anon, service_role;
grant execute on function public.who_can_see(uuid) to authenticated;

create function public.why_can_see(p_viewer_id uuid, p_patient_id uuid)
  returns table (
    rule text,
    explanation text,
    since timestamptz,
    until timestamptz
  )
  language sql
  stable
  set search_path = ''
as $$
  select w.rule, w.explanation, w.since, w.until
  from private.who_can_see(p_patient_id) as w
  where w.viewer_id = p_viewer_id
$$;
comment on function public.why_can_see(uuid, uuid) is
  'For the patient: the rules by which one account may see any of their data now; none: it may '
  'not. Errors: PT401 unauthenticated, PT403 mfa_required, PT404 not_found for anyone but the '
  'patient.';
revoke execute on function public.why_can_see(uuid, uuid) from public, anon, service_role;
grant execute on function public.why_can_see(uuid, uuid) to authenticated;
