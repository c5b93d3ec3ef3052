-- Sharing single records: making, reading, giving up, revoking, expiry. Pia and omar are patients;
-- rae, ron and rex are whom pia shares with, locke's account is locked; guest signed
-- in anonymously; doc has pia's chart open.
begin;
select plan(113);

select tests.make_user(u) from unnest(array['pia', 'omar', 'rae', 'ron', 'rex']) as u;
select tests.make_user('locke', p_active => false), tests.make_user('doc', 'doctor'),
  tests.make_user('guest', p_anonymous => true);
select tests.make_record('Scan', 'pia'), tests.make_record('Blood', 'pia'),
  tests.make_record('Old', 'pia', p_deleted => true),
  tests.make_record('Bill', 'omar');
select tests.make_file('Scan');
select tests.open_chart('pia', 'doc');

create function pg_temp.call(p_handle text, p_call text) returns text language plpgsql as $$
begin
  begin
    perform tests.act_as(p_handle);
    execute 'select public.' || p_call;
    perform tests.act_as_owner();
    return coalesce(tests.refusal(), 'done');
  exception
    when others then return concat_ws(' ', sqlstate, sqlerrm);
  end;
end
$$;
create function pg_temp.share(p_record text, p_with text, p_level text default 'view',
  p_for text default '7 days')
  returns text language sql as $$
  select format('share_medical_record(tests.id(%L), tests.id(%L), %L, now() + interval %L)',
    p_record, p_with, p_level, p_for)
$$;
create function pg_temp.share_id(p_record text,
  p_with text) returns uuid language sql security definer as $$
  select s.id from public.medical_record_shares as s
  where s.record_id = tests.id(p_record) and s.shared_with_id = tests.id(p_with)
  order by s.revoked_at is not null, s.expires_at desc limit 1
$$;
create temp view shares as
  select string_agg(concat_ws(' ', m.title, names ->> s.shared_with_id::text, s.access_level,
    case when s.revoked_at is not null then 'revoked' when s.expires_at <= now() then 'expired' else 'live' end), ', '
    order by m.title, names ->> s.shared_with_id::text, s.revoked_at, s.expires_at) as list
  from public.medical_record_shares as s join public.medical_records as m on m.id = s.record_id,
    tests.names() as names;

-- Who may share what with whom --------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(tests.attempt(actor, format('select public.%s is not null', call)), outcome,
  format('%s: %s', actor, call))
from (values
  ('pia',  pg_temp.share('Scan', 'rae'),                           'true'),
  ('pia',  pg_temp.share('Scan', 'rae', 'download'),               'true'),
  ('pia',  pg_temp.share('Scan', 'doc'),                           'true'),
  ('pia',  pg_temp.share('Scan', 'rae', 'view', '1 second'),       'true'),
  ('pia',  pg_temp.share('Scan', 'rae', 'view', '366 days'),       'true'),
  ('pia',  pg_temp.share('Scan', 'rae', 'view', '366 days 1 second'), 'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'rae', 'view', '10 years'),       'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'rae', 'view', '0'),              'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'rae', 'view', '-1 day'),         'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'rae', 'write'),                  'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'rae', null),                     'PT400 invalid_request'),
  ('pia',  $$share_medical_record(tests.id('Scan'), tests.id('rae'), 'view', null)$$,
    'PT400 invalid_request'),
  ('pia',  $$share_medical_record(tests.id('Scan'), tests.id('rae'), 'view', 'infinity')$$,
    'PT400 invalid_request'),
  ('pia',  $$share_medical_record(tests.id('Scan'), tests.id('rae'), 'view', '-infinity')$$,
    'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'pia'),                           'PT400 invalid_request'),
  ('pia',  pg_temp.share('Scan', 'nobody'),                        'PT404 not_found'),
  ('pia',  pg_temp.share('Scan', 'locke'),                         'PT404 not_found'),
  ('pia',  pg_temp.share('Scan', 'guest'),                         'PT404 not_found'),
  ('pia',  pg_temp.share('Scan', null),                            'PT404 not_found'),
  ('pia',  pg_temp.share('Old', 'rae'),                            'PT404 not_found'),
  ('pia',  pg_temp.share('Bill', 'rae'),                           'PT404 not_found'),
  ('pia',  pg_temp.share('Bill', 'pia'),                           'PT404 not_found'),
  ('pia',  pg_temp.share('Nothing', 'rae'),                        'PT404 not_found'),
  ('pia',  pg_temp.share(null, 'rae'),                             'PT404 not_found'),
  ('omar', pg_temp.share('Scan', 'omar'),                          'PT404 not_found'),
  ('omar', pg_temp.share('Scan', 'rae'),                           'PT404 not_found'),
  ('doc',  pg_temp.share('Scan', 'rae'),                           'PT404 not_found'),
  ('doc',  pg_temp.share('Scan', 'doc'),                           'PT404 not_found'),
  ('anon', pg_temp.share('Scan', 'rae'),                           '42501 grant'),
  ('service_role', pg_temp.share('Scan', 'rae'),                   '42501 grant')
) as m (actor, call, outcome);
select is(tests.state(), (select state from before), 'none of which shares anything');

