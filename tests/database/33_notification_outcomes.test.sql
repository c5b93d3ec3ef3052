-- What became of deliveries: outcomes, delays, giving up, receipts in any order, and what
-- administrators do. Omar is told things; ada and bea are administrators.
begin;
select plan(92);

select tests.make_user('omar'), tests.make_user('ada', 'admin'), tests.make_user('bea', 'admin');
select tests.act_as('omar');
select public.register_device_token('fcm', repeat('o', 30));
select tests.act_as_owner();
update auth.users set phone = '919845000117', phone_confirmed_at = now() where id = tests.id('omar');

insert into public.notification_preferences (user_id, kind, channel)
values (tests.id('ada'), 'delivery_dead', 'email');

-- One delivery in hand, named by tests.id('delivery').
create function pg_temp.in_hand(p_channel text default 'email', p_kind text default 'emergency_access', p_failures integer default 0)
  returns void language plpgsql as $$
begin
  delete from public.notification_deliveries;
  delete from public.notifications;
  delete from private.retired_addresses;
  delete from private.delivery_receipts;
  update public.device_tokens set retired_at = null, retired_reason = null, last_seen_at = now();
  perform private.notify(case p_kind when 'delivery_dead' then tests.id('ada') else tests.id('omar') end, p_kind, '{}');
  delete from public.notification_deliveries where channel <> p_channel;
  update public.notification_deliveries set id = tests.id('delivery'), attempts = p_failures, failures = p_failures;
  perform id from private.claim_deliveries(1, 60);
end
$$;
create function pg_temp.finish(p_outcome jsonb) returns text language plpgsql as $$
declare
  v_count integer;
  v_token uuid := (select claim_token from public.notification_deliveries where id = tests.id('delivery'));
begin
  perform tests.act_as_role('notification_worker');
  v_count := private.finish_deliveries(jsonb_build_array(
    jsonb_build_object('id', tests.id('delivery'), 'claim_token', v_token) || p_outcome
  ));
  perform tests.act_as_owner();
  return v_count || ': ' || (
    select concat_ws(' ', d.status, d.attempts, d.failures, d.provider, d.provider_message_id, d.last_error,
      case when d.sent_at = now() then 'sent now' end, case when d.claim_token is not null then 'held' end)
    from public.notification_deliveries as d where d.id = tests.id('delivery')
  );
end
$$;
create function pg_temp.receipt(p_event text, p_status text, p_code text default null, p_message text default 'm-1')
  returns boolean language plpgsql as $$
declare
  v_new boolean;
begin
  perform tests.act_as_role('notification_worker');
  v_new := private.record_receipt('resend', p_event, p_message, p_status, p_code);
  perform tests.act_as_owner();
  return v_new;
end
$$;
create function pg_temp.retired() returns text language sql as $$
  select coalesce(string_agg(what, ', ' order by what), 'none') from (
    select concat_ws(' ', r.channel, r.reason) as what from private.retired_addresses as r
    where r.address_sha256 in (sha256('omar@example.com'), sha256('919845000117'))
    union all
    select concat_ws(' ', 'device', t.retired_reason) from public.device_tokens as t where t.retired_at is not null
  ) as w
$$;

-- Outcomes -----------------------------------------------------------------------------------------

create function pg_temp.outcome(p_outcome jsonb, p_channel text default 'email', p_failures integer default 0)
  returns text language plpgsql as $$
begin
  perform pg_temp.in_hand(p_channel, p_failures => p_failures);
  return concat_ws('; ', pg_temp.finish(p_outcome), pg_temp.retired());
