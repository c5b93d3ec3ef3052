-- Constraints of records, each on both sides of its limit, tried as the owner: whatever grants,
-- policies and functions let through, a row cannot say more than this.
begin;
select plan(103);

select tests.make_user(u) from unnest(array['pia', 'omar']) as u;
select tests.make_record('Scan', 'pia'), tests.make_record('Bill', 'pia');
select tests.make_share('Scan', 'omar');
update public.medical_records
set source = 'fhir', source_system = 'urn:a', source_id = 'Observation/1'
where id = tests.id('Bill');
insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
select tests.id(title || ' key'), 'record_file', tests.id(title), 'test', 1,
  decode(repeat('ab', 60), 'hex')
from unnest(array['Scan', 'Bill']) as title;
update public.medical_record_contents
set storage_path = patient_id || '/' || record_id || '/x', data_key_id = tests.id('Bill key')
where record_id = tests.id('Bill');
insert into private.record_uploads (
  record_id, patient_id, storage_path, file_name, file_type, file_size, file_sha256, requested_by,
  expires_at, data_key_id
)
select tests.id(title), tests.uid('pia'), 'pia/' || title, 'x.png', 'image/png', 10, repeat('0', 64),
  tests.uid('pia'), now() + interval '1 hour', tests.id(title || ' key')
from unnest(array['Scan', 'Bill']) as title;
insert into private.patient_identifiers (id, patient_id, system, value)
values (tests.id('urn:a'), tests.uid('pia'), 'urn:a', '1'),
  (tests.id('urn:b'), tests.uid('pia'), 'urn:b', '2');

