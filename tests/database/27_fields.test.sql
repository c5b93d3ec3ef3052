-- Encrypted fields of patients: their form, who reads, finds and writes them, and what is logged. The
-- ward stands around pia (tests.make_ward); pia and omar have a key each, and the same fields.
begin;
select plan(395);

select tests.make_ward();
select tests.make_field_key(u) from unnest(array['pia', 'omar']) as u;
update public.patients as p set
  phone = tests.sealed('+91 98450 00117', h.handle),
  address = tests.sealed('14, 3rd Cross', h.handle),
  insurance_policy_number = tests.sealed('HX-1', h.handle),
  emergency_contact_phone = tests.sealed('+91 98450 00118', h.handle)
from unnest(array['pia', 'omar']) as h (handle)
where p.id = tests.uid(h.handle);

create function pg_temp.digest(p_text text) returns text language sql as $$
  select encode(extensions.digest(p_text, 'sha256'), 'hex')
$$;
insert into private.patient_search_keys (patient_id, field, digest)
select tests.uid(handle), field, decode(pg_temp.digest(value), 'hex')
from unnest(array['pia', 'omar']) as handle
cross join (values ('phone', '91 1'), ('phone_national', '1'), ('insurance_policy_number', 'HX1'))
  as k (field, value);
create temp table before as select tests.state() as state;

-- Form -------------------------------------------------------------------------------------------

select is(private.is_sealed(value, 4, 40), outcome, 'is_sealed: ' || coalesce(left(value, 60), 'null'))
from (values
  (null, true),
  (tests.sealed('1234'), true),
  (tests.sealed('12345'), true),
  (tests.sealed('123456'), true),
  (tests.sealed(repeat('1', 40)), true),
  (tests.sealed('123'), false),
  (tests.sealed(repeat('1', 41)), false),
  ('+91 98450 00117', false),
  ('', false),
  ('v1..', false),
  (replace(tests.sealed('1234'), 'v1.', 'v2.'), false),
  (upper(tests.sealed('1234')), false),
  (tests.sealed('1234') || '=', false),
  (rtrim(tests.sealed('1234'), '='), false),
  (tests.sealed('1234') || E'\n', false),
  ('call me ' || tests.sealed('1234'), false),
  (tests.sealed('1234') || ' call me', false),
  (regexp_replace(tests.sealed('1234'), '\.[^.]*$', '.' || repeat('!', 44)), false),
  (regexp_replace(tests.sealed('1234'), '^v1\.[^.]*', 'v1.' || repeat('0', 36)), false)
) as v (value, outcome);

-- What a statement of the owner comes to; undone.
create function pg_temp.owner_tries(p_statement text) returns text language plpgsql as $$
declare
  v_outcome text := 'done';
begin
  begin
    execute p_statement;
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return 'done';
    when others then return sqlstate;
  end;
end
$$;
select is(pg_temp.owner_tries(format('update public.%s = %s', target, value)), outcome,
  format('%s takes %s: %s', target, value, outcome))
from (values
  ('patients set phone', 4, 40), ('patients set address', 1, 2000),
  ('patients set insurance_policy_number', 1, 400),
  ('patients set emergency_contact_phone', 4, 40),
  ('medical_record_contents set description', 1, 80000)
) as c (target, least_bytes, most_bytes)
cross join lateral (values
  ('null', 'done'),
  (format('tests.sealed(repeat(%L, %s))', 'x', least_bytes), 'done'),
  (format('tests.sealed(repeat(%L, %s))', 'x', most_bytes), 'done'),
  (format('tests.sealed(repeat(%L, %s))', 'x', least_bytes - 1), '23514'),
  (format('tests.sealed(repeat(%L, %s))', 'x', most_bytes + 1), '23514'),
  (quote_literal('+91 98450 00117'), '23514'),
  (quote_literal('KzkxIDk4NDUwIDAwMTE3'), '23514'),
  (quote_literal(''), '23514')
) as v (value, outcome);
select is(
  pg_temp.owner_tries(format(
    'update private.patient_search_keys set digest = %L, field = %L
     where patient_id = tests.id(%L) and field = %L', digest, field, 'pia', 'phone'
  )), outcome, format('a digest of %s bytes, of %s: %s', octet_length(digest), field, outcome)
)
from (values
  (decode(repeat('00', 32), 'hex'), 'phone', 'done'),
  (decode(repeat('00', 31), 'hex'), 'phone', '23514'),
  (decode(repeat('00', 33), 'hex'), 'phone', '23514'),
  (decode(repeat('00', 32), 'hex'), 'address', '23514')
) as d (digest, field, outcome);
select is_empty(
  $$
    select 1 from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
    where i.indrelid = 'private.patient_search_keys'::regclass and a.attname = 'digest'
  $$,
  'no index leads from a digest to patients: a search takes as long whoever has it'
);

