-- Schema auth: the tables that Lite's Auth reads and writes, what the gateway adds to them (multi-
-- factor, claims), and the helpers auth.uid(), auth.role(), auth.email(), auth.jwt() with hosted
-- Supabase's definitions. Follows platform.sql; run by `supabase_admin`; may be repeated. The tables
-- themselves come from the Lite package (`getAuthSchemaSql`), which database.ts runs just before.

-- Helpers ----------------------------------------------------------------------------------------

create or replace function auth.uid()
  returns uuid
  language sql
  stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;

create or replace function auth.role()
  returns text
  language sql
  stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
  )::text
$$;

create or replace function auth.email()
  returns text
  language sql
  stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')
  )::text
$$;

create or replace function auth.jwt()
  returns jsonb
  language sql
  stable
as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

grant execute on function auth.uid(), auth.role(), auth.email(), auth.jwt() to public;

-- Owners and rights ------------------------------------------------------------------------------
-- No API role reads these tables; `postgres` does, as on hosted projects, so that migrations can
-- refer to auth.users and put triggers on it.

do $$
declare
  v_table record;
begin
  for v_table in select c.oid::regclass as name from pg_class as c
    where c.relnamespace = 'auth'::regnamespace and c.relkind = 'r'
  loop
    execute format('alter table %s owner to supabase_auth_admin', v_table.name);
    execute format('revoke all on table %s from public, anon, authenticated', v_table.name);
    execute format('grant all on table %s to postgres, dashboard_user', v_table.name);
  end loop;
end
$$;
