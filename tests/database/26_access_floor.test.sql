-- What no clinical table shows without: a live session and, for clinicians and administrators, a
-- second factor. The floor must hold whatever another policy allows, so that here every table gets
-- a policy that allows everything, as by accident. And what must not ask for it. In the ward
-- (tests.make_ward); doc cares for pia, admin and doc are patients of their own, too.
begin;
select plan(200);

select tests.make_ward();
select tests.make_record('Mine', 'doc'), tests.make_record('Hers', 'admin');
select tests.make_share('Mine', 'pia'), tests.make_share('Hers', 'omar');
select tests.make_care('doc', 'doc_stranger'), tests.open_chart('doc', 'doc_stranger');

-- Without accidents: one's own, too, needs the second factor of whoever is a clinician.
select is(tests.attempt(actor, statement), outcome, format('%s: %s', actor, statement))
from (values
  ('doc', 'Mine'), ('doc@aal1', null), ('admin', 'Hers'), ('admin@aal1', null)
) as a (actor, mine)
cross join (values
  ('select title from public.medical_records where patient_id = (select auth.uid())', true),
  ($$ select replace(tests.unsealed(description), 'Contents of ', '') from public.medical_record_contents
    where patient_id = (select auth.uid()) $$, true)
) as s (statement, _)
cross join lateral (select coalesce(mine, 'nothing')) as o (outcome);
select is(tests.attempt(actor, call), outcome, format('%s: %s', actor, call))
from (values
  ('doc', 'done', '1', 'PT404 not_found'),
  ('doc@aal1', 'PT404 not_found', 'PT404 not_found', 'PT404 not_found')
) as a (actor, deletes, shares, stranger)
cross join lateral (values
  ('select public.delete_medical_record(tests.id(''Mine''))', deletes),
  ($$ select count(*) from public.share_medical_record(
    tests.id('Mine'), tests.id('omar'), 'view', now() + interval '1 day') $$, shares),
  ('select public.delete_medical_record(tests.id(''Scan''))', stranger)
) as c (call, outcome);
select is(tests.attempt(actor, $$ select count(*) > 0 from public.who_can_see(tests.id('doc')) $$),
  outcome, format('who_can_see: %s', actor))
from (values ('doc', 'true'), ('doc@aal1', 'PT403 mfa_required')) as a (actor, outcome);

-- Nor is anything of one's own exported, sealed, or erased without it.
select tests.make_file('Mine'), tests.make_file('Hers');
select tests.make_field_key('doc'), tests.make_field_key('admin');
select is(tests.attempt(actor || level, format(call, tests.id(actor), tests.id(record))),
  case level when '' then done else refused end, format('%s: %s', actor || level, call))
from (values ('doc', 'Mine'), ('admin', 'Hers')) as a (actor, record)
cross join (values (''), ('@aal1')) as l (level)
cross join (values
  ('select private.export_grounds(%1$L)::text', '{owner}', '{}'),
  ('select private.export_keys(%1$L) <> ''[]''', 'true', 'false'),
  ('select count(*) from private.field_key_for_patient(%1$L)', '1', 'PT404 not_found'),
  ('select private.write_patient_fields(''{"phone": null}'', ''{}'')', 'done', 'PT404 not_found'),
  ('select count(*) from private.erase_record_file(%2$L)', '1', 'PT404 not_found')
) as c (call, done, refused);

-- Nor does the log tell who treats them.
select is(tests.attempt(actor, 'select count(*) >= 0 from public.my_access_log()'), outcome,
  'my_access_log: ' || actor)
from (values
  ('doc', 'true'), ('doc@aal1', 'PT403 mfa_required'), ('admin@aal1', 'PT403 mfa_required'),
  ('pia', 'true')
) as a (actor, outcome);

-- Nor does it let anybody else in. What has been granted without it is nobody's to widen.
select tests.make_care('doc', 'carer'),
  tests.make_care('doc', 'carer_other', 'requested');
select is(tests.attempt('doc' || level, call), case level when '' then done else 'PT403 mfa_required' end,
  format('%s: %s', 'doc' || level, call))
from (values (''), ('@aal1')) as l (level)
cross join (values
  ($$ select count(public.request_care(tests.id('carer_sensitive'), 'caregiver', '{records}')) $$, '1'),
  ($$ select public.respond_care_request(tests.id('care of doc by carer_other'), true) $$, 'done'),
  ($$ select public.set_care_scopes(tests.id('care of doc by carer'), '{records,sensitive}') $$,
    'done')
) as c (call, done);
select is(tests.attempt('doc@aal1', call), 'done', 'doc@aal1: ' || call)
from unnest(array[
  $$ select public.respond_care_request(tests.id('care of doc by carer_other'), false) $$,
  $$ select public.end_care(tests.id('care of doc by carer')) $$
]) as call;

