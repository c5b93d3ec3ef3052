-- Notifications: what somebody is to know, kept until they read it. A row, its broadcast in the app
-- and its deliveries outside are written in the transaction of its cause.
-- Needs: 10_identity.sql, 30_notification_words.sql; 31_notification_preferences.sql and
-- 32_notification_deliveries.sql when these run. Policies: policies/30_notifications.sql.

create table public.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  kind text not null,
  title text not null,
  body text not null,
  data jsonb not null default '{}',
  in_app boolean not null default true,
  collapse_key text,
  read_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),

  constraint notifications_kind_check check (kind ~ '^[a-z]+(_[a-z]+)*$' and length(kind) <= 60),
  constraint notifications_title_check check (length(title) between 1 and 120),
  constraint notifications_body_check check (length(body) between 1 and 500),
  constraint notifications_data_check
    check (jsonb_typeof(data) = 'object' and pg_column_size(data) <= 1024)
);
comment on table public.notifications is
  'One thing that one account is told. Personal data; the words carry no health data, so that they '
  'may leave the app, and what it is about is named by ids.';
comment on column public.notifications.user_id is 'Whom it is for.';
comment on column public.notifications.kind is 'What it is about; a kind of notification_kinds.';
comment on column public.notifications.title is
  'In the language of the account when it was written.';
comment on column public.notifications.data is
  'Ids of what it is about, by name, for example {"chart_id": …}; nothing else.';
comment on column public.notifications.in_app is
  'False: the account wants this kind outside the app only, or has deleted it, and the row is there '
  'for its deliveries.';
comment on column public.notifications.collapse_key is
  'What it is one of, for a kind of which one unread notification is enough, for example the id of '
  'the conversation; null: it stands for itself.';
comment on column public.notifications.read_at is 'When it was marked as read; null: unread.';

create index notifications_user_id_idx on public.notifications (user_id, created_at desc, id desc);
create index notifications_unread_idx
  on public.notifications (user_id, created_at desc, id desc) where read_at is null;
create unique index notifications_one_unread on public.notifications (user_id, kind, collapse_key)
  where read_at is null and in_app and collapse_key is not null;

create trigger notifications_set_updated_at
  before update on public.notifications
  for each row execute function private.set_updated_at();

-- Writing ----------------------------------------------------------------------------------------

create function private.notify_many(p_user_ids uuid[], p_kind text, p_data jsonb[])
  returns void
  language plpgsql
  security definer -- nobody may insert into notifications or deliveries directly
  set search_path = ''
as $$
begin
  with kind as materialized (
    select k.kind, k.urgency, k.channels, k.required, k.collapse_key
    from private.notification_kinds as k
    where k.kind = p_kind
  ),
  words as materialized (
    select t.locale, t.title, t.body
    from private.notification_templates as t
    where t.kind = p_kind
  ),
  wanted as materialized (
    select
      gen_random_uuid() as id, o.user_id, o.data, o.data ->> k.collapse_key as collapse_key,
      k.urgency, p.timezone, h.has_email, h.has_phone, w.title, w.body, c.channels
    from unnest(p_user_ids, p_data) as o (user_id, data)
    join public.profiles as p on p.id = o.user_id
    join auth.users as u on u.id = p.id
    cross join kind as k
    cross join lateral (
      select u.email_confirmed_at is not null and u.email <> '' as has_email,
        u.phone_confirmed_at is not null and u.phone <> '' as has_phone
    ) as h
    cross join lateral (
      select t.title, t.body
      from words as t
      where t.locale in (p.locale, split_part(p.locale, '-', 1), 'en')
      order by t.locale = p.locale desc, t.locale <> 'en' desc
      limit 1
    ) as w
    cross join lateral (
      select array_agg(c.channel) as channels
      from unnest(array['in_app', 'email', 'sms', 'push']) as c (channel)
      left join public.notification_preferences as f
        on f.user_id = o.user_id and f.kind = p_kind and f.channel = c.channel
      where private.channel_is_on(c.channel, f.enabled, k.channels, k.required, h.has_email)
    ) as c
    where c.channels is not null
  ),
  told as (
    insert into public.notifications (id, user_id, kind, title, body, data, in_app, collapse_key)
    select
      w.id, w.user_id, p_kind, w.title, w.body, w.data, 'in_app' = any (w.channels), w.collapse_key
    from wanted as w
    -- In one order for all: of a kind of which one unread is enough the writers wait for each other.
    order by w.user_id, w.collapse_key
    on conflict (user_id, kind, collapse_key)
      where read_at is null and in_app and collapse_key is not null
      do nothing
    returning id
  )
  insert into public.notification_deliveries (
    notification_id, user_id, channel, device_token_id, is_urgent, next_attempt_at
  )
  select
    w.id, w.user_id, a.channel, a.device_token_id, w.urgency <> 'normal',
    coalesce(
      case
        when w.urgency = 'normal'
          then private.quiet_until(now(), f.quiet_from, f.quiet_to, w.timezone)
      end,
      now()
    )
  from told as t
  join wanted as w on w.id = t.id and w.channels && array['email', 'sms', 'push']
  cross join lateral (
    select 'email' as channel, null::uuid as device_token_id where w.has_email
    union all
    select 'sms', null where w.has_phone
    union all
    select 'push', d.id
    from public.device_tokens as d
    where d.user_id = w.user_id and d.retired_at is null
  ) as a
  left join public.notification_preferences as f
    on f.user_id = w.user_id and f.kind = p_kind and f.channel = a.channel
  where a.channel = any (w.channels);
