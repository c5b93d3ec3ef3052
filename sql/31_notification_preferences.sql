-- Where notifications go: what an account wants of each kind and channel, its quiet hours, the
-- devices that take its pushes, and addresses that take nothing any more.
-- Needs: 10_identity.sql, 15_audit.sql, 30_notification_words.sql.
-- Policies: policies/31_notification_preferences.sql.

create table public.notification_preferences (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null default auth.uid() references public.profiles (id) on delete cascade,
  kind text not null,
  channel text not null,
  enabled boolean not null default true,
  quiet_from time,
  quiet_to time,
  detail text not null default 'minimal',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint notification_preferences_one_each unique (user_id, kind, channel),
  constraint notification_preferences_channel_check
    check (channel in ('in_app', 'email', 'sms', 'push')),
  -- Both are null, or neither, and then they differ.
  constraint notification_preferences_quiet_check
    check ((quiet_from is null) = (quiet_to is null) and quiet_from <> quiet_to),
  constraint notification_preferences_detail_check check (detail in ('full', 'minimal'))
);
comment on table public.notification_preferences is
  'What an account wants of one kind of notification on one channel; without a row the kind''s '
  'defaults hold. Personal data.';
comment on column public.notification_preferences.user_id is 'The account; the caller by default.';
comment on column public.notification_preferences.kind is 'A kind of notification_kinds.';
comment on column public.notification_preferences.channel is 'in_app, email, sms or push.';
comment on column public.notification_preferences.enabled is
  'Whether the kind goes there. Security and emergencies cannot be switched off in the app and by '
  'e-mail.';
comment on column public.notification_preferences.quiet_from is
  'Local time in the zone of the profile from which nothing is sent, until quiet_to, across '
  'midnight when that is earlier; it is sent then. Null: no quiet hours. In the app, and for '
  'security and emergencies, there are none.';
comment on column public.notification_preferences.quiet_to is 'End of the quiet hours, excluded.';
comment on column public.notification_preferences.detail is
  'What is said outside the app: full, the words of the kind; minimal, only that there is '
  'something. In the app it is always the whole.';

create trigger notification_preferences_set_updated_at
  before update on public.notification_preferences
  for each row execute function private.set_updated_at();

select private.audit_table(
  'public.notification_preferences', 'notification_preference', 'id', ''
);

create function private.check_notification_preference()
  returns trigger
  language plpgsql
  security definer -- notification_kinds is not readable by the caller
  set search_path = ''
as $$
declare
  v_required text[];
begin
  select k.required into v_required
  from private.notification_kinds as k
  where k.kind = new.kind;
  if not found then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot set a preference as there is no kind of notification of this name';
  end if;
  if not new.enabled and new.channel = any (v_required) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = format('Cannot switch %s off on the channel %s', new.kind, new.channel);
  end if;
  return new;
end;
$$;
comment on function private.check_notification_preference() is
  'Trigger: refuses a preference for a kind that there is not, and one that switches off what must '
  'arrive. Errors: PT400 invalid_request, PT403 forbidden.';
revoke execute on function private.check_notification_preference()
  from public, anon, authenticated, service_role;

create trigger notification_preferences_check
  before insert or update on public.notification_preferences
  for each row execute function private.check_notification_preference();

create function private.channel_is_on(
  p_channel text,
  p_enabled boolean,
  p_channels text[],
  p_required text[],
  p_has_email boolean
)
  returns boolean
  language sql -- without settings of its own, so that it becomes part of the calling statement
  immutable
as $$
  select p_channel = any (p_required)
    -- What must arrive by e-mail arrives by SMS where there is no e-mail.
    or p_channel = 'sms' and 'email' = any (p_required) and not p_has_email
    or coalesce(p_enabled, p_channel = any (p_channels))
$$;
comment on function private.channel_is_on(text, boolean, text[], text[], boolean) is
  'Whether a kind with such default and required channels goes to a channel for which the '
  'account''s preference is p_enabled; null: it has none. For definer functions only.';
revoke execute on function private.channel_is_on(text, boolean, text[], text[], boolean)
  from public, anon, authenticated, service_role;

