-- Who may do what to deliveries. No row here: not allowed.
--   notification_deliveries  authenticated  select  those of one's own notifications
--   delivery_receipts        nobody: private.record_receipt writes them
-- Both are written by functions for the role notification_worker, and by private.notify.

alter table public.notification_deliveries enable row level security;
revoke all on table public.notification_deliveries from public, anon, authenticated, service_role;
grant select on table public.notification_deliveries to authenticated;

create policy notification_deliveries_select_authenticated on public.notification_deliveries
  for select to authenticated
  using (
    (select private.session_is_live())
    and user_id = (select auth.uid())
  );

alter table private.delivery_receipts enable row level security;
revoke all on table private.delivery_receipts from public, anon, authenticated, service_role;
