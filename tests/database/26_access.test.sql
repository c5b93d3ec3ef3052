-- One decision: for every viewer and every record, what private.access_decision says is what
-- policies show and what functions allow. Over the ward (tests.make_ward) and some people more:
-- doc_idle and carer_idle have left their chart alone for 15 minutes, doc_emergency has one open
-- without care, doc_share is a clinician with a share, whom a patient has locked out otherwise;
-- locked accounts of each kind hold what they were given. Mine is doc's own record: a clinician may
-- be a patient, too.
begin;
select plan(618);

select tests.make_ward();
select tests.make_user(u, 'doctor')
from unnest(array['doc_idle', 'doc_emergency', 'doc_share', 'doc_locked']) as u;
select tests.make_user('carer_idle', 'caregiver'), tests.make_user('carer_locked', 'caregiver'),
  tests.make_user('share_locked'), tests.make_user('friend');
select tests.open_chart('pia', u)
from unnest(array['doc_idle', 'doc_locked', 'carer_idle', 'carer_locked']) as u;
select tests.make_emergency('pia', 'doc_emergency');
update public.chart_sessions set last_used_at = now() - interval '15 minutes'
where viewer_id in (tests.id('doc_idle'), tests.id('carer_idle'));
select tests.make_share('Scan', 'doc_share', 'download'), tests.make_share('Genes', 'share_locked');
update public.profiles set is_active = false
where id in (tests.id('doc_locked'), tests.id('carer_locked'), tests.id('share_locked'));
select tests.make_record('Mine', 'doc');
-- Every record has a file, and everybody has opened every record before, if they ever could.
select tests.make_file(title) from public.medical_records;
insert into private.record_openings (viewer_id, record_id, opened_at)
select p.id, r.id, now() - interval '1 minute'
from public.profiles as p, public.medical_records as r
on conflict do nothing;

-- What the decision says, and what happens --------------------------------------------------------

create function pg_temp.carries_rights(p_actor text) returns boolean language sql as $$
  select split_part(p_actor, '@', 2) <> 'aal1' or p.role not in ('doctor', 'admin')
  from public.profiles as p where p.id = tests.id(split_part(p_actor, '@', 1))
$$;
comment on function pg_temp.carries_rights(text) is
  'What a token must be beside live: of a clinician or administrator, aal2.';

create function pg_temp.decided(p_actor text, p_action text) returns text language sql as $$
  select coalesce(string_agg(r.title, ', ' order by r.title), 'nothing')
  from public.medical_records as r
  cross join private.access_decision(
    tests.id(split_part(p_actor, '@', 1)), r.patient_id, r.id, p_action
  ) as d
  where d.allowed and pg_temp.carries_rights(p_actor)
$$;
create function pg_temp.decided_of_patients(p_actor text, p_action text) returns text
language sql as $$
  select coalesce(string_agg(p.display_name, ', ' order by p.display_name), 'nothing')
  from public.patients as t
  join public.profiles as p on p.id = t.id
  cross join private.access_decision(
    tests.id(split_part(p_actor, '@', 1)), t.id, null, p_action
  ) as d
  where d.allowed and pg_temp.carries_rights(p_actor)
$$;

-- Whose names come back from a statement, run as somebody and undone; or of whose ids a call is not
-- refused. That a thing has been done already is no refusal.
create function pg_temp.happens(p_actor text, p_statement text, p_each text) returns text
language plpgsql as $$
declare
  v_ids uuid[];
  v_names text[];
  v_asked uuid[];
  v_found text[] := '{}';
