-- Audit: who did what to whose data, and when. Written in the transaction of the deed, append-only
-- for everyone, partitioned by month.
-- Needs: 10_identity.sql. Policies: policies/15_audit.sql. Seals: 16_audit_seals.sql.

-- Canonical form ---------------------------------------------------------------------------------
-- What is hashed of a row. docs/audit.md tells it to those who check a log without this database.

create function private.audit_canonical(
  p_id bigint,
  p_occurred_at timestamptz,
  p_actor_id uuid,
  p_actor_role text,
  p_session_id uuid,
  p_action text,
  p_resource_type text,
  p_resource_id uuid,
  p_patient_id uuid,
  p_purpose text,
  p_old_values jsonb,
  p_new_values jsonb,
  p_ip_address inet,
  p_user_agent text,
  p_request_id text,
  p_transaction_id xid8
)
  returns text
  language sql
  immutable
as $$
  select json_array(
    'audit_event/1'::text, p_id,
    (extract(epoch from p_occurred_at at time zone 'UTC') * 1000000)::bigint,
    p_actor_id, p_actor_role, p_session_id, p_action, p_resource_type, p_resource_id, p_patient_id,
    p_purpose, p_old_values, p_new_values, p_ip_address, p_user_agent, p_request_id,
    p_transaction_id::text
    null on null returning text
  )
$$;
comment on function private.audit_canonical(
  bigint, timestamptz, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text,
  text, xid8
) is
  'An audit row as the text that is hashed: a JSON array of the name of this form and all columns, '
  'occurred_at in microseconds since 1970 UTC, old and new values as jsonb writes itself.';

create function private.audit_leaf(
  p_id bigint,
  p_occurred_at timestamptz,
  p_actor_id uuid,
  p_actor_role text,
  p_session_id uuid,
  p_action text,
  p_resource_type text,
  p_resource_id uuid,
  p_patient_id uuid,
  p_purpose text,
  p_old_values jsonb,
  p_new_values jsonb,
  p_ip_address inet,
  p_user_agent text,
  p_request_id text,
  p_transaction_id xid8
)
  returns bytea
  language plpgsql -- not sql: that would be planned anew for every statement that inserts
  immutable -- convert_to() counts as stable, but UTF-8 to itself is no conversion
  set search_path = ''
as $$
begin
  return sha256('\x00'::bytea || convert_to(
    private.audit_canonical(
      p_id, p_occurred_at, p_actor_id, p_actor_role, p_session_id, p_action, p_resource_type,
      p_resource_id, p_patient_id, p_purpose, p_old_values, p_new_values, p_ip_address,
      p_user_agent, p_request_id, p_transaction_id
    ),
    'UTF8'
  ));
end;
$$;
comment on function private.audit_leaf(
  bigint, timestamptz, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text,
  text, xid8
) is
  'Leaf hash of RFC 6962, section 2.1: SHA-256 of a zero byte and the canonical form in UTF-8.';

revoke execute on function
  private.audit_canonical(
    bigint, timestamptz, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text,
    text, xid8
  ),
  private.audit_leaf(
    bigint, timestamptz, uuid, text, uuid, text, text, uuid, uuid, text, jsonb, jsonb, inet, text,
    text, xid8
  )
from public, anon, authenticated, service_role;

-- Events -----------------------------------------------------------------------------------------

create table public.audit_events (
  id bigint generated always as identity,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  actor_role text not null,
  session_id uuid,
  action text not null,
  resource_type text not null,
  resource_id uuid,
  patient_id uuid,
  purpose text,
  old_values jsonb,
  new_values jsonb,
  ip_address inet,
  user_agent text,
  request_id text,
  transaction_id xid8 not null default pg_current_xact_id(),
  leaf_hash bytea not null generated always as (
    private.audit_leaf(
      id, occurred_at, actor_id, actor_role, session_id, action, resource_type, resource_id,
      patient_id, purpose, old_values, new_values, ip_address, user_agent, request_id,
      transaction_id
    )
  ) stored,

  primary key (id, occurred_at),
  constraint audit_events_action_check check (action ~ '^[a-z]+(_[a-z]+)*$'),
  constraint audit_events_resource_type_check check (resource_type ~ '^[a-z]+(_[a-z]+)*$')
)
partition by range (occurred_at);
comment on table public.audit_events is
  'The audit trail (45 CFR 164.312(b)): one row a change, an opening or a download of a person''s '
  'data. PHI: the values say what changed. No foreign keys: the trail outlives what it speaks of.';
