-- Who may do what to records, their contents and their shares. The ward: pia, a patient, is
-- surrounded by one person for each way to stand to her (tests.make_ward). Of her records Genes is
-- sensitive, Old is deleted, Note was added by doc and Letter by doc_closed; Scan is shared. Bill
-- is omar's. Draft and Finding, which doc added, have no contents yet.
begin;
select plan(773);

select tests.make_ward();
insert into public.medical_records (id, patient_id, title, record_type)
select tests.id(title), tests.uid('pia'), title,
  'other' from unnest(array['Draft', 'Finding']) as title;
update public.medical_records set source = 'doctor',
  created_by = tests.uid('doc') where title = 'Finding';
insert into private.record_uploads (
  record_id, patient_id, storage_path, file_name, file_type, file_size, file_sha256, requested_by,
  expires_at
)
values (
  tests.id('Scan'), tests.uid('pia'), 'path', 'scan.pdf', 'application/pdf', 1, repeat('a', 64),
  tests.uid('pia'),
  now() + interval '1 minute'
);
-- They have opened it; some of them by a share that is over by now, some by none.
select tests.open_record_before('Scan', u)
from unnest(array['share_download', 'share_expired', 'share_revoked', 'omar', 'doc_closed']) as u;
insert into private.patient_identifiers (patient_id, system, value)
values (tests.uid('pia'), 'https://h.example', 'Patient/1');
create temp table before as select tests.state() as state;

-- Records ----------------------------------------------------------------------------------------

select is(tests.attempt(actor, statement), outcome,
  format('medical_records: %s of %s', verb, actor))
from (values
  ('pia',             'Draft, Finding, Genes, Letter, Note, Old, Scan', '1', '6'),
  ('omar',            'Bill',                                     '42501 policy', '1'),
  ('share_view',      'Scan',                                     '42501 policy', '0'),
  ('share_download',  'Scan',                                     '42501 policy', '0'),
  ('share_expired',   'nothing',                                  '42501 policy', '0'),
  ('share_revoked',   'nothing',                                  '42501 policy', '0'),
  ('carer',           'Draft, Finding, Letter, Note, Scan',        '42501 policy', '0'),
  ('carer_sensitive', 'Draft, Finding, Genes, Letter, Note, Scan', '42501 policy', '0'),
  ('carer_other',     'nothing',                                  '42501 policy', '0'),
  ('carer_closed',    'nothing',                                  '42501 policy', '0'),
  ('carer_expired',   'nothing',                                  '42501 policy', '0'),
  ('carer_requested', 'nothing',                                  '42501 policy', '0'),
  ('carer_declined',  'nothing',                                  '42501 policy', '0'),
  ('carer_ended',     'nothing',                                  '42501 policy', '0'),
  ('carer_lapsed',    'nothing',                                  '42501 policy', '0'),
  ('doc',             'Draft, Finding, Genes, Letter, Note, Scan', '1',            '2'),
  ('doc@aal1',        'nothing',                                  '42501 policy', '0'),
  ('doc_closed',      'nothing',                                  '42501 policy', '0'),
  ('doc_expired',     'nothing',                                  '42501 policy', '0'),
  ('doc_requested',   'nothing',                                  '42501 policy', '0'),
  ('doc_declined',    'nothing',                                  '42501 policy', '0'),
  ('doc_ended',       'nothing',                                  '42501 policy', '0'),
  ('doc_lapsed',      'nothing',                                  '42501 policy', '0'),
  ('doc_withdrawn',   'nothing',                                  '42501 policy', '0'),
  ('doc_unverified',  'nothing',                                  '42501 policy', '0'),
  ('doc_stranger',    'nothing',                                  '42501 policy', '0'),
  ('admin',           'nothing',                                  '42501 policy', '0'),
  ('admin@aal1',      'nothing',                                  '42501 policy', '0'),
  ('guest',           'nothing',                                  '42501 policy', '0'),
  ('anon',            '42501 grant',                              '42501 grant',  '42501 grant'),
  ('service_role',    '42501 grant',                              '42501 grant',  '42501 grant'),
  ('records_worker',  '42501 grant',                              '42501 grant',  '42501 grant')
) as m (actor, "select", "insert", "update")
cross join lateral (values
  ('select', 'select title from public.medical_records', "select"),
  (
    'insert',
    $$
      insert into public.medical_records (patient_id, title, record_type, record_date, sensitivity)
      values (tests.id('pia'), 'New', 'other', '2026-01-01', 'normal')
    $$,
    "insert"
  ),
  ('update', $$ update public.medical_records set title = 'x', sensitivity = 'sensitive' $$,
    "update"),
  ('delete', 'delete from public.medical_records', '42501 grant')
) as v (verb, statement, outcome);

