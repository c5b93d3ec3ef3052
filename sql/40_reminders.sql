-- Reminders: what somebody is to be told again and again, by a rule on the wall clock, and what became
-- of each occurrence. How a rule becomes instants, docs/reminders.md says.
-- Needs: 10_identity.sql, 20_care.sql, 26_access.sql, 30_notifications.sql; medications of
-- 45_tracking.sql when its functions run. Policies: policies/40_reminders.sql. The tick is in
-- 42_reminder_tick.sql.
--
-- Where next_due_at comes from. SQL cannot expand a rule of RFC 5545, and the tick must not wait for
-- what can. So the row holds its next occurrences, up to 16, worked out ahead by the function
-- `reminders` and appended when few are left; the tick takes the next one from the row, in the
-- transaction that logs the one before. A table of occurrences would cost an insert and a delete for
-- each; expanding within the tick would hold locks while a rule is worked out, and do so for one
-- occurrence where sixteen cost the same. What is due is therefore never late for want of the
-- function, until sixteen are used up.

create table public.reminders (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete restrict,
  title text not null,
  description text,
  reminder_type text not null,
  rrule text,
  starts_at_local timestamp not null,
  timezone text not null,
  rdate timestamp[] not null default '{}',
  exdate timestamp[] not null default '{}',
  cycle_days_on integer,
  cycle_days_off integer,
  shift_minutes integer not null default 0,
  is_active boolean not null default true,
  grace_minutes integer not null default 60,
  repeat_every_minutes integer,
  max_repeats integer not null default 0,
  escalate_to uuid references public.profiles (id) on delete set null,
  medication_id uuid,
  per_day numeric(6, 3),
  ai_suggestions jsonb,
  upcoming timestamptz[] not null default '{}',
  next_due_at timestamptz generated always as (upcoming[1]) stored,
  expansion text not null default 'stale',
  expanded_to timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint reminders_title_check check (length(title) between 1 and 120),
  constraint reminders_description_check check (length(description) between 1 and 1000),
  constraint reminders_reminder_type_check check (
    reminder_type in ('medication', 'appointment', 'measurement', 'hydration', 'exercise', 'other')
  ),
  constraint reminders_rrule_check check (length(rrule) between 1 and 500),
  constraint reminders_starts_at_local_check
    check (starts_at_local >= '1970-01-01' and starts_at_local < '2200-01-01'),
  constraint reminders_dates_check check (
    cardinality(rdate) <= 100 and cardinality(exdate) <= 100
    and array_position(rdate, null) is null and array_position(exdate, null) is null
  ),
  constraint reminders_cycle_check check (
    num_nulls(cycle_days_on, cycle_days_off) in (0, 2)
    and cycle_days_on between 1 and 366 and cycle_days_off between 1 and 366
  ),
  constraint reminders_shift_minutes_check check (shift_minutes between -1440 and 1440),
  constraint reminders_grace_minutes_check check (grace_minutes between 1 and 1440),
  constraint reminders_repeat_every_minutes_check check (repeat_every_minutes between 1 and 240),
  constraint reminders_max_repeats_check check (max_repeats between 0 and 10),
  constraint reminders_repeats_check check (max_repeats = 0 or repeat_every_minutes is not null),
  constraint reminders_escalate_to_check check (escalate_to <> user_id),
  constraint reminders_per_day_check check (per_day between 0 and 1000), -- nor NaN
  constraint reminders_ai_suggestions_check check (jsonb_typeof(ai_suggestions) = 'object'),
  constraint reminders_upcoming_check
    check (cardinality(upcoming) <= 16 and array_position(upcoming, null) is null),
  constraint reminders_expansion_check check (expansion in ('stale', 'open', 'complete', 'refused'))
);
comment on table public.reminders is
  'One thing that one account is reminded of, and when. PHI: what somebody takes or has done, and '
  'when. Written by RPC; its owner may delete it, with all that was logged of it.';
comment on column public.reminders.user_id is 'Whose it is.';
comment on column public.reminders.rrule is
  'Value of RRULE (RFC 5545) in capitals, on wall-clock time; null: at starts_at_local and rdate.';
