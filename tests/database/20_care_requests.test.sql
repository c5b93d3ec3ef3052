-- Asking for care, answering, narrowing, ending. Pia and omar are patients; doc and dora are
-- verified doctors, undoc is not; cora and cleo are caregivers; locke is a patient, dark a doctor
-- and cody a caregiver whose accounts are locked; ada is an administrator; guest, and
-- helper, a caregiver, signed in anonymously.
begin;
select plan(138);

select tests.make_user('pia'), tests.make_user('omar'), tests.make_user('doc', 'doctor'),
  tests.make_user('dora', 'doctor'), tests.make_user('undoc', 'doctor', p_verified => false),
  tests.make_user('cora', 'caregiver'), tests.make_user('cleo', 'caregiver'),
  tests.make_user('locke', p_active => false), tests.make_user('dark', 'doctor', p_active => false),
  tests.make_user('cody', 'caregiver', p_active => false),
  tests.make_user('ada', 'admin'), tests.make_user('guest', p_anonymous => true),
  tests.make_user('helper', 'caregiver', p_anonymous => true), tests.make_user('gone');
-- Gone keeps the registry row of a patient, and has no way left to be signed in to.
update auth.users set is_anonymous = true where id = tests.uid('gone');

-- Runs a call as somebody and keeps what it does; answers "done" or what refused it.
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
-- The newest relationship of two people, in words.
create function pg_temp.care(p_patient text, p_member text) returns text language sql as $$
  select concat_ws(' ', r.kind, r.status, r.scopes::text,
    'asked by ' || (tests.names() ->> r.requested_by::text),
    'since ' || (r.starts_at = now())::text, 'until ' || (r.ends_at = now())::text, r.ended_reason)
  from public.care_relationships as r
  where r.patient_id = tests.id(p_patient) and r.member_id = tests.id(p_member)
  order by r.created_at desc, r.status = 'ended', r.status = 'declined' limit 1
$$;
create function pg_temp.care_id(p_patient text,
  p_member text) returns uuid language sql security definer as $$
  select r.id from public.care_relationships as r
  where r.patient_id = tests.id(p_patient) and r.member_id = tests.id(p_member)
  order by r.status in ('requested', 'active') desc limit 1
$$;

-- Who may ask whom -------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(
  tests.attempt(actor, format('select public.request_care(tests.id(%L), %L, %L) is not null', other,
    kind, scopes)),
  outcome, format('request_care: %s of %s as %s %s', actor, other, kind, scopes)
)
from (values
  ('doc',      'pia',   'doctor',    '{}',                 'true'),
  ('doc@aal1', 'pia',   'doctor',    '{}',                 'true'),
  ('doc',      'pia',   'doctor',    '{records}',          'true'),
  ('cora',     'pia',   'caregiver', '{records,sensitive}', 'true'),
  ('cora',     'pia',   'caregiver', '{}',                 'true'),
  ('pia',      'doc',   'doctor',    '{}',                 'true'),
  ('pia',      'cora',  'caregiver', '{records}',          'true'),
  ('undoc',    'pia',   'doctor',    '{}',                 'PT403 not_verified'),
  ('cora',     'pia',   'doctor',    '{}',                 'PT403 not_verified'),
  ('ada',      'pia',   'doctor',    '{}',                 'PT403 not_verified'),
  ('guest',    'doc',   'doctor',    '{}',                 'PT403 forbidden'),
  ('guest',    'cora',  'caregiver', '{records}',          'PT403 forbidden'),
  ('helper',   'pia',   'caregiver', '{records}',          'PT403 forbidden'),
  ('pia',      'helper', 'caregiver', '{records}',         'PT404 not_found'),
  ('doc',      'locke', 'doctor',    '{}',                 'PT404 not_found'),
  ('doc',      'cora',  'doctor',    '{}',                 'PT404 not_found'),
  ('doc',      'guest', 'doctor',    '{}',                 'PT404 not_found'),
  ('doc',      'gone',  'doctor',    '{}',                 'PT404 not_found'),
  ('cora',     'gone',  'caregiver', '{records}',          'PT404 not_found'),
  ('doc',      'none',  'doctor',    '{}',                 'PT404 not_found'),
  ('cora',     'none',  'caregiver', '{records}',          'PT404 not_found'),
  ('pia',      'undoc', 'doctor',    '{}',                 'PT404 not_found'),
  ('pia',      'dark',  'doctor',    '{}',                 'PT404 not_found'),
  ('pia',      'cody',  'caregiver', '{records}',          'PT404 not_found'),
  ('pia',      'cora',  'doctor',    '{}',                 'PT404 not_found'),
  ('pia',      'doc',   'caregiver', '{records}',          'PT404 not_found'),
  ('pia',      'omar',  'caregiver', '{records}',          'PT404 not_found'),
  ('pia',      'none',  'doctor',    '{}',                 'PT404 not_found'),
  ('doc',      'doc',   'doctor',    '{}',                 'PT400 invalid_request'),
  ('pia',      'pia',   'caregiver', '{records}',          'PT400 invalid_request'),
  ('pia',      'cora',  'friend',    '{records}',          'PT400 invalid_request'),
  ('pia',      'cora',  null,        '{records}',          'PT400 invalid_request'),
  ('pia',      'cora',  'caregiver', '{}',                 'PT400 invalid_request'),
  ('pia',      'cora',  'caregiver', null,                 'PT400 invalid_request'),
  ('pia',      'cora',  'caregiver', '{records,all}',      'PT400 invalid_request'),
  ('pia',      'cora',  'caregiver', '{records,null}',     'PT400 invalid_request'),
  ('cora',     'pia',   'caregiver', '{everything}',       'PT400 invalid_request'),
  ('anon',     'pia',   'caregiver', '{records}',          '42501 grant'),
  ('service_role', 'pia', 'doctor',  '{}',                 '42501 grant')
) as m (actor, other, kind, scopes, outcome);
select is(tests.attempt('pia', $$ select public.request_care(null, 'doctor') $$), 'PT404 not_found',
  'request_care: of nobody');