end
$$;
select is(pg_temp.outcome(outcome::jsonb, channel, failures), became, format('%s after %s: %s', channel, failures, outcome))
from (values
  ('email', 0, '{"outcome": "sent", "provider": "resend", "provider_message_id": "m-1"}',
    '1: sent 1 0 resend m-1 sent now; none'),
  ('email', 0, '{"outcome": "sent", "provider": "smtp", "error_code": "x"}', '1: sent 1 0 smtp sent now; none'),
  ('email', 0, '{"outcome": "retry", "provider": "resend", "error_code": "429"}', '1: pending 1 1 resend 429; none'),
  ('email', 4, '{"outcome": "retry", "error_code": "500"}', '1: pending 5 5 500; none'),
  ('email', 5, '{"outcome": "retry", "error_code": "500"}', '1: dead 6 6 500; none'),
  ('email', 0, '{"outcome": "retry"}', '1: pending 1 1 unknown; none'),
  ('email', 0, '{"outcome": "permanent", "error_code": "validation_error"}', '1: failed 1 0 validation_error; none'),
  ('email', 0, '{"outcome": "permanent", "error_code": "no such <a@b.c>", "retire_address": true}',
    '1: failed 1 0 no_such_a_b.c_; email no_such_a_b.c_'),
  ('sms', 0, '{"outcome": "permanent", "error_code": "21211", "retire_address": true}', '1: failed 1 0 21211; sms 21211'),
  ('push', 0, '{"outcome": "permanent", "error_code": "UNREGISTERED", "retire_address": true}',
    '1: failed 1 0 UNREGISTERED; device unregistered'),
  ('push', 0, '{"outcome": "permanent", "error_code": "UNREGISTERED"}', '1: failed 1 0 UNREGISTERED; none')
) as t (channel, failures, outcome, became);

select is(tests.attempt('notification_worker', format('select private.finish_deliveries(%L)', outcomes)),
  'PT400 invalid_request', 'no outcomes: ' || coalesce(left(outcomes, 60), 'null'))
from unnest(array[
  null, '{}', '[{"outcome": "won"}]', '[{"id": "00000000-0000-0000-0000-000000000000"}]',
  (select jsonb_agg('{"outcome": "sent"}'::jsonb)::text from generate_series(1, 1001))
]) as outcomes;

select pg_temp.in_hand();
select is(pg_temp.finish('{"outcome": "sent", "claim_token": "00000000-0000-4000-8000-000000000000"}'),
  '0: sending 1 0 held', 'the outcome of another claim is none');
select is(pg_temp.finish('{"outcome": "sent", "claim_token": null}'), '0: sending 1 0 held', 'nor that of no claim');
select is(pg_temp.finish('{"outcome": "sent"}'), '1: sent 1 0 sent now', 'this one is');
select is(pg_temp.finish('{"outcome": "permanent"}'), '0: sent 1 0 sent now', 'and stays');
select pg_temp.in_hand('push');
update public.device_tokens set last_seen_at = now() + interval '1 second';
select pg_temp.finish('{"outcome": "permanent", "error_code": "UNREGISTERED", "retire_address": true}');
select is(pg_temp.retired(), 'none', 'a device that was registered again since is in use');

select private.notify(tests.id('omar'), 'care_ended', '{}') from generate_series(1, 3);
create temp table batch as select id, claim_token from private.claim_deliveries(4, 60);
select is(
  private.finish_deliveries((
    select jsonb_agg(to_jsonb(b) || jsonb_build_object('outcome', (array['sent', 'retry', 'permanent', 'sent'])[row_number]))
    from (select b.*, row_number() over (order by b.id) from batch as b) as b
  )), 4, 'many at once'
);
select results_eq(
  $$ select d.status from batch as b join public.notification_deliveries as d on d.id = b.id order by b.id $$,
  array['sent', 'pending', 'failed', 'sent'], 'each its own'
);

-- Delays -------------------------------------------------------------------------------------------

