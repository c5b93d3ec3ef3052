-- Written by hand, as a comparison of two databases does not find it: the worker role of notifications.

do $$
begin
  if not exists (select 1 from pg_catalog.pg_roles where rolname = 'notification_worker') then
    create role notification_worker nologin noinherit;
    grant notification_worker to postgres with inherit false, set true;
  end if;
end
$$;
