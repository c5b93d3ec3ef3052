-- Notifications: who is told what in which language, who reads it, and marking as read. Pia is told
-- things; omar is somebody else; ada is an administrator.
begin;
select plan(55);

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
  $$ select kind from private.notification_templates $$
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

select * from finish();
rollback;