select results_eq(
  $$ select n, round(private.retry_delay_seconds(n, 0)::numeric, 3), round(private.retry_delay_seconds(n, 0.5)::numeric, 3),
      round(private.retry_delay_seconds(n, 1)::numeric, 3)
    from generate_series(0, 5) as n $$,
  $$ values (0, 9.6, 12::numeric, 14.4), (1, 120, 150, 180), (2, 1440, 1800, 2160),
    (3, 17280, 21600, 25920), (4, 69120, 86400, 103680), (5, 69120, 86400, 103680) $$,
  '12 s, 2.5 min, 30 min, 6 h and 24 h, a fifth more or less'
);
create function pg_temp.delay(p_failures integer, p_outcome jsonb) returns double precision language plpgsql as $$
begin
  perform pg_temp.in_hand(p_failures => p_failures);
  perform pg_temp.finish(p_outcome || '{"outcome": "retry"}');
  return (select extract(epoch from next_attempt_at - now()) from public.notification_deliveries where id = tests.id('delivery'));
end
$$;
select cmp_ok(min(delay), '>=', base * 0.8 - 0.001, format('%s failures: not before', failures)),
  cmp_ok(max(delay), '<=', base * 1.2 + 0.001, 'nor after'),
  cmp_ok(count(distinct delay), '>', 1::bigint, 'nor all at once')
from (values (0, 12::float8), (1, 150), (2, 1800), (3, 21600), (4, 86400)) as t (failures, base)
cross join generate_series(1, 5) as turn
cross join lateral pg_temp.delay(failures, jsonb_build_object('turn', turn)) as delay
group by failures, base;
select is(pg_temp.delay(0, '{"retry_after_seconds": 60}'), 60::double precision, 'a provider may want longer');
select cmp_ok(pg_temp.delay(1, '{"retry_after_seconds": 60}'), '>=', 120::double precision, 'but not shorter');
select is(pg_temp.delay(0, '{"retry_after_seconds": 1e9}'), 86400::double precision, 'a day at most');

-- Giving up ------------------------------------------------------------------------------------------

select pg_temp.in_hand(p_failures => 5);
select pg_temp.finish('{"outcome": "retry", "error_code": "500"}');
select results_eq(
  $$ select p.display_name, n.kind, n.data from public.notifications as n join public.profiles as p on p.id = n.user_id
    where n.kind <> 'emergency_access' order by 1 $$,
  $$ select name, 'delivery_dead', jsonb_build_object('delivery_id', tests.id('delivery'), 'channel', 'email')
    from unnest(array['Ada', 'Bea']) as name $$,
  'every administrator is told of a delivery that is dead, and of the channel'
);
update public.notification_deliveries set status = 'sending', claim_token = gen_random_uuid(), attempts = 7;
select pg_temp.finish('{"outcome": "retry", "error_code": "500"}');
select is((select count(*) from public.notifications where kind = 'delivery_dead'), 2::bigint,
  'of the next on that channel not before they have read it');
select pg_temp.in_hand(p_kind => 'delivery_dead', p_failures => 5);
select is(pg_temp.finish('{"outcome": "retry"}'), '1: dead 6 6 unknown', 'what tells of it can be dead');
select is((select count(*) from public.notifications), 1::bigint, 'and nobody is told of that');
-- Two workers give up deliveries of two channels at once: both write in one order, and neither waits
-- for the other for ever.
delete from public.notification_deliveries;
delete from public.notifications;
insert into public.notification_deliveries (id, user_id, channel, status)
values ('00000000-0000-4000-8000-000000000001', tests.id('omar'), 'sms', 'dead'),
  ('00000000-0000-4000-8000-000000000002', tests.id('omar'), 'email', 'dead');
select private.tell_of_dead_deliveries(array(select id from public.notification_deliveries));
select results_eq(
  $$ select collapse_key, user_id from public.notifications order by ctid $$,
  $$ select c, p.id from unnest(array['email', 'sms']) with ordinality as c (c, n), public.profiles as p
    where p.role = 'admin' order by n, p.id $$,
  'administrators are told by channel and account, in one order'
);

-- Receipts -------------------------------------------------------------------------------------------

create function pg_temp.receipts(p_statuses text[], p_before boolean, p_channel text default 'email')
  returns text language plpgsql as $$
declare
  v_status text;
  v_number integer := 0;
