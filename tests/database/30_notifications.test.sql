-- Notifications: who is told what in which language, who reads it, and marking as read. Pia is told
-- things; omar is somebody else; ada is an administrator.
begin;
select plan(110);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('ada', 'admin'),
  tests.make_user('bea', 'admin'), tests.make_user('lex', 'admin', p_active => false);

-- Writing ----------------------------------------------------------------------------------------

select is(tests.attempt(actor, call), '42501 grant', format('%s: %s', actor, left(call, 60)))
from unnest(array['pia', 'ada', 'anon', 'service_role']) as actor
cross join unnest(array[
  $$ select private.notify(tests.id('pia'), 'emergency_access', '{}') $$,
  $$ select private.notify_administrators('emergency_objection', '{}') $$,
  $$ insert into public.notifications (user_id, kind, title, body)
    values (tests.id('pia'), 'win', 'You have won', 'Click here') $$,
  $$ update public.notifications set read_at = now() $$,
  $$ delete from public.notifications $$,
  $$ select kind from private.notification_templates $$,
  $$ select kind from private.notification_kinds $$,
  $$ select title from private.notification_minimal_words $$
]) as call;

create function pg_temp.title_in(p_locale text) returns text language plpgsql as $$
declare
  v_title text;
begin
  update public.profiles set locale = p_locale where id = tests.id('pia');
  perform private.notify(tests.id('pia'), 'emergency_access', '{}');
  delete from public.notifications returning title into v_title;
  return v_title;
end
$$;
select is(pg_temp.title_in(locale), title, format('words in %s', locale))
from (values
  ('en', 'Your chart was opened in an emergency'),
  ('en-GB', 'Your chart was opened in an emergency'),
  ('hi', 'आपात स्थिति में आपका चार्ट खोला गया'),
  ('hi-IN', 'आपात स्थिति में आपका चार्ट खोला गया'),
  ('ta-IN', 'Your chart was opened in an emergency')
) as l (locale, title);
select is_empty(
  $$
    select kind, locale from private.notification_templates
    except
    select k.kind, l.locale from private.notification_templates as k, (values ('en'), ('hi')) as l (locale)
  $$,
  'every text is in English or Hindi'
);
select is_empty(
  $$
    select k.kind, l.locale from private.notification_templates as k, (values ('en'), ('hi')) as l (locale)
    except
    select kind, locale from private.notification_templates
  $$,
  'and every kind is in both'
);
select is(
  (select count(*) from (
    select kind, locale from private.notification_templates group by 1, 2 having count(*) > 1
  ) as doubles), 0::bigint, 'once'
);
select set_eq(
  'select kind from private.notification_kinds', 'select kind from private.notification_templates',
  'the kinds are those of which there are words'
);
select throws_ok(call, 'P0001', null, format('fails: %s', call))
from unnest(array[
  $$ select private.notify(tests.id('pia'), 'of_no_kind', '{}') $$,
  $$ select private.notify(gen_random_uuid(), 'emergency_access', '{}') $$
]) as call;
select throws_ok($$ select private.notify(tests.id('pia'), 'emergency_access', '[]') $$, '23514',
  null, 'data is an object');

select private.notify_administrators('emergency_objection', '{}');
select results_eq(
  $$ select p.display_name from public.notifications as n join public.profiles as p on p.id = n.user_id
    order by 1 $$,
  array['Ada', 'Bea'], 'all active administrators are told, and nobody else'
);
delete from public.notifications;

-- Reading ----------------------------------------------------------------------------------------

select private.notify(tests.id(u), 'emergency_reviewed', '{}')
from unnest(array['pia', 'pia', 'omar']) as u;
select is(tests.attempt(actor, 'select kind from public.notifications', standing), outcome,
  format('reading: %s, %s', actor, standing))
from (values
  ('pia', 'live', 'emergency_reviewed, emergency_reviewed'), ('omar', 'live', 'emergency_reviewed'),
  ('ada', 'live', 'nothing'), ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant'),
  ('pia', 'signed out', 'nothing'), ('pia', 'locked', 'nothing')
) as m (actor, standing, outcome);

create temp table mine as
  select n.id from public.notifications as n where n.user_id = tests.id('pia') limit 1;
grant select on mine to public;
select is(
  tests.attempt(actor, 'select public.mark_notification_read(id) from mine', standing), outcome,
  format('mark_notification_read: %s, %s', actor, standing)
)
from (values
  ('pia', 'live', 'done'), ('omar', 'live', 'PT404 not_found'), ('ada', 'live', 'PT404 not_found'),
  ('anon', 'live', '42501 grant'), ('pia', 'signed out', 'PT401 unauthenticated')
) as m (actor, standing, outcome);
select is(tests.attempt('pia', 'select public.mark_notification_read(gen_random_uuid())'),
  'PT404 not_found', 'one that is not there');

