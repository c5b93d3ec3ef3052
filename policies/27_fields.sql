-- Who may do what to encrypted fields. No row here: not allowed.
--   patient_search_keys  nobody, through any grant; functions in `private` write and compare them
-- The encrypted columns follow their tables: policies/10_identity.sql and 25_records.sql.

alter table private.patient_search_keys enable row level security;
revoke all on table private.patient_search_keys from public, anon, authenticated, service_role;