end;
$$;
comment on function private.notify_many(uuid[], text, jsonb[]) is
  'Tells accounts something, each with the data at its place, in its language where there are words '
  'in it, else in English: writes the notification and one delivery for each channel and address '
  'outside the app that preferences and kind say. With private.notify the only way in, for definer '
  'functions only. An account that is gone is passed over.';
revoke execute on function private.notify_many(uuid[], text, jsonb[])
  from public, anon, authenticated, service_role;

create function private.notify(p_user_id uuid, p_kind text, p_data jsonb)
  returns void
  language plpgsql
  security definer -- nobody may insert into notifications or deliveries directly
  set search_path = ''
as $$
begin
  if not exists (
    select
    from public.profiles as p
    join auth.users as u on u.id = p.id
    join private.notification_kinds as k on k.kind = p_kind
    where p.id = p_user_id
  ) then
    raise exception 'Cannot notify: no such account, or no kind %', p_kind;
  end if;
  perform private.notify_many(array[p_user_id], p_kind, array[p_data]);
end;
$$;
comment on function private.notify(uuid, text, jsonb) is
  'Tells an account something: private.notify_many for one, but that it fails, and with it the '
  'transaction, when there is no such account or kind. For definer functions only.';

create function private.notify_administrators(p_kind text, p_data jsonb)
  returns void
  language sql
  security definer -- who is an administrator is not readable by the caller
  set search_path = ''
as $$
  select private.notify(p.id, p_kind, p_data)
  from public.profiles as p
  where p.role = 'admin' and p.is_active
  -- In one order for all: of a kind of which one unread is enough the writers wait for each other.
  order by p.id
$$;
comment on function private.notify_administrators(text, jsonb) is
  'Tells every active administrator something.';
revoke execute on function
  private.notify(uuid, text, jsonb), private.notify_administrators(text, jsonb)
from public, anon, authenticated, service_role;

-- In the app -------------------------------------------------------------------------------------

create function private.broadcast_notification()
  returns trigger
  language plpgsql
  security definer -- whoever causes a notification may not send to the channels of others
  set search_path = ''
as $$
begin
  perform realtime.send(
    to_jsonb(new),
    case tg_op when 'INSERT' then 'notification' else 'notification_read' end,
    'user:' || new.user_id,
    true
  );
  return null;
end;
$$;
comment on function private.broadcast_notification() is
  'Trigger: sends a notification to the private channel user:<id> when its transaction commits, as '
  'event notification, and as notification_read when it is marked as read; the payload is the row.';
revoke execute on function private.broadcast_notification()
  from public, anon, authenticated, service_role;

create trigger notifications_broadcast_insert
  after insert on public.notifications
  for each row when (new.in_app) execute function private.broadcast_notification();
create trigger notifications_broadcast_read
  after update of read_at on public.notifications
  for each row when (new.in_app and old.read_at is null and new.read_at is not null)
  execute function private.broadcast_notification();

-- Reading ----------------------------------------------------------------------------------------

create function private.mark_notification_read(p_id uuid)
  returns void
  language plpgsql
  security definer -- notifications is written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.notifications as n set read_at = now()
  where n.id = p_id and n.user_id = v_caller and n.in_app and n.read_at is null;
  if found then
    return;
  end if;
  perform 1 from public.notifications as n where n.id = p_id and n.user_id = v_caller and n.in_app;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No notification with this id';
  end if;
end;
$$;
comment on function private.mark_notification_read(uuid) is
  'Body of public.mark_notification_read.';
revoke execute on function private.mark_notification_read(uuid) from public, anon, service_role;
grant execute on function private.mark_notification_read(uuid) to authenticated;

