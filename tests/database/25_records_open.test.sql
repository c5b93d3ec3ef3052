-- Opening one record, and who_can_see: on which ground somebody reads, what the patient is told of
-- it. The ward stands around pia (tests.make_ward); Scan is shared, Genes is sensitive, Old is
-- deleted.
begin;
select plan(169);

select tests.make_ward();
update public.medical_records set file_name = 'scan.pdf', file_type = 'application/pdf',
  file_size = 9, file_sha256 = repeat('a', 64)
where title = 'Scan';

-- open_medical_record -----------------------------------------------------------------------------

create temp table before as select tests.state() as state;
select is(tests.attempt(actor, format(
    'select concat_ws('' '', title, may_download) from public.open_medical_record(tests.id(%L))',
    record
  )), outcome, format('open_medical_record: %s, %s', actor, record))
from (values
  ('pia',             't', 'f', 'f'),
  ('omar',            null, null, null),
  ('share_view',      'f', null, null),
  ('share_download',  't', null, null),
  ('share_expired',   null, null, null),
  ('share_revoked',   null, null, null),
  ('carer',           't', null, null),
  ('carer_sensitive', 't', 'f', null),
  ('carer_other',     null, null, null),
  ('carer_closed',    null, null, null),
  ('carer_expired',   null, null, null),
  ('carer_requested', null, null, null),
  ('carer_declined',  null, null, null),
  ('carer_ended',     null, null, null),
  ('carer_lapsed',    null, null, null),
  ('doc',             't', 'f', null),
  ('doc@aal1',        null, null, null),
  ('doc_closed',      null, null, null),
  ('doc_expired',     null, null, null),
  ('doc_ended',       null, null, null),
  ('doc_lapsed',      null, null, null),
  ('doc_withdrawn',   null, null, null),
  ('doc_unverified',  null, null, null),
  ('doc_stranger',    null, null, null),
  ('admin',           null, null, null),
  ('guest',           null, null, null)
) as m (actor, scan, genes, old)
cross join lateral (values ('Scan', scan), ('Genes', genes), ('Old', old)) as r (record, file)
cross join lateral (select coalesce(record || ' ' || file, 'PT404 not_found')) as o (outcome);
select is(tests.attempt(actor,
  $$ select title from public.open_medical_record(tests.id('Scan')) $$), '42501 grant',
  'open_medical_record: ' || actor)
from unnest(array['anon', 'service_role', 'records_worker']) as actor;
select is(tests.attempt(actor, $$ select title from public.open_medical_record(tests.id('Scan')) $$,
  standing), 'PT401 unauthenticated',
  format('open_medical_record: %s, %s', actor, standing))
from unnest(array['pia', 'carer', 'share_view']) as actor
cross join unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing;
select is(tests.attempt('pia', 'select title from public.open_medical_record(null)'),
  'PT404 not_found', 'open_medical_record: none');
select is(tests.state(), (select state from before), 'a refusal leaves nothing behind');

delete from public.medical_record_contents where record_id = tests.id('Letter');
select is(tests.attempt('doc', $$
    select concat_ws(' ', title, record_type, record_date, source, sensitivity,
      coalesce(file_name, '-'), patient_id = tests.id('pia'))
    from public.open_medical_record(tests.id('Letter'))
  $$), 'Letter other doctor normal - t', 'a record without contents is opened all the same');

-- Whoever shares with somebody in care: the chart is the ground, and the trail tells which it was.
select tests.make_share('Genes', 'carer'), tests.make_share('Scan', 'carer');
create function pg_temp.purpose(p_handle text, p_record text) returns text language plpgsql as $$
begin
  perform tests.act_as(p_handle);
  perform public.open_medical_record(tests.id(p_record));
  perform tests.act_as_owner();
  return (select purpose from public.audit_events order by id desc limit 1);
end
$$;
select is(pg_temp.purpose('carer', 'Scan'), 'delegated',
  'a record within the scopes is read under the chart');
select is(pg_temp.purpose('carer', 'Genes'), 'share', 'one beyond them by its share');
update public.chart_sessions set closed_at = now() where viewer_id = tests.id('carer');
select is(pg_temp.purpose('carer', 'Scan'), 'share', 'without a chart the share is the ground');

-- The contents of what is shared, once it is opened -----------------------------------------------

-- What somebody reads of contents, in the transaction of the opening (p_ago null) or later.
create function pg_temp.reads_after(p_handle text, p_record text, p_ago interval)
  returns text
  language plpgsql
as $$
declare
  v_contents text;
