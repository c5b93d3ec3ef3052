-- Written by hand, what a comparison of two databases does not find: worker roles, as in
-- sql/00_platform.sql; the bucket to which the function `audit` publishes signed heads; the bucket of
-- files, which are encrypted before they are uploaded; and, ahead of the comparison, a column of a
-- partitioned table with its index, and the triggers of the partitions that there are, since it
-- leaves the partitions of the months out.

do $$
declare
  v_name text;
begin
  foreach v_name in array array['identity_worker', 'audit_worker', 'keys_worker'] loop
    if not exists (select 1 from pg_catalog.pg_roles where rolname = v_name) then
      execute format('create role %I nologin noinherit', v_name);
      execute format('grant %I to postgres with inherit false, set true', v_name);
    end if;
  end loop;
end
$$;

-- No policy opens it: the secret key writes, and nobody overwrites.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('audit-heads', 'audit-heads', false, 65536, array['application/json'])
on conflict (id) do nothing;

-- Bytes without a type, and none of a type that somebody could read.
update storage.buckets set allowed_mime_types = array['application/octet-stream']
where id = 'medical-records';

alter table public.audit_events
  add column transaction_id xid8 not null default pg_current_xact_id();
create index audit_events_transaction_id_idx on public.audit_events (transaction_id);

-- As sql/15_audit.sql makes new ones: also for a session that plays the replica.
do $$
declare
  v_partition regclass;
begin
  for v_partition in
    select i.inhrelid from pg_catalog.pg_inherits as i
    where i.inhparent = 'public.audit_events'::regclass
  loop
    execute format(
      'alter table %s enable always trigger %I', v_partition,
      (select c.relname from pg_catalog.pg_class as c where c.oid = v_partition) || '_no_truncate'
    );
  end loop;
end
$$;
