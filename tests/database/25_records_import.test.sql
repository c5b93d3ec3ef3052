-- Importing FHIR resources, as the function `records` does after it has read a bundle. The ward
-- stands around pia (tests.make_ward); rao is a patient whose registry row has names and a date,
-- new one whose is empty; full's lacks the country only; cyr, dev and swe have
-- names in three scripts.
begin;
select plan(146);

select tests.make_ward();
select tests.make_user('rao'), tests.make_user('new'), tests.make_user('full'),
  tests.make_user('cyr'), tests.make_user('dev'), tests.make_user('swe');
update public.patients set first_name = 'Ananya', last_name = 'Rao', date_of_birth = '1974-03-09'
where id = tests.uid('rao');
update public.patients set first_name = 'Ana', last_name = 'Luz', date_of_birth = '1980-05-06',
  gender = 'female', phone = '555-0101', address = '1 Elm', city = 'Pune', state = 'MH',
  postal_code = '411001'
where id = tests.uid('full');

create function pg_temp.rows(p_rows text) returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object(
    'source_id', split_part(r, '=', 1), 'record_type', 'condition', 'title', rtrim(split_part(r,
      '=', 2), '!'), 'record_date', '2026-01-02',
    'sensitivity', case when r like '%!' then 'sensitive' else 'normal' end,
    'fhir', jsonb_build_object('resourceType', 'Condition', 'v', rtrim(split_part(r, '=', 2), '!'))
  ))
  from unnest(string_to_array(nullif(p_rows, ''), ' ')) as r
$$;
-- An import that is kept; answers its outcomes or what refused it.
create function pg_temp.import(
  p_actor text, p_rows jsonb, p_patient_row jsonb default null, p_patient text default 'pia',
  p_system text default 'https://h.example'
) returns text language plpgsql as $$
declare
  v_outcome text;
begin
  begin
    perform tests.act_as(p_actor);
    select coalesce(string_agg(source_id || ' ' || outcome, ', '
      order by source_id, outcome), 'nothing') into v_outcome
    from private.import_records(tests.id(p_patient), p_system, p_patient_row, p_rows);
    perform tests.act_as_owner();
    return v_outcome;
  exception
    when others then return concat_ws(' ', sqlstate, sqlerrm);
  end;
end
$$;
create function pg_temp.imported(p_patient text default 'pia') returns text language sql as $$
  select string_agg(concat_ws(' ', r.source_id, r.title, r.record_type, r.sensitivity,
    c.fhir ->> 'v', names ->> r.created_by::text),
    ', ' order by r.source_system, r.source_id)
  from public.medical_records as r
    join public.medical_record_contents as c on c.record_id = r.id, tests.names() as names
  where r.source = 'fhir' and r.patient_id = tests.id(p_patient)
$$;

-- Who may import for whom ------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(tests.attempt(actor, format(
    'select outcome from private.import_records(tests.id(%L), %L, null, %L)', patient,
      'https://h.example', pg_temp.rows('C/1=a')
  )), outcome, format('import_records: %s for %s', actor, patient))
from (values
  ('pia', 'pia', 'imported'), ('omar', 'omar', 'imported'), ('doc', 'pia', 'imported'),
    ('doc', 'doc', 'imported'),
  ('omar', 'pia', 'PT404 not_found'), ('doc', 'omar', 'PT404 not_found'),
    ('doc@aal1', 'pia', 'PT404 not_found'),
  ('doc_closed', 'pia', 'PT404 not_found'), ('doc_expired', 'pia', 'PT404 not_found'),
    ('doc_ended', 'pia', 'PT404 not_found'),
  ('doc_lapsed', 'pia', 'PT404 not_found'), ('doc_withdrawn', 'pia', 'PT404 not_found'),
    ('doc_unverified', 'pia', 'PT404 not_found'),
  ('doc_stranger', 'pia', 'PT404 not_found'), ('carer', 'pia', 'PT404 not_found'),
    ('carer_sensitive', 'pia', 'PT404 not_found'),
  ('share_download', 'pia', 'PT404 not_found'), ('admin', 'pia', 'PT404 not_found'),
    ('guest', 'guest', 'PT404 not_found'),
  ('carer', 'carer', 'PT404 not_found'), ('pia', 'nobody', 'PT404 not_found'),
    ('pia', null, 'PT404 not_found'),
  ('anon', 'pia', '42501 grant'), ('service_role', 'pia', '42501 grant'),
    ('records_worker', 'pia', '42501 grant')
) as m (actor, patient, outcome);
select is(tests.attempt(actor, format(
    'select outcome from private.import_records(tests.id(''pia''), %L, null, %L)',
      'https://h.example', pg_temp.rows('C/1=a')
  ), standing), 'PT401 unauthenticated', format('import_records: %s, %s', actor, standing))
