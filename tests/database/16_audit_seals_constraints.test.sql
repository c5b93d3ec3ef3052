-- Constraints of the seals, each on both sides of its limit, tried as the owner:
-- whatever grants, policies and functions let through, a row cannot say more than this.
begin;
select plan(18);

create function pg_temp.seal(p_id bigint, p_changes jsonb default '{}')
  returns text
  language sql
as $$
  select format(
    'insert into public.audit_seals (id, from_id, to_id, leaf_count, merkle_root, previous_hash, '
      || 'snapshot, is_drained, is_restart, sealed_at) '
      || 'values (%s, %s, %s, %s, decode(%L, ''hex''), decode(%L, ''hex''), pg_current_snapshot(), '
      || 'true, false, now())',
    p_id, v ->> 'from_id', v ->> 'to_id', v ->> 'leaf_count', v ->> 'merkle_root',
    v ->> 'previous_hash'
  )
  from (
    select jsonb_build_object(
      'from_id', 1, 'to_id', 1, 'leaf_count', 1, 'merkle_root', repeat('0a', 32),
      'previous_hash', case when p_id > 1 then repeat('0b', 32) end
    ) || p_changes
  ) as s (v)
$$;

select is(tests.refusal(pg_temp.seal(id, changes)), outcome,
  format('audit_seals: %s, %s: %s', id, left(changes::text, 60), outcome))
from (values
  (1, '{}'::jsonb, 'done'),
  (2, '{}', 'done'),
  (0, jsonb_build_object('previous_hash', repeat('0b', 32)), 'audit_seals_id_check'),
  (1, '{"from_id": 2}', 'audit_seals_range_check'),
  (1, '{"to_id": 2}', 'done'),
  (1, '{"leaf_count": 0}', 'audit_seals_leaf_count_check'),
  (1, jsonb_build_object('merkle_root', repeat('0a', 31)), 'audit_seals_merkle_root_check'),
  (1, jsonb_build_object('merkle_root', repeat('0a', 33)), 'audit_seals_merkle_root_check'),
  (1, jsonb_build_object('previous_hash', repeat('0b', 32)), 'audit_seals_previous_hash_check'),
  (2, '{"previous_hash": null}', 'audit_seals_previous_hash_check'),
  (2, jsonb_build_object('previous_hash', repeat('0b', 31)), 'audit_seals_previous_hash_check'),
  (2, jsonb_build_object('previous_hash', repeat('0b', 33)), 'audit_seals_previous_hash_check')
) as t (id, changes, outcome);

do $$ begin execute pg_temp.seal(1); execute pg_temp.seal(2); end $$;
select is(tests.refusal(pg_temp.seal(2, jsonb_build_object('previous_hash', repeat('0c', 32)))),
  'audit_seals_pkey', 'no two seals of one number');
select is(tests.refusal(pg_temp.seal(3)), 'audit_seals_previous_hash_key',
  'no two seals after one');

insert into private.audit_seal_leaves (seal_id, position, event_id, occurred_at, leaf_hash)
values (1, 0, 7, now(), '\x00');
select is(
  tests.refusal(format(
    'insert into private.audit_seal_leaves (seal_id, position, event_id, occurred_at, leaf_hash) '
      || $q$values (%s, now(), '\x00')$q$,
    leaf
  )),
  outcome, format('audit_seal_leaves: %s: %s', leaf, outcome)
)
from (values
  ('2, -1, 8', 'audit_seal_leaves_position_check'),
  ('2, 0, 7', 'audit_seal_leaves_one_seal'),
  ('1, 0, 8', 'audit_seal_leaves_pkey'),
  ('3, 0, 8', 'audit_seal_leaves_seal_id_fkey')
) as t (leaf, outcome);

select * from finish();
rollback;
