-- Access: who may do what with a patient's data, and why. Each rule stands here once, for whoever
-- the viewer is; policies, functions and the answer to "who can see my data" are all made of these.
-- Needs: 20_care.sql, 25_records.sql. Policies: policies/20_care.sql, policies/25_records.sql.
--
-- Functions without settings or definer's rights of their own become part of the statement that
-- calls them, a definer function's: nobody else may execute them. Those that policies call are
-- plpgsql with kept plans, because a function in SQL that is no part of a statement is planned anew
-- at each call, and planning costs several times what the lookups do.

-- What is in force -------------------------------------------------------------------------------

create function private.care_is_active(p_care public.care_relationships)
  returns boolean
  language sql
  stable
as $$
  select p_care.status = 'active' and (p_care.ends_at is null or p_care.ends_at > now())
$$;
comment on function private.care_is_active(public.care_relationships) is
  'Whether a relationship has been accepted and has not ended.';

create function private.chart_idles_at(p_chart public.chart_sessions)
  returns timestamptz
  language sql
  stable
as $$
  select p_chart.last_used_at + interval '15 minutes'
$$;
comment on function private.chart_idles_at(public.chart_sessions) is
  'When an opening of a chart ends for want of use: automatic logoff, 45 CFR 164.312(a)(2)(iii).';

create function private.chart_is_open(p_chart public.chart_sessions)
  returns boolean
  language sql
  stable
as $$
  select p_chart.closed_at is null
    and p_chart.expires_at > now()
    and private.chart_idles_at(p_chart) > now()
$$;
comment on function private.chart_is_open(public.chart_sessions) is
  'Whether an opening of a chart is neither closed nor over, nor idle. No ground by itself.';

create function private.share_is_live(p_share public.medical_record_shares)
  returns boolean
  language sql
  stable
as $$
  select p_share.revoked_at is null and p_share.expires_at > now()
$$;
comment on function private.share_is_live(public.medical_record_shares) is
  'Whether a share is neither revoked nor over.';

-- Grounds: what a viewer stands on, whatever token they hold --------------------------------------

create function private.care_grounds(p_viewer_id uuid)
  returns table (
    patient_id uuid,
    kind text,
    scopes text[],
    since timestamptz,
    until timestamptz
  )
  language sql
  stable
as $$
  select r.patient_id, r.kind, r.scopes, r.starts_at, r.ends_at
  from public.care_relationships as r
  where r.member_id = p_viewer_id
    and private.care_is_active(r)
    and case r.kind
      when 'doctor' then exists (select 1 from private.verified_doctor(p_viewer_id))
      else exists (select 1 from private.active_account(p_viewer_id))
    end
$$;
comment on function private.care_grounds(uuid) is
  'Patients whose chart a viewer may open: in active care as a verified doctor, or as a caregiver '
  'with these scopes. until: null while nothing ends it.';

create function private.chart_grounds(p_viewer_id uuid)
  returns table (
    patient_id uuid,
    scopes text[],
    rule text,
    purpose text,
    since timestamptz,
    until timestamptz
  )
  language sql
  stable
as $$
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
$$;
comment on function private.chart_grounds(uuid) is
  'Open charts of a viewer that still stand on something: active care of that kind or, in an '
  'emergency, the licence alone. scopes: a caregiver''s; null for a doctor, who sees all of it. '
  'until: the earliest of its end, 15 minutes without use, and the end of care.';

create function private.share_grounds(p_viewer_id uuid)
  returns table (
    record_id uuid,
    patient_id uuid,
    access_level text,
    since timestamptz,
    until timestamptz
  )
  language sql
  stable
as $$
  select s.record_id, s.patient_id, s.access_level, s.created_at, s.expires_at
  from public.medical_record_shares as s
  where s.shared_with_id = p_viewer_id
    and private.share_is_live(s)
    and exists (select 1 from private.active_account(p_viewer_id))