create function public.mark_notification_read(p_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.mark_notification_read(p_id)
$$;
comment on function public.mark_notification_read(uuid) is
  'Marks one of the caller''s notifications as read; one that was read keeps its time. Errors: '
  'PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.mark_notification_read(uuid) from public, anon, service_role;
grant execute on function public.mark_notification_read(uuid) to authenticated;

create function private.mark_all_notifications_read()
  returns integer
  language plpgsql
  security definer -- notifications is written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
  v_count integer;
begin
  update public.notifications as n set read_at = now()
  where n.user_id = v_caller and n.in_app and n.read_at is null;
  get diagnostics v_count = row_count;
  return v_count;
end;
$$;
comment on function private.mark_all_notifications_read() is
  'Body of public.mark_all_notifications_read.';
revoke execute on function private.mark_all_notifications_read() from public, anon, service_role;
grant execute on function private.mark_all_notifications_read() to authenticated;

create function public.mark_all_notifications_read()
  returns integer
  language sql
  set search_path = ''
as $$
  select private.mark_all_notifications_read()
$$;
comment on function public.mark_all_notifications_read() is
  'Marks all of the caller''s unread notifications as read and answers how many there were. '
  'Errors: PT401 unauthenticated.';
revoke execute on function public.mark_all_notifications_read() from public, anon, service_role;
grant execute on function public.mark_all_notifications_read() to authenticated;

create function public.list_notifications(
  p_limit integer default 20,
  p_cursor text default null,
  p_unread_only boolean default false
)
  returns table (
    id uuid,
    kind text,
    title text,
    body text,
    data jsonb,
    read_at timestamptz,
    created_at timestamptz,
    unread_count bigint,
    cursor text
  )
  language plpgsql
  stable
  set search_path = ''
as $$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'uuid']);
begin
  perform private.require_page_size(p_limit);
  return query
    select
      n.id, n.kind, n.title, n.body, n.data, n.read_at, n.created_at,
      (
        select count(*) from public.notifications as u
        where u.user_id = v_caller and u.read_at is null
      ),
      private.make_cursor(jsonb_build_array(n.created_at, n.id))
    from public.notifications as n
    where n.user_id = v_caller
      and (not coalesce(p_unread_only, false) or n.read_at is null)
      and (n.created_at, n.id) < (
        coalesce((v_after ->> 0)::timestamptz, 'infinity'),
        coalesce((v_after ->> 1)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by n.created_at desc, n.id desc
    limit p_limit;
end;
$$;
comment on function public.list_notifications(integer, text, boolean) is
  'The caller''s notifications, newest first; p_unread_only leaves out those that were read. Each '
  'row brings the number of all that are unread. p_limit 1 to 100; p_cursor is the cursor of the '
  'last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';
revoke execute on function public.list_notifications(integer, text, boolean)
  from public, anon, service_role;
grant execute on function public.list_notifications(integer, text, boolean) to authenticated;

-- Deleting ---------------------------------------------------------------------------------------

create function private.delete_notification(p_id uuid)
  returns void
  language plpgsql
  security definer -- notifications and their deliveries are written by these functions only
  set search_path = ''
as $$
declare
  v_caller constant uuid := private.require_live_session();
begin
  perform 1 from public.notifications as n
    where n.id = p_id and n.user_id = v_caller and n.in_app
    for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No notification with this id';
  end if;
  -- All of them, in the order in which the worker locks those it finishes.
  perform 1 from public.notification_deliveries as d
    where d.notification_id = p_id
    order by d.id
    for update;
  -- Whoever has got into an account must not be able to stop what warns its owner: that is out of
  -- sight, and there until it is sent.
  update public.notifications as n set in_app = false
  where n.id = p_id and exists (
    select from public.notification_deliveries as d
    where d.notification_id = p_id and d.is_urgent and d.status in ('pending', 'sending')
  );
  if found then
    return;
  end if;
  update public.notification_deliveries as d set status = 'suppressed', last_error = 'deleted'
  where d.notification_id = p_id and d.status = 'pending';
  delete from public.notifications as n where n.id = p_id;
end;
$$;
comment on function private.delete_notification(uuid) is 'Body of public.delete_notification.';
revoke execute on function private.delete_notification(uuid) from public, anon, service_role;
grant execute on function private.delete_notification(uuid) to authenticated;

create function public.delete_notification(p_id uuid)
  returns void
  language sql
  set search_path = ''
as $$
  select private.delete_notification(p_id)
$$;
comment on function public.delete_notification(uuid) is
  'Deletes one of the caller''s notifications; what of it has not been sent is not sent any more, '
  'unless it is about security or an emergency. '
  'Errors: PT401 unauthenticated, PT404 not_found.';
revoke execute on function public.delete_notification(uuid) from public, anon, service_role;
grant execute on function public.delete_notification(uuid) to authenticated;
