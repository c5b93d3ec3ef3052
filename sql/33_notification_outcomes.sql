-- What became of deliveries: the outcomes that a worker reports, the receipts of providers, and
-- what administrators see of those that were given up.
-- Needs: 32_notification_deliveries.sql. Policies: policies/32_notification_deliveries.sql.

create function private.finish_deliveries(p_outcomes jsonb)
  returns integer
  language plpgsql
  security definer -- the worker has no rights on the tables
  set search_path = ''
as $$
declare
  v_done record;
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array'
    or jsonb_array_length(p_outcomes) > 1000
    or exists (
      select 1 from jsonb_array_elements(p_outcomes) as o
      where coalesce(
        o ->> 'outcome' not in ('sent', 'retry', 'permanent', 'suppressed', 'deferred'), true
      )
    )
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Outcomes are an array of at most 1000, each sent, retry, permanent, suppressed or '
        'deferred';
  end if;
  perform private.lock_messages(m.provider, m.message_ids)
  from (
    select o.provider, array_agg(left(o.provider_message_id, 300)) as message_ids
    from jsonb_to_recordset(p_outcomes) as o (provider text, provider_message_id text)
    where o.provider_message_id is not null
    group by o.provider
    order by o.provider
  ) as m;

  with outcome as (
    select distinct on (o.id)
      o.id, o.claim_token, o.outcome, o.provider,
      left(nullif(o.provider_message_id, ''), 300) as provider_message_id,
      -- A code whatever the provider calls it; of words only what could be one is kept.
      left(regexp_replace(o.error_code, '[^A-Za-z0-9_.:-]+', '_', 'g'), 64) as error_code,
      -- A provider that wants more than a day gets a day.
      least(greatest(o.retry_after_seconds, 0), 86400) as retry_after_seconds,
      coalesce(o.retire_address, false) as retire_address
    from jsonb_to_recordset(p_outcomes) as o (
      id uuid, claim_token uuid, outcome text, provider text, provider_message_id text,
      error_code text, retry_after_seconds double precision, retire_address boolean
    )
    order by o.id
  ),
  held as materialized (
    -- What was claimed anew since, or is over, is not this worker's any more.
    select
      d.id, d.updated_at as claimed_at, o.outcome, o.provider, o.provider_message_id,
      nullif(o.error_code, '') as error_code, o.retry_after_seconds, o.retire_address,
      case
        when o.outcome = 'sent' then 'sent'
        when o.outcome = 'permanent' then 'failed'
        when o.outcome = 'suppressed' then 'suppressed'
        when o.outcome = 'retry' and d.failures >= 5 then 'dead'
        else 'pending'
      end as next_status
    from public.notification_deliveries as d
    join outcome as o on o.id = d.id and o.claim_token = d.claim_token
    where d.status = 'sending'
    order by d.id
    for update of d
  ),
  finished as (
    update public.notification_deliveries as d set
      status = h.next_status,
      claim_token = null,
      -- One that was not tried has not been in anybody's hand.
      attempts = d.attempts - (h.outcome = 'deferred')::integer,
      failures = d.failures + (h.outcome = 'retry')::integer,
      next_attempt_at = case
        when h.outcome = 'deferred'
          then now() + make_interval(secs => coalesce(h.retry_after_seconds, 0))
        when h.next_status = 'pending' then now() + make_interval(secs => greatest(
          private.retry_delay_seconds(d.failures, random()),
          coalesce(h.retry_after_seconds, 0)
        ))
        else d.next_attempt_at
      end,
      provider = coalesce(h.provider, d.provider),
      provider_message_id = case h.outcome when 'sent' then h.provider_message_id end,
      last_error = case h.outcome
        when 'sent' then null
        when 'deferred' then d.last_error
        else coalesce(h.error_code, 'unknown')
      end,
      sent_at = case h.outcome when 'sent' then now() end
    from held as h
    where d.id = h.id
    returning d.id, d.status, h.retire_address, h.claimed_at, d.last_error, d.provider_message_id
  )
  select
    count(*)::integer as count,
    array_agg(f.id) filter (where f.status = 'dead') as dead,
    array_agg(f.id) filter (where f.provider_message_id is not null) as with_message,
    array_agg(f.id) filter (where f.retire_address) as gone,
    array_agg(coalesce(f.last_error, 'unknown')) filter (where f.retire_address) as reasons,
    array_agg(f.claimed_at) filter (where f.retire_address) as since
  into v_done
  from finished as f;

  if v_done.gone is not null then
    perform private.retire_delivery_addresses(v_done.gone, v_done.reasons, v_done.since);
  end if;
  if v_done.with_message is not null then
    perform private.apply_receipts(v_done.with_message);
  end if;
  if v_done.dead is not null then
    perform private.tell_of_dead_deliveries(v_done.dead);
  end if;
  return v_done.count;