begin
  perform tests.act_as(p_handle);
  perform public.open_medical_record(tests.id(p_record));
  perform tests.act_as_owner();
  update private.record_openings set opened_at = opened_at - p_ago where p_ago is not null;
  v_contents := tests.attempt(p_handle,
    format('select tests.unsealed(description) from public.medical_record_contents
      where record_id = tests.id(%L)', p_record));
  delete from private.record_openings;
  return v_contents;
end;
$$;
select is(tests.attempt('share_view', 'select description from public.medical_record_contents'),
  'nothing', 'what is shared and not opened is not read');
select is(pg_temp.reads_after(actor, record, ago), outcome,
  format('contents of %s for %s, opened %s ago', record, actor, coalesce(ago::text, 'not long')))
from (values
  ('share_view',     'Scan',  null::interval,              'nothing'),
  ('share_view',     'Scan',  interval '1 microsecond',    'Contents of Scan'),
  ('share_view',     'Scan',  interval '59:59.999999',     'Contents of Scan'),
  ('share_view',     'Scan',  interval '60 minutes',       'nothing'),
  ('share_download', 'Scan',  interval '1 minute',         'Contents of Scan'),
  -- By the chart no opening is needed.
  ('doc',            'Scan',  null,                        'Contents of Scan'),
  -- Its chart is closed; Genes is beyond the scopes that it had.
  ('carer',          'Genes', null,                        'nothing'),
  ('carer',          'Genes', interval '1 minute',         'Contents of Genes'),
  ('pia',            'Scan',  null,                        'Contents of Scan')
) as m (actor, record, ago, outcome);
select is(
  tests.attempt('share_view', $$
    select description from public.open_medical_record(tests.id('Scan')) as o
    left join public.medical_record_contents as c on c.record_id = o.id
  $$), 'nothing', 'nor in the statement that opens'
);

-- An error takes the audit row back: it must not carry what is read.
create function pg_temp.error_of(p_expression text) returns text language plpgsql as $$
begin
  perform tests.act_as('share_view');
  execute format(
    'select %s from public.open_medical_record(tests.id(''Scan'')) as o
      left join public.medical_record_contents as c on c.record_id = o.id', p_expression
  );
  perform tests.act_as_owner();
  return 'no error';
exception
  when others then return sqlerrm;
end;
$$;
update public.medical_record_contents set description = tests.sealed('SECRET')
where record_id = tests.id('Scan');
select unalike(pg_temp.error_of(expression), '%' || tests.sealed('SECRET') || '%',
  'an error on the way out does not tell what a record says: ' || expression)
from unnest(array[
  'c.description::integer', '(to_jsonb(c) ->> ''description'')::uuid',
  '(to_jsonb(o) ->> ''description'')::uuid', '(to_jsonb(o)::text || to_jsonb(c)::text)::integer'
]) as expression;
select is(
  (select count(*) from public.audit_events where actor_id = tests.id('share_view')
    and action = 'open_record' and resource_id = tests.id('Scan')), 8::bigint,
  'each opening is in the trail, those that read nothing, too'
);

-- What an opening shows ends with what it stands on.
select tests.open_record_before('Scan', 'share_view');
create function pg_temp.reads_when(p_change text, p_standing text default 'live')
  returns text
  language plpgsql
as $$
declare
  v_contents text;
begin
  begin
    execute p_change;
    v_contents := tests.attempt('share_view',
      'select tests.unsealed(description) from public.medical_record_contents', p_standing);
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then return v_contents;
  end;
end;
$$;
select is(pg_temp.reads_when(change, standing), outcome,
  format('%s, %s: an opening shows %s', change, standing, outcome))
from (values
  ('select 1', 'live', 'SECRET'),
  ('select 1', 'signed out', 'nothing'),
  ('select 1', 'locked', 'nothing'),
  ('update public.medical_record_shares set revoked_at = now() where revoked_at is null', 'live',
    'nothing'),
  ('update public.medical_record_shares set expires_at = now()', 'live', 'nothing'),
  ('update public.medical_records set deleted_at = now()', 'live', 'nothing'),
  ($$update public.medical_records set sensitivity = 'sensitive'$$, 'live', 'SECRET'),
  ('delete from private.record_openings', 'live', 'nothing'),
  -- A share that was made after it is another one: it is to be opened, and logged, itself.
  ($$update public.medical_record_shares set created_at = now() - interval '59 seconds'$$, 'live',
    'nothing'),
  ($$update public.medical_record_shares set created_at = now() - interval '1 minute'$$, 'live',
    'SECRET')
) as m (change, standing, outcome);
select is(tests.attempt('share_download', 'select description from public.medical_record_contents'),
  'nothing', 'and shows it to nobody else');
delete from private.record_openings;

-- who_can_see -------------------------------------------------------------------------------------

select is(tests.attempt(actor,
  format('select count(*) > 0 from public.who_can_see(tests.id(%L))', patient)), outcome,
  format('who_can_see: %s of %s', actor, patient))
from (values
  ('pia', 'pia', 'true'), ('omar', 'omar', 'false'), ('omar', 'pia', 'PT404 not_found'),
    ('doc', 'pia', 'PT404 not_found'),
  ('carer', 'pia', 'PT404 not_found'), ('share_view', 'pia', 'PT404 not_found'),
    ('admin', 'pia', 'PT404 not_found'),
  ('pia', 'omar', 'PT404 not_found'), ('pia', 'nobody', 'PT404 not_found'),
    ('pia', null, 'PT404 not_found'),
  ('anon', 'pia', '42501 grant'), ('service_role', 'pia', '42501 grant')
) as m (actor, patient, outcome);
select is(tests.attempt(actor,
  format('select rule from public.why_can_see(tests.id(%L), tests.id(%L))', viewer, patient)),
  outcome,
  format('why_can_see: %s of %s and %s', actor, viewer, patient))
from (values
  ('pia', 'doc', 'pia', 'care_doctor, open_chart'), ('pia', 'doc_closed', 'pia', 'care_doctor'),
    ('pia', 'share_view', 'pia', 'share'),
  ('pia', 'carer', 'pia', 'care_caregiver, share, share'),
    ('pia', 'share_expired', 'pia', 'nothing'), ('pia', 'omar', 'pia', 'nothing'),
  ('pia', 'doc_withdrawn', 'pia', 'nothing'), ('pia', 'doc_unverified', 'pia', 'nothing'),
  ('pia', 'pia', 'pia', 'nothing'), ('pia', 'nobody', 'pia', 'nothing'),
  ('pia', 'doc', 'omar', 'PT404 not_found'), ('doc', 'doc', 'pia', 'PT404 not_found'),
    ('omar', 'doc', 'pia', 'PT404 not_found'),
  ('anon', 'doc', 'pia', '42501 grant'), ('service_role', 'doc', 'pia', '42501 grant')
) as m (actor, viewer, patient, outcome);
select is(tests.attempt('pia', 'select count(*) from public.' || call, standing),
  'PT401 unauthenticated', format('%s: %s', standing, call))
from unnest(array['signed out', 'out of time', 'locked', 'banned', 'deleted']) as standing
cross join unnest(array['who_can_see(tests.id(''pia''))',
  'why_can_see(tests.id(''doc''), tests.id(''pia''))']) as call;

-- In words, with since and until.
update public.chart_sessions as c set closed_at = now()
from public.care_relationships as r
where r.member_id = c.viewer_id and (r.status <> 'active' or r.ends_at < now());
update public.medical_records set deleted_at = now() where title = 'Genes';
select tests.act_as('pia');
select results_eq(
  $$
    select viewer_name, viewer_role, rule, explanation, since, until
    from public.who_can_see(tests.id('pia'))
    where viewer_name not in ('Carer_Closed', 'Carer_Expired', 'Doc_Expired')
      and (rule, viewer_role) <> ('open_chart', 'caregiver')
    order by viewer_name, rule
  $$,
  $$
    select v, r, g, e, now() - s::interval, now() + u::interval from (values
      ('Carer', 'caregiver', 'care_caregiver', 'Caregiver: may open your chart and see records',
        '30 days', null),
      ('Carer', 'caregiver', 'share', 'You share the record "Scan"', '30 days', '7 days'),
      ('Carer_Other', 'caregiver', 'care_caregiver',
        'Caregiver: may open your chart and see tracking, medications, appointments, messages, sensitive', '30 days', null),
      ('Carer_Sensitive', 'caregiver', 'care_caregiver',
        'Caregiver: may open your chart and see records, sensitive', '30 days', null),
      ('Doc', 'doctor', 'care_doctor',
        'Doctor in active care: may open your chart for 60 minutes at a time', '30 days', null),
      ('Doc', 'doctor', 'open_chart', 'Has your chart open for treatment', '0', '15 minutes'),
      ('Doc_Closed', 'doctor', 'care_doctor',
        'Doctor in active care: may open your chart for 60 minutes at a time', '30 days', null),
      ('Share_Download', 'patient', 'share', 'You share the record "Scan", with its file',
        '30 days', '7 days'),
      ('Share_View', 'patient', 'share', 'You share the record "Scan"', '30 days', '7 days')
    ) as x (v, r, g, e, s, u)
  $$,
  'who may see, by which rule, since and until when; what is over, or was never accepted, is not in it'
);
select results_eq(
  $$ select viewer_name, explanation from public.who_can_see(tests.id('pia'))
    where (rule, viewer_role) = ('open_chart', 'caregiver') order by 1 $$,
  $$ select viewer, 'Has your chart open as your caregiver'
    from unnest(array['Carer_Other', 'Carer_Sensitive']) as viewer $$,
  'nor is a chart that was closed; a caregiver''s is called what it is'
);
select tests.act_as_owner();
update public.profiles set is_active = false
  where id in (tests.uid('doc'), tests.uid('carer_other'), tests.uid('share_view'));
select tests.act_as('pia');
select is_empty(
  $$ select viewer_name from public.who_can_see(tests.id('pia'))
    where viewer_name in ('Doc', 'Carer_Other', 'Share_View') $$,
  'an account that is locked may see nothing'
);
select tests.act_as_owner();

select * from finish();
rollback;