select is(tests.state(), (select state from before), 'none of which has changed anything');

-- A doctor asks ----------------------------------------------------------------------------------

select is(pg_temp.call('doc', $$request_care(tests.id('pia'), 'doctor', '{records}')$$), 'done',
  'a doctor asks');
select is(pg_temp.care('pia', 'doc'), 'doctor requested {} asked by Doc',
  'it is a request, and gives no right; a doctor has no scopes');
select is(pg_temp.call('doc', $$request_care(tests.id('pia'), 'doctor')$$),
  'PT409 already_requested', 'asking twice');
select is(pg_temp.call('pia', $$request_care(tests.id('doc'), 'doctor')$$),
  'PT409 already_requested',
  'appointing who has asked');
select is(
  tests.attempt(actor, format('select public.respond_care_request(%L, true)',
    pg_temp.care_id('pia', 'doc'))),
  outcome, 'respond_care_request: ' || actor
)
from (values
  ('doc', 'PT404 not_found'), ('omar', 'PT404 not_found'), ('ada', 'PT404 not_found'),
  ('anon', '42501 grant'), ('service_role', '42501 grant'), ('pia', 'done')
) as m (actor, outcome);
select is(
  tests.attempt('pia', format('select public.respond_care_request(%s)', arguments)), outcome,
  format('respond_care_request(%s)', arguments)
)
from (values
  ('gen_random_uuid(), true', 'PT404 not_found'),
  ('null, true', 'PT404 not_found'),
  (format('%L, null', pg_temp.care_id('pia', 'doc')), 'PT400 invalid_request')
) as c (arguments, outcome);
select is(pg_temp.care('pia', 'doc'), 'doctor requested {} asked by Doc',
  'the request is still open');

select is(pg_temp.call('pia', format('respond_care_request(%L, true, %L)',
  pg_temp.care_id('pia', 'doc'), '{records}')),
  'done', 'the patient accepts');
select is(pg_temp.care('pia', 'doc'), 'doctor active {} asked by Doc since true',
  'it is active from now on');
select is(pg_temp.call('pia', format('respond_care_request(%L, %L)', pg_temp.care_id('pia', 'doc'),
  answer)),
  'PT409 already_answered', 'answering again: ' || answer)
from unnest(array['true', 'false']) as answer;
select is(pg_temp.care('pia', 'doc'), 'doctor active {} asked by Doc since true',
  'changes nothing');
