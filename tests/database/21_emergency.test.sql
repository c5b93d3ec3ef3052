-- Opening a chart in an emergency. The ward: pia, a patient, is surrounded by one person for each
-- way to stand to her (tests.make_ward); doc is in active care, doc_stranger is not, and ada is a
-- second administrator.
begin;
select plan(153);

select tests.make_ward();
select tests.make_user('ada', 'admin'), tests.make_user('lex', 'admin', p_active => false),
  tests.make_user('gone', p_active => false), tests.make_user('cara', 'doctor');
update public.profiles set locale = 'hi-IN' where id = tests.uid('ada');

create function pg_temp.call(p_handle text, p_call text) returns text language plpgsql as $$
declare
  v_result text;
begin
  perform tests.act_as(p_handle);
  execute 'select ' || p_call into v_result;
  perform tests.act_as_owner();
  return coalesce(tests.refusal(), nullif(v_result, ''), 'done');
end
$$;
create function pg_temp.break_glass(p_patient text, p_reason text) returns text language sql as $$
  select format(
    'select coalesce(message, (expires_at - now())::text) from public.break_glass(tests.id(%L), %L)',
    p_patient, p_reason)
$$;
create function pg_temp.reads(p_handle text) returns text language sql as $$
  select tests.attempt(p_handle, $q$ select title from public.medical_records
    where title in ('Scan', 'Genes') $q$)
$$;
create function pg_temp.chart_of(p_handle text) returns uuid language sql security definer as $$
  select c.id from public.chart_sessions as c
  where c.viewer_id = tests.id(p_handle) and c.purpose = 'emergency'
  order by c.opened_at desc limit 1
$$;
create function pg_temp.told(p_handle text) returns text language sql as $$
  select coalesce(string_agg(n.kind, ', ' order by n.kind), 'nothing')
  from public.notifications as n where n.user_id = tests.id(p_handle)
$$;

-- Who may ----------------------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(
  tests.attempt(actor, pg_temp.break_glass(patient, 'Found unconscious at the station')), outcome,
  format('break_glass: %s, of %s', actor, patient)
)
from (values
  ('doc_stranger',       'pia',       '00:30:00'),
  ('doc_stranger',       'omar',      '00:30:00'),
  ('doc_requested',      'pia',       '00:30:00'),
  ('doc_declined',       'pia',       '00:30:00'),
  ('doc_ended',          'pia',       '00:30:00'),
  ('doc_lapsed',         'pia',       '00:30:00'),
  ('doc',                'omar',      '00:30:00'),
  ('doc',                'pia',       'PT409 already_in_care'),
  ('doc_closed',         'pia',       'PT409 already_in_care'),
  ('doc_stranger@aal1',  'pia',       'PT403 mfa_required'),
  ('doc_stranger@aal1',  'nobody',    'PT403 mfa_required'),
  ('doc_withdrawn',      'pia',       'PT403 not_verified'),
  ('doc_unverified',     'pia',       'PT403 not_verified'),
  ('carer',              'pia',       'PT403 not_verified'),
  ('carer_ended',        'pia',       'PT403 not_verified'),
  ('share_download',     'pia',       'PT403 not_verified'),
  ('omar',               'pia',       'PT403 not_verified'),
  ('admin',              'pia',       'PT403 not_verified'),
  ('admin',              'nobody',    'PT403 not_verified'),
  ('guest',              'pia',       'PT403 forbidden'),
  ('doc_stranger',       'nobody',    'PT404 not_found'),
  ('doc_stranger',       'carer',     'PT404 not_found'),
  ('doc_stranger',       'gone',      'PT404 not_found'),
  ('doc_stranger',       'guest',     'PT404 not_found'),
  ('doc_stranger',       null,        'PT404 not_found'),
  ('doc_stranger',       'doc_stranger', 'PT400 invalid_request'),
  ('anon',               'pia',       '42501 grant'),
  ('service_role',       'pia',       '42501 grant')
) as m (actor, patient, outcome);
select is(
  tests.attempt('doc_stranger', pg_temp.break_glass('pia', 'Found unconscious at the station'),
    standing),
  'PT401 unauthenticated', format('break_glass: %s', standing)
)
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.attempt('doc_stranger', pg_temp.break_glass('pia', reason)), outcome,
  format('break_glass because %s', coalesce(quote_literal(left(reason, 30)), 'null')))
