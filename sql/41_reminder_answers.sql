-- Answers to reminders: done, skipped, later; what comes next, and how well a plan was kept.
-- Needs: 40_reminders.sql; medications of 45_tracking.sql when these run. Policies:
-- policies/40_reminders.sql.

create function private.open_reminder_log(p_log_id uuid)
  returns public.reminder_logs
  language plpgsql
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_reminder_owner();
  v_log public.reminder_logs;
begin
  select l.* into v_log from public.reminder_logs as l
  where l.id = p_log_id and l.user_id = v_caller
  for no key update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No occurrence with this id';
  end if;
  return v_log;
end;
$$;
comment on function private.open_reminder_log(uuid) is
  'The caller''s occurrence, locked until the transaction ends. For definer functions only. Errors: '
  'PT401 unauthenticated, PT403 mfa_required, PT404 not_found.';
revoke execute on function private.open_reminder_log(uuid)
  from public, anon, authenticated, service_role;

create function private.refuse_answered(p_status text)
  returns void
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  raise exception using errcode = 'PT409', message = 'already_answered',
    detail = format('Cannot answer as the occurrence is %s', p_status);
end;
$$;
comment on function private.refuse_answered(text) is 'Raises PT409 already_answered.';
revoke execute on function private.refuse_answered(text)
  from public, anon, authenticated, service_role;

create function private.complete_reminder(p_log_id uuid, p_notes text)
  returns timestamptz
  language plpgsql
  security definer -- reminder_logs and stock are written by these functions only
  set search_path = ''
as $$
declare
  v_log public.reminder_logs := private.open_reminder_log(p_log_id);
begin
  if v_log.status = 'completed' then
    return v_log.completed_at;
  end if;
  update public.reminder_logs as l set
    status = 'completed', completed_at = now(), snoozed_until = null, follow_up_at = null,
    notes = coalesce(p_notes, l.notes)
  where l.id = p_log_id;
  update public.medications as m set stock = greatest(m.stock - m.units_per_dose, 0)
  where m.id = v_log.medication_id and m.stock is not null;
  perform private.write_audit(
    'complete_reminder', 'reminder_log', p_log_id, v_log.user_id, null,
    jsonb_build_object('status', 'completed', 'reminder_id', v_log.reminder_id)
  );
  return now();
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Notes have 1 to 1000 characters';
end;
$$;
comment on function private.complete_reminder(uuid, text) is 'Body of public.complete_reminder.';
revoke execute on function private.complete_reminder(uuid, text) from public, anon, service_role;
grant execute on function private.complete_reminder(uuid, text) to authenticated;

create function public.complete_reminder(p_log_id uuid, p_notes text default null)
  returns timestamptz
  language sql
  set search_path = ''
as $$
  select private.complete_reminder(p_log_id, p_notes)
$$;
comment on function public.complete_reminder(uuid, text) is
  'Marks an occurrence of the caller''s as done, whatever it was before, and takes the dose from the '
  'stock. Returns when it was done; of one that is done already, from another device or before, the '
  'first time counts and nothing changes. Errors: PT400 invalid_request, PT401 unauthenticated, '
  'PT403 mfa_required, PT404 not_found.';
revoke execute on function public.complete_reminder(uuid, text) from public, anon, service_role;
grant execute on function public.complete_reminder(uuid, text) to authenticated;

create function private.complete_next_reminder(
  p_reminder_id uuid,
  p_due_at timestamptz,
  p_notes text
)
  returns uuid
  language plpgsql
  security definer -- reminders, reminder_logs and stock are written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_reminder_owner();
  v_next public.reminders;
  v_log_id uuid;
begin
  -- A tick passes over the row meanwhile, or has told the occurrence before.
  select r.* into v_next from public.reminders as r
  where r.id = p_reminder_id and r.user_id = v_caller
  for no key update;
  select l.id into v_log_id from public.reminder_logs as l
  where l.reminder_id = v_next.id and l.due_at = p_due_at;
  if v_log_id is not null then
    perform private.complete_reminder(v_log_id, p_notes);
    return v_log_id;
  end if;
  if (v_next.is_active and v_next.next_due_at = p_due_at) is not true then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No occurrence of a reminder is next at this time';
  end if;
  if p_due_at > now() + interval '12 hours' then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot complete as p_due_at must be within 12 hours';
  end if;
  update public.reminders as r set upcoming = r.upcoming[2 :], expanded_to = p_due_at
  where r.id = v_next.id;
  insert into public.reminder_logs (
    reminder_id, user_id, reminder_type, medication_id, timezone, grace_minutes, due_at, status,
    follow_up_at
  )
  values (
    v_next.id, v_caller, v_next.reminder_type, v_next.medication_id, v_next.timezone,
    v_next.grace_minutes, p_due_at, 'sent', p_due_at
  )
  returning id into v_log_id;
  perform private.complete_reminder(v_log_id, p_notes);
  return v_log_id;