comment on column public.audit_events.id is 'Order of writing within a sequence; gaps are normal.';
comment on column public.audit_events.occurred_at is 'Clock time of the write, UTC; the partition key.';
comment on column public.audit_events.actor_id is 'Account that acted; null for the system itself.';
comment on column public.audit_events.actor_role is
  'Role of the account in profiles at that time, or the database role when there was no account.';
comment on column public.audit_events.session_id is 'Session of Supabase Auth, from the token.';
comment on column public.audit_events.action is
  'create, update, delete, or a verb of the product such as open_chart, open_record, download_file; '
  'refuse_ and the verb for a request that was refused, refuse_more for several.';
comment on column public.audit_events.resource_type is 'What was acted on, in the singular.';
comment on column public.audit_events.patient_id is 'Whose data it was; null for none.';
comment on column public.audit_events.purpose is
  'Purpose of the open chart under which another''s data was touched, or the reason that was given.';
comment on column public.audit_events.old_values is 'Columns that changed, before; never file contents.';
comment on column public.audit_events.new_values is
  'Columns that changed, after; never file contents. Of a deed that changes no row, what else is to '
  'be known of it: the reason of an emergency, the code of a refusal, and in unlisted how many more '
  'refusals of the same actor it stands for. caregiver_scopes: what the '
  'patient let a caregiver see at that time.';
comment on column public.audit_events.ip_address is 'Client''s address as the gateway gave it.';
comment on column public.audit_events.user_agent is 'At most 200 characters.';
comment on column public.audit_events.transaction_id is
  'Transaction that wrote the row. Tells a row that was committed late from one that was slipped '
  'in.';
comment on column public.audit_events.leaf_hash is
  'Leaf of the row in the Merkle tree of its seal. Generated: nobody can give it another value.';

create index audit_events_patient_id_idx
  on public.audit_events (patient_id, occurred_at desc, id desc);
create index audit_events_actor_id_idx on public.audit_events (actor_id, occurred_at desc, id desc);
create index audit_events_transaction_id_idx on public.audit_events (transaction_id);

-- Append-only ------------------------------------------------------------------------------------

create function private.refuse_change()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  raise exception using errcode = '42501',
    message = format('Cannot %s %s: it is append-only', lower(tg_op), tg_table_name);
end;
$$;
comment on function private.refuse_change() is 'Trigger: refuses whatever it is put on.';
revoke execute on function private.refuse_change() from public, anon, authenticated, service_role;

create trigger audit_events_append_only
  before update or delete on public.audit_events
  for each row execute function private.refuse_change();
create trigger audit_events_no_truncate
  before truncate on public.audit_events
  for each statement execute function private.refuse_change();
-- Also for a session that plays the replica, where ordinary triggers sleep.
alter table public.audit_events enable always trigger audit_events_append_only;
alter table public.audit_events enable always trigger audit_events_no_truncate;

-- Partitions -------------------------------------------------------------------------------------
-- They live in `private`, where the API does not look, and are closed all the same: a partition takes
-- neither policies nor revokes from its parent. The default partition takes what no month takes, so
-- that a write never fails for want of one.

create table private.audit_events_default partition of public.audit_events default;
comment on table private.audit_events_default is 'Audit rows of months that have no partition yet. PHI.';
alter table private.audit_events_default enable row level security;
revoke all on table private.audit_events_default from public, anon, authenticated, service_role;
create trigger audit_events_default_no_truncate
  before truncate on private.audit_events_default
  for each statement execute function private.refuse_change();
alter table private.audit_events_default
  enable always trigger audit_events_default_no_truncate;

create function private.ensure_month_partitions(p_parent regclass, p_months_ahead integer default 3)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_month date;
  v_name text;
