-- Who may do what to where notifications go. No row here: not allowed.
--   notification_preferences  authenticated  select, insert, update, delete  one's own; what must
--                                            arrive cannot be switched off, which a trigger refuses
--   device_tokens             authenticated  select  one's own; written by RPC
--   retired_addresses         nobody: the delivery functions write and read them

alter table public.notification_preferences enable row level security;
revoke all on table public.notification_preferences
  from public, anon, authenticated, service_role;
grant select, delete on table public.notification_preferences to authenticated;
grant insert (user_id, kind, channel, enabled, quiet_from, quiet_to, detail)
  on table public.notification_preferences to authenticated;
-- user_id, kind and channel, too: an upsert sets the columns by which it found the row.
grant update (user_id, kind, channel, enabled, quiet_from, quiet_to, detail)
  on table public.notification_preferences to authenticated;

create policy notification_preferences_select_authenticated on public.notification_preferences
  for select to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );
create policy notification_preferences_insert_authenticated on public.notification_preferences
  for insert to authenticated
  with check (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );
create policy notification_preferences_update_authenticated on public.notification_preferences
  for update to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  )
  with check (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );
create policy notification_preferences_delete_authenticated on public.notification_preferences
  for delete to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );

alter table public.device_tokens enable row level security;
revoke all on table public.device_tokens from public, anon, authenticated, service_role;
grant select on table public.device_tokens to authenticated;

create policy device_tokens_select_authenticated on public.device_tokens
  for select to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );

alter table private.retired_addresses enable row level security;
revoke all on table private.retired_addresses from public, anon, authenticated, service_role;