-- A row that is asked for by its id is as absent as one that is not there.
select is(
  tests.attempt(actor, format(statement, id)), outcome,
  format('medical_records: %s, %s', actor, format(statement, what))
)
from unnest(array['omar', 'doc_closed', 'carer_other', 'share_expired', 'admin']) as actor
cross join (values ('another''s', tests.id('Scan')), ('a deleted one', tests.id('Old')),
  ('none', gen_random_uuid())) as r (what, id)
cross join (values
  ('select title from public.medical_records where id = %L', 'nothing'),
  ('update public.medical_records set title = ''x'' where id = %L', '0'),
  ('insert into public.medical_record_contents (record_id) values (%L)',
    'PT404 not_found'),
  ('select title from public.open_medical_record(%L)', 'PT404 not_found'),
  ('select public.delete_medical_record(%L)', 'PT404 not_found'),
  ('select public.restore_medical_record(%L)', 'PT404 not_found'),
  ('select public.share_medical_record(%L, tests.id(''doc''), ''view'', now() + interval ''1 day'')', 'PT404 not_found'),
  ('select upload_id from private.begin_record_upload(%L, ''a'', ''text/plain'', 1, repeat(''a'', 64))', 'PT404 not_found'),
  ('select upload_id from private.pending_record_upload(%L)', 'PT404 not_found'),
  ('select file_name from private.authorize_record_download(%L)', 'PT404 not_found')
) as s (statement, outcome);
select is(tests.attempt('omar', format(
    'insert into public.medical_records (patient_id, title, record_type) values (%L, ''x'', ''other'')', id
  )), '42501 policy', format('a record for %s is refused the same way', what))
from (values ('another patient', tests.id('pia')),
  ('no patient at all', gen_random_uuid())) as p (what, id);

-- Contents ---------------------------------------------------------------------------------------

select is(tests.attempt(actor, statement), outcome,
  format('medical_record_contents: %s of %s', verb, actor))