begin
  if p_each = 'patient' then
    select array_agg(p.id), array_agg(p.display_name) into v_ids, v_names
    from public.patients as t join public.profiles as p on p.id = t.id;
    -- Everybody with a profile is a patient, too; those without a record are not worth a call each.
    v_asked := tests.id(split_part(p_actor, '@', 1))
      || array(select r.patient_id from public.medical_records as r);
  else
    select array_agg(r.id), array_agg(r.title) into v_ids, v_names from public.medical_records as r;
    v_asked := v_ids;
  end if;
  perform tests.act_as(split_part(p_actor, '@', 1), nullif(split_part(p_actor, '@', 2), ''));
  if strpos(p_statement, '%L') = 0 then
    begin
      execute format('select array_agg(id) from (%s) as s (id)', p_statement) into v_found;
      raise exception using errcode = 'UNDO0';
    exception
      when sqlstate 'UNDO0' then null;
    end;
    v_found := array(select v_names[array_position(v_ids, f::uuid)] from unnest(v_found) as f);
  else
    for i in 1 .. cardinality(v_ids) loop
      continue when v_ids[i] <> all (v_asked);
      begin
        execute format(p_statement, v_ids[i]);
        -- Answered, so that the log of it is kept.
        if tests.refusal() like 'PT409%' then
          raise exception using errcode = 'PT409';
        elsif tests.refusal() is not null then
          raise exception using errcode = 'PT404';
        end if;
        raise exception using errcode = 'UNDO0';
      exception
        when sqlstate 'UNDO0' or sqlstate 'PT409' then v_found := v_found || v_names[i];
        when sqlstate 'PT401' or sqlstate 'PT403' or sqlstate 'PT404' or insufficient_privilege then
          null;
      end;
    end loop;
  end if;
  perform tests.act_as_owner();
  return coalesce(
    (select string_agg(f, ', ' order by f) from unnest(v_found) as f), 'nothing'
  );
end
$$;

-- Updates are written as functions, because a statement that writes cannot stand within another.
create function public.touched_records() returns setof uuid language sql as $$
  update public.medical_records set record_date = record_date returning id
$$;
create function public.touched_contents() returns setof uuid language sql as $$
  update public.medical_record_contents set metadata = metadata returning record_id
$$;
grant execute on function public.touched_records(), public.touched_contents() to authenticated;

create temp table surfaces (name text, action text, each text, statement text);
insert into surfaces values
  ('rows of records',       'list',     'record', 'select id from public.medical_records'),
  ('rows of contents',      'read',     'record',
    'select record_id from public.medical_record_contents'),
  ('updates of records',    'write',    'record', 'select public.touched_records()'),
  ('updates of contents',   'write',    'record', 'select public.touched_contents()'),
  ('open_medical_record',   'read',     'record', 'select public.open_medical_record(%L)'),
  ('a download',            'download', 'record', 'select private.authorize_record_download(%L)'),
  ('an upload',             'upload',   'record',
    'select * from private.begin_record_upload(%L, ''f'', ''text/plain'', 1, repeat(''a'', 64))'),
  ('share_medical_record',  'share',    'record', format(
    'select public.share_medical_record(%%L, %L, ''view'', now() + interval ''1 day'')',
    tests.id('friend'))),
  ('delete_medical_record', 'delete',   'record', 'select public.delete_medical_record(%L)'),
  ('restore_medical_record', 'delete',  'record', 'select public.restore_medical_record(%L)'),
  ('rows of patients',      'read',     'patient', 'select id from public.patients'),
  ('inserts of records',    'write',    'patient',
    $$ insert into public.medical_records (patient_id, title, record_type)
      values (%L, 'x', 'other') $$),
  ('an import',             'write',    'patient',
    'select private.import_records(%L, ''https://h.example'', null, ''[]'')');

create temp table actors as
  select tests.id(h) as id, h as handle from (
    select replace(lower(p.display_name), ' ', '_') as h from public.profiles as p
  ) as names
  union all
  select tests.id(split_part(h, '@', 1)), h
  from unnest(array[
    'doc@aal1', 'doc_emergency@aal1', 'doc_share@aal1', 'admin@aal1', 'pia@aal2', 'carer@aal2'
  ]) as h;

-- The cast ---------------------------------------------------------------------------------------

