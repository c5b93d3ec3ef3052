-- Constraints of the blind index, each on both sides of its limit, tried as the owner:
-- whatever grants, policies and functions let through, a row cannot say more than this.
begin;
select plan(6);

select tests.make_user('pia');
insert into private.patient_search_keys (patient_id, field, digest)
select tests.uid('pia'), field, decode(repeat('ab', 32), 'hex')
from unnest(array['phone', 'phone_national']) as field;

select is(
  tests.refusal(format('update private.patient_search_keys set %s where field = %L',
    change, 'phone')),
  outcome, format('patient_search_keys: %s: %s', left(change, 60), outcome)
)
from (values
  ($$field = 'insurance_policy_number'$$, 'done'),
  ($$field = 'address'$$, 'patient_search_keys_field_check'),
  ($$field = 'phone_national'$$, 'patient_search_keys_pkey'),
  ($$digest = decode(repeat('00', 32), 'hex')$$, 'done'),
  ($$digest = decode(repeat('00', 31), 'hex')$$, 'patient_search_keys_digest_check'),
  ($$digest = decode(repeat('00', 33), 'hex')$$, 'patient_search_keys_digest_check')
) as t (change, outcome);

select * from finish();
rollback;
