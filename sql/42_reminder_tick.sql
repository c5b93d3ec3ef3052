-- The tick: tells what is due, follows up what stays unanswered, and keeps reminders worked out ahead.
-- The function `reminders` calls these as reminder_worker, once a minute; any number of calls may
-- overlap, and each may be repeated or cut off anywhere.
-- Needs: 30_notifications.sql, 40_reminders.sql; medications of 45_tracking.sql when these run.
--
-- Each call takes one batch in one transaction: rows due by index, those that another call holds
-- passed over. A batch begins behind the last row of the one before, so that it does not walk over
-- what those have left behind in the index; a transaction that is open elsewhere for long keeps the
-- server from clearing that away. Time is an argument, the clock of whoever calls: a clock that goes
-- back finds nothing due that was done before, as what is due is in the row and not in the clock.

create function private.tick_reminders(
  p_now timestamptz,
  p_limit integer,
  p_after timestamptz default '-infinity',
  p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
  returns table (
    claimed integer,
    sent integer,
    missed integer,
    last_due_at timestamptz,
    last_id uuid
  )
  language plpgsql
  security definer -- the worker has no rights on the tables
  set search_path = ''
  -- A kept plan does not know how small a batch is, and would read the whole table for it.
  set plan_cache_mode = force_custom_plan
as $$
declare
  v_told uuid[];
  v_told_data jsonb[];
  v_summed_up uuid[];
begin
  with claimed as materialized (
    select
      r.id, r.user_id, r.reminder_type, r.medication_id, r.timezone, r.grace_minutes,
      r.repeat_every_minutes, r.max_repeats, r.next_due_at, r.upcoming,
      (select count(*) from unnest(r.upcoming) as u where u <= p_now)::integer as due
    from public.reminders as r
    where r.is_active and r.next_due_at <= p_now
      and (r.next_due_at, r.id) > (p_after, p_after_id)
    order by r.next_due_at, r.id
    limit p_limit
    for no key update skip locked
  ),
  moved as (
    update public.reminders as r set
      upcoming = c.upcoming[c.due + 1 :],
      expanded_to = c.upcoming[c.due]
    from claimed as c
    where r.id = c.id
  ),
  logged as (
    insert into public.reminder_logs (
      reminder_id, user_id, reminder_type, medication_id, timezone, grace_minutes, due_at, status,
      follow_up_at
    )
    select
      c.id, c.user_id, c.reminder_type, c.medication_id, c.timezone, c.grace_minutes, u.at,
      case when g.ends_at >= p_now then 'sent' else 'missed' end,
      -- From when it is told, not from when it was due: whoever is told at the end of the grace has
      -- time to answer before a caregiver is called.
      case
        when g.ends_at < p_now then null
        when u.position = c.due and c.max_repeats > 0
          then p_now + make_interval(mins => c.repeat_every_minutes)
        else p_now + make_interval(mins => c.grace_minutes)
      end
    from claimed as c
    cross join unnest(c.upcoming[: c.due]) with ordinality as u (at, position)
    cross join lateral (
      select u.at + make_interval(mins => c.grace_minutes) as ends_at
    ) as g
    -- What was logged under an earlier plan is not told again.
    on conflict (reminder_id, due_at) do nothing
    returning id, reminder_id, user_id, due_at, status
  ),
  told as (
    -- Of several that were late, the newest speaks for all of the reminder.
    select l.user_id, l.id, l.reminder_id
    from logged as l
    join claimed as c on c.id = l.reminder_id and c.upcoming[c.due] = l.due_at
    where l.status = 'sent'
  )
  select
    (select count(*) from claimed),
    (select count(*) from logged as l where l.status = 'sent'),
    (select count(*) from logged as l where l.status = 'missed'),
    (select c.next_due_at from claimed as c order by c.next_due_at desc, c.id desc limit 1),
    (select c.id from claimed as c order by c.next_due_at desc, c.id desc limit 1),
    array(select t.user_id from told as t order by t.id),
    array(
      select jsonb_build_object('reminder_id', t.reminder_id, 'log_id', t.id)
      from told as t
      order by t.id
    ),
    array(select distinct l.user_id from logged as l where l.status = 'missed' order by 1)
  into claimed, sent, missed, last_due_at, last_id, v_told, v_told_data, v_summed_up;

  if v_told <> '{}' then
    perform private.notify_many(v_told, 'reminder_due', v_told_data);
  end if;
  if v_summed_up <> '{}' then
    -- One that is unread already says it.
    perform private.notify_many(
      v_summed_up, 'reminder_missed',
      array(select jsonb_build_object('user_id', u) from unnest(v_summed_up) as u)
    );
  end if;
  return next;
end;
$$;
comment on function private.tick_reminders(timestamptz, integer, timestamptz, uuid) is
  'Takes one batch of reminders that are due at p_now, behind the row of p_after and p_after_id: logs '
  'every occurrence that has come due, moves the reminder on to its next one, and tells its owner. '
  'Within grace_minutes an occurrence is sent, of several the newest is told; older ones are missed, '
  'and told as one. Fewer claimed than p_limit: nothing else is due, but for what other calls hold.';

create function private.follow_up_reminders(
  p_now timestamptz,
  p_limit integer,
  p_after timestamptz default '-infinity',
  p_after_id uuid default '00000000-0000-0000-0000-000000000000'
)
  returns table (
    claimed integer,
    repeated integer,
    missed integer,
    escalated integer,
    last_follow_up_at timestamptz,
    last_id uuid
  )
  language plpgsql
  security definer -- the worker has no rights on the tables
  set search_path = ''
  set plan_cache_mode = force_custom_plan -- as tick_reminders
as $$
declare
  v_told uuid[];
  v_told_data jsonb[];
  v_caregivers uuid[];
  v_caregiver_data jsonb[];
begin
  with claimed as materialized (
    select
      l.id, l.reminder_id, l.user_id, l.reminder_type, l.status, l.due_at, l.follow_up_at,
      l.grace_minutes, l.repeats_sent, l.snoozed_until
    from public.reminder_logs as l
    where l.follow_up_at <= p_now and (l.follow_up_at, l.id) > (p_after, p_after_id)
    order by l.follow_up_at, l.id
    limit p_limit
    for no key update skip locked
  ),
  decided as materialized (
    select
      c.*, r.repeat_every_minutes, r.max_repeats,
      -- Told again, unless that comes too late to be of use, or the next occurrence has come since.
      (c.status = 'snoozed' or c.repeats_sent < r.max_repeats)
        and r.is_active
        and c.follow_up_at + make_interval(mins => c.grace_minutes) >= p_now
        and not exists (
          select from public.reminder_logs as n
          where n.reminder_id = c.reminder_id and n.due_at > c.due_at
        ) as is_told,
      case
        when r.is_active and private.cares_in_scope(
          c.user_id, r.escalate_to, private.reminder_scope(c.reminder_type)
        )
          then r.escalate_to
      end as caregiver_id
    from claimed as c
    join public.reminders as r on r.id = c.reminder_id
  ),
  changed as (
    update public.reminder_logs as l set
      status = case when d.is_told then 'sent' else 'missed' end,
      snoozed_until = null,
      -- Whoever asked for it later is reminded of it anew.
      repeats_sent = case
        when not d.is_told then d.repeats_sent
        when d.status = 'snoozed' then 0
        else d.repeats_sent + 1
      end,
      follow_up_at = case
        when d.is_told then p_now + make_interval(
          mins => case
            when d.max_repeats > 0 then d.repeat_every_minutes
            else d.grace_minutes
          end
        )
      end,
      -- What was escalated, then snoozed, is told again; that somebody was told stays.
      escalated_at = case
        when not d.is_told and d.caregiver_id is not null then p_now
        else l.escalated_at
      end
    from decided as d
    where l.id = d.id
  ),
  heard as materialized (
    -- A caregiver is told of a patient once in 15 minutes, however much was not answered.
    select distinct d.caregiver_id, d.user_id
    from decided as d
    where not d.is_told and d.caregiver_id is not null
      and not exists (
        select from public.notifications as n
        where n.user_id = d.caregiver_id
          and n.created_at > now() - interval '15 minutes'
          and n.kind = 'reminder_escalated'
          and n.data ->> 'patient_id' = d.user_id::text
      )
  )
  select
    (select count(*) from claimed),
    (select count(*) from decided as d where d.is_told),
    (select count(*) from decided as d where not d.is_told),
    (select count(*) from decided as d where not d.is_told and d.caregiver_id is not null),
    (select c.follow_up_at from claimed as c order by c.follow_up_at desc, c.id desc limit 1),
    (select c.id from claimed as c order by c.follow_up_at desc, c.id desc limit 1),
    array(select d.user_id from decided as d where d.is_told order by d.id),
    array(
      select jsonb_build_object('reminder_id', d.reminder_id, 'log_id', d.id)
      from decided as d
      where d.is_told
      order by d.id
    ),
    array(select h.caregiver_id from heard as h order by h.caregiver_id, h.user_id),
    array(
      select jsonb_build_object('patient_id', h.user_id)
      from heard as h
      order by h.caregiver_id, h.user_id
    )
  into claimed, repeated, missed, escalated, last_follow_up_at, last_id,
    v_told, v_told_data, v_caregivers, v_caregiver_data;

  if v_told <> '{}' then
    perform private.notify_many(v_told, 'reminder_due', v_told_data);
  end if;
  if v_caregivers <> '{}' then
    perform private.notify_many(v_caregivers, 'reminder_escalated', v_caregiver_data);
  end if;
  return next;
end;
$$;
comment on function private.follow_up_reminders(timestamptz, integer, timestamptz, uuid) is
  'Takes one batch of occurrences that wait for an answer and whose time has come at p_now: tells '
  'them again (repeat_every_minutes, max_repeats, or what was snoozed), or closes them as missed and '
  'tells the caregiver of escalate_to, if they are in care with the scope now, of a patient once in 15 '
  'minutes.';

create function private.notify_refills(p_now timestamptz, p_limit integer)
  returns integer
  language plpgsql
  security definer -- the worker has no rights on the table
  set search_path = ''
as $$
declare
  v_users uuid[];
  v_data jsonb[];
begin
  with claimed as materialized (
    select m.id, m.user_id
    from public.medications as m
    where m.refill_due_at <= p_now
    order by m.refill_due_at
    limit p_limit
    for no key update skip locked
  ),
  planned as (
    -- Whoever comes late does not tell it at night.
    select c.id, c.user_id, private.civil_time(p_now, p.timezone) as at
    from claimed as c
    join public.profiles as p on p.id = c.user_id
  ),
  due as materialized (
    select d.id, d.user_id from planned as d where d.at = p_now
  ),
  changed as (
    update public.medications as m set
      refill_due_at = case when d.at > p_now then d.at end,
      refill_notified_at = case when d.at > p_now then m.refill_notified_at else p_now end
    from planned as d
    where m.id = d.id
  )
  select
    array(select d.user_id from due as d order by d.id),
    array(select jsonb_build_object('medication_id', d.id) from due as d order by d.id)
  into v_users, v_data;
  if v_users <> '{}' then
    perform private.notify_many(v_users, 'medication_refill', v_data);
  end if;
  return cardinality(v_users);
end;
$$;
comment on function private.notify_refills(timestamptz, integer) is
  'Tells the owners of at most p_limit medicines that they run low, by day in their zone and once until '
  'they are refilled, and returns how many.';

-- Working out ahead ------------------------------------------------------------------------------
-- No lock is held while a rule is worked out: a row that has changed meanwhile keeps what it has, and
-- its turn comes again.

create function private.reminders_to_expand(p_limit integer)
  returns table (
    id uuid,
    token text,
    rrule text,
    starts_at_local text,
    timezone text,
    rdate jsonb,
    exdate jsonb,
    cycle_days_on integer,
    cycle_days_off integer,
    shift_minutes integer,
    expand_after text,
    wanted integer,
    is_stale boolean
  )
  language sql
  stable
  security definer -- the worker has no rights on the table
  set search_path = ''
as $$
  select
    r.id, r.xmin::text, r.rrule, to_char(r.starts_at_local, 'YYYY-MM-DD"T"HH24:MI:SS'), r.timezone,
    to_jsonb(r.rdate), to_jsonb(r.exdate), r.cycle_days_on, r.cycle_days_off, r.shift_minutes,
    to_char(
      case
        when r.expansion = 'open' and r.upcoming <> '{}' then r.upcoming[cardinality(r.upcoming)]
        else r.expanded_to
      end at time zone 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
    ),
    case r.expansion
      when 'open' then 16 - cardinality(r.upcoming)
      else 16 - (select count(*) from unnest(r.upcoming) as u where u <= r.expanded_to)
    end::integer,
    r.expansion = 'stale'
  from public.reminders as r
  where r.is_active
    and (r.expansion = 'stale' or r.expansion = 'open' and cardinality(r.upcoming) < 4)
  order by r.expanded_to
  limit p_limit
$$;
comment on function private.reminders_to_expand(integer) is
  'Reminders whose next occurrences have to be worked out: the plan, the instant after which, and how '
  'many. token is for store_expansions.';

create function private.store_expansions(p_expansions jsonb)
  returns integer
  language plpgsql
  security definer -- the worker has no rights on the table
  set search_path = ''
as $$
declare
  v_stored integer;
  v_stopped uuid[];
  v_stopped_data jsonb[];
begin
  with given as materialized (
    select
      e.id, e.token, coalesce(e.upcoming, '{}') as upcoming,
      coalesce(e.is_complete, false) as is_complete, coalesce(e.is_refused, false) as is_refused,
      e.per_day
    from jsonb_to_recordset(p_expansions) as e (
      id uuid, token text, upcoming timestamptz[], is_complete boolean, is_refused boolean,
      per_day numeric
    )
  ),
  unchanged as materialized (
    select r.id
    from public.reminders as r
    join given as g on g.id = r.id and g.token = r.xmin::text
    order by r.id
    for no key update of r skip locked
  ),
  refused as (
    update public.reminders as r set is_active = false, upcoming = '{}', expansion = 'refused'
    from given as g
    join unchanged as u on u.id = g.id
    where r.id = g.id and g.is_refused
    returning r.id, r.user_id
  ),
  stored as (
    update public.reminders as r set
      -- Of a plan that was changed, what had come due before stays.
      upcoming = case r.expansion
        when 'open' then r.upcoming
        else array(select u from unnest(r.upcoming) as u where u <= r.expanded_to order by u)
      end || g.upcoming,
      expansion = case when g.is_complete then 'complete' else 'open' end,
      per_day = coalesce(g.per_day, r.per_day)
    from given as g
    join unchanged as u on u.id = g.id
    where r.id = g.id and not g.is_refused
    returning r.id
  )
  select
    (select count(*) from refused) + (select count(*) from stored),
    array(select f.user_id from refused as f order by f.id),
    array(select jsonb_build_object('reminder_id', f.id) from refused as f order by f.id)
  into v_stored, v_stopped, v_stopped_data;
  if v_stopped <> '{}' then
    perform private.notify_many(v_stopped, 'reminder_stopped', v_stopped_data);
  end if;
  return v_stored;
end;
$$;
comment on function private.store_expansions(jsonb) is
  'Stores what was worked out for rows of reminders_to_expand that have not changed since, and '
  'returns for how many: an array of {id, token, upcoming, is_complete, is_refused, per_day}. A plan '
  'that is refused makes its reminder inactive, and its owner is told.';

revoke execute on function
  private.tick_reminders(timestamptz, integer, timestamptz, uuid),
  private.follow_up_reminders(timestamptz, integer, timestamptz, uuid),
  private.notify_refills(timestamptz, integer),
  private.reminders_to_expand(integer),
  private.store_expansions(jsonb)
from public, anon, authenticated, service_role;
grant execute on function
  private.tick_reminders(timestamptz, integer, timestamptz, uuid),
  private.follow_up_reminders(timestamptz, integer, timestamptz, uuid),
  private.notify_refills(timestamptz, integer),
  private.reminders_to_expand(integer),
  private.store_expansions(jsonb)
to reminder_worker;