comment on column public.reminders.starts_at_local is 'DTSTART: what the wall clock in the zone shows.';
comment on column public.reminders.timezone is 'IANA time zone of the wall clock.';
comment on column public.reminders.rdate is 'RDATE: further wall-clock times, 100 at most.';
comment on column public.reminders.exdate is
  'EXDATE: wall-clock times left out, 100 at most, as planned before shift_minutes.';
comment on column public.reminders.cycle_days_on is
  'Days with, then cycle_days_off days without, in turn from the day of starts_at_local; null: every '
  'day. 21 and 7 for a medicine that is taken three weeks of four.';
comment on column public.reminders.shift_minutes is
  'By how much the whole plan is moved on the wall clock; see shift_plan.';
comment on column public.reminders.grace_minutes is
  'How long after it was due an occurrence is still of use: sent by a late tick, counted as taken in '
  'time.';
comment on column public.reminders.repeat_every_minutes is
  'Minutes between reminders of one occurrence until it is answered, max_repeats of them.';
comment on column public.reminders.escalate_to is
  'Caregiver who is told when an occurrence stays unanswered, if in care with the scope then.';
comment on column public.reminders.medication_id is 'What is taken at each occurrence; null: nothing.';
comment on column public.reminders.per_day is
  'Occurrences a day, on the average of 84 days from the first to come when the plan was worked out, or '
  'of the days to its last; null: not yet.';
comment on column public.reminders.ai_suggestions is 'Suggestions that its owner may take up; null: none.';
comment on column public.reminders.upcoming is
  'The next occurrences, UTC, in order; the first is next_due_at.';
comment on column public.reminders.next_due_at is
  'When it is due next, UTC; null: never again, or not worked out yet (see expansion).';
comment on column public.reminders.expansion is
  'stale: upcoming has to be worked out anew from expanded_to on, which the next tick does; open: more '
  'follow after upcoming; complete: none do; refused: the plan cannot be followed, and the reminder has '
  'become inactive.';
comment on column public.reminders.expanded_to is
  'Up to here occurrences have come due or do not count: the last one that came due, or when the plan '
  'was made.';

create index reminders_user_id_idx on public.reminders (user_id, is_active);
-- With the id, so that a batch can begin behind the last row of the one before.
create index reminders_next_due_at_idx on public.reminders (next_due_at, id) where is_active;
create index reminders_expansion_idx on public.reminders (expanded_to)
  where is_active and (expansion = 'stale' or expansion = 'open' and cardinality(upcoming) < 4);
create index reminders_escalate_to_idx on public.reminders (escalate_to)
  where escalate_to is not null;
create index reminders_medication_id_idx on public.reminders (medication_id)
  where medication_id is not null;

-- Rule and zone are checked by a trigger, as checks would be made anew at each move to the next
-- occurrence, and these are dear.
create function private.check_reminder_plan()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  if not private.is_timezone(new.timezone) then
    raise exception using errcode = 'check_violation',
      message = 'Cannot plan as timezone must be an IANA time zone';
  end if;
  if new.rrule !~ (
      '^((FREQ|INTERVAL|COUNT|UNTIL|WKST|BY(SECOND|MINUTE|HOUR|DAY|MONTHDAY|YEARDAY|WEEKNO|MONTH'
      || '|SETPOS))=[A-Z0-9,+-]+(;(?!$)|$))+$'
    )
    or new.rrule !~ '(^|;)FREQ=(SECONDLY|MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)(;|$)'
  then
    raise exception using errcode = 'check_violation',
      message = 'Cannot plan as rrule must have the form of an RRULE';
  end if;
  return new;
end;
$$;
comment on function private.check_reminder_plan() is
  'Trigger: refuses a zone that is none, and a rule that has not the form of one.';
revoke execute on function private.check_reminder_plan()
  from public, anon, authenticated, service_role;

create trigger reminders_check_plan
  before insert or update of timezone, rrule on public.reminders
  for each row execute function private.check_reminder_plan();

