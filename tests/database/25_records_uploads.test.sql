-- Files of records: announcing, completing, rejecting, downloading. The function `records` calls
-- these as the person, and completes or rejects as records_worker. The ward stands around pia
-- (tests.make_ward); Scan is shared, Note was added by doc and Letter by doc_closed.
begin;
select plan(152);

select tests.make_ward();

-- A call of its person or worker that is kept; answers its first column, or what refused it.
create function pg_temp.call(p_actor text, p_call text) returns text language plpgsql as $$
declare
  v_result text;
begin
  begin
    if p_actor = 'records_worker' then
      perform tests.act_as_role('records_worker', 'pia');
    else
      perform tests.act_as(p_actor);
    end if;
    execute 'select ' || p_call into v_result;
    perform tests.act_as_owner();
    return coalesce(nullif(v_result, ''), 'done');
  exception
    when others then return concat_ws(' ', sqlstate, sqlerrm);
  end;
end
$$;
create function pg_temp.begin_upload(p_record text,
  p_name text default 'scan.pdf') returns text language sql as $$
  select format('upload_id from private.begin_record_upload(tests.id(%L), %L, %L, 9, %L)',
    p_record, p_name, 'application/pdf', repeat('a', 64))
$$;
create temp view files as
  select string_agg(concat_ws(' ', r.title, r.file_name, r.file_type, r.file_size,
    left(r.file_sha256, 2),
    case when c.storage_path is null then 'nowhere' else 'stored' end),
    ', ' order by r.title) as list
  from public.medical_records as r left
    join public.medical_record_contents as c on c.record_id = r.id
  where r.file_name is not null or c.storage_path is not null;

-- Who may announce -------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(tests.attempt(actor,
  format('select upload_id is not null from (select %s) as u', pg_temp.begin_upload(record))),
  outcome, format('begin_record_upload: %s for %s', actor, record))
from (values
  ('pia', 'Scan', 'true'), ('pia', 'Note', 'true'), ('pia', 'Old', 'PT404 not_found'),
    ('pia', 'Bill', 'PT404 not_found'),
  ('omar', 'Scan', 'PT404 not_found'), ('share_view', 'Scan', 'PT404 not_found'),
    ('share_download', 'Scan', 'PT404 not_found'),
  ('carer', 'Scan', 'PT404 not_found'), ('carer_sensitive', 'Scan', 'PT404 not_found'),
  ('doc', 'Note', 'true'), ('doc', 'Scan', 'PT404 not_found'), ('doc', 'Letter', 'PT404 not_found'),
  ('doc@aal1', 'Note', 'PT404 not_found'), ('doc_closed', 'Letter', 'PT404 not_found'),
  ('doc_ended', 'Scan', 'PT404 not_found'), ('doc_withdrawn', 'Scan', 'PT404 not_found'),
  ('admin', 'Scan', 'PT404 not_found'), ('guest', 'Scan', 'PT404 not_found'),
  ('anon', 'Scan', '42501 grant'), ('service_role', 'Scan', '42501 grant'),
    ('records_worker', 'Scan', '42501 grant')
) as m (actor, record, outcome);
select is(tests.attempt(actor, 'select ' || call, standing), 'PT401 unauthenticated',
  format('%s, %s: %s', actor, standing, call))
from (values ('pia', 'Scan'), ('doc', 'Note')) as m (actor, record)
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join lateral unnest(array[
  pg_temp.begin_upload(record),
  format('upload_id from private.pending_record_upload(tests.id(%L))', record),
  format('file_name from private.authorize_record_download(tests.id(%L))', record)
]) as call;

