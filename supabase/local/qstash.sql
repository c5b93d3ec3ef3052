-- Schema _qstash: what the stack's queue keeps, so that it survives restarts and kills. It is the
-- stack's own, as hosted QStash keeps its messages elsewhere: no role of the product has a grant here.
-- Follows platform.sql; run by `supabase_admin`; may be repeated. All times are unix milliseconds of
-- the queue's clock, which tests move.

create schema if not exists _qstash;
revoke all on schema _qstash from public;

create table if not exists _qstash.messages (
  seq bigint generated always as identity,
  id text primary key,
  state text not null default 'waiting',
  url text not null,
  topic_name text,
  endpoint_name text,
  method text not null,
  source jsonb not null,
  headers jsonb not null,
  body bytea not null,
  max_retries integer not null,
  retry_delay text,
  timeout_ms bigint not null,
  queue_name text,
  schedule_id text,
  caller_ip text,
  flow_control_key text,
  labels text[] not null default '{}',
  is_callback boolean not null default false,
  retried integer not null default 0,
  created_at bigint not null,
  not_before bigint not null,
  due_at bigint not null,
  claim text,
  lease_until bigint,
  dlq_id text unique,
  response_status integer,
  response_headers jsonb,
  response_body bytea,

  constraint messages_state_check check (state in ('waiting', 'active', 'dead')),
  constraint messages_claim_check check ((state = 'active') = (claim is not null)),
  constraint messages_dlq_check check ((state = 'dead') = (dlq_id is not null))
);
comment on table _qstash.messages is
  'Messages that are not delivered yet (waiting, active), and dead letters (dead).';
comment on column _qstash.messages.source is
  'Headers of the publish request that say how to deliver: upstash-* and content-type.';
comment on column _qstash.messages.headers is 'Headers of the delivery, but those of the queue.';
comment on column _qstash.messages.retried is 'Attempts that failed.';
comment on column _qstash.messages.not_before is 'When the delivery was asked for.';
comment on column _qstash.messages.due_at is
  'When the next attempt is due: waits may be shortened by a factor, so it may be before not_before.';
comment on column _qstash.messages.claim is 'Who delivers it now.';
comment on column _qstash.messages.lease_until is 'After it the one that delivers counts as dead.';
create index if not exists messages_due_idx
  on _qstash.messages (due_at, seq) where state = 'waiting';
create index if not exists messages_active_idx
  on _qstash.messages (lease_until) where state = 'active';
create index if not exists messages_queue_idx
  on _qstash.messages (queue_name) where state <> 'dead' and queue_name is not null;
create index if not exists messages_flow_idx
  on _qstash.messages (flow_control_key) where state = 'active' and flow_control_key is not null;
create index if not exists messages_dead_idx on _qstash.messages (seq) where state = 'dead';

create table if not exists _qstash.deduplications (
  key text primary key,
  message_id text not null,
  expires_at bigint not null
);
comment on table _qstash.deduplications is 'What was published lately, by its deduplication key.';

create table if not exists _qstash.queues (
  name text primary key,
  parallelism integer not null default 1,
  is_paused boolean not null default false,
  created_at bigint not null,
  updated_at bigint not null
);
comment on table _qstash.queues is 'First in, first out, with so many messages in flight.';

create table if not exists _qstash.flow_controls (
  key text primary key,
  parallelism integer,
  rate integer,
  period_ms bigint not null,
  period_start bigint not null default 0,
  period_count integer not null default 0
);
comment on table _qstash.flow_controls is
  'How many messages of a key may be in flight, and how many may start in a period.';

create table if not exists _qstash.url_groups (
  name text primary key,
  created_at bigint not null,
  updated_at bigint not null
);
comment on table _qstash.url_groups is 'Names that stand for several destinations.';

create table if not exists _qstash.endpoints (
  seq bigint generated always as identity,
  group_name text not null references _qstash.url_groups (name) on delete cascade,
  url text not null,
  name text,
  primary key (group_name, url)
);
comment on table _qstash.endpoints is 'Destinations of a URL group.';

create table if not exists _qstash.schedules (
  id text primary key,
  cron text not null,
  destination text not null,
  source jsonb not null,
  body bytea not null,
  caller_ip text,
  is_paused boolean not null default false,
  created_at bigint not null,
  last_at bigint,
  next_at bigint,
  last_message_ids text[] not null default '{}'
);
comment on table _qstash.schedules is 'Publishes a message at each time that its cron names.';
comment on column _qstash.schedules.next_at is 'Null: the cron names no time any more.';
create index if not exists schedules_next_idx on _qstash.schedules (next_at) where not is_paused;

