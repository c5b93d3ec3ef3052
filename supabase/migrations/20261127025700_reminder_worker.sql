-- Written by hand, what a comparison of two databases does not find: the worker role of reminders, as
-- in sql/00_platform.sql.

do $$
begin
  if not exists (select 1 from pg_catalog.pg_roles where rolname = 'reminder_worker') then
    create role reminder_worker nologin noinherit;
    grant reminder_worker to postgres with inherit false, set true;
  end if;
end
$$;