begin
  -- Two at once would both find a month missing.
  perform pg_advisory_xact_lock(hashtextextended('private.ensure_month_partitions', 0));
  for v_month in
    select generate_series(
      date_trunc('month', now() at time zone 'UTC'),
      date_trunc('month', now() at time zone 'UTC') + make_interval(months => p_months_ahead),
      interval '1 month'
    )::date
  loop
    v_name := format(
      '%s_%s',
      (select c.relname from pg_catalog.pg_class as c where c.oid = p_parent),
      to_char(v_month, 'YYYY_MM')
    );
    if to_regclass(format('private.%I', v_name)) is null then
      execute format(
        'create table private.%I partition of %s for values from (%L) to (%L)',
        v_name, p_parent,
        v_month::text || ' 00:00+00', (v_month + interval '1 month')::date::text || ' 00:00+00'
      );
      execute format('alter table private.%I enable row level security', v_name);
      execute format(
        'revoke all on table private.%I from public, anon, authenticated, service_role', v_name
      );
      execute format(
        'create trigger %I before truncate on private.%I
         for each statement execute function private.refuse_change()',
        v_name || '_no_truncate', v_name
      );
      execute format(
        'alter table private.%I enable always trigger %I', v_name, v_name || '_no_truncate'
      );
      execute format(
        'comment on table private.%I is %L',
        v_name, format('Rows of %s of one month, UTC.', p_parent)
      );
    end if;
  end loop;
end;
$$;
comment on function private.ensure_month_partitions(regclass, integer) is
  'Makes the partitions of this month and the next ones in schema private, with row-level security '
  'on, no grants and no truncate; those that exist stay. Not for tables that may be truncated. Run it well before a month begins: rows that are in the '
  'default partition already keep the month from being made.';
revoke execute on function private.ensure_month_partitions(regclass, integer)
  from public, anon, authenticated, service_role;

select private.ensure_month_partitions('public.audit_events', 12);

-- Writing ----------------------------------------------------------------------------------------

create type private.audit_context as (
  actor_id uuid,
  actor_role text,
  session_id uuid,
  ip_address inet,
  user_agent text,
  request_id text
);
comment on type private.audit_context is 'Who acts in this transaction, and from where.';

create function private.current_audit_context()
  returns private.audit_context
  language plpgsql
  stable
  security definer -- reads the caller's profile whatever its policies say
  set search_path = ''
as $$
declare
  v_claims constant jsonb := coalesce((select auth.jwt()), '{}'::jsonb);
  v_headers constant jsonb :=
    coalesce(nullif(current_setting('request.headers', true), ''), '{}')::jsonb;
  v_context private.audit_context;
begin
  v_context.actor_id := (v_claims ->> 'sub')::uuid;
  v_context.session_id := (v_claims ->> 'session_id')::uuid;
  v_context.actor_role := coalesce(
    (select p.role from public.profiles as p where p.id = v_context.actor_id),
    v_claims ->> 'role',
    session_user::text
  );
  v_context.user_agent := left(v_headers ->> 'user-agent', 200);
  v_context.request_id := left(v_headers ->> 'x-request-id', 100);
  begin
    -- Hosted Supabase's edge writes cf-connecting-ip itself; x-forwarded-for may begin with what the
    -- client claims, and is used only where there is no such edge.
    v_context.ip_address := coalesce(
      v_headers ->> 'cf-connecting-ip',
      btrim(split_part(v_headers ->> 'x-forwarded-for', ',', 1))
    )::inet;
  exception
    when invalid_text_representation then
      v_context.ip_address := null;
  end;
  return v_context;
end;
$$;
comment on function private.current_audit_context() is
  'Who acts, from the token''s claims and the request''s headers.';
revoke execute on function private.current_audit_context()
  from public, anon, authenticated, service_role;

create function private.write_audit(
  p_action text,
  p_resource_type text,
  p_resource_id uuid,
  p_patient_id uuid,
  p_purpose text default null,
  p_new_values jsonb default null
)
  returns void
  language plpgsql
  security definer -- nobody may insert into audit_events directly
  set search_path = ''
as $$
declare
  v_by constant private.audit_context := private.current_audit_context();
begin
  insert into public.audit_events (
    actor_id, actor_role, session_id, action, resource_type, resource_id, patient_id, purpose,
    new_values, ip_address, user_agent, request_id
  )
  values (
    v_by.actor_id, v_by.actor_role, v_by.session_id, p_action, p_resource_type, p_resource_id,
    p_patient_id, coalesce(p_purpose, private.open_chart_purpose(p_patient_id)),
    case v_by.actor_role
      when 'caregiver' then private.with_caregiver_scopes(p_new_values, p_patient_id)
      else p_new_values
    end,
    v_by.ip_address, v_by.user_agent, v_by.request_id
  );
  perform private.touch_chart(p_patient_id);
end;
$$;
comment on function private.write_audit(text, text, uuid, uuid, text, jsonb) is
  'Writes one audit row for the caller. Only definer functions call it: whoever could call it '
  'directly could forge a trail.';
