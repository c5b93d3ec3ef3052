-- The outbox: who sees and who claims, what a claim brings, leases, and what is not sent after all.
-- Pia has an address, a number and a device; omar is somebody else; ada is an administrator.
begin;
select plan(94);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('ada', 'admin');
update auth.users set phone = '919845000117', phone_confirmed_at = now() where id = tests.id('pia');
select tests.act_as('pia');
select public.register_device_token('fcm', repeat('p', 30));
select tests.act_as_owner();

create function pg_temp.reset() returns void language sql as $$
  delete from public.notification_preferences;
  delete from public.notification_deliveries;
  delete from public.notifications;
  delete from private.retired_addresses;
$$;
create function pg_temp.claim(p_limit integer default 100, p_lease integer default 60)
  returns setof text language plpgsql as $$
begin
  perform tests.act_as_role('notification_worker');
  return query
    select concat_ws(' ', kind, channel, address ->> 'email', address ->> 'phone', address ->> 'token', attempts)
    from private.claim_deliveries(p_limit, p_lease);
  perform tests.act_as_owner();
end
$$;

-- Who --------------------------------------------------------------------------------------------

select private.notify(tests.id('pia'), 'care_ended', '{}');
select private.notify(tests.id('omar'), 'care_ended', '{}');
select is(
  tests.attempt(actor, 'select channel || '' '' || status from public.notification_deliveries', standing),
  outcome, format('reading deliveries: %s, %s', actor, standing)
)
from (values
  ('pia', 'live', 'email pending, push pending'), ('omar', 'live', 'email pending'),
  ('ada', 'live', 'nothing'), ('pia', 'signed out', 'nothing'), ('pia', 'locked', 'nothing'),
  ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant'),
  ('notification_worker', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, left(statement, 50)))
from unnest(array['pia', 'ada', 'anon', 'service_role']) as actor
cross join unnest(array[
  $$ update public.notification_deliveries set status = 'sent' $$,
  $$ delete from public.notification_deliveries $$,
  $$ insert into public.notification_deliveries (user_id, channel) values (tests.id('pia'), 'email') $$,
  $$ select channel from private.claim_deliveries(1, 60) $$,
  $$ select private.finish_deliveries('[]') $$,
  $$ select private.record_receipt('resend', 'e', 'm', 'sent', null) $$,
  $$ select pending from private.delivery_backlog() $$
]) as statement;
select is(tests.attempt('notification_worker', statement), '42501 grant', 'worker: ' || left(statement, 50))
from unnest(array[
  $$ update public.notification_deliveries set status = 'sent' $$,
  $$ select email from auth.users $$,
  $$ select private.notify(tests.id('pia'), 'care_ended', '{}') $$,
  $$ select private.apply_receipts('{}') $$,
  $$ select private.retire_delivery_addresses('{}', '{}', '{}') $$,
  $$ select private.tell_of_dead_deliveries('{}') $$,
  $$ select user_id from private.retired_addresses $$,
  $$ select status from private.delivery_receipts $$
]) as statement;
select is(tests.attempt('notification_worker', format('select channel from private.claim_deliveries(%s)', arguments)),
  outcome, 'a claim of ' || arguments)
from (values
  ('0, 60', 'PT400 invalid_request'), ('1001, 60', 'PT400 invalid_request'), ('null, 60', 'PT400 invalid_request'),
  ('1, 0', 'PT400 invalid_request'), ('1, 3601', 'PT400 invalid_request'), ('1, null', 'PT400 invalid_request'),
  ('1000, 3600', 'email, email, push'), ('1, 1', 'email')
) as t (arguments, outcome);

-- What a claim brings ------------------------------------------------------------------------------

select pg_temp.reset();
select private.notify(tests.id('pia'), 'emergency_access', '{}');
select set_eq('select pg_temp.claim()', array[
  'emergency_access email pia@example.com 1', 'emergency_access sms +919845000117 1',
  'emergency_access push pppppppppppppppppppppppppppppp 1'
], 'each address as it is now');
select results_eq(
  $$ select distinct status, attempts, next_attempt_at - now(), claim_token is not null,
      (address_sha256 is null) = (channel = 'push') from public.notification_deliveries $$,
  $$ values ('sending', 1, interval '1 minute', true, true) $$, 'they are in hand for as long as was asked for'
);
select is_empty('select pg_temp.claim()', 'and nobody else gets them');

select pg_temp.reset();
create function pg_temp.words(p_kind text, p_detail text, p_locale text)
  returns text language plpgsql as $$