-- Nobody reaches them past the functions -----------------------------------------------------------

select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, statement))
from unnest(array[
  'pia', 'doc', 'carer', 'admin', 'anon', 'service_role', 'records_worker', 'identity_worker'
]) as actor
cross join unnest(array[
  'select patient_id from private.patient_search_keys', 'select id from private.data_keys',
  'delete from private.patient_search_keys', 'delete from private.data_keys',
  'update private.patient_search_keys set digest = null', 'update private.data_keys set key_id = null',
  'insert into private.patient_search_keys default values',
  'insert into private.data_keys default values',
  'update public.patients set phone = null', 'update public.patients set address = null',
  'update public.patients set insurance_policy_number = null',
  'update public.patients set emergency_contact_phone = null',
  'update public.medical_record_contents set description = null',
  'insert into public.medical_record_contents (record_id, description) values (null, null)',
  'select private.set_search_keys(null, null)', 'select private.require_patient_key(null, null)',
  'select patient_id from private.patient_keys(null)', 'select data_key_id::text from private.patient_key(null)'
]) as statement;

-- Reading ----------------------------------------------------------------------------------------

-- By the whole function, and by its body alone, which policies do not stand before.
select is(
  tests.attempt(actor, format($$
    select concat_ws(' ', tests.names() ->> id::text, tests.unsealed(phone), tests.unsealed(address),
      tests.unsealed(insurance_policy_number), tests.unsealed(emergency_contact_phone))
    from private.%s_patient_fields(array[
      tests.id('pia'), tests.id('omar'), tests.id('nobody'), null
    ])
  $$, verb)),
  outcome, format('%s_patient_fields: %s', verb, actor)
)
from (values
  ('pia',             'Pia +91 98450 00117 14, 3rd Cross HX-1 +91 98450 00118'),
  ('omar',            'Omar +91 98450 00117 14, 3rd Cross HX-1 +91 98450 00118'),
  ('doc',             'Pia +91 98450 00117 14, 3rd Cross HX-1 +91 98450 00118'),
  ('carer',           'Pia +91 98450 00117 14, 3rd Cross HX-1 +91 98450 00118'),
  ('carer_sensitive', 'Pia +91 98450 00117 14, 3rd Cross HX-1 +91 98450 00118'),
  ('share_view',      'nothing'),
  ('share_download',  'nothing'),
  ('carer_other',     'nothing'),
  ('carer_closed',    'nothing'),
  ('carer_expired',   'nothing'),
  ('carer_requested', 'nothing'),
  ('carer_ended',     'nothing'),
  ('carer_lapsed',    'nothing'),
  ('doc@aal1',        'nothing'),
  ('doc_closed',      'nothing'),
  ('doc_expired',     'nothing'),
  ('doc_requested',   'nothing'),
  ('doc_ended',       'nothing'),
  ('doc_lapsed',      'nothing'),
  ('doc_withdrawn',   'nothing'),
  ('doc_unverified',  'nothing'),
  ('doc_stranger',    'nothing'),
  ('admin',           'nothing'),
  ('guest',           'nothing'),
  ('anon',            '42501 grant'),
  ('service_role',    '42501 grant'),
  ('records_worker',  '42501 grant'),
  ('identity_worker', '42501 grant')
) as m (actor, outcome)
cross join unnest(array['read', 'disclose']) as verb;
select is(
  tests.attempt(actor, $$ select id from private.read_patient_fields(array[tests.id('pia')]) $$,
    standing),
  'PT401 unauthenticated', format('read_patient_fields: %s, %s', actor, standing)
)
from unnest(array['pia', 'doc', 'carer']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(
  tests.attempt('doc', $$
    select key from private.read_patient_fields(array[tests.id('pia')])
    cross join jsonb_array_elements(keys) as key
  $$),
  jsonb_build_object(
    'data_key_id', tests.id('field key of pia'), 'key_id', 'test', 'key_version', 1,
    'wrapped_key', repeat('ab', 60)
  )::text,
  'with the fields come the keys of their patient, wrapped, and no other'
);

-- Finding ----------------------------------------------------------------------------------------

create function pg_temp.search(p_actor text, p_phone text, p_national text, p_policy text)
  returns text language sql as $$
  select tests.attempt(p_actor, format(
    'select tests.names() ->> id::text from private.find_patients(%L)',
    jsonb_strip_nulls(jsonb_build_object(
      'phone', pg_temp.digest(p_phone), 'phone_national', pg_temp.digest(p_national),
      'insurance_policy_number', pg_temp.digest(p_policy)
    ))
  ))
$$;
select is(pg_temp.search(actor, '91 1', '1', null), outcome, format('find_patients, phone: %s', actor))
from (values
  ('pia', 'Pia'), ('omar', 'Omar'), ('doc', 'Pia'), ('carer', 'Pia'), ('carer_sensitive', 'Pia'),
  ('share_view', 'nothing'), ('share_download', 'nothing'), ('carer_other', 'nothing'),
  ('carer_closed', 'nothing'), ('carer_ended', 'nothing'), ('doc@aal1', 'nothing'),
  ('doc_closed', 'nothing'), ('doc_expired', 'nothing'), ('doc_ended', 'nothing'),
  ('doc_withdrawn', 'nothing'), ('doc_unverified', 'nothing'), ('doc_stranger', 'nothing'),
  ('admin', 'nothing'), ('guest', 'nothing'), ('anon', '42501 grant'), ('service_role', '42501 grant'),
  ('identity_worker', '42501 grant')
) as m (actor, outcome);
select is(
  tests.attempt(actor, format(
    'select tests.names() ->> m::text
     from private.matching_patient_ids(array[tests.id(%L), tests.id(%L)], %L) as m',
    'pia', 'omar', jsonb_build_object('phone_national', pg_temp.digest('1'))
  )), outcome, 'its body alone gives no more: ' || actor
)
from (values
  ('doc', 'Pia'), ('omar', 'Omar'), ('doc_closed', 'nothing'), ('carer_other', 'nothing'),
  ('doc@aal1', 'nothing'), ('admin', 'nothing')
) as m (actor, outcome);
select is(pg_temp.search('doc', phone, national, policy), outcome, why)
from (values
  ('91 1', '1', null, 'Pia', 'the number with its country finds'),
  (null, '1', null, 'Pia', 'the number without country finds whatever the country'),
  ('44 1', '1', null, 'nothing', 'the number of another country does not'),
  ('91 2', '2', null, 'nothing', 'another number does not'),
  (null, '2', null, 'nothing', 'nor another without country'),
  (null, null, 'HX1', 'Pia', 'the policy number finds'),
  (null, null, 'HX2', 'nothing', 'another does not'),
  (null, null, '1', 'nothing', 'a phone is no policy number'),
  ('HX1', null, null, 'nothing', 'a policy number is no phone'),
  (null, null, null, 'nothing', 'nothing finds nobody')
) as s (phone, national, policy, outcome, why);
select is(
  tests.attempt(actor, $$ select id from private.find_patients('{}') $$, standing),
  'PT401 unauthenticated', format('find_patients: %s, %s', actor, standing)
)
from unnest(array['pia', 'doc']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.state(), (select state from before), 'no attempt has changed anything');

delete from private.patient_search_keys where patient_id = tests.id('pia') and field = 'phone';
select is(pg_temp.search('doc', '44 1', '1', null), 'Pia',
  'a number that was given without country is found by any');

-- Beside the grounds, the policies of the table decide: were they narrower, nothing more would come.
alter policy patients_select_authenticated on public.patients
  using (id = (select auth.uid()) and (select private.session_is_live()));
select is(
  tests.attempt(actor, $$
    select tests.names() ->> id::text from private.read_patient_fields(array[tests.id('pia')]) $$),
  outcome, format('under a narrower policy: %s', actor)
)
from (values ('pia', 'Pia'), ('doc', 'nothing')) as m (actor, outcome);
select is(pg_temp.search(actor, null, '1', null), outcome,
  format('found under a narrower policy: %s', actor))
from (values ('pia', 'Pia'), ('doc', 'nothing')) as m (actor, outcome);
alter policy patients_select_authenticated on public.patients
  using (
    (select private.session_is_live())
    and (
      id = (select auth.uid()) or id = any (array(select private.chart_patient_ids('records')))
    )
  );

-- The trail --------------------------------------------------------------------------------------

create temp table seen as select id from public.audit_events;
create function pg_temp.trail_of(p_actor text, p_statement text) returns text language plpgsql as $$
declare
  v_trail text;
begin
  perform tests.act_as(p_actor);
  execute p_statement;
  perform tests.act_as_owner();
  select string_agg(concat_ws(' ',
    tests.names() ->> a.actor_id::text, a.action, a.resource_type,
    tests.names() ->> a.patient_id::text, a.purpose, a.old_values, a.new_values
  ), '; ' order by a.id)
  into v_trail
  from public.audit_events as a where a.id not in (select s.id from seen as s);
  insert into seen select a.id from public.audit_events as a on conflict do nothing;
  return coalesce(v_trail, 'none');
end
$$;
select is(pg_temp.trail_of(actor, statement), trail, format('%s: %s', actor, statement))
from (values
  ('doc', $$ select id from private.read_patient_fields(array[tests.id('pia'), tests.id('pia')]) $$,
    'Doc read_contact patient Pia treatment'),
  ('carer', $$ select id from private.read_patient_fields(array[tests.id('pia'), tests.id('omar')]) $$,
    'Carer read_contact patient Pia delegated {"caregiver_scopes": ["records"]}'),
  ('pia', $$ select id from private.read_patient_fields(array[tests.id('pia')]) $$, 'none'),
  ('doc_closed', $$ select id from private.read_patient_fields(array[tests.id('pia')]) $$, 'none'),
  ('doc', format('select id from private.find_patients(%L)',
      jsonb_build_object('insurance_policy_number', pg_temp.digest('HX1'))),
    'Doc match_contact patient Pia treatment'),
  ('pia', format('select id from private.find_patients(%L)',
      jsonb_build_object('insurance_policy_number', pg_temp.digest('HX1'))), 'none'),
  ('doc', format('select id from private.find_patients(%L)',
      jsonb_build_object('insurance_policy_number', pg_temp.digest('HX2'))), 'none'),
  ('doc_closed', format('select id from private.find_patients(%L)',
      jsonb_build_object('insurance_policy_number', pg_temp.digest('HX1'))), 'none')
) as t (actor, statement, trail);
select is(
  tests.attempt('pia', $$
    select actor_name || ': ' || summary from public.my_access_log()
    where action in ('read_contact', 'match_contact') $$),
  'Carer: Read your contact details, Doc: Found you by your phone or policy number, '
    || 'Doc: Read your contact details',
  'the patient reads who did, in words'
);

-- Writing ----------------------------------------------------------------------------------------

create temp table unwritten as select tests.state() as state;
create function pg_temp.write(p_actor text, p_fields jsonb, p_keys jsonb default '{}')
  returns text language sql as $$
  select tests.attempt(p_actor,
    format('select private.write_patient_fields(%L, %L)', p_fields, p_keys))
$$;
select is(pg_temp.write(actor, jsonb_build_object('phone', value)), outcome,
  format('write_patient_fields: %s, %s', actor, why))
from (values
  ('pia', 'sealed', tests.sealed('12345', 'pia'), 'done'),
  ('pia', 'null', null, 'done'),
  ('pia', 'under the key of somebody else', tests.sealed('12345', 'omar'), 'PT503 unavailable'),
  ('pia', 'under no key', tests.sealed('12345'), 'PT503 unavailable'),
  ('pia', 'in plaintext', '+91 98450 00117', 'PT503 unavailable'),
  ('pia', 'too long', tests.sealed(repeat('1', 41), 'pia'), 'PT400 invalid_request'),
  ('share_view', 'sealed, without a key', tests.sealed('12345', 'share_view'), 'PT503 unavailable'),
  ('share_view', 'null, without a key', null, 'done'),
  ('carer', 'null, without a registry row', null, 'PT404 not_found'),
  ('anon', 'null', null, '42501 grant'),
  ('service_role', 'null', null, '42501 grant'),
  ('identity_worker', 'null', null, '42501 grant')
) as w (actor, why, value, outcome);
select is(pg_temp.write('pia', '{}', keys), outcome, format('write_patient_fields: digests %s', keys))
from (values
  (jsonb_build_object('phone', pg_temp.digest('1')), 'done'),
  ('{"phone": null}', 'done'),
  ('{"phone": "00"}', 'PT400 invalid_request'),
  ('{"phone": "no hexadecimal"}', 'PT400 invalid_request'),
  (jsonb_build_object('address', pg_temp.digest('1')), 'PT400 invalid_request')
) as k (keys, outcome);
select is(
  tests.attempt('pia', $$ select private.write_patient_fields('{"phone": null}', '{}') $$, standing),
  'PT401 unauthenticated', 'write_patient_fields: ' || standing
)
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.state(), (select state from unwritten), 'and nothing has changed');