revoke execute on function private.write_audit(text, text, uuid, uuid, text, jsonb)
  from public, anon, authenticated, service_role;

create function private.audit_rows()
  returns trigger
  language plpgsql
  security definer -- nobody may insert into audit_events directly
  set search_path = ''
as $$
declare
  v_resource_type constant text := tg_argv[0];
  v_id_column constant text := tg_argv[1];
  v_patient_column constant text := tg_argv[2]; -- '' when the row belongs to no patient
  v_without constant text[] := string_to_array(tg_argv[3], ',');
  v_by constant private.audit_context := private.current_audit_context();
  v_changes text;
begin
  -- One statement, one set of audit rows, whatever the number of rows it touched.
  v_changes := case tg_op
    when 'INSERT' then
      'select null::jsonb as old, to_jsonb(n) as new from new_rows as n'
    when 'DELETE' then
      'select to_jsonb(o) as old, null::jsonb as new from old_rows as o'
    else
      format(
        'select to_jsonb(o) as old, to_jsonb(n) as new
         from new_rows as n join old_rows as o on o.%1$I = n.%1$I', v_id_column
      )
  end;
  execute format(
    $sql$
      with change as (%s), kept as (
        select
          (coalesce(new, old) ->> %L)::uuid as resource_id,
          nullif(coalesce(new, old) ->> nullif(%L, ''), '')::uuid as patient_id,
          private.changed_values(old, new, $2) as old_values,
          private.changed_values(new, old, $2) as new_values
        from change
      )
      insert into public.audit_events (
        actor_id, actor_role, session_id, action, resource_type, resource_id, patient_id, purpose,
        old_values, new_values, ip_address, user_agent, request_id
      )
      select
        $1.actor_id, $1.actor_role, $1.session_id, $3, $4, resource_id, patient_id,
        private.open_chart_purpose(patient_id), old_values,
        case $1.actor_role
          when 'caregiver' then private.with_caregiver_scopes(new_values, patient_id)
          else new_values
        end,
        $1.ip_address, $1.user_agent, $1.request_id
      from kept
      where old_values is not null or new_values is not null
    $sql$,
    v_changes, v_id_column, v_patient_column
  )
  using
    v_by, v_without,
    case tg_op when 'INSERT' then 'create' when 'UPDATE' then 'update' else 'delete' end,
    v_resource_type;
  if v_patient_column <> '' and v_by.actor_id is not null then
    execute format(
      'select private.touch_chart(id) from (select distinct %I as id from %I) as patients',
      v_patient_column, case tg_op when 'DELETE' then 'old_rows' else 'new_rows' end
    );
  end if;
  return null;
end;
$$;
comment on function private.audit_rows() is
  'Statement trigger: writes an audit row for each changed row. Arguments: resource type, id column, '
  'patient column or the empty text, and columns, comma separated, whose values are too large or too '
  'close to file contents to keep: of these it says only that they changed.';
revoke execute on function private.audit_rows() from public, anon, authenticated, service_role;

create function private.changed_values(p_side jsonb, p_other jsonb, p_without text[])
  returns jsonb
  language sql
  immutable
  set search_path = ''
as $$
  select jsonb_object_agg(
    s.key,
    case when s.key = any (p_without) then to_jsonb('(not kept)'::text) else s.value end
  )
  from jsonb_each(p_side) as s
  -- Stamps follow from the deed and say nothing of it.
  where s.key not in ('created_at', 'updated_at', 'last_active_at')
    and case
      when p_other is null then s.value <> 'null'::jsonb
      else s.value is distinct from p_other -> s.key
    end
$$;
comment on function private.changed_values(jsonb, jsonb, text[]) is
  'The members of one side of a change that differ from the other side, or all that are not null '
  'when there is no other side; null when none. Values of `p_without` are replaced by a mark.';
revoke execute on function private.changed_values(jsonb, jsonb, text[])
  from public, anon, authenticated, service_role;

-- Refusing ---------------------------------------------------------------------------------------
-- To raise would roll the audit row of the refusal back. A function that refuses a clinical request
-- therefore answers, with the status in PostgREST's setting `response.status` and a body of the shape
-- that an error has, and its transaction commits. Functions that answer a row have the members of an
-- error beside their own; those that answer an id or nothing return jsonb, which is the id as a text,
-- null, or the error. Bad input and ended sessions go on being raised: they are no request yet.