select is(
  tests.attempt('pia',
    format('select upload_id is not null from private.begin_record_upload(tests.id(''Scan''), %s)',
      file)),
  outcome, format('a file of %s', left(file, 70))
)
from (values
  ($$'scan.pdf', 'application/pdf', 1, repeat('0', 64)$$, 'true'),
  ($$repeat('é', 255), 'application/dicom', 52428800, repeat('f', 64)$$, 'true'),
  ($$'', 'application/pdf', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$repeat('x', 256), 'application/pdf', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'../scan.pdf', 'application/pdf', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'a\b.pdf', 'application/pdf', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$E'a\nb.pdf', 'application/pdf', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$null, 'application/pdf', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.exe', 'application/x-msdownload', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.html', 'text/html', 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', null, 1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 0, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', -1, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 52428801, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', null, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 1, repeat('A', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 1, repeat('0', 63)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 1, null$$, 'PT400 invalid_request')
) as v (file, outcome);
select is(tests.state(), (select state from before), 'none of which announces anything');

-- Announcing, completing --------------------------------------------------------------------------

create temp table uploads (name text, id uuid);
grant select on uploads to public;
select is(pg_temp.call('pia', $$upload_id from private.pending_record_upload(tests.id('Scan'))$$),
  'PT409 upload_missing',
  'before it is announced there is no upload');
insert into uploads values ('first',
  pg_temp.call('pia', pg_temp.begin_upload('Scan', 'first.pdf'))::uuid);
select results_eq(
  $$
    select storage_path ~ format('^%s/%s/[0-9a-f-]{36}$', tests.id('pia'), tests.id('Scan')),
      requested_by = tests.id('pia'),
      expires_at - now(), completed_at is null, rejected_at is null
    from private.record_uploads where id = (select id from uploads)
  $$,
  $$ values (true, true, interval '10 minutes', true, true) $$,
  'a place of its own is announced, for ten minutes'
);
select is((select list from files), null, 'and the record has no file yet');

select is(tests.attempt(actor,
  $$ select file_name from private.pending_record_upload(tests.id('Scan')) $$), outcome,
  'pending_record_upload: ' || actor)
from (values
  ('pia', 'first.pdf'), ('omar', 'PT404 not_found'), ('share_download', 'PT404 not_found'),
    ('carer', 'PT404 not_found'),
  ('doc', 'PT404 not_found'), ('admin', 'PT404 not_found'), ('anon', '42501 grant'),
    ('service_role', '42501 grant'),
  ('records_worker', '42501 grant')
) as m (actor, outcome);

update private.record_uploads set created_at = created_at - interval '1 minute';
insert into uploads values ('second',
  pg_temp.call('pia', pg_temp.begin_upload('Scan', 'second.pdf'))::uuid);
select is(pg_temp.call('pia', $$concat_ws(' ', file_name, file_type, file_size, left(file_sha256,
  2))
  from private.pending_record_upload(tests.id('Scan'))$$), 'second.pdf application/pdf 9 aa',
    'the newest announcement counts');
select is((select count(distinct storage_path) from private.record_uploads), 2::bigint,
  'each has a place of its own');

update private.record_uploads set expires_at = now() - interval '59 minutes';
select is(pg_temp.call('pia', $$file_name from private.pending_record_upload(tests.id('Scan'))$$),
  'second.pdf',
  'who uploaded in time may say so within the hour');
update private.record_uploads set expires_at = now() - interval '1 hour';
select is(pg_temp.call('pia', $$file_name from private.pending_record_upload(tests.id('Scan'))$$),
  'PT409 upload_missing',
  'and not after it');
update private.record_uploads set expires_at = now() + interval '10 minutes';

select is(tests.attempt(actor,
  format('select private.%s(%L)', call, (select id from uploads where name = 'second'))), outcome,
  format('%s: %s', call, actor))
from unnest(array['complete_record_upload', 'reject_record_upload']) as call
cross join (values
  ('pia', '42501 grant'), ('doc', '42501 grant'), ('admin', '42501 grant'), ('anon', '42501 grant'),
  ('service_role', '42501 grant'), ('rate_limit_worker', '42501 grant'), ('records_worker', 'done')
) as m (actor, outcome);
select is(tests.attempt('records_worker', format('select private.complete_record_upload(%s)', id)),
  'PT409 upload_missing',
  'complete_record_upload: ' || id) from unnest(array['gen_random_uuid()', 'null']) as id;
select is(tests.attempt('records_worker', 'select private.reject_record_upload(gen_random_uuid())'),
  'done',
  'reject_record_upload: of none');

select is(pg_temp.call('records_worker',
  $$private.complete_record_upload(id) from uploads where name = 'second'$$), 'done',
  'the worker completes the second');
select is((select list from files), 'Scan second.pdf application/pdf 9 aa stored',
  'the record has its file');
select is((select storage_path from public.medical_record_contents
  where record_id = tests.id('Scan')),
  (select storage_path from private.record_uploads
    where id = (select id from uploads where name = 'second')), 'from its place');
select is(pg_temp.call('records_worker',
  $$private.complete_record_upload(id) from uploads where name = 'second'$$), 'done',
  'completing again is done');
select is(pg_temp.call('records_worker',
  $$private.reject_record_upload(id) from uploads where name = 'second'$$), 'done',
  'rejecting it now is done');
select is(pg_temp.call('records_worker',
  $$private.complete_record_upload(id) from uploads where name = 'first'$$),
  'PT409 already_uploaded', 'completing another is refused');
select is((select list from files), 'Scan second.pdf application/pdf 9 aa stored',
  'all of which changes nothing');
select is((select count(*) from private.record_uploads where completed_at is not null), 1::bigint,
  'one upload is completed');
select is(pg_temp.call('pia', pg_temp.begin_upload('Scan')), 'PT409 already_uploaded',
  'and none can be announced');
select is(pg_temp.call('pia', $$concat_ws(' ', file_name, completed_at is not null)
  from private.pending_record_upload(tests.id('Scan'))$$), 'second.pdf t',
    'asking for it tells that it is completed');

update private.record_uploads set created_at = now() + interval '1 minute'
  where id = (select id from uploads where name = 'first');
select is(pg_temp.call('pia', $$file_name from private.pending_record_upload(tests.id('Scan'))$$),
  'second.pdf',
  'also when another was announced after it');

-- A record without contents gets them with its file; a doctor adds files to what he added.
delete from public.medical_record_contents where record_id = tests.id('Note');
insert into uploads values ('note',
  pg_temp.call('doc', pg_temp.begin_upload('Note', 'note.pdf'))::uuid);
select is(pg_temp.call('records_worker',
  $$private.complete_record_upload(id) from uploads where name = 'note'$$), 'done',
  'a doctor''s file is completed');
select is((select list from files),
  'Note note.pdf application/pdf 9 aa stored, Scan second.pdf application/pdf 9 aa stored',
  'and the record has it');
select results_eq(
  $$ select patient_id = tests.id('pia'), sensitivity, deleted_at
    from public.medical_record_contents where record_id = tests.id('Note') $$,
  $$ values (true, 'normal', null::timestamptz) $$, 'with contents that copy what policies need'
);

-- Rejecting --------------------------------------------------------------------------------------

insert into uploads values ('bad',
  pg_temp.call('pia', pg_temp.begin_upload('Genes', 'bad.pdf'))::uuid);
select is(pg_temp.call('records_worker',
  $$private.reject_record_upload(id) from uploads where name = 'bad'$$), 'done',
  'the worker rejects');
select is(pg_temp.call('pia', $$file_name from private.pending_record_upload(tests.id('Genes'))$$),
  'PT409 upload_missing',
  'the upload is none any more');
select is(pg_temp.call('records_worker',
  $$private.complete_record_upload(id) from uploads where name = 'bad'$$),
  'PT409 upload_missing', 'and is not completed');
create temp table rejected as select rejected_at from private.record_uploads
  where id = (select id from uploads where name = 'bad');
update private.record_uploads set rejected_at = rejected_at - interval '1 hour'
  where id = (select id from uploads where name = 'bad');
select is(pg_temp.call('records_worker',
  $$private.reject_record_upload(id) from uploads where name = 'bad'$$), 'done',
  'rejecting again is done');
select is((select u.rejected_at = r.rejected_at - interval '1 hour'
  from private.record_uploads as u, rejected as r
  where u.id = (select id from uploads where name = 'bad')), true, 'and changes nothing');
select is((select list from files),
  'Note note.pdf application/pdf 9 aa stored, Scan second.pdf application/pdf 9 aa stored',
  'no file has come of it');
select is(tests.attempt('pia',
  format('select upload_id is not null from (select %s) as u', pg_temp.begin_upload('Genes'))),
  'true',
  'another may be announced');

-- Downloading ------------------------------------------------------------------------------------

select is(tests.attempt(actor,
  format('select file_name from private.authorize_record_download(tests.id(%L))', record)), outcome,
  format('authorize_record_download: %s of %s', actor, record))
from (values
  ('pia', 'Scan', 'second.pdf'), ('doc', 'Scan', 'second.pdf'), ('carer', 'Scan', 'second.pdf'),
  ('carer_sensitive', 'Scan', 'second.pdf'), ('share_download', 'Scan', 'second.pdf'),
    ('share_view', 'Scan', 'PT403 forbidden'),
  ('share_expired', 'Scan', 'PT404 not_found'), ('share_revoked', 'Scan', 'PT404 not_found'),
  ('carer_other', 'Scan', 'PT404 not_found'), ('carer_closed', 'Scan', 'PT404 not_found'),
    ('carer_ended', 'Scan', 'PT404 not_found'),
  ('doc@aal1', 'Scan', 'PT404 not_found'), ('doc_closed', 'Scan', 'PT404 not_found'),
    ('doc_expired', 'Scan', 'PT404 not_found'),
  ('doc_ended', 'Scan', 'PT404 not_found'), ('doc_withdrawn', 'Scan', 'PT404 not_found'),
    ('omar', 'Scan', 'PT404 not_found'),
  ('admin', 'Scan', 'PT404 not_found'), ('pia', 'Genes', 'PT404 not_found'),
    ('anon', 'Scan', '42501 grant'),
  ('service_role', 'Scan', '42501 grant'), ('records_worker', 'Scan', '42501 grant')
) as m (actor, record, outcome);
select is(
  pg_temp.call('share_download',
    $$storage_path from private.authorize_record_download(tests.id('Scan'))$$),
  (select storage_path from private.record_uploads
    where id = (select id from uploads where name = 'second')),
  'it tells where the file is, once it is allowed and logged'
);
update public.medical_records set deleted_at = now() where title = 'Scan';
select is(tests.attempt(actor,
  $$ select file_name from private.authorize_record_download(tests.id('Scan')) $$), outcome,
  'authorize_record_download of a deleted record: ' || actor)
from (values ('pia', 'second.pdf'), ('doc', 'PT404 not_found'),
  ('share_download', 'PT404 not_found')) as m (actor, outcome);
update public.medical_records set sensitivity = 'sensitive', deleted_at = null where title = 'Scan';
select is(tests.attempt(actor,
  $$ select file_name from private.authorize_record_download(tests.id('Scan')) $$), outcome,
  'authorize_record_download of a sensitive record: ' || actor)
from (values ('carer', 'PT404 not_found'), ('carer_sensitive', 'second.pdf')) as m (actor, outcome);

select * from finish();
rollback;
