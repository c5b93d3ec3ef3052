-- Keys of files and their erasure. The function `records` brings and reads keys as records_worker and
-- erases as the person. The ward stands around pia; Scan is shared, Note was added by doc.
begin;
select plan(90);

select tests.make_ward();
insert into storage.buckets (id, name) values ('medical-records', 'medical-records')
on conflict do nothing;

create temp table uploads (name text, id uuid, path text, key uuid);
grant select on uploads to public;

-- A call of its person or worker that is kept; answers its first column, or what refused it.
create function pg_temp.call(p_actor text, p_call text) returns text language plpgsql as $$
declare
  v_result text;
begin
  begin
    if p_actor like '%\_worker%' then
      perform tests.act_as_role(split_part(p_actor, '@', 1),
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
-- Announces a file of a record, with its key and, perhaps, its object, and completes it.
create function pg_temp.upload(p_name text, p_actor text, p_record text,
  p_complete boolean default true) returns text language plpgsql as $$
declare
  v_id constant uuid := pg_temp.call(p_actor, format(
    'upload_id from private.begin_record_upload(tests.id(%L), %L, %L, 9, repeat(%L, 64))',
    p_record, p_name, 'application/pdf', 'a'))::uuid;
  v_result text;
begin
  insert into uploads
  select p_name, u.id, u.storage_path, u.data_key_id
    from private.record_uploads as u where u.id = v_id;
  v_result := pg_temp.call('records_worker', format(
    'private.add_record_file_key(%L, %L, 1, %L)', v_id, 'main', repeat('ab', 60)));
  perform tests.put_object(path) from uploads where id = v_id;
  if p_complete then
    v_result := pg_temp.call('records_worker@' || p_actor, format(
      'private.complete_record_upload(%L, ''v1'', repeat(%L, 64))', v_id, 'c'));
  end if;
  return v_result;
end
$$;
create function pg_temp.complete(p_id uuid) returns text language sql as $$
  select pg_temp.call('records_worker', format(
    'private.complete_record_upload(%L, ''v1'', repeat(''c'', 64))', p_id))
$$;
create function pg_temp.key_of(p_record text, p_path text) returns text language sql as $$
  select pg_temp.call('records_worker', format(
    '(select concat_ws(%L, data_key_id, key_id, key_version, wrapped_key)
      from private.record_file_key(tests.id(%L), %L))', ' ', p_record, p_path))
$$;
create temp view files as
  select r.title, r.file_name, c.data_key_id
  from public.medical_records as r
  left join public.medical_record_contents as c on c.record_id = r.id
  where r.file_name is not null or c.storage_path is not null or c.data_key_id is not null;

-- Who may ----------------------------------------------------------------------------------------

select is(tests.attempt(actor, 'select count(*) from private.' || call), outcome,
  format('%s: %s', actor, split_part(call, '(', 1)))
from unnest(array['anon', 'pia', 'doc', 'admin', 'service_role', 'rate_limit_worker',
  'keys_worker'])
  as actor
cross join (values
  ('add_record_file_key(null, ''main'', 1, '''')', '42501 grant'),
  ('record_file_key(null, null)', '42501 grant'),
  ('dead_record_objects(null)', '42501 grant'),
  ('shred_record_file(null)', '42501 grant')
) as c (call, outcome);
select is(tests.attempt('records_worker', 'select count(*) from private.' || call), '42501 grant',
  'records_worker: ' || call)
from unnest(array['dead_record_objects(null)', 'shred_record_file(null)',
  'erase_record_file(null)', 'erase_data_keys(null, null)']) as call;

-- Keys -------------------------------------------------------------------------------------------

select is(pg_temp.upload('open.pdf', 'pia', 'Scan', false), 'done', 'an upload gets its key');
select results_eq(
  $$ select k.purpose, k.subject_id, k.key_version
    from private.data_keys as k join uploads on key = k.id $$,
  $$ values ('record_file', tests.id('Scan'), 1) $$, 'which is the record''s');
select is(pg_temp.call('records_worker', format(
  'private.add_record_file_key(%L, %L, 1, %L)', id, 'main', repeat('cd', 60))),
  '23505 duplicate key value violates unique constraint "data_keys_pkey"', 'once') from uploads;
select is(tests.attempt('records_worker',
  'select private.add_record_file_key(gen_random_uuid(), ''main'', 1, repeat(''ab'', 60))'),
  'PT409 upload_missing', 'and none without an announcement');
select is(pg_temp.key_of('Scan', path), format('%s main 1 %s', key, repeat('ab', 60)),
  'the worker reads the key of an open upload') from uploads;
select is(pg_temp.key_of('Genes', path), 'done', 'under its own record only') from uploads;
select is(pg_temp.key_of('Scan', path || 'x'), 'done', 'and its own path') from uploads;

select is(pg_temp.call('records_worker',
  'private.complete_record_upload(id, ''v1'', repeat(''c'', 64)) from uploads'), 'done',
  'it is completed');
select results_eq('select title, file_name, data_key_id from files',
  'select ''Scan''::text, name, key from uploads', 'the record has file and key');
select is(pg_temp.key_of('Scan', path), format('%s main 1 %s', key, repeat('ab', 60)),
  'the worker reads the key of the file') from uploads;

select is(pg_temp.call('pia',
  $$count(*) from private.begin_record_upload(tests.id('Genes'), 'x.pdf',
    'application/pdf', 9, repeat('a', 64))$$),
  '1', 'an announcement whose function died has no key');
select tests.put_object(u.storage_path) from private.record_uploads as u
where u.record_id = tests.id('Genes');
select is(
  (select pg_temp.complete(u.id)
   from private.record_uploads as u where u.record_id = tests.id('Genes')),
  'PT409 upload_missing', 'and is not completed');

-- Who may erase ----------------------------------------------------------------------------------

select is(tests.attempt(actor, 'select count(*)
  from private.erase_record_file(tests.id(''Scan''))'),
  outcome, 'erase_record_file: ' || actor)
from (values
  ('pia', '1'), ('omar', 'PT404 not_found'), ('share_download', 'PT404 not_found'),
  ('carer', 'PT404 not_found'), ('carer_sensitive', 'PT404 not_found'), ('doc', 'PT404 not_found'),
  ('admin', 'PT404 not_found'), ('anon', '42501 grant'), ('service_role', '42501 grant')
) as m (actor, outcome);
select is(tests.attempt('pia', 'select count(*) from private.erase_record_file(tests.id(''Scan''))',
  standing), 'PT401 unauthenticated', 'erase_record_file: pia, ' || standing)
from unnest(array['signed out', 'locked']) as standing;
select is(tests.attempt('pia', format('select count(*)
  from private.erase_record_file(%s)', record)),
  'PT404 not_found', 'erase_record_file: of ' || record)
from unnest(array['tests.id(''Letter'')', 'tests.id(''Bill'')', 'gen_random_uuid()',
  'null']) as record;

select is(pg_temp.upload('note.pdf', 'doc', 'Note'), 'done', 'a doctor adds a file');
select is(tests.attempt('pia', 'select count(*)
  from private.erase_record_file(tests.id(''Note''))'),
  'PT403 forbidden', 'which the patient does not erase');
select is(tests.attempt('doc', 'select count(*)
  from private.erase_record_file(tests.id(''Note''))'),
  'PT404 not_found', 'nor the doctor');
select is((select count(*) from files), 2::bigint, 'all of which changes nothing');

-- Erasing ----------------------------------------------------------------------------------------

select is(
  pg_temp.call('pia', 'storage_path from private.erase_record_file(tests.id(''Scan''))'),
  (select path from uploads where name = 'open.pdf'),
    'the patient erases, and is told what to remove');
select is((select wrapped_key is null and erased_at = now() from private.data_keys
  where id = (select key from uploads where name = 'open.pdf')), true, 'the key is gone');
select is((select string_agg(title, ', ') from files), 'Note', 'the record has no file');
select is((select count(*) from public.medical_records where title = 'Scan'), 1::bigint,
  'but is still there');
select is(pg_temp.key_of('Scan', path), 'done', 'no key is read')
  from uploads where name = 'open.pdf';
select is(tests.attempt('pia', 'select file_name
  from private.authorize_record_download(tests.id(''Scan''))'),
  'PT404 not_found', 'nor is there anything to download');
select is(pg_temp.call('pia', 'file_name from private.pending_record_upload(tests.id(''Scan''))'),
  'PT409 upload_missing', 'or to complete');
select is(pg_temp.complete(id),
  'PT409 upload_missing', 'even by its id') from uploads where name = 'open.pdf';
select results_eq(
  $$ select action, actor_id, patient_id from public.audit_events
    where resource_id = tests.id('Scan') and action = 'erase_file' $$,
  $$ values ('erase_file', tests.uid('pia'), tests.uid('pia')) $$, 'the trail says who did it');

select is(
  pg_temp.call('pia', 'storage_path from private.erase_record_file(tests.id(''Scan''))'),
  (select path from uploads where name = 'open.pdf'), 'erasing again tells what still lies there');
select set_config('storage.allow_delete_query', 'true', true);
delete from storage.objects where name = (select path from uploads where name = 'open.pdf');
select is(
  pg_temp.call('pia', 'coalesce(storage_path, ''nothing'')
    from private.erase_record_file(tests.id(''Scan''))'),
  'nothing', 'until nothing does');
select is((select count(*) from public.audit_events where action = 'erase_file'), 1::bigint,
  'and is one deed');

select is(pg_temp.upload('new.pdf', 'pia', 'Scan'), 'done', 'the record may get another file');
select is((select file_name from files where title = 'Scan'), 'new.pdf', 'which it has');
select isnt((select key from uploads where name = 'new.pdf'), (select key
  from uploads where name = 'open.pdf'),
  'with a key of its own');
select is(pg_temp.key_of('Scan', path), format('%s main 1 %s', key, repeat('ab', 60)),
  'that is read')
from uploads where name = 'new.pdf';

-- What a later domain erases by shred_record_file, whoever uploaded it, open uploads included.
select is(pg_temp.upload('late.pdf', 'pia', 'Genes', false), 'done', 'an upload is open');
select set_eq($$ select private.shred_record_file(tests.id('Genes')) $$,
  $$ select storage_path from private.record_uploads where record_id = tests.id('Genes') $$,
  'its object is to be removed');
select is(pg_temp.complete(id),
  'PT409 upload_missing', 'and it comes too late') from uploads where name = 'late.pdf';
select is((select private.shred_record_file(tests.id('Note'))),
  (select path from uploads where name = 'note.pdf'), 'a doctor''s file is erased');
select is((select string_agg(title, ', ') from files), 'Scan', 'and another record''s is not');
select throws_ok('select private.shred_record_file(gen_random_uuid())', 'PT404', 'not_found',
  'there must be a record');

-- The sweep, three hours after the end, when no address takes anything any more.
update private.record_uploads set expires_at = now() - interval '3 hours 1 second';
select set_eq(
  $$ select tests.attempt('records_worker',
    'select upload_id from private.ended_record_uploads(100)') $$,
  $$ select string_agg(id::text, ', ' order by id::text) from private.record_uploads
    where completed_at is null or erased_at is not null $$,
  'what was erased is swept, too, as something may have been put there again');
select is(pg_temp.call('records_worker', format('private.note_uploads_swept(%L)',
  (select array_agg(id) from private.record_uploads))), 'done', 'it is noted');
select is((select string_agg(n.name, ', ') from private.record_uploads as u
  join uploads as n using (id) where u.swept_at is null), 'new.pdf',
  'of all but the file that is there');
select is((select count(*) from private.data_keys as k join private.record_uploads as u
  on u.data_key_id = k.id where k.erased_at is null), 1::bigint,
  'and no other key is left');

select is(
  (select count(*) from public.audit_events as e
   where to_jsonb(e)::text ~ repeat('ab', 60) or to_jsonb(e)::text ~ 'wrapped_key'),
  0::bigint, 'no key, wrapped or not, is in the trail');

select * from finish();
rollback;