declare
  v_words text;
begin
  perform pg_temp.reset();
  update public.profiles set locale = p_locale where id = tests.id('omar');
  insert into public.notification_preferences (user_id, kind, channel, detail)
  select tests.id('omar'), p_kind, 'email', p_detail where p_detail is not null;
  perform private.notify(tests.id('omar'), p_kind, '{}');
  select concat_ws(' / ', urgency, title, body, idempotency_key = id::text) into v_words
  from private.claim_deliveries(10, 60) where channel = 'email';
  return v_words;
end
$$;
select is(pg_temp.words(kind, detail, locale), words, format('%s, %s, %s', kind, detail, locale))
from (values
  ('record_shared', null, 'en-GB', 'normal / You have a new notification / Open the app to read it. / t'),
  ('record_shared', 'minimal', 'hi-IN', 'normal / आपके लिए एक नई सूचना है / पढ़ने के लिए ऐप खोलें। / t'),
  ('record_shared', 'minimal', 'ta', 'normal / You have a new notification / Open the app to read it. / t'),
  ('record_shared', 'full', 'en', 'normal / A record was shared with you / Somebody has shared a record with you. Opening it is logged. / t'),
  ('emergency_access', null, 'en', 'emergency / You have an urgent notification / Open the app now to read it. / t'),
  ('mfa_changed', null, 'en', 'security / A second factor of your account was changed / A second factor was added '
    'to your account or taken from it. If it was not you, change your password and ask for help. / t')
) as t (kind, detail, locale, words);
select is_empty(
  $$
    select u.urgency, l.locale from (select distinct urgency from private.notification_kinds) as u,
      (values ('en'), ('hi')) as l (locale)
    except select urgency, locale from private.notification_minimal_words
  $$, 'words for every urgency in both languages'
);

select pg_temp.reset();
update public.profiles set locale = 'en';
select private.notify(tests.id(u), k, '{}')
from (values ('pia', 'care_ended'), ('omar', 'record_shared'), ('omar', 'new_sign_in')) as t (u, k);
update public.notification_deliveries set next_attempt_at = now() - interval '1 minute' where user_id = tests.id('omar');
update public.notification_deliveries set next_attempt_at = now() where is_urgent;
select results_eq('select pg_temp.claim(1)', array['new_sign_in email omar@example.com 1'], 'what is urgent goes first');
select results_eq('select pg_temp.claim(1)', array['record_shared email omar@example.com 1'], 'then what is due longest');
update public.notification_deliveries set next_attempt_at = now() + interval '1 second' where status = 'pending';
select is_empty('select pg_temp.claim()', 'what is not due waits');

-- Leases -------------------------------------------------------------------------------------------

select pg_temp.reset();
select private.notify(tests.id('omar'), 'care_ended', '{}');
create temp table claimed as select id, claim_token from private.claim_deliveries(1, 60);
grant select on claimed to public;
update public.notification_deliveries set next_attempt_at = now();
select results_eq('select pg_temp.claim()', array['care_ended email omar@example.com 2'], 'after its lease it is due again');
select is(
  private.finish_deliveries((select jsonb_agg(to_jsonb(c) || '{"outcome": "sent"}') from claimed as c)),
  0, 'the worker that had it changes nothing any more'
);
select is((select status from public.notification_deliveries), 'sending', 'the other has it');
update public.notification_deliveries set attempts = 25, next_attempt_at = now();
select is_empty('select pg_temp.claim()', 'what 25 workers did not survive is given up');
select results_eq(
  $$ select status, last_error from public.notification_deliveries where channel = 'email' $$,
  $$ values ('dead', 'worker_lost') $$, 'as dead'
);
select results_eq($$ select user_id, kind from public.notifications where kind <> 'care_ended' $$,
  $$ values (tests.id('ada'), 'delivery_dead') $$, 'and administrators are told');
update public.notification_deliveries
set status = 'sending', claim_token = gen_random_uuid(), attempts = 27, failures = 3, next_attempt_at = now();
select results_eq('select pg_temp.claim()', array['care_ended email omar@example.com 28'], 'errors that may pass do not count for that');

-- What is not sent after all -------------------------------------------------------------------------

create function pg_temp.after(p_change text, p_kind text default 'care_ended', p_channel text default 'email')
  returns text language plpgsql as $$
declare
  v_claimed bigint;
  v_outcome text;