select is(
  tests.refusal(format('update public.medical_records set %s where id = %L',
    change, tests.id('Scan'))),
  outcome, format('medical_records: %s: %s', left(change, 60), outcome)
)
from (values
  ($$title = repeat('x', 0)$$, 'medical_records_title_check'),
  ($$title = repeat('x', 1)$$, 'done'),
  ($$title = repeat('x', 300)$$, 'done'),
  ($$title = repeat('x', 301)$$, 'medical_records_title_check'),
  ($$title = ' x'$$, 'medical_records_title_check'),
  ($$record_type = 'gossip'$$, 'medical_records_record_type_check'),
  ($$record_type = 'care_plan'$$, 'done'),
  ($$record_date = '1879-12-31'$$, 'medical_records_record_date_check'),
  ($$record_date = '1880-01-01'$$, 'done'),
  ($$record_date = '2200-01-01'$$, 'done'),
  ($$record_date = '2200-01-02'$$, 'medical_records_record_date_check'),
  ($$source = 'rumour'$$, 'medical_records_source_check'),
  ($$source = 'doctor'$$, 'done'),
  ($$source = 'fhir'$$, 'medical_records_source_id_check'),
  ($$source = 'fhir', source_system = repeat('x', 500), source_id = repeat('x', 500)$$, 'done'),
  ($$source = 'fhir', source_system = 'urn:a', source_id = 'Observation/2'$$, 'done'),
  ($$source = 'fhir', source_system = 'urn:a', source_id = 'Observation/1'$$,
    'medical_records_source_key'),
  ($$source_system = 'x', source_id = 'x'$$, 'medical_records_source_id_check'),
  ($$source_system = 'x'$$, 'medical_records_source_id_check'),
  ($$source = 'fhir', source_id = 'x'$$, 'medical_records_source_id_check'),
  ($$source = 'fhir', source_system = '', source_id = 'x'$$, 'medical_records_source_id_check'),
  ($$source = 'fhir', source_system = repeat('x', 501), source_id = 'x'$$,
    'medical_records_source_id_check'),
  ($$source = 'fhir', source_system = 'x', source_id = ''$$, 'medical_records_source_id_check'),
  ($$source = 'fhir', source_system = 'x', source_id = repeat('x', 501)$$,
    'medical_records_source_id_check'),
  ($$source = 'fhir', source_system = 'x', source_id = 'x', source_url = repeat('x', 500)$$,
    'done'),
  ($$source = 'fhir', source_system = 'x', source_id = 'x', source_url = repeat('x', 501)$$,
    'medical_records_source_url_check'),
  ($$source = 'fhir', source_system = 'x', source_id = 'x', source_url = ''$$,
    'medical_records_source_url_check'),
  ($$source_url = 'urn:x'$$, 'medical_records_source_url_check'),
  ($$sensitivity = 'secret'$$, 'medical_records_sensitivity_check'),
  ($$sensitivity = 'sensitive'$$, 'done'),
  ($$file_name = 'a', file_type = 'text/plain', file_size = 1, file_sha256 = repeat('0', 64)$$,
    'done'),
  ($$file_name = 'a', file_type = 'text/plain', file_size = 50000000, file_sha256 = repeat('f', 64)$$,
    'done'),
  ($$file_name = 'a', file_type = 'text/plain', file_size = 0, file_sha256 = repeat('0', 64)$$,
    'medical_records_file_check'),
  ($$file_name = 'a', file_type = 'text/plain', file_size = 50000001, file_sha256 = repeat('0', 64)$$,
    'medical_records_file_check'),
  ($$file_name = 'a', file_type = 'text/plain', file_size = 1, file_sha256 = repeat('0', 63)$$,
    'medical_records_file_check'),
  ($$file_name = 'a', file_type = 'text/plain', file_size = 1, file_sha256 = repeat('g', 64)$$,
    'medical_records_file_check'),
  ($$file_name = 'a'$$, 'medical_records_file_check')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.medical_record_contents set %s where record_id = %L',
    change, tests.id('Scan'))),
  outcome, format('medical_record_contents: %s: %s', left(change, 60), outcome)
)
from (values
  ($$description = tests.sealed('')$$, 'medical_record_contents_description_check'),
  ($$description = tests.sealed(repeat('x', 80000))$$, 'done'),
  ($$description = tests.sealed(repeat('x', 80001))$$, 'medical_record_contents_description_check'),
  ($$description = 'Found nothing'$$, 'medical_record_contents_description_check'),
  ($$metadata = '[]'$$, 'medical_record_contents_metadata_check'),
  ($$metadata = jsonb_build_object('a', repeat('x', 16000))$$, 'done'),
  ($$metadata = (select jsonb_object_agg(n::text, md5(n::text)) from generate_series(1, 500) as n)$$,
    'medical_record_contents_metadata_check'),
  ($$storage_path = patient_id || '/' || record_id || '/x', data_key_id = tests.id('Scan key')$$,
    'done'),
  ($$storage_path = gen_random_uuid() || '/' || record_id || '/x',
    data_key_id = tests.id('Scan key')$$,
    'medical_record_contents_storage_path_check'),
  ($$storage_path = patient_id || '/' || gen_random_uuid() || '/x',
    data_key_id = tests.id('Scan key')$$,
    'medical_record_contents_storage_path_check'),
  ($$storage_path = patient_id || '/' || record_id || '/x'$$,
    'medical_record_contents_data_key_check'),
  ($$data_key_id = tests.id('Scan key')$$, 'medical_record_contents_data_key_check'),
  ($$storage_path = patient_id || '/' || record_id || '/x', data_key_id = gen_random_uuid()$$,
    'medical_record_contents_data_key_id_fkey'),
  ($$storage_path = patient_id || '/' || record_id || '/x', data_key_id = tests.id('Bill key')$$,
    'medical_record_contents_data_key_id_key')
) as t (change, outcome);

select is(
  tests.refusal(format('update public.medical_record_shares set %s where record_id = %L',
    change, tests.id('Scan'))),
  outcome, format('medical_record_shares: %s: %s', left(change, 60), outcome)
)
from (values
  ($$access_level = 'edit'$$, 'medical_record_shares_access_level_check'),
  ($$access_level = 'download'$$, 'done'),
  ($$expires_at = created_at$$, 'medical_record_shares_expires_at_check'),
  ($$expires_at = created_at + interval '366 days'$$, 'done'),
  ($$expires_at = created_at + interval '366 days 1 second'$$,
    'medical_record_shares_expires_at_check'),
  ($$revoked_at = created_at$$, 'done'),
  ($$revoked_at = created_at - interval '1 second'$$, 'medical_record_shares_revoked_at_check'),
  ($$shared_with_id = patient_id$$, 'medical_record_shares_people_check')
) as t (change, outcome);