create table if not exists _qstash.logs (
  seq bigint generated always as identity primary key,
  created_at bigint not null,
  state text not null,
  message_id text not null,
  url text not null,
  topic_name text,
  endpoint_name text,
  queue_name text,
  schedule_id text,
  caller_ip text,
  flow_control_key text,
  labels text[] not null default '{}',
  next_delivery_at bigint,
  error text,
  response_status integer,
  headers jsonb,
  body bytea
);
comment on table _qstash.logs is 'What became of messages, an event a row; kept for some days.';
comment on column _qstash.logs.headers is 'On the first event of a message only; so is the body.';
create index if not exists logs_message_idx on _qstash.logs (message_id, seq);
create index if not exists logs_created_idx on _qstash.logs (created_at);

-- A place in a queue is kept while a message is in flight, waits for a retry, or has a callback to be
-- delivered; what comes after waits until the places before it are free.
create or replace function _qstash.queue_places(p_now bigint)
  returns table (id text, place bigint)
  language sql
  stable
  set search_path = ''
as $$
  select
    m.id,
    row_number() over (
      partition by m.queue_name
      order by m.state = 'active' desc, m.is_callback desc, m.retried > 0 desc, m.seq
    )
  from _qstash.messages as m
  where m.queue_name is not null
    and m.state <> 'dead'
    and (m.state = 'active' or m.is_callback or m.retried > 0 or m.due_at <= p_now)
$$;
comment on function _qstash.queue_places(bigint) is
  'Messages that are in their queue at a time, and their places in it, from 1.';

-- One claimer at a time, else two would both take the last place of a queue. Many may deliver.
create or replace function _qstash.claim_due(
  p_now bigint,
  p_clock bigint,
  p_limit integer,
  p_claim text
)
  returns setof _qstash.messages
  language plpgsql
  set search_path = ''
as $$
declare
  v_message record;
  v_flow _qstash.flow_controls;
  v_claimed integer := 0;
begin
  perform pg_advisory_xact_lock(hashtextextended('_qstash.claim_due', 0));
  update _qstash.messages as m
  set state = 'waiting', claim = null, lease_until = null
  where m.state = 'active' and m.lease_until <= p_clock;

  for v_message in
    with candidates as (
      select
        m.id, m.due_at, m.seq, m.flow_control_key,
        row_number() over (partition by m.flow_control_key order by m.due_at, m.seq) as turn
      from _qstash.messages as m
      left join _qstash.queue_places(p_now) as p on p.id = m.id
      left join _qstash.queues as q on q.name = m.queue_name
      where m.state = 'waiting'
        and m.due_at <= p_now
        and (m.queue_name is null
          or (not coalesce(q.is_paused, false) and p.place <= coalesce(q.parallelism, 1)))
    )
    select c.id, c.flow_control_key
    from candidates as c
    where c.turn <= p_limit or c.flow_control_key is null
    order by c.due_at, c.seq
  loop
    exit when v_claimed >= p_limit;
    if v_message.flow_control_key is not null then
      select f.* into v_flow from _qstash.flow_controls as f
      where f.key = v_message.flow_control_key
      for update;
      if found then
        continue when v_flow.parallelism <= (
          select count(*) from _qstash.messages as m
          where m.state = 'active' and m.flow_control_key = v_message.flow_control_key
        );
        if v_flow.period_start + v_flow.period_ms <= p_now then
          v_flow.period_start := p_now;
          v_flow.period_count := 0;
        end if;
        continue when v_flow.period_count >= v_flow.rate;
      end if;
    end if;
    -- Cancelled or changed by somebody at this moment: the next claim sees what came of it.
    perform from _qstash.messages as m
    where m.id = v_message.id and m.state = 'waiting'
    for update skip locked;
    continue when not found;
    if v_message.flow_control_key is not null then
      update _qstash.flow_controls as f
      set period_start = v_flow.period_start, period_count = v_flow.period_count + 1
      where f.key = v_message.flow_control_key;
    end if;
    v_claimed := v_claimed + 1;
    return query
      update _qstash.messages as m
      set state = 'active', claim = p_claim, lease_until = p_clock + m.timeout_ms + 60000
      where m.id = v_message.id
      returning m.*;
  end loop;
end
$$;
comment on function _qstash.claim_due(bigint, bigint, integer, text) is
  'Takes messages that are due and may start now, each for one claimer, until its lease ends.';

create or replace function _qstash.next_event_at(p_now bigint)
  returns bigint
  language sql
  stable
  set search_path = ''
as $$
  select least(
    (select min(m.due_at) from _qstash.messages as m where m.state = 'waiting' and m.due_at > p_now),
    (select min(m.lease_until) from _qstash.messages as m where m.state = 'active'),
    (select min(s.next_at) from _qstash.schedules as s where not s.is_paused),
    (
      select min(f.period_start + f.period_ms)
      from _qstash.flow_controls as f
      where f.period_count >= f.rate
        and f.period_start + f.period_ms > p_now
        and exists (
          select from _qstash.messages as m
          where m.flow_control_key = f.key and m.state = 'waiting' and m.due_at <= p_now
        )
    )
  )
$$;
comment on function _qstash.next_event_at(bigint) is
  'When time alone brings something to do next. Null: never.';

revoke execute on all functions in schema _qstash from public;