select is(
  pg_temp.trail_of('pia', format('select private.write_patient_fields(%L, %L)',
    jsonb_build_object('phone', tests.sealed('555-0101', 'pia'), 'address', null),
    jsonb_build_object('phone', null, 'phone_national', pg_temp.digest('5550101')))),
  'Pia update patient Pia {"phone": "(not kept)", "address": "(not kept)"} '
    || '{"phone": "(not kept)", "address": "(not kept)"}',
  'a patient writes her phone and empties her address; the trail keeps neither value'
);
select results_eq(
  $$
    select tests.names() ->> id::text, tests.unsealed(phone), tests.unsealed(address),
      tests.unsealed(insurance_policy_number), tests.unsealed(emergency_contact_phone)
    from public.patients where phone is not null order by 1
  $$,
  $$ values
    ('Omar', '+91 98450 00117', '14, 3rd Cross', 'HX-1', '+91 98450 00118'),
    ('Pia', '555-0101', null, 'HX-1', '+91 98450 00118')
  $$,
  'what was not named stays, and so does whoever else'
);
select results_eq(
  $$ select field, encode(digest, 'hex') from private.patient_search_keys
    where patient_id = tests.id('pia') order by 1 $$,
  format($$ values ('insurance_policy_number', %L), ('phone_national', %L) $$,
    pg_temp.digest('HX1'), pg_temp.digest('5550101')),
  'digests follow'
);