-- Making and reading ------------------------------------------------------------------------------

select is(pg_temp.call('pia', pg_temp.share('Scan', 'rae')), 'done',
  'the patient shares for viewing');
select is(pg_temp.call('pia', pg_temp.share('Scan', 'rae', 'download')), 'PT409 already_shared',
  'twice is refused');
select is(pg_temp.call('pia', pg_temp.share('Scan', 'ron', 'download', '1 hour')), 'done',
  'the same record with another');
select is(pg_temp.call('pia', pg_temp.share('Blood', 'rae', 'download')), 'done',
  'another record with the same');
select is((select list from shares),
  'Blood Rae download live, Scan Rae view live, Scan Ron download live', 'three shares stand');
select results_eq(
  $$
    select patient_id = tests.id('pia'), shared_by_id = tests.id('pia'), expires_at - created_at,
      revoked_at
    from public.medical_record_shares where id = pg_temp.share_id('Scan', 'ron')
  $$,
  $$ values (true, true, interval '1 hour', null::timestamptz) $$,
  'a share says whose, by whom and until when'
);

-- Listed, opened, downloaded: each by its own right.
select is(
  concat_ws(' / ',
    tests.attempt(actor,
      'select title from public.medical_records where patient_id <> (select auth.uid())'),
    tests.attempt(actor,
      'select description from public.medical_record_contents where patient_id <> (select auth.uid())'),
    tests.attempt(actor, $$ select concat_ws(' ', title, may_download)
      from public.open_medical_record(tests.id('Scan')) $$),
    tests.attempt(actor, $$ select file_name
      from private.authorize_record_download(tests.id('Scan')) $$)
  ), outcome, 'list / contents / open / download: ' || actor
)
from (values
  ('rae',  'Blood, Scan / nothing / Scan f / PT403 forbidden'),
  ('ron',  'Scan / nothing / Scan t / scan.pdf'),
  ('rex',  'nothing / nothing / PT404 not_found / PT404 not_found'),
  ('omar', 'nothing / nothing / PT404 not_found / PT404 not_found'),
  ('pia',  'nothing / nothing / Scan t / scan.pdf'),
  ('anon', '42501 grant / 42501 grant / 42501 grant / 42501 grant')
) as m (actor, outcome);
select is(tests.attempt('rae',
  $$ select file_name from private.authorize_record_download(tests.id('Blood')) $$),
  'PT404 not_found', 'a record without a file has nothing to download');
select is(
  tests.attempt('rae', $$ insert into public.medical_record_contents (record_id, metadata)
    values (tests.id('Scan'), '{}') $$),
  '42501 policy', 'a share writes nothing'
);
select is(
  tests.attempt('ron', $$ select upload_id
    from private.begin_record_upload(tests.id('Scan'), 'a', 'text/plain', 1, repeat('a', 64)) $$),
  'PT404 not_found', 'nor adds a file'
);
select is(tests.attempt(h, $$ select title from public.open_medical_record(tests.id('Scan')) $$,
  standing), 'PT401 unauthenticated',
  format('a share is nothing for %s, %s', h, standing))
from unnest(array['rae', 'ron']) as h
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;

