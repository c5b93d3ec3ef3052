-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

DROP VIEW "private"."notification_kinds";

DROP VIEW "private"."notification_minimal_words";

DROP VIEW "private"."notification_templates";

CREATE TABLE "public"."medications" (
  "id"                    uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "user_id"               uuid                     NOT NULL,
  "name"                  text                     NOT NULL,
  "dose"                  numeric(12,4),
  "dose_unit"             text,
  "units_per_dose"        numeric(8,3)             NOT NULL DEFAULT 1,
  "stock"                 numeric(10,3),
  "refill_threshold_days" integer                  NOT NULL DEFAULT 7,
  "refill_due_at"         timestamp with time zone,
  "refill_notified_at"    timestamp with time zone,
  "created_at"            timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"            timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "medications_dose_check"
    CHECK (((dose > (0)::numeric) AND (dose < 'NaN'::numeric) AND ((dose IS NULL) = (dose_unit IS NULL)) AND ((length(dose_unit) >= 1) AND (length(dose_unit) <= 20)))),
  CONSTRAINT "medications_name_check" CHECK (((length(name) >= 1) AND (length(name) <= 200))),
  CONSTRAINT "medications_pkey" PRIMARY KEY (id),
  CONSTRAINT "medications_refill_threshold_days_check" CHECK (((refill_threshold_days >= 0) AND (refill_threshold_days <= 90))),
  CONSTRAINT "medications_stock_check" CHECK (((stock >= (0)::numeric) AND (stock < 'NaN'::numeric))),
  CONSTRAINT "medications_units_per_dose_check" CHECK (((units_per_dose > (0)::numeric) AND (units_per_dose < 'NaN'::numeric)))
);

ALTER TABLE "public"."medications"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."medications" FROM "anon", "service_role";

CREATE TABLE "public"."reminder_logs" (
  "id"            uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "reminder_id"   uuid                     NOT NULL,
  "user_id"       uuid                     NOT NULL,
  "reminder_type" text                     NOT NULL,
  "medication_id" uuid,
  "timezone"      text                     NOT NULL,
  "grace_minutes" integer                  NOT NULL,
  "due_at"        timestamp with time zone NOT NULL,
  "status"        text                     NOT NULL,
  "completed_at"  timestamp with time zone,
  "snoozed_until" timestamp with time zone,
  "notes"         text,
  "repeats_sent"  integer                  NOT NULL DEFAULT 0,
  "follow_up_at"  timestamp with time zone,
  "escalated_at"  timestamp with time zone,
  "created_at"    timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"    timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "reminder_logs_notes_check" CHECK (((length(notes) >= 1) AND (length(notes) <= 1000))),
  CONSTRAINT "reminder_logs_one_of_an_occurrence" UNIQUE (reminder_id, due_at),
  CONSTRAINT "reminder_logs_pkey" PRIMARY KEY (id),
  CONSTRAINT "reminder_logs_status_check" CHECK ((status = ANY (ARRAY['sent'::text, 'completed'::text, 'skipped'::text, 'snoozed'::text, 'missed'::text]))),
  CONSTRAINT "reminder_logs_times_check" CHECK ((((status = 'completed'::text) = (completed_at IS NOT NULL)) AND ((status = 'snoozed'::text) = (snoozed_until IS
    NOT NULL)) AND ((status = ANY (ARRAY['sent'::text, 'snoozed'::text])) = (follow_up_at IS NOT NULL))))
);

ALTER TABLE "public"."reminder_logs"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."reminder_logs" FROM "anon", "service_role";

CREATE TABLE "public"."reminders" (
  "id"                   uuid                          NOT NULL DEFAULT gen_random_uuid(),
  "user_id"              uuid                          NOT NULL,
  "title"                text                          NOT NULL,
  "description"          text,
  "reminder_type"        text                          NOT NULL,
  "rrule"                text,
  "starts_at_local"      timestamp without time zone   NOT NULL,
  "timezone"             text                          NOT NULL,
  "rdate"                timestamp without time zone[] NOT NULL DEFAULT '{}'::timestamp WITHOUT time zone[],
  "exdate"               timestamp without time zone[] NOT NULL DEFAULT '{}'::timestamp WITHOUT time zone[],
  "cycle_days_on"        integer,
  "cycle_days_off"       integer,
  "shift_minutes"        integer                       NOT NULL DEFAULT 0,
  "is_active"            boolean                       NOT NULL DEFAULT true,
  "grace_minutes"        integer                       NOT NULL DEFAULT 60,
  "repeat_every_minutes" integer,
  "max_repeats"          integer                       NOT NULL DEFAULT 0,
  "escalate_to"          uuid,
  "medication_id"        uuid,
  "per_day"              numeric(6,3),
  "ai_suggestions"       jsonb,
  "upcoming"             timestamp with time zone[]    NOT NULL DEFAULT '{}'::timestamp WITH time zone[],
  "next_due_at"          timestamp with time zone      GENERATED ALWAYS AS (upcoming[1]) STORED,
  "expansion"            text                          NOT NULL DEFAULT 'stale'::text,
  "expanded_to"          timestamp with time zone      NOT NULL DEFAULT now(),
  "created_at"           timestamp with time zone      NOT NULL DEFAULT now(),
  "updated_at"           timestamp with time zone      NOT NULL DEFAULT now(),
  CONSTRAINT "reminders_ai_suggestions_check" CHECK ((jsonb_typeof(ai_suggestions) = 'object'::text)),
  CONSTRAINT "reminders_cycle_check"
    CHECK
    (((num_nulls(cycle_days_on, cycle_days_off) = ANY (ARRAY[0, 2])) AND ((cycle_days_on >= 1) AND (cycle_days_on <= 366)) AND ((cycle_days_off >= 1) AND (cycle_days_off <=
    366)))),
  CONSTRAINT "reminders_dates_check"
    CHECK
    (((cardinality(rdate) <= 100) AND (cardinality(exdate) <= 100) AND (array_position(rdate, NULL::timestamp without time zone) IS NULL) AND (array_position(exdate,
    NULL::timestamp without time zone) IS NULL))),
  CONSTRAINT "reminders_description_check" CHECK (((length(description) >= 1) AND (length(description) <= 1000))),
  CONSTRAINT "reminders_escalate_to_check" CHECK ((escalate_to <> user_id)),
  CONSTRAINT "reminders_expansion_check" CHECK ((expansion = ANY (ARRAY['stale'::text, 'open'::text, 'complete'::text, 'refused'::text]))),
  CONSTRAINT "reminders_grace_minutes_check" CHECK (((grace_minutes >= 1) AND (grace_minutes <= 1440))),
  CONSTRAINT "reminders_max_repeats_check" CHECK (((max_repeats >= 0) AND (max_repeats <= 10))),
  CONSTRAINT "reminders_per_day_check" CHECK (((per_day >= (0)::numeric) AND (per_day <= (1000)::numeric))),
  CONSTRAINT "reminders_pkey" PRIMARY KEY (id),
  CONSTRAINT "reminders_reminder_type_check"
    CHECK ((reminder_type = ANY (ARRAY['medication'::text, 'appointment'::text, 'measurement'::text, 'hydration'::text, 'exercise'::text, 'other'::text]))),
  CONSTRAINT "reminders_repeat_every_minutes_check" CHECK (((repeat_every_minutes >= 1) AND (repeat_every_minutes <= 240))),
  CONSTRAINT "reminders_repeats_check" CHECK (((max_repeats = 0) OR (repeat_every_minutes IS NOT NULL))),
  CONSTRAINT "reminders_rrule_check" CHECK (((length(rrule) >= 1) AND (length(rrule) <= 500))),
  CONSTRAINT "reminders_shift_minutes_check" CHECK (((shift_minutes >= '-1440'::integer) AND (shift_minutes <= 1440))),
  CONSTRAINT "reminders_starts_at_local_check"
    CHECK (((starts_at_local >= '1970-01-01 00:00:00'::timestamp without time zone) AND (starts_at_local < '2200-01-01 00:00:00'::timestamp without time zone))),
  CONSTRAINT "reminders_title_check" CHECK (((length(title) >= 1) AND (length(title) <= 120))),
  CONSTRAINT "reminders_upcoming_check" CHECK (((cardinality(upcoming) <= 16) AND (array_position(upcoming, NULL::timestamp with time zone) IS NULL)))
);