select tests.act_as('pia');
select lives_ok('select public.mark_notification_read(id) from mine', 'pia reads one');
select tests.act_as_owner();
select results_eq(
  $$ select p.display_name, n.read_at = now() from public.notifications as n
    join public.profiles as p on p.id = n.user_id order by n.read_at nulls last, 1 $$,
  $$ values ('Pia', true), ('Omar', null), ('Pia', null) $$, 'and only that one is read'
);
update public.notifications set read_at = '2026-01-01' where read_at is not null;
select tests.act_as('pia');
select lives_ok('select public.mark_notification_read(id) from mine', 'pia reads it again');
select is(public.mark_all_notifications_read(), 1, 'pia reads all: one was unread');
select is(public.mark_all_notifications_read(), 0, 'and none is any more');
select tests.act_as_owner();
select results_eq(
  $$ select p.display_name, n.read_at from public.notifications as n
    join public.profiles as p on p.id = n.user_id order by n.read_at nulls last, 1 $$,
  $$ values ('Pia', timestamptz '2026-01-01'), ('Pia', now()), ('Omar', null) $$,
  'what was read keeps its time, and another''s stay unread'
);

-- One unread is enough ---------------------------------------------------------------------------

delete from public.notifications;
delete from public.notification_deliveries;
create function pg_temp.notify_twice(p_kind text, p_first jsonb, p_second jsonb, p_between text default 'select 1')
  returns text language plpgsql as $$
declare
  v_answer text;
begin
  perform private.notify(tests.id('pia'), p_kind, p_first);
  execute p_between;
  perform private.notify(tests.id('pia'), p_kind, p_second);
  v_answer := format('%s notifications, %s deliveries',
    (select count(*) from public.notifications), (select count(*) from public.notification_deliveries));
  delete from public.notifications;
  delete from public.notification_deliveries;
  delete from public.notification_preferences;
  return v_answer;
end
$$;
insert into public.notification_preferences (user_id, kind, channel)
values (tests.id('pia'), 'new_message', 'email');
select is(pg_temp.notify_twice('new_message', '{"conversation_id": "a", "message_id": 1}',
  '{"conversation_id": "a", "message_id": 2}'), '1 notifications, 1 deliveries', 'one conversation');
select is(pg_temp.notify_twice('new_message', first, second, between), outcome, what)
from (values
  ('two conversations', '{"conversation_id": "a"}'::jsonb, '{"conversation_id": "b"}'::jsonb, 'select 1',
    '2 notifications, 0 deliveries'),
  ('of none', '{}', '{}', 'select 1', '2 notifications, 0 deliveries'),
  ('the first was read', '{"conversation_id": "a"}', '{"conversation_id": "a"}',
    'update public.notifications set read_at = now()', '2 notifications, 0 deliveries'),
  ('the first was another''s', '{"conversation_id": "a"}', '{"conversation_id": "a"}',
    $$ update public.notifications set user_id = tests.id('omar') $$, '2 notifications, 0 deliveries')
) as t (what, first, second, between, outcome);
select is(pg_temp.notify_twice('care_ended', '{"care_id": "a"}', '{"care_id": "a"}'),
  '2 notifications, 2 deliveries', 'other kinds stand for themselves');
select is(pg_temp.notify_twice('delivery_dead', '{"channel": "sms"}', '{"channel": "sms"}'),
  '1 notifications, 0 deliveries', 'one for a channel');
insert into public.notification_preferences (user_id, kind, channel, enabled)
values (tests.id('pia'), 'new_message', 'in_app', false), (tests.id('pia'), 'new_message', 'email', true);
select is(pg_temp.notify_twice('new_message', '{"conversation_id": "a"}', '{"conversation_id": "a"}'),
  '2 notifications, 2 deliveries', 'outside the app only, none is ever read, and each is sent');

-- In the app ---------------------------------------------------------------------------------------

create temp view sent as
  select m.topic, m.event, m.private, m.extension, m.payload from realtime.messages as m
  where m.topic like 'user:%';
delete from realtime.messages;
select private.notify(tests.id('pia'), 'care_ended', jsonb_build_object('care_id', tests.id('care')));
select results_eq(
  'select topic, event, private, extension, payload from sent',
  $$ select 'user:' || n.user_id, 'notification', true, 'broadcast', to_jsonb(n) from public.notifications as n $$,
  'the row goes to the private channel of whom it is for'
);
delete from realtime.messages;
update public.notifications set data = '{}';
select is_empty('select 1 from sent', 'another change of it does not');
select tests.act_as('pia');
select public.mark_all_notifications_read();
select tests.act_as_owner();
select results_eq(
  'select topic, event, private, payload from sent',
  $$ select 'user:' || n.user_id, 'notification_read', true, to_jsonb(n) from public.notifications as n $$,
  'that it was read does'
);
delete from realtime.messages;
update public.notifications set read_at = now() - interval '1 hour';
select is_empty('select 1 from sent', 'once');
insert into public.notification_preferences (user_id, kind, channel, enabled)
values (tests.id('pia'), 'care_ended', 'in_app', false);
delete from public.notifications;
select private.notify(tests.id('pia'), 'care_ended', '{}');
create temp table outside as select n.id from public.notifications as n;
grant select on outside to public;
select is((select in_app from public.notifications), false, 'for outside only there is a row');
select is_empty('select 1 from sent', 'of which the app hears nothing');
select is(tests.attempt('pia', call), outcome, 'outside only: ' || call)
from (values
  ('select id from public.notifications', 'nothing'),
  ('select id from public.list_notifications()', 'nothing'),
  ('select public.mark_all_notifications_read()', '0'),
  ('select public.mark_notification_read(id) from outside', 'PT404 not_found'),
  ('select public.delete_notification(id) from outside', 'PT404 not_found')
) as t (call, outcome);
update public.notifications set read_at = now();
select is_empty('select 1 from sent', 'nor that it was read');