from unnest(array['pia', 'doc']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.state(), (select state from before), 'none of which imports anything');

-- Imported, unchanged, updated -------------------------------------------------------------------

select is(pg_temp.import('pia', pg_temp.rows('C/1=a C/2=b')), 'C/1 imported, C/2 imported',
  'what is new is imported');
select is(pg_temp.imported(), 'C/1 a condition normal a Pia, C/2 b condition normal b Pia',
  'as records with their resource');
select results_eq(
  $$ select distinct source, source_system, record_date from public.medical_records
    where source = 'fhir' $$,
  $$ values ('fhir', 'https://h.example', date '2026-01-02') $$, 'from where, and of when'
);
create temp table once as
  select r.id, r.ctid::text as record, c.ctid::text as contents from public.medical_records as r
  join public.medical_record_contents as c on c.record_id = r.id where r.source = 'fhir';
select is(pg_temp.import('pia', pg_temp.rows('C/2=b C/1=a')), 'C/1 unchanged, C/2 unchanged',
  'a second time nothing is');
select results_eq(
  $$
    select r.id, r.ctid::text, c.ctid::text from public.medical_records as r
    join public.medical_record_contents as c on c.record_id = r.id where r.source = 'fhir'
      order by 1
  $$,
  'select * from once order by 1', 'and no row is written'
);
select is(pg_temp.import('pia', pg_temp.rows('C/1=a C/2=B C/3=c')),
  'C/1 unchanged, C/2 updated, C/3 imported',
  'each resource is told apart');
select is(pg_temp.imported(),
  'C/1 a condition normal a Pia, C/2 B condition normal B Pia, C/3 c condition normal c Pia',
  'and what changed is what it is now');
select is(pg_temp.import('pia', jsonb_set(pg_temp.rows('C/1=a'), '{0,fhir,note}', '"x"')),
  'C/1 updated', 'a change of the resource alone counts');
select is(pg_temp.import('pia',
  jsonb_set(jsonb_set(pg_temp.rows('C/1=a'), '{0,fhir,note}', '"x"'), '{0,record_date}', 'null')),
  'C/1 unchanged', 'what follows from the resource does not, where the resource is the same');
select is(pg_temp.import('pia',
  jsonb_set(jsonb_set(pg_temp.rows('C/1=a'), '{0,fhir,note}', '"x"'), '{0,record_date}', 'null')),
  'C/1 unchanged', 'that it has none is no change again');
select is(pg_temp.import('pia', pg_temp.rows('C/1=a'), p_system => 'https://other.example'),
  'C/1 imported',
  'the same id of another system is another resource');
select is(pg_temp.import('omar', pg_temp.rows('C/1=a'), p_patient => 'omar'), 'C/1 imported',
  'as it is for another patient');
select is(pg_temp.imported('omar'), 'C/1 a condition normal a Omar', 'whose record it is');
select is(pg_temp.import('pia', '[]'), 'nothing', 'no rows are no records');
select is(pg_temp.import('pia', null), 'nothing', 'nor is nothing');

select is(pg_temp.import('doc', pg_temp.rows('C/9=z')), 'C/9 imported',
  'a doctor imports for a patient whose chart is open');
select results_eq(
  $$ select patient_id = tests.id('pia'), tests.names() ->> created_by::text, source
    from public.medical_records where source_id = 'C/9' $$,
  $$ values (true, 'Doc', 'fhir') $$, 'it is hers, added by him'
);

-- Sensitivity ------------------------------------------------------------------------------------

select is(pg_temp.import('pia', pg_temp.rows('S/1=a! S/2=b')), 'S/1 imported, S/2 imported',
  'a resource may be sensitive');
update public.medical_records set sensitivity = 'sensitive' where source_id = 'S/2';
select is(pg_temp.import('pia', pg_temp.rows('S/1=a S/2=b')), 'S/1 unchanged, S/2 unchanged',
  'an import that calls it normal');
select is((select string_agg(sensitivity, ', ') from public.medical_records
  where source_id like 'S/%'), 'sensitive, sensitive',
  'does not take the mark away');
select is(pg_temp.import('pia', pg_temp.rows('S/2=B')), 'S/2 updated',
  'not even when it changes the rest');
select is((select string_agg(r.sensitivity || ' ' || c.sensitivity, ', ')
  from public.medical_records as r
  join public.medical_record_contents as c on c.record_id = r.id where source_id like 'S/%'),
  'sensitive sensitive, sensitive sensitive', 'neither from the record nor from its contents');
