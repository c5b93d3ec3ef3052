-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

CREATE OR REPLACE FUNCTION private.doses_per_day (
  p_medication_id uuid
)
  RETURNS numeric
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  -- A plan that is over takes nothing more.
  select sum(r.per_day)
  from public.reminders as r
  where r.medication_id = p_medication_id and r.is_active
    and (r.upcoming <> '{}' or r.expansion <> 'complete')
$function$;

CREATE OR REPLACE FUNCTION private.plan_refill()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

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
    cross join lateral private.doses_per_day(m.id) as r (per_day)
    where m.user_id = v_caller
    order by m.name, m.id;
end;
$function$;

COMMENT ON FUNCTION "private"."doses_per_day"(uuid) IS 'Doses of a medicine a day by its active reminders, breaks of a cycle included; null when there are none. Of what its caller may see.';

REVOKE ALL ON FUNCTION "private"."doses_per_day"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."doses_per_day"(uuid) TO "authenticated";