end;
$$;
comment on function private.finish_deliveries(jsonb) is
  'Takes what became of claimed deliveries. p_outcomes: array of at most 1,000 {id, claim_token, '
  'outcome, provider, provider_message_id, error_code, retry_after_seconds, retire_address}. outcome '
  'sent: a provider took it; retry: tried again after 12 s, 2.5 min, 30 min, 6 h and 24 h, each a '
  'fifth more or less, or after retry_after_seconds if that is longer, then dead, which '
  'administrators are told; permanent: failed at once; suppressed: nobody carries the channel; '
  'deferred: not tried, due again after retry_after_seconds, and not counted. retire_address: '
  'nothing more goes to that address or device. Returns how many it took; one that another claim has '
  'by now, or that is over, is left as it is. Errors: PT400 invalid_request.';
revoke execute on function private.finish_deliveries(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function private.finish_deliveries(jsonb) to notification_worker;

create function private.retry_delay_seconds(p_failures integer, p_random double precision)
  returns double precision
  language sql
  immutable
  set search_path = ''
as $$
  select (array[12, 150, 1800, 21600, 86400])[least(p_failures, 4) + 1] * (0.8 + 0.4 * p_random)
$$;
comment on function private.retry_delay_seconds(integer, double precision) is
  'Seconds until the next attempt after p_failures failures before this one; p_random, 0 to 1, '
  'spreads them by a fifth to either side, so that what failed together does not come back '
  'together.';
revoke execute on function private.retry_delay_seconds(integer, double precision)
  from public, anon, authenticated, service_role;

create function private.record_receipt(
  p_provider text,
  p_event_id text,
  p_provider_message_id text,
  p_status text,
  p_error_code text
)
  returns boolean
  language plpgsql
  security definer -- the worker has no rights on the tables
  set search_path = ''
as $$
begin
  perform private.lock_messages(p_provider, array[p_provider_message_id]);
  insert into private.delivery_receipts (
    provider, event_id, provider_message_id, status, error_code
  )
  values (
    p_provider, p_event_id, p_provider_message_id, p_status,
    nullif(left(regexp_replace(p_error_code, '[^A-Za-z0-9_.:-]+', '_', 'g'), 64), '')
  )
  on conflict (provider, event_id) do nothing;
  if not found then
    return false;
  end if;
  perform private.apply_receipts(array(
    select d.id from public.notification_deliveries as d
    where d.provider = p_provider and d.provider_message_id = p_provider_message_id
    order by d.id
    for update
  ));
  return true;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A receipt has a provider, ids of at most 300 characters, and a status that is known';
end;
$$;
comment on function private.record_receipt(text, text, text, text, text) is
  'Takes what a provider reports of a message, once for each p_event_id. p_status: sent, '
  'delivered, failed, bounced, complained or unregistered; the last three retire the address. The '
  'order of reports does not matter, and one of a message that is not known is kept until it is. '
  'Returns whether it is new. Errors: PT400 invalid_request.';
revoke execute on function private.record_receipt(text, text, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function private.record_receipt(text, text, text, text, text)
  to notification_worker;

create function private.delivery_backlog()
  returns table (
    pending bigint,
    sending bigint,
    due bigint,
    oldest_due_seconds integer,
    next_attempt_at timestamptz,
    dead bigint
  )
  language sql
  stable
  security definer -- the worker has no rights on the table
  set search_path = ''
as $$
  select
    count(*) filter (where d.status = 'pending'),
    count(*) filter (where d.status = 'sending'),
    count(*) filter (where d.next_attempt_at <= now()),
    extract(
      epoch from now() - min(d.next_attempt_at) filter (where d.next_attempt_at <= now())
    )::integer,
    min(d.next_attempt_at),
    (select count(*) from public.notification_deliveries as x where x.status = 'dead')
  from public.notification_deliveries as d
  where d.status in ('pending', 'sending')
$$;
comment on function private.delivery_backlog() is
  'How many deliveries wait (pending), are in hand (sending), are due, and were given up (dead); '
  'for how long the oldest has been due, and when the next one is, null for none.';
revoke execute on function private.delivery_backlog()
  from public, anon, authenticated, service_role;
grant execute on function private.delivery_backlog() to notification_worker;

-- Administrators ----------------------------------------------------------------------------------

create function private.list_dead_deliveries(p_limit integer, p_after jsonb)
  returns table (
    id uuid,
    user_id uuid,
    channel text,
    kind text,
    attempts integer,
    last_error text,
    created_at timestamptz,
    updated_at timestamptz
  )
  language plpgsql
  stable
  security definer -- deliveries of others are not readable by the caller
  set search_path = ''
as $$
#variable_conflict use_column
begin
  perform private.require_admin();
  return query
    select
      d.id, d.user_id, d.channel, n.kind, d.attempts, d.last_error, d.created_at, d.updated_at
    from public.notification_deliveries as d
    left join public.notifications as n on n.id = d.notification_id
    where d.status = 'dead'
      and (d.created_at, d.id) < (
        coalesce((p_after ->> 0)::timestamptz, 'infinity'),
        coalesce((p_after ->> 1)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by d.created_at desc, d.id desc
    limit p_limit;
end;
$$;
comment on function private.list_dead_deliveries(integer, jsonb) is
  'Body of public.list_dead_deliveries. p_after: [created_at, id] of the last row of the page '
  'before; null for the first page.';
revoke execute on function private.list_dead_deliveries(integer, jsonb)
  from public, anon, service_role;
grant execute on function private.list_dead_deliveries(integer, jsonb) to authenticated;

create function public.list_dead_deliveries(p_limit integer default 20, p_cursor text default null)
  returns table (
    id uuid,
    user_id uuid,
    channel text,
    kind text,
    attempts integer,
    last_error text,
    created_at timestamptz,
    updated_at timestamptz,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'uuid']);
begin
  perform private.require_admin();
  perform private.require_page_size(p_limit);
  return query
    select
      d.id, d.user_id, d.channel, d.kind, d.attempts, d.last_error, d.created_at, d.updated_at,
      private.make_cursor(jsonb_build_array(d.created_at, d.id))
    from private.list_dead_deliveries(p_limit, v_after) as d;
end;
$$;
comment on function public.list_dead_deliveries(integer, text) is
  'Administrators: deliveries that were given up after their last attempt, newest first; kind and '
  'code, no words and no address. p_limit 1 to 100; p_cursor is the cursor of the last row of the '
  'page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden.';
revoke execute on function public.list_dead_deliveries(integer, text)
  from public, anon, service_role;
grant execute on function public.list_dead_deliveries(integer, text) to authenticated;

create function private.retry_delivery(p_id uuid)
  returns void
  language plpgsql
  security definer -- deliveries are written by functions only
  set search_path = ''
as $$
begin
  perform private.require_admin();
  update public.notification_deliveries as d set
    status = 'pending', attempts = 0, failures = 0, next_attempt_at = now()
  where d.id = p_id and d.status = 'dead';
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No delivery with this id was given up';
  end if;
  perform private.write_audit('retry_delivery', 'notification_delivery', p_id, null);
end;
$$;
comment on function private.retry_delivery(uuid) is 'Body of public.retry_delivery.';
revoke execute on function private.retry_delivery(uuid) from public, anon, service_role;
grant execute on function private.retry_delivery(uuid) to authenticated;

create function public.retry_delivery(p_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.retry_delivery(p_id)
$$;
comment on function public.retry_delivery(uuid) is
  'Administrators: tries a delivery again that was given up, as if it were new; logged. Errors: '
  'PT401 unauthenticated, PT403 forbidden, PT404 not_found.';
revoke execute on function public.retry_delivery(uuid) from public, anon, service_role;
grant execute on function public.retry_delivery(uuid) to authenticated;