create table private.unlisted_refusals (
  id uuid primary key default gen_random_uuid(),
  actor_id uuid not null,
  patient_id uuid,
  actor_role text not null,
  refusals integer not null,
  first_at timestamptz not null default now(),

  constraint unlisted_refusals_key unique nulls not distinct (actor_id, patient_id),
  constraint unlisted_refusals_refusals_check check (refusals > 0)
);
comment on table private.unlisted_refusals is
  'Refusals that were too many to be listed one by one: how many, by whom, for whose data, since the '
  'last audit row that told such a number. PHI: who tried to reach whom. No foreign keys, as in the '
  'trail, where each row ends.';
comment on column private.unlisted_refusals.patient_id is
  'Whose data it was; null for ids of nobody.';
comment on column private.unlisted_refusals.actor_role is
  'As in audit_events, at the last of them.';

create function private.refuse(
  p_request text,
  p_resource_type text,
  p_resource_id uuid,
  p_patient_id uuid,
  p_code text,
  p_details text,
  p_hint text default null,
  p_purpose text default null
)
  returns jsonb
  language plpgsql
  security definer -- nobody may insert into audit_events directly
  set search_path = ''
as $$
declare
  v_status constant integer := case p_code
    when 'forbidden' then 403
    when 'mfa_required' then 403
    when 'not_verified' then 403
    when 'not_found' then 404
    when 'already_answered' then 409
    when 'already_ended' then 409
    when 'already_in_care' then 409
    when 'already_objected' then 409
    when 'already_requested' then 409
    when 'already_reviewed' then 409
    when 'already_shared' then 409
    when 'already_uploaded' then 409
    when 'review_pending' then 409
  end;
  v_by constant private.audit_context := private.current_audit_context();
  -- An id that a caller made up is nobody's, and must not fill the trail of somebody to come.
  v_patient_id constant uuid := (
    select p.id from public.patients as p where p.id = p_patient_id
  );
  v_unlisted integer;
begin
  if v_status is null then
    raise exception 'No status is known for the refusal %', p_code;
  end if;
  -- Nobody fills a patient's log: 20 at once, then one in three minutes, are listed one by one, and
  -- the next one listed says how many were not. The bucket's lock makes refusals of one caller for
  -- one patient wait for each other, so that none is counted twice or lost.
  if (
    select t.allowed
    from private.take_rate_token(
      'refusals ' || encode(
        sha256(uuid_send(v_by.actor_id) || coalesce(uuid_send(v_patient_id), '')), 'hex'
      ),
      20, 3600
    ) as t
  ) then
    delete from private.unlisted_refusals as u
    where u.actor_id = v_by.actor_id and u.patient_id is not distinct from v_patient_id
    returning u.refusals into v_unlisted;
    perform private.write_audit(
      'refuse_' || p_request, p_resource_type, p_resource_id, v_patient_id, p_purpose,
      jsonb_strip_nulls(jsonb_build_object('code', p_code, 'unlisted', v_unlisted))
    );
  else
    insert into private.unlisted_refusals as u (actor_id, patient_id, actor_role, refusals)
    values (v_by.actor_id, v_patient_id, v_by.actor_role, 1)
    on conflict (actor_id, patient_id) do update set
      refusals = u.refusals + 1,
      actor_role = excluded.actor_role;
  end if;
  perform set_config('response.status', v_status::text, true);
  return jsonb_build_object(
    'code', 'PT' || v_status, 'message', p_code, 'details', p_details, 'hint', p_hint
  );
end;
$$;
comment on function private.refuse(text, text, uuid, uuid, text, text, text, text) is
  'Refuses a clinical request: logs it as refuse_<request>, sets the status of the answer, and gives '
  'the members code, message, details and hint of an error, for the function to answer. What the '
  'caller learns is what raising would have told. Of many by one caller for one patient not each has '
  'a row: the next row says in unlisted how many there were besides.';
revoke execute on function private.refuse(text, text, uuid, uuid, text, text, text, text)
  from public, anon, authenticated, service_role;

create function private.list_refusals()
  returns integer
  language plpgsql
  security definer -- nobody may insert into audit_events directly
  set search_path = ''
as $$
declare
  v_count integer;
