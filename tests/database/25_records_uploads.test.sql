-- Files of records: announcing, completing, rejecting, downloading. The function `records` calls
-- these as the person, and completes or rejects as records_worker. The ward stands around pia
-- (tests.make_ward); Scan is shared, Note was added by doc and Letter by doc_closed. What Storage
-- has is a row of its list (tests.put_object).
begin;
select plan(223);

select tests.make_ward();

-- A call of its person or worker that is kept; answers its first column, or what refused it.
create function pg_temp.call(p_actor text, p_call text) returns text language plpgsql as $$
declare
  v_result text;
begin
  begin
    if p_actor like 'records_worker%' then -- on behalf of pia, or of whom the part after @ names
      perform tests.act_as_role('records_worker',
        coalesce(nullif(split_part(p_actor, '@', 2), ''), 'pia'));
    else
      perform tests.act_as(p_actor);
    end if;
    execute 'select ' || p_call into v_result;
    perform tests.act_as_owner();
    return coalesce(tests.refusal(), nullif(v_result, ''), 'done');
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
create temp table uploads (name text, id uuid);
grant select on uploads to public;
create function pg_temp.path_of(p_name text) returns text language sql as $$
  select u.storage_path from private.record_uploads as u join uploads as n on n.id = u.id
  where n.name = p_name
$$;
-- The keys of announced files, as the function `records` brings them.
create function pg_temp.bring_keys() returns void language sql as $$
  insert into private.data_keys (id, purpose, subject_id, key_id, key_version, wrapped_key)
  select u.data_key_id, 'record_file', u.record_id, 'main', 1, decode(repeat('ab', 60), 'hex')
  from private.record_uploads as u
  on conflict (id) do nothing
$$;
create function pg_temp.complete(p_name text, p_for text default 'pia',
  p_version text default 'v1') returns text language sql as $$
  select pg_temp.bring_keys();
  select pg_temp.call('records_worker@' || p_for,
    format('private.complete_record_upload(%L, %L, repeat(''c'', 64))', n.id, p_version))
  from uploads as n where n.name = p_name
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
  ($$repeat('é', 255), 'application/dicom', 50000000, repeat('f', 64)$$, 'true'),
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
  ($$'scan.pdf', 'application/pdf', 50000001, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', null, repeat('0', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 1, repeat('A', 64)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 1, repeat('0', 63)$$, 'PT400 invalid_request'),
  ($$'scan.pdf', 'application/pdf', 1, null$$, 'PT400 invalid_request')
) as v (file, outcome);
select is(tests.state(), (select state from before), 'none of which announces anything');

-- Announcing, completing --------------------------------------------------------------------------

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

select is(tests.attempt(actor, 'select private.' || call), outcome, format('%s: %s', call, actor))
from (values
  ('complete_record_upload(null, null, null)', 'PT401 unauthenticated'),
  ('reject_record_upload(null)', 'false'),
  ('ended_record_uploads(1)', 'nothing'),
  ('note_uploads_swept(null)', 'done')
) as c (call, allowed)
cross join lateral (values
  ('pia', '42501 grant'), ('doc', '42501 grant'), ('admin', '42501 grant'), ('anon', '42501 grant'),
  ('service_role', '42501 grant'), ('rate_limit_worker', '42501 grant'), ('records_worker', allowed)
) as m (actor, outcome);
select is(pg_temp.call('records_worker',
    format('private.complete_record_upload(%s, ''v1'', repeat(''c'', 64))', id)),
  'PT409 upload_missing',
  'complete_record_upload: ' || id) from unnest(array['gen_random_uuid()', 'null']) as id;
select is(pg_temp.call('records_worker', 'private.reject_record_upload(gen_random_uuid())'),
  'false', 'reject_record_upload: of none');

-- What Storage has counts, and only what arrived in time and is what was read.
create temp view pending as
  select tests.attempt('pia', $$
    select concat_ws(' ', file_name, object_version, content_type, content_encoding)
    from private.pending_record_upload(tests.id('Scan')) $$) as file;
select is((select file from pending), 'second.pdf', 'nothing has arrived');
select is(pg_temp.complete('second'), 'PT409 upload_missing', 'and what is not there is not taken');
select tests.put_object(pg_temp.path_of('second'), 'late', now() + interval '10 minutes 1 second');
select is((select file from pending), 'second.pdf', 'what arrives too late counts for nothing');
select is(pg_temp.complete('second', p_version => 'late'), 'PT409 upload_missing', 'nor is taken');
select tests.put_object(pg_temp.path_of('second'), 'v1', now() + interval '10 minutes',
  '{"mimetype": "image/png", "contentEncoding": "gzip"}');
select is((select file from pending), 'second.pdf v1 image/png gzip',
  'to the last moment it counts, with the headers that it came with');
select is(pg_temp.complete('second', p_version => version), 'PT409 upload_missing',
  'another version than is there is not taken: ' || coalesce(version, 'null'))