begin
  perform pg_temp.in_hand(p_channel);
  if not p_before then
    perform pg_temp.finish('{"outcome": "sent", "provider": "resend", "provider_message_id": "m-1"}');
  end if;
  foreach v_status in array p_statuses loop
    v_number := v_number + 1;
    perform pg_temp.receipt('e' || v_number, v_status);
  end loop;
  if p_before then
    perform pg_temp.finish('{"outcome": "sent", "provider": "resend", "provider_message_id": "m-1"}');
  end if;
  return (
    select concat_ws(' ', d.status, d.last_error, case when d.delivered_at is not null then 'delivered' end)
    from public.notification_deliveries as d
  ) || '; ' || pg_temp.retired();
end
$$;
-- In any order, before the worker says that it was sent and after it.
select is(
  array(
    select distinct pg_temp.receipts(o.statuses, before, channel)
    from unnest(array[true, false]) as before
    cross join lateral (
      select array_agg(s order by n) from unnest(statuses) with ordinality as u (s, n)
      union
      select array_agg(s order by n desc) from unnest(statuses) with ordinality as u (s, n)
    ) as o (statuses)
  ),
  array[outcome], format('%s: %s', channel, statuses)
)
from (values
  ('email', '{sent}'::text[], 'sent; none'),
  ('email', '{sent,delivered}', 'sent delivered; none'),
  ('email', '{delivered,delivered}', 'sent delivered; none'),
  ('email', '{sent,failed}', 'failed failed; none'),
  ('email', '{delivered,failed}', 'failed failed; none'),
  ('email', '{sent,delivered,bounced}', 'failed bounced; email bounced'),
  ('email', '{delivered,complained}', 'sent delivered; email complained'),
  ('sms', '{unregistered,sent}', 'failed unregistered; sms unregistered'),
  ('push', '{unregistered,delivered}', 'failed unregistered; device unregistered')
) as t (channel, statuses, outcome);

select pg_temp.in_hand();
select pg_temp.finish('{"outcome": "sent", "provider": "resend", "provider_message_id": "m-1"}');
select is(pg_temp.receipt('e1', 'delivered'), true, 'a report is new once');
select is(pg_temp.receipt('e1', 'delivered'), false, 'and not again');
select is(pg_temp.receipt('e1', 'bounced', '550'), false, 'whatever it says then');
select is((select status from public.notification_deliveries), 'sent', 'which changes nothing');
select is(pg_temp.receipt('e2', 'bounced', '550', 'm-unknown'), true, 'one of an unknown message is kept');
select is((select status from public.notification_deliveries), 'sent', 'and concerns no other message');
select is(pg_temp.retired(), 'none', 'nor any address');
select is(pg_temp.receipt('e3', 'bounced', 'no <such> box'), true, 'a bounce with a code');
select results_eq('select status, last_error, delivered_at from public.notification_deliveries',
  $$ values ('failed', 'no_such_box', null::timestamptz) $$, 'which is kept as one');
select results_eq('select reason from private.retired_addresses', array['bounced'], 'the address is retired');
update auth.users set email = 'new@example.com' where id = tests.id('omar');
select private.notify(tests.id('omar'), 'care_ended', '{}');
select results_eq($$ select address ->> 'email' from private.claim_deliveries(9, 60) where channel = 'email' $$,
  array['new@example.com'], 'another address works');
select is(tests.attempt('notification_worker', format('select private.record_receipt(%s)', arguments)),
  'PT400 invalid_request', 'no receipt: ' || arguments)
from unnest(array[
  $$'resend', 'e9', 'm-1', 'opened', null$$, $$'resend', 'e9', 'm-1', null, null$$, $$null, 'e9', 'm-1', 'sent', null$$,
  $$'resend', '', 'm-1', 'sent', null$$, $$'resend', 'e9', repeat('m', 301), 'sent', null$$, $$'Re send', 'e9', 'm', 'sent', null$$
]) as arguments;

