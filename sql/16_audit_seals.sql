-- Seals: a Merkle root (RFC 6962) over the audit rows committed since the last seal, chained to it.
-- Whoever changes the trail later, the superuser included, changes a root, and the chain from there
-- on. docs/audit.md has the whole scheme and what it cannot show.
-- Needs: 15_audit.sql. Policies: policies/16_audit_seals.sql.

create function private.audit_seal_canonical(
  p_id bigint,
  p_from_id bigint,
  p_to_id bigint,
  p_leaf_count integer,
  p_merkle_root bytea,
  p_previous_hash bytea,
  p_snapshot pg_snapshot,
  p_is_drained boolean,
  p_is_restart boolean,
  p_sealed_at timestamptz
)
  returns text
  language sql
  immutable
as $$
  select json_array(
    'audit_seal/1'::text, p_id, p_from_id, p_to_id, p_leaf_count, encode(p_merkle_root, 'hex'),
    encode(p_previous_hash, 'hex'), p_snapshot::text, p_is_drained, p_is_restart,
    (extract(epoch from p_sealed_at at time zone 'UTC') * 1000000)::bigint
    null on null returning text
  )
$$;
comment on function private.audit_seal_canonical(
  bigint, bigint, bigint, integer, bytea, bytea, pg_snapshot, boolean, boolean, timestamptz
) is
  'A seal as the text that is hashed: a JSON array of the name of this form and all columns but '
  'the hash itself, hashes in hexadecimal, sealed_at in microseconds since 1970 UTC.';
revoke execute on function private.audit_seal_canonical(
  bigint, bigint, bigint, integer, bytea, bytea, pg_snapshot, boolean, boolean, timestamptz
) from public, anon, authenticated, service_role;

create function private.audit_seal_hash(p_canonical text)
  returns bytea
  language plpgsql
  immutable -- as private.audit_leaf
  set search_path = ''
as $$
begin
  return sha256(convert_to(p_canonical, 'UTF8'));
end;
$$;
comment on function private.audit_seal_hash(text) is
  'SHA-256 of a seal''s canonical form in UTF-8. It begins with no zero or one byte, so it is the '
  'hash of no leaf and no node.';
revoke execute on function private.audit_seal_hash(text)
  from public, anon, authenticated, service_role;

create table public.audit_seals (
  id bigint primary key,
  from_id bigint not null,
  to_id bigint not null,
  leaf_count integer not null,
  merkle_root bytea not null,
  previous_hash bytea,
  snapshot pg_snapshot not null,
  is_drained boolean not null,
  is_restart boolean not null,
  sealed_at timestamptz not null,
  hash bytea not null generated always as (
    private.audit_seal_hash(private.audit_seal_canonical(
      id, from_id, to_id, leaf_count, merkle_root, previous_hash, snapshot, is_drained, is_restart,
      sealed_at
    ))
  ) stored,

  constraint audit_seals_id_check check (id >= 1),
  constraint audit_seals_range_check check (from_id <= to_id),
  constraint audit_seals_leaf_count_check check (leaf_count >= 1),
  constraint audit_seals_merkle_root_check check (length(merkle_root) = 32),
  constraint audit_seals_previous_hash_check check (
    case when id = 1 then previous_hash is null
      else previous_hash is not null and length(previous_hash) = 32 end
  ),
  -- Two seals after one would be two histories.
  constraint audit_seals_previous_hash_key unique (previous_hash)
);
comment on table public.audit_seals is
  'One row a closed stretch of the audit trail. Not PHI: hashes, counts and times.';
comment on column public.audit_seals.id is 'From 1 without gaps.';
comment on column public.audit_seals.from_id is
  'Smallest id of its events; seals may overlap in ids.';
comment on column public.audit_seals.to_id is 'Largest id of its events.';
comment on column public.audit_seals.merkle_root is
  'Root of RFC 6962, section 2.1, over the leaves in the order of their ids.';
comment on column public.audit_seals.previous_hash is
  'Hash of the seal before; null for the first.';
comment on column public.audit_seals.snapshot is
  'Which transactions the sealer saw as committed. A row of one of those that is not sealed by '
  'then was slipped in later.';
comment on column public.audit_seals.is_drained is
  'Whether the sealer left nothing over of what it saw.';
comment on column public.audit_seals.is_restart is
  'Whether its rows may carry numbers of another server''s transactions: the first after a '
  'restore.';
comment on column public.audit_seals.sealed_at is 'When the sealer looked, UTC.';
comment on column public.audit_seals.hash is 'SHA-256 of the canonical form. Generated.';

