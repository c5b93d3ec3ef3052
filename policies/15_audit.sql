-- Who may do what to the audit trail. No row here: not allowed.
--   audit_events  nobody, the service role included, through any grant; rows are written by definer
--                 functions, and read by a patient through my_access_log
--   unlisted_refusals  nobody; private.refuse counts in it, and private.list_refusals, which
--                 audit_worker calls, takes what was counted to the trail

alter table public.audit_events enable row level security;
revoke all on table public.audit_events from public, anon, authenticated, service_role;
revoke all on sequence public.audit_events_id_seq from public, anon, authenticated, service_role;

-- States the rule where a reader of the catalogue looks for it; there is no grant that it could open.
create policy audit_events_select_authenticated on public.audit_events
  for select to authenticated
  using (false);

alter table private.unlisted_refusals enable row level security;
revoke all on table private.unlisted_refusals from public, anon, authenticated, service_role;