begin
  with counted as (
    delete from private.unlisted_refusals as u
    where u.id = any (array(
      select d.id from private.unlisted_refusals as d
      where d.first_at < now() - interval '1 hour'
      -- A caller who goes on being refused holds its row, and brings the number along.
      for update skip locked
    ))
    returning u.actor_id, u.patient_id, u.actor_role, u.refusals
  )
  insert into public.audit_events (
    actor_id, actor_role, action, resource_type, patient_id, new_values
  )
  select
    c.actor_id, c.actor_role, 'refuse_more', 'patient', c.patient_id,
    jsonb_build_object('unlisted', c.refusals)
  from counted as c;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.list_refusals() is
  'Writes an audit row for refusals that were only counted for an hour, refuse_more with how many in '
  'unlisted, for those whom no further refusal brings to the trail. Answers how many rows; repeating '
  'it does no harm.';
revoke execute on function private.list_refusals()
  from public, anon, authenticated, service_role;
grant execute on function private.list_refusals() to audit_worker;

-- Sign-ins of staff ------------------------------------------------------------------------------

create function private.audit_staff_sign_in()
  returns trigger
  language plpgsql
  security definer -- runs as the Auth service, which has no rights on our tables
  set search_path = ''
as $$
begin
  -- Without a handler on purpose: a sign-in of staff that cannot be logged does not happen.
  insert into public.audit_events (
    actor_id, actor_role, session_id, action, resource_type, resource_id, ip_address, user_agent
  )
  select
    p.id, p.role, new.id, 'sign_in', 'session', new.id, new.ip, left(new.user_agent, 200)
  from public.profiles as p
  where p.id = new.user_id and p.role in ('doctor', 'admin');
  return null;
end;
$$;
comment on function private.audit_staff_sign_in() is
  'Trigger on auth.sessions: logs each sign-in of a doctor or administrator, with address and user '
  'agent as Auth has them. Fails closed: without the row there is no session.';
revoke execute on function private.audit_staff_sign_in()
  from public, anon, authenticated, service_role;

create trigger on_auth_session_created
  after insert on auth.sessions
  for each row execute function private.audit_staff_sign_in();

-- Triggers on the tables of this and the domains before ------------------------------------------

create function private.audit_table(
  p_table regclass,
  p_resource_type text,
  p_id_column text,
  p_patient_column text,
  p_without text default ''
)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_name constant text := (select c.relname from pg_catalog.pg_class as c where c.oid = p_table);
begin
  execute format(
    'create trigger %I after insert on %s referencing new table as new_rows
     for each statement execute function private.audit_rows(%L, %L, %L, %L)',
    v_name || '_audit_insert', p_table, p_resource_type, p_id_column, p_patient_column, p_without
  );
  execute format(
    'create trigger %I after update on %s referencing old table as old_rows new table as new_rows
     for each statement execute function private.audit_rows(%L, %L, %L, %L)',
    v_name || '_audit_update', p_table, p_resource_type, p_id_column, p_patient_column, p_without
  );
  execute format(
    'create trigger %I after delete on %s referencing old table as old_rows
     for each statement execute function private.audit_rows(%L, %L, %L, %L)',
    v_name || '_audit_delete', p_table, p_resource_type, p_id_column, p_patient_column, p_without
  );
end;
$$;
comment on function private.audit_table(regclass, text, text, text, text) is
  'Puts the three audit triggers on a table; used while the schema is loaded.';
revoke execute on function private.audit_table(regclass, text, text, text, text)
  from public, anon, authenticated, service_role;

select private.audit_table('public.profiles', 'profile', 'id', '');
select private.audit_table(
  'public.patients', 'patient', 'id', 'id',
  'phone,address,insurance_policy_number,emergency_contact_phone'
);
select private.audit_table('public.doctors', 'doctor', 'id', '');
select private.audit_table('public.account_grants', 'account_grant', 'id', '');

-- Reading ----------------------------------------------------------------------------------------

-- A page of my_access_log is one short scan, however much the patient has done themselves.
create index audit_events_access_log_idx
  on public.audit_events (patient_id, occurred_at desc, id desc) where actor_id <> patient_id;

create function private.access_object(p_resource_type text)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select case p_resource_type
    when 'patient' then 'your registry entry'
    when 'medical_record' then 'a record'
    when 'medical_record_content' then 'the contents of a record'
    when 'medical_record_share' then 'a share of a record'
    when 'record_upload' then 'an upload of a file'
    when 'patient_identifier' then 'your id in another system'
    when 'care_relationship' then 'a care relationship with you'
    when 'chart_session' then 'an opening of your chart'
    when 'conversation' then 'a conversation about your care'
    else 'a ' || replace(p_resource_type, '_', ' ')
  end