-- Ending -----------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, format('select public.revoke_record_share(%L)', share)), outcome,
  format('revoke_record_share: %s', actor)
)
from (values
  ('pia', 'done'), ('rae', 'done'), ('ron', 'PT404 not_found'), ('omar', 'PT404 not_found'),
    ('doc', 'PT404 not_found'),
  ('anon', '42501 grant'), ('service_role', '42501 grant')
) as m (actor, outcome)
cross join (select pg_temp.share_id('Scan', 'rae') as share) as s;
select is(tests.attempt('pia', format('select public.revoke_record_share(%s)', id)),
  'PT404 not_found', 'revoke_record_share: ' || id)
from unnest(array['gen_random_uuid()', 'null']) as id;
select is(tests.attempt(h, format('select public.revoke_record_share(%L)',
  pg_temp.share_id('Scan', 'rae')), standing),
  'PT401 unauthenticated', format('revoke_record_share: %s, %s', h, standing))
from unnest(array['pia', 'rae']) as h cross join unnest(array['signed out', 'locked']) as standing;
select is((select list from shares),
  'Blood Rae download live, Scan Rae view live, Scan Ron download live', 'all still stand');

create temp table revoked as select pg_temp.share_id('Scan', 'rae') as id;
select is(pg_temp.call('pia', format('revoke_record_share(%L)', (select id from revoked))), 'done',
  'the patient revokes one');
select is((select list from shares),
  'Blood Rae download live, Scan Rae view revoked, Scan Ron download live', 'and the others stand');
select is(tests.attempt('rae', $$ select title from public.medical_records where title = 'Scan' $$),
  'nothing', 'it is not listed');
select is(tests.attempt('rae',
  $$ select title from public.open_medical_record(tests.id('Scan')) $$), 'PT404 not_found',
  'nor opened');
select is(tests.attempt('rae',
  'select id from public.medical_record_shares where record_id = tests.id(''Scan'')'), 'nothing',
  'and the share itself is not seen any more');
update public.medical_record_shares set revoked_at = created_at + interval '1 microsecond'
  where id = (select id from revoked);
select is(pg_temp.call(h, format('revoke_record_share(%L)', (select id from revoked))), 'done',
  'revoking again is done: ' || h)
from unnest(array['pia', 'rae']) as h;
select is((select revoked_at - created_at from public.medical_record_shares
  where id = (select id from revoked)),
  interval '1 microsecond', 'and changes nothing');
update public.medical_record_shares set revoked_at = created_at where id = (select id from revoked);

select is(pg_temp.call('pia', pg_temp.share('Scan', 'rae', 'download')), 'done',
  'after that the record may be shared again');
select is(tests.attempt('rae',
  $$ select file_name from private.authorize_record_download(tests.id('Scan')) $$), 'scan.pdf',
  'at another level');
select is(pg_temp.call('rae', format('revoke_record_share(%L)', pg_temp.share_id('Scan', 'rae'))),
  'done', 'a recipient gives it up');
select is(tests.attempt('rae', $$ select title from public.medical_records where title = 'Scan' $$),
  'nothing', 'and sees it no more');

-- Contents, through opening it, and only by the share that it was opened by -----------------------

create function pg_temp.contents_of(p_handle text) returns text language sql as $$
  select tests.attempt(p_handle,
    'select tests.unsealed(description) from public.medical_record_contents')
$$;
select is(pg_temp.call('pia', pg_temp.share('Scan', 'rex')), 'done', 'a record is shared');
select is(pg_temp.contents_of('rex'), 'nothing', 'before it is opened, a share shows no contents');
select is(pg_temp.call('rex', 'open_medical_record(tests.id(''Scan''))'), 'done', 'it is opened');
select results_eq(
  $$ select tests.names() ->> viewer_id::text, record_id = tests.id('Scan'), opened_at = now()
    from private.record_openings $$,
  $$ values ('Rex', true, true) $$, 'which is noted'
);
select is(pg_temp.contents_of('rex'), 'nothing', 'the contents are not shown at once');
select tests.open_record_before('Scan', 'rex');
select is(pg_temp.contents_of('rex'), 'Contents of Scan', 'but afterwards');
select is(pg_temp.call('rex', 'open_medical_record(tests.id(''Scan''))'), 'done', 'opened again');
select is((select opened_at from private.record_openings), now(), 'it is noted anew');
select is(pg_temp.call('doc', 'open_medical_record(tests.id(''Scan''))'), 'done',
  'who opens it under a chart');