select is(pg_temp.import('pia', jsonb_set(pg_temp.rows('C/3=c'), '{0,sensitivity}', '"sensitive"')),
  'C/3 updated', 'it may set the mark');
select is((select r.sensitivity || ' ' || c.sensitivity from public.medical_records as r
  join public.medical_record_contents as c on c.record_id = r.id where source_id = 'C/3'),
    'sensitive sensitive', 'on both');

-- Deleted records --------------------------------------------------------------------------------

update public.medical_records set deleted_at = now() where source_id = 'C/2'
  and patient_id = tests.id('pia');
select is(pg_temp.import('pia', pg_temp.rows('C/2=B')), 'C/2 unchanged',
  'a record that was deleted is not imported anew');
select is(pg_temp.import('doc', pg_temp.rows('C/2=other')), 'C/2 unchanged',
  'a doctor who imports it neither learns that it was deleted');
select is((select c.fhir ->> 'v' || r.title from public.medical_records as r
  join public.medical_record_contents as c on c.record_id = r.id
  where r.source_id = 'C/2' and r.patient_id = tests.id('pia')), 'BB',
  'nor changes what is the patient''s alone');
select is(pg_temp.import('pia', pg_temp.rows('C/2=BB')), 'C/2 updated',
  'a change of it is taken over from the patient');
select isnt((select deleted_at from public.medical_records where source_id = 'C/2'
  and patient_id = tests.id('pia')), null,
  'and it stays deleted');

-- Bad rows: the whole import is refused -----------------------------------------------------------

create temp table clean as select tests.state() as state;
create function pg_temp.bad(p_key text, p_value text) returns jsonb language sql as $$
  select pg_temp.rows('D/1=a') || jsonb_set(pg_temp.rows('D/2=b'), array['0', p_key],
    p_value::jsonb)
$$;
select is(pg_temp.import('pia', rows), 'PT400 invalid_request', 'refused: ' || why)
from (values
  ('an empty title', pg_temp.bad('title', '""')),
    ('a title too long', pg_temp.bad('title', to_jsonb(repeat('x', 301))::text)),
  ('no title', pg_temp.bad('title', 'null')),
    ('blanks around a title', pg_temp.bad('title', '" x"')),
  ('an unknown type', pg_temp.bad('record_type', '"allergy"')),
    ('no type', pg_temp.bad('record_type', 'null')),
  ('a date that is none', pg_temp.bad('record_date', '"2026-02-30"')),
    ('a date before 1880', pg_temp.bad('record_date', '"1879-01-01"')),
  ('a date that is a list', pg_temp.bad('record_date', '[]')),
    ('an unknown sensitivity', pg_temp.bad('sensitivity', '"secret"')),
  ('no sensitivity', pg_temp.bad('sensitivity', 'null')),
    ('no source id', pg_temp.bad('source_id', 'null')),
  ('an empty source id', pg_temp.bad('source_id', '""')),
    ('a source id too long', pg_temp.bad('source_id', to_jsonb(repeat('x', 501))::text)),
  ('a source id twice', pg_temp.rows('D/1=a D/1=a')),
    ('a source id twice, differing', pg_temp.rows('D/1=a D/2=b D/1=c')),
  ('a source id twice that would update', pg_temp.rows('C/9=x C/9=y')),
    ('a source id twice that is unchanged', pg_temp.rows('C/9=z C/9=z')),
  ('an object', '{}'), ('a text', '"x"'), ('a number', '1'), ('null as JSON', 'null'),
    ('rows that are no objects', '[1, 2]')
) as b (why, rows);
select is(pg_temp.import('pia', pg_temp.rows('D/1=a'), p_system => system), 'PT400 invalid_request',
  'refused: source system ' || coalesce(left(system, 5), 'null'))
from unnest(array[null, '', repeat('x', 501)]) as system;
select is(tests.state(), (select state from clean), 'nothing of these imports has come in');

-- The Patient of a bundle ------------------------------------------------------------------------

create function pg_temp.registry(p_handle text) returns text language sql as $$
  select concat_ws('|', p.first_name, p.last_name, p.date_of_birth, p.gender, p.phone, p.address,
    p.city, p.state, p.postal_code,
    p.country, (select string_agg(system || ' ' || value, ',' order by system)
      from private.patient_identifiers where patient_id = p.id))
  from public.patients as p where p.id = tests.id(p_handle)
$$;
select is(pg_temp.import('new', '[]',
  '{"source_id": "P/1", "first_name": "Ana", "last_name": "Luz", "date_of_birth": "1980-05-06",
  "gender": "female", "phone": "555-0101", "address": "1 Elm", "city": "Pune", "state": "MH", "postal_code": "411001",
  "country": "IN", "role": "admin", "medical_history": "none", "id": "x"}', p_patient => 'new'),
  'nothing', 'an empty registry row');