-- Listing ------------------------------------------------------------------------------------------

delete from public.notifications;
insert into public.notifications (id, user_id, kind, title, body, created_at, read_at)
select tests.id('n' || n), tests.id(case n when 5 then 'omar' else 'pia' end), 'care_ended', 'Title ' || n, 'Body',
  now() - n / 2 * interval '1 minute', case when n = 2 then now() end
from generate_series(1, 5) as n;
select is(tests.attempt(actor, 'select title || unread_count from public.list_notifications()', standing), outcome,
  format('listing: %s, %s', actor, standing))
from (values
  ('pia', 'live', 'Title 13, Title 23, Title 33, Title 43'), ('omar', 'live', 'Title 51'), ('ada', 'live', 'nothing'),
  ('pia', 'signed out', 'PT401 unauthenticated'), ('pia', 'locked', 'PT401 unauthenticated'),
  ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);
select is(tests.attempt('pia', 'select title from public.list_notifications(' || arguments || ')'), outcome, arguments)
from (values
  ('p_unread_only => true', 'Title 1, Title 3, Title 4'), ('p_unread_only => null', 'Title 1, Title 2, Title 3, Title 4'),
  ('0', 'PT400 invalid_request'), ('101', 'PT400 invalid_request'), ($$5, 'x'$$, 'PT400 invalid_request')
) as t (arguments, outcome);
select tests.act_as('pia');
create temp table pages as
  with recursive page as (
    (select 1 as number, l.id, l.created_at, l.cursor from public.list_notifications(1) as l)
    union all
    select p.number + 1, l.id, l.created_at, l.cursor
    from page as p cross join lateral public.list_notifications(1, p.cursor) as l
  )
  select number, id from page;
select results_eq(
  'select id from pages order by number',
  'select n.id from public.notifications as n order by n.created_at desc, n.id desc',
  'page by page, each once, newest first'
);
select tests.act_as_owner();

-- Deleting -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, $$ select public.delete_notification(tests.id('n1')) $$, standing), outcome,
  format('deleting: %s, %s', actor, standing))
from (values
  ('pia', 'live', 'done'), ('omar', 'live', 'PT404 not_found'), ('ada', 'live', 'PT404 not_found'),
  ('pia', 'signed out', 'PT401 unauthenticated'), ('anon', 'live', '42501 grant'), ('service_role', 'live', '42501 grant')
) as m (actor, standing, outcome);
insert into public.notification_deliveries (id, notification_id, user_id, channel, status, claim_token, sent_at)
select tests.id('d ' || status), tests.id('n1'), tests.id('pia'), 'email', status,
  case status when 'sending' then gen_random_uuid() end, now()
from unnest(array['pending', 'sending', 'sent', 'dead']) as status;
insert into public.notification_deliveries (id, notification_id, user_id, channel)
values (tests.id('d other'), tests.id('n3'), tests.id('pia'), 'email');
select tests.act_as('pia');
select lives_ok($$ select public.delete_notification(tests.id('n1')) $$, 'pia deletes one');
select tests.act_as_owner();
select set_eq('select title from public.notifications', array['Title 2', 'Title 3', 'Title 4', 'Title 5'], 'and only that');
select results_eq(
  $$ select d.status, d.last_error, d.notification_id from public.notification_deliveries as d
    where d.user_id = tests.id('pia') and d.id = any (select tests.id('d ' || s)
      from unnest(array['pending', 'sending', 'sent', 'dead', 'other']) as s) order by 1, 2 $$,
  $$ values ('dead', null, null), ('pending', null, tests.id('n3')), ('sending', null, null), ('sent', null, null),
    ('suppressed', 'deleted', null) $$,
  'what has not been sent is not sent'
);
-- Whoever has got into an account cannot stop the word of it.
select private.notify(tests.id('pia'), 'new_sign_in', '{}');
select tests.act_as('pia');
select lives_ok($$ select public.delete_notification(id) from public.list_notifications() where kind = 'new_sign_in' $$, 'pia deletes a warning');
select is_empty($$ select id from public.notifications where kind = 'new_sign_in' $$, 'which she sees no more');
select throws_ok(
  format('select public.delete_notification(%L)', (select d.notification_id from public.notification_deliveries as d where d.is_urgent and d.channel = 'email' and d.status = 'pending')),
  'PT404', 'not_found', 'and which is gone for her'
);
select tests.act_as_owner();
select is(
  (select array_agg(c.kind) from private.claim_deliveries(100, 60) as c where c.urgency = 'security'), array['new_sign_in'],
  'and it is sent all the same'
);

select * from finish();
rollback;