from (values
  (repeat('a', 20), '00:30:00'),
  (repeat('क', 20), '00:30:00'),
  (E' \t\n' || repeat('a', 20) || E'\r\n ', '00:30:00'),
  (repeat('a', 1000), '00:30:00'),
  (repeat('a', 19), 'PT400 invalid_request'),
  (repeat('a', 1001), 'PT400 invalid_request'),
  (E' \t\n' || repeat('a', 19) || E'\r\n ', 'PT400 invalid_request'),
  (repeat(' ', 40), 'PT400 invalid_request'),
  ('', 'PT400 invalid_request'),
  (null, 'PT400 invalid_request')
) as r (reason, outcome);
select is(tests.state(), (select state from before), 'no attempt has changed anything');

update public.profiles set role = 'patient' where id = tests.uid('cara');
select is(tests.attempt('cara', pg_temp.break_glass('pia', 'Found unconscious at the station')),
  'PT403 not_verified', 'a verified clinician whose account is no doctor''s any more');
update public.profiles set role = 'doctor' where id = tests.uid('cara');

-- What it does -----------------------------------------------------------------------------------

select is(pg_temp.reads('doc_stranger'), 'nothing', 'before it the doctor reads nothing');
select is(
  pg_temp.call('doc_stranger', $$expires_at - now()
    from public.break_glass(tests.id('pia'), E'  Found unconscious at the station\n')$$),
  '00:30:00', 'a doctor opens in an emergency'
);
select is(pg_temp.reads('doc_stranger'), 'Genes, Scan', 'and reads all of the chart');
select is(tests.attempt('doc_stranger@aal1', 'select title from public.medical_records'), 'nothing',
  'but not with a token of a session without second factor');
select results_eq(
  $$
    select c.patient_id, c.reason, c.expires_at - c.opened_at, num_nulls(c.closed_at, c.reviewed_at)
    from public.chart_sessions as c where c.viewer_id = tests.id('doc_stranger')
  $$,
  $$ values (tests.id('pia'), 'Found unconscious at the station', interval '30 minutes', 2) $$,
  'the opening says whose, why and until when'
);
select results_eq(
  $$
    select a.actor_id, a.action, a.patient_id, a.purpose, a.resource_id, a.new_values ->> 'reason'
    from public.audit_events as a order by a.id desc limit 1
  $$,
  $$ values (tests.id('doc_stranger'), 'break_glass', tests.id('pia'), 'emergency',
    pg_temp.chart_of('doc_stranger'), 'Found unconscious at the station') $$,
  'the trail has it'
);
select is(pg_temp.told(handle), what, format('told %s: %s', handle, what))
from (values
  ('pia', 'emergency_access'), ('admin', 'emergency_review_due'), ('ada', 'emergency_review_due'),
  ('lex', 'nothing'), ('doc_stranger', 'nothing'), ('doc', 'nothing'), ('omar', 'nothing')
) as t (handle, what);
select is(
  (select n.data from public.notifications as n where n.user_id = tests.id('pia')),
  jsonb_build_object('chart_id', pg_temp.chart_of('doc_stranger'), 'viewer_id',
    tests.id('doc_stranger')),
  'the patient is told which chart and who, by ids'
);

select is(
  tests.attempt('doc_stranger', pg_temp.break_glass(patient, 'Found unconscious at the station')),
  'PT409 review_pending', format('no other emergency until it is reviewed, of %s', patient)
)
from unnest(array['pia', 'omar', 'nobody']) as patient;
select throws_ok($$ select tests.make_emergency('omar', 'doc_stranger') $$, '23505', null,
  'nor past the function');
update public.chart_sessions set opened_at = now() - interval '40 minutes',
  expires_at = now() - interval '10 minutes'
where viewer_id = tests.id('doc_stranger');
select is(pg_temp.reads('doc_stranger'), 'nothing', 'after its time the doctor reads nothing');
select is(
  tests.attempt('doc_stranger', pg_temp.break_glass('pia', 'Found unconscious at the station')),
  'PT409 review_pending', 'and the emergency that is over waits for its review as before'
);
select is(
  tests.attempt('cara', pg_temp.break_glass('pia', 'Found unconscious at the station')), '00:30:00',
  'which keeps no other doctor from an emergency'
);