select is((select count(*) from private.record_openings), 1::bigint, 'needs no such note');
select tests.open_record_before('Scan', 'rex');
select is(pg_temp.call('pia', format('revoke_record_share(%L)', pg_temp.share_id('Scan', 'rex'))),
  'done', 'the patient revokes it');
select is(pg_temp.contents_of('rex'), 'nothing', 'and the contents are gone');
select is(pg_temp.call('pia', pg_temp.share('Scan', 'rex')), 'done', 'shared anew');
select is(pg_temp.contents_of('rex'), 'nothing', 'it is to be opened anew');

-- Time -------------------------------------------------------------------------------------------

update public.medical_record_shares set created_at = now() - interval '2 days', expires_at = now()
where id = pg_temp.share_id('Scan', 'ron');
select is(
  concat_ws(' / ',
    tests.attempt('ron', 'select title from public.medical_records'),
    tests.attempt('ron', $$ select title from public.open_medical_record(tests.id('Scan')) $$),
    tests.attempt('ron', $$ select file_name
      from private.authorize_record_download(tests.id('Scan')) $$),
    tests.attempt('ron', 'select id from public.medical_record_shares')
  ), 'nothing / PT404 not_found / PT404 not_found / nothing',
  'a share ends by time, at the moment it names'
);
select is(pg_temp.call('pia', format('revoke_record_share(%L)', pg_temp.share_id('Scan', 'ron'))),
  'done',
  'revoking what has expired is done');
select is((select revoked_at from public.medical_record_shares
  where id = pg_temp.share_id('Scan', 'ron')), null::timestamptz,
  'and changes nothing');
select is(pg_temp.call('pia', pg_temp.share('Scan', 'ron')), 'done',
  'after that the record may be shared again');
update public.medical_record_shares set expires_at = now() + interval '1 second'
  where id = pg_temp.share_id('Scan', 'ron');
select is(tests.attempt('ron', 'select title from public.medical_records'), 'Scan',
  'until its last second a share is live');

-- A share is for one account and one record, whatever else there is.
select is(pg_temp.call('pia', pg_temp.share('Blood', 'doc')), 'done',
  'a doctor in care gets a share, too');
update public.chart_sessions set closed_at = now() where viewer_id = tests.id('doc');
select is(tests.attempt('doc', 'select title from public.medical_records'), 'Blood',
  'which shows that record without the chart');
update public.chart_sessions set closed_at = null where viewer_id = tests.id('doc');
select is(tests.attempt('doc',
  $$ select title from public.medical_records where patient_id = tests.id('pia') $$), 'Blood, Scan',
  'and with the chart all of them, each once');

-- Constraints ------------------------------------------------------------------------------------

select throws_ok(format(
    'insert into public.medical_record_shares (record_id, patient_id, shared_with_id, shared_by_id, access_level, created_at, expires_at,
      revoked_at) values (tests.id(''Blood''), tests.id(''pia''), tests.id(%L), tests.id(''pia''), %s)', handle, row
  ), state, null, format('no share: %s, %s', handle, row))
from (values
  ('rex', $$'view', now(), now(), null$$, '23514'),
  ('rex', $$'view', now(), now() + interval '367 days', null$$, '23514'),
  ('rex', $$'edit', now(), now() + interval '1 day', null$$, '23514'),
  ('rex', $$'view', now(), now() + interval '1 day', now() - interval '1 second'$$, '23514'),
  ('pia', $$'view', now(), now() + interval '1 day', null$$, '23514'),
  ('rae', $$'view', now(), now() + interval '1 day', null$$, '23P01'),
  ('rae', $$'view', now() + interval '6 days', now() + interval '9 days', null$$, '23P01')
) as v (handle, row, state);
select lives_ok($$
  insert into public.medical_record_shares (record_id, patient_id, shared_with_id, shared_by_id,
    created_at, expires_at)
  values (tests.id('Blood'), tests.id('pia'), tests.id('rae'), tests.id('pia'),
    now() + interval '8 days', now() + interval '9 days')
$$, 'a share that begins when another has ended');
select throws_ok($$ delete from public.medical_records where title = 'Blood' $$, '23503', null,
  'a record that was ever shared stays');

select * from finish();
rollback;
