-- The encrypted description of a record: who writes and reads it, and what is logged. The ward stands
-- around pia (tests.make_ward): Scan is shared, Genes is sensitive, Old is deleted, Note was added by
-- doc and Letter by doc_closed; Bill is omar's. Finding, which doc added, has no contents yet.
begin;
select plan(152);

select tests.make_ward();
select tests.make_field_key('pia');
insert into public.medical_records (id, patient_id, title, record_type)
values (tests.id('Finding'), tests.uid('pia'), 'Finding', 'other');
update public.medical_records set source = 'doctor', created_by = tests.uid('doc')
where title = 'Finding';
-- They have opened it; one of them by a share that is over by now.
select tests.open_record_before('Scan', u)
from unnest(array['share_download', 'share_expired', 'omar']) as u;
create temp table before as select tests.state() as state;

-- Reading ----------------------------------------------------------------------------------------

-- By the whole function, and by its body alone, which policies do not stand before.
select is(
  tests.attempt(actor, format($$
    select replace(tests.unsealed(description), 'Contents of ', '')
    from private.%s_record_descriptions(array[
      tests.id('Scan'), tests.id('Genes'), tests.id('Old'), tests.id('Note'), tests.id('Letter'),
      tests.id('Bill'), tests.id('Finding'), null
    ])
  $$, verb)),
  outcome, format('%s_record_descriptions: %s', verb, actor)
)
from (values
  ('pia',             'Genes, Letter, Note, Old, Scan'),
  ('omar',            'Bill'),
  ('share_view',      'nothing'),
  ('share_download',  'Scan'),
  ('share_expired',   'nothing'),
  ('share_revoked',   'nothing'),
  ('carer',           'Letter, Note, Scan'),
  ('carer_sensitive', 'Genes, Letter, Note, Scan'),
  ('carer_other',     'nothing'),
  ('carer_closed',    'nothing'),
  ('carer_expired',   'nothing'),
  ('carer_ended',     'nothing'),
  ('doc',             'Genes, Letter, Note, Scan'),
  ('doc@aal1',        'nothing'),
  ('doc_closed',      'nothing'),
  ('doc_expired',     'nothing'),
  ('doc_ended',       'nothing'),
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
  tests.attempt(actor, $$
    select record_id from private.read_record_descriptions(array[tests.id('Scan')])
  $$, standing),
  'PT401 unauthenticated', format('read_record_descriptions: %s, %s', actor, standing)
)
from unnest(array['pia', 'doc', 'carer', 'share_download']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

-- Writing ----------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, format(
    'select private.write_record_description(tests.id(%L), tests.sealed(%L, %L))',
    record, 'New', 'pia'
  )), outcome, format('write_record_description: %s, %s', actor, record)
)
from (values
  ('pia',             'done',            'done',            'done'),
  ('doc',             'PT404 not_found', 'done',            'done'),
  ('doc@aal1',        'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('doc_closed',      'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('doc_stranger',    'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('carer_sensitive', 'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('share_download',  'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('omar',            'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('admin',           'PT404 not_found', 'PT404 not_found', 'PT404 not_found'),
  ('anon',            '42501 grant',     '42501 grant',     '42501 grant'),
  ('service_role',    '42501 grant',     '42501 grant',     '42501 grant'),
  ('records_worker',  '42501 grant',     '42501 grant',     '42501 grant'),
  ('identity_worker', '42501 grant',     '42501 grant',     '42501 grant')
) as m (actor, scan, note, finding)
cross join lateral (values ('Scan', scan), ('Note', note), ('Finding', finding)) as r (record, outcome);
select is(
  tests.attempt(actor, format('select patient_id = tests.id(%L) and data_key_id = tests.id(%L)
    from private.field_key_for_record(tests.id(%L))', 'pia', 'field key of pia', record)),
  outcome, format('field_key_for_record: %s, %s', actor, record)
)
from (values
  ('pia', 'Scan', 'true'), ('doc', 'Finding', 'true'), ('doc', 'Scan', 'PT404 not_found'),
  ('doc@aal1', 'Finding', 'PT404 not_found'), ('doc_closed', 'Letter', 'PT404 not_found'),
  ('carer_sensitive', 'Scan', 'PT404 not_found'), ('share_download', 'Scan', 'PT404 not_found'),
  ('omar', 'Scan', 'PT404 not_found'), ('admin', 'Scan', 'PT404 not_found'),
  ('pia', 'Old', 'PT404 not_found'), ('pia', 'none', 'PT404 not_found'),
  ('anon', 'Scan', '42501 grant'), ('identity_worker', 'Scan', '42501 grant')
) as k (actor, record, outcome);
select is(
  tests.attempt('pia', format('select private.write_record_description(tests.id(%L), %L)', record,
    value)), outcome, format('write_record_description: %s, %s', record, why)
)
from (values
  ('Scan', 'null', null, 'done'),
  ('Scan', 'in plaintext', 'No sign of spread', 'PT503 unavailable'),
  ('Scan', 'under no key of hers', tests.sealed('New'), 'PT503 unavailable'),
  ('Scan', 'too long', tests.sealed(repeat('x', 80001), 'pia'), 'PT400 invalid_request'),
  ('Old', 'which is deleted', tests.sealed('New', 'pia'), 'PT404 not_found'),
  ('none', 'which is not there', tests.sealed('New', 'pia'), 'PT404 not_found')
) as w (record, why, value, outcome);
select is(
  tests.attempt(actor, $$ select private.write_record_description(tests.id('Finding'), null) $$,
    standing),
  'PT401 unauthenticated', format('write_record_description: %s, %s', actor, standing)
)
from unnest(array['pia', 'doc']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- What is kept, and the trail --------------------------------------------------------------------

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
    (select r.title from public.medical_records as r where r.id = a.resource_id),
    tests.names() ->> a.patient_id::text, a.purpose, a.new_values ->> 'description'
  ), '; ' order by a.id)
  into v_trail
  from public.audit_events as a where a.id not in (select s.id from seen as s);
  insert into seen select a.id from public.audit_events as a on conflict do nothing;
  return coalesce(v_trail, 'none');
end
$$;
select is(pg_temp.trail_of(actor, statement), trail, format('%s: %s', actor, statement))
from (values
  ('doc', $$ select private.write_record_description(tests.id('Finding'), tests.sealed('Cyst', 'pia')) $$,
    'Doc create medical_record_content Finding Pia treatment (not kept)'),
  ('pia', $$ select private.write_record_description(tests.id('Scan'), tests.sealed('Clear', 'pia')) $$,
    'Pia update medical_record_content Scan Pia (not kept)'),
  ('doc', $$ select record_id from private.read_record_descriptions(array[tests.id('Finding')]) $$,
    'Doc read_description medical_record Finding Pia treatment'),
  ('carer', $$ select record_id
      from private.read_record_descriptions(array[tests.id('Scan'), tests.id('Genes')]) $$,
    'Carer read_description medical_record Scan Pia delegated'),
  ('share_download', $$ select record_id
      from private.read_record_descriptions(array[tests.id('Scan'), tests.id('Scan')]) $$,
    'Share_Download read_description medical_record Scan Pia share'),
  ('share_view', $$ select record_id
      from private.read_record_descriptions(array[tests.id('Scan')]) $$, 'none'),
  ('pia', $$ select record_id
      from private.read_record_descriptions(array[tests.id('Scan')]) $$, 'none')
) as t (actor, statement, trail);
select results_eq(
  $$
    select r.title, tests.unsealed(c.description) from public.medical_record_contents as c
    join public.medical_records as r on r.id = c.record_id
    where r.title in ('Scan', 'Finding') order by 1
  $$,
  $$ values ('Finding', 'Cyst'), ('Scan', 'Clear') $$,
  'each record has the description that was written for it'
);
select is(
  tests.attempt('pia', $$
    select actor_name || ': ' || summary from public.my_access_log()
    where action = 'read_description' and resource_id = tests.id('Scan') $$),
  'Carer: Read the description of a record, Share_Download: Read the description of a record',
  'the patient reads who did, in words'
);

-- Beside the grounds, the policies of the table decide: were they narrower, nothing more would come.
alter policy medical_record_contents_select_authenticated on public.medical_record_contents
  using (patient_id = (select auth.uid()) and (select private.session_is_live()));
select is(
  tests.attempt(actor, $$
    select tests.unsealed(description)
    from private.read_record_descriptions(array[tests.id('Scan')]) $$),
  outcome, format('under a narrower policy: %s', actor)
)
from (values ('pia', 'Clear'), ('doc', 'nothing')) as m (actor, outcome);

select * from finish();
rollback;
