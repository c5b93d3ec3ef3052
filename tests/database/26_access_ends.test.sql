-- Revocation bites on the next statement, whatever the token still says: every event that ends a
-- ground, or the standing of who stands on it, against everything that the ground opened. In the
-- ward (tests.make_ward): doc and carer_sensitive have pia's chart open, share_download has her
-- record Scan, and has opened it. Note and Finding were added by doc; Finding has no contents and
-- no file.
begin;
select plan(52);

select tests.make_ward();
insert into public.medical_records (id, patient_id, title, record_type)
values (tests.id('Finding'), tests.uid('pia'), 'Finding', 'other');
update public.medical_records set source = 'doctor', created_by = tests.uid('doc')
where title = 'Finding';
select tests.make_file('Scan');
insert into private.record_uploads (
  record_id, patient_id, storage_path, file_name, file_type, file_size, file_sha256, requested_by,
  expires_at
)
values (
  tests.id('Finding'), tests.uid('pia'), 'path', 'f', 'text/plain', 1, repeat('a', 64),
  tests.uid('doc'), now() + interval '1 minute'
);
select tests.open_record_before('Scan', 'share_download');
-- A row of his own would be seen by a clinician whose verification is withdrawn.
delete from public.patients where id in (tests.uid('doc'), tests.uid('share_download'));

create temp table opened (actor text, what text, statement text);
insert into opened
select actor, what, statement
from (values
  ('doc carer share', 'rows of records', $$ select title from public.medical_records $$),
  ('doc carer share', 'rows of contents',
    $$ select record_id from public.medical_record_contents $$),
  ('doc carer', 'rows of patients', $$ select id from public.patients $$),
  ('share', 'rows of shares', $$ select id from public.medical_record_shares $$),
  ('doc carer', 'chart_patient_ids', $$ select private.chart_patient_ids('records') $$),
  ('carer', 'chart_patient_ids, sensitive', $$ select private.chart_patient_ids('sensitive') $$),
  ('doc', 'treated_patient_ids', $$ select private.treated_patient_ids() $$),
  ('doc', 'added_record_ids', $$ select private.added_record_ids() $$),
  ('share', 'shared_record_ids', $$ select private.shared_record_ids() $$),
  ('share', 'opened_record_ids', $$ select private.opened_record_ids() $$),
  ('doc', 'update of records', $$ update public.medical_records set title = 'x' $$),
  ('doc', 'update of contents', $$ update public.medical_record_contents set metadata = '{"x": 1}' $$),
  ('doc', 'insert of a record',
    $$ insert into public.medical_records (patient_id, title, record_type)
    values (tests.id('pia'), 'New', 'other') $$),
  ('doc', 'insert of contents',
    $$ insert into public.medical_record_contents (record_id, metadata)
    values (tests.id('Finding'), '{}') $$),
  ('doc carer share', 'open_medical_record',
    $$ select id from public.open_medical_record(tests.id('Scan')) $$),
  ('doc carer share', 'download',
    $$ select file_name from private.authorize_record_download(tests.id('Scan')) $$),
  ('doc', 'upload', $$ select upload_id
    from private.begin_record_upload(tests.id('Finding'), 'f', 'text/plain', 1, repeat('a', 64))
  $$),
  ('doc', 'completion of an upload',
    $$ select upload_id from private.pending_record_upload(tests.id('Finding')) $$),
  ('doc', 'import', $$ select count(*) || ' imported'
    from private.import_records(tests.id('pia'), 'https://h.example', null, '[]') $$)
) as o (kinds, what, statement)
cross join lateral unnest(string_to_array(kinds, ' ')) as k (kind)
join (values
  ('doc', 'doc'), ('carer', 'carer_sensitive'), ('share', 'share_download')
) as a (kind, actor) using (kind);

create function pg_temp.still_open(
  p_actor text, p_event text default null, p_by text default null
)
  returns text language plpgsql as $$
declare
  v_open text;
begin
  begin
    if p_event is not null then
      if p_by is not null then
        perform tests.act_as(p_by);
      end if;
      execute p_event;
      perform tests.act_as_owner();
    end if;
    select string_agg(o.what, ', ' order by o.what) into v_open
    from opened as o
    cross join lateral tests.attempt(p_actor, o.statement) as outcome
    where o.actor = split_part(p_actor, '@', 1)
      and outcome not in (
        'nothing', '0', '42501 policy', 'PT404 not_found', 'PT401 unauthenticated'
      );
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return coalesce(v_open, 'nothing');
  end;
end
$$;
comment on function pg_temp.still_open(text, text, text) is
  'What still works for an actor once an event has come, which somebody brings about (null: the '
  'database''s administrator, or time).';

select is(
  pg_temp.still_open(actor),
  (select string_agg(what, ', ' order by what) from opened as o where o.actor = a.actor),
  format('before, all of it is open to %s', actor)
)
from (values ('doc'), ('carer_sensitive'), ('share_download')) as a (actor);

-- Who stands there -------------------------------------------------------------------------------

select is(pg_temp.still_open(actor, format(event, actor), by), 'nothing',
  format('%s: nothing is open to %s', name, actor))
