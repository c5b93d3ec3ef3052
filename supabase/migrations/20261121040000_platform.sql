-- Written by hand: roles belong to the cluster and extensions to the platform, so a comparison of
-- two databases does not find them. Repeats the head of sql/00_platform.sql.

create extension if not exists btree_gist with schema extensions;
create extension if not exists citext with schema extensions;
create extension if not exists pg_trgm with schema extensions;
create extension if not exists pgcrypto with schema extensions;

do $$
declare
  v_name text;
begin
  foreach v_name in array array['records_worker', 'rate_limit_worker'] loop
    if not exists (select 1 from pg_catalog.pg_roles where rolname = v_name) then
      execute format('create role %I nologin noinherit', v_name);
      execute format('grant %I to postgres with inherit false, set true', v_name);
    end if;
  end loop;
end
$$;