-- Review -----------------------------------------------------------------------------------------

create temp table charts as
  select pg_temp.chart_of('doc_stranger') as emergency, (
    select c.id from public.chart_sessions as c
    where c.viewer_id = tests.id('doc') and c.purpose = 'treatment' limit 1
  ) as treatment;
grant select on charts to public;
select is(
  tests.attempt(actor, format(
    'select public.review_emergency_access(%s, %L, %L) from charts', chart, outcome, note)),
  result, format('review: %s, %s, %s, %s', actor, chart, outcome, left(note, 10))
)
from (values
  ('admin',        'emergency',         'justified',   'Asked the ward',     'done'),
  ('ada',          'emergency',         'unjustified', 'Nobody was there',   'done'),
  ('admin',        'emergency',         'perhaps',     'Asked the ward',     'PT400 invalid_request'),
  ('admin',        'emergency',         null,          'Asked the ward',     'PT400 invalid_request'),
  ('admin',        'emergency',         'justified',   null,                 'PT400 invalid_request'),
  ('admin',        'emergency',         'justified',   E' \n',               'PT400 invalid_request'),
  ('admin',        'emergency',         'justified',   repeat('a', 1001),    'PT400 invalid_request'),
  ('admin',        'treatment',         'justified',   'Asked the ward',     'PT404 not_found'),
  ('admin',        'gen_random_uuid()', 'justified',   'Asked the ward',     'PT404 not_found'),
  ('admin',        'null',              'justified',   'Asked the ward',     'PT404 not_found'),
  ('admin@aal1',   'emergency',         'justified',   'Asked the ward',     'PT403 forbidden'),
  ('lex',          'emergency',         'justified',   'Asked the ward',     'PT401 unauthenticated'),
  ('doc_stranger', 'emergency',         'justified',   'Asked the ward',     'PT403 forbidden'),
  ('pia',          'emergency',         'unjustified', 'Asked the ward',     'PT403 forbidden'),
  ('doc',          'emergency',         'justified',   'Asked the ward',     'PT403 forbidden'),
  ('guest',        'emergency',         'justified',   'Asked the ward',     'PT403 forbidden'),
  ('anon',         'emergency',         'justified',   'Asked the ward',     '42501 grant'),
  ('service_role', 'emergency',         'justified',   'Asked the ward',     '42501 grant')
) as m (actor, chart, outcome, note, result);
-- Roles change: whoever took part stays out of the review.
update public.profiles set role = 'admin' where id in (tests.uid('doc_stranger'), tests.uid('pia'));
select is(
  tests.attempt(handle || '@aal2', $$
    select public.review_emergency_access(emergency, 'justified', 'It was me') from charts $$),
  'PT403 forbidden', format('review: %s, an administrator by now', handle)
)
from unnest(array['doc_stranger', 'pia']) as handle;
update public.profiles set role = 'doctor' where id = tests.uid('doc_stranger');
update public.profiles set role = 'patient' where id = tests.uid('pia');
select is(
  (select num_nulls(c.reviewed_at, c.reviewed_by, c.review_outcome, c.review_note)
    from public.chart_sessions as c where c.id = (select emergency from charts)),
  4, 'no attempt has reviewed it'
);

select is(
  pg_temp.call('admin', $$public.review_emergency_access(emergency, 'justified', ' Asked the ward ')
    from charts$$), 'done', 'an administrator reviews it'
);
select is(
  tests.attempt('ada', $$
    select public.review_emergency_access(emergency, 'unjustified', 'Too late') from charts $$),
  'PT409 already_reviewed', 'no administrator reviews it again'
);
select results_eq(
  $$
    select c.reviewed_by, c.review_outcome, c.review_note, c.reviewed_at = now(), c.closed_at
    from public.chart_sessions as c where c.id = (select emergency from charts)
  $$,
  $$ values (tests.id('admin'), 'justified', 'Asked the ward', true, null::timestamptz) $$,
  'the review says who, what and why'
);
select results_eq(
  $$
    select a.actor_id, a.action, a.patient_id, a.new_values
    from public.audit_events as a order by a.id desc limit 1
  $$,
  $$ values (tests.id('admin'), 'review_emergency', tests.id('pia'),
    '{"note": "Asked the ward", "outcome": "justified"}'::jsonb) $$,
  'the trail has the review'
);
select is(pg_temp.told(handle), what, format('told %s after the review: %s', handle, what))
from (values
  ('pia', 'emergency_access, emergency_reviewed'), ('doc_stranger', 'emergency_reviewed'),
  ('ada', 'emergency_review_due')
) as t (handle, what);
select is(
  tests.attempt('pia', $$
    select concat_ws(' / ', c.reason, c.review_outcome, c.review_note) from public.chart_sessions as c
    where c.purpose = 'emergency' $$),
  'Found unconscious at the station / justified / Asked the ward',
  'the patient reads reason, outcome and note'
);