$$;
comment on function private.share_grounds(uuid) is
  'Live shares with a viewer. A record that its patient has deleted is shown by none of them.';

revoke execute on function
  private.care_is_active(public.care_relationships),
  private.chart_idles_at(public.chart_sessions),
  private.chart_is_open(public.chart_sessions),
  private.share_is_live(public.medical_record_shares),
  private.care_grounds(uuid), private.chart_grounds(uuid), private.share_grounds(uuid)
from public, anon, authenticated, service_role;

-- The caller: what the token adds -----------------------------------------------------------------

create function private.clinical_account(p_claims jsonb)
  returns table (id uuid)
  language sql
  stable
as $$
  select l.id
  from private.live_account(p_claims) as l
  where l.role not in ('doctor', 'admin') or p_claims ->> 'aal' = 'aal2'
$$;
comment on function private.clinical_account(jsonb) is
  'The account of a token''s claims, in one row, if the token may carry a clinical right: its '
  'session is live, the account is not locked, and a clinician or administrator has signed in with '
  'a second factor (aal2). For definer functions only.';
revoke execute on function private.clinical_account(jsonb)
  from public, anon, authenticated, service_role;

create function private.clinical_caller()
  returns uuid
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return (select a.id from private.clinical_account(v_claims) as a);
end;
$$;
comment on function private.clinical_caller() is
  'The caller, if their token may carry a clinical right, as private.clinical_account says. Null '
  'otherwise, which stands on no ground. For definer functions only.';
revoke execute on function private.clinical_caller()
  from public, anon, authenticated, service_role;

create function private.may_see_clinical_rows()
  returns boolean
  language plpgsql
  stable
  security definer -- auth.sessions and the lock of the account are not readable by the caller
  set search_path = ''
as $$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return exists (select 1 from private.clinical_account(v_claims));
end;
$$;
comment on function private.may_see_clinical_rows() is
  'Whether the caller''s token may carry a clinical right at all; a restrictive policy on every '
  'table with a patient''s data asks, whatever the other policies allow.';
revoke execute on function private.may_see_clinical_rows() from public, anon, service_role;
grant execute on function private.may_see_clinical_rows() to authenticated;

-- Helpers for policies ---------------------------------------------------------------------------

create function private.chart_patient_ids(p_scope text)
  returns setof uuid
  language plpgsql
  stable
  security definer -- chart_sessions and sessions are not readable by the caller in full
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query
    select g.patient_id
    from private.chart_grounds(v_caller) as g
    where g.scopes is null or p_scope = any (g.scopes);
end;
$$;
comment on function private.chart_patient_ids(text) is
  'Patients whose chart the caller has open and may read in `p_scope`: all of a doctor''s, and a '
  'caregiver''s where the patient gave that scope.';
revoke execute on function private.chart_patient_ids(text) from public, anon, service_role;
grant execute on function private.chart_patient_ids(text) to authenticated;

create function private.treated_patient_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- as chart_patient_ids
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query select g.patient_id from private.chart_grounds(v_caller) as g where g.scopes is null;
end;
$$;
comment on function private.treated_patient_ids() is
  'Patients whose chart the caller has open as a doctor.';
revoke execute on function private.treated_patient_ids() from public, anon, service_role;
grant execute on function private.treated_patient_ids() to authenticated;

create function private.reachable_patient_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- must not depend on the policies of the tables it reads
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.reachable_patient_ids() is
  'Patients of whom the caller may perhaps see a record: oneself, those whose chart was opened, '
  'those who share one; none without the token that private.may_see_clinical_rows asks for. No '
  'ground by itself: it lets the planner find the rows that the grounds then decide on.';
revoke execute on function private.reachable_patient_ids() from public, anon, service_role;
grant execute on function private.reachable_patient_ids() to authenticated;

create function private.shared_record_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- must not depend on the policies of medical_record_shares
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_claims constant jsonb := auth.jwt();
  v_caller constant uuid := (select a.id from private.clinical_account(v_claims) as a);
