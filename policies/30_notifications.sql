-- Who may do what to notifications. No row here: not allowed.
--   notifications               authenticated  select  one's own, unless they are for outside only
--   notification_kinds          nobody: notify and the delivery functions read them
--   notification_templates      nobody, as above
--   notification_minimal_words  nobody, as above
-- Rows are written by private.notify only, and marked as read and deleted by RPC.

alter table public.notifications enable row level security;
revoke all on table public.notifications from public, anon, authenticated, service_role;
grant select on table public.notifications to authenticated;

create policy notifications_select_authenticated on public.notifications
  for select to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
    and in_app
  );

revoke all on table private.notification_templates from public, anon, authenticated, service_role;
revoke all on table private.notification_kinds from public, anon, authenticated, service_role;
revoke all on table private.notification_minimal_words
  from public, anon, authenticated, service_role;