end;
$$;
comment on function private.complete_next_reminder(uuid, timestamptz, text) is
  'Body of public.complete_next_reminder.';
revoke execute on function private.complete_next_reminder(uuid, timestamptz, text)
  from public, anon, service_role;
grant execute on function private.complete_next_reminder(uuid, timestamptz, text) to authenticated;

create function public.complete_next_reminder(
  p_reminder_id uuid,
  p_due_at timestamptz,
  p_notes text default null
)
  returns uuid
  language sql
  set search_path = ''
as $$
  select private.complete_next_reminder(p_reminder_id, p_due_at, p_notes)
$$;
comment on function public.complete_next_reminder(uuid, timestamptz, text) is
  'Marks the next occurrence of a reminder of the caller''s as done before it is due, up to 12 hours: '
  'it is not told any more, and counts as complete_reminder. Returns the id of its log row; one that '
  'has been told meanwhile, or done, is completed as complete_reminder does. Errors: PT400 '
  'invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found (also: another one is '
  'next).';
revoke execute on function public.complete_next_reminder(uuid, timestamptz, text)
  from public, anon, service_role;
grant execute on function public.complete_next_reminder(uuid, timestamptz, text) to authenticated;

create function private.skip_reminder(p_log_id uuid, p_notes text)
  returns void
  language plpgsql
  security definer -- reminder_logs is written by these functions only
  set search_path = ''
as $$
declare
  v_log public.reminder_logs := private.open_reminder_log(p_log_id);
begin
  if v_log.status = 'skipped' then
    return;
  end if;
  if v_log.status = 'completed' then
    perform private.refuse_answered(v_log.status);
  end if;
  update public.reminder_logs as l set
    status = 'skipped', snoozed_until = null, follow_up_at = null,
    notes = coalesce(p_notes, l.notes)
  where l.id = p_log_id;
  perform private.write_audit(
    'skip_reminder', 'reminder_log', p_log_id, v_log.user_id, null,
    jsonb_build_object('status', 'skipped', 'reminder_id', v_log.reminder_id)
  );
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Notes have 1 to 1000 characters';
end;
$$;
comment on function private.skip_reminder(uuid, text) is 'Body of public.skip_reminder.';
revoke execute on function private.skip_reminder(uuid, text) from public, anon, service_role;
grant execute on function private.skip_reminder(uuid, text) to authenticated;

create function public.skip_reminder(p_log_id uuid, p_notes text default null)
  returns void
  language sql
  set search_path = ''
as $$
  select private.skip_reminder(p_log_id, p_notes)
$$;
comment on function public.skip_reminder(uuid, text) is
  'Marks an occurrence of the caller''s as left out on purpose; again does no harm. Errors: PT400 '
  'invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found, PT409 '
  'already_answered (done).';
revoke execute on function public.skip_reminder(uuid, text) from public, anon, service_role;
grant execute on function public.skip_reminder(uuid, text) to authenticated;

create function private.snooze_reminder(p_log_id uuid, p_minutes integer)
  returns timestamptz
  language plpgsql
  security definer -- reminder_logs is written by these functions only
  set search_path = ''
as $$
declare
  v_log public.reminder_logs := private.open_reminder_log(p_log_id);
  v_until constant timestamptz := now() + make_interval(mins => p_minutes);
begin
  if p_minutes is null or p_minutes not between 1 and 720 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot snooze as p_minutes must be 1 to 720';
  end if;
  if v_log.status in ('completed', 'skipped') then
    perform private.refuse_answered(v_log.status);
  end if;
  update public.reminder_logs as l set
    status = 'snoozed', snoozed_until = v_until, follow_up_at = v_until
  where l.id = p_log_id;
  perform private.write_audit(
    'snooze_reminder', 'reminder_log', p_log_id, v_log.user_id, null,
    jsonb_build_object('status', 'snoozed', 'reminder_id', v_log.reminder_id)
  );
  return v_until;
end;
$$;
comment on function private.snooze_reminder(uuid, integer) is 'Body of public.snooze_reminder.';
revoke execute on function private.snooze_reminder(uuid, integer) from public, anon, service_role;
grant execute on function private.snooze_reminder(uuid, integer) to authenticated;

create function public.snooze_reminder(p_log_id uuid, p_minutes integer)
  returns timestamptz
  language sql
  set search_path = ''
as $$
  select private.snooze_reminder(p_log_id, p_minutes)