begin
  return query select g.record_id from private.share_grounds(v_caller) as g;
end;
$$;
comment on function private.shared_record_ids() is 'Records that are shared with the caller now.';
revoke execute on function private.shared_record_ids() from public, anon, service_role;
grant execute on function private.shared_record_ids() to authenticated;

create function private.opened_record_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- record_openings is not readable by the caller
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.opened_record_ids() is
  'Records that are shared with the caller now, and that they have opened by that share within 60 '
  'minutes, in an earlier transaction.';
revoke execute on function private.opened_record_ids() from public, anon, service_role;
grant execute on function private.opened_record_ids() to authenticated;

create function private.added_record_ids()
  returns setof uuid
  language plpgsql
  stable
  security definer -- must not depend on the policies of medical_records
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.added_record_ids() is
  'Records that the caller, a doctor, has added to charts that are open now.';
revoke execute on function private.added_record_ids() from public, anon, service_role;
grant execute on function private.added_record_ids() to authenticated;

-- The decision -----------------------------------------------------------------------------------

create function private.access_decision(
  p_viewer_id uuid,
  p_patient_id uuid,
  p_record_id uuid,
  p_action text
)
  returns table (allowed boolean, rule text, since timestamptz, until timestamptz)
  language plpgsql
  stable
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.access_decision(uuid, uuid, uuid, text) is
  'Whether a viewer may do something with a patient''s record, in one row: allowed, by which rule '
  '(owner, open_chart, emergency, share), since and until when (null: open end). p_action: list, '
  'read (what it says), download (its file), write (change it), upload (give it a file), share, '
  'delete (and restore). p_record_id null: the patient as a whole, of which one may list the '
  'records, read the registry row and write a new record. A record that a share shows is read once '
  'it has been opened. Speaks of the viewer; for the caller pass private.clinical_caller(), which '
  'adds what the token must be. For definer functions only. Errors: PT400 invalid_request.';
revoke execute on function private.access_decision(uuid, uuid, uuid, text)
  from public, anon, authenticated, service_role;

create function private.record_access(p_record_id uuid)
  returns table (ground text, patient_id uuid)
  language plpgsql
  stable
  security definer -- decides for callers who may not see the row
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.record_access(uuid) is
  'Why the caller may read one record: owner, chart, share_view or share_download; null when not. '
  'And whose it is, for the log of a refusal. No row when there is no such record.';
revoke execute on function private.record_access(uuid)
  from public, anon, authenticated, service_role;

create function private.writable_record(p_record_id uuid)
  returns uuid
  language plpgsql
  stable
  security definer -- decides for callers who may not see the row
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.writable_record(uuid) is
  'The patient of a record that the caller may change: the patient, or the doctor who added it, '
  'with the chart open. Null otherwise.';
revoke execute on function private.writable_record(uuid)
  from public, anon, authenticated, service_role;

-- Use of a chart ---------------------------------------------------------------------------------

create function private.open_chart_purpose(p_patient_id uuid)
  returns text
  language plpgsql
  stable
  security definer -- chart_sessions is not readable by every actor
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select c.purpose
    from public.chart_sessions as c
    where c.viewer_id = auth.uid() and c.patient_id = p_patient_id and private.chart_is_open(c)
    order by c.opened_at desc
    limit 1
  );
end;
$$;
comment on function private.open_chart_purpose(uuid) is
  'Purpose of the chart that the caller has open of a patient, for the audit row; null for none.';
revoke execute on function private.open_chart_purpose(uuid)
  from public, anon, authenticated, service_role;

create function private.touch_chart(p_patient_id uuid)
  returns void
  language plpgsql
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
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
$$;
comment on function private.touch_chart(uuid) is
  'Notes that the caller uses the chart they have open of a patient; written at most once a '
  'minute, and never waited for. The audit functions call it, so that whatever is logged counts as '
  'use.';
revoke execute on function private.touch_chart(uuid)
  from public, anon, authenticated, service_role;