create function private.quiet_until(
  p_at timestamptz,
  p_from time,
  p_to time,
  p_timezone text
)
  returns timestamptz
  language sql
  stable
  set search_path = ''
as $$
  -- By the clock on the wall, not by adding hours: a night is 7 or 9 hours long twice a year.
  select case
    when p_from < p_to and l.clock >= p_from and l.clock < p_to
      then (l.day + p_to) at time zone p_timezone
    when p_from > p_to and l.clock >= p_from
      then (l.day + 1 + p_to) at time zone p_timezone
    when p_from > p_to and l.clock < p_to
      then (l.day + p_to) at time zone p_timezone
  end
  from (
    select (p_at at time zone p_timezone)::date as day, (p_at at time zone p_timezone)::time as clock
  ) as l
$$;
comment on function private.quiet_until(timestamptz, time, time, text) is
  'When the quiet hours end in which a moment falls; null when it falls in none. A moment is quiet '
  'when the clock in the zone shows a time from p_from up to p_to, p_to excluded. An end that the '
  'clock shows twice, when it is put back, is the second one; an end that it skips, when it is put '
  'forward, comes as much later as it skips.';
revoke execute on function private.quiet_until(timestamptz, time, time, text)
  from public, anon, authenticated, service_role;

-- Devices ----------------------------------------------------------------------------------------

create table public.device_tokens (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  platform text not null,
  token text,
  endpoint text,
  p256dh text,
  auth text,
  last_seen_at timestamptz not null default now(),
  retired_at timestamptz,
  retired_reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint device_tokens_platform_check check (
    platform = 'fcm' and token is not null and num_nonnulls(endpoint, p256dh, auth) = 0
    or platform = 'webpush' and token is null and num_nulls(endpoint, p256dh, auth) = 0
  ),
  constraint device_tokens_token_check
    check (token ~ '^[A-Za-z0-9_:.-]+$' and length(token) between 20 and 1000),
  -- A name of the public kind on the usual port: no address, no credentials, nothing of the inside.
  constraint device_tokens_endpoint_check check (
    endpoint ~ '^https://([a-z0-9-]+\.)+[a-z]{2,}/[!-~]*$' and length(endpoint) <= 1000
  ),
  -- A point of P-256 (65 bytes) and a secret of 16 bytes, in base64url.
  constraint device_tokens_p256dh_check check (p256dh ~ '^[A-Za-z0-9_-]{87}=?$'),
  constraint device_tokens_auth_check check (auth ~ '^[A-Za-z0-9_-]{22}(==)?$'),
  constraint device_tokens_retired_check check ((retired_at is null) = (retired_reason is null)),
  constraint device_tokens_retired_reason_check
    check (retired_reason in ('removed', 'replaced', 'unregistered'))
);
comment on table public.device_tokens is
  'One installation of the app, or one browser, that takes pushes for the account that is signed '
  'in there. Personal data, no health data.';
comment on column public.device_tokens.platform is
  'fcm: Firebase; webpush: a push service (RFC 8030).';
comment on column public.device_tokens.token is 'Registration token of Firebase.';
comment on column public.device_tokens.endpoint is
  'Push resource of the browser; whose hosts are allowed is for the function that sends.';
comment on column public.device_tokens.p256dh is 'The browser''s public key (RFC 8291), base64url.';
comment on column public.device_tokens.auth is 'The browser''s secret (RFC 8291), base64url.';
comment on column public.device_tokens.last_seen_at is 'When the app last registered it.';
comment on column public.device_tokens.retired_at is 'Since when it gets nothing; null: it does.';
comment on column public.device_tokens.retired_reason is
  'removed: by its account; replaced: by newer devices of the account; unregistered: by the '
  'provider.';

create index device_tokens_user_id_idx on public.device_tokens (user_id, last_seen_at desc, id);
create unique index device_tokens_one_token on public.device_tokens (token);
create unique index device_tokens_one_endpoint on public.device_tokens (endpoint);

create trigger device_tokens_set_updated_at
  before update on public.device_tokens
  for each row execute function private.set_updated_at();

create function private.register_device_token(
  p_platform text,
  p_token text,
  p_p256dh text,
  p_auth text
)
  returns uuid
  language plpgsql
  security definer -- a device may have been another account's, whose row the caller does not see
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
  v_id uuid;