select is(
  tests.refusal(format('update private.record_uploads set %s where record_id = %L',
    change, tests.id('Scan'))),
  outcome, format('record_uploads: %s: %s', left(change, 60), outcome)
)
from (values
  ($$storage_path = 'pia/Scan again'$$, 'done'),
  ($$storage_path = 'pia/Bill'$$, 'record_uploads_storage_path_key'),
  ($$file_name = repeat('x', 255)$$, 'done'),
  ($$file_name = repeat('x', 256)$$, 'record_uploads_file_name_check'),
  ($$file_name = ''$$, 'record_uploads_file_name_check'),
  ($$file_name = 'a/b'$$, 'record_uploads_file_name_check'),
  ($$file_name = 'a\b'$$, 'record_uploads_file_name_check'),
  ($$file_name = E'a\nb'$$, 'record_uploads_file_name_check'),
  ($$file_type = 'application/dicom'$$, 'done'),
  ($$file_type = 'text/html'$$, 'record_uploads_file_type_check'),
  ($$file_size = 0$$, 'record_uploads_file_size_check'),
  ($$file_size = 1$$, 'done'),
  ($$file_size = 50000000$$, 'done'),
  ($$file_size = 50000001$$, 'record_uploads_file_size_check'),
  ($$file_sha256 = repeat('A', 64)$$, 'record_uploads_file_sha256_check'),
  ($$file_sha256 = repeat('f', 64)$$, 'done'),
  ($$data_key_id = gen_random_uuid()$$, 'done'),
  ($$data_key_id = tests.id('Bill key')$$, 'record_uploads_data_key_id_key'),
  ($$completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('0', 64)$$, 'done'),
  ($$completed_at = now(), object_version = 'v'$$, 'record_uploads_ciphertext_sha256_check'),
  ($$completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('A', 64)$$,
    'record_uploads_ciphertext_sha256_check'),
  ($$ciphertext_sha256 = repeat('0', 64)$$, 'record_uploads_ciphertext_sha256_check'),
  ($$completed_at = now(), ciphertext_sha256 = repeat('0', 64)$$,
    'record_uploads_object_version_check'),
  ($$object_version = 'v'$$, 'record_uploads_object_version_check'),
  ($$rejected_at = now(), swept_at = now()$$, 'done'),
  ($$erased_at = now()$$, 'record_uploads_outcome_check'),
  ($$completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('0', 64),
    erased_at = now(), swept_at = now()$$, 'done'),
  ($$completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('0', 64),
    rejected_at = now()$$, 'record_uploads_outcome_check'),
  ($$completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('0', 64),
    erased_at = now(), rejected_at = now()$$, 'record_uploads_outcome_check'),
  ($$completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('0', 64),
    swept_at = now()$$, 'record_uploads_outcome_check')
) as t (change, outcome);

-- A record has one share with one person at a time, and one file.
select is(
  tests.refusal(format($$
    insert into public.medical_record_shares (
      record_id, patient_id, shared_with_id, shared_by_id, access_level, created_at, expires_at
    )
    select record_id, patient_id, shared_with_id, shared_by_id, access_level, %1$s, %1$s + '1 day'
    from public.medical_record_shares where record_id = tests.id('Scan')
  $$, began)),
  outcome, format('another share with the same person, from %s: %s', began, outcome)
)
from (values
  ('expires_at', 'done'),
  ($$expires_at - interval '1 second'$$, 'medical_record_shares_one_live'),
  ('now()', 'medical_record_shares_one_live')
) as t (began, outcome);

update private.record_uploads
set completed_at = now(), object_version = 'v', ciphertext_sha256 = repeat('0', 64)
where record_id = tests.id('Scan');
select is(
  tests.refusal(format($$
    update private.record_uploads
    set record_id = tests.id('Scan'), completed_at = now(), object_version = 'v',
      ciphertext_sha256 = repeat('0', 64), erased_at = %s
    where record_id = tests.id('Bill')
  $$, erased_at)),
  outcome, format('a second file of a record, erased at %s: %s', erased_at, outcome)
)
from (values ('null', 'record_uploads_one_completed'), ('now()', 'done')) as t (erased_at, outcome);

select is(
  tests.refusal(format('update private.patient_identifiers set %s where id = %L',
    change, tests.id('urn:a'))),
  outcome, format('patient_identifiers: %s: %s', left(change, 60), outcome)
)
from (values
  ($$system = repeat('x', 0)$$, 'patient_identifiers_system_check'),
  ($$system = repeat('x', 1)$$, 'done'),
  ($$system = repeat('x', 510)$$, 'done'),
  ($$system = repeat('x', 511)$$, 'patient_identifiers_system_check'),
  ($$value = repeat('x', 0)$$, 'patient_identifiers_value_check'),
  ($$value = repeat('x', 1)$$, 'done'),
  ($$value = repeat('x', 500)$$, 'done'),
  ($$value = repeat('x', 501)$$, 'patient_identifiers_value_check'),
  ($$system = 'urn:b'$$, 'patient_identifiers_system_key')
) as t (change, outcome);

select * from finish();
rollback;