create index audit_seals_sealed_at_idx on public.audit_seals (sealed_at);
create index audit_seals_restart_idx on public.audit_seals (id) where is_restart;

create table private.audit_seal_leaves (
  seal_id bigint not null references public.audit_seals (id),
  position integer not null,
  event_id bigint not null,
  occurred_at timestamptz not null,
  leaf_hash bytea not null,

  primary key (seal_id, position),
  constraint audit_seal_leaves_one_seal unique (event_id, occurred_at),
  constraint audit_seal_leaves_position_check check (position >= 0)
);
comment on table private.audit_seal_leaves is
  'Which event is which leaf of which seal. Not PHI. No foreign key to the events: that one is '
  'missing must be possible to say.';
comment on column private.audit_seal_leaves.position is 'Index of the leaf in the tree, from 0.';
comment on column private.audit_seal_leaves.occurred_at is 'Of the event; leads to its partition.';
comment on column private.audit_seal_leaves.leaf_hash is 'Of the event, as it was when sealed.';

-- Append-only, as the events are: also for a session that plays the replica.
create trigger audit_seals_append_only
  before update or delete on public.audit_seals
  for each row execute function private.refuse_change();
create trigger audit_seals_no_truncate
  before truncate on public.audit_seals
  for each statement execute function private.refuse_change();
create trigger audit_seal_leaves_append_only
  before update or delete on private.audit_seal_leaves
  for each row execute function private.refuse_change();
create trigger audit_seal_leaves_no_truncate
  before truncate on private.audit_seal_leaves
  for each statement execute function private.refuse_change();
alter table public.audit_seals enable always trigger audit_seals_append_only;
alter table public.audit_seals enable always trigger audit_seals_no_truncate;
alter table private.audit_seal_leaves enable always trigger audit_seal_leaves_append_only;
alter table private.audit_seal_leaves enable always trigger audit_seal_leaves_no_truncate;

-- Merkle trees -----------------------------------------------------------------------------------
-- A level of a tree is one bytea of 32 bytes a node. RFC 6962 splits n leaves after the largest
-- power of two below n; joining neighbours level by level, and lifting a last one without a
-- neighbour as it is, gives the same tree.

create function private.merkle_parents(p_level bytea)
  returns bytea
  language sql
  immutable
  set search_path = ''
as $$
  select string_agg(
    case length(pair) when 64 then sha256('\x01'::bytea || pair) else pair end, ''::bytea order by n
  )
  from (
    select n, substr(p_level, n * 64 + 1, 64) as pair
    from generate_series(0, (length(p_level) / 32 - 1) / 2) as n
  ) as pairs
$$;
comment on function private.merkle_parents(bytea) is
  'The level above: of each pair of nodes SHA-256 of a one byte and both; a last single node as '
  'it is.';

create function private.merkle_root(p_leaves bytea)
  returns bytea
  language plpgsql
  immutable
  set search_path = ''
as $$
declare
  v_level bytea := p_leaves;
begin
  while length(v_level) > 32 loop
    v_level := private.merkle_parents(v_level);
  end loop;
  return case length(v_level) when 0 then sha256(''::bytea) else v_level end;
end;
$$;
comment on function private.merkle_root(bytea) is
  'Root of the tree over leaf hashes that stand one after the other, 32 bytes each.';

create function private.merkle_path(p_leaves bytea, p_position integer)
  returns text[]
  language plpgsql
  immutable
  set search_path = ''
as $$
declare
  v_level bytea := p_leaves;
  v_at integer := p_position;
  v_beside integer;
  v_path text[] := '{}';
begin
  while length(v_level) > 32 loop
    v_beside := case v_at % 2 when 0 then v_at + 1 else v_at - 1 end;
    if v_beside * 32 < length(v_level) then
      v_path := v_path || encode(substr(v_level, v_beside * 32 + 1, 32), 'hex');
    end if;
    v_level := private.merkle_parents(v_level);
    v_at := v_at / 2;
  end loop;
  return v_path;
end;
$$;
comment on function private.merkle_path(bytea, integer) is
  'Audit path of RFC 6962, section 2.1.1, of the leaf at a position, lowest node first, in '
  'hexadecimal.';

revoke execute on function
  private.merkle_parents(bytea), private.merkle_root(bytea), private.merkle_path(bytea, integer)
from public, anon, authenticated, service_role;

-- Sealing ----------------------------------------------------------------------------------------

create function private.snapshot_before_self()
  returns pg_snapshot
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_snapshot constant pg_snapshot := pg_current_snapshot();
  v_self constant xid8 := pg_current_xact_id_if_assigned();