ALTER TABLE "public"."reminders"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."reminders" FROM "anon", "service_role";

CREATE OR REPLACE FUNCTION private.audit_reminder_update()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.cares_in_scope (
  p_patient_id uuid,
  p_member_id  uuid,
  p_scope      text
)
  RETURNS boolean
  LANGUAGE sql
  STABLE
  AS $function$
  select exists (
    select from private.care_grounds(p_member_id) as g
    where g.patient_id = p_patient_id and g.kind = 'caregiver' and p_scope = any (g.scopes)
  )
$function$;

CREATE OR REPLACE FUNCTION private.check_reminder_plan()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.civil_time (
  p_at       timestamp with time zone,
  p_timezone text
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case
    when l.clock < '09:00' then private.wall_instant(l.day + time '09:00', p_timezone)
    when l.clock < '20:00' then p_at
    else private.wall_instant(l.day + 1 + time '09:00', p_timezone)
  end
  from (
    select (p_at at time zone p_timezone)::date as day, (p_at at time zone p_timezone)::time as clock
  ) as l
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
  -- The profile first: whoever gives this account something at the same moment locks it, too, and
  -- either comes before, and is ended here, or after, and finds the account closed.
  update public.profiles set is_active = false, is_public = false where id = v_caller;
  update public.medical_record_shares as s set revoked_at = now()
  where (s.patient_id = v_caller or s.shared_with_id = v_caller)
    and s.revoked_at is null and s.expires_at > now();
  update public.care_relationships as r
  set status = 'ended', ends_at = now(), ended_reason = 'The account was closed'
  where (r.patient_id = v_caller or r.member_id = v_caller)
    and r.status in ('requested', 'active');
  update public.chart_sessions as c set closed_at = now()
  where (c.patient_id = v_caller or c.viewer_id = v_caller)
    and c.closed_at is null and c.expires_at > now();
  update public.reminders as r set is_active = false
  where r.user_id = v_caller and r.is_active;
  perform private.write_audit('close_account', 'profile', v_caller, null);
  delete from auth.sessions as s where s.user_id = v_caller;
end;
$function$;

CREATE OR REPLACE FUNCTION private.complete_next_reminder (
  p_reminder_id uuid,
  p_due_at      timestamp with time zone,
  p_notes       text
)
  RETURNS uuid
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.complete_reminder (
  p_log_id uuid,
  p_notes  text
)
  RETURNS timestamp WITH time zone
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.days_left (
  p_stock          numeric,
  p_units_per_dose numeric,
  p_per_day        numeric
)
  RETURNS integer
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case
    when p_stock is null or coalesce(p_per_day, 0) = 0 then null
    -- Part of a dose is no dose.
    else least(floor(floor(p_stock / p_units_per_dose) / p_per_day), 36500)::integer
  end
$function$;

CREATE OR REPLACE FUNCTION private.follow_up_reminders (
  p_now      timestamp with time zone,
  p_limit    integer,
  p_after    timestamp with time zone DEFAULT '-infinity'::timestamp WITH time zone,
  p_after_id uuid                     DEFAULT '00000000-0000-0000-0000-000000000000'::uuid
)
  RETURNS TABLE (
    claimed           integer,
    repeated          integer,
    missed            integer,
    escalated         integer,
    last_follow_up_at timestamp with time zone,
    last_id           uuid
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_custom_plan'
  AS $function$
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
  -- Only names of the IANA database: 'Asia/Kolkata', 'UTC'; abbreviations and offsets are not zones. A
  -- name with digits might be an offset in POSIX form, which the server takes whatever it begins with.
  perform now() at time zone p_name;
  return p_name ~ '^(UTC|Etc/GMT[+-][0-9]{1,2}|[A-Z][A-Za-z_+-]+(/[A-Za-z_+-]+)+)$';
exception
  when invalid_parameter_value then
    return false;
end;
$function$;

CREATE OR REPLACE FUNCTION private.limit_medications()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  if (select count(*) >= 200 from public.medications as m where m.user_id = new.user_id) then
    raise exception using errcode = 'PT409', message = 'limit_reached',
      detail = 'An account has at most 200 medicines';
  end if;
  return new;
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify (
  p_user_id uuid,
  p_kind    text,
  p_data    jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  if not exists (
    select
    from public.profiles as p
    join auth.users as u on u.id = p.id
    join private.notification_kinds as k on k.kind = p_kind
    where p.id = p_user_id
  ) then
    raise exception 'Cannot notify: no such account, or no kind %', p_kind;
  end if;
  perform private.notify_many(array[p_user_id], p_kind, array[p_data]);
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify_many (
  p_user_ids uuid[],
  p_kind     text,
  p_data     jsonb[]
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  with kind as materialized (
    select k.kind, k.urgency, k.channels, k.required, k.collapse_key
    from private.notification_kinds as k
    where k.kind = p_kind
  ),
  words as materialized (
    select t.locale, t.title, t.body
    from private.notification_templates as t
    where t.kind = p_kind
  ),
  wanted as materialized (
    select
      gen_random_uuid() as id, o.user_id, o.data, o.data ->> k.collapse_key as collapse_key,
      k.urgency, p.timezone, h.has_email, h.has_phone, w.title, w.body, c.channels
    from unnest(p_user_ids, p_data) as o (user_id, data)
    join public.profiles as p on p.id = o.user_id
    join auth.users as u on u.id = p.id
    cross join kind as k
    cross join lateral (
      select u.email_confirmed_at is not null and u.email <> '' as has_email,
        u.phone_confirmed_at is not null and u.phone <> '' as has_phone
    ) as h
    cross join lateral (
      select t.title, t.body
      from words as t
      where t.locale in (p.locale, split_part(p.locale, '-', 1), 'en')
      order by t.locale = p.locale desc, t.locale <> 'en' desc
      limit 1
    ) as w
    cross join lateral (
      select array_agg(c.channel) as channels
      from unnest(array['in_app', 'email', 'sms', 'push']) as c (channel)
      left join public.notification_preferences as f
        on f.user_id = o.user_id and f.kind = p_kind and f.channel = c.channel
      where private.channel_is_on(c.channel, f.enabled, k.channels, k.required, h.has_email)
    ) as c
    where c.channels is not null
  ),
  told as (
    insert into public.notifications (id, user_id, kind, title, body, data, in_app, collapse_key)
    select
      w.id, w.user_id, p_kind, w.title, w.body, w.data, 'in_app' = any (w.channels), w.collapse_key
    from wanted as w
    -- In one order for all: of a kind of which one unread is enough the writers wait for each other.
    order by w.user_id, w.collapse_key
    on conflict (user_id, kind, collapse_key)
      where read_at is null and in_app and collapse_key is not null
      do nothing
    returning id
  )
  insert into public.notification_deliveries (
    notification_id, user_id, channel, device_token_id, is_urgent, next_attempt_at
  )
  select
    w.id, w.user_id, a.channel, a.device_token_id, w.urgency <> 'normal',
    coalesce(
      case
        when w.urgency = 'normal'
          then private.quiet_until(now(), f.quiet_from, f.quiet_to, w.timezone)
      end,
      now()
    )
  from told as t
  join wanted as w on w.id = t.id and w.channels && array['email', 'sms', 'push']
  cross join lateral (
    select 'email' as channel, null::uuid as device_token_id where w.has_email
    union all
    select 'sms', null where w.has_phone
    union all
    select 'push', d.id
    from public.device_tokens as d
    where d.user_id = w.user_id and d.retired_at is null
  ) as a
  left join public.notification_preferences as f
    on f.user_id = w.user_id and f.kind = p_kind and f.channel = a.channel
  where a.channel = any (w.channels);
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify_refills (
  p_now   timestamp with time zone,
  p_limit integer
)
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.open_reminder_log (
  p_log_id uuid
)
  RETURNS public.reminder_logs
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.plan_refill()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_days_left constant integer := private.days_left(
    new.stock, new.units_per_dose,
    (
      select sum(r.per_day) from public.reminders as r
      where r.medication_id = new.id and r.is_active
        and (r.upcoming <> '{}' or r.expansion <> 'complete') -- as in medication_supply
    )
  );
begin
  if v_days_left is null or v_days_left > new.refill_threshold_days then
    new.refill_due_at := null;
    new.refill_notified_at := null;
  elsif new.refill_notified_at is null and new.refill_due_at is null then
    new.refill_due_at := private.civil_time(
      now(), (select p.timezone from public.profiles as p where p.id = new.user_id)
    );
  end if;
  return new;
end;
$function$;

CREATE OR REPLACE FUNCTION private.refuse_answered (
  p_status text
)
  RETURNS void
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
begin
  raise exception using errcode = 'PT409', message = 'already_answered',
    detail = format('Cannot answer as the occurrence is %s', p_status);
end;
$function$;

CREATE OR REPLACE FUNCTION private.reminder_scope (
  p_reminder_type text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case p_reminder_type
    when 'medication' then 'medications'
    when 'appointment' then 'appointments'
    else 'tracking'
  end
$function$;

CREATE OR REPLACE FUNCTION private.reminders_to_expand (
  p_limit integer
)
  RETURNS TABLE (
    id              uuid,
    token           text,
    rrule           text,
    starts_at_local text,
    timezone        text,
    rdate           jsonb,
    exdate          jsonb,
    cycle_days_on   integer,
    cycle_days_off  integer,
    shift_minutes   integer,
    expand_after    text,
    wanted          integer,
    is_stale        boolean
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.require_expansion (
  p_upcoming        timestamp with time zone[],
  p_starts_at_local timestamp without time zone,
  p_rdate           timestamp without time zone[],
  p_timezone        text,
  p_shift_minutes   integer
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.require_reminder_owner()
  RETURNS uuid
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.save_reminder (
  p_id                   uuid,
  p_title                text,
  p_reminder_type        text,
  p_starts_at_local      timestamp without time zone,
  p_timezone             text,
  p_rrule                text,
  p_description          text,
  p_rdate                timestamp without time zone[],
  p_exdate               timestamp without time zone[],
  p_cycle_days_on        integer,
  p_cycle_days_off       integer,
  p_is_active            boolean,
  p_grace_minutes        integer,
  p_repeat_every_minutes integer,
  p_max_repeats          integer,
  p_escalate_to          uuid,
  p_medication_id        uuid,
  p_upcoming             timestamp with time zone[],
  p_is_complete          boolean,
  p_per_day              numeric
)
  RETURNS uuid
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.shift_plan (
  p_reminder_id uuid,
  p_minutes     integer
)
  RETURNS timestamp WITH time zone
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.skip_reminder (
  p_log_id uuid,
  p_notes  text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.snooze_reminder (
  p_log_id  uuid,
  p_minutes integer
)
  RETURNS timestamp WITH time zone
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.store_expansions (
  p_expansions jsonb
)
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.tick_reminders (
  p_now      timestamp with time zone,
  p_limit    integer,
  p_after    timestamp with time zone DEFAULT '-infinity'::timestamp WITH time zone,
  p_after_id uuid                     DEFAULT '00000000-0000-0000-0000-000000000000'::uuid
)
  RETURNS TABLE (
    claimed     integer,
    sent        integer,
    missed      integer,
    last_due_at timestamp with time zone,
    last_id     uuid
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_custom_plan'
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.wall_instant (
  p_local    timestamp without time zone,
  p_timezone text
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION public.adherence (
  p_from       date,
  p_to         date,
  p_patient_id uuid DEFAULT NULL::uuid
)
  RETURNS TABLE (
    medication_id uuid,
    reminder_id   uuid,
    day           date,
    taken         bigint,
    late          bigint,
    skipped       bigint,
    missed        bigint,
    unanswered    bigint
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
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
$function$;

REVOKE ALL ON FUNCTION "public"."adherence"(date, date, uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.complete_next_reminder (
  p_reminder_id uuid,
  p_due_at      timestamp with time zone,
  p_notes       text                     DEFAULT NULL::text
)
  RETURNS uuid
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.complete_next_reminder(p_reminder_id, p_due_at, p_notes)
$function$;

REVOKE ALL ON FUNCTION "public"."complete_next_reminder"(uuid, timestamp WITH time zone, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.complete_reminder (
  p_log_id uuid,
  p_notes  text DEFAULT NULL::text
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.complete_reminder(p_log_id, p_notes)
$function$;

REVOKE ALL ON FUNCTION "public"."complete_reminder"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.create_reminder (
  p_title                text,
  p_reminder_type        text,
  p_starts_at_local      timestamp without time zone,
  p_timezone             text,
  p_rrule                text                          DEFAULT NULL::text,
  p_description          text                          DEFAULT NULL::text,
  p_rdate                timestamp without time zone[] DEFAULT '{}'::timestamp WITHOUT time zone[],
  p_exdate               timestamp without time zone[] DEFAULT '{}'::timestamp WITHOUT time zone[],
  p_cycle_days_on        integer                       DEFAULT NULL::integer,
  p_cycle_days_off       integer                       DEFAULT NULL::integer,
  p_grace_minutes        integer                       DEFAULT 60,
  p_repeat_every_minutes integer                       DEFAULT NULL::integer,
  p_max_repeats          integer                       DEFAULT 0,
  p_escalate_to          uuid                          DEFAULT NULL::uuid,
  p_medication_id        uuid                          DEFAULT NULL::uuid,
  p_upcoming             timestamp with time zone[]    DEFAULT NULL::timestamp WITH time zone[],
  p_is_complete          boolean                       DEFAULT false,
  p_per_day              numeric                       DEFAULT NULL::numeric
)
  RETURNS uuid
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.save_reminder(
    null, p_title, p_reminder_type, p_starts_at_local, p_timezone, p_rrule, p_description, p_rdate,
    p_exdate, p_cycle_days_on, p_cycle_days_off, true, p_grace_minutes, p_repeat_every_minutes,
    p_max_repeats, p_escalate_to, p_medication_id, p_upcoming, p_is_complete, p_per_day
  )
$function$;

REVOKE ALL
  ON FUNCTION
    "public"."create_reminder"(text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer, integer,
    integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.medication_supply()
  RETURNS TABLE (
    medication_id uuid,
    stock         numeric,
    doses_left    integer,
    per_day       numeric,
    days_left     integer
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
begin
  return query
    select
      m.id, m.stock, least(floor(m.stock / m.units_per_dose), 2147483647)::integer, r.per_day,
      private.days_left(m.stock, m.units_per_dose, r.per_day)
    from public.medications as m
    cross join lateral (
      select sum(r.per_day) as per_day
      from public.reminders as r
      where r.medication_id = m.id and r.is_active
        -- One that is over takes nothing more.
        and (r.upcoming <> '{}' or r.expansion <> 'complete')
    ) as r
    where m.user_id = v_caller
    order by m.name, m.id;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."medication_supply"() FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.shift_plan (
  p_reminder_id uuid,
  p_minutes     integer
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.shift_plan(p_reminder_id, p_minutes)
$function$;

REVOKE ALL ON FUNCTION "public"."shift_plan"(uuid, integer) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.skip_reminder (
  p_log_id uuid,
  p_notes  text DEFAULT NULL::text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.skip_reminder(p_log_id, p_notes)
$function$;

REVOKE ALL ON FUNCTION "public"."skip_reminder"(uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.snooze_reminder (
  p_log_id  uuid,
  p_minutes integer
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.snooze_reminder(p_log_id, p_minutes)
$function$;

REVOKE ALL ON FUNCTION "public"."snooze_reminder"(uuid, integer) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.upcoming_reminders (
  p_hours integer DEFAULT 24
)
  RETURNS TABLE (
    reminder_id     uuid,
    log_id          uuid,
    title           text,
    reminder_type   text,
    due_at          timestamp with time zone,
    due_at_local    timestamp without time zone,
    timezone        text,
    status          text,
    medication_id   uuid,
    medication_name text,
    dose            numeric,
    dose_unit       text,
    stock           numeric,
    days_left       integer
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
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
$function$;

REVOKE ALL ON FUNCTION "public"."upcoming_reminders"(integer) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.update_reminder (
  p_id                   uuid,
  p_title                text,
  p_reminder_type        text,
  p_starts_at_local      timestamp without time zone,
  p_timezone             text,
  p_rrule                text                          DEFAULT NULL::text,
  p_description          text                          DEFAULT NULL::text,
  p_rdate                timestamp without time zone[] DEFAULT '{}'::timestamp WITHOUT time zone[],
  p_exdate               timestamp without time zone[] DEFAULT '{}'::timestamp WITHOUT time zone[],
  p_cycle_days_on        integer                       DEFAULT NULL::integer,
  p_cycle_days_off       integer                       DEFAULT NULL::integer,
  p_is_active            boolean                       DEFAULT true,
  p_grace_minutes        integer                       DEFAULT 60,
  p_repeat_every_minutes integer                       DEFAULT NULL::integer,
  p_max_repeats          integer                       DEFAULT 0,
  p_escalate_to          uuid                          DEFAULT NULL::uuid,
  p_medication_id        uuid                          DEFAULT NULL::uuid,
  p_upcoming             timestamp with time zone[]    DEFAULT NULL::timestamp WITH time zone[],
  p_is_complete          boolean                       DEFAULT false,
  p_per_day              numeric                       DEFAULT NULL::numeric
)
  RETURNS uuid
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.save_reminder(
    p_id, p_title, p_reminder_type, p_starts_at_local, p_timezone, p_rrule, p_description, p_rdate,
    p_exdate, p_cycle_days_on, p_cycle_days_off, p_is_active, p_grace_minutes,
    p_repeat_every_minutes, p_max_repeats, p_escalate_to, p_medication_id, p_upcoming, p_is_complete,
    p_per_day
  )
$function$;

REVOKE ALL
  ON FUNCTION
    "public"."update_reminder"(uuid, text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer,
    boolean, integer, integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  FROM PUBLIC, "anon", "service_role";

ALTER TABLE "public"."medications"
  ADD CONSTRAINT "medications_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE RESTRICT;

ALTER TABLE "public"."reminders"
  ADD CONSTRAINT "reminders_escalate_to_fkey" FOREIGN KEY (escalate_to) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE "public"."reminders"
  ADD CONSTRAINT "reminders_medication_id_fkey" FOREIGN KEY (medication_id) REFERENCES public.medications(id) ON DELETE SET NULL;

ALTER TABLE "public"."reminder_logs"
  ADD CONSTRAINT "reminder_logs_reminder_id_fkey" FOREIGN KEY (reminder_id) REFERENCES public.reminders(id) ON DELETE CASCADE;

ALTER TABLE "public"."reminders"
  ADD CONSTRAINT "reminders_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE RESTRICT;

CREATE VIEW "private"."notification_kinds" AS  SELECT kind,
    urgency,
    channels,
    required,
    collapse_key,
    is_discreet
   FROM ( VALUES ('care_requested'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('care_accepted'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('care_ended'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('record_shared'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('chart_opened'::text,'normal'::text,'{}'::text[],'{}'::text[],NULL::text,false), ('emergency_access'::text,'emergency'::text,'{in_app,email,sms,push}'::text[],'{in_app,email}'::text[],NULL::text,false), ('emergency_review_due'::text,'emergency'::text,'{in_app,email,push}'::text[],'{in_app,email}'::text[],NULL::text,false), ('emergency_reviewed'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('emergency_objection'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('doctor_verified'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('doctor_rejected'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('new_message'::text,'normal'::text,'{in_app,push}'::text[],'{}'::text[],'conversation_id'::text,true), ('new_sign_in'::text,'security'::text,'{in_app,email,push}'::text[],'{in_app,email}'::text[],NULL::text,true), ('mfa_changed'::text,'security'::text,'{in_app,email,push}'::text[],'{in_app,email}'::text[],NULL::text,true), ('delivery_dead'::text,'normal'::text,'{in_app}'::text[],'{}'::text[],'channel'::text,true), ('reminder_due'::text,'reminder'::text,'{in_app,push}'::text[],'{}'::text[],NULL::text,true), ('reminder_missed'::text,'normal'::text,'{in_app,push}'::text[],'{}'::text[],'user_id'::text,true), ('reminder_stopped'::text,'reminder'::text,'{in_app,email,push}'::text[],'{}'::text[],'reminder_id'::text,true), ('reminder_escalated'::text,'reminder'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('medication_refill'::text,'normal'::text,'{in_app,push}'::text[],'{}'::text[],'medication_id'::text,true)) k(kind, urgency, channels, required, collapse_key, is_discreet);

CREATE VIEW "private"."notification_minimal_words" AS  SELECT urgency,
    locale,
    title,
    body
   FROM ( VALUES ('normal'::text,'en'::text,'You have a new notification'::text,'Open the app to read it.'::text), ('normal'::text,'hi'::text,'आपके लिए एक नई सूचना है'::text,'पढ़ने के लिए ऐप खोलें।'::text), ('security'::text,'en'::text,'A notification about the security of your account'::text,'Open the app to read it.'::text), ('reminder'::text,'en'::text,'You have a reminder'::text,'Open the app to see what is due.'::text), ('reminder'::text,'hi'::text,'आपके लिए एक अनुस्मारक है'::text,'क्या करना है, यह देखने के लिए ऐप खोलें।'::text), ('security'::text,'hi'::text,'आपके खाते की सुरक्षा के बारे में एक सूचना'::text,'पढ़ने के लिए ऐप खोलें।'::text), ('emergency'::text,'en'::text,'You have an urgent notification'::text,'Open the app now to read it.'::text), ('emergency'::text,'hi'::text,'आपके लिए एक ज़रूरी सूचना है'::text,'पढ़ने के लिए अभी ऐप खोलें।'::text)) t(urgency, locale, title, body);

CREATE VIEW "private"."notification_templates" AS  SELECT kind,
    locale,
    title,
    body
   FROM ( VALUES ('emergency_access'::text,'en'::text,'Your chart was opened in an emergency'::text,('A doctor has opened your chart in an emergency and said why. Every look into it is in your '::text || 'access log, an administrator will review it, and you may object.'::text)), ('emergency_access'::text,'hi'::text,'आपात स्थिति में आपका चार्ट खोला गया'::text,('एक डॉक्टर ने आपात स्थिति में आपका चार्ट खोला है और कारण बताया है। हर पहुँच आपके एक्सेस लॉग में '::text || 'दर्ज है, एक प्रशासक इसकी समीक्षा करेगा, और आप आपत्ति कर सकते हैं।'::text)), ('emergency_review_due'::text,'en'::text,'An emergency access waits for review'::text,'A doctor has opened a chart in an emergency. Please review whether it was justified.'::text), ('emergency_review_due'::text,'hi'::text,'एक आपातकालीन पहुँच समीक्षा की प्रतीक्षा में है'::text,'एक डॉक्टर ने आपात स्थिति में एक चार्ट खोला है। कृपया समीक्षा करें कि यह उचित था या नहीं।'::text), ('emergency_reviewed'::text,'en'::text,'An emergency access was reviewed'::text,'An administrator has reviewed an emergency access that concerns you. The outcome is with it.'::text), ('emergency_reviewed'::text,'hi'::text,'एक आपातकालीन पहुँच की समीक्षा हुई'::text,'एक प्रशासक ने आपसे जुड़ी एक आपातकालीन पहुँच की समीक्षा की है। परिणाम उसी के साथ है।'::text), ('emergency_objection'::text,'en'::text,'A patient objects to an emergency access'::text,'A patient has objected to an emergency access to their chart. The objection is with it.'::text), ('emergency_objection'::text,'hi'::text,'एक मरीज़ ने आपातकालीन पहुँच पर आपत्ति की'::text,'एक मरीज़ ने अपने चार्ट की आपातकालीन पहुँच पर आपत्ति की है। आपत्ति उसी के साथ है।'::text), ('care_requested'::text,'en'::text,'Somebody asks to take part in your care'::text,'A doctor or caregiver asks for access to your data. Nothing is open to them until you accept.'::text), ('care_requested'::text,'hi'::text,'कोई आपकी देखभाल में शामिल होना चाहता है'::text,'एक डॉक्टर या देखभालकर्ता आपके डेटा तक पहुँच माँगता है। आपकी स्वीकृति तक उनके लिए कुछ भी खुला नहीं है।'::text), ('care_accepted'::text,'en'::text,'A care relationship has begun'::text,'A patient has let you take part in their care.'::text), ('care_accepted'::text,'hi'::text,'एक देखभाल संबंध शुरू हुआ'::text,'एक मरीज़ ने आपको अपनी देखभाल में शामिल होने दिया है।'::text), ('care_ended'::text,'en'::text,'A care relationship has ended'::text,'A care relationship of yours has ended, and with it the access that it gave.'::text), ('care_ended'::text,'hi'::text,'एक देखभाल संबंध समाप्त हुआ'::text,'आपका एक देखभाल संबंध समाप्त हो गया है, और उसके साथ उससे मिली पहुँच भी।'::text), ('record_shared'::text,'en'::text,'A record was shared with you'::text,'Somebody has shared a record with you. Opening it is logged.'::text), ('record_shared'::text,'hi'::text,'आपके साथ एक रिकॉर्ड साझा किया गया'::text,'किसी ने आपके साथ एक रिकॉर्ड साझा किया है। उसे खोलना दर्ज किया जाता है।'::text), ('chart_opened'::text,'en'::text,'Your chart was opened'::text,'Somebody who takes part in your care has opened your chart. Every look is in your access log.'::text), ('chart_opened'::text,'hi'::text,'आपका चार्ट खोला गया'::text,'आपकी देखभाल में शामिल किसी ने आपका चार्ट खोला है। हर पहुँच आपके एक्सेस लॉग में दर्ज है।'::text), ('doctor_verified'::text,'en'::text,'You are verified'::text,'An administrator has verified you as a clinician.'::text), ('doctor_verified'::text,'hi'::text,'आप सत्यापित हैं'::text,'एक प्रशासक ने आपको चिकित्सक के रूप में सत्यापित किया है।'::text), ('doctor_rejected'::text,'en'::text,'You are not verified'::text,'An administrator has refused or withdrawn your verification. The reason is with it.'::text), ('doctor_rejected'::text,'hi'::text,'आप सत्यापित नहीं हैं'::text,'एक प्रशासक ने आपका सत्यापन अस्वीकार किया या वापस लिया है। कारण उसी के साथ है।'::text), ('new_message'::text,'en'::text,'You have a new message'::text,'Open the conversation to read it.'::text), ('new_message'::text,'hi'::text,'आपके लिए एक नया संदेश है'::text,'पढ़ने के लिए बातचीत खोलें।'::text), ('new_sign_in'::text,'en'::text,'New sign-in to your account'::text,('Somebody has signed in to your account. If it was not you, change your password and end the '::text || 'other sessions.'::text)), ('new_sign_in'::text,'hi'::text,'आपके खाते में नया साइन-इन'::text,'किसी ने आपके खाते में साइन इन किया है। यदि वह आप नहीं थे, तो अपना पासवर्ड बदलें और अन्य सत्र समाप्त करें।'::text), ('mfa_changed'::text,'en'::text,'A second factor of your account was changed'::text,('A second factor was added to your account or taken from it. If it was not you, change your '::text || 'password and ask for help.'::text)), ('mfa_changed'::text,'hi'::text,'आपके खाते का दूसरा कारक बदला गया'::text,('आपके खाते में दूसरा कारक जोड़ा या उससे हटाया गया है। यदि वह आप नहीं थे, तो अपना पासवर्ड बदलें और सहायता '::text || 'माँगें।'::text)), ('delivery_dead'::text,'en'::text,'A notification could not be delivered'::text,'A delivery was given up after its last attempt. Look at it, and try again when the cause is gone.'::text), ('delivery_dead'::text,'hi'::text,'एक सूचना पहुँचाई नहीं जा सकी'::text,'अंतिम प्रयास के बाद एक डिलीवरी छोड़ दी गई। इसे देखें, और कारण दूर होने पर फिर प्रयास करें।'::text), ('reminder_due'::text,'en'::text,'You have a reminder'::text,'Open the app to see what is due, and answer it.'::text), ('reminder_due'::text,'hi'::text,'आपके लिए एक अनुस्मारक है'::text,'क्या करना है, यह देखने और उत्तर देने के लिए ऐप खोलें।'::text), ('reminder_missed'::text,'en'::text,'Reminders have passed'::text,'Some reminders could not be sent in time. Open the app to see which.'::text), ('reminder_missed'::text,'hi'::text,'कुछ अनुस्मारक छूट गए'::text,'कुछ अनुस्मारक समय पर नहीं भेजे जा सके। कौन से, यह देखने के लिए ऐप खोलें।'::text), ('reminder_stopped'::text,'en'::text,'A reminder has stopped'::text,'Its times cannot be worked out. Open the app to set it again.'::text), ('reminder_stopped'::text,'hi'::text,'एक अनुस्मारक रुक गया है'::text,'इसके समय तय नहीं किए जा सके। इसे फिर से सेट करने के लिए ऐप खोलें।'::text), ('reminder_escalated'::text,'en'::text,'Somebody you care for has not answered'::text,'A reminder of somebody in your care was not answered. Please look after them.'::text), ('reminder_escalated'::text,'hi'::text,'जिनकी आप देखभाल करते हैं, उन्होंने उत्तर नहीं दिया'::text,'आपकी देखभाल में किसी व्यक्ति के अनुस्मारक का उत्तर नहीं मिला। कृपया उनका ध्यान रखें।'::text), ('medication_refill'::text,'en'::text,'A supply is running low'::text,'Something whose stock you count is running low. Open the app to see what.'::text), ('medication_refill'::text,'hi'::text,'भंडार कम हो रहा है'::text,'जिसका भंडार आप गिनते हैं, वह कम हो रहा है। क्या, यह देखने के लिए ऐप खोलें।'::text)) t(kind, locale, title, body);

CREATE INDEX medications_refill_due_at_idx ON public.medications USING btree (refill_due_at)
  WHERE (refill_due_at IS NOT NULL);

CREATE INDEX medications_user_id_idx ON public.medications USING btree (user_id, name, id);

CREATE INDEX reminder_logs_follow_up_at_idx ON public.reminder_logs USING btree (follow_up_at, id)
  WHERE (follow_up_at IS NOT NULL);

CREATE INDEX reminder_logs_user_id_idx ON public.reminder_logs USING btree (user_id, due_at DESC, id);

CREATE INDEX reminders_escalate_to_idx ON public.reminders USING btree (escalate_to)
  WHERE (escalate_to IS NOT NULL);

CREATE INDEX reminders_expansion_idx ON public.reminders USING btree (expanded_to)
  WHERE (is_active AND ((expansion = 'stale'::text) OR ((expansion = 'open'::text) AND (cardinality(upcoming) < 4))));

CREATE INDEX reminders_medication_id_idx ON public.reminders USING btree (medication_id)
  WHERE (medication_id IS NOT NULL);

CREATE INDEX reminders_next_due_at_idx ON public.reminders USING btree (next_due_at, id)
  WHERE is_active;

CREATE INDEX reminders_user_id_idx ON public.reminders USING btree (user_id, is_active);

CREATE TRIGGER medications_audit_delete AFTER DELETE ON public.medications REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medication',
  'id',
  'user_id',
  ''
);

CREATE TRIGGER medications_audit_insert AFTER INSERT ON public.medications REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medication',
  'id',
  'user_id',
  ''
);

CREATE TRIGGER medications_audit_update AFTER UPDATE ON public.medications
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'medication',
  'id',
  'user_id',
  ''
);

CREATE TRIGGER medications_limit
  BEFORE INSERT ON public.medications
  FOR EACH ROW
  EXECUTE FUNCTION private.limit_medications();

CREATE TRIGGER medications_plan_refill
  BEFORE UPDATE OF stock, units_per_dose, refill_threshold_days ON public.medications
  FOR EACH ROW
  EXECUTE FUNCTION private.plan_refill();

CREATE TRIGGER medications_set_updated_at
  BEFORE UPDATE ON public.medications
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER reminder_logs_set_updated_at
  BEFORE UPDATE ON public.reminder_logs
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER reminders_audit_delete AFTER DELETE ON public.reminders REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'reminder',
  'id',
  'user_id',
  'upcoming,next_due_at'
);

CREATE TRIGGER reminders_audit_insert AFTER INSERT ON public.reminders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'reminder',
  'id',
  'user_id',
  'upcoming,next_due_at'
);

CREATE TRIGGER reminders_audit_update
  AFTER UPDATE OF title,
    description,
    reminder_type,
    rrule,
    starts_at_local,
    timezone,
    rdate,
    exdate,
    cycle_days_on, cycle_days_off, shift_minutes, is_active, grace_minutes, repeat_every_minutes, max_repeats, escalate_to, medication_id, ai_suggestions ON public.reminders
  FOR EACH ROW
  EXECUTE FUNCTION private.audit_reminder_update();

CREATE TRIGGER reminders_check_plan
  BEFORE INSERT OR UPDATE OF timezone, rrule ON public.reminders
  FOR EACH ROW
  EXECUTE FUNCTION private.check_reminder_plan();

CREATE TRIGGER reminders_set_updated_at
  BEFORE UPDATE OF title,
    description,
    reminder_type,
    rrule,
    starts_at_local,
    timezone,
    rdate,
    exdate,
    cycle_days_on, cycle_days_off, shift_minutes, is_active, grace_minutes, repeat_every_minutes, max_repeats, escalate_to, medication_id, ai_suggestions ON public.reminders
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE POLICY "medications_delete_authenticated_only" ON "public"."medications"
  AS RESTRICTIVE
  FOR DELETE
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medications_delete_authenticated" ON "public"."medications"
  FOR DELETE
  TO "authenticated"
  USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "medications_insert_authenticated_only" ON "public"."medications"
  AS RESTRICTIVE
  FOR INSERT
  TO "authenticated"
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medications_insert_authenticated" ON "public"."medications"
  FOR INSERT
  TO "authenticated"
  WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "medications_select_authenticated_only" ON "public"."medications"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medications_select_authenticated" ON "public"."medications"
  FOR SELECT
  TO "authenticated"
  USING (((user_id = ( SELECT auth.uid() AS uid)) OR (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('medications'::text) AS chart_patient_ids)))));

CREATE POLICY "medications_update_authenticated_only" ON "public"."medications"
  AS RESTRICTIVE
  FOR UPDATE
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows))
  WITH CHECK (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "medications_update_authenticated" ON "public"."medications"
  FOR UPDATE
  TO "authenticated"
  USING ((user_id = ( SELECT auth.uid() AS uid)))
  WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "reminder_logs_select_authenticated_only" ON "public"."reminder_logs"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "reminder_logs_select_authenticated" ON "public"."reminder_logs"
  FOR SELECT
  TO "authenticated"
  USING
    (((user_id = ( SELECT auth.uid() AS uid)) OR ((reminder_type = 'medication'::text) AND (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('medications'::text) AS
    chart_patient_ids)))) OR ((reminder_type = 'appointment'::text) AND (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('appointments'::text) AS chart_patient_ids)))) OR
    ((reminder_type <> ALL (ARRAY['medication'::text, 'appointment'::text])) AND (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('tracking'::text) AS
    chart_patient_ids))))));

CREATE POLICY "reminders_delete_authenticated_only" ON "public"."reminders"
  AS RESTRICTIVE
  FOR DELETE
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "reminders_delete_authenticated" ON "public"."reminders"
  FOR DELETE
  TO "authenticated"
  USING ((user_id = ( SELECT auth.uid() AS uid)));

CREATE POLICY "reminders_select_authenticated_only" ON "public"."reminders"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows));

CREATE POLICY "reminders_select_authenticated" ON "public"."reminders"
  FOR SELECT
  TO "authenticated"
  USING
    (((user_id = ( SELECT auth.uid() AS uid)) OR ((reminder_type = 'medication'::text) AND (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('medications'::text) AS
    chart_patient_ids)))) OR ((reminder_type = 'appointment'::text) AND (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('appointments'::text) AS chart_patient_ids)))) OR
    ((reminder_type <> ALL (ARRAY['medication'::text, 'appointment'::text])) AND (user_id = ANY (ARRAY( SELECT private.chart_patient_ids('tracking'::text) AS
    chart_patient_ids))))));

COMMENT ON COLUMN "public"."medications"."dose" IS 'Amount of one dose in dose_unit, for example 500 and mg.';

COMMENT ON COLUMN "public"."medications"."refill_due_at" IS 'When its owner is to be told that it runs low, by day in their zone; null: not.';

COMMENT ON COLUMN "public"."medications"."refill_notified_at" IS 'When they were told; null: not since the stock was last enough.';

COMMENT ON COLUMN "public"."medications"."refill_threshold_days" IS 'Its owner is told when the stock lasts for so many days or less.';

COMMENT ON COLUMN "public"."medications"."stock" IS 'Units at hand, for example tablets; null: not counted.';

COMMENT ON COLUMN "public"."medications"."units_per_dose" IS 'How much of the stock a dose takes, for example two tablets.';

COMMENT ON COLUMN "public"."medications"."user_id" IS 'Who takes it.';

COMMENT ON COLUMN "public"."reminder_logs"."due_at" IS 'When it came due, UTC.';

COMMENT ON COLUMN "public"."reminder_logs"."escalated_at" IS 'When a caregiver was told that the patient has not answered; null: never.';

COMMENT ON COLUMN "public"."reminder_logs"."follow_up_at" IS 'When a tick looks at it again: to tell it again, or to close it as missed; null: closed.';

COMMENT ON COLUMN "public"."reminder_logs"."medication_id" IS 'Medicine that was to be taken; stays when the medicine is deleted.';

COMMENT ON COLUMN "public"."reminder_logs"."repeats_sent" IS 'How often it was told again, unanswered.';

COMMENT ON COLUMN "public"."reminder_logs"."status" IS 'sent: told, not answered yet; completed, skipped, snoozed by its owner; missed: never answered, or too old to be told when a tick came.';

COMMENT ON COLUMN "public"."reminders"."ai_suggestions" IS 'Suggestions that its owner may take up; null: none.';

COMMENT ON COLUMN "public"."reminders"."cycle_days_on" IS 'Days with, then cycle_days_off days without, in turn from the day of starts_at_local; null: every day. 21 and 7 for a medicine that is taken three weeks of four.';

COMMENT ON COLUMN "public"."reminders"."escalate_to" IS 'Caregiver who is told when an occurrence stays unanswered, if in care with the scope then.';

COMMENT ON COLUMN "public"."reminders"."exdate" IS 'EXDATE: wall-clock times left out, 100 at most, as planned before shift_minutes.';

COMMENT ON COLUMN "public"."reminders"."expanded_to" IS 'Up to here occurrences have come due or do not count: the last one that came due, or when the plan was made.';

COMMENT ON COLUMN "public"."reminders"."expansion" IS 'stale: upcoming has to be worked out anew from expanded_to on, which the next tick does; open: more follow after upcoming; complete: none do; refused: the plan cannot be followed, and the reminder has become inactive.';

COMMENT ON COLUMN "public"."reminders"."grace_minutes" IS 'How long after it was due an occurrence is still of use: sent by a late tick, counted as taken in time.';

COMMENT ON COLUMN "public"."reminders"."medication_id" IS 'What is taken at each occurrence; null: nothing.';

COMMENT ON COLUMN "public"."reminders"."next_due_at" IS 'When it is due next, UTC; null: never again, or not worked out yet (see expansion).';

COMMENT ON COLUMN "public"."reminders"."per_day" IS 'Occurrences a day, on the average of 84 days from the first to come when the plan was worked out, or of the days to its last; null: not yet.';

COMMENT ON COLUMN "public"."reminders"."rdate" IS 'RDATE: further wall-clock times, 100 at most.';

COMMENT ON COLUMN "public"."reminders"."repeat_every_minutes" IS 'Minutes between reminders of one occurrence until it is answered, max_repeats of them.';

COMMENT ON COLUMN "public"."reminders"."rrule" IS 'Value of RRULE (RFC 5545) in capitals, on wall-clock time; null: at starts_at_local and rdate.';

COMMENT ON COLUMN "public"."reminders"."shift_minutes" IS 'By how much the whole plan is moved on the wall clock; see shift_plan.';

COMMENT ON COLUMN "public"."reminders"."starts_at_local" IS 'DTSTART: what the wall clock in the zone shows.';

COMMENT ON COLUMN "public"."reminders"."timezone" IS 'IANA time zone of the wall clock.';

COMMENT ON COLUMN "public"."reminders"."upcoming" IS 'The next occurrences, UTC, in order; the first is next_due_at.';

COMMENT ON COLUMN "public"."reminders"."user_id" IS 'Whose it is.';

COMMENT ON FUNCTION "private"."audit_reminder_update"() IS 'Trigger: writes an audit row for a reminder whose owner has changed it.';

COMMENT ON FUNCTION "private"."cares_in_scope"(uuid, uuid, text) IS 'Whether somebody is a patient''s caregiver with a scope now. For definer functions only.';

COMMENT ON FUNCTION "private"."check_reminder_plan"() IS 'Trigger: refuses a zone that is none, and a rule that has not the form of one.';

COMMENT ON FUNCTION "private"."civil_time"(timestamp with time zone, text) IS 'A moment, or the next 09:00 when it falls between 20:00 and 09:00 in the zone.';

COMMENT ON FUNCTION "private"."complete_next_reminder"(uuid, timestamp with time zone, text) IS 'Body of public.complete_next_reminder.';

COMMENT ON FUNCTION "private"."complete_reminder"(uuid, text) IS 'Body of public.complete_reminder.';

COMMENT ON FUNCTION "private"."days_left"(numeric, numeric, numeric) IS 'Whole days that a stock lasts at so many doses a day; null when either is not known. At most a hundred years.';

COMMENT ON FUNCTION "private"."follow_up_reminders"(timestamp with time zone, integer, timestamp with time zone, uuid) IS 'Takes one batch of occurrences that wait for an answer and whose time has come at p_now: tells them again (repeat_every_minutes, max_repeats, or what was snoozed), or closes them as missed and tells the caregiver of escalate_to, if they are in care with the scope now, of a patient once in 15 minutes.';

COMMENT ON FUNCTION "private"."limit_medications"() IS 'Trigger: refuses a medicine beyond the 200th of an account. PT409 limit_reached.';

COMMENT ON FUNCTION "private"."notify"(uuid, text, jsonb) IS 'Tells an account something: private.notify_many for one, but that it fails, and with it the transaction, when there is no such account or kind. For definer functions only.';

COMMENT ON FUNCTION "private"."notify_many"(uuid[], text, jsonb[]) IS 'Tells accounts something, each with the data at its place, in its language where there are words in it, else in English: writes the notification and one delivery for each channel and address outside the app that preferences and kind say. With private.notify the only way in, for definer functions only. An account that is gone is passed over.';

COMMENT ON FUNCTION "private"."notify_refills"(timestamp with time zone, integer) IS 'Tells the owners of at most p_limit medicines that they run low, by day in their zone and once until they are refilled, and returns how many.';

COMMENT ON FUNCTION "private"."open_reminder_log"(uuid) IS 'The caller''s occurrence, locked until the transaction ends. For definer functions only. Errors: PT401 unauthenticated, PT403 mfa_required, PT404 not_found.';

COMMENT ON FUNCTION "private"."plan_refill"() IS 'Trigger: plans the notice that a medicine runs low, once until its stock is enough again.';

COMMENT ON FUNCTION "private"."refuse_answered"(text) IS 'Raises PT409 already_answered.';

COMMENT ON FUNCTION "private"."reminder_scope"(text) IS 'The scope that a caregiver needs to see reminders of a type.';

COMMENT ON FUNCTION "private"."reminders_to_expand"(integer) IS 'Reminders whose next occurrences have to be worked out: the plan, the instant after which, and how many. token is for store_expansions.';

COMMENT ON FUNCTION "private"."require_expansion"(timestamp
  with time zone[], timestamp without time zone, timestamp without time zone[], text, integer) IS 'Refuses occurrences that cannot be those of a plan. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."require_reminder_owner"() IS 'The caller, who acts on reminders of their own, if their token may carry a clinical right. For definer functions only. Errors: PT401 unauthenticated, PT403 mfa_required.';

COMMENT ON FUNCTION
  "private"."save_reminder"(uuid, text, text, timestamp without time zone, text, text, text, timestamp without time zone[], timestamp without time zone[], integer, integer,
  boolean, integer, integer, integer, uuid, uuid, timestamp with time zone[], boolean, numeric) IS 'Body of public.create_reminder (p_id null) and public.update_reminder.';

COMMENT ON FUNCTION "private"."shift_plan"(uuid, integer) IS 'Body of public.shift_plan.';

COMMENT ON FUNCTION "private"."skip_reminder"(uuid, text) IS 'Body of public.skip_reminder.';

COMMENT ON FUNCTION "private"."snooze_reminder"(uuid, integer) IS 'Body of public.snooze_reminder.';

COMMENT ON FUNCTION "private"."store_expansions"(jsonb) IS 'Stores what was worked out for rows of reminders_to_expand that have not changed since, and returns for how many: an array of {id, token, upcoming, is_complete, is_refused, per_day}. A plan that is refused makes its reminder inactive, and its owner is told.';

COMMENT ON FUNCTION "private"."tick_reminders"(timestamp with time zone, integer, timestamp with time zone, uuid) IS 'Takes one batch of reminders that are due at p_now, behind the row of p_after and p_after_id: logs every occurrence that has come due, moves the reminder on to its next one, and tells its owner. Within grace_minutes an occurrence is sent, of several the newest is told; older ones are missed, and told as one. Fewer claimed than p_limit: nothing else is due, but for what other calls hold.';

COMMENT ON FUNCTION "private"."wall_instant"(timestamp without time zone, text) IS 'The instant at which the wall clock in a zone shows a time: the first, where it comes twice; with the offset before the change, where it does not come (02:30 comes at 03:30).';

COMMENT ON FUNCTION "public"."adherence"(date, date, uuid) IS 'How a plan was kept, by medicine (by reminder, where none is linked) and day of the wall clock in the zone that the reminder had: taken within grace_minutes, late, skipped, missed, and not answered yet. p_from is included, p_to is not, at most 366 days. p_patient_id null: the caller''s own; of another, what an open chart shows. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."complete_next_reminder"(uuid, timestamp with time zone, text) IS 'Marks the next occurrence of a reminder of the caller''s as done before it is due, up to 12 hours: it is not told any more, and counts as complete_reminder. Returns the id of its log row; one that has been told meanwhile, or done, is completed as complete_reminder does. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found (also: another one is next).';

COMMENT ON FUNCTION "public"."complete_reminder"(uuid, text) IS 'Marks an occurrence of the caller''s as done, whatever it was before, and takes the dose from the stock. Returns when it was done; of one that is done already, from another device or before, the first time counts and nothing changes. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found.';

COMMENT ON FUNCTION
  "public"."create_reminder"(text, text, timestamp without time zone, text, text, text, timestamp without time zone[], timestamp without time zone[], integer, integer, integer,
  integer, integer, uuid, uuid, timestamp with time zone[], boolean, numeric) IS 'Makes a reminder of the caller and returns its id. POST /functions/v1/reminders takes the same, checks the rule, says what is wrong with it and where, and passes its next occurrences as p_upcoming (p_is_complete: there are no more). Called without them, next_due_at is null until the next tick has worked them out, within a minute; a rule that it finds wrong makes the reminder inactive, and tells its owner (reminder_stopped). Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found (medicine, or a caregiver with the scope), PT409 limit_reached (500 reminders).';

COMMENT ON FUNCTION "public"."medication_supply"() IS 'How long each of the caller''s medicines lasts: doses left, doses a day by its active reminders (breaks of a cycle included), whole days. Null where the stock is not counted or nothing is planned. Errors: PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."shift_plan"(uuid, integer) IS 'Moves all that is to come of a reminder of the caller by so many minutes on the wall clock, after a dose that was late; minus for earlier. Returns when it is due next. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found.';

COMMENT ON FUNCTION "public"."skip_reminder"(uuid, text) IS 'Marks an occurrence of the caller''s as left out on purpose; again does no harm. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found, PT409 already_answered (done).';

COMMENT ON FUNCTION "public"."snooze_reminder"(uuid, integer) IS 'Has an occurrence of the caller''s told again in 1 to 720 minutes, and returns when; again counts from now. When the next occurrence comes first, that one is told, and this one is missed. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required, PT404 not_found, PT409 already_answered (done or skipped).';

COMMENT ON FUNCTION "public"."upcoming_reminders"(integer) IS 'What the caller is to do: occurrences that wait for an answer (log_id is set, status sent or snoozed), and those of the next p_hours, 1 to 168 (status upcoming), the earliest first; at most the next 16 of each reminder. With the dose to take, what is left of the medicine, and for how many days. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION
  "public"."update_reminder"(uuid, text, text, timestamp without time zone, text, text, text, timestamp without time zone[], timestamp without time zone[], integer, integer,
  boolean, integer, integer, integer, uuid, uuid, timestamp with time zone[], boolean, numeric) IS 'Replaces a reminder of the caller with what is given; what is left out becomes its default, the shift stays. When it is due changes with the plan only. PUT /functions/v1/reminders/:id takes the same; p_upcoming and errors as create_reminder, PT404 not_found for the reminder, too.';

COMMENT ON TABLE "public"."medications" IS 'One medicine that one account takes. PHI. Its owner writes it; a dose that is marked as taken is subtracted from stock.';

COMMENT ON TABLE "public"."reminder_logs" IS 'What became of one occurrence of a reminder. PHI: whether somebody took what they should. Owner, type, medicine, zone and grace are those of the reminder when it came due.';

COMMENT ON TABLE "public"."reminders" IS 'One thing that one account is reminded of, and when. PHI: what somebody takes or has done, and when. Written by RPC; its owner may delete it, with all that was logged of it.';

COMMENT ON VIEW "private"."notification_kinds" IS 'Every kind of notification. urgency: normal, or reminder (its time was chosen), security and emergency, which wait for no quiet hours. channels: where it goes unless the preferences of an account say otherwise; none: only who asks for it gets it. required: what no preference switches off. collapse_key: the id in data of which an account has one unread notification at most. is_discreet: whether its words may stand on a locked screen, as they tell nothing of care.';

COMMENT ON VIEW "private"."notification_minimal_words" IS 'What leaves the app instead of the words of a kind, unless the account wants those: that there is something, and how urgent it is.';

COMMENT ON VIEW "private"."notification_templates" IS 'The words of every kind of notification by language (BCP 47). Each kind has English; no text says anything of somebody''s health, nor a name.';

REVOKE ALL ON FUNCTION "private"."audit_reminder_update"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."cares_in_scope"(uuid, uuid, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."check_reminder_plan"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."civil_time"(timestamp WITH time zone, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."complete_next_reminder"(uuid, timestamp WITH time zone, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."complete_next_reminder"(uuid, timestamp WITH time zone, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."complete_reminder"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."complete_reminder"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."days_left"(numeric, numeric, numeric) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."days_left"(numeric, numeric, numeric) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."follow_up_reminders"(timestamp WITH time zone, integer, timestamp WITH time zone, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."follow_up_reminders"(timestamp WITH time zone, integer, timestamp WITH time zone, uuid) TO "reminder_worker";

REVOKE ALL ON FUNCTION "private"."limit_medications"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."notify_many"(uuid[], text, jsonb[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."notify_refills"(timestamp WITH time zone, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."notify_refills"(timestamp WITH time zone, integer) TO "reminder_worker";

REVOKE ALL ON FUNCTION "private"."open_reminder_log"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."plan_refill"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."refuse_answered"(text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."reminder_scope"(text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."reminder_scope"(text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."reminders_to_expand"(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."reminders_to_expand"(integer) TO "reminder_worker";

REVOKE ALL ON FUNCTION "private"."require_expansion"(timestamp WITH time zone[], timestamp WITHOUT time zone, timestamp WITHOUT time zone[], text, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_reminder_owner"() FROM PUBLIC;

REVOKE ALL
  ON FUNCTION
    "private"."save_reminder"(uuid, text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer,
    boolean, integer, integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  FROM PUBLIC;

GRANT EXECUTE
  ON FUNCTION
    "private"."save_reminder"(uuid, text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer,
    boolean, integer, integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  TO "authenticated";

REVOKE ALL ON FUNCTION "private"."shift_plan"(uuid, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."shift_plan"(uuid, integer) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."skip_reminder"(uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."skip_reminder"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."snooze_reminder"(uuid, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."snooze_reminder"(uuid, integer) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."store_expansions"(jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."store_expansions"(jsonb) TO "reminder_worker";

REVOKE ALL ON FUNCTION "private"."tick_reminders"(timestamp WITH time zone, integer, timestamp WITH time zone, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."tick_reminders"(timestamp WITH time zone, integer, timestamp WITH time zone, uuid) TO "reminder_worker";

REVOKE ALL ON FUNCTION "private"."wall_instant"(timestamp WITHOUT time zone, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "public"."adherence"(date, date, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."adherence"(date, date, uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."adherence"(date, date, uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."complete_next_reminder"(uuid, timestamp WITH time zone, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."complete_next_reminder"(uuid, timestamp WITH time zone, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."complete_next_reminder"(uuid, timestamp WITH time zone, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."complete_reminder"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."complete_reminder"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."complete_reminder"(uuid, text) TO "postgres";

GRANT EXECUTE
  ON FUNCTION
    "public"."create_reminder"(text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer, integer,
    integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  TO "authenticated";

REVOKE ALL
  ON FUNCTION
    "public"."create_reminder"(text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer, integer,
    integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  FROM "postgres";

GRANT EXECUTE
  ON FUNCTION
    "public"."create_reminder"(text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer, integer,
    integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."medication_supply"() TO "authenticated";

REVOKE ALL ON FUNCTION "public"."medication_supply"() FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."medication_supply"() TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."shift_plan"(uuid, integer) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."shift_plan"(uuid, integer) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."shift_plan"(uuid, integer) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."skip_reminder"(uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."skip_reminder"(uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."skip_reminder"(uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."snooze_reminder"(uuid, integer) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."snooze_reminder"(uuid, integer) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."snooze_reminder"(uuid, integer) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."upcoming_reminders"(integer) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."upcoming_reminders"(integer) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."upcoming_reminders"(integer) TO "postgres";

GRANT EXECUTE
  ON FUNCTION
    "public"."update_reminder"(uuid, text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer,
    boolean, integer, integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  TO "authenticated";

REVOKE ALL
  ON FUNCTION
    "public"."update_reminder"(uuid, text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer,
    boolean, integer, integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  FROM "postgres";

GRANT EXECUTE
  ON FUNCTION
    "public"."update_reminder"(uuid, text, text, timestamp WITHOUT time zone, text, text, text, timestamp WITHOUT time zone[], timestamp WITHOUT time zone[], integer, integer,
    boolean, integer, integer, integer, uuid, uuid, timestamp WITH time zone[], boolean, numeric)
  TO "postgres";

REVOKE ALL ON SCHEMA "private" FROM "reminder_worker";

GRANT USAGE ON SCHEMA "private" TO "reminder_worker";

REVOKE ALL ON TABLE "public"."medications" FROM "authenticated";

REVOKE ALL ("dose_unit") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("dose_unit"), UPDATE ("dose_unit") ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ("dose") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("dose"), UPDATE ("dose") ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ("name") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("name"), UPDATE ("name") ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ("refill_threshold_days") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("refill_threshold_days"), UPDATE ("refill_threshold_days") ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ("stock") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("stock"), UPDATE ("stock") ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ("units_per_dose") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("units_per_dose"), UPDATE ("units_per_dose") ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ("user_id") ON TABLE "public"."medications" FROM "authenticated";

GRANT INSERT ("user_id") ON TABLE "public"."medications" TO "authenticated";

GRANT DELETE, SELECT ON TABLE "public"."medications" TO "authenticated";

REVOKE ALL ON TABLE "public"."medications" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."medications" TO "postgres";

REVOKE ALL ON TABLE "public"."reminder_logs" FROM "authenticated";

GRANT SELECT ON TABLE "public"."reminder_logs" TO "authenticated";

REVOKE ALL ON TABLE "public"."reminder_logs" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."reminder_logs" TO "postgres";

REVOKE ALL ON TABLE "public"."reminders" FROM "authenticated";

GRANT DELETE, SELECT ON TABLE "public"."reminders" TO "authenticated";

REVOKE ALL ON TABLE "public"."reminders" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."reminders" TO "postgres";