from unnest(array['v0', 'V1', '', null]) as version;
select is((select list from files), null, 'none of which gives the record a file');

-- The right to write is asked anew, of the person for whom the worker acts.
select is(pg_temp.complete('second', actor), outcome, 'completing for ' || actor)
from (values
  ('omar', 'PT404 not_found'), ('share_download', 'PT404 not_found'), ('carer', 'PT404 not_found'),
  ('doc', 'PT404 not_found'), ('admin', 'PT404 not_found'), ('guest', 'PT404 not_found')
) as m (actor, outcome);
create function pg_temp.complete_after(p_change text, p_name text, p_for text)
  returns text language plpgsql as $$
declare
  v_outcome text;
begin
  begin
    execute p_change;
    v_outcome := pg_temp.complete(p_name, p_for);
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return v_outcome;
  end;
end
$$;
insert into uploads values ('note',
  pg_temp.call('doc', pg_temp.begin_upload('Note', 'note.pdf'))::uuid);
select tests.put_object(pg_temp.path_of('note'));
select is(pg_temp.complete_after(change, name, person), outcome,
  format('completing for %s after: %s', person, change))
from (values
  ('note', 'doc', 'select 1', 'done'),
  ('second', 'pia', $$update public.medical_records set deleted_at = now() where title = 'Scan'$$,
    'PT404 not_found'),
  ('note', 'doc', $$update public.medical_records set deleted_at = now() where title = 'Note'$$,
    'PT404 not_found'),
  ('note', 'doc', $$update public.care_relationships set status = 'ended', ends_at = now()
    where member_id = tests.id('doc')$$, 'PT404 not_found'),
  ('note', 'doc', $$update public.chart_sessions set closed_at = now()
    where viewer_id = tests.id('doc')$$, 'PT404 not_found'),
  ('note', 'doc', $$update public.doctors set verified_at = null, rejected_reason = 'x'
    where id = tests.id('doc')$$, 'PT404 not_found')
) as m (name, person, change, outcome);
select is(
  pg_temp.complete_after(format('select tests.set_standing(%L, %L)', person, standing), name, person),
  'PT401 unauthenticated', format('completing for %s, %s', person, standing))
from (values ('second', 'pia'), ('note', 'doc')) as m (name, person)
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is((select list from files), null, 'no file has come of it');

select is(
  pg_temp.complete_after(format(
    'with older as (update storage.objects set created_at = now() - interval ''1 day'')
      update private.record_uploads set expires_at = now() - interval %L', ago), 'note', 'doc'),
  outcome, 'completing what arrived in time and whose announcement is over for ' || ago)
from (values ('59 minutes', 'done'), ('1 hour', 'PT409 upload_missing')) as m (ago, outcome);

select is(pg_temp.complete('second'), 'done', 'the worker completes the second');
select is((select list from files), 'Scan second.pdf application/pdf 9 aa stored',
  'the record has its file');
select is((select storage_path from public.medical_record_contents
  where record_id = tests.id('Scan')), pg_temp.path_of('second'), 'from its place');
select is((select object_version from private.record_uploads
  where storage_path = pg_temp.path_of('second')), 'v1', 'with the version that was read');
select is(pg_temp.complete('second'), 'done', 'completing again is done');
select is(pg_temp.complete('second', p_version => 'v2'), 'done', 'whatever is read by then');
select is(pg_temp.call('records_worker',
  $$private.reject_record_upload(id) from uploads where name = 'second'$$), 'false',
  'it is not rejected any more, so its object stays');
select tests.put_object(pg_temp.path_of('first'));
select is(pg_temp.complete('first'), 'PT409 already_uploaded', 'completing another is refused');
select is((select list from files), 'Scan second.pdf application/pdf 9 aa stored',
  'all of which changes nothing');
select is((select string_agg(object_version, ' ') from private.record_uploads
  where completed_at is not null), 'v1', 'one upload is completed, with its version');
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
select is(pg_temp.complete('note', 'doc'), 'done', 'a doctor''s file is completed');
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
  $$private.reject_record_upload(id) from uploads where name = 'bad'$$), 'true',
  'the worker rejects');
select tests.put_object(pg_temp.path_of('bad'));
select is(pg_temp.call('pia', $$file_name from private.pending_record_upload(tests.id('Genes'))$$),
  'PT409 upload_missing',
  'the upload is none any more');
select is(pg_temp.complete('bad'), 'PT409 upload_missing',
  'and is not completed, whatever is put there');
create temp table rejected as select rejected_at from private.record_uploads
  where id = (select id from uploads where name = 'bad');
update private.record_uploads set rejected_at = rejected_at - interval '1 hour'
  where id = (select id from uploads where name = 'bad');
select is(pg_temp.call('records_worker',
  $$private.reject_record_upload(id) from uploads where name = 'bad'$$), 'true',
  'rejecting again tells that it is rejected');
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

-- A doubled announcement -------------------------------------------------------------------------

