-- Checks of the audit trail: everything that seals promise, computed anew; and the administrators'
-- search in the trail, which shows who did what to whose data and never the data.
-- Needs: 16_audit_seals.sql. Policies: policies/16_audit_seals.sql.

create function private.check_audit_seal(p_seal_id bigint)
  returns table (checked bigint, bad_id bigint, reason text)
  language plpgsql
  stable
  set search_path = ''
as $$
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
$$;
comment on function private.check_audit_seal(bigint) is
  'Computes one seal anew from its events. Answers how many events it checked, and the first that '
  'is wrong with the reason; when the fault is the seal''s, its first event.';

create function private.find_unsealed_event(p_from timestamptz, p_to timestamptz)
  returns table (bad_id bigint, reason text)
  language plpgsql
  stable
  set search_path = ''
as $$
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
$$;
comment on function private.find_unsealed_event(timestamptz, timestamptz) is
  'The first event in no seal that cannot be there because it waits for the next one: slipped in. '
  'Events of an interval, half-open; null is no bound.';

create function private.check_audit(p_from timestamptz default null, p_to timestamptz default null)
  returns table (
    ok boolean,
    checked bigint,
    first_bad_id bigint,
    first_bad_seal_id bigint,
    reason text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
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
$$;
comment on function private.check_audit(timestamptz, timestamptz) is
  'Checks the seals made in an interval, half-open, and that no event of it was slipped in; null '
  'is no bound. Computes every leaf, root and link anew. Answers the number of sealed events '
  'checked, and the first that is wrong, with its seal and the reason. For the owner of the '
  'database; administrators call public.verify_audit.';

revoke execute on function
  private.check_audit_seal(bigint),
  private.find_unsealed_event(timestamptz, timestamptz),
  private.check_audit(timestamptz, timestamptz)
from public, anon, authenticated, service_role;

create function private.verify_audit(p_from timestamptz, p_to timestamptz)
  returns table (
    ok boolean,
    checked bigint,
    first_bad_id bigint,
    first_bad_seal_id bigint,
    reason text
  )
  language plpgsql
  security definer -- events and seals are not readable by the caller
  set search_path = ''
as $$
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
$$;
comment on function private.verify_audit(timestamptz, timestamptz) is
  'Body of public.verify_audit.';
revoke execute on function private.verify_audit(timestamptz, timestamptz)
  from public, anon, service_role;
grant execute on function private.verify_audit(timestamptz, timestamptz) to authenticated;

create function public.verify_audit(p_from timestamptz default null, p_to timestamptz default null)
  returns table (
    ok boolean,
    checked bigint,
    first_bad_id bigint,
    first_bad_seal_id bigint,
    reason text
  )
  language sql
  set search_path = ''
as $$
  select v.ok, v.checked, v.first_bad_id, v.first_bad_seal_id, v.reason
  from private.verify_audit(p_from, p_to) as v
$$;
comment on function public.verify_audit(timestamptz, timestamptz) is
  'Computes the sealed audit trail anew: the seals made from p_from until before p_to (null: no '
  'bound), every leaf, root and link of them, and that no event was slipped in. Answers ok, the '
  'number of events checked, and the first bad one with its seal and the reason. For '
  'administrators; writes an audit row. Errors: PT401 unauthenticated, PT403 forbidden.';
revoke execute on function public.verify_audit(timestamptz, timestamptz)
  from public, anon, service_role;
grant execute on function public.verify_audit(timestamptz, timestamptz) to authenticated;

-- Search -----------------------------------------------------------------------------------------

create function private.audit_search(
  p_actor_id uuid,
  p_patient_id uuid,
  p_action text,
  p_resource_type text,
  p_resource_id uuid,
  p_request_id text,
  p_from timestamptz,
  p_to timestamptz,
  p_limit integer,
  p_before_id bigint
)
  returns table (
    id bigint,
    occurred_at timestamptz,
    actor_id uuid,
    actor_role text,
    session_id uuid,
    action text,
    resource_type text,
    resource_id uuid,
    patient_id uuid,
    purpose text,
    request_id text
  )
  language plpgsql
  security definer -- events are not readable by the caller
  set search_path = ''
  -- Each set of filters has its own plan: those that are not given fall away.
  set plan_cache_mode = 'force_custom_plan'
as $$
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
$$;
comment on function private.audit_search(
  uuid, uuid, text, text, uuid, text, timestamptz, timestamptz, integer, bigint
) is 'Body of public.audit_search.';
revoke execute on function private.audit_search(
  uuid, uuid, text, text, uuid, text, timestamptz, timestamptz, integer, bigint
) from public, anon, service_role;
grant execute on function private.audit_search(
  uuid, uuid, text, text, uuid, text, timestamptz, timestamptz, integer, bigint
) to authenticated;

create function public.audit_search(
  p_actor_id uuid default null,
  p_patient_id uuid default null,
  p_action text default null,
  p_resource_type text default null,
  p_resource_id uuid default null,
  p_request_id text default null,
  p_from timestamptz default null,
  p_to timestamptz default null,
  p_limit integer default 20,
  p_cursor text default null
)
  returns table (
    id bigint,
    occurred_at timestamptz,
    actor_id uuid,
    actor_role text,
    session_id uuid,
    action text,
    resource_type text,
    resource_id uuid,
    patient_id uuid,
    purpose text,
    request_id text,
    cursor text
  )
  language plpgsql
  set search_path = ''
as $$
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
$$;
comment on function public.audit_search(
  uuid, uuid, text, text, uuid, text, timestamptz, timestamptz, integer, text
) is
  'Who did what to whose data: events that match every filter given, newest first by id, without '
  'the values that changed. p_from until before p_to bounds occurred_at. For administrators; '
  'writes an audit row, which the patient searched for can read. p_limit 1 to 100; p_cursor is '
  'the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 '
  'unauthenticated, PT403 forbidden.';
revoke execute on function public.audit_search(
  uuid, uuid, text, text, uuid, text, timestamptz, timestamptz, integer, text
) from public, anon, service_role;
grant execute on function public.audit_search(
  uuid, uuid, text, text, uuid, text, timestamptz, timestamptz, integer, text
) to authenticated;
