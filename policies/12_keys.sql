-- Who may do what to keys. No row here: not allowed.
--   data_keys     nobody, through any grant; functions in `private` give and take single keys
--   key_versions  nobody, through any grant; written by a trigger of data_keys

alter table private.data_keys enable row level security;
revoke all on table private.data_keys from public, anon, authenticated, service_role;

alter table private.key_versions enable row level security;
revoke all on table private.key_versions from public, anon, authenticated, service_role;