-- First what is expected, so that two wrongs cannot agree.
select is(pg_temp.decided(actor, action), titles, format('the decision: %s may %s', actor, action))
from (values
  ('pia', 'list', 'Genes, Letter, Note, Old, Scan'), ('pia', 'write', 'Genes, Letter, Note, Scan'),
  ('pia', 'delete', 'Genes, Letter, Note, Old, Scan'),
  ('pia', 'share', 'Genes, Letter, Note, Scan'),
  ('pia', 'download', 'Genes, Letter, Note, Old, Scan'),
  ('doc', 'list', 'Genes, Letter, Mine, Note, Scan'), ('doc', 'write', 'Mine, Note'),
  ('doc', 'upload', 'Mine, Note'), ('doc', 'share', 'Mine'), ('doc', 'delete', 'Mine'),
  ('doc@aal1', 'list', 'nothing'), ('doc@aal1', 'share', 'nothing'),
  ('doc_emergency', 'read', 'Genes, Letter, Note, Scan'), ('doc_emergency', 'write', 'nothing'),
  ('doc_idle', 'list', 'nothing'), ('carer_idle', 'list', 'nothing'),
  ('doc_closed', 'upload', 'nothing'), ('doc_locked', 'list', 'nothing'),
  ('carer_locked', 'list', 'nothing'), ('doc_requested', 'list', 'nothing'),
  ('carer_requested', 'list', 'nothing'), ('doc_declined', 'list', 'nothing'),
  ('doc_ended', 'list', 'nothing'), ('doc_withdrawn', 'list', 'nothing'),
  ('doc_unverified', 'list', 'nothing'), ('carer_lapsed', 'list', 'nothing'),
  ('carer', 'download', 'Letter, Note, Scan'), ('carer', 'write', 'nothing'),
  ('carer_sensitive', 'read', 'Genes, Letter, Note, Scan'), ('carer_other', 'list', 'nothing'),
  ('share_view', 'read', 'Scan'), ('share_view', 'download', 'nothing'),
  ('share_download', 'download', 'Scan'), ('share_download', 'share', 'nothing'),
  ('share_expired', 'list', 'nothing'), ('share_revoked', 'list', 'nothing'),
  ('share_locked', 'list', 'nothing'), ('doc_share', 'download', 'Scan'),
  ('doc_share@aal1', 'list', 'nothing'), ('admin', 'list', 'nothing'), ('guest', 'list', 'nothing')
) as e (actor, action, titles);
select is(pg_temp.decided_of_patients(actor, action), names,
  format('the decision: whom %s may %s', actor, action))
from (values
  ('pia', 'write', 'Pia'), ('doc', 'write', 'Doc, Pia'), ('doc', 'read', 'Doc, Pia'),
  ('carer', 'read', 'Pia'), ('carer', 'list', 'Pia'), ('carer', 'write', 'nothing'),
  ('carer_other', 'read', 'nothing'), ('share_view', 'list', 'Share_View'),
  ('admin@aal1', 'read', 'nothing'), ('doc', 'upload', 'nothing'), ('pia', 'delete', 'nothing')
) as e (actor, action, names);

-- Then everybody by every way.
select is(
  pg_temp.happens(a.handle, s.statement, s.each),
  case s.each
    when 'record' then pg_temp.decided(a.handle, s.action)
    else pg_temp.decided_of_patients(a.handle, s.action)
  end,
  format('as decided: %s, for %s', s.name, a.handle)
)
from actors as a
join public.profiles as p on p.id = a.id and p.is_active
cross join surfaces as s;

-- A locked account may nothing, whatever it is asked; so may a session that is over.
select is(pg_temp.happens(a.handle, s.statement, s.each), 'nothing',
  format('locked: %s, for %s', s.name, a.handle))
from actors as a
join public.profiles as p on p.id = a.id and not p.is_active
cross join surfaces as s;

-- By which rule, and until when -------------------------------------------------------------------

create function pg_temp.rule(p_viewer text, p_record text, p_action text) returns text
language sql as $$
  select concat_ws(' ', d.allowed, d.rule, now() - d.since, d.until - now())
  from public.medical_records as r
  cross join private.access_decision(tests.id(p_viewer), r.patient_id, r.id, p_action) as d
  where r.id = tests.id(p_record)
