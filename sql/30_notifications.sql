-- Notifications: what somebody is to know, kept until they read it. A row is written in the
-- transaction of its cause; delivery outside the app comes later and starts from these rows.
-- Needs: 10_identity.sql. Policies: policies/30_notifications.sql.

create table public.notifications (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.profiles (id) on delete cascade,
  kind text not null,
  title text not null,
  body text not null,
  data jsonb not null default '{}',
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
comment on column public.notifications.kind is 'What it is about; a kind of notification_templates.';
comment on column public.notifications.title is 'In the language of the account when it was written.';
comment on column public.notifications.data is
  'Ids of what it is about, by name, for example {"chart_id": …}; nothing else.';
comment on column public.notifications.read_at is 'When it was marked as read; null: unread.';

create index notifications_user_id_idx on public.notifications (user_id, created_at desc, id desc);
create index notifications_unread_idx
  on public.notifications (user_id, created_at desc, id desc) where read_at is null;

create trigger notifications_set_updated_at
  before update on public.notifications
  for each row execute function private.set_updated_at();

-- Words ------------------------------------------------------------------------------------------

-- A view of constants: the words travel with the schema, and no data migration can forget them.
create view private.notification_templates as
  select t.kind, t.locale, t.title, t.body
  from (values
    (
      'emergency_access', 'en', 'Your chart was opened in an emergency',
      'A doctor has opened your chart in an emergency and said why. Every look into it is in your '
        || 'access log, an administrator will review it, and you may object.'
    ),
    (
      'emergency_access', 'hi', 'आपात स्थिति में आपका चार्ट खोला गया',
      'एक डॉक्टर ने आपात स्थिति में आपका चार्ट खोला है और कारण बताया है। हर पहुँच आपके एक्सेस लॉग में '
        || 'दर्ज है, एक प्रशासक इसकी समीक्षा करेगा, और आप आपत्ति कर सकते हैं।'
    ),
    (
      'emergency_review_due', 'en', 'An emergency access waits for review',
      'A doctor has opened a chart in an emergency. Please review whether it was justified.'
    ),
    (
      'emergency_review_due', 'hi', 'एक आपातकालीन पहुँच समीक्षा की प्रतीक्षा में है',
      'एक डॉक्टर ने आपात स्थिति में एक चार्ट खोला है। कृपया समीक्षा करें कि यह उचित था या नहीं।'
    ),
    (
      'emergency_reviewed', 'en', 'An emergency access was reviewed',
      'An administrator has reviewed an emergency access that concerns you. The outcome is with it.'
    ),
    (
      'emergency_reviewed', 'hi', 'एक आपातकालीन पहुँच की समीक्षा हुई',
      'एक प्रशासक ने आपसे जुड़ी एक आपातकालीन पहुँच की समीक्षा की है। परिणाम उसी के साथ है।'
    ),
    (
      'emergency_objection', 'en', 'A patient objects to an emergency access',
      'A patient has objected to an emergency access to their chart. The objection is with it.'
    ),
    (
      'emergency_objection', 'hi', 'एक मरीज़ ने आपातकालीन पहुँच पर आपत्ति की',
      'एक मरीज़ ने अपने चार्ट की आपातकालीन पहुँच पर आपत्ति की है। आपत्ति उसी के साथ है।'
    )
  ) as t (kind, locale, title, body);
comment on view private.notification_templates is
  'The words of every kind of notification by language (BCP 47). Each kind has English; no text says '
  'anything of somebody''s health, nor a name.';

-- Writing ----------------------------------------------------------------------------------------

create function private.notify(p_user_id uuid, p_kind text, p_data jsonb)
  returns void
  language plpgsql
  security definer -- nobody may insert into notifications directly
  set search_path = ''
as $$
begin
  insert into public.notifications (user_id, kind, title, body, data)
  select p.id, t.kind, t.title, t.body, p_data
  from public.profiles as p
  join private.notification_templates as t
    on t.kind = p_kind and t.locale in (p.locale, split_part(p.locale, '-', 1), 'en')
  where p.id = p_user_id
  -- hi-IN before hi before en.
  order by t.locale = p.locale desc, t.locale <> 'en' desc
  limit 1;
  if not found then
    raise exception 'Cannot notify: no such account, or no words for the kind %', p_kind;
  end if;
end;
$$;
comment on function private.notify(uuid, text, jsonb) is
  'Tells an account something, in its language where there are words in it, else in English. The '
  'only way in, for definer functions; it fails, and with it the transaction, when it cannot.';

create function private.notify_administrators(p_kind text, p_data jsonb)
  returns void
  language sql
  security definer -- who is an administrator is not readable by the caller
  set search_path = ''
as $$
  select private.notify(p.id, p_kind, p_data)
  from public.profiles as p
  where p.role = 'admin' and p.is_active
$$;
comment on function private.notify_administrators(text, jsonb) is
  'Tells every active administrator something.';
revoke execute on function
  private.notify(uuid, text, jsonb), private.notify_administrators(text, jsonb)
from public, anon, authenticated, service_role;

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
  where n.id = p_id and n.user_id = v_caller and n.read_at is null;
  if found then
    return;
  end if;
  perform 1 from public.notifications as n where n.id = p_id and n.user_id = v_caller;
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
  'Marks one of the caller''s notifications as read; one that was read keeps its time. Errors: PT401 '
  'unauthenticated, PT404 not_found.';
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
  where n.user_id = v_caller and n.read_at is null;
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
  'Marks all of the caller''s unread notifications as read and answers how many there were. Errors: '
  'PT401 unauthenticated.';
revoke execute on function public.mark_all_notifications_read() from public, anon, service_role;
grant execute on function public.mark_all_notifications_read() to authenticated;