$$;
comment on function private.access_object(text) is
  'What an audit row is about, in words for the patient, for example "a share of a record".';

create function private.access_summary(
  p_action text,
  p_resource_type text,
  p_code text default null,
  p_unlisted integer default null
)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select case
    when p_action = 'refuse_more' then
      format('Tried to reach your data %s more times and was refused', p_unlisted)
    when p_action like 'refuse\_%' then
      'Tried to ' || case p_action
        when 'refuse_open_chart' then 'open your chart'
        when 'refuse_break_glass' then 'open your chart in an emergency'
        when 'refuse_open_record' then 'read a record'
        when 'refuse_download_file' then 'download a file of a record'
        when 'refuse_import_records' then 'import records for you'
        when 'refuse_export_records' then 'export your records'
        when 'refuse_review_emergency' then 'review an emergency access to your chart'
        when 'refuse_object_to_emergency' then 'object to an emergency access to your chart'
        when 'refuse_share_record' then 'share a record of yours'
        when 'refuse_revoke_share' then 'end a share of a record of yours'
        when 'refuse_delete_record' then 'delete a record of yours'
        when 'refuse_restore_record' then 'restore a record of yours'
        when 'refuse_upload_file' then 'add a file to a record of yours'
        when 'refuse_erase_file' then 'erase a file of a record of yours'
        when 'refuse_request_care' then 'enter into a care relationship with you'
        when 'refuse_answer_care' then 'answer a care request to you'
        when 'refuse_set_care_scopes' then 'change what a caregiver may see of you'
        when 'refuse_end_care' then 'end a care relationship with you'
        else format(
          '%s (%s)', replace(substr(p_action, 8), '_', ' '), private.access_object(p_resource_type)
        )
      end || ' and was refused' || case p_code
        when 'not_found' then ': had no right to it'
        when 'not_verified' then ': is not a verified clinician'
        when 'mfa_required' then ': had signed in without a second factor'
        when 'forbidden' then case p_action
          when 'refuse_download_file' then ': you share it for viewing only'
          else ': may not do this'
        end
        when 'review_pending' then ': an earlier emergency of theirs has not been reviewed'
        when 'already_in_care' then ': is in your care team, who need no emergency'
        when 'already_answered' then ': it has been answered'
        when 'already_ended' then ': it has ended'
        when 'already_objected' then ': an objection is on record'
        when 'already_requested' then ': there is one or a request for one already'
        when 'already_reviewed' then ': it has been reviewed'
        when 'already_shared' then ': it is shared with them already'
        when 'already_uploaded' then ': the record has its file already'
        else ''
      end || coalesce('; ' || p_unlisted || ' more before it are not listed', '')
    else case p_action
      when 'open_chart' then 'Opened your chart'
      when 'break_glass' then 'Opened your chart in an emergency'
      when 'close_chart' then 'Closed your chart'
      when 'review_emergency' then 'Reviewed an emergency access to your chart'
      when 'open_record' then 'Read a record'
      when 'download_file' then 'Downloaded a file of a record'
      when 'upload_file' then 'Added a file to a record'
      when 'export_records' then 'Exported your records'
      when 'search_audit' then 'Searched the audit trail for what concerns you'
      when 'read_contact' then 'Read your contact details'
      when 'match_contact' then 'Found you by your phone or policy number'
      when 'read_description' then 'Read the description of a record'
      when 'add_participant' then 'Added somebody to a conversation about your care'
      when 'remove_participant' then 'Took somebody, or themselves, out of a conversation about your care'
      when 'create' then 'Created ' || private.access_object(p_resource_type)
      when 'update' then 'Updated ' || private.access_object(p_resource_type)
      when 'delete' then 'Deleted ' || private.access_object(p_resource_type)
      else format(
        '%s (%s)', upper(left(p_action, 1)) || replace(substr(p_action, 2), '_', ' '),
        private.access_object(p_resource_type)
      )
    end
  end
$$;
comment on function private.access_summary(text, text, text, integer) is
  'An audit row in words for the patient, for example "Opened your chart". p_code is the code of a '
  'refusal, p_unlisted how many others it stands for.';

