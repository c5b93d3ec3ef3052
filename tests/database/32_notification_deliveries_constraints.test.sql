-- Constraints of deliveries and receipts, each on both sides of its limit, tried as the owner:
-- whatever the functions let through, a row cannot say more than this.
begin;
select plan(40);

select tests.make_user('pia');
select private.notify(tests.id('pia'), 'care_ended', '{}');
select is(tests.refusal('update public.notification_deliveries set ' || change), outcome,
  format('notification_deliveries: %s: %s', change, outcome))
from (values
  ($$channel = 'sms'$$, 'done'), ($$channel = 'in_app'$$, 'notification_deliveries_channel_check'),
  ($$device_token_id = gen_random_uuid()$$, 'notification_deliveries_device_check'),
  ($$channel = 'push', device_token_id = gen_random_uuid()$$, 'notification_deliveries_device_token_id_fkey'),
  ($$status = 'failed'$$, 'done'), ($$status = 'dead'$$, 'done'), ($$status = 'suppressed'$$, 'done'),
  ($$status = 'gone'$$, 'notification_deliveries_status_check'),
  ($$status = 'sent'$$, 'notification_deliveries_sent_check'),
  ($$status = 'sent', sent_at = now()$$, 'done'),
  ($$status = 'sending'$$, 'notification_deliveries_claim_check'),
  ($$status = 'sending', claim_token = gen_random_uuid()$$, 'done'),
  ($$claim_token = gen_random_uuid()$$, 'notification_deliveries_claim_check'),
  ($$attempts = 2, failures = 2$$, 'done'),
  ($$attempts = 1, failures = 2$$, 'notification_deliveries_attempts_check'),
  ($$failures = -1$$, 'notification_deliveries_attempts_check'),
  ($$address_sha256 = sha256('a')$$, 'done'),
  ($$address_sha256 = 'a@example.com'$$, 'notification_deliveries_address_check'),
  ($$provider = 'fcm', provider_message_id = repeat('m', 300)$$, 'done'),
  ($$provider_message_id = repeat('m', 301)$$, 'notification_deliveries_provider_check'),
  ($$provider_message_id = ''$$, 'notification_deliveries_provider_check'),
  ($$provider = 'Some one'$$, 'notification_deliveries_provider_check'),
  ($$last_error = repeat('x', 64)$$, 'done'), ($$last_error = repeat('x', 65)$$, 'notification_deliveries_last_error_check'),
  ($$last_error = 'pia@example.com'$$, 'notification_deliveries_last_error_check'),
  ($$notification_id = gen_random_uuid()$$, 'notification_deliveries_notification_id_fkey'),
  ($$user_id = gen_random_uuid()$$, 'notification_deliveries_user_id_fkey')
) as t (change, outcome);

insert into private.delivery_receipts (provider, event_id, provider_message_id, status)
values ('fcm', 'e1', 'm', 'sent'), ('fcm', 'e2', 'm', 'sent');
select is(tests.refusal('update private.delivery_receipts set ' || change || $$ where event_id = 'e1'$$), outcome,
  format('delivery_receipts: %s: %s', change, outcome))
from (values
  ($$event_id = 'e2'$$, 'delivery_receipts_pkey'), ($$event_id = 'e2', provider = 'twilio'$$, 'done'),
  ($$event_id = repeat('e', 300)$$, 'done'), ($$event_id = repeat('e', 301)$$, 'delivery_receipts_event_id_check'),
  ($$event_id = ''$$, 'delivery_receipts_event_id_check'),
  ($$provider_message_id = repeat('e', 300)$$, 'done'),
  ($$provider_message_id = repeat('e', 301)$$, 'delivery_receipts_message_id_check'),
  ($$provider_message_id = ''$$, 'delivery_receipts_message_id_check'),
  ($$provider = 'Some one'$$, 'delivery_receipts_provider_check'),
  ($$status = 'unregistered'$$, 'done'), ($$status = 'opened'$$, 'delivery_receipts_status_check'),
  ($$error_code = repeat('x', 64)$$, 'done'), ($$error_code = 'no such box'$$, 'delivery_receipts_error_code_check')
) as t (change, outcome);

select * from finish();
rollback;