select is(pg_temp.registry('new'),
  'Ana|Luz|1980-05-06|female|555-0101|1 Elm|Pune|MH|411001|IN|https://h.example P/1',
  'is filled, and the id remembered');
select is(pg_temp.import('new', pg_temp.rows('C/1=a'),
  '{"source_id": "P/1", "first_name": "ANA ", "last_name": "Luz", "date_of_birth": "1980-05-06",
  "city": "Goa", "gender": "other"}', p_patient => 'new'), 'C/1 imported',
  'a later bundle of the same person comes in');
select is(pg_temp.registry('new'),
  'Ana|Luz|1980-05-06|female|555-0101|1 Elm|Pune|MH|411001|IN|https://h.example P/1',
  'and overwrites nothing');
select is(pg_temp.import('new', '[]', '{"source_id": "Q/7"}', p_patient => 'new',
  p_system => 'https://other.example'), 'nothing',
  'another system knows her by another id');
select is(pg_temp.registry('new') like '%IN|https://h.example P/1,https://other.example Q/7', true,
  'both are remembered');

select is(pg_temp.import('rao', '[]', given, p_patient => 'rao'), outcome,
  format('a Patient %s', given))
from (values
  ('{}'::jsonb, 'nothing'),
  ('{"source_id": "R/1"}', 'nothing'),
  ('{"first_name": "Ananya", "last_name": "Rao", "date_of_birth": "1974-03-09"}', 'nothing'),
  ('{"first_name": "ananya", "last_name": "RAO-IYER"}', 'nothing'),
  ('{"first_name": "Anna", "last_name": "Rao"}', 'nothing'),
  ('{"first_name": "Anna"}', 'nothing'),
  ('{"first_name": "An-an ya", "last_name": "R.A.O."}', 'nothing')
) as p (given, outcome);
select is(pg_temp.import('rao', '[]', '{"city": "Pune", "phone": null}', p_patient => 'rao'),
  'nothing', 'one with a city');
select is(pg_temp.registry('rao'), 'Ananya|Rao|1974-03-09|Pune|https://h.example R/1',
  'fills that and nothing else');

select is(pg_temp.import('rao', '[]', '{"city": "Goa", "country": "IN"}', p_patient => 'rao'),
  'nothing', 'one with another city, and a country');
select is(pg_temp.registry('rao'), 'Ananya|Rao|1974-03-09|Pune|IN|https://h.example R/1',
  'fills the country and leaves the city');

