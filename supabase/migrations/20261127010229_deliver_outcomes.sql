-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

CREATE OR REPLACE FUNCTION private.finish_deliveries (
  p_outcomes jsonb
)
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

COMMENT ON FUNCTION "private"."finish_deliveries"(jsonb) IS 'Takes what became of claimed deliveries. p_outcomes: array of at most 1,000 {id, claim_token, outcome, provider, provider_message_id, error_code, retry_after_seconds, retire_address}. outcome sent: a provider took it; retry: tried again after 12 s, 2.5 min, 30 min, 6 h and 24 h, each a fifth more or less, or after retry_after_seconds if that is longer, then dead, which administrators are told; permanent: failed at once; suppressed: nobody carries the channel; deferred: not tried, due again after retry_after_seconds, and not counted. retire_address: nothing more goes to that address or device. Returns how many it took; one that another claim has by now, or that is over, is left as it is. Errors: PT400 invalid_request.';
