-- Who may do what on the platform's own objects. No row here: not allowed.
--   authenticated      usage    schema private, for the helpers that policies call
--   records_worker     usage    schema private, for its functions
--   rate_limit_worker  usage    schema private, for its one function
--   identity_worker    usage    schema private, for its one function
--   audit_worker       usage    schema private, for its two functions
--   keys_worker        usage    schema private, for its functions
--   notification_worker  usage  schema private, for its functions
--   supabase_auth_admin  usage  schema private, for the hook that limits sign-in attempts
-- Nobody reads or writes private.rate_limits but private.take_rate_token.

revoke all on schema private from public, anon, service_role;
grant usage on schema private
  to authenticated, records_worker, rate_limit_worker, identity_worker, audit_worker,
  keys_worker, notification_worker, supabase_auth_admin;

alter table private.rate_limits enable row level security;
revoke all on table private.rate_limits from public, anon, authenticated, service_role;
