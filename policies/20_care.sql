-- Who may do what in care. No row here: not allowed.
--   care_relationships  authenticated  select  rows in which the caller is patient or member
--   chart_sessions      authenticated  select  openings of one's own chart, and by oneself
-- Both tables are written by RPC only, and need what 26_access.sql says.

alter table public.care_relationships enable row level security;
revoke all on table public.care_relationships from public, anon, authenticated, service_role;
grant select on table public.care_relationships to authenticated;

create policy care_relationships_select_authenticated on public.care_relationships
  for select to authenticated
  using (patient_id = (select auth.uid()) or member_id = (select auth.uid()));

alter table public.chart_sessions enable row level security;
revoke all on table public.chart_sessions from public, anon, authenticated, service_role;
grant select on table public.chart_sessions to authenticated;

create policy chart_sessions_select_authenticated on public.chart_sessions
  for select to authenticated
  using (patient_id = (select auth.uid()) or viewer_id = (select auth.uid()));
