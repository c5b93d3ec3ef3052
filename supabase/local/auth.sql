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

-- Multi-factor authentication --------------------------------------------------------------------
-- Hosted projects have these tables with enums where text stands here; a cast to text fits both.

create table if not exists auth.mfa_factors (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  friendly_name text,
  factor_type text not null check (factor_type in ('totp', 'phone', 'webauthn')),
  status text not null check (status in ('unverified', 'verified')),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  secret text,
  phone text,
  last_challenged_at timestamptz
);
comment on table auth.mfa_factors is 'A second factor of a user; `secret` is base32.';
create unique index if not exists mfa_factors_user_friendly_name_unique
  on auth.mfa_factors (friendly_name, user_id) where trim(friendly_name) <> '';
create index if not exists mfa_factors_user_id_idx on auth.mfa_factors (user_id);

create table if not exists auth.mfa_challenges (
  id uuid primary key,
  factor_id uuid not null references auth.mfa_factors (id) on delete cascade,
  created_at timestamptz not null,
  verified_at timestamptz,
  ip_address inet not null
);
comment on table auth.mfa_challenges is 'A request to prove a factor; good once, for five minutes.';
create index if not exists mfa_challenges_factor_id_idx on auth.mfa_challenges (factor_id);

create table if not exists auth.mfa_amr_claims (
  id uuid primary key,
  session_id uuid not null references auth.sessions (id) on delete cascade,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  authentication_method text not null,

  constraint mfa_amr_claims_session_id_authentication_method_pkey
    unique (session_id, authentication_method)
);
comment on table auth.mfa_amr_claims is 'How a session was proved: one row per method.';

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
