-- Deliveries: the outbox of notifications. private.notify writes a row for each channel and address
-- outside the app in the transaction of the cause; a worker claims what is due, sends it after
-- commit, and says what became of it. A claim is a lease: what a worker that died had in hand falls
-- due again.
-- Needs: 30_notifications.sql, 31_notification_preferences.sql; 15_audit.sql when it runs.
-- Policies: policies/32_notification_deliveries.sql.

create table public.notification_deliveries (
  id uuid primary key default gen_random_uuid(),
  notification_id uuid references public.notifications (id) on delete set null,
  user_id uuid not null references public.profiles (id) on delete cascade,
  channel text not null,
  device_token_id uuid references public.device_tokens (id) on delete set null,
  is_urgent boolean not null default false,
  status text not null default 'pending',
  attempts integer not null default 0,
  failures integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  claim_token uuid,
  address_sha256 bytea,
  provider text,
  provider_message_id text,
  last_error text,
  sent_at timestamptz,
  delivered_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint notification_deliveries_channel_check check (channel in ('email', 'sms', 'push')),
  constraint notification_deliveries_device_check
    check (channel = 'push' or device_token_id is null),
  constraint notification_deliveries_status_check
    check (status in ('pending', 'sending', 'sent', 'failed', 'dead', 'suppressed')),
  constraint notification_deliveries_attempts_check
    check (failures >= 0 and attempts >= failures),
  constraint notification_deliveries_claim_check
    check ((status = 'sending') = (claim_token is not null)),
  constraint notification_deliveries_address_check check (octet_length(address_sha256) = 32),
  constraint notification_deliveries_provider_check
    check (provider ~ '^[a-z0-9_]{1,40}$' and length(provider_message_id) between 1 and 300),
  -- A code, never what a provider says in words: that may name an address.
  constraint notification_deliveries_last_error_check check (last_error ~ '^[A-Za-z0-9_.:-]{1,64}$'),
  constraint notification_deliveries_sent_check
    check (status <> 'sent' or sent_at is not null)
);
comment on table public.notification_deliveries is
  'One notification on its way to one address outside the app. Personal data: that somebody was '
  'told something. The address itself is not here; it is read when the row is claimed.';
comment on column public.notification_deliveries.notification_id is
  'What is told; null: its owner has deleted it.';
comment on column public.notification_deliveries.user_id is 'Who is told.';
comment on column public.notification_deliveries.channel is 'email, sms or push.';
comment on column public.notification_deliveries.device_token_id is 'Of a push: to which device.';
comment on column public.notification_deliveries.is_urgent is
  'Whether it is of a kind for security or emergencies: those go first.';
comment on column public.notification_deliveries.status is
  'pending: waits for next_attempt_at; sending: a worker has it; sent: a provider took it; '
  'failed: it cannot arrive; dead: given up after the last attempt; suppressed: not wanted any '
  'more.';
comment on column public.notification_deliveries.attempts is
  'How often a worker has had it in hand.';
comment on column public.notification_deliveries.failures is
  'How many attempts ended in an error that may pass; the others of a row that was not sent are '
  'workers that died.';
comment on column public.notification_deliveries.next_attempt_at is
  'When it is due: of a pending one the next attempt, of one that is being sent the end of the '
  'lease.';
comment on column public.notification_deliveries.claim_token is
  'Which claim has it; an outcome counts while it is the same.';
comment on column public.notification_deliveries.address_sha256 is
  'Digest of the e-mail address or number to which it went, so that a bounce retires that one.';
comment on column public.notification_deliveries.provider is 'Who took it, for example resend.';
comment on column public.notification_deliveries.provider_message_id is
  'Its id with the provider, which receipts name.';
comment on column public.notification_deliveries.last_error is
  'Code of the last error, or why it was suppressed.';
comment on column public.notification_deliveries.sent_at is 'When a provider took it.';
comment on column public.notification_deliveries.delivered_at is
  'When the provider reported that it arrived; null: it has not, or not yet.';

create index notification_deliveries_notification_id_idx
  on public.notification_deliveries (notification_id);
create index notification_deliveries_user_id_idx
  on public.notification_deliveries (user_id, created_at desc, id desc);
create index notification_deliveries_device_token_id_idx
  on public.notification_deliveries (device_token_id) where device_token_id is not null;
create index notification_deliveries_due_idx
  on public.notification_deliveries (is_urgent, next_attempt_at)
  where status in ('pending', 'sending');