from (values
  ('pia',             'Genes, Letter, Note, Old, Scan', '1',               '1',               '4'),
  ('omar',            'Bill',                           'PT404 not_found', 'PT404 not_found', '1'),
  ('share_view',      'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('share_download',  'Scan',                           'PT404 not_found', 'PT404 not_found', '0'),
  ('share_expired',   'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('share_revoked',   'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer',           'Letter, Note, Scan',             '42501 policy',    '42501 policy',    '0'),
  ('carer_sensitive', 'Genes, Letter, Note, Scan',      '42501 policy',    '42501 policy',    '0'),
  ('carer_other',     'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer_closed',    'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer_expired',   'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer_requested', 'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer_declined',  'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer_ended',     'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('carer_lapsed',    'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc',             'Genes, Letter, Note, Scan',      '42501 policy',    '1',               '1'),
  ('doc@aal1',        'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_closed',      'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_expired',     'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_requested',   'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_declined',    'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_ended',       'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_lapsed',      'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_withdrawn',   'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_unverified',  'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('doc_stranger',    'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('admin',           'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('guest',           'nothing',                        'PT404 not_found', 'PT404 not_found', '0'),
  ('anon',            '42501 grant',                    '42501 grant',     '42501 grant',
    '42501 grant'),
  ('service_role',    '42501 grant',                    '42501 grant',     '42501 grant',
    '42501 grant'),
  ('records_worker',  '42501 grant',                    '42501 grant',     '42501 grant',
    '42501 grant')
) as m (actor, "select", draft, finding, "update")
cross join lateral (values
  ('select', $$ select replace(tests.unsealed(description), 'Contents of ', '')
    from public.medical_record_contents $$, "select"),
  (
    'insert for a record of the patient''s',
    $$ insert into public.medical_record_contents (record_id, metadata)
      values (tests.id('Draft'), '{}') $$,
    draft
  ),
  (
    'insert for a record of doc''s',
    $$ insert into public.medical_record_contents (record_id, metadata)
      values (tests.id('Finding'), '{}') $$,
    finding
  ),
  ('update', $$ update public.medical_record_contents
    set metadata = '{"a": 1}' $$, "update"),
  ('delete', 'delete from public.medical_record_contents', '42501 grant')
) as v (verb, statement, outcome);
select is(tests.attempt('pia', $$
    insert into public.medical_record_contents (record_id, metadata)
      values (tests.id('Scan'), '{}')
  $$), '23505', 'medical_record_contents: a record has one row');

-- Shares -----------------------------------------------------------------------------------------

select is(tests.attempt(actor, statement), outcome,
  format('medical_record_shares: %s of %s', verb, actor))
from (values
  ('pia',            'Share_Download, Share_Expired, Share_Revoked, Share_View'),
  ('omar',           'nothing'),
  ('share_view',     'Share_View'),
  ('share_download', 'Share_Download'),
  ('share_expired',  'nothing'),
  ('share_revoked',  'nothing'),
  ('carer_sensitive', 'nothing'),
  ('doc',            'nothing'),
  ('admin',          'nothing'),
  ('guest',          'nothing'),
  ('anon',           '42501 grant'),
  ('service_role',   '42501 grant'),
  ('records_worker', '42501 grant')
) as m (actor, "select")
cross join lateral (values
  (
    'select',
    $$ select names ->> shared_with_id::text
      from public.medical_record_shares, tests.names() as names $$,
    "select"
  ),
  (
    'insert',
    $$
      insert into public.medical_record_shares (record_id, patient_id, shared_with_id, shared_by_id,
        expires_at)
      values (tests.id('Genes'), tests.id('pia'), (select auth.uid()), tests.id('pia'),
        now() + interval '1 day')
    $$,
    '42501 grant'
  ),
  (
    'update',
    $$ update public.medical_record_shares set revoked_at = null, access_level = 'download' $$,
    '42501 grant'
  ),
  ('delete', 'delete from public.medical_record_shares', '42501 grant')
) as v (verb, statement, outcome);

-- Tables that nobody reads ------------------------------------------------------------------------

select is(tests.attempt(actor, statement), '42501 grant', format('%s: %s', actor, statement))
from unnest(array['pia', 'doc', 'admin', 'anon', 'service_role', 'records_worker']) as actor
cross join unnest(array[
  'private.record_uploads', 'private.patient_identifiers', 'private.record_openings'
]) as name
cross join unnest(array[
  'select t::text from TABLE as t', 'insert into TABLE default values',
  'update TABLE set COLUMN = now()', 'delete from TABLE'
]) as form
cross join lateral replace(
  replace(form, 'TABLE', name),
  'COLUMN', case name when 'private.record_openings' then 'opened_at' else 'created_at' end
) as statement;

-- What a session, a lock or a ban ends ------------------------------------------------------------

select is(tests.attempt(actor, statement, standing), outcome,
  format('%s, %s: %s', actor, standing, left(statement, 60)))
from unnest(array['pia', 'doc', 'carer_sensitive', 'share_download']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join (values
  ('select title from public.medical_records', 'nothing'),
  ($$ update public.medical_records set title = 'x' $$, '0'),
  ($$ insert into public.medical_records (patient_id, title, record_type)
    values (tests.id('pia'), 'New', 'other') $$,
    '42501 policy'),
  ('select record_id from public.medical_record_contents', 'nothing'),
  ($$ update public.medical_record_contents set metadata = '{}' $$, '0'),
  ($$ insert into public.medical_record_contents (record_id, metadata)
    values (tests.id('Finding'), '{}') $$,
    'PT404 not_found'),
  ('select id from public.medical_record_shares', 'nothing')
) as s (statement, outcome);

-- Columns ----------------------------------------------------------------------------------------

select is(tests.writable_columns(actor, table_name::regclass, verb), columns,
  format('%s: columns that %s may %s', table_name, actor, verb))
from (values
  ('public.medical_records', 'insert', 'patient_id, title, record_type, record_date, sensitivity'),
  ('public.medical_records', 'update', 'title, record_type, record_date, sensitivity'),
  ('public.medical_record_contents', 'insert', 'record_id, metadata'),
  ('public.medical_record_contents', 'update', 'metadata'),
  ('public.medical_record_shares', 'insert', null),
  ('public.medical_record_shares', 'update', null)
) as t (table_name, verb, columns)
cross join unnest(array['pia', 'doc', 'admin']) as actor;

-- Helpers: callable in SQL by whoever is signed in; of oneself they tell, and of nobody else --------

select is(
  tests.attempt(actor, $$
    select concat_ws('/', helper, coalesce(names ->> id::text, (
      select title from unnest(array['Scan', 'Note', 'Finding', 'Letter']) as title
        where tests.id(title) = id
    )))
    from tests.names() as names, (
      select 'reach' as helper, private.reachable_patient_ids() as id
      union select 'shared', private.shared_record_ids()
      union select 'added', private.added_record_ids()
      union select 'opened', private.opened_record_ids()
    ) as h
    where id <> (select auth.uid())
  $$), outcome, 'helpers of records, for ' || actor
)
from (values
  ('pia',            'nothing'),
  ('omar',           'nothing'),
  ('share_view',     'reach/Pia, shared/Scan'),
  ('share_download', 'opened/Scan, reach/Pia, shared/Scan'),
  ('share_expired',  'nothing'),
  ('share_revoked',  'nothing'),
  ('carer',          'reach/Pia'),
  ('carer_closed',   'nothing'),
  ('carer_expired',  'nothing'),
  ('doc',            'added/Finding, added/Note, reach/Pia'),
  ('doc@aal1',       'nothing'),
  ('doc_closed',     'nothing'),
  ('doc_expired',    'nothing'),
  ('admin',          'nothing')
) as m (actor, outcome);
select is(tests.attempt(actor, $$
    select private.reachable_patient_ids() union all select private.shared_record_ids()
    union all select private.added_record_ids() union all select private.opened_record_ids()
  $$, standing), 'nothing', format('helpers of records tell %s nothing, %s', actor, standing))
from unnest(array['pia', 'doc', 'carer', 'share_download']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

select is(tests.state(), (select state from before), 'no attempt has changed anything');

-- Rules behind the grants and the functions -------------------------------------------------------

-- Were the columns open by mistake, the policies would still keep a row with its patient.
grant update (patient_id) on public.medical_records,
  public.medical_record_contents to authenticated;
select is(tests.attempt(actor,
  format('update public.%s set patient_id = tests.id(''omar'')', name)), '42501 policy',
  format('%s: %s cannot give a row to another patient', name, actor))
from unnest(array['medical_records', 'medical_record_contents']) as name
cross join unnest(array['pia', 'doc']) as actor;
grant insert (patient_id, sensitivity) on public.medical_record_contents to authenticated;
select is(tests.attempt('pia', $$
    insert into public.medical_record_contents (record_id, patient_id, sensitivity)
    values (tests.id('Draft'), tests.id('pia'), 'normal')
  $$, standing), outcome, 'contents that bring their own copies: ' || standing)
from (values ('live', '1'), ('signed out', '42501 policy'),
  ('locked', '42501 policy')) as s (standing, outcome);
revoke update (patient_id) on public.medical_records,
  public.medical_record_contents from authenticated;
revoke insert (patient_id, sensitivity) on public.medical_record_contents from authenticated;

-- What decides on one record asks for the session itself, whoever calls it.
grant execute on function private.record_access(uuid),
  private.writable_record(uuid) to authenticated;
select is(tests.attempt('pia', $$
    select concat_ws(' ', a.ground, private.writable_record(tests.id('Scan')) = tests.id('pia'))
    from private.record_access(tests.id('Scan')) as a
  $$, standing), outcome, 'grounds of the patient, ' || standing)
from (values ('live', 'owner t'), ('signed out', ''), ('locked', '')) as s (standing,
  outcome);
select is(tests.attempt('pia', $$ select private.writable_record(tests.id('Scan')) $$,
  'signed out'), 'nothing',
  'nothing is writable without a session');
revoke execute on function private.record_access(uuid),
  private.writable_record(uuid) from authenticated;

-- The patient marks what a doctor has added; he does not take the mark back, nor may he in passing.
update public.medical_records set sensitivity = 'sensitive' where title in ('Note', 'Finding');
select is(tests.attempt(actor, format(
    'update public.medical_records set sensitivity = %L, title = %L where id = tests.id(%L)',
    sensitivity, 'x', 'Note'
  )), outcome, format('medical_records: %s makes a sensitive record %s', actor, sensitivity))
from (values
  ('pia', 'normal', '1'), ('doc', 'normal', 'PT403 forbidden'), ('doc', 'sensitive', '1'),
  ('carer_sensitive', 'normal', '0'), ('carer_sensitive', 'sensitive', '0')
) as m (actor, sensitivity, outcome);
select is(tests.attempt('doc', $$
    update public.medical_records set sensitivity = 'sensitive' where title = 'Letter'
  $$), '0', 'medical_records: a doctor marks no record that another doctor added');
update public.medical_records set sensitivity = 'normal' where title in ('Note', 'Finding');
select is(tests.attempt('doc', $$
    update public.medical_records set sensitivity = 'sensitive' where title in ('Note', 'Finding')
  $$), '2', 'medical_records: the doctor who added a record may mark it');

update public.medical_records set deleted_at = now() where title = 'Note';
select is(tests.attempt('doc', $$ select private.added_record_ids() = tests.id('Finding') $$),
  'true',
  'what the patient has deleted is no record of the doctor''s any more');

delete from public.medical_record_contents where record_id = tests.id('Old');
select is(tests.attempt('pia', $$
    insert into public.medical_record_contents (record_id, metadata)
      values (tests.id('Old'), '{}')
  $$), '42501 policy', 'medical_record_contents: a deleted record gets none');

select * from finish();
rollback;
