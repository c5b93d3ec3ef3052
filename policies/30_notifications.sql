-- Who may do what to notifications. No row here: not allowed.
--   notifications           authenticated  select  one's own
--   notification_templates  nobody: notify reads them
-- Rows are written by private.notify only, and marked as read by RPC.

alter table public.notifications enable row level security;
revoke all on table public.notifications from public, anon, authenticated, service_role;
grant select on table public.notifications to authenticated;

create policy notifications_select_authenticated on public.notifications
  for select to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );

revoke all on table private.notification_templates from public, anon, authenticated, service_role;