-- Three times the same, then another file; the client has got one answer, and uploads there.
create function pg_temp.announce(p_name text, p_file text default 'genes.pdf')
  returns void language plpgsql as $$
begin
  update private.record_uploads set created_at = created_at - interval '1 second';
  insert into uploads values (p_name,
    pg_temp.call('pia', pg_temp.begin_upload('Genes', p_file))::uuid);
end
$$;
create temp view pending_genes as
  select (tests.attempt('pia', $$ select concat_ws(' ', upload_id, object_version)
    from private.pending_record_upload(tests.id('Genes')) $$)) as file;
create function pg_temp.upload_called(p_name text) returns text language sql as $$
  select id::text from uploads where name = p_name
$$;
select pg_temp.announce(name) from unnest(array['genes 1', 'genes 2', 'genes 3']) as name;
select is((select file from pending_genes), pg_temp.upload_called('genes 3'),
  'of announcements of the same file the newest counts');
select tests.put_object(pg_temp.path_of('genes 1'));
select is((select file from pending_genes), pg_temp.upload_called('genes 1') || ' v1',
  'until the file lies where another said');
select tests.put_object(pg_temp.path_of('genes 2'), 'v2');
select is((select file from pending_genes), pg_temp.upload_called('genes 2') || ' v2',
  'and the newest of these, when it lies at several');
select pg_temp.announce('other', 'other.pdf');
select is((select file from pending_genes), pg_temp.upload_called('other'),
  'a newer announcement of another file replaces them');
select is(pg_temp.call('records_worker',
  $$private.reject_record_upload(id) from uploads where name = 'other'$$), 'true', 'until it is closed');
select is((select file from pending_genes), pg_temp.upload_called('genes 2') || ' v2',
  'then they count again');
select is(pg_temp.complete('genes 2', p_version => 'v2'), 'done', 'one of them becomes the file');

-- Sweeping: what nothing came of, three hours after its end ------------------------------------------

create temp view ended as
  select string_agg(n.name, ', ' order by n.name) as list
  from private.record_uploads as u join uploads as n on n.id = u.id
  where tests.attempt('records_worker', 'select upload_id from private.ended_record_uploads(100)')
    like '%' || u.id || '%';
select is((select list from ended), null, 'nothing ended long ago');
update private.record_uploads set expires_at = now() - interval '3 hours';
select is((select list from ended), null, 'three hours are not over yet');
update private.record_uploads set expires_at = now() - interval '3 hours 1 second';
select is((select list from ended), 'bad, first, genes 1, genes 3, other',
  'rejected, overtaken and forgotten uploads ended, and none that became a file');
select is(pg_temp.call('records_worker',
  'string_agg(storage_path, '' '') from private.ended_record_uploads(1)') in (
    select storage_path from private.record_uploads where completed_at is null
  ), true, 'they are told in batches, with their place');
update private.record_uploads set expires_at = now()
where storage_path = pg_temp.path_of('other');
select is(pg_temp.call('records_worker',
  $$private.note_uploads_swept(array(select id from uploads))$$), 'done', 'all are said to be swept');
select is((select list from ended), null, 'and are told no more');
select is((select string_agg(n.name, ', ' order by n.name) from uploads as n
    join private.record_uploads as u on u.id = n.id where u.swept_at = now()),
  'bad, first, genes 1, genes 3', 'but neither files nor what has not ended is noted as swept');
update private.record_uploads set swept_at = now() - interval '1 hour' where swept_at is not null;
select is(pg_temp.call('records_worker',
  $$private.note_uploads_swept(array(select id from uploads))$$), 'done', 'said again');
select is((select max(swept_at) from private.record_uploads), now() - interval '1 hour',
  'it changes nothing');

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
  ('admin', 'Scan', 'PT404 not_found'), ('pia', 'Letter', 'PT404 not_found'),
    ('anon', 'Scan', '42501 grant'),
  ('service_role', 'Scan', '42501 grant'), ('records_worker', 'Scan', '42501 grant')
) as m (actor, record, outcome);
-- Bytes that were not checked are nobody's: another object in its place, or none.
select tests.put_object(pg_temp.path_of('second'), 'v2');
select is(tests.attempt(actor,
  $$ select file_name from private.authorize_record_download(tests.id('Scan')) $$),
  'PT404 not_found', 'what lies in the place of the checked object is not handed out: ' || actor)
from unnest(array['pia', 'doc', 'share_download']) as actor;
update storage.objects set bucket_id = 'medical-records', name = 'away', version = 'v1'
where name = pg_temp.path_of('second');
select is(tests.attempt('pia',
  $$ select file_name from private.authorize_record_download(tests.id('Scan')) $$),
  'PT404 not_found', 'nor is what lies elsewhere');
select tests.put_object(pg_temp.path_of('second'));
select is(
  pg_temp.call('share_download',
    $$storage_path from private.authorize_record_download(tests.id('Scan'))$$),
  pg_temp.path_of('second'),
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
