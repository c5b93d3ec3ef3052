-- Constraints of notifications, each on both sides of its limit, tried as the owner:
-- whatever grants, policies and functions let through, a row cannot say more than this.
begin;
select plan(13);

select tests.make_user('pia');
select private.notify(tests.uid('pia'), 'emergency_access', '{}');

select is(
  tests.refusal('update public.notifications set ' || change),
  outcome, format('notifications: %s: %s', left(change, 60), outcome)
)
from (values
  ($$kind = repeat('x', 60)$$, 'done'),
  ($$kind = repeat('x', 61)$$, 'notifications_kind_check'),
  ($$kind = 'Emergency access'$$, 'notifications_kind_check'),
  ($$title = ''$$, 'notifications_title_check'),
  ($$title = repeat('x', 120)$$, 'done'),
  ($$title = repeat('x', 121)$$, 'notifications_title_check'),
  ($$body = ''$$, 'notifications_body_check'),
  ($$body = repeat('x', 500)$$, 'done'),
  ($$body = repeat('x', 501)$$, 'notifications_body_check'),
  ($$data = '[]'$$, 'notifications_data_check'),
  ($$data = jsonb_build_object('a', repeat('x', 900))$$, 'done'),
  ($$data = (select jsonb_object_agg(n::text, md5(n::text)) from generate_series(1, 40) as n)$$,
    'notifications_data_check'),
  ($$user_id = gen_random_uuid()$$, 'notifications_user_id_fkey')
) as t (change, outcome);

select * from finish();
rollback;