create table public.reminder_logs (
  id uuid primary key default gen_random_uuid(),
  reminder_id uuid not null references public.reminders (id) on delete cascade,
  user_id uuid not null,
  reminder_type text not null,
  medication_id uuid,
  timezone text not null,
  grace_minutes integer not null,
  due_at timestamptz not null,
  status text not null,
  completed_at timestamptz,
  snoozed_until timestamptz,
  notes text,
  repeats_sent integer not null default 0,
  follow_up_at timestamptz,
  escalated_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint reminder_logs_one_of_an_occurrence unique (reminder_id, due_at),
  constraint reminder_logs_status_check
    check (status in ('sent', 'completed', 'skipped', 'snoozed', 'missed')),
  constraint reminder_logs_times_check check (
    (status = 'completed') = (completed_at is not null)
    and (status = 'snoozed') = (snoozed_until is not null)
    and (status in ('sent', 'snoozed')) = (follow_up_at is not null)
  ),
  constraint reminder_logs_notes_check check (length(notes) between 1 and 1000)
);
comment on table public.reminder_logs is
  'What became of one occurrence of a reminder. PHI: whether somebody took what they should. Owner, '
  'type, medicine, zone and grace are those of the reminder when it came due.';
comment on column public.reminder_logs.medication_id is
  'Medicine that was to be taken; stays when the medicine is deleted.';
comment on column public.reminder_logs.due_at is 'When it came due, UTC.';
comment on column public.reminder_logs.status is
  'sent: told, not answered yet; completed, skipped, snoozed by its owner; missed: never answered, or '
  'too old to be told when a tick came.';
comment on column public.reminder_logs.repeats_sent is 'How often it was told again, unanswered.';
comment on column public.reminder_logs.follow_up_at is
  'When a tick looks at it again: to tell it again, or to close it as missed; null: closed.';
comment on column public.reminder_logs.escalated_at is 'When a caregiver was told that the patient has not answered; null: never.';

create index reminder_logs_user_id_idx on public.reminder_logs (user_id, due_at desc, id);
create index reminder_logs_follow_up_at_idx on public.reminder_logs (follow_up_at, id)
  where follow_up_at is not null;

create trigger reminder_logs_set_updated_at
  before update on public.reminder_logs
  for each row execute function private.set_updated_at();

-- Audit ------------------------------------------------------------------------------------------
-- What people do is logged; what the tick does each minute is itself a log, reminder_logs. Hence
-- updates are audited by the columns that people set, which a statement trigger cannot tell apart.

create function private.audit_reminder_update()
  returns trigger
  language plpgsql
  security definer -- nobody may insert into audit_events directly
  set search_path = ''
as $$
declare
  v_by constant private.audit_context := private.current_audit_context();
  v_without constant text[] := array['upcoming', 'next_due_at', 'expansion', 'expanded_to', 'per_day'];
  v_old constant jsonb := to_jsonb(old) - v_without;
  v_new constant jsonb := to_jsonb(new) - v_without;
begin
  insert into public.audit_events (
    actor_id, actor_role, session_id, action, resource_type, resource_id, patient_id,
    old_values, new_values, ip_address, user_agent, request_id
  )
  select
    v_by.actor_id, v_by.actor_role, v_by.session_id, 'update', 'reminder', new.id, new.user_id,
    private.changed_values(v_old, v_new, '{}'), private.changed_values(v_new, v_old, '{}'),
    v_by.ip_address, v_by.user_agent, v_by.request_id
  where v_old - 'updated_at' <> v_new - 'updated_at';
  return null;
end;
$$;
comment on function private.audit_reminder_update() is
  'Trigger: writes an audit row for a reminder whose owner has changed it.';
revoke execute on function private.audit_reminder_update()
  from public, anon, authenticated, service_role;

create trigger reminders_set_updated_at
  before update of
    title, description, reminder_type, rrule, starts_at_local, timezone, rdate, exdate,
    cycle_days_on, cycle_days_off, shift_minutes, is_active, grace_minutes, repeat_every_minutes,
    max_repeats, escalate_to, medication_id, ai_suggestions
  on public.reminders
  for each row execute function private.set_updated_at();
create trigger reminders_audit_insert
  after insert on public.reminders referencing new table as new_rows
  for each statement execute function private.audit_rows(
    'reminder', 'id', 'user_id', 'upcoming,next_due_at'
  );
create trigger reminders_audit_update
  after update of
    title, description, reminder_type, rrule, starts_at_local, timezone, rdate, exdate,
    cycle_days_on, cycle_days_off, shift_minutes, is_active, grace_minutes, repeat_every_minutes,
    max_repeats, escalate_to, medication_id, ai_suggestions
  on public.reminders
  for each row execute function private.audit_reminder_update();
