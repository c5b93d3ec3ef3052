-- Constraints of keys, each on both sides of its limit, tried as the owner:
-- whatever grants, policies and functions let through, a row cannot say more than this.
begin;
select plan(23);

select tests.make_user('pia');
insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
values
  (tests.id('file key'), 'record_file', tests.id('Scan'), 'main', 1,
    decode(repeat('ab', 60), 'hex')),
  (tests.id('field key'), 'patient_fields', tests.uid('pia'), 'main', 1,
    decode(repeat('cd', 60), 'hex'));

select is(
  tests.refusal(format('update private.data_keys set %s where id = %L',
    change, tests.id('file key'))),
  outcome, format('data_keys: %s: %s', left(change, 60), outcome)
)
from (values
  ($$purpose = 'backup'$$, 'data_keys_purpose_check'),
  ($$purpose = 'patient_fields'$$, 'done'),
  ($$purpose = 'patient_fields', subject_id = tests.id('pia')$$, 'data_keys_one_patient_key'),
  ($$subject_id = tests.id('pia')$$, 'done'),
  ($$purpose = 'patient_fields', subject_id = tests.id('pia'), wrapped_key = null,
    erased_at = now()$$, 'done'),
  ($$key_id = 'a'$$, 'done'),
  ($$key_id = 'a-' || repeat('0', 30)$$, 'done'),
  ($$key_id = 'a-' || repeat('0', 31)$$, 'data_keys_key_id_check'),
  ($$key_id = '0a'$$, 'data_keys_key_id_check'),
  ($$key_id = 'Main'$$, 'data_keys_key_id_check'),
  ($$key_version = 0$$, 'data_keys_key_version_check'),
  ($$key_version = 1$$, 'done'),
  ($$key_version = 999999$$, 'done'),
  ($$key_version = 1000000$$, 'data_keys_key_version_check'),
  ($$wrapped_key = decode(repeat('00', 60), 'hex')$$, 'done'),
  ($$wrapped_key = decode(repeat('00', 59), 'hex')$$, 'data_keys_wrapped_key_check'),
  ($$wrapped_key = decode(repeat('00', 61), 'hex')$$, 'data_keys_wrapped_key_check'),
  ($$wrapped_key = null, erased_at = now()$$, 'done'),
  ($$wrapped_key = null$$, 'data_keys_erased_check'),
  ($$erased_at = now()$$, 'data_keys_erased_check'),
  ($$id = tests.id('field key')$$, 'data_keys_pkey')
) as t (change, outcome);

select is(
  tests.refusal($$ insert into private.key_versions (key_id, key_version) values ('main', 1) $$),
  'key_versions_pkey', 'a version is noted once'
);
update private.data_keys set key_version = 2 where id = tests.id('file key');
select results_eq(
  'select key_id, key_version from private.key_versions order by key_version',
  $$ values ('main', 1), ('main', 2) $$, 'one that wraps a key anew is noted, too'
);

select * from finish();
rollback;