$$;
select is(pg_temp.rule(viewer, record, action), rule, format('%s, %s, %s', viewer, record, action))
from (values
  ('pia', 'Scan', 'read', 't owner 00:00:00'),
  ('doc', 'Scan', 'read', 't open_chart 00:00:00 00:15:00'),
  ('carer', 'Scan', 'list', 't open_chart 00:00:00 00:15:00'),
  ('carer', 'Genes', 'list', 'f'),
  ('doc_emergency', 'Genes', 'download', 't emergency 00:00:00 00:15:00'),
  ('share_view', 'Scan', 'list', 't share 30 days 7 days'),
  ('share_view', 'Scan', 'download', 'f'),
  ('doc_stranger', 'Scan', 'list', 'f')
) as e (viewer, record, action, rule);

-- The earliest end counts: that of the opening, that of the use, that of care.
update public.chart_sessions set opened_at = now() - interval '50 minutes',
  expires_at = now() + interval '10 minutes' where viewer_id = tests.id('doc');
select is(pg_temp.rule('doc', 'Scan', 'read'), 't open_chart 00:50:00 00:10:00',
  'the opening ends before its use');
update public.chart_sessions set last_used_at = now() - interval '9 minutes'
where viewer_id = tests.id('doc');
select is(pg_temp.rule('doc', 'Scan', 'read'), 't open_chart 00:50:00 00:06:00',
  'unused, it ends sooner');
update public.care_relationships set ends_at = now() + interval '2 minutes'
where member_id = tests.id('doc');
select is(pg_temp.rule('doc', 'Scan', 'read'), 't open_chart 00:50:00 00:02:00',
  'with care, sooner still');
update public.care_relationships set ends_at = null where member_id = tests.id('doc');

-- An own record comes before an open chart, that before a share.
select tests.make_share('Scan', 'doc', 'view');
select is(pg_temp.rule('doc', 'Scan', 'list'), 't open_chart 00:50:00 00:06:00',
  'under a chart a share is not used');
update public.chart_sessions set closed_at = now() where viewer_id = tests.id('doc');
select is(pg_temp.rule('doc', 'Scan', 'list'), 't share 30 days 7 days', 'without one it is');
update public.chart_sessions set closed_at = null, last_used_at = now()
where viewer_id = tests.id('doc');
delete from public.medical_record_shares where shared_with_id = tests.id('doc');

-- Each purpose stands on its own kind of care, an emergency on the licence.
select is(pg_temp.rule('doc_emergency', 'Scan', 'read'), 't emergency 00:00:00 00:15:00',
  'an emergency needs no care');
update public.doctors set verified_at = null where id = tests.id('doc_emergency');
select is(pg_temp.rule('doc_emergency', 'Scan', 'read'), 'f', 'but a licence that is verified');
update public.doctors set verified_at = now() where id = tests.id('doc_emergency');
update public.chart_sessions set purpose = case purpose
  when 'delegated' then 'treatment' else 'delegated' end
where viewer_id in (tests.id('doc'), tests.id('carer'));
select is(pg_temp.rule(viewer, 'Scan', 'read'), 'f',
  format('a chart for a purpose of the other kind: %s', viewer))
from unnest(array['doc', 'carer']) as viewer;
update public.chart_sessions set purpose = case purpose
  when 'delegated' then 'treatment' else 'delegated' end
where viewer_id in (tests.id('doc'), tests.id('carer'));

-- Only what is asked about: another patient's id opens no record, an unknown action no answer.
select is(
  (select concat_ws(' ', allowed, rule)
    from private.access_decision(viewer, tests.id(patient), tests.id(record), 'list')),
  answer, format('%s of %s', record, patient)
)
from (values
  (tests.id('pia'), 'pia', 'Scan', 't owner'), (tests.id('pia'), 'omar', 'Scan', 'f'),
  (tests.id('omar'), 'omar', 'Scan', 'f'), (tests.id('pia'), 'pia', 'Nothing', 'f'),
  (null, 'pia', 'Scan', 'f')
) as e (viewer, patient, record, answer);
select throws_ok(
  format(
    'select private.access_decision(%L, %L, null, %L)', tests.id('pia'), tests.id('pia'), action
  ),
  'PT400', 'invalid_request', format('no action: %s', coalesce(action, 'null'))
)
from unnest(array['', 'steal', 'LIST', null]) as action;