create trigger reminders_audit_delete
  after delete on public.reminders referencing old table as old_rows
  for each statement execute function private.audit_rows(
    'reminder', 'id', 'user_id', 'upcoming,next_due_at'
  );

-- Wall clock -------------------------------------------------------------------------------------

create function private.wall_instant(p_local timestamp, p_timezone text)
  returns timestamptz
  language sql
  immutable
  set search_path = ''
as $$
  -- Of a time that comes twice PostgreSQL takes the second, with the offset after the change. The
  -- first has the offset of a day before.
  select case
    when first.at < given.at and first.at at time zone p_timezone = p_local then first.at
    else given.at
  end
  from (select p_local at time zone p_timezone as at) as given
  cross join lateral (
    select (
      p_local - (
        (given.at - interval '1 day') at time zone p_timezone
        - (given.at - interval '1 day') at time zone 'UTC'
      )
    ) at time zone 'UTC' as at
  ) as first
$$;
comment on function private.wall_instant(timestamp, text) is
  'The instant at which the wall clock in a zone shows a time: the first, where it comes twice; with '
  'the offset before the change, where it does not come (02:30 comes at 03:30).';
revoke execute on function private.wall_instant(timestamp, text)
  from public, anon, authenticated, service_role;

create function private.reminder_scope(p_reminder_type text)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select case p_reminder_type
    when 'medication' then 'medications'
    when 'appointment' then 'appointments'
    else 'tracking'
  end
$$;
comment on function private.reminder_scope(text) is
  'The scope that a caregiver needs to see reminders of a type.';
revoke execute on function private.reminder_scope(text) from public, anon, service_role;
grant execute on function private.reminder_scope(text) to authenticated;

create function private.cares_in_scope(p_patient_id uuid, p_member_id uuid, p_scope text)
  returns boolean
  language sql
  stable
as $$
  select exists (
    select from private.care_grounds(p_member_id) as g
    where g.patient_id = p_patient_id and g.kind = 'caregiver' and p_scope = any (g.scopes)
  )
$$;
comment on function private.cares_in_scope(uuid, uuid, text) is
  'Whether somebody is a patient''s caregiver with a scope now. For definer functions only.';
revoke execute on function private.cares_in_scope(uuid, uuid, text)
  from public, anon, authenticated, service_role;

create function private.require_reminder_owner()
  returns uuid
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  -- Raised, and not logged as refusals of somebody else's chart are: nobody else's data is asked for.
  if private.clinical_caller() is null then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'Clinical data need multi-factor sign-in';
  end if;
  return v_caller;
end;
$$;
comment on function private.require_reminder_owner() is
  'The caller, who acts on reminders of their own, if their token may carry a clinical right. For '
  'definer functions only. Errors: PT401 unauthenticated, PT403 mfa_required.';
revoke execute on function private.require_reminder_owner()
  from public, anon, authenticated, service_role;

-- Making and changing ----------------------------------------------------------------------------

create function private.require_expansion(
  p_upcoming timestamptz[],
  p_starts_at_local timestamp,
  p_rdate timestamp[],
  p_timezone text,
  p_shift_minutes integer
)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  -- As far as SQL can tell: in order, to come, none before the plan begins, and none at the second
  -- passing of a time that comes twice. Whether the rule yields them, who worked them out knows.
  if exists (
    select
    from unnest(p_upcoming) with ordinality as u (at, position)
    where u.at is null
      -- The clock of who worked them out may be a little behind: the next tick tells what is due.
      or u.at <= now() - interval '1 minute'
      or u.at >= '2200-01-02'
      or u.at <= p_upcoming[u.position - 1]
      or u.at < private.wall_instant(
        least(p_starts_at_local, (select min(d) from unnest(p_rdate) as d))
          + make_interval(mins => p_shift_minutes),
        p_timezone
      )
      or u.at <> private.wall_instant(u.at at time zone p_timezone, p_timezone)
  ) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot plan as p_upcoming must be instants of the plan to come, in order';
  end if;
end;
$$;
comment on function private.require_expansion(timestamptz[], timestamp, timestamp[], text, integer) is
  'Refuses occurrences that cannot be those of a plan. Errors: PT400 invalid_request.';
