-- Who may do what to the seals of the audit trail. No row here: not allowed.
--   audit_seals        nobody, through any grant; the function audit seals as audit_worker, which
--                      may execute seal_audit and audit_head
--   audit_seal_leaves  nobody; a patient reads the way to one event through audit_proof
-- An administrator checks the trail with verify_audit, and reads what it says of whom, never the
-- values, with audit_search; both write an audit row.

alter table public.audit_seals enable row level security;
revoke all on table public.audit_seals from public, anon, authenticated, service_role;
alter table private.audit_seal_leaves enable row level security;
revoke all on table private.audit_seal_leaves from public, anon, authenticated, service_role;

-- States the rule where a reader of the catalogue looks for it; no grant is there to be opened.
create policy audit_seals_select_authenticated on public.audit_seals
  for select to authenticated
  using (false);