select is(pg_temp.call('pia', format('set_care_scopes(%L, %L)', pg_temp.care_id('pia', 'doc'),
  '{records}')),
  'PT404 not_found', 'a doctor has no scopes to set');

select is(pg_temp.call('dora', $$request_care(tests.id('pia'), 'doctor')$$), 'done',
  'another doctor asks');
select is(pg_temp.call('pia', format('respond_care_request(%L, false)',
  pg_temp.care_id('pia', 'dora'))), 'done',
  'the patient declines');
select is(pg_temp.care('pia', 'dora'), 'doctor declined {} asked by Dora until true',
  'it is declined');
select is(pg_temp.call('pia', format('respond_care_request(%L, true)',
  pg_temp.care_id('pia', 'dora'))),
  'PT409 already_answered', 'and cannot be accepted later');
select is(pg_temp.call(h, format('end_care(%L)', pg_temp.care_id('pia', 'dora'))),
  'PT409 already_ended',
  'nor ended, by ' || h) from unnest(array['pia', 'dora']) as h;
select is(pg_temp.care('pia', 'dora'), 'doctor declined {} asked by Dora until true',
  'it stays declined');
select is(pg_temp.call('dora', $$request_care(tests.id('pia'), 'doctor')$$), 'done',
  'a doctor may ask again');
select is(pg_temp.call('pia', format('end_care(%L)', pg_temp.care_id('pia', 'dora'))),
  'PT409 already_ended',
  'the patient answers a request, and does not withdraw it');
select is(pg_temp.call('dora', format('end_care(%L)', pg_temp.care_id('pia', 'dora'))), 'done',
  'who asked withdraws it');
select is((select count(*) from public.care_relationships where patient_id = tests.id('pia')
  and member_id = tests.id('dora') and status = 'ended'), 1::bigint, 'and it is ended');

-- A caregiver ------------------------------------------------------------------------------------

select is(pg_temp.call('cora',
  $$request_care(tests.id('pia'), 'caregiver', '{sensitive,records,records}')$$), 'done',
  'a caregiver asks');
select is(pg_temp.care('pia', 'cora'), 'caregiver requested {records,sensitive} asked by Cora',
  'for scopes, each once');
select is(pg_temp.call('pia', format('respond_care_request(%L, true, %L)',
  pg_temp.care_id('pia', 'cora'), scopes)),
  'PT400 invalid_request', 'accepting with ' || scopes)
from unnest(array['{}', '{all}', '{records,null}']) as scopes;
select is(pg_temp.care('pia', 'cora'), 'caregiver requested {records,sensitive} asked by Cora',
  'is no answer');
select is(pg_temp.call('pia', format('respond_care_request(%L, true, %L)',
  pg_temp.care_id('pia', 'cora'), '{messages}')),
  'done', 'the patient accepts with other scopes');
select is(pg_temp.care('pia', 'cora'), 'caregiver active {messages} asked by Cora since true',
  'what the patient gives counts, not what was asked for');

select is(pg_temp.call('cleo', $$request_care(tests.id('pia'), 'caregiver')$$), 'done',
  'one asks for no scope at all');
select is(pg_temp.call('pia', format('respond_care_request(%L, true)',
  pg_temp.care_id('pia', 'cleo'))),
  'PT400 invalid_request', 'which cannot be accepted as it is');
select is(pg_temp.call('pia', format('respond_care_request(%L, true, %L)',
  pg_temp.care_id('pia', 'cleo'), '{records}')),
  'done', 'but with a scope');

select is(
  tests.attempt(actor, format('select public.set_care_scopes(%L, %L)',
    pg_temp.care_id('pia', 'cora'), scopes)),
  outcome, format('set_care_scopes: %s, %s', actor, scopes)
)
from (values
  ('pia', '{records,sensitive}', 'done'), ('pia', '{}', 'PT400 invalid_request'),
  ('pia', null, 'PT400 invalid_request'), ('pia', '{all}', 'PT400 invalid_request'),
  ('cora', '{records}', 'PT404 not_found'), ('cleo', '{records}', 'PT404 not_found'),
  ('omar', '{records}', 'PT404 not_found'), ('ada', '{records}', 'PT404 not_found'),
  ('anon', '{records}', '42501 grant'), ('service_role', '{records}', '42501 grant')
) as m (actor, scopes, outcome);
select is(pg_temp.call('pia', format('set_care_scopes(%L, %L)', pg_temp.care_id('pia', 'cora'),
  '{records,messages,records}')),
  'done', 'the patient widens the scopes');