create index notification_deliveries_dead_idx
  on public.notification_deliveries (created_at desc, id desc) where status = 'dead';
create index notification_deliveries_message_idx
  on public.notification_deliveries (provider, provider_message_id)
  where provider_message_id is not null;

create trigger notification_deliveries_set_updated_at
  before update on public.notification_deliveries
  for each row execute function private.set_updated_at();

create table private.delivery_receipts (
  provider text not null,
  event_id text not null,
  provider_message_id text not null,
  status text not null,
  error_code text,
  received_at timestamptz not null default now(),

  primary key (provider, event_id),
  constraint delivery_receipts_provider_check check (provider ~ '^[a-z0-9_]{1,40}$'),
  constraint delivery_receipts_event_id_check check (length(event_id) between 1 and 300),
  constraint delivery_receipts_message_id_check
    check (length(provider_message_id) between 1 and 300),
  constraint delivery_receipts_status_check check (
    status in ('sent', 'delivered', 'failed', 'bounced', 'complained', 'unregistered')
  ),
  constraint delivery_receipts_error_code_check check (error_code ~ '^[A-Za-z0-9_.:-]{1,64}$')
);
comment on table private.delivery_receipts is
  'What providers reported of messages, each report once, also of messages that are not known '
  '(yet). Not PHI: ids and codes.';
comment on column private.delivery_receipts.event_id is
  'Id of the report with the provider; a repeat has the same.';
comment on column private.delivery_receipts.status is
  'sent and delivered: on its way, and arrived; failed: it will not arrive; bounced and '
  'unregistered: nor will anything else to this address; complained: it arrived, and its reader '
  'wants no more.';

create index delivery_receipts_message_idx
  on private.delivery_receipts (provider, provider_message_id);

-- Giving up ---------------------------------------------------------------------------------------

create function private.tell_of_dead_deliveries(p_ids uuid[])
  returns void
  language sql
  set search_path = ''
as $$
  select private.notify_administrators(
    'delivery_dead', jsonb_build_object('delivery_id', d.id, 'channel', d.channel)
  )
  from public.notification_deliveries as d
  left join public.notifications as n on n.id = d.notification_id
  -- Of what was to tell an administrator of such a thing nobody is told again.
  where d.id = any (p_ids) and n.kind is distinct from 'delivery_dead'
  -- By what they collapse to, so that two workers do not wait for each other.
  order by d.channel, d.id
$$;
comment on function private.tell_of_dead_deliveries(uuid[]) is
  'Tells administrators of deliveries that were given up; an unread notification a channel is '
  'enough.';
revoke execute on function private.tell_of_dead_deliveries(uuid[])
  from public, anon, authenticated, service_role;

-- Claiming ----------------------------------------------------------------------------------------

create function private.claim_deliveries(p_limit integer, p_lease_seconds integer)
  returns table (
    id uuid,
    claim_token uuid,
    notification_id uuid,
    channel text,
    attempts integer,
    kind text,
    urgency text,
    title text,
    body text,
    address jsonb,
    idempotency_key text
  )
  language plpgsql
  security definer -- the worker has no rights on the tables, nor on the addresses in auth.users
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_token constant uuid := gen_random_uuid();
  v_lease_ends_at constant timestamptz := now() + make_interval(secs => p_lease_seconds);
  v_left integer := p_limit;
  v_due uuid[];
  v_claimed integer;
  v_urgent boolean;
