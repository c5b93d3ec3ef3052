-- Conditions of the policies of records that grants, keys or triggers make hard to reach: with the
-- columns open, each of them holds by itself. The ward: tests/support/ward.sql.
begin;
select plan(14);

select tests.make_ward();
-- `Finding` is doc's and `Draft` is Pia's; neither has contents.
insert into public.medical_records (id, patient_id, title, record_type)
select tests.id(title), tests.uid('pia'), title, 'other'
from unnest(array['Finding', 'Draft']) as title;
update public.medical_records set source = 'doctor', created_by = tests.uid('doc')
where id = tests.id('Finding');

grant update (created_by) on public.medical_records to authenticated;
grant insert (patient_id, sensitivity) on public.medical_record_contents to authenticated;
grant update (record_id) on public.medical_record_contents to authenticated;

select is(tests.attempt('doc', format(
    'update public.medical_records set created_by = tests.id(%L) where id = tests.id(%L)', name, title
  )), outcome, format('doc says that %s was added by %s', title, name))
from (values
  ('Note', 'doc', '1'),
  ('Note', 'doc_closed', '42501 policy'),
  ('Note', 'pia', '42501 policy'),
  ('Letter', 'doc', '0')
) as m (title, name, outcome);

select is(tests.attempt('doc', format(
    $$ insert into public.medical_record_contents (record_id, patient_id, sensitivity)
      values (tests.id(%L), tests.id(%L), 'normal') $$, title, patient
  )), outcome, format('doc writes contents of %s for %s', title, patient))
from (values
  ('Finding', 'pia', '1'),
  ('Finding', 'omar', '42501 policy'),
  ('Draft', 'pia', '42501 policy')
) as m (title, patient, outcome);

select is(tests.attempt('doc', format(
    $$ update public.medical_record_contents set record_id = tests.id(%L)
      where record_id = tests.id('Note') $$, title
  )), outcome, format('doc moves the contents of Note to %s', title))
from (values
  ('Finding', '1'),
  ('Draft', '42501 policy'),
  ('Letter', '42501 policy')
) as m (title, outcome);

-- The statement reads no column: what it is about, the update policy alone decides.
select is(tests.attempt('doc', $$ update public.medical_record_contents set metadata = '{}' $$),
  '1', 'doc changes the contents of what he has added');
update public.medical_record_contents set patient_id = tests.uid('omar')
where record_id = tests.id('Note');
select is(tests.attempt('doc', $$ update public.medical_record_contents set metadata = '{}' $$),
  '0', 'doc changes no contents that are of a patient he does not treat');

-- Below their own folder, people with an address add a picture, and a guest does not.
insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true)
on conflict do nothing;
select is(tests.attempt(actor, format(
    'insert into storage.objects (bucket_id, name) values (%L, %L)',
    'avatars', tests.id(actor) || '/me.png'
  )), outcome, 'avatars: insert by ' || actor)
from (values ('pia', '1'), ('guest', '42501 policy')) as m (actor, outcome);

select * from finish();
rollback;