revoke execute on function
  private.require_expansion(timestamptz[], timestamp, timestamp[], text, integer)
from public, anon, authenticated, service_role;

create function private.save_reminder(
  p_id uuid,
  p_title text,
  p_reminder_type text,
  p_starts_at_local timestamp,
  p_timezone text,
  p_rrule text,
  p_description text,
  p_rdate timestamp[],
  p_exdate timestamp[],
  p_cycle_days_on integer,
  p_cycle_days_off integer,
  p_is_active boolean,
  p_grace_minutes integer,
  p_repeat_every_minutes integer,
  p_max_repeats integer,
  p_escalate_to uuid,
  p_medication_id uuid,
  p_upcoming timestamptz[],
  p_is_complete boolean,
  p_per_day numeric
)
  returns uuid
  language plpgsql
  security definer -- reminders are written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_reminder_owner();
  -- Lists of one dimension that count from 1, whatever form they came in.
  v_rdate constant timestamp[] := array(select d from unnest(p_rdate) as d);
  v_exdate constant timestamp[] := array(select d from unnest(p_exdate) as d);
  v_upcoming timestamptz[] := array(select u from unnest(p_upcoming) as u);
  v_expansion text := case
    when v_upcoming = '{}' then 'stale'
    when p_is_complete then 'complete'
    else 'open'
  end;
  v_old public.reminders;
  v_is_same_plan boolean;
  v_id uuid;
begin
  -- An account's plans are changed one after another: of two at once both would be the 500th. Who
  -- closes the account comes before, and is found here, or after, and pauses this one, too.
  perform 1 from public.profiles as p where p.id = v_caller and p.is_active for no key update;
  if not found then
    raise exception using errcode = 'PT401', message = 'unauthenticated',
      detail = 'The session has ended or the account is locked: sign in again';
  end if;
  -- Before the reminder: who deletes the medicine holds it, and then wants its reminders.
  if p_medication_id is not null then
    perform 1 from public.medications as m
      where m.id = p_medication_id and m.user_id = v_caller
      for key share;
    if not found then
      raise exception using errcode = 'PT404', message = 'not_found',
        detail = 'No medicine with this id';
    end if;
  end if;
  if p_id is null then
    if (select count(*) >= 500 from public.reminders as r where r.user_id = v_caller) then
      raise exception using errcode = 'PT409', message = 'limit_reached',
        detail = 'An account has at most 500 reminders';
    end if;
  else
    select r.* into v_old from public.reminders as r
    where r.id = p_id and r.user_id = v_caller
    for no key update;
    if not found then
      raise exception using errcode = 'PT404', message = 'not_found',
        detail = 'No reminder with this id';
    end if;
  end if;
  if p_escalate_to is not null and not private.cares_in_scope(
    v_caller, p_escalate_to, private.reminder_scope(p_reminder_type)
  ) then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No caregiver of yours with this id has the scope';
  end if;
  perform private.require_expansion(
    v_upcoming, p_starts_at_local, v_rdate, p_timezone, coalesce(v_old.shift_minutes, 0)
  );

  if p_id is null then
    insert into public.reminders (
      user_id, title, description, reminder_type, rrule, starts_at_local, timezone, rdate, exdate,
      cycle_days_on, cycle_days_off, is_active, grace_minutes, repeat_every_minutes, max_repeats,
      escalate_to, medication_id, upcoming, expansion, per_day
    )
    values (
      v_caller, p_title, p_description, p_reminder_type, p_rrule, p_starts_at_local, p_timezone,
      v_rdate, v_exdate, p_cycle_days_on, p_cycle_days_off, p_is_active,
      p_grace_minutes, p_repeat_every_minutes, p_max_repeats, p_escalate_to, p_medication_id,
      v_upcoming, v_expansion, p_per_day
    )
    returning id into v_id;
    return v_id;
  end if;
  v_is_same_plan := v_old.is_active = p_is_active and (
    v_old.rrule, v_old.starts_at_local, v_old.timezone, v_old.rdate, v_old.exdate,
    v_old.cycle_days_on, v_old.cycle_days_off
  ) is not distinct from (
    p_rrule, p_starts_at_local, p_timezone, v_rdate, v_exdate,
    p_cycle_days_on, p_cycle_days_off
  );
  if v_is_same_plan then
    v_upcoming := v_old.upcoming;
    v_expansion := v_old.expansion;
  elsif v_old.is_active and p_is_active then
    -- What has come due and no tick has taken yet is told all the same.
    v_upcoming := array(
      select u from unnest(v_old.upcoming) as u where u <= now() order by u
    ) || v_upcoming;
    if cardinality(v_upcoming) > 16 then
      v_upcoming := v_upcoming[: 16];
      v_expansion := case v_expansion when 'complete' then 'open' else v_expansion end;
    end if;
  elsif not p_is_active then
    v_upcoming := '{}';
    v_expansion := 'stale';
  end if;
  update public.reminders as r set
    title = p_title, description = p_description, reminder_type = p_reminder_type, rrule = p_rrule,
    starts_at_local = p_starts_at_local, timezone = p_timezone, rdate = v_rdate,
    exdate = v_exdate, cycle_days_on = p_cycle_days_on,
    cycle_days_off = p_cycle_days_off, is_active = p_is_active, grace_minutes = p_grace_minutes,
    repeat_every_minutes = p_repeat_every_minutes, max_repeats = p_max_repeats,
    escalate_to = p_escalate_to, medication_id = p_medication_id, upcoming = v_upcoming,
    expansion = v_expansion,
    per_day = case when v_is_same_plan then v_old.per_day else p_per_day end,
    -- Under a new plan nothing is due that would have been before, nor while it was paused.
    expanded_to = case
      when v_is_same_plan then v_old.expanded_to
      else greatest(v_old.expanded_to, now())
    end
  where r.id = p_id;
  return p_id;