begin
  if v_self is null or v_self >= pg_snapshot_xmax(v_snapshot) then
    return v_snapshot;
  end if;
  return format('%s:%s:%s',
    least(pg_snapshot_xmin(v_snapshot), v_self), pg_snapshot_xmax(v_snapshot),
    (
      select string_agg(x.id::text, ',' order by x.id)
      from (select pg_snapshot_xip(v_snapshot) as id union select v_self) as x
    )
  )::pg_snapshot;
end;
$$;
comment on function private.snapshot_before_self() is
  'The snapshot of the calling statement, with the calling transaction among those in progress, '
  'where a snapshot passes over it.';
revoke execute on function private.snapshot_before_self()
  from public, anon, authenticated, service_role;

create function private.seal_audit(
  p_max_seals integer default 64,
  -- A proof hashes the whole tree of its seal, so a tree is kept to some tens of milliseconds.
  p_max_leaves integer default 16384
)
  returns table (is_busy boolean, seals integer, events bigint, is_drained boolean)
  language plpgsql
  security definer -- the worker may seal, not write seals of its own making
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_last public.audit_seals;
  v_is_restart boolean;
  v_settled_before xid8;
  v_looked_at timestamptz;
  v_batch record;
begin
  seals := 0;
  events := 0;
  is_drained := true;
  -- Whoever finds another at it has nothing to do: that one, or the next, seals the same rows.
  is_busy := not pg_try_advisory_xact_lock(hashtextextended('private.seal_audit', 0));
  if is_busy then
    is_drained := false;
    return next;
    return;
  end if;

  select s.* into v_last from public.audit_seals as s order by s.id desc limit 1;
  -- In one server the number of the next transaction only grows.
  v_is_restart := coalesce(
    pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax(v_last.snapshot)
      or v_last.is_restart and not v_last.is_drained,
    false
  );
  -- Rows of transactions that had all ended when a drained seal looked are sealed.
  select pg_snapshot_xmin(s.snapshot) into v_settled_before
  from public.audit_seals as s
  where s.is_drained
    and not v_is_restart
    and s.id >= (select coalesce(max(r.id), 0) from public.audit_seals as r where r.is_restart)
  order by s.id desc
  limit 1;

  v_looked_at := clock_timestamp();
  for v_batch in
    -- One statement, so one snapshot: what commits meanwhile is of the next call, smaller ids too.
    with candidate as (
      select e.id, e.occurred_at, e.leaf_hash
      from public.audit_events as e
      where e.transaction_id >= coalesce(v_settled_before, '0'::xid8)
        -- Of the caller's own transaction nobody knows yet whether it commits.
        and (
          v_is_restart
          or pg_visible_in_snapshot(e.transaction_id, (select private.snapshot_before_self()))
        )
        and not exists (
          select from private.audit_seal_leaves as l
          where l.event_id = e.id and l.occurred_at = e.occurred_at
        )
      order by e.id, e.occurred_at
      limit p_max_seals * p_max_leaves + 1
    ), numbered as (
      select c.id, c.occurred_at, c.leaf_hash,
        row_number() over (order by c.id, c.occurred_at) - 1 as n
      from candidate as c
    )
    select
      n / p_max_leaves as batch,
      count(*)::integer as leaf_count,
      min(id) as from_id,
      max(id) as to_id,
      array_agg(id order by n) as ids,
      array_agg(occurred_at order by n) as times,
      array_agg(leaf_hash order by n) as leaves,
      string_agg(leaf_hash, ''::bytea order by n) as level,
      private.snapshot_before_self() as snapshot,
      (select count(*) from candidate) as found
    from numbered
    group by n / p_max_leaves
    order by batch
  loop
    if v_batch.batch >= p_max_seals then
      is_drained := false;
      exit;
    end if;
    insert into public.audit_seals (
      id, from_id, to_id, leaf_count, merkle_root, previous_hash, snapshot, is_drained, is_restart,
      sealed_at
    )
    values (
      coalesce(v_last.id, 0) + 1, v_batch.from_id, v_batch.to_id, v_batch.leaf_count,
      private.merkle_root(v_batch.level), v_last.hash, v_batch.snapshot,
      v_batch.found <= (v_batch.batch + 1) * p_max_leaves,
      v_is_restart, v_looked_at
    )
    returning * into v_last;
    insert into private.audit_seal_leaves (seal_id, position, event_id, occurred_at, leaf_hash)
    select v_last.id, u.position - 1, u.event_id, u.occurred_at, u.leaf_hash
    from unnest(v_batch.ids, v_batch.times, v_batch.leaves)
      with ordinality as u (event_id, occurred_at, leaf_hash, position);
    seals := seals + 1;
    events := events + v_batch.leaf_count;
  end loop;
  return next;