-- In words ---------------------------------------------------------------------------------------

-- What who_can_see tells is what the decision stands on: every rule that lets somebody list a
-- record, and no open chart, emergency or share beside. (A chart out of scope shows other things
-- than records.)
select tests.act_as('pia');
create temp table told on commit drop as
  select viewer_id, rule, until from public.who_can_see(tests.id('pia'));
select tests.act_as_owner();
create temp table standing as
  select a.id as viewer_id, d.rule, d.until
  from actors as a
  cross join public.medical_records as r
  cross join private.access_decision(a.id, r.patient_id, r.id, 'list') as d
  where r.patient_id = tests.id('pia') and d.rule <> 'owner' and strpos(a.handle, '@') = 0;
select ok((select count(distinct viewer_id) from standing) >= 7,
  'several people stand on something');
select is_empty(
  'select viewer_id, rule, until from standing except select viewer_id, rule, until from told',
  'whoever may list a record is told of, with the rule and its end'
);
select set_eq(
  $$ select t.viewer_id from told as t where t.rule in ('open_chart', 'emergency', 'share') $$,
  $$ select viewer_id from standing union values (tests.id('carer_other')) $$,
  'and nobody else'
);
select set_eq(
  $$ select p.display_name from told as t join public.profiles as p on p.id = t.viewer_id
    where t.rule = 'emergency' $$,
  array['Doc_Emergency'], 'an emergency is told as such'
);
select is(
  tests.attempt('pia', $$ select explanation
    from public.why_can_see(tests.id('doc_emergency'), tests.id('pia')) $$),
  'Opened your chart in an emergency, without being in your care team', 'and in words'
);

-- Other worlds -----------------------------------------------------------------------------------

-- Everything that a ground depends on, by lot, again and again: the ways must agree in every world,
-- not only in those that somebody has thought of. The lots follow from the number of the world.
create function pg_temp.lot(p_of text, p_id uuid) returns double precision language sql as $$
  select ('x' || left(md5(concat_ws('/', current_setting('tests.world'), p_of, p_id)), 8))::bit(32)
    ::bigint / 4294967296.0
$$;
create function pg_temp.one_of(p_choices text[], p_of text, p_id uuid) returns text
language sql as $$
  select p_choices[1 + floor(pg_temp.lot(p_of, p_id) * cardinality(p_choices))]