-- Administrators -----------------------------------------------------------------------------------

delete from public.notification_deliveries;
insert into public.notification_deliveries (id, user_id, channel, status, attempts, failures, last_error, created_at)
select tests.id('dead ' || n), tests.id('omar'), 'sms', 'dead', 6, 6, '30003', now() - n * interval '1 minute'
from generate_series(1, 3) as n;
insert into public.notification_deliveries (user_id, channel, next_attempt_at)
values (tests.id('omar'), 'email', now() - interval '90 seconds'), (tests.id('omar'), 'email', now() + interval '1 hour');
insert into public.notification_deliveries (user_id, channel, status, claim_token, next_attempt_at)
values (tests.id('omar'), 'email', 'sending', gen_random_uuid(), now());
select tests.act_as_role('notification_worker');
select results_eq(
  $$ select pending, sending, due, oldest_due_seconds, next_attempt_at - now(), dead from private.delivery_backlog() $$,
  $$ values (2::bigint, 1::bigint, 2::bigint, 90, interval '-90 seconds', 3::bigint) $$, 'what waits, and for how long'
);
select tests.act_as_owner();
select is(tests.attempt(actor, 'select attempts from public.list_dead_deliveries()', standing), outcome,
  format('listing dead deliveries: %s, %s', actor, standing))
from (values
  ('ada', 'live', '6, 6, 6'), ('ada@aal1', 'live', 'PT403 forbidden'), ('omar', 'live', 'PT403 forbidden'),
  ('ada', 'signed out', 'PT401 unauthenticated'), ('ada', 'locked', 'PT401 unauthenticated'),
  ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant'), ('notification_worker', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt(actor, 'select private.list_dead_deliveries(9, null)', standing), outcome,
  format('its body: %s, %s', actor, standing))
from (values ('omar', 'live', 'PT403 forbidden'), ('ada@aal1', 'live', 'PT403 forbidden')) as m (actor, standing, outcome);
select is(tests.attempt(actor, $$ select public.retry_delivery(tests.id('dead 1')) $$, standing), outcome,
  format('trying again: %s, %s', actor, standing))
from (values
  ('ada', 'live', 'done'), ('ada@aal1', 'live', 'PT403 forbidden'), ('omar', 'live', 'PT403 forbidden'),
  ('ada', 'signed out', 'PT401 unauthenticated'), ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant'),
  ('notification_worker', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt('ada', format('select public.retry_delivery(%L)', id)), 'PT404 not_found', 'only what is dead')
from (
  select id from public.notification_deliveries where status in ('pending', 'sending')
  union all select gen_random_uuid()
) as d;
select is(tests.attempt('ada', 'select id from public.list_dead_deliveries(0)'), 'PT400 invalid_request', 'pages have a size');

select tests.act_as('ada');
create temp table page as
  select id, cursor, channel, kind, last_error, created_at, updated_at from public.list_dead_deliveries(2);
select results_eq('select id from page', $$ select tests.id('dead ' || n) from generate_series(1, 2) as n $$, 'newest first');
select results_eq(
  $$ select id from public.list_dead_deliveries(2, (select cursor from page offset 1)) $$,
  $$ values (tests.id('dead 3')) $$, 'and on'
);
select results_eq('select distinct channel, kind, last_error from page', $$ values ('sms', null::text, '30003') $$, 'what and why');
select lives_ok($$ select public.retry_delivery(tests.id('dead 2')) $$, 'ada tries one again');
select tests.act_as_owner();
select results_eq(
  $$ select status, attempts, failures, next_attempt_at from public.notification_deliveries where id = tests.id('dead 2') $$,
  $$ values ('pending', 0, 0, now()) $$, 'as if it were new'
);
select results_eq(
  $$ select actor_id, resource_type, resource_id from public.audit_events where action = 'retry_delivery' $$,
  $$ values (tests.id('ada'), 'notification_delivery', tests.id('dead 2')) $$, 'which is logged'
);

select * from finish();
rollback;