-- Keys -------------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, format(
    'select coalesce(tests.names() ->> patient_id::text, %L) || coalesce(%L || data_key_id, %L)
     from private.field_key_for_patient(tests.id(%L))', '?', ' ', ' without a key', patient
  )), outcome, format('field_key_for_patient: %s, %s', actor, patient)
)
from (values
  ('pia', 'pia', 'Pia ' || tests.id('field key of pia')),
  ('share_view', 'share_view', 'Share_View without a key'),
  ('doc', 'pia', 'Pia ' || tests.id('field key of pia')),
  ('doc', 'omar', 'PT404 not_found'),
  ('doc@aal1', 'pia', 'PT404 not_found'),
  ('doc_closed', 'pia', 'PT404 not_found'),
  ('carer_sensitive', 'pia', 'PT404 not_found'),
  ('carer', 'carer', 'PT404 not_found'),
  ('omar', 'pia', 'PT404 not_found'),
  ('admin', 'pia', 'PT404 not_found'),
  ('anon', 'pia', '42501 grant'),
  ('identity_worker', 'pia', '42501 grant')
) as k (actor, patient, outcome);

create function pg_temp.keep(p_patient text, p_key text) returns text language plpgsql as $$
declare
  v_kept text;
begin
  perform tests.act_as_role('identity_worker', p_patient);
  select data_key_id || ' ' || key_id || key_version || ' ' || wrapped_key into v_kept
  from private.keep_patient_key(tests.id(p_patient), tests.id(p_key), 'test', 2, repeat('cd', 60));
  perform tests.act_as_owner();
  return v_kept;