exception
  -- The last two: of occurrences in a zone that is none, or about a time without end.
  when check_violation or not_null_violation or string_data_right_truncation
    or numeric_value_out_of_range or invalid_parameter_value or datetime_field_overflow
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot plan as a value is missing, too long, out of range or not of its form';
end;
$$;
comment on function private.save_reminder(
  uuid, text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, boolean,
  integer, integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) is 'Body of public.create_reminder (p_id null) and public.update_reminder.';
revoke execute on function private.save_reminder(
  uuid, text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, boolean,
  integer, integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) from public, anon, service_role;
grant execute on function private.save_reminder(
  uuid, text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, boolean,
  integer, integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) to authenticated;

create function public.create_reminder(
  p_title text,
  p_reminder_type text,
  p_starts_at_local timestamp,
  p_timezone text,
  p_rrule text default null,
  p_description text default null,
  p_rdate timestamp[] default '{}',
  p_exdate timestamp[] default '{}',
  p_cycle_days_on integer default null,
  p_cycle_days_off integer default null,
  p_grace_minutes integer default 60,
  p_repeat_every_minutes integer default null,
  p_max_repeats integer default 0,
  p_escalate_to uuid default null,
  p_medication_id uuid default null,
  p_upcoming timestamptz[] default null,
  p_is_complete boolean default false,
  p_per_day numeric default null
)
  returns uuid
  language sql
  set search_path = ''
as $$
  select private.save_reminder(
    null, p_title, p_reminder_type, p_starts_at_local, p_timezone, p_rrule, p_description, p_rdate,
    p_exdate, p_cycle_days_on, p_cycle_days_off, true, p_grace_minutes, p_repeat_every_minutes,
    p_max_repeats, p_escalate_to, p_medication_id, p_upcoming, p_is_complete, p_per_day
  )
$$;
comment on function public.create_reminder(
  text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, integer,
  integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) is
  'Makes a reminder of the caller and returns its id. POST /functions/v1/reminders takes the same, '
  'checks the rule, says what is wrong with it and where, and passes its next occurrences as '
  'p_upcoming (p_is_complete: there are no more). Called without them, next_due_at is null until the '
  'next tick has worked them out, within a minute; a rule that it finds wrong makes the reminder '
  'inactive, and tells its owner (reminder_stopped). Errors: PT400 invalid_request, PT401 '
  'unauthenticated, PT403 mfa_required, PT404 not_found (medicine, or a caregiver with the scope), '
  'PT409 limit_reached (500 reminders).';
