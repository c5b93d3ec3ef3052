-- Schema realtime: the table, functions, publication and grants that hosted Supabase gives a project,
-- so that the product's policies and triggers run unchanged on both. Follows platform.sql; run by
-- `supabase_admin`; may be repeated. RLS is on and there is no policy: the product's migrations bring
-- them. Schema _realtime is this stack's own: what the hosted service does from outside.

-- Messages ----------------------------------------------------------------------------------------

create table if not exists realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp without time zone not null default now(),
  inserted_at timestamp without time zone not null default now(),
  id uuid not null default gen_random_uuid(),
  binary_payload bytea,

  primary key (id, inserted_at),
  constraint messages_payload_exclusive check (payload is null or binary_payload is null)
) partition by range (inserted_at);
comment on table realtime.messages is
  'One message from the database to the channels of a topic. Kept for three days. Its policies decide '
  'who may join and write a private channel.';
comment on column realtime.messages.topic is 'Name of the channel, without the prefix realtime:.';
comment on column realtime.messages.extension is
  'What a policy is asked about: broadcast or presence.';
comment on column realtime.messages.private is 'Whether it goes to the private channel of this name.';

create index if not exists messages_inserted_at_topic_index
  on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;

alter table realtime.messages enable row level security;
alter table realtime.messages owner to supabase_realtime_admin;
grant select, insert, update on table realtime.messages
  to postgres, anon, authenticated, service_role;

do $$
begin
  if not exists (
    select from pg_publication where pubname = 'supabase_realtime_messages_publication'
  ) then
    create publication supabase_realtime_messages_publication for table realtime.messages;
  end if;
end
$$;

-- Functions ---------------------------------------------------------------------------------------

create or replace function realtime.topic()
  returns text
  language sql
  stable
as $$
  select nullif(current_setting('realtime.topic', true), '')
$$;
comment on function realtime.topic() is
  'The topic that a policy of realtime.messages is asked about; null outside of such a question.';

-- Names of parameters are hosted ones, by which callers may name them.
create or replace function realtime.send(
  payload jsonb,
  event text,
  topic text,
  private boolean default true
)
  returns void
  language plpgsql
as $$
declare
  v_id uuid := gen_random_uuid();
begin
  execute format('set local realtime.topic to %L', topic);
  insert into realtime.messages (id, payload, event, topic, private, extension)
  values (
    v_id,
    case when payload ? 'id' then payload else jsonb_set(payload, '{id}', to_jsonb(v_id)) end,
    event,
    topic,
    private,
    'broadcast'
  );
exception
  when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;
comment on function realtime.send(jsonb, text, text, boolean) is
  'Sends a message to the channels of a topic when the transaction commits. With the rights of the '
  'caller; whatever goes wrong is a warning, and the message is lost.';

create or replace function realtime.send_binary(
  payload bytea,
  event text,
  topic text,
  private boolean default true
)
  returns void
  language plpgsql
as $$
begin
  execute format('set local realtime.topic to %L', topic);
  insert into realtime.messages (id, binary_payload, event, topic, private, extension)
  values (gen_random_uuid(), payload, event, topic, private, 'broadcast');
exception
  when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;
comment on function realtime.send_binary(bytea, text, text, boolean) is
  'As realtime.send, for bytes.';

create or replace function realtime.broadcast_changes(
  topic_name text,
  event_name text,
  operation text,
  table_name text,
  table_schema text,
  new record,
  old record,
  level text default 'ROW'
)
  returns void
  language plpgsql
as $$
begin
  if level = 'STATEMENT' then
    raise exception 'function can only be triggered for each row, not for each statement';
  end if;
  if operation in ('INSERT', 'UPDATE', 'DELETE') then
    perform realtime.send(
      jsonb_build_object(
        'old_record', old,
        'record', new,
        'operation', operation,
        'table', table_name,
        'schema', table_schema
      ),
      event_name,
      topic_name
    );
  else
    raise exception 'Unexpected operation type: %', operation;
  end if;
exception
  when others then
    raise exception 'Failed to process the row: %', sqlerrm;
end
$$;
comment on function
  realtime.broadcast_changes(text, text, text, text, text, record, record, text) is
  'For a trigger on rows: sends what became of a row to the private channels of a topic.';

do $$
declare
  v_function record;
begin
  for v_function in
    select p.oid::regprocedure as signature
    from pg_proc as p
    where p.pronamespace = 'realtime'::regnamespace
  loop
    execute format('alter function %s owner to supabase_realtime_admin', v_function.signature);
    execute format('grant execute on function %s to public', v_function.signature);
  end loop;
end
$$;

-- What the hosted service does from outside ---------------------------------------------------------

create schema if not exists _realtime authorization supabase_admin;
comment on schema _realtime is 'Work of the local Realtime; hosted projects have nothing of it.';
revoke all on schema _realtime from public;

create or replace function _realtime.roll_partitions()
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_today date := (now() at time zone 'UTC')::date;
  v_day date;
  v_name text;
begin
  -- One at a time; two would make the same partition.
  perform pg_advisory_xact_lock(hashtext('_realtime.roll_partitions'));
  for v_day in select generate_series(v_today - 1, v_today + 3, '1 day')::date loop
    v_name := 'messages_' || to_char(v_day, 'YYYY_MM_DD');
    continue when to_regclass(format('realtime.%I', v_name)) is not null;
    execute format(
      'create table realtime.%I partition of realtime.messages for values from (%L) to (%L)',
      v_name, v_day, v_day + 1
    );
    -- The policies of the whole do not cover who names a part of it.
    execute format('alter table realtime.%I enable row level security', v_name);
    execute format('alter table realtime.%I owner to supabase_realtime_admin', v_name);
    execute format(
      'revoke all on table realtime.%I from public, postgres, anon, authenticated, service_role',
      v_name
    );
  end loop;
  for v_name in
    select c.relname
    from pg_catalog.pg_inherits as i
    join pg_catalog.pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'realtime.messages'::regclass
      and to_date(substr(c.relname, length('messages_') + 1), 'YYYY_MM_DD') + 1
        <= (now() at time zone 'UTC') - interval '72 hours'
  loop
    execute format('drop table realtime.%I', v_name);
  end loop;
end
$$;
comment on function _realtime.roll_partitions() is
  'Makes the partitions of realtime.messages from yesterday to three days ahead, and drops those whose '
  'last message is older than 72 hours. Called by the local Realtime at its start and every four hours.';
revoke execute on function _realtime.roll_partitions() from public;

create or replace function _realtime.announce_message()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  -- A notification is too small for a payload. The time is written in full, whatever the session's
  -- way of writing dates, because it is one half of the key.
  perform pg_notify(
    'realtime_messages',
    concat(new.id, ' ', to_char(new.inserted_at, 'YYYY-MM-DD"T"HH24:MI:SS.US'))
  );
  return null;
end
$$;
comment on function _realtime.announce_message() is
  'Tells the local Realtime of a message, as <id> <inserted_at>, when its transaction commits.';
revoke execute on function _realtime.announce_message() from public;

create or replace trigger announce_message
  after insert on realtime.messages
  for each row
  when (
    new.event is not null and new.private is not null
    and (new.payload is not null or new.binary_payload is not null)
  )
  execute function _realtime.announce_message();

select _realtime.roll_partitions();