$$;
comment on function public.snooze_reminder(uuid, integer) is
  'Has an occurrence of the caller''s told again in 1 to 720 minutes, and returns when; again counts '
  'from now. When the next occurrence comes first, that one is told, and this one is missed. Errors: '
  'PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found, PT409 '
  'already_answered (done or skipped).';
revoke execute on function public.snooze_reminder(uuid, integer) from public, anon, service_role;
grant execute on function public.snooze_reminder(uuid, integer) to authenticated;

-- Reading ----------------------------------------------------------------------------------------

create function public.upcoming_reminders(p_hours integer default 24)
  returns table (
    reminder_id uuid,
    log_id uuid,
    title text,
    reminder_type text,
    due_at timestamptz,
    due_at_local timestamp,
    timezone text,
    status text,
    medication_id uuid,
    medication_name text,
    dose numeric,
    dose_unit text,
    stock numeric,
    days_left integer
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
begin
  if p_hours is null or p_hours not between 1 and 168 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot list as p_hours must be 1 to 168';
  end if;
  return query
    with due as (
      -- What has been told and waits for an answer.
      select l.reminder_id, l.id as log_id, l.due_at, l.status
      from public.reminder_logs as l
      where l.user_id = v_caller and l.status in ('sent', 'snoozed')
        and l.due_at > now() - interval '7 days'
      union all
      select r.id, null, u.at, 'upcoming'
      from public.reminders as r
      cross join unnest(r.upcoming) as u (at)
      where r.user_id = v_caller and r.is_active and u.at <= now() + make_interval(hours => p_hours)
    )
    select
      r.id, d.log_id, r.title, r.reminder_type, d.due_at, d.due_at at time zone r.timezone,
      r.timezone, d.status, m.id, m.name, m.dose, m.dose_unit, m.stock, s.days_left
    from due as d
    join public.reminders as r on r.id = d.reminder_id
    left join public.medications as m on m.id = r.medication_id
    left join public.medication_supply() as s on s.medication_id = m.id
    order by d.due_at, r.id;
end;
$$;
comment on function public.upcoming_reminders(integer) is
  'What the caller is to do: occurrences that wait for an answer (log_id is set, status sent or '
  'snoozed), and those of the next p_hours, 1 to 168 (status upcoming), the earliest first; at most '
  'the next 16 of each reminder. With the dose to take, what is left of the medicine, and for how '
  'many days. Errors: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function public.upcoming_reminders(integer) from public, anon, service_role;
grant execute on function public.upcoming_reminders(integer) to authenticated;

create function public.adherence(p_from date, p_to date, p_patient_id uuid default null)
  returns table (
    medication_id uuid,
    reminder_id uuid,
    day date,
    taken bigint,
    late bigint,
    skipped bigint,
    missed bigint,
    unanswered bigint
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_patient_id constant uuid := coalesce(p_patient_id, private.require_live_session());
begin
  -- Without the first two, dates without end would fail as the server has it.
  if p_from is null or p_to is null or p_from < '1970-01-01' or p_to > '2200-01-01'
    or p_to <= p_from or p_to - p_from > 366
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot count as p_to must be 1 to 366 days after p_from, and both of 1970 to 2199';
  end if;
  return query
    select
      l.medication_id,
      case when l.medication_id is null then l.reminder_id end,
      w.day,
      count(*) filter (where l.status = 'completed' and w.in_time),
      count(*) filter (where l.status = 'completed' and not w.in_time),
      count(*) filter (where l.status = 'skipped'),
      count(*) filter (where l.status = 'missed'),
      count(*) filter (where l.status in ('sent', 'snoozed'))
    from public.reminder_logs as l
    cross join lateral (
      select
        (l.due_at at time zone l.timezone)::date as day,
        l.completed_at <= l.due_at + make_interval(mins => l.grace_minutes) as in_time
    ) as w
    where l.user_id = v_patient_id
      and l.reminder_type = 'medication'
      -- No zone is further from UTC than a day; the day itself is that of the wall clock.
      and l.due_at >= (p_from - 1)::timestamp at time zone 'UTC'
      and l.due_at < (p_to + 1)::timestamp at time zone 'UTC'
      and w.day >= p_from and w.day < p_to
    group by 1, 2, 3
    order by 3, 1, 2;
end;
$$;
comment on function public.adherence(date, date, uuid) is
  'How a plan was kept, by medicine (by reminder, where none is linked) and day of the wall clock in '
  'the zone that the reminder had: taken within grace_minutes, late, skipped, missed, and not '
  'answered yet. p_from is included, p_to is not, at most 366 days. p_patient_id null: the caller''s '
  'own; of another, what an open chart shows. Errors: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function public.adherence(date, date, uuid) from public, anon, service_role;
grant execute on function public.adherence(date, date, uuid) to authenticated;