end;
$$;
comment on function private.seal_audit(integer, integer) is
  'Seals every committed event that is in no seal yet, up to `p_max_seals` seals of '
  '`p_max_leaves`. Answers how many seals and events, whether none was left over, and whether '
  'another sealer was at work (then it did nothing). Nothing to seal makes no seal. Never waits, '
  'and nobody waits for it.';
revoke execute on function private.seal_audit(integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function private.seal_audit(integer, integer) to audit_worker;

create function private.audit_head()
  returns table (seal_id bigint, hash text, merkle_root text, sealed_at timestamptz, canonical text)
  language sql
  stable
  security definer -- the worker may read the newest seal, not the table
  set search_path = ''
as $$
  select s.id, encode(s.hash, 'hex'), encode(s.merkle_root, 'hex'), s.sealed_at,
    private.audit_seal_canonical(
      s.id, s.from_id, s.to_id, s.leaf_count, s.merkle_root, s.previous_hash, s.snapshot,
      s.is_drained, s.is_restart, s.sealed_at
    )
  from public.audit_seals as s
  order by s.id desc
  limit 1
$$;
comment on function private.audit_head() is
  'The newest seal, which stands for all before it, with its canonical form; no row before the '
  'first.';
revoke execute on function private.audit_head() from public, anon, authenticated, service_role;
grant execute on function private.audit_head() to audit_worker;

-- Proofs -----------------------------------------------------------------------------------------

create function private.audit_proof(p_event_id bigint)
  returns table (
    event_id bigint,
    leaf_hash text,
    "position" integer,
    tree_size integer,
    path text[],
    seal_id bigint,
    merkle_root text,
    hash text,
    previous_hash text,
    sealed_at timestamptz,
    seal_canonical text
  )
  language plpgsql
  stable
  security definer -- events and seals are not readable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_event record;
  v_leaf record;
begin
  select e.id, e.occurred_at, e.leaf_hash into v_event
  from public.audit_events as e
  where e.id = p_event_id and (e.patient_id = v_caller or private.is_admin())
  order by e.occurred_at
  limit 1;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found', detail = 'No such event';
  end if;
  select l.seal_id, l.position into v_leaf
  from private.audit_seal_leaves as l
  where l.event_id = v_event.id and l.occurred_at = v_event.occurred_at;
  if not found then
    raise exception using errcode = 'PT409', message = 'not_sealed',
      detail = 'The event is not sealed yet: ask again in a minute';
  end if;
  return query
    select
      v_event.id, encode(v_event.leaf_hash, 'hex'), v_leaf.position, s.leaf_count,
      private.merkle_path(
        (
          select string_agg(l.leaf_hash, ''::bytea order by l.position)
          from private.audit_seal_leaves as l
          where l.seal_id = s.id
        ),
        v_leaf.position
      ),
      s.id, encode(s.merkle_root, 'hex'), encode(s.hash, 'hex'), encode(s.previous_hash, 'hex'),
      s.sealed_at,
      private.audit_seal_canonical(
        s.id, s.from_id, s.to_id, s.leaf_count, s.merkle_root, s.previous_hash, s.snapshot,
        s.is_drained, s.is_restart, s.sealed_at
      )
    from public.audit_seals as s
    where s.id = v_leaf.seal_id;
end;
$$;
comment on function private.audit_proof(bigint) is 'Body of public.audit_proof.';
revoke execute on function private.audit_proof(bigint) from public, anon, service_role;
grant execute on function private.audit_proof(bigint) to authenticated;

create function public.audit_proof(p_event_id bigint)
  returns table (
    event_id bigint,
    leaf_hash text,
    "position" integer,
    tree_size integer,
    path text[],
    seal_id bigint,
    merkle_root text,
    hash text,
    previous_hash text,
    sealed_at timestamptz,
    seal_canonical text
  )
  language sql
  stable
  set search_path = ''
as $$
  select
    p.event_id, p.leaf_hash, p.position, p.tree_size, p.path, p.seal_id, p.merkle_root, p.hash,
    p.previous_hash, p.sealed_at, p.seal_canonical
  from private.audit_proof(p_event_id) as p
$$;
comment on function public.audit_proof(bigint) is
  'Shows that an event is in the sealed audit trail: its leaf hash, position, and the audit path '
  'of RFC 6962 to the root of its seal; hashes in hexadecimal. For the patient whom the event '
  'concerns, and administrators. Errors: PT401 unauthenticated, PT404 not_found, PT409 not_sealed.';
revoke execute on function public.audit_proof(bigint) from public, anon, service_role;
grant execute on function public.audit_proof(bigint) to authenticated;