end
$$;
select is(pg_temp.keep('share_view', 'first'), tests.id('first') || ' test2 ' || repeat('cd', 60),
  'the worker keeps a first key');
select is(pg_temp.keep('share_view', 'second'), tests.id('first') || ' test2 ' || repeat('cd', 60),
  'a second does not replace it: who comes later is given the first');
select is(pg_temp.keep('carer', 'other'), null, 'who is no patient gets none');
select is((select count(*) from private.data_keys), 3::bigint, 'and that is all there is');
select is(tests.attempt(actor,
  $$ select data_key_id from private.keep_patient_key(null, null, null, null, null) $$),
  '42501 grant', 'keep_patient_key: ' || actor)
from unnest(array['pia', 'doc', 'admin', 'anon', 'service_role', 'records_worker']) as actor;

update private.data_keys set wrapped_key = null, erased_at = now()
where id = tests.id('field key of pia');
select is(
  tests.attempt('doc', $$
    select keys -> 0 -> 'wrapped_key' from private.read_patient_fields(array[tests.id('pia')]) $$),
  'null', 'an erased key comes without what it was'
);
select is(pg_temp.write('pia', jsonb_build_object('phone', tests.sealed('12345', 'pia'))),
  'PT503 unavailable', 'nothing is written under it any more');
select is(pg_temp.keep('pia', 'new'), tests.id('new') || ' test2 ' || repeat('cd', 60),
  'another takes its place');
select is(
  tests.attempt('pia', $$
    select jsonb_array_length(keys) from private.read_patient_fields(array[tests.id('pia')]) $$),
  '2', 'and both are told, so that what was erased is known to be'
);

select * from finish();
rollback;
