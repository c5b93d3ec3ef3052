-- Constraints of preferences, devices and retired addresses, each on both sides of its limit, tried as
-- the owner: whatever grants, policies and functions let through, a row cannot say more than this.
begin;
select plan(50);

select tests.make_user('pia');
insert into public.notification_preferences (user_id, kind, channel) values (tests.id('pia'), 'care_ended', 'email');
insert into public.notification_preferences (user_id, kind, channel) values (tests.id('pia'), 'care_ended', 'push');
select is(tests.refusal('update public.notification_preferences set ' || change || $$ where channel = 'email'$$), outcome,
  format('notification_preferences: %s: %s', change, outcome))
from (values
  ($$channel = 'sms'$$, 'done'), ($$channel = 'in_app'$$, 'done'),
  ($$channel = 'fax'$$, 'notification_preferences_channel_check'),
  ($$channel = 'push'$$, 'notification_preferences_one_each'),
  ($$quiet_from = '22:00', quiet_to = '07:00'$$, 'done'),
  ($$quiet_from = '22:00'$$, 'notification_preferences_quiet_check'),
  ($$quiet_to = '22:00'$$, 'notification_preferences_quiet_check'),
  ($$quiet_from = '07:00', quiet_to = '07:00'$$, 'notification_preferences_quiet_check'),
  ($$detail = 'full'$$, 'done'), ($$detail = 'some'$$, 'notification_preferences_detail_check'),
  ($$user_id = gen_random_uuid()$$, 'notification_preferences_user_id_fkey')
) as t (change, outcome);

insert into public.device_tokens (user_id, platform, token) values (tests.id('pia'), 'fcm', repeat('a', 30));
insert into public.device_tokens (user_id, platform, token) values (tests.id('pia'), 'fcm', repeat('b', 30));
insert into public.device_tokens (user_id, platform, endpoint, p256dh, auth)
values (tests.id('pia'), 'webpush', 'https://push.example.com/a', repeat('A', 87), repeat('B', 22)),
  (tests.id('pia'), 'webpush', 'https://push.example.com/b', repeat('A', 87), repeat('B', 22));
select is(tests.refusal(format('update public.device_tokens set %s where %s', change, which)), outcome,
  format('device_tokens: %s: %s', left(change, 60), outcome))
from (
  select change, outcome, $$token like 'a%'$$ as which from (values
    ($$token = null$$, 'device_tokens_platform_check'),
    ($$platform = 'apns'$$, 'device_tokens_platform_check'),
    ($$platform = 'webpush'$$, 'device_tokens_platform_check'),
    ($$auth = repeat('B', 22)$$, 'device_tokens_platform_check'),
    ($$token = repeat('x', 20)$$, 'done'), ($$token = repeat('x', 19)$$, 'device_tokens_token_check'),
    ($$token = repeat('x', 1000)$$, 'done'), ($$token = repeat('x', 1001)$$, 'device_tokens_token_check'),
    ($$token = repeat('x ', 20)$$, 'device_tokens_token_check'),
    ($$token = repeat('b', 30)$$, 'device_tokens_one_token'),
    ($$retired_at = now()$$, 'device_tokens_retired_check'),
    ($$retired_reason = 'removed'$$, 'device_tokens_retired_check'),
    ($$retired_at = now(), retired_reason = 'replaced'$$, 'done'),
    ($$retired_at = now(), retired_reason = 'bored'$$, 'device_tokens_retired_reason_check'),
    ($$user_id = gen_random_uuid()$$, 'device_tokens_user_id_fkey')
  ) as t (change, outcome)
  union all
  select change, outcome, $$endpoint like '%/a'$$ from (values
    ($$token = repeat('x', 30)$$, 'device_tokens_platform_check'),
    ($$auth = null$$, 'device_tokens_platform_check'),
    ($$platform = 'apns'$$, 'device_tokens_platform_check'),
    ($$endpoint = 'https://push.example.com/b'$$, 'device_tokens_one_endpoint'),
    ($$endpoint = 'https://push.example.com/'$$, 'done'),
    ($$endpoint = 'http://push.example.com/a'$$, 'device_tokens_endpoint_check'),
    ($$endpoint = 'https://push.example.com:8080/a'$$, 'device_tokens_endpoint_check'),
    ($$endpoint = 'https://push.example.com@10.0.0.1/a'$$, 'device_tokens_endpoint_check'),
    ($$endpoint = 'https://10.0.0.1/a'$$, 'device_tokens_endpoint_check'),
    ($$endpoint = 'https://localhost/a'$$, 'device_tokens_endpoint_check'),
    ($$endpoint = E'https://push.example.com/a\nb'$$, 'device_tokens_endpoint_check'),
    ($$endpoint = 'https://push.example.com/' || repeat('a', 975)$$, 'done'),
    ($$endpoint = 'https://push.example.com/' || repeat('a', 976)$$, 'device_tokens_endpoint_check'),
    ($$p256dh = repeat('A', 87) || '='$$, 'done'), ($$p256dh = repeat('A', 86)$$, 'device_tokens_p256dh_check'),
    ($$auth = repeat('A', 22) || '=='$$, 'done'), ($$auth = repeat('+', 22)$$, 'device_tokens_auth_check')
  ) as t (change, outcome)
) as t;

insert into private.retired_addresses (user_id, channel, address_sha256, reason)
values (tests.id('pia'), 'email', sha256('a'), '21211');
select is(tests.refusal('update private.retired_addresses set ' || change), outcome,
  format('retired_addresses: %s: %s', change, outcome))
from (values
  ($$channel = 'sms'$$, 'done'), ($$channel = 'push'$$, 'retired_addresses_channel_check'),
  ($$address_sha256 = 'a@example.com'$$, 'retired_addresses_sha256_check'),
  ($$reason = repeat('x', 64)$$, 'done'), ($$reason = repeat('x', 65)$$, 'retired_addresses_reason_check'),
  ($$reason = 'no such box'$$, 'retired_addresses_reason_check'),
  ($$user_id = gen_random_uuid()$$, 'retired_addresses_user_id_fkey')
) as t (change, outcome);

select * from finish();
rollback;