begin
  if p_platform = 'webpush' then
    insert into public.device_tokens as d (user_id, platform, endpoint, p256dh, auth)
    values (v_caller, p_platform, p_token, p_p256dh, p_auth)
    on conflict (endpoint) do update set
      user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth,
      last_seen_at = now(), retired_at = null, retired_reason = null
    returning d.id into v_id;
  else
    insert into public.device_tokens as d (user_id, platform, token, p256dh, auth)
    values (v_caller, p_platform, p_token, p_p256dh, p_auth)
    -- Whoever uses the device now gets its pushes, and who used it before gets none there.
    on conflict (token) do update set
      user_id = excluded.user_id, last_seen_at = now(), retired_at = null, retired_reason = null
    returning d.id into v_id;
  end if;
  -- One notification is one push a device: their number has an end.
  update public.device_tokens as d set retired_at = now(), retired_reason = 'replaced'
  where d.id in (
    select o.id from public.device_tokens as o
    where o.user_id = v_caller and o.retired_at is null and o.id <> v_id
    order by o.last_seen_at desc, o.id
    offset 19
  );
  return v_id;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A device is fcm with a token, or webpush with the https address of its endpoint, '
        || 'p256dh and auth';
end;
$$;
comment on function private.register_device_token(text, text, text, text) is
  'Body of public.register_device_token.';
revoke execute on function private.register_device_token(text, text, text, text)
  from public, anon, service_role;
grant execute on function private.register_device_token(text, text, text, text) to authenticated;

create function public.register_device_token(
  p_platform text,
  p_token text,
  p_p256dh text default null,
  p_auth text default null
)
  returns uuid
  language sql
  set search_path = ''
as $$
  select private.register_device_token(p_platform, p_token, p_p256dh, p_auth)
$$;
comment on function public.register_device_token(text, text, text, text) is
  'Registers the device for the caller''s pushes, at each start of the app: p_platform fcm with '
  'the registration token, or webpush with the endpoint as p_token, p_p256dh and p_auth. A device '
  'that was another account''s is the caller''s from then on; of more than 20 the newest count. '
  'Returns its id. Errors: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function public.register_device_token(text, text, text, text)
  from public, anon, service_role;
grant execute on function public.register_device_token(text, text, text, text) to authenticated;

create function private.remove_device_token(p_id uuid)
  returns void
  language plpgsql
  security definer -- device_tokens is written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.device_tokens as d set
    retired_at = coalesce(d.retired_at, now()),
    retired_reason = coalesce(d.retired_reason, 'removed')
  where d.id = p_id and d.user_id = v_caller;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No device with this id';
  end if;
end;
$$;
comment on function private.remove_device_token(uuid) is 'Body of public.remove_device_token.';
revoke execute on function private.remove_device_token(uuid) from public, anon, service_role;
grant execute on function private.remove_device_token(uuid) to authenticated;

create function public.remove_device_token(p_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.remove_device_token(p_id)
$$;
comment on function public.remove_device_token(uuid) is
  'Ends the caller''s pushes to a device, as on sign-out; removing it again changes nothing. '
  'Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.remove_device_token(uuid) from public, anon, service_role;
grant execute on function public.remove_device_token(uuid) to authenticated;

-- Addresses that are no use -----------------------------------------------------------------------

create table private.retired_addresses (
  user_id uuid not null references public.profiles (id) on delete cascade,
  channel text not null,
  address_sha256 bytea not null,
  reason text not null,
  retired_at timestamptz not null default now(),

  primary key (user_id, channel, address_sha256),
  constraint retired_addresses_channel_check check (channel in ('email', 'sms')),
  constraint retired_addresses_sha256_check check (octet_length(address_sha256) = 32),
  constraint retired_addresses_reason_check check (reason ~ '^[A-Za-z0-9_.:-]{1,64}$')
);
comment on table private.retired_addresses is
  'E-mail addresses and numbers to which nothing is sent to an account any more, because a '
  'provider said that they do not exist or want nothing. By digest, so that another address works '
  'again.';
comment on column private.retired_addresses.reason is
  'Code of the provider, or of what it reported.';