-- By accident ------------------------------------------------------------------------------------

create temp table floor_of as
  select t.name, v.verb
  from (values
    ('patients', '{select,update}'), ('medical_records', '{select,insert,update}'),
    ('medical_record_contents', '{select,insert,update}'), ('medical_record_shares', '{select}'),
    ('care_relationships', '{select}'), ('chart_sessions', '{select}')
  ) as t (name, verbs)
  cross join lateral unnest(verbs::text[]) as v (verb);
do $$
declare
  v_name text;
begin
  for v_name in select distinct name from floor_of loop
    execute format('grant select, insert, update, delete on public.%I to authenticated', v_name);
    execute format('create policy accident on public.%I to authenticated using (true)
      with check (true)', v_name);
  end loop;
end
$$;

-- The update reads no column, so that the policies of select do not decide on it.
create function pg_temp.statement(p_name text, p_verb text) returns text language sql as $$
  select case p_verb
    when 'select' then format('select count(*) from public.%I having count(*) > 0', p_name)
    when 'update' then format('update public.%I set created_at = now()', p_name)
    when 'insert' then case p_name
      when 'medical_records' then
        'insert into public.medical_records (patient_id, title, record_type)
          values (tests.id(''pia''), ''x'', ''other'')'
      else 'insert into public.medical_record_contents (record_id, patient_id, sensitivity)
          values (gen_random_uuid(), tests.id(''pia''), ''normal'')'
    end
  end
$$;
-- Contents of a record that is not there get as far as the foreign key: policies have let them
-- pass.
create function pg_temp.passes(p_outcome text) returns boolean language sql as $$
  select p_outcome not in ('nothing', '0', '42501 policy')
$$;

select is(pg_temp.passes(tests.attempt(actor, pg_temp.statement(name, verb), standing)), expected,
  format('%s of %s by %s, %s', verb, name, actor, standing))
from floor_of
cross join (values
  ('pia', 'live', true), ('carer', 'live', true), ('doc', 'live', true), ('admin', 'live', true),
  ('doc@aal1', 'live', false), ('doc_unverified@aal1', 'live', false),
  ('admin@aal1', 'live', false),
  ('pia', 'signed out', false), ('pia', 'locked', false), ('pia', 'out of time', false),
  ('doc', 'signed out', false), ('admin', 'locked', false)
) as a (actor, standing, expected);

-- Records are bounded more narrowly: to patients whom the caller reaches.
select is(
  tests.attempt(actor, 'select distinct patient_id from public.medical_records'),
  coalesce((
    select string_agg(id::text, ', ' order by id::text)
    from (select tests.id(p) from unnest(string_to_array(patients, ' ')) as p) as i (id)
  ), 'nothing'),
  format('even so, %s sees records of nobody but %s', actor, patients)
)
from (values
  ('pia', 'pia doc'), ('omar', 'omar admin'), ('doc', 'doc pia'), ('carer', 'pia'),
  ('doc_ended', 'pia'), ('doc_closed', ''), ('share_view', 'pia'), ('share_revoked', ''),
  ('doc_stranger', 'doc'), ('guest', '')
) as a (actor, patients);

-- What does not ask for it -----------------------------------------------------------------------

select tests.make_user('newcomer', 'doctor', p_verified => false);
select is(tests.attempt(actor, call), outcome, format('%s: %s', actor, call))
from (values
  ('doc@aal1', $$ select display_name from public.profiles $$, 'Doc'),
  ('doc@aal1', $$ select license_number from public.doctors $$, 'LIC-doc'),
  ('doc@aal1', $$ update public.profiles set bio = 'Oncologist' $$, '1'),
  ('doc_stranger@aal1', $$ select count(*)
    from public.request_care(tests.id('pia'), 'doctor') $$, '1'),
  ('newcomer@aal1', $$ select public.request_doctor_verification('LIC-9', 'Oncology') $$, 'done'),
  ('doc@aal1', format('select public.close_chart(%L)',
    (select id from public.chart_sessions where viewer_id = tests.id('doc'))), 'done'),
  ('doc@aal1', format('select public.end_care(%L)', tests.id('care of pia by doc')), 'done'),
  ('doc@aal1', format('select public.revoke_record_share(%L)',
    tests.id('share of Mine with pia')), 'done'),
  ('doc@aal1', 'select public.touch_last_active()', 'done'),
  ('admin@aal1', $$ select display_name from public.profiles $$, 'Admin')
) as c (actor, call, outcome);

select * from finish();
rollback;