-- Once it is reviewed the doctor may again; what is not justified closes at once.
select is(
  pg_temp.call('doc_stranger', $$expires_at - now()
    from public.break_glass(tests.id('pia'), 'Brought in again, not awake')$$),
  '00:30:00', 'reviewed, an emergency keeps the doctor from no other'
);
select is(pg_temp.reads('doc_stranger'), 'Genes, Scan', 'the doctor reads');
select is(
  pg_temp.call('ada', $$public.review_emergency_access(
    pg_temp.chart_of('doc_stranger'), 'unjustified', 'The ward knows of nobody')$$),
  'done', 'the second one is found unjustified while it is open'
);
select is(pg_temp.reads('doc_stranger'), 'nothing', 'and closes at once');
select is(
  (select a.action from public.audit_events as a where a.resource_id = pg_temp.chart_of('doc_stranger')
    order by a.id desc offset 1 limit 1), 'close_chart', 'which the trail has'
);

-- Objection --------------------------------------------------------------------------------------

select is(
  tests.attempt(actor, format(
    'select public.object_to_emergency_access(%s, %L) from charts', chart, note)),
  result, format('object: %s, %s, %s', actor, chart, left(note, 10))
)
from (values
  ('pia',          'emergency',         'I was awake',     'done'),
  ('pia',          'emergency',         null,              'PT400 invalid_request'),
  ('pia',          'emergency',         ' ',               'PT400 invalid_request'),
  ('pia',          'emergency',         repeat('a', 1001), 'PT400 invalid_request'),
  ('pia',          'treatment',         'I was awake',     'PT404 not_found'),
  ('pia',          'gen_random_uuid()', 'I was awake',     'PT404 not_found'),
  ('omar',         'emergency',         'I was awake',     'PT404 not_found'),
  ('doc_stranger', 'emergency',         'I was awake',     'PT404 not_found'),
  ('admin',        'emergency',         'I was awake',     'PT404 not_found'),
  ('carer',        'emergency',         'I was awake',     'PT404 not_found'),
  ('anon',         'emergency',         'I was awake',     '42501 grant'),
  ('service_role', 'emergency',         'I was awake',     '42501 grant')
) as m (actor, chart, note, result);
select is(
  pg_temp.call('pia', $$public.object_to_emergency_access(emergency, ' I was awake ') from charts$$),
  'done', 'the patient objects after the review'
);
select is(
  tests.attempt('pia',
    $$ select public.object_to_emergency_access(emergency, 'Once more') from charts $$),
  'PT409 already_objected', 'once'
);
select is(pg_temp.call('cara', $$message from public.break_glass(tests.id('pia'),
  'Found unconscious at the station')$$), 'done', 'another doctor opens in an emergency');
select is(
  pg_temp.call('pia', $$public.object_to_emergency_access(pg_temp.chart_of('cara'), 'Nor now')$$),
  'done', 'the patient objects before the review, and while it is open'
);
select is(pg_temp.reads('cara'), 'Genes, Scan', 'which closes nothing');
select results_eq(
  $$
    select c.objection, c.objected_at = now(), c.reviewed_at is null
    from public.chart_sessions as c where c.objected_at is not null order by 1
  $$,
  $$ values ('I was awake', true, false), ('Nor now', true, true) $$,
  'an objection is on record'
);
select results_eq(
  $$
    select a.actor_id, a.action, a.new_values ->> 'note'
    from public.audit_events as a order by a.id desc limit 1
  $$,
  $$ values (tests.id('pia'), 'object_to_emergency', 'Nor now') $$, 'and in the trail'
);
select is(pg_temp.told('ada'), repeat('emergency_objection, ', 2)
    || repeat('emergency_review_due, ', 2) || 'emergency_review_due',
  'administrators are told of each access and objection');

