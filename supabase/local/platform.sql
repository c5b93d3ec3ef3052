-- Makes an empty PostgreSQL 17 database look like a hosted Supabase one: roles, schemas, default
-- privileges, extensions. Run by the superuser `supabase_admin`, once per database; every statement
-- may be repeated. auth.sql, storage.sql and realtime.sql, beside this file, follow it. Nothing of
-- the product is here: migrations run afterwards, as the role `postgres`, which is no superuser.

-- Roles ------------------------------------------------------------------------------------------
-- Roles belong to the cluster, so each is made only if another database has not made it before.

do $$
declare
  v_role record;
begin
  for v_role in
    select * from (values
      ('postgres', 'login createrole createdb bypassrls replication'),
      ('anon', 'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role', 'nologin noinherit bypassrls'),
      ('authenticator', 'login noinherit'),
      ('supabase_auth_admin', 'login noinherit createrole'),
      ('supabase_storage_admin', 'login noinherit createrole'),
      ('supabase_realtime_admin', 'nologin noinherit'),
      ('dashboard_user', 'nologin createrole createdb replication')
    ) as wanted (name, options)
  loop
    if not exists (select 1 from pg_roles where rolname = v_role.name) then
      execute format('create role %I %s', v_role.name, v_role.options);
    end if;
  end loop;
end
$$;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant anon, authenticated, service_role to supabase_storage_admin;
grant supabase_auth_admin, supabase_realtime_admin, supabase_storage_admin to supabase_admin;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
-- Hosted Supabase lets `postgres` write policies on tables of these owners (supautils); membership
-- without inheritance of data rights is the nearest that plain PostgreSQL has.
grant supabase_realtime_admin, supabase_storage_admin to postgres with inherit true, set false;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role supabase_auth_admin set search_path = 'auth';
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role supabase_storage_admin set search_path = 'storage';

do $$
begin
  execute format('alter database %I owner to postgres', current_database());
  execute format(
    'alter database %I set search_path = "$user", public, extensions', current_database()
  );
  -- Which schemas the API serves; the security advisor looks only at these.
  execute format('alter database %I set pgrst.db_schemas = %L', current_database(), 'public');
end
$$;

-- Schemas ----------------------------------------------------------------------------------------

grant all on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to dashboard_user;

create schema if not exists auth authorization supabase_admin;
grant all on schema auth to supabase_auth_admin, dashboard_user;
grant usage on schema auth to postgres, anon, authenticated, service_role;

create schema if not exists storage authorization supabase_admin;
grant all on schema storage to supabase_storage_admin, dashboard_user;
grant usage on schema storage to postgres, anon, authenticated, service_role;

create schema if not exists realtime authorization supabase_admin;
grant all on schema realtime to supabase_realtime_admin;
grant usage on schema realtime to postgres, anon, authenticated, service_role;

-- Default privileges -----------------------------------------------------------------------------
-- As on hosted projects, whatever `postgres` makes in public is open to the API roles until it is
-- revoked. The product's SQL therefore revokes by name; see policies/.

alter default privileges for role postgres in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
alter default privileges for role supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;

-- Extensions -------------------------------------------------------------------------------------

create extension if not exists pgcrypto with schema extensions;
create extension if not exists "uuid-ossp" with schema extensions;
create extension if not exists pg_stat_statements with schema extensions;
create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gist with schema extensions;
create extension if not exists citext with schema extensions;
create extension if not exists pgtap with schema extensions;
grant execute on all functions in schema extensions to postgres, anon, authenticated, service_role;

-- Realtime listens to this publication; it starts empty, as on hosted projects.
do $$
begin
  if not exists (select 1 from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
    alter publication supabase_realtime owner to postgres;
  end if;
end
$$;
