-- Tracking: what somebody takes. So far the medicines that reminders speak of, with dose and stock.
-- Needs: 10_identity.sql, 30_notifications.sql, 40_reminders.sql. Policies: policies/45_tracking.sql.

create table public.medications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete restrict,
  name text not null,
  dose numeric(12, 4),
  dose_unit text,
  units_per_dose numeric(8, 3) not null default 1,
  stock numeric(10, 3),
  refill_threshold_days integer not null default 7,
  refill_due_at timestamptz,
  refill_notified_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint medications_name_check check (length(name) between 1 and 200),
  constraint medications_dose_check
    check (
      dose > 0 and dose < 'NaN' and (dose is null) = (dose_unit is null)
      and length(dose_unit) between 1 and 20
    ),
  -- NaN is greater than any number, and none.
  constraint medications_units_per_dose_check check (units_per_dose > 0 and units_per_dose < 'NaN'),
  constraint medications_stock_check check (stock >= 0 and stock < 'NaN'),
  constraint medications_refill_threshold_days_check check (refill_threshold_days between 0 and 90)
);
comment on table public.medications is
  'One medicine that one account takes. PHI. Its owner writes it; a dose that is marked as taken is '
  'subtracted from stock.';
comment on column public.medications.user_id is 'Who takes it.';
comment on column public.medications.dose is 'Amount of one dose in dose_unit, for example 500 and mg.';
comment on column public.medications.units_per_dose is
  'How much of the stock a dose takes, for example two tablets.';
comment on column public.medications.stock is 'Units at hand, for example tablets; null: not counted.';
comment on column public.medications.refill_threshold_days is
  'Its owner is told when the stock lasts for so many days or less.';
comment on column public.medications.refill_due_at is
  'When its owner is to be told that it runs low, by day in their zone; null: not.';
comment on column public.medications.refill_notified_at is
  'When they were told; null: not since the stock was last enough.';

create index medications_user_id_idx on public.medications (user_id, name, id);
create index medications_refill_due_at_idx on public.medications (refill_due_at)
  where refill_due_at is not null;

alter table public.reminders
  add constraint reminders_medication_id_fkey
  foreign key (medication_id) references public.medications (id) on delete set null;

create trigger medications_set_updated_at
  before update on public.medications
  for each row execute function private.set_updated_at();
select private.audit_table('public.medications', 'medication', 'id', 'user_id');

create function private.limit_medications()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  if (select count(*) >= 200 from public.medications as m where m.user_id = new.user_id) then
    raise exception using errcode = 'PT409', message = 'limit_reached',
      detail = 'An account has at most 200 medicines';
  end if;
  return new;
end;
$$;
comment on function private.limit_medications() is
  'Trigger: refuses a medicine beyond the 200th of an account. PT409 limit_reached.';
revoke execute on function private.limit_medications()
  from public, anon, authenticated, service_role;

create trigger medications_limit
  before insert on public.medications
  for each row execute function private.limit_medications();

-- Supply -----------------------------------------------------------------------------------------

create function private.days_left(p_stock numeric, p_units_per_dose numeric, p_per_day numeric)
  returns integer
  language sql
  immutable
  set search_path = ''
as $$
  select case
    when p_stock is null or coalesce(p_per_day, 0) = 0 then null
    -- Part of a dose is no dose.
    else least(floor(floor(p_stock / p_units_per_dose) / p_per_day), 36500)::integer
  end
$$;
comment on function private.days_left(numeric, numeric, numeric) is
  'Whole days that a stock lasts at so many doses a day; null when either is not known. At most a '
  'hundred years.';
revoke execute on function private.days_left(numeric, numeric, numeric)
  from public, anon, service_role;
grant execute on function private.days_left(numeric, numeric, numeric) to authenticated;

create function private.doses_per_day(p_medication_id uuid)
  returns numeric
  language sql
  stable
  set search_path = ''
as $$
  -- A plan that is over takes nothing more.
  select sum(r.per_day)
  from public.reminders as r
  where r.medication_id = p_medication_id and r.is_active
    and (r.upcoming <> '{}' or r.expansion <> 'complete')
$$;
comment on function private.doses_per_day(uuid) is
  'Doses of a medicine a day by its active reminders, breaks of a cycle included; null when there are '
  'none. Of what its caller may see.';
revoke execute on function private.doses_per_day(uuid) from public, anon, service_role;
grant execute on function private.doses_per_day(uuid) to authenticated;

create function public.medication_supply()
  returns table (
    medication_id uuid,
    stock numeric,
    doses_left integer,
    per_day numeric,
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
  return query
    select
      m.id, m.stock, least(floor(m.stock / m.units_per_dose), 2147483647)::integer, r.per_day,
      private.days_left(m.stock, m.units_per_dose, r.per_day)
    from public.medications as m
    cross join lateral private.doses_per_day(m.id) as r (per_day)
    where m.user_id = v_caller
    order by m.name, m.id;
end;
$$;
comment on function public.medication_supply() is
  'How long each of the caller''s medicines lasts: doses left, doses a day by its active reminders '
  '(breaks of a cycle included), whole days. Null where the stock is not counted or nothing is '
  'planned. Errors: PT401 unauthenticated.';
revoke execute on function public.medication_supply() from public, anon, service_role;
grant execute on function public.medication_supply() to authenticated;

create function private.civil_time(p_at timestamptz, p_timezone text)
  returns timestamptz
  language sql
  immutable
  set search_path = ''
as $$
  select case
    when l.clock < '09:00' then private.wall_instant(l.day + time '09:00', p_timezone)
    when l.clock < '20:00' then p_at
    else private.wall_instant(l.day + 1 + time '09:00', p_timezone)
  end
  from (
    select (p_at at time zone p_timezone)::date as day, (p_at at time zone p_timezone)::time as clock
  ) as l
$$;
comment on function private.civil_time(timestamptz, text) is
  'A moment, or the next 09:00 when it falls between 20:00 and 09:00 in the zone.';
revoke execute on function private.civil_time(timestamptz, text)
  from public, anon, authenticated, service_role;

create function private.plan_refill()
  returns trigger
  language plpgsql
  security definer -- the plan of the notice is not for its owner to write
  set search_path = ''
as $$
declare
  v_days_left constant integer := private.days_left(
    new.stock, new.units_per_dose, private.doses_per_day(new.id)
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
$$;
comment on function private.plan_refill() is
  'Trigger: plans the notice that a medicine runs low, once until its stock is enough again.';
revoke execute on function private.plan_refill() from public, anon, authenticated, service_role;

create trigger medications_plan_refill
  before update of stock, units_per_dose, refill_threshold_days on public.medications
  for each row execute function private.plan_refill();