revoke execute on function public.create_reminder(
  text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, integer,
  integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) from public, anon, service_role;
grant execute on function public.create_reminder(
  text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, integer,
  integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) to authenticated;

create function public.update_reminder(
  p_id uuid,
  p_title text,
  p_reminder_type text,
  p_starts_at_local timestamp,
  p_timezone text,
  p_rrule text default null,
  p_description text default null,
  p_rdate timestamp[] default '{}',
  p_exdate timestamp[] default '{}',
  p_cycle_days_on integer default null,
  p_cycle_days_off integer default null,
  p_is_active boolean default true,
  p_grace_minutes integer default 60,
  p_repeat_every_minutes integer default null,
  p_max_repeats integer default 0,
  p_escalate_to uuid default null,
  p_medication_id uuid default null,
  p_upcoming timestamptz[] default null,
  p_is_complete boolean default false,
  p_per_day numeric default null
)
  returns uuid
  language sql
  set search_path = ''
as $$
  select private.save_reminder(
    p_id, p_title, p_reminder_type, p_starts_at_local, p_timezone, p_rrule, p_description, p_rdate,
    p_exdate, p_cycle_days_on, p_cycle_days_off, p_is_active, p_grace_minutes,
    p_repeat_every_minutes, p_max_repeats, p_escalate_to, p_medication_id, p_upcoming, p_is_complete,
    p_per_day
  )
$$;
comment on function public.update_reminder(
  uuid, text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, boolean,
  integer, integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) is
  'Replaces a reminder of the caller with what is given; what is left out becomes its default, the '
  'shift stays. When it is due changes with the plan only. PUT /functions/v1/reminders/:id takes the '
  'same; p_upcoming and errors as create_reminder, PT404 not_found for the reminder, too.';
revoke execute on function public.update_reminder(
  uuid, text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, boolean,
  integer, integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) from public, anon, service_role;
grant execute on function public.update_reminder(
  uuid, text, text, timestamp, text, text, text, timestamp[], timestamp[], integer, integer, boolean,
  integer, integer, integer, uuid, uuid, timestamptz[], boolean, numeric
) to authenticated;

create function private.shift_plan(p_reminder_id uuid, p_minutes integer)
  returns timestamptz
  language plpgsql
  security definer -- reminders are written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_reminder_owner();
  v_next timestamptz;
begin
  if p_minutes is null or p_minutes not between -720 and 720 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot shift as p_minutes must be -720 to 720';
  end if;
  -- Instants that are worked out already move with the clock on the wall, not by so many minutes;
  -- stale has the function work them out anew, as a time that was in a gap moves from where it was
  -- planned. What came due before stays behind: its place in the plan moves, too.
  update public.reminders as r set
    shift_minutes = r.shift_minutes + p_minutes,
    upcoming = array(
      select distinct private.wall_instant(
        u at time zone r.timezone + make_interval(mins => p_minutes), r.timezone
      )
      from unnest(r.upcoming) as u
      order by 1
    ),
    expansion = 'stale',
    expanded_to = private.wall_instant(
      r.expanded_to at time zone r.timezone + make_interval(mins => p_minutes), r.timezone
    )
  where r.id = p_reminder_id and r.user_id = v_caller
  returning r.next_due_at into v_next;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No reminder with this id';
  end if;
  return v_next;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot shift as all shifts together must be -1440 to 1440 minutes';
end;
$$;
comment on function private.shift_plan(uuid, integer) is 'Body of public.shift_plan.';
revoke execute on function private.shift_plan(uuid, integer) from public, anon, service_role;
grant execute on function private.shift_plan(uuid, integer) to authenticated;

create function public.shift_plan(p_reminder_id uuid, p_minutes integer)
  returns timestamptz
  language sql
  set search_path = ''
as $$
  select private.shift_plan(p_reminder_id, p_minutes)
$$;
comment on function public.shift_plan(uuid, integer) is
  'Moves all that is to come of a reminder of the caller by so many minutes on the wall clock, after '
  'a dose that was late; minus for earlier. Returns when it is due next. Errors: PT400 '
  'invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found.';
revoke execute on function public.shift_plan(uuid, integer) from public, anon, service_role;
grant execute on function public.shift_plan(uuid, integer) to authenticated;