begin
  if p_limit is null or p_limit not between 1 and 1000
    or p_lease_seconds is null or p_lease_seconds not between 1 and 3600
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A claim is for 1 to 1000 deliveries and 1 to 3600 seconds';
  end if;
  foreach v_urgent in array array[true, false] loop
    -- Until there are enough, or nothing is due: what is looked at and not claimed is due no more.
    while v_left > 0 loop
      v_due := array(
        select d.id
        from public.notification_deliveries as d
        where d.status in ('pending', 'sending') and d.is_urgent = v_urgent
          and d.next_attempt_at <= now()
        order by d.next_attempt_at
        limit v_left
        -- What another worker is claiming at this moment is not waited for.
        for update skip locked
      );
      exit when v_due = '{}';
      return query
        with candidate as (
          select
            d.id, f.detail, n.kind, n.title, n.body, k.urgency, k.is_discreet, p.locale,
            case d.channel
              when 'email' then jsonb_build_object('email', u.email)
              when 'sms' then jsonb_build_object('phone', '+' || ltrim(u.phone, '+'))
              else jsonb_strip_nulls(jsonb_build_object(
                'platform', t.platform, 'token', t.token, 'endpoint', t.endpoint,
                'p256dh', t.p256dh, 'auth', t.auth
              ))
            end as address,
            a.sha256,
            case
              when n.id is null then 'deleted'
              when not p.is_active or u.deleted_at is not null or u.banned_until > now()
                then 'account_closed'
              when k.urgency = 'normal' and n.read_at is not null then 'read'
              when not private.channel_is_on(
                  d.channel, f.enabled, k.channels, k.required,
                  u.email_confirmed_at is not null and u.email <> ''
                )
                then 'switched_off'
              when d.channel = 'push' and t.id is null or d.channel <> 'push' and a.sha256 is null
                then 'no_address'
              when t.retired_at is not null or r.user_id is not null then 'retired_address'
            end as against,
            case
              when k.urgency = 'normal'
                then private.quiet_until(now(), f.quiet_from, f.quiet_to, p.timezone)
            end as quiet_until,
            -- Of a row that no worker survives the others must not suffer for ever.
            d.status = 'sending' and d.attempts - d.failures >= 25 as is_poison
          from public.notification_deliveries as d
          join public.profiles as p on p.id = d.user_id
          join auth.users as u on u.id = d.user_id
          left join public.notifications as n on n.id = d.notification_id
          left join private.notification_kinds as k on k.kind = n.kind
          left join public.notification_preferences as f
            on f.user_id = d.user_id and f.kind = n.kind and f.channel = d.channel
          -- A device that is another account's by now is no address of this one.
          left join public.device_tokens as t
            on t.id = d.device_token_id and t.user_id = d.user_id
          cross join lateral (
            select sha256(convert_to(
              case
                when d.channel = 'email' and u.email_confirmed_at is not null
                  then nullif(lower(u.email), '')
                when d.channel = 'sms' and u.phone_confirmed_at is not null
                  then nullif(ltrim(u.phone, '+'), '')
              end,
              'UTF8'
            )) as sha256
          ) as a
          left join private.retired_addresses as r
            on r.user_id = d.user_id and r.channel = d.channel and r.address_sha256 = a.sha256
          where d.id = any (v_due)
        ),
        decided as (
          select
            c.*,
            case
              when c.against is not null then 'suppressed'
              when c.is_poison then 'dead'
              when c.quiet_until > now() then 'pending'
              else 'sending'
            end as next_status
          from candidate as c
        ),
        changed as (
          update public.notification_deliveries as d set
            status = c.next_status,
            attempts = d.attempts + (c.next_status = 'sending')::integer,
            claim_token = case c.next_status when 'sending' then v_token end,
            next_attempt_at = case c.next_status
              when 'sending' then v_lease_ends_at
              when 'pending' then c.quiet_until
              else d.next_attempt_at
            end,
            last_error = case c.next_status
              when 'suppressed' then c.against
              when 'dead' then 'worker_lost'
              else d.last_error
            end,
            address_sha256 = case c.next_status when 'sending' then c.sha256 else d.address_sha256 end
          from decided as c
          where d.id = c.id
          returning d.id, d.status, d.notification_id, d.channel, d.attempts
        )
        select
          d.id, v_token, d.notification_id, d.channel, d.attempts, c.kind,
          coalesce(c.urgency, 'normal'), w.title, w.body, c.address, d.id::text
        from changed as d
        join decided as c on c.id = d.id
        cross join lateral (
          select
            case when o.whole then c.title else m.title end as title,
            case when o.whole then c.body else m.body end as body
          from (
            select c.detail = 'full' or coalesce(c.is_discreet, false) as whole
          ) as o
          cross join private.notification_minimal_words as m
          where m.urgency = coalesce(c.urgency, 'normal')
            and m.locale in (c.locale, split_part(c.locale, '-', 1), 'en')
          order by m.locale = c.locale desc, m.locale <> 'en' desc
          limit 1
        ) as w
        where d.status = 'sending';
      get diagnostics v_claimed = row_count;
      v_left := v_left - v_claimed;
      perform private.tell_of_dead_deliveries(array(
        select d.id from public.notification_deliveries as d
        where d.id = any (v_due) and d.status = 'dead'
      ));
    end loop;
  end loop;