select is(pg_temp.import('full', '[]',
  '{"first_name": "Eva", "last_name": "LUZ", "date_of_birth": "1980-05-06", "gender": "other",
  "phone": "555-0202", "address": "2 Oak", "city": "Goa", "state": "GA", "postal_code": "403001",
  "country": "IN"}', p_patient => 'full'), 'nothing', 'one that differs in everything it may');
select is(pg_temp.registry('full'),
  'Ana|Luz|1980-05-06|female|555-0101|1 Elm|Pune|MH|411001|IN',
  'fills the one column that was empty, and leaves every other');

-- Names are compared by their letters, in any script.
update public.patients as p set first_name = given.first_name, last_name = given.last_name
from (values
  ('cyr', 'Анна', 'Орлова'), ('dev', 'राम', 'शर्मा'), ('swe', 'ANNA', 'ÖSTLUND')
) as given (handle, first_name, last_name)
where p.id = tests.uid(given.handle);
select is(pg_temp.import(handle, '[]', jsonb_build_object('first_name', first_name, 'last_name',
  last_name), p_patient => handle), outcome, format('%s %s for %s', first_name, last_name, handle))
from (values
  ('cyr', 'Борис', 'Годунов', 'PT422 wrong_patient'),
  ('cyr', 'анна', 'ОРЛОВА', 'nothing'),
  ('cyr', 'Борис', 'Орлова', 'nothing'),
  ('dev', 'रमा', 'वर्मा', 'PT422 wrong_patient'),
  ('dev', 'राम', 'शर्मा', 'nothing'),
  ('swe', 'Eva', 'Östlund', 'nothing'),
  ('swe', 'Eva', 'Ostlund', 'PT422 wrong_patient')
) as m (handle, first_name, last_name, outcome);

create temp table linked as select tests.state() as state;
select is(pg_temp.import(actor, pg_temp.rows('E/1=a'), given, p_patient => 'rao'), outcome,
  format('%s, %s', given, actor))
from (values
  ('rao', '{"date_of_birth": "1974-03-10"}'::jsonb, 'PT422 wrong_patient'),
  ('rao', '{"first_name": "Ben", "last_name": "Okri"}', 'PT422 wrong_patient'),
  ('rao', '{"first_name": "Ananya", "last_name": "Rao", "date_of_birth": "1947-03-09"}',
    'PT422 wrong_patient'),
  ('rao', '{"first_name": "Ben", "last_name": "Okri", "date_of_birth": "1974-03-09"}',
    'PT422 wrong_patient'),
  ('rao', '{"source_id": "R/2", "first_name": "Ananya", "last_name": "Rao", "date_of_birth": "1974-03-09"}', 'PT422 wrong_patient'),
  ('rao', '{"date_of_birth": "yesterday-ish"}', 'PT400 invalid_request'),
  ('rao', '{"gender": "x"}', 'PT400 invalid_request'),
  ('rao', '[]', 'PT400 invalid_request'),
  ('pia', '{"first_name": "Ben", "last_name": "Okri"}', 'PT404 not_found')
) as p (actor, given, outcome);
select is(tests.state(), (select state from linked),
  'a bundle about somebody else is refused whole');

-- A bundle without a Patient refers to somebody, and shows nothing about them.
select is(pg_temp.import('new', '[]', given, p_patient => 'new'), outcome,
  format('a reference %s', given))
from (values
  ('{"source_id": "P/1", "resource_id": "res-1", "first_name": "Ana"}'::jsonb, 'nothing'),
  ('{"is_reference": true, "resource_id": "res-1"}', 'nothing'),
  ('{"is_reference": true, "resource_id": "res-2"}', 'PT422 wrong_patient'),
  ('{"is_reference": true, "source_id": "P/1"}', 'nothing'),
  ('{"is_reference": true, "source_id": "P/2"}', 'PT422 wrong_patient'),
  -- A number says more than the id of a resource, which a system may give anew.
  ('{"source_id": "P/1", "resource_id": "res-2", "first_name": "Ana"}', 'nothing')
) as p (given, outcome);
select is(pg_temp.import('swe', '[]', '{"is_reference": true, "resource_id": "res-9"}',
  p_patient => 'swe'), 'nothing', 'nothing is known of swe in that system');
select is((select count(*)::integer from private.patient_identifiers
  where patient_id = tests.uid('swe')), 0, 'and a reference does not make it known');

-- What stays -------------------------------------------------------------------------------------

create function pg_temp.version(p_text text, p_at text) returns jsonb language sql as $$
  select jsonb_set(pg_temp.rows('V/1=' || p_text), '{0,fhir,meta}',
    jsonb_build_object('lastUpdated', p_at))
$$;
select is(pg_temp.import(actor, pg_temp.version(content, at)), 'V/1 ' || outcome,
  format('%s imports %s of %s', actor, content, at))
from (values
  ('pia', 'a', '2026-01-02T00:00:00Z', 'imported'),
  ('pia', 'b', '2026-01-01T00:00:00Z', 'kept'),
  ('pia', 'c', '2026-01-02T01:00:00+01:00', 'updated'),
  ('pia', 'd', 'some day', 'updated'),
  ('pia', 'e', '2026-01-03T00:00:00Z', 'updated'),
  ('doc', 'f', '2026-01-04T00:00:00Z', 'kept'),
  ('doc', 'e', '2026-01-03T00:00:00Z', 'unchanged')
) as v (actor, content, at, outcome);
select is((select string_agg(r.title || ' ' || (c.fhir ->> 'v'), ', ')
  from public.medical_records as r
  join public.medical_record_contents as c on c.record_id = r.id where r.source_id = 'V/1'),
  'e e', 'the newest that the patient brought is there');
select is(pg_temp.import('doc', pg_temp.rows('D/1=a')) || ', '
  || pg_temp.import('doc', pg_temp.rows('D/1=b')), 'D/1 imported, D/1 updated',
  'a doctor updates what they added');

-- Many at once -----------------------------------------------------------------------------------

create temp table bundle as
  select jsonb_agg(jsonb_build_object('source_id', 'O/' || n, 'record_type', 'observation', 'title',
    'No ' || n, 'sensitivity', 'normal',
    'fhir', jsonb_build_object('n', n))) as rows from generate_series(1, 5000) as n;
grant select on bundle to public;
select is(tests.attempt('omar', $$
    select outcome || count(*) from private.import_records(tests.id('omar'), 'https://h.example',
      null, (select rows from bundle)) group by outcome
  $$), 'imported5000', 'five thousand rows are one statement');

select * from finish();
rollback;
