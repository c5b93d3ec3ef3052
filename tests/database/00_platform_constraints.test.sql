-- Constraints of the platform's tables, each on both sides of its limit, tried as the owner.
begin;
select plan(6);

insert into private.rate_limits (key, tokens, granted, refilled_at)
values ('k', 1, true, now());

select is(
  tests.refusal(format('update private.rate_limits set %s where key = %L', change, 'k')),
  outcome, format('rate_limits: %s: %s', left(change, 60), outcome)
)
from (values
  ($$key = ''$$, 'rate_limits_key_check'),
  ($$key = repeat('x', 200)$$, 'done'),
  ($$key = repeat('x', 201)$$, 'rate_limits_key_check'),
  ($$tokens = 0$$, 'done'),
  ($$tokens = 0.5$$, 'done'),
  ($$tokens = -0.5$$, 'rate_limits_tokens_check')
) as t (change, outcome);

select * from finish();
rollback;
