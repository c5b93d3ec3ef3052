-- What becomes of records: who adds what, what the database notes of it, values that are refused,
-- deletion and restoration, and the copies that contents keep. Pia is a patient; doc has her chart
-- open, carer too, without the scope sensitive; rae has a share of Scan.
begin;
select plan(75);

select tests.make_user('pia'), tests.make_user('rae'), tests.make_user('doc', 'doctor'),
  tests.make_user('carer', 'caregiver');
select tests.make_record('Scan', 'pia'), tests.make_record('Blood', 'pia');
select tests.make_share('Scan', 'rae', 'download');
select tests.open_chart('pia', 'doc'), tests.open_chart('pia', 'carer');

create function pg_temp.call(p_handle text, p_statement text) returns text language plpgsql as $$
begin
  begin
    perform tests.act_as(p_handle);
    execute p_statement;
    perform tests.act_as_owner();
    return 'done';
  exception
    when others then return concat_ws(' ', sqlstate, sqlerrm);
  end;
end
$$;
create function pg_temp.reads(p_handle text) returns text language sql as $$
  select tests.attempt(p_handle, 'select title from public.medical_records') || ' / '
    || tests.attempt(p_handle,
      'select replace(tests.unsealed(description), ''Contents of '', '''')
        from public.medical_record_contents')
$$;

-- Adding -----------------------------------------------------------------------------------------

select is(pg_temp.call(handle, format(
    'insert into public.medical_records (patient_id, title, record_type) values (tests.id(%L), %L, %L)',
    'pia', title, 'other'
  )), 'done', format('%s adds %s', handle, title))
from (values ('pia', 'Diary'), ('doc', 'Note')) as a (handle, title);
select results_eq(
  $$
    select title, source, tests.names() ->> created_by::text, sensitivity, source_system, file_name,
      deleted_at
    from public.medical_records where title in ('Diary', 'Note') order by 1
  $$,
  $$ values
    ('Diary', 'upload', 'Pia', 'normal', null::text, null::text, null::timestamptz),
    ('Note', 'doctor', 'Doc', 'normal', null, null, null)
  $$,
  'a record says who added it, and whether as the patient or as a doctor'
);
select tests.make_field_key('pia');
select is(pg_temp.call('doc', $$
    insert into public.medical_record_contents (record_id, metadata)
    select id, '{"a": 1}' from public.medical_records where title = 'Note'
  $$), 'done', 'a doctor adds the contents of what he added');
select is(pg_temp.call('doc', $$
    select private.write_record_description(id, tests.sealed('Contents of Note', 'pia'))
    from public.medical_records where title = 'Note'
  $$), 'done', 'and describes it');
select is(pg_temp.call('doc', $$ update public.medical_records set title = 'Notes'
  where title = 'Note' $$), 'done',
  'and changes it');
select is((select created_by from public.medical_records where title = 'Notes'), tests.id('doc'),
  'which stays his');
select is(pg_temp.call('pia', $$ update public.medical_records set title = 'Note'
  where title = 'Notes' $$), 'done',
  'the patient changes what a doctor added');
select results_eq(
  $$ select source, tests.names() ->> created_by::text from public.medical_records
    where title = 'Note' $$,
  $$ values ('doctor', 'Doc') $$, 'and it stays the doctor''s addition'
);
select is(tests.attempt('doc', $$
    insert into public.medical_records (patient_id, title, record_type)
      values (tests.id('doc'), 'Own', 'other')
  $$), '1', 'a doctor adds records of his own, as a patient');

-- Were the columns open by mistake, the database would still write them itself.
grant insert (source, created_by) on public.medical_records to authenticated;
select is(pg_temp.call(handle, format(
    'insert into public.medical_records (patient_id, title, record_type, source, created_by)
      values (tests.id(%L), %L, %L, %L, tests.id(%L))',
    'pia', 'Forged by ' || handle, 'other', source, 'rae'
  )), 'done', format('%s adds as somebody else, by another source', handle))
from (values ('pia', 'doctor'), ('doc', 'upload')) as a (handle, source);
revoke insert (source, created_by) on public.medical_records from authenticated;
select results_eq(
  $$ select title, source, tests.names() ->> created_by::text from public.medical_records
    where title like 'Forged by %' order by 1 $$,
  $$ values ('Forged by doc', 'doctor', 'Doc'), ('Forged by pia', 'upload', 'Pia') $$,
  'it is said by whom it was'
);
delete from public.medical_records where title like 'Forged by %';

-- Values -----------------------------------------------------------------------------------------

select is(tests.attempt('pia', format(
    'insert into public.medical_records (patient_id, title, record_type, record_date, sensitivity) values (tests.id(''pia''), %s)', row
  )), outcome, format('a record of %s', left(row, 60)))
from (values
  ($$'x', 'imaging', null, 'normal'$$, '1'),
  ($$repeat('x', 300), 'lab_result', '1880-01-01', 'sensitive'$$, '1'),
  ($$repeat('x', 301), 'other', null, 'normal'$$, '23514'),
  ($$'', 'other', null, 'normal'$$, '23514'),
  ($$' x', 'other', null, 'normal'$$, '23514'),
  ($$null, 'other', null, 'normal'$$, '23502'),
  ($$'x', 'allergy', null, 'normal'$$, '23514'),
  ($$'x', null, null, 'normal'$$, '23502'),
  ($$'x', 'other', '1879-12-31', 'normal'$$, '23514'),
  ($$'x', 'other', '2200-01-02', 'normal'$$, '23514'),
  ($$'x', 'other', 'infinity', 'normal'$$, '23514'),
  ($$'x', 'other', null, 'secret'$$, '23514'),
  ($$'x', 'other', null, null$$, '23502')
) as v (row, outcome);
select is(tests.attempt('pia',
  format('update public.medical_record_contents set %s where record_id = tests.id(''Scan'')',
    change)),
  outcome, format('contents with %s', left(change, 60)))
from (values
  ($$metadata = '[]'$$, '23514'),
  ($$metadata = 'null'$$, '23514'),
  ($$metadata = null$$, '23502'),
  ($$metadata = jsonb_build_object('a', repeat('x', 16000))$$, '1'),
  ($$metadata = jsonb_build_object('a', repeat('x', 17000))$$, '23514')
) as v (change, outcome);
select throws_ok(format('update public.medical_records set %s where title = ''Scan''', change),
  '23514', null, 'no record with ' || change)
