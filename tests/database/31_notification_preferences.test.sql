-- What an account wants of notifications: who sets it, what cannot be switched off, what it does to
-- where a notification goes, and when quiet hours end. Pia sets preferences; omar is somebody else.
begin;
select plan(154);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('ada', 'admin');
select tests.make_user('fay', p_anonymous => true);

-- Who --------------------------------------------------------------------------------------------

insert into public.notification_preferences (user_id, kind, channel, enabled)
values (tests.id('pia'), 'care_ended', 'email', false), (tests.id('omar'), 'care_ended', 'push', true);

select is(
  tests.attempt(actor, 'select channel from public.notification_preferences', standing), outcome,
  format('reading preferences: %s, %s', actor, standing)
)
from (values
  ('pia', 'live', 'email'), ('omar', 'live', 'push'), ('ada', 'live', 'nothing'),
  ('pia', 'signed out', 'nothing'), ('pia', 'locked', 'nothing'), ('anon', 'live', '42501 grant'),
  ('service_role', 'live', '42501 grant'), ('notification_worker', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(
  tests.attempt(actor, $$
    insert into public.notification_preferences (kind, channel, enabled)
    values ('care_requested', 'email', false)
  $$, standing), outcome, format('setting a preference: %s, %s', actor, standing)
)
from (values
  ('pia', 'live', '1'), ('omar', 'live', '1'), ('fay', 'live', '1'),
  ('pia', 'signed out', '42501 policy'), ('pia', 'locked', '42501 policy'),
  ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant'),
  ('notification_worker', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt('omar', $$
  insert into public.notification_preferences (user_id, kind, channel, enabled)
  values (tests.id('pia'), 'care_requested', 'email', false)
$$), '42501 policy', 'nobody sets a preference for another');
select is(tests.attempt(actor, statement, standing), outcome, format('%s, %s: %s', actor, standing, statement))
from (values
  ('update public.notification_preferences set enabled = not enabled'),
  -- Reads nothing, so that no policy but the one for updates is asked.
  ($$update public.notification_preferences set detail = 'full'$$),
  ('delete from public.notification_preferences')
) as s (statement)
cross join (values
  ('pia', 'live', '1'), ('omar', 'live', '1'), ('ada', 'live', '0'), ('pia', 'signed out', '0'),
  ('pia', 'locked', '0'), ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(
  tests.attempt('pia', format(
    'update public.notification_preferences set user_id = %L', tests.id('omar')
  )),
  '42501 policy', 'nobody gives a preference away'
);
select is(tests.attempt('pia', $$
  insert into public.notification_preferences (kind, channel, enabled) values ('care_ended', 'email', true)
  on conflict (user_id, kind, channel) do update set user_id = excluded.user_id, kind = excluded.kind,
    channel = excluded.channel, enabled = excluded.enabled
$$), '1', 'a preference may be set again by an upsert');

-- What must arrive -------------------------------------------------------------------------------

select is(
  tests.attempt('pia', format(
    'insert into public.notification_preferences (kind, channel, enabled) values (%L, %L, %L)',
    kind, channel, enabled
  )),
  outcome, format('%s by %s: %s', kind, channel, enabled)
)
from (values
  ('of_no_kind', 'email', true, 'PT400 invalid_request'),
  ('of_no_kind', 'email', false, 'PT400 invalid_request'),
  ('emergency_access', 'in_app', false, 'PT403 forbidden'),
  ('emergency_access', 'email', false, 'PT403 forbidden'),
  ('emergency_access', 'email', true, '1'), ('emergency_access', 'sms', false, '1'),
  ('emergency_access', 'push', false, '1'),
  ('emergency_review_due', 'in_app', false, 'PT403 forbidden'),
  ('emergency_review_due', 'email', false, 'PT403 forbidden'),
  ('new_sign_in', 'in_app', false, 'PT403 forbidden'),
  ('new_sign_in', 'email', false, 'PT403 forbidden'), ('new_sign_in', 'push', false, '1'),
  ('mfa_changed', 'in_app', false, 'PT403 forbidden'),
  ('mfa_changed', 'email', false, 'PT403 forbidden'), ('mfa_changed', 'sms', false, '1'),
  ('new_message', 'in_app', false, '1'), ('new_message', 'push', false, '1'),
  ('chart_opened', 'in_app', true, '1'), ('care_requested', 'in_app', false, '1')
) as m (kind, channel, enabled, outcome);
select is(
  tests.attempt('pia', $$
    update public.notification_preferences set kind = 'mfa_changed' where channel = 'email'
  $$), 'PT403 forbidden', 'nor by changing another preference'
);
select is_empty(
  $$
    select k.kind from private.notification_kinds as k
    where (k.urgency <> 'normal') <> ('in_app' = any (k.required))
      or (k.urgency <> 'normal') <> (cardinality(k.required) >= 2)
      or not k.required <@ k.channels
  $$,
  'of what is urgent the app and a channel outside are required, of nothing else anything'
);

-- What a preference does -------------------------------------------------------------------------

create function pg_temp.goes_to(p_handle text, p_kind text, p_wants jsonb default '{}')
  returns text language plpgsql as $$
declare
  v_answer text;
begin
  delete from public.notification_preferences where user_id = tests.id(p_handle);
  delete from public.notification_deliveries;
  delete from public.notifications;
  insert into public.notification_preferences (user_id, kind, channel, enabled)
  select tests.id(p_handle), p_kind, key, value::boolean from jsonb_each_text(p_wants);
  perform private.notify(tests.id(p_handle), p_kind, '{"conversation_id": "c"}');
  select string_agg(channel, ', ' order by channel collate "C") into v_answer
  from (
    select case when in_app then 'in_app' else 'row' end as channel from public.notifications
    union all
    select channel from public.notification_deliveries
  ) as c;
  return coalesce(v_answer, 'nowhere');
end
$$;
update auth.users set phone = '919845000117', phone_confirmed_at = now() where id = tests.id('pia');
select tests.act_as('pia');
select public.register_device_token('fcm', repeat('p', 30) || n) from generate_series(1, 2) as n;
select tests.act_as_owner();
select is(pg_temp.goes_to(handle, kind, wants::jsonb), outcome, format('%s, %s, %s', handle, kind, wants))
from (values
  ('pia', 'care_requested', '{}', 'email, in_app, push, push'),
  ('pia', 'care_requested', '{"sms": true}', 'email, in_app, push, push, sms'),
  ('pia', 'care_requested', '{"email": false}', 'in_app, push, push'),
  ('pia', 'care_requested', '{"push": false}', 'email, in_app'),
  ('pia', 'care_requested', '{"in_app": false}', 'email, push, push, row'),
  ('pia', 'care_requested', '{"in_app": false, "email": false, "push": false}', 'nowhere'),
  ('pia', 'new_message', '{}', 'in_app, push, push'),
  ('pia', 'new_message', '{"email": true}', 'email, in_app, push, push'),
  ('pia', 'chart_opened', '{}', 'nowhere'),
  ('pia', 'chart_opened', '{"in_app": true}', 'in_app'),
  ('pia', 'chart_opened', '{"email": true}', 'email, row'),
  ('pia', 'emergency_access', '{}', 'email, in_app, push, push, sms'),
  ('pia', 'emergency_access', '{"sms": false, "push": false}', 'email, in_app'),
  ('pia', 'delivery_dead', '{}', 'in_app'),
  ('omar', 'care_requested', '{"sms": true}', 'email, in_app'),
  ('fay', 'care_requested', '{}', 'in_app')
) as m (handle, kind, wants, outcome);
update auth.users set email_confirmed_at = null where id = tests.id('pia');
select is(pg_temp.goes_to('pia', kind, wants::jsonb), outcome, format('no e-mail: %s, %s', kind, wants))
from (values
  ('care_requested', '{"push": false}'::jsonb, 'in_app'),
  ('new_sign_in', '{"push": false}', 'in_app, sms'),
  ('emergency_access', '{"push": false, "sms": false}', 'in_app, sms')
) as m (kind, wants, outcome);
update auth.users set phone_confirmed_at = null where id = tests.id('pia');
select is(pg_temp.goes_to('pia', 'emergency_access'), 'in_app, push, push', 'nor a number that is confirmed');

-- Quiet hours --------------------------------------------------------------------------------------

select is(
  private.quiet_until(at, from_time, to_time, zone), quiet_until, format('%s in %s: %s', at, zone, what)
)
from (values
  (timestamptz '2026-06-10 10:00Z', time '13:00', time '14:00', 'UTC', null::timestamptz, 'before'),
  ('2026-06-10 12:59:59Z', '13:00', '14:00', 'UTC', null, 'a second before'),
  ('2026-06-10 13:00Z', '13:00', '14:00', 'UTC', '2026-06-10 14:00Z', 'the beginning is quiet'),
  ('2026-06-10 13:59:59Z', '13:00', '14:00', 'UTC', '2026-06-10 14:00Z', 'the last second'),
  ('2026-06-10 14:00Z', '13:00', '14:00', 'UTC', null, 'the end is not quiet'),
  ('2026-06-10 21:59Z', '22:00', '07:00', 'UTC', null, 'before the night'),
  ('2026-06-10 22:00Z', '22:00', '07:00', 'UTC', '2026-06-11 07:00Z', 'the evening'),
  ('2026-06-11 00:00Z', '22:00', '07:00', 'UTC', '2026-06-11 07:00Z', 'midnight'),
  ('2026-06-11 06:59Z', '22:00', '07:00', 'UTC', '2026-06-11 07:00Z', 'the morning'),
  ('2026-06-11 07:00Z', '22:00', '07:00', 'UTC', null, 'after the night'),
  ('2026-06-10 23:00Z', '22:00', '24:00', 'UTC', '2026-06-11 00:00Z', 'until midnight'),
  ('2026-12-31 23:00Z', '22:00', '07:00', 'UTC', '2027-01-01 07:00Z', 'the last night of a year'),
  ('2026-06-10 18:00Z', '22:00', '07:00', 'Asia/Kolkata', '2026-06-11 01:30Z', 'half past eleven at night'),
  ('2026-06-10 16:00Z', '22:00', '07:00', 'Asia/Kolkata', null, 'half past nine'),
  ('2026-06-10 18:30Z', '22:00', '07:00', 'Asia/Kathmandu', '2026-06-11 01:15Z', 'three quarters'),
  ('2026-06-10 08:00Z', '22:00', '07:00', 'Pacific/Kiritimati', '2026-06-10 17:00Z', 'tomorrow already'),
  ('2026-06-10 12:00Z', '22:00', '07:00', 'Pacific/Marquesas', '2026-06-10 16:30Z',
    'half past two, in a zone of half hours'),
  -- 8 March 2026: from 02:00 to 03:00. The night is an hour shorter.
  ('2026-03-08 04:00Z', '22:00', '07:00', 'America/New_York', '2026-03-08 11:00Z', 'clock put forward'),
  ('2026-03-08 06:50Z', '22:00', '02:30', 'America/New_York', '2026-03-08 07:30Z', 'an end that is skipped'),
  ('2026-03-08 07:00Z', '22:00', '02:30', 'America/New_York', null, 'once it is skipped the clock is past it'),
  ('2026-03-08 07:10Z', '02:30', '06:00', 'America/New_York', '2026-03-08 10:00Z', 'a beginning that is skipped'),
  -- 1 November 2026: from 02:00 to 01:00. The night is an hour longer.
  ('2026-11-01 03:00Z', '22:00', '07:00', 'America/New_York', '2026-11-01 12:00Z', 'clock put back'),
  ('2026-11-01 04:00Z', '22:00', '01:30', 'America/New_York', '2026-11-01 06:30Z', 'an end that comes twice'),
  ('2026-11-01 05:40Z', '22:00', '01:30', 'America/New_York', null, 'after its first time'),
  ('2026-11-01 06:10Z', '22:00', '01:30', 'America/New_York', '2026-11-01 06:30Z', 'before its second time'),
  ('2026-11-01 06:30Z', '22:00', '01:30', 'America/New_York', null, 'after its second time'),
  -- Half an hour, and in the other half of the world.
  ('2026-04-04 14:00Z', '23:00', '06:00', 'Australia/Lord_Howe', '2026-04-04 19:30Z', 'put back by half an hour'),
  -- A day that there was not.
  ('2011-12-30 09:00Z', '22:00', '07:00', 'Pacific/Apia', '2011-12-30 17:00Z', 'a day that was left out')
) as t (at, from_time, to_time, zone, quiet_until, what);
select is(private.quiet_until(now(), null, null, 'UTC'), null, 'no quiet hours, no end');
select is_empty(
  $$
    with moment as (
      select z.zone, w.from_time, w.to_time, at,
        private.quiet_until(at, w.from_time, w.to_time, z.zone) as quiet_until
      from unnest(array[
        'America/New_York', 'Europe/Dublin', 'Africa/Casablanca', 'Asia/Tehran', 'Asia/Kolkata',
        'Australia/Lord_Howe', 'America/St_Johns', 'Antarctica/Troll', 'America/Santiago'
      ]) as z (zone)
      cross join (values
        (time '22:00', time '07:00'), ('23:30', '01:30'), ('00:30', '02:30'), ('13:00', '14:00')
      ) as w (from_time, to_time)
      cross join lateral generate_series(
        timestamptz '2026-01-01 00:07Z', '2027-01-01 00:00Z', '53 minutes'
      ) as at
      where extract(month from at) in (2, 3, 4, 9, 10, 11)
    )
    select zone, from_time, to_time, at, quiet_until from moment
    where quiet_until <= at or quiet_until > at + interval '24 hours'
      or private.quiet_until(quiet_until, from_time, to_time, zone) is not null
  $$,
  'an end is always ahead, within a day, and no quiet moment'
);

update public.profiles set timezone = 'Asia/Kolkata' where id = tests.id('omar');
create function pg_temp.waits(p_kind text, p_from interval, p_to interval)
  returns interval language plpgsql as $$
declare
  v_clock constant time := (now() at time zone 'Asia/Kolkata')::time;
  v_wait interval;
begin
  delete from public.notification_preferences;
  delete from public.notification_deliveries;
  insert into public.notification_preferences (user_id, kind, channel, quiet_from, quiet_to)
  values (tests.id('omar'), p_kind, 'email', v_clock + p_from, v_clock + p_to);
  perform private.notify(tests.id('omar'), p_kind, '{}');
  select next_attempt_at - now() into v_wait from public.notification_deliveries;
  return v_wait;
end
$$;
select is(pg_temp.waits(kind, from_now, to_now), waits, format('%s, quiet from %s to %s', kind, from_now, to_now))
from (values
  ('care_ended', interval '-1 hour', interval '3 hours', interval '3 hours'),
  ('care_ended', '1 hour', '3 hours', '0'),
  ('care_ended', '-2 hours', '-1 hour', '0'),
  ('new_sign_in', '-1 hour', '3 hours', '0'),
  ('emergency_access', '-1 hour', '3 hours', '0')
) as t (kind, from_now, to_now, waits);

-- Devices ----------------------------------------------------------------------------------------

delete from public.device_tokens;
select is(tests.attempt(actor, $$
  select public.register_device_token('fcm', repeat('x', 30)) is not null
$$, standing), outcome, format('registering a device: %s, %s', actor, standing))
from (values
  ('pia', 'live', 'true'), ('fay', 'live', 'true'), ('pia', 'signed out', 'PT401 unauthenticated'),
  ('pia', 'locked', 'PT401 unauthenticated'), ('anon', 'live', '42501 grant'),
  ('service_role', 'live', '42501 grant'), ('notification_worker', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt('pia', format('select public.register_device_token(%s) is not null', arguments)),
  outcome, arguments)
from (values
  ($$'webpush', 'https://push.example.com/a/b?c=1', repeat('A', 87), repeat('B', 22)$$, 'true'),
  ($$'webpush', 'http://push.example.com/a', repeat('A', 87), repeat('B', 22)$$, 'PT400 invalid_request'),
  ($$'webpush', 'https://push.example.com/a'$$, 'PT400 invalid_request'),
  ($$'webpush', null, repeat('A', 87), repeat('B', 22)$$, 'PT400 invalid_request'),
  ($$'fcm', repeat('x', 30), 'A', 'B'$$, 'PT400 invalid_request'),
  ($$'fcm', null$$, 'PT400 invalid_request'),
  ($$'apns', repeat('x', 30)$$, 'PT400 invalid_request'),
  ($$null, repeat('x', 30)$$, 'PT400 invalid_request')
) as t (arguments, outcome);

create temp table device (id uuid);
grant all on device to public;
select tests.act_as('omar');
insert into device select public.register_device_token('fcm', repeat('d', 30));
select tests.act_as_owner();
update public.device_tokens set last_seen_at = '2026-01-01', retired_at = now(), retired_reason = 'unregistered';
select private.notify(tests.id('omar'), 'care_ended', '{}');
select is((select count(*) from public.notification_deliveries where channel = 'push'), 0::bigint,
  'a device that is retired gets nothing');
select tests.act_as('omar');
select is(public.register_device_token('fcm', repeat('d', 30)), id, 'one device is one row') from device;
select tests.act_as_owner();
select results_eq('select last_seen_at = now(), retired_at, retired_reason from public.device_tokens',
  $$ values (true, null::timestamptz, null) $$, 'and in use once more');
select is(tests.attempt(actor, 'select id = any (table device) from public.device_tokens', standing), outcome,
  format('reading devices: %s, %s', actor, standing))
from (values
  ('omar', 'live', 'true'), ('pia', 'live', 'nothing'), ('ada', 'live', 'nothing'),
  ('omar', 'signed out', 'nothing'), ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt(actor, 'select public.remove_device_token(id) from device', standing), outcome,
  format('removing a device: %s, %s', actor, standing))
from (values
  ('omar', 'live', 'done'), ('pia', 'live', 'PT404 not_found'), ('ada', 'live', 'PT404 not_found'),
  ('omar', 'signed out', 'PT401 unauthenticated'), ('anon', 'live', '42501 grant')
) as m (actor, standing, outcome);

select private.notify(tests.id('omar'), 'care_ended', '{}');
select tests.act_as('pia');
select is(public.register_device_token('fcm', repeat('d', 30)), id, 'pia signs in on omar''s device') from device;
select tests.act_as_owner();
select is((select user_id from public.device_tokens), tests.id('pia'), 'it is hers');
select results_eq(
  $$ select channel from private.claim_deliveries(100, 60) where channel = 'push' $$,
  array[]::text[], 'and what was on its way to omar does not go there'
);
select results_eq(
  $$ select status, last_error from public.notification_deliveries where channel = 'push' $$,
  $$ values ('suppressed', 'no_address') $$, 'it is suppressed'
);
select tests.act_as('pia');
select lives_ok('select public.remove_device_token(id) from device', 'pia removes it');
select lives_ok('select public.remove_device_token(id) from device', 'and again');
select tests.act_as_owner();
select results_eq('select retired_at = now(), retired_reason from public.device_tokens',
  $$ values (true, 'removed') $$, 'it is retired');

select tests.act_as('pia');
select public.register_device_token(
  'webpush', 'https://push.example.com/' || n, repeat('A', 87), repeat('B', 22)
) from generate_series(1, 21) as n;
select public.register_device_token(
  'webpush', 'https://push.example.com/21', repeat('C', 87), repeat('D', 22)
);
select tests.act_as_owner();
select results_eq(
  $$ select retired_reason, count(*) from public.device_tokens where platform = 'webpush' group by 1 order by 1 $$,
  $$ values ('replaced', 1::bigint), (null, 20) $$, 'of more than twenty the newest count'
);
select results_eq(
  $$ select left(p256dh, 1), left(auth, 1), retired_at from public.device_tokens
    where endpoint = 'https://push.example.com/21' $$,
  $$ values ('C', 'D', null::timestamptz) $$, 'a browser''s newest keys count, and it is in use'
);

select * from finish();
rollback;
