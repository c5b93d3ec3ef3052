-- Sign-in attempts: five failures within 300 seconds of the first end the trying. The hook runs as
-- the Auth service. `a` tries, `b` is somebody else.
begin;
select plan(15);

select tests.make_user(u) from unnest(array['a', 'b']) as u;

create function pg_temp.attempt(p_handle text, p_valid boolean, p_factor uuid default null)
  returns text
  language sql
as $$
  select private.limit_sign_in_attempts(
    jsonb_build_object('user_id', tests.id(p_handle), 'valid', p_valid)
      || case when p_factor is null then '{}' else jsonb_build_object('factor_id', p_factor) end
  ) ->> 'decision'
$$;

select tests.act_as_role('supabase_auth_admin');
select is(pg_temp.attempt('a', false), 'continue', 'failure ' || n || ' of five is answered as such')
from generate_series(1, 5) as n;
select is(pg_temp.attempt('a', false), 'reject', 'the sixth failure is refused');
select is(pg_temp.attempt('a', true), 'reject', 'so is the right password');
select is(pg_temp.attempt('b', true), 'continue', 'another account is not touched');
select is(pg_temp.attempt('a', true, gen_random_uuid()), 'continue', 'nor is another method');

select tests.act_as_owner();
update private.sign_in_failures set window_started_at = window_started_at - interval '301 seconds';
select tests.act_as_role('supabase_auth_admin');
select is(pg_temp.attempt('a', false), 'continue', 'after 300 seconds counting starts anew');
select is(pg_temp.attempt('a', true), 'continue', 'the right password goes through');
select tests.act_as_owner();
select is_empty('select 1 from private.sign_in_failures', 'and forgets the failures');

select tests.act_as('a');
select throws_ok(
  $$select private.limit_sign_in_attempts('{"valid": true}')$$,
  '42501', null, 'a user may not call the hook'
);
select throws_ok(
  'select 1 from private.sign_in_failures', '42501', null, 'nor read the failures'
);
select tests.act_as_role('supabase_auth_admin');
select throws_ok(
  'delete from private.sign_in_failures', '42501', null, 'nor may the Auth service itself'
);

select * from finish();
rollback;