from unnest(array[
  $$source = 'import'$$, $$source = 'fhir'$$, $$source_system = 'https://h.example'$$,
  $$source_system = 'https://h.example', source_id = 'Condition/1'$$,
  $$source = 'fhir', source_system = '', source_id = 'Condition/1'$$,
  $$file_name = 'scan.pdf'$$, $$file_name = 'a', file_type = 'b', file_size = 0,
    file_sha256 = repeat('a', 64)$$,
  $$file_name = 'a', file_type = 'b', file_size = 50000001, file_sha256 = repeat('a', 64)$$,
  $$file_name = 'a', file_type = 'b', file_size = 1, file_sha256 = repeat('A', 64)$$
]) as change;
select throws_ok(format('update public.medical_record_contents set %s where record_id = tests.id(''Scan'')', change),
  '23514', null, 'no contents with ' || change)
from unnest(array[
  $$storage_path = 'elsewhere', data_key_id = tests.make_data_key(tests.id('Scan'))$$,
  $$storage_path = tests.id('rae') || '/' || tests.id('Scan') || '/x',
    data_key_id = tests.make_data_key(tests.id('Scan'))$$,
  $$storage_path = tests.id('pia') || '/' || tests.id('Blood') || '/x',
    data_key_id = tests.make_data_key(tests.id('Scan'))$$,
  $$storage_path = tests.id('pia') || '/' || tests.id('Scan') || '/x'$$,
  $$data_key_id = tests.make_data_key(tests.id('Scan'))$$
]) as change;

-- Deleting and restoring -------------------------------------------------------------------------

select is(pg_temp.reads('pia'), 'Blood, Diary, Note, Scan / Blood, Note, Scan',
  'the patient has four records');
select is(tests.attempt(actor, format('select public.%s(tests.id(%L))', call, 'Scan')), outcome,
  format('%s: %s', actor, call))
from unnest(array['delete_medical_record', 'restore_medical_record']) as call
cross join (values
  ('rae', 'PT404 not_found'), ('doc', 'PT404 not_found'), ('carer', 'PT404 not_found'),
  ('anon', '42501 grant'), ('service_role', '42501 grant')
) as m (actor, outcome);
select is(tests.attempt('doc',
  $$ select public.delete_medical_record(id) from public.medical_records where title = 'Note' $$),
  'PT404 not_found', 'a doctor does not delete even what he added');

select is(pg_temp.call('pia', $$ select public.delete_medical_record(tests.id('Scan')) $$), 'done',
  'the patient deletes');
select is(pg_temp.reads(h), reads, format('then %s reads %s', h, reads))
from (values
  ('pia', 'Blood, Diary, Note, Scan / Blood, Note, Scan'),
    ('doc', 'Blood, Diary, Note / Blood, Note'),
  ('carer', 'Blood, Diary, Note / Blood, Note'), ('rae', 'nothing / nothing')
) as r (h, reads);
select is(tests.attempt(h, $$ select title from public.open_medical_record(tests.id('Scan')) $$),
  outcome, 'and opens: ' || h)
from (values ('pia', 'Scan'), ('doc', 'PT404 not_found'), ('rae', 'PT404 not_found')) as r (h,
  outcome);
update public.medical_records set deleted_at = now() - interval '1 day' where title = 'Scan';
select is(pg_temp.call('pia', $$ select public.delete_medical_record(tests.id('Scan')) $$), 'done',
  'deleting twice is done');
select is((select deleted_at from public.medical_records where title = 'Scan'),
  now() - interval '1 day',
  'and keeps the day of the first time');
select is(pg_temp.call('pia', $$ select public.restore_medical_record(tests.id('Scan')) $$), 'done',
  'the patient restores');
select is(pg_temp.reads(h), reads, format('then %s reads %s', h, reads))
from (values
  ('doc', 'Blood, Diary, Note, Scan / Blood, Note, Scan'), ('rae', 'Scan / nothing')
) as r (h, reads);

-- Copies -----------------------------------------------------------------------------------------

select is(pg_temp.call('pia', $$ update public.medical_records set sensitivity = 'sensitive'
  where title in ('Blood', 'Diary') $$),
  'done', 'the patient marks two records');
select is(pg_temp.reads('carer'), 'Note, Scan / Note, Scan',
  'which hides them and their contents from a caregiver without that scope');
select is(pg_temp.call('pia', $$
    select private.write_record_description(id, tests.sealed('Contents of Diary', 'pia'))
    from public.medical_records where title = 'Diary'
  $$), 'done', 'contents that come later');
select is(pg_temp.reads('carer'), 'Note, Scan / Note, Scan', 'take over the mark');
select is_empty(
  $$
    select r.title from public.medical_records as r
      join public.medical_record_contents as c on c.record_id = r.id
    where (c.patient_id, c.sensitivity, c.deleted_at) is distinct
      from (r.patient_id, r.sensitivity, r.deleted_at)
  $$,
  'the copies equal the records'
);

select * from finish();
rollback;