from (values ('doc'), ('carer_sensitive'), ('share_download')) as a (actor)
cross join (values
  ('signed out', $$ select tests.end_session(%1$L) $$, null),
  ('signed out everywhere', $$ delete from auth.sessions where user_id = tests.id(%1$L) $$, null),
  ('the session''s time is up', $$ update auth.sessions set not_after = now()
    where user_id = tests.id(%1$L) $$, null),
  ('account locked', $$ select public.set_account_active(tests.id(%1$L), false, 'Lost phone') $$,
    'admin'),
  ('account closed', $$ select public.close_account() $$, '%1$s'),
  ('banned', $$ update auth.users set banned_until = now() + interval '1 hour'
    where id = tests.id(%1$L) $$, null)
) as e (name, event, by_whom)
cross join lateral (select case by_whom when '%1$s' then actor else by_whom end) as b (by);

select is(pg_temp.still_open('doc', event, by), 'nothing',
  format('%s: nothing is open to doc', name))
from (values
  ('verification withdrawn', $$ select public.verify_doctor(tests.id('doc'), false, 'Expired') $$,
    'admin'),
  ('request deleted', $$ delete from public.doctors where id = tests.id('doc') $$, null),
  ('role withdrawn', $$ update public.profiles set role = 'patient' where id = tests.id('doc') $$,
    null),
  ('role changed', $$ update public.profiles set role = 'admin' where id = tests.id('doc') $$, null)
) as e (name, event, by);
select is(pg_temp.still_open('doc@aal1'), 'nothing',
  'a token without second factor: nothing is open to doc');
-- A caregiver or recipient who becomes a clinician owes the second factor from that moment on.
select is(
  pg_temp.still_open(actor || '@aal1',
    format('update public.profiles set role = %L where id = tests.id(%L)', role, actor)),
  'nothing', format('role of %s: nothing is open to %s without second factor', role, actor)
)
from unnest(array['carer_sensitive', 'share_download']) as actor
cross join unnest(array['doctor', 'admin']) as role;

-- On what they stand -----------------------------------------------------------------------------

select is(pg_temp.still_open(actor, event, by), 'nothing',
  format('%s: nothing is open to %s', name, actor))
from (values ('doc', 'doctor'), ('carer_sensitive', 'caregiver')) as a (actor, kind)
cross join lateral (
  select tests.id(format('care of pia by %s', actor)),
    (select c.id from public.chart_sessions as c where c.viewer_id = tests.id(actor))
) as i (care, chart)
cross join lateral (values
  ('care ended by the patient', format('select public.end_care(%L)', care), 'pia'),
  ('care ended by the member', format('select public.end_care(%L)', care), actor),
  ('care has run out',
    format('update public.care_relationships set ends_at = now() where id = %L', care), null),
  ('chart closed', format('select public.close_chart(%L)', chart), actor),
  ('chart has run out', format($$ update public.chart_sessions
    set opened_at = now() - interval '1 hour', expires_at = now() where id = %L $$, chart), null),
  ('chart left alone', format($$ update public.chart_sessions
    set last_used_at = now() - interval '15 minutes' where id = %L $$, chart), null)
) as e (name, event, by);

select is(
  pg_temp.still_open('carer_sensitive', format('select public.set_care_scopes(%L, %L)',
    tests.id('care of pia by carer_sensitive'), scopes), 'pia'),
  still_open, format('scopes narrowed to %s', scopes)
)
from (values
  ('{messages,sensitive}', 'chart_patient_ids, sensitive'),
  ('{records}',
    'chart_patient_ids, download, open_medical_record, rows of contents, rows of patients, '
      || 'rows of records')
) as s (scopes, still_open);
select is(
  tests.attempt('carer_sensitive', $$ select title from public.medical_records
    where sensitivity = 'sensitive' $$),
  'Genes', 'before, a sensitive record is among the rows'
);
select tests.act_as('pia');
select public.set_care_scopes(tests.id('care of pia by carer_sensitive'), '{records}');
select tests.act_as_owner();
select is(
  tests.attempt('carer_sensitive', $$ select title from public.medical_records
    where sensitivity = 'sensitive' $$),
  'nothing', 'after, it is not'
);

select is(pg_temp.still_open('share_download', event, by), 'nothing',
  format('%s: nothing is open to share_download', name))
from (values
  ('share revoked', format('select public.revoke_record_share(%L)',
    tests.id('share of Scan with share_download')), 'pia'),
  ('share given up', format('select public.revoke_record_share(%L)',
    tests.id('share of Scan with share_download')), 'share_download'),
  ('share has run out', $$ update public.medical_record_shares set expires_at = now()
    where shared_with_id = tests.id('share_download') $$, null),
  ('account of the patient closed', $$ select public.close_account() $$, 'pia')
) as e (name, event, by);
-- The share still stands; it shows nothing while the record is deleted.
select is(
  pg_temp.still_open('share_download',
    $$ select public.delete_medical_record(tests.id('Scan')) $$, 'pia'),
  'opened_record_ids, rows of shares, shared_record_ids', 'record deleted: no row and no file'
);
-- Opening it again under another share is opening anew.
update public.medical_record_shares set revoked_at = now() - interval '1 second'
where shared_with_id = tests.id('share_download');
insert into public.medical_record_shares (
  record_id, patient_id, shared_with_id, shared_by_id, access_level, expires_at
)
values (
  tests.id('Scan'), tests.uid('pia'), tests.uid('share_download'), tests.uid('pia'), 'download',
  now() + interval '1 day'
);
select is(
  tests.attempt('share_download', 'select record_id from public.medical_record_contents'),
  'nothing',
  'what was opened by a share that is over stays closed under the next one'
);

select * from finish();
rollback;