$$;
create temp table original as select id, role from public.profiles;
create function pg_temp.shake() returns void language sql as $$
  update public.profiles as p set
    is_active = pg_temp.lot('active', p.id) < 0.85,
    role = case when pg_temp.lot('role', p.id) < 0.8 then o.role
      else pg_temp.one_of(array['patient', 'caregiver', 'doctor', 'admin'], 'other role', p.id) end
  from original as o
  where o.id = p.id and p.id <> tests.id('friend'); -- with whom whoever may share, can
  update public.doctors set rejected_reason = null,
    verified_at = case when pg_temp.lot('verified', id) < 0.8 then now() end;
  update public.care_relationships as r set
    status = x.status,
    starts_at = case when x.status <> 'requested' then now() - interval '30 days' end,
    ends_at = case x.status
      when 'requested' then null
      when 'active' then case when x.lot > 0.4 then now() + (x.lot - 0.6) * interval '1 hour' end
      else now() - interval '1 day'
    end,
    scopes = case r.kind
      when 'doctor' then '{}'
      else case when pg_temp.lot('scope', r.id) < 0.8 then '{records}' else '{messages}' end::text[]
        || case when pg_temp.lot('sensitive', r.id) < 0.5 then '{sensitive}' else '{}' end::text[]
    end
  from (
    select id, pg_temp.lot('end', id) as lot,
      pg_temp.one_of('{active,active,active,requested,declined,ended}', 'status', id) as status
    from public.care_relationships
  ) as x
  where x.id = r.id;
  update public.chart_sessions as c set
    purpose = o.purpose,
    reason = 'Found unconscious in the ward',
    opened_at = now() - pg_temp.lot('opened', c.viewer_id) * interval '50 minutes',
    expires_at = now() - pg_temp.lot('opened', c.viewer_id) * interval '50 minutes'
      + case when pg_temp.lot('short', c.viewer_id) < 0.2 then interval '25 minutes'
        when o.purpose = 'emergency' then interval '30 minutes'
        else interval '60 minutes' end,
    last_used_at = now() - pg_temp.lot('used', c.viewer_id) * interval '18 minutes',
    closed_at = case when pg_temp.lot('closed', c.viewer_id) < 0.15 then now() end
  from (
    select id, pg_temp.one_of(
      case role when 'doctor' then '{treatment,treatment,emergency}'
        else '{delegated}' end::text[]
        || '{treatment,care_coordination,delegated,emergency}'::text[],
      'purpose', id
    ) as purpose
    from original
  ) as o
  where o.id = c.viewer_id;
  update public.medical_record_shares set
    access_level = pg_temp.one_of('{view,download}', 'level', id),
    expires_at = now() + (pg_temp.lot('expires', id) - 0.25) * interval '1 hour',
    revoked_at = case when pg_temp.lot('revoked', id) < 0.2 then now() end;
  update public.medical_records as r set
    sensitivity = pg_temp.one_of('{normal,normal,sensitive}', 'sensitivity', r.id),
    deleted_at = case when pg_temp.lot('deleted', r.id) < 0.2 then now() end,
    created_by = (
      select v.viewer_id from public.chart_sessions as v
      join public.doctors as d on d.id = v.viewer_id
      where v.patient_id = r.patient_id
      order by pg_temp.lot('creator of ' || r.id, v.viewer_id) limit 1
    );
$$;

create temp table disagreements (
  world integer, actor text, surface text, decided text, happens text
);
create temp table verdicts (rule text, action text);
create temp table asked (handle text, id uuid);
do $$
begin
  for v_world in 1 .. 12 loop
    perform set_config('tests.world', v_world::text, true);
    perform pg_temp.shake();
    truncate asked;
    insert into asked
    select a.handle, a.id from actors as a
    where a.id in (
      select viewer_id from public.chart_sessions
      union select shared_with_id from public.medical_record_shares
    )
    -- Doctors who have added a record, above all: only they may change one that is not theirs.
    order by pg_temp.lot('asked', a.id) / case
      when a.id in (select created_by from public.medical_records) then 5 else 1 end, a.handle
    limit 4;
    insert into disagreements
    select v_world, c.*
    from (
      select a.handle, s.name,
        case s.each
          when 'record' then pg_temp.decided(a.handle, s.action)
          else pg_temp.decided_of_patients(a.handle, s.action)
        end as decided,
        pg_temp.happens(a.handle, s.statement, s.each) as happens
      from asked as a cross join surfaces as s
      offset 0
    ) as c
    where c.decided is distinct from c.happens;
    insert into verdicts
    select d.rule, s.action
    from public.medical_records as r
    cross join unnest(array['list', 'download', 'write']) as s (action)
    join actors as a
      on a.id <> r.patient_id and a.handle not like '%@%'
      and (s.action <> 'write' or a.id = r.created_by)
    cross join private.access_decision(a.id, r.patient_id, r.id, s.action) as d
    where d.allowed;
  end loop;
end
$$;
select is_empty('select * from disagreements', 'in twelve other worlds, too, all ways agree');
select set_eq(
  'select rule, action from verdicts',
  $$ values ('open_chart', 'list'), ('open_chart', 'download'), ('open_chart', 'write'),
    ('emergency', 'list'), ('emergency', 'download'), ('emergency', 'write'),
    ('share', 'list'), ('share', 'download') $$,
  'in which each rule has allowed what it can'
);

select * from finish();
rollback;