create function private.access_reason(p_purpose text, p_reason text)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select case p_purpose
    when 'treatment' then 'To treat you'
    when 'care_coordination' then 'To coordinate your care'
    when 'delegated' then 'As your caregiver'
    when 'share' then 'By a record that you share'
    when 'emergency' then 'In an emergency'
    else p_purpose
  end || coalesce(': ' || p_reason, '')
$$;
comment on function private.access_reason(text, text) is
  'The purpose of an audit row in words for the patient, with the reason that the actor gave; null '
  'without purpose.';
revoke execute on function
  private.access_object(text), private.access_summary(text, text, text, integer),
  private.access_reason(text, text)
from public, anon, authenticated, service_role;

create function private.my_access_log(p_limit integer, p_after timestamptz, p_after_id bigint)
  returns table (
    id bigint,
    occurred_at timestamptz,
    actor_id uuid,
    actor_name text,
    actor_role text,
    action text,
    resource_type text,
    resource_id uuid,
    purpose text,
    summary text,
    reason text,
    is_emergency boolean,
    scopes text[],
    outcome text
  )
  language sql
  stable
  security definer -- audit_events and the names of others are not readable by the caller
  set search_path = ''
as $$
  select
    a.id, a.occurred_at, a.actor_id, p.display_name, a.actor_role, a.action, a.resource_type,
    a.resource_id, a.purpose,
    private.access_summary(
      a.action, a.resource_type, a.new_values ->> 'code', (a.new_values ->> 'unlisted')::integer
    ),
    private.access_reason(
      a.purpose, case when a.resource_type = 'chart_session' then a.new_values ->> 'reason' end
    ),
    a.purpose is not distinct from 'emergency',
    case when a.actor_role = 'caregiver' and a.new_values ? 'caregiver_scopes' then
      array(select jsonb_array_elements_text(a.new_values -> 'caregiver_scopes'))
    end,
    case when a.action like 'refuse\_%' then 'refused' else 'done' end
  from public.audit_events as a
  left join public.profiles as p on p.id = a.actor_id
  where a.patient_id = (select auth.uid())
    and a.actor_id <> a.patient_id
    and (select private.session_is_live())
    -- Always a bound of the index, never an `or`; the plain one lets whole months be left out.
    and a.occurred_at <= coalesce(p_after, 'infinity')
    and (a.occurred_at, a.id)
      < (coalesce(p_after, 'infinity'), coalesce(p_after_id, 9223372036854775807))
  order by a.occurred_at desc, a.id desc
  limit p_limit
$$;
comment on function private.my_access_log(integer, timestamptz, bigint) is
  'Body of public.my_access_log.';
revoke execute on function private.my_access_log(integer, timestamptz, bigint)
  from public, anon, service_role;
grant execute on function private.my_access_log(integer, timestamptz, bigint) to authenticated;

create function public.my_access_log(p_limit integer default 20, p_cursor text default null)
  returns table (
    id bigint,
    occurred_at timestamptz,
    actor_id uuid,
    actor_name text,
    actor_role text,
    action text,
    resource_type text,
    resource_id uuid,
    purpose text,
    summary text,
    reason text,
    is_emergency boolean,
    scopes text[],
    outcome text,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'bigint']);
begin
  perform private.require_live_session();
  -- Who opened whose chart is clinical, as the charts themselves are.
  if not private.may_see_clinical_rows() then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'Seeing clinical data needs multi-factor sign-in';
  end if;
  perform private.require_page_size(p_limit);
  return query
    select
      l.id, l.occurred_at, l.actor_id, l.actor_name, l.actor_role, l.action, l.resource_type,
      l.resource_id, l.purpose, l.summary, l.reason, l.is_emergency, l.scopes, l.outcome,
      private.make_cursor(jsonb_build_array(l.occurred_at, l.id))
    from private.my_access_log(
      p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::bigint
    ) as l;
end;
$$;
comment on function public.my_access_log(integer, text) is
  'Who touched the caller''s data as a patient, or tried to: every row that somebody else caused, '
  'newest first, with name, role and purpose; summary (what) and reason (why) in words; is_emergency; '
  'scopes, what the caller let a caregiver see at that time, null for others; outcome done or '
  'refused. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: '
  'PT400 invalid_request, PT401 unauthenticated, PT403 mfa_required (a clinician who is a patient, too).';
revoke execute on function public.my_access_log(integer, text) from public, anon, service_role;
grant execute on function public.my_access_log(integer, text) to authenticated;