-- The list of administrators ---------------------------------------------------------------------

select is(tests.attempt(actor, 'select count(*) from public.list_emergency_accesses()'), result,
  format('list_emergency_accesses: %s', actor))
from (values
  ('admin', '3'), ('ada', '3'), ('admin@aal1', 'PT403 forbidden'), ('doc_stranger',
    'PT403 forbidden'), ('pia', 'PT403 forbidden'), ('anon', '42501 grant')
) as m (actor, result);
select is(tests.attempt('admin', $$
    select patient_id from private.list_emergency_accesses(100, null)
    where viewer_name = 'Cara' $$), tests.id('pia')::text, 'by its body too');
select is(tests.attempt('doc',
    'select patient_id from private.list_emergency_accesses(100, null)'),
  'PT403 forbidden', 'which asks as well');

select tests.act_as('cara');
select isnt_empty($$ select id from public.open_medical_record(tests.id('Scan')) $$,
  'cara looks at one record');
select tests.act_as_owner();
select is(
  tests.attempt('admin', $$
    select string_agg(concat_ws(' / ', patient_name, viewer_name, actions, objection,
      review_outcome), ' + ' order by row_number)
    from (
      select l.*, row_number() over () from public.list_emergency_accesses() as l
    ) as rows $$),
  'Pia / Cara / 1 / Nor now + Pia / Doc_Stranger / 0 / unjustified + '
    || 'Pia / Doc_Stranger / 0 / I was awake / justified',
  'what waits comes first, then the newest, with what was done under it'
);

-- Ten of one doctor, reviewed, at five moments, and some that wait.
select tests.make_emergency('omar', 'doc_lapsed', interval '1 day' * (n % 5), 'justified', 'admin')
from generate_series(1, 10) as n;
select tests.make_emergency('omar', u, interval '2 days')
from unnest(array['doc_ended', 'doc_lapsed', 'doc']) as u;
create function pg_temp.pages(p_limit integer) returns uuid[] language plpgsql as $$
declare
  v_ids uuid[] := '{}';
  v_cursor text;
  v_row record;
begin
  perform tests.act_as('admin');
  for v_page in 1..20 loop
    v_row := null;
    for v_row in select l.id, l.cursor from public.list_emergency_accesses(p_limit, v_cursor) as l
    loop
      v_ids := v_ids || v_row.id;
    end loop;
    exit when v_row is null;
    v_cursor := v_row.cursor;
  end loop;
  perform tests.act_as_owner();
  return v_ids;
end
$$;
create temp table whole as
  select array_agg(c.id order by (c.reviewed_at is null) desc, c.opened_at desc, c.id desc) as ids
  from public.chart_sessions as c where c.purpose = 'emergency';
select is((select cardinality(ids) from whole), 16, 'there are sixteen emergencies');
select is(pg_temp.pages(size), (select ids from whole),
  format('pages of %s lose no row, double none and keep the order', size))
from unnest(array[1, 2, 5, 16, 100]) as size;
select is(
  tests.attempt('admin', format('select id from public.list_emergency_accesses(%s)', arguments)),
  'PT400 invalid_request', format('list_emergency_accesses(%s)', arguments))
from unnest(array['0', '101', 'null', $$5, 'nonsense'$$]) as arguments;

-- Constraints ------------------------------------------------------------------------------------

select throws_ok(format(
    'update public.chart_sessions set %s where id = (select emergency from charts)', change),
  '23514', null, format('no emergency: %s', change))
from unnest(array[
  $$reason = null$$, $$reason = 'Too short'$$, $$expires_at = opened_at + interval '31 minutes'$$,
  $$review_outcome = 'perhaps'$$, $$review_note = null$$, $$review_note = ''$$, $$reviewed_by = null$$,
  $$reviewed_by = viewer_id$$, $$reviewed_by = patient_id$$, $$objection = null$$,
  $$objected_at = null$$, $$objection = ''$$, $$purpose = 'treatment'$$
]) as change;

select * from finish();
rollback;