end;
$$;
comment on function private.claim_deliveries(integer, integer) is
  'Hands a worker up to p_limit (1 to 1,000) deliveries that are due, urgent ones first, with the '
  'words to say and the address as it is now: {email}, {phone} (E.164), {platform, token} or '
  '{platform, endpoint, p256dh, auth}. No other worker gets them for p_lease_seconds (1 to 3,600). '
  'What has no use any more is suppressed on the way, and what falls into quiet hours waits for '
  'their end. No row: nothing is due. The idempotency key is the same for every attempt.';
revoke execute on function private.claim_deliveries(integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function private.claim_deliveries(integer, integer) to notification_worker;

-- Outcomes ----------------------------------------------------------------------------------------

create function private.lock_messages(p_provider text, p_message_ids text[])
  returns void
  language sql
  set search_path = ''
as $$
  select pg_advisory_xact_lock(m.key)
  from (
    select distinct hashtextextended(p_provider || ' ' || i.id, 0) as key
    from unnest(p_message_ids) as i (id)
    order by 1
  ) as m
$$;
comment on function private.lock_messages(text, text[]) is
  'Makes those who learn the id of a message and those who learn of its receipt wait for each '
  'other: either sees what the other has written. Before any lock on rows.';
revoke execute on function private.lock_messages(text, text[])
  from public, anon, authenticated, service_role;

create function private.retire_delivery_addresses(
  p_ids uuid[],
  p_reasons text[],
  p_since timestamptz[]
)
  returns void
  language sql
  set search_path = ''
as $$
  with gone as (
    select d.user_id, d.channel, d.address_sha256, d.device_token_id, g.reason, g.since
    from unnest(p_ids, p_reasons, p_since) as g (id, reason, since)
    join public.notification_deliveries as d on d.id = g.id
  ),
  devices as (
    -- One that was registered again since then is in use.
    update public.device_tokens as t set retired_at = now(), retired_reason = 'unregistered'
    from gone as g
    where t.id = g.device_token_id and t.retired_at is null and t.last_seen_at <= g.since
  )
  insert into private.retired_addresses (user_id, channel, address_sha256, reason)
  select distinct on (g.user_id, g.channel, g.address_sha256)
    g.user_id, g.channel, g.address_sha256, g.reason
  from gone as g
  where g.address_sha256 is not null
  order by g.user_id, g.channel, g.address_sha256
  on conflict (user_id, channel, address_sha256) do nothing
$$;
comment on function private.retire_delivery_addresses(uuid[], text[], timestamptz[]) is
  'Sends nothing more to where these deliveries went: the device, unless it was registered after '
  'p_since, or the address.';
revoke execute on function private.retire_delivery_addresses(uuid[], text[], timestamptz[])
  from public, anon, authenticated, service_role;

create function private.apply_receipts(p_ids uuid[])
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_gone record;
begin
  -- What is known of a message decides, and not the order in which it was heard: that it cannot
  -- have arrived is stronger than that it has.
  update public.notification_deliveries as d set
    status = case when r.has_failed then 'failed' else d.status end,
    delivered_at = case when not r.has_failed then r.delivered_at end,
    last_error = case when r.has_failed then r.error_code else d.last_error end
  from (
    select
      d.id,
      bool_or(r.status in ('failed', 'bounced', 'unregistered')) as has_failed,
      min(r.received_at) filter (where r.status in ('delivered', 'complained')) as delivered_at,
      min(coalesce(r.error_code, r.status))
        filter (where r.status in ('failed', 'bounced', 'unregistered')) as error_code
    from public.notification_deliveries as d
    join private.delivery_receipts as r
      on r.provider = d.provider and r.provider_message_id = d.provider_message_id
    where d.id = any (p_ids)
    group by d.id
  ) as r
  where d.id = r.id and d.status in ('sent', 'failed');
  select array_agg(d.id) as ids, array_agg(r.status) as reasons, array_agg(d.sent_at) as since
  into v_gone
  from public.notification_deliveries as d
  join private.delivery_receipts as r
    on r.provider = d.provider and r.provider_message_id = d.provider_message_id
  where d.id = any (p_ids) and r.status in ('bounced', 'complained', 'unregistered');
  perform private.retire_delivery_addresses(v_gone.ids, v_gone.reasons, v_gone.since);
end;
$$;
comment on function private.apply_receipts(uuid[]) is
  'Makes of deliveries what all receipts of their messages say, whatever was applied before.';
revoke execute on function private.apply_receipts(uuid[])
  from public, anon, authenticated, service_role;
