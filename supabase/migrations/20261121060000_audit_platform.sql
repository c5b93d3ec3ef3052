-- Written by hand, what a comparison of schemas does not find: the worker role of the function `audit`,
-- as in sql/00_platform.sql; the bucket to which it publishes signed heads; and an index on a
-- partitioned table, since the comparison leaves the partitions of the months out.

do $$
begin
  if not exists (select 1 from pg_catalog.pg_roles where rolname = 'audit_worker') then
    create role audit_worker nologin noinherit;
    grant audit_worker to postgres with inherit false, set true;
  end if;
end
$$;

-- No policy opens it: the secret key writes, and nobody overwrites.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('audit-heads', 'audit-heads', false, 65536, array['application/json'])
on conflict (id) do nothing;

alter table public.audit_events
  add column transaction_id xid8 not null default pg_current_xact_id();
create index audit_events_transaction_id_idx on public.audit_events (transaction_id);