begin
  perform pg_temp.reset();
  perform private.notify(tests.id('pia'), p_kind, '{}');
  delete from public.notification_deliveries where channel <> p_channel;
  begin
    execute p_change;
    select count(*) into v_claimed from private.claim_deliveries(10, 60);
    select concat_ws(' ', status, last_error, attempts, case status when 'pending' then next_attempt_at - now() end)
    into v_outcome from public.notification_deliveries;
    if v_claimed <> (v_outcome like 'sending%')::integer then
      v_outcome := format('%s, yet %s came', v_outcome, v_claimed);
    end if;
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then
      return v_outcome;
  end;
end
$$;
select is(pg_temp.after(change, kind, channel), outcome, format('%s by %s after: %s', kind, channel, change))
from (values
  ('care_ended', 'email', 'select 1', 'sending 1'),
  ('care_ended', 'email', 'update public.notifications set read_at = now()', 'suppressed read 0'),
  ('new_sign_in', 'email', 'update public.notifications set read_at = now()', 'sending 1'),
  ('care_ended', 'email', 'update public.profiles set is_active = false', 'suppressed account_closed 0'),
  ('new_sign_in', 'email', 'update public.profiles set is_active = false', 'suppressed account_closed 0'),
  ('care_ended', 'email', 'update auth.users set deleted_at = now()', 'suppressed account_closed 0'),
  ('care_ended', 'email', $$update auth.users set banned_until = now() + interval '1 day'$$,
    'suppressed account_closed 0'),
  ('care_ended', 'email', $$insert into public.notification_preferences (user_id, kind, channel, enabled)
    values (tests.id('pia'), 'care_ended', 'email', false)$$, 'suppressed switched_off 0'),
  ('new_sign_in', 'push', $$insert into public.notification_preferences (user_id, kind, channel, enabled)
    values (tests.id('pia'), 'new_sign_in', 'push', false)$$, 'suppressed switched_off 0'),
  ('care_ended', 'email', $$insert into public.notification_preferences (user_id, kind, channel, enabled)
    values (tests.id('pia'), 'care_ended', 'push', false)$$, 'sending 1'),
  ('care_ended', 'email', 'update auth.users set email_confirmed_at = null', 'suppressed no_address 0'),
  ('care_ended', 'email', $$update auth.users set email = null where id = tests.id('pia')$$, 'suppressed no_address 0'),
  ('emergency_access', 'sms', 'update auth.users set phone_confirmed_at = null', 'suppressed no_address 0'),
  ('care_ended', 'push', $$update public.device_tokens set retired_at = now(), retired_reason = 'removed'$$,
    'suppressed retired_address 0'),
  ('care_ended', 'push', 'delete from public.device_tokens', 'suppressed no_address 0'),
  ('care_ended', 'email', $$insert into private.retired_addresses (user_id, channel, address_sha256, reason)
    values (tests.id('pia'), 'email', sha256('pia@example.com'), 'bounced')$$, 'suppressed retired_address 0'),
  ('care_ended', 'email', $$insert into private.retired_addresses (user_id, channel, address_sha256, reason)
    values (tests.id('pia'), 'email', sha256('old@example.com'), 'bounced')$$, 'sending 1'),
  ('emergency_access', 'sms', $$insert into private.retired_addresses (user_id, channel, address_sha256, reason)
    values (tests.id('pia'), 'sms', sha256('919845000117'), '21610')$$, 'suppressed retired_address 0'),
  ('care_ended', 'email', 'delete from public.notifications', 'suppressed deleted 0'),
  ('care_ended', 'email', $$insert into public.notification_preferences (user_id, kind, channel, quiet_from, quiet_to)
    values (tests.id('pia'), 'care_ended', 'email', (now() at time zone 'UTC')::time - interval '1 hour',
      (now() at time zone 'UTC')::time + interval '2 hours')$$, 'pending 0 02:00:00'),
  ('new_sign_in', 'email', $$insert into public.notification_preferences (user_id, kind, channel, quiet_from, quiet_to)
    values (tests.id('pia'), 'new_sign_in', 'email', (now() at time zone 'UTC')::time - interval '1 hour',
      (now() at time zone 'UTC')::time + interval '2 hours')$$, 'sending 1')
) as t (kind, channel, change, outcome);

select pg_temp.reset();
select private.notify(tests.id('omar'), 'care_ended', '{}') from generate_series(1, 5);
update public.notifications set read_at = now()
where id in (select n.id from public.notifications as n order by n.id limit 4);
select is((select count(*) from pg_temp.claim(1)), 1::bigint, 'what is suppressed on the way takes no place');

select * from finish();
rollback;