select is(pg_temp.care('pia', 'cora'),
  'caregiver active {messages,records} asked by Cora since true', 'each once');

-- Ending -----------------------------------------------------------------------------------------

select is(tests.attempt(actor,
  format('select public.end_care(%L, %L)', pg_temp.care_id('pia', 'cora'), reason)),
  outcome, format('end_care: %s, %s', actor, left(reason, 10)))
from (values
  ('pia', 'Moved', 'done'), ('cora', 'Moved', 'done'), ('cleo', 'Moved', 'PT404 not_found'),
  ('omar', 'Moved', 'PT404 not_found'), ('doc', 'Moved', 'PT404 not_found'),
    ('ada', 'Moved', 'PT404 not_found'),
  ('pia', repeat('x', 501), 'PT400 invalid_request'), ('anon', 'Moved', '42501 grant'),
  ('service_role', 'Moved', '42501 grant')
) as m (actor, reason, outcome);
select is(tests.attempt('pia', 'select public.end_care(gen_random_uuid())'), 'PT404 not_found',
  'end_care: of no relationship');
select is(pg_temp.call('cora',
  format('end_care(%L, %L)', pg_temp.care_id('pia', 'cora'), ' Moved away ')), 'done',
  'the caregiver ends it');
select is(pg_temp.care('pia', 'cora'),
  'caregiver ended {messages,records} asked by Cora since true until true Moved away',
  'with the reason given');
select is(pg_temp.call(h, format('end_care(%L)', pg_temp.care_id('pia', 'cora'))),
  'PT409 already_ended',
  'ending it again, by ' || h) from unnest(array['pia', 'cora']) as h;
select is(pg_temp.call('pia', format('set_care_scopes(%L, %L)', pg_temp.care_id('pia', 'cora'),
  '{records}')),
  'PT404 not_found', 'what has ended has no scopes to set');

-- A patient appoints ------------------------------------------------------------------------------

select is(pg_temp.call('pia', $$request_care(tests.id('cora'), 'caregiver', '{records}')$$), 'done',
  'a patient appoints, also who was there before');
select is(pg_temp.care('pia', 'cora'), 'caregiver active {records} asked by Pia since true',
  'which is active at once: asking is consenting');
select is(pg_temp.call('pia', $$request_care(tests.id('cora'), 'caregiver', '{records}')$$),
  'PT409 already_requested',
  'appointing twice');
select is(pg_temp.call('cora', $$request_care(tests.id('pia'), 'caregiver', '{records}')$$),
  'PT409 already_requested',
  'asking when appointed');
select is(pg_temp.call('omar', $$request_care(tests.id('doc'), 'doctor')$$), 'done',
  'a patient appoints a doctor');
select is(pg_temp.care('omar', 'doc'), 'doctor active {} asked by Omar since true',
  'who may open the chart from now on');
select is(pg_temp.call('doc', format('end_care(%L)', pg_temp.care_id('omar', 'doc'))), 'done',
  'and may end it');

-- A clinician may be a patient too.
select is(tests.attempt('doc',
  $$ select public.request_care(tests.id('cleo'), 'caregiver', '{records}') is not null $$),
  'true', 'a doctor appoints a caregiver as the patient he is');

-- What a session, a lock or a ban ends ------------------------------------------------------------

select is(tests.attempt('pia', 'select public.' || call, standing), 'PT401 unauthenticated',
  format('%s: %s', standing, call))
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join unnest(array[
  $$request_care(tests.id('dora'), 'doctor')$$,
  format('respond_care_request(%L, true)', pg_temp.care_id('pia', 'doc')),
  format('set_care_scopes(%L, %L)', pg_temp.care_id('pia', 'cora'), '{records}'),
  format('end_care(%L)', pg_temp.care_id('pia', 'doc'))
]) as call;

select * from finish();
rollback;
