-- A ward in which the model-based test of access plays: replays a list of commands as the people
-- who give them, and after each says what everybody sees. Follows cast.sql and scenes.sql; loaded
-- into a scratch database only. tests/support/access_model.ts says what they should see.

create schema model;
-- What follows runs as the people, too, once it has taken their role.
grant usage on schema model to public;

create function model.people()
  returns text[]
  language sql
  immutable
  set search_path = ''
as $$
  select array['pia', 'omar', 'doc', 'dora', 'carer', 'rel', 'admin']
$$;
comment on function model.people() is 'Everybody, in the order in which model.seen speaks of them.';

create table model.ward (tokens jsonb not null, began_at timestamptz not null);
comment on table model.ward is
  'The claims of everybody''s token, by handle; when what a story may begin with has happened.';

create function model.make_ward()
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform tests.make_user(handle, role)
  from unnest(
    model.people(),
    array['patient', 'patient', 'doctor', 'doctor', 'caregiver', 'patient', 'admin']
  ) as p (handle, role);
  perform tests.make_record('Scan', 'pia');
  perform tests.make_record('Genes', 'pia', p_sensitivity => 'sensitive');
  perform tests.make_record('Bill', 'omar');
  perform tests.make_record('Note', 'omar', p_sensitivity => 'sensitive');

  perform tests.make_care('pia', 'doc');
  perform tests.make_care('pia', 'carer', p_scopes => array['records', 'sensitive']);
  perform tests.open_chart('pia', 'doc');
  perform tests.open_chart('pia', 'carer');
  perform tests.make_share('Scan', 'rel', p_expires_in => interval '2 days');
  update public.medical_record_shares set created_at = now();
  insert into private.record_openings (viewer_id, record_id, opened_at)
  values (tests.id('rel'), tests.id('Scan'), now());

  insert into model.ward (tokens, began_at)
  select jsonb_object_agg(handle, tests.claims(handle)), now()
  from unnest(model.people()) as handle;
end;
$$;
comment on function model.make_ward() is
  'Two patients with two records each, one sensitive; two doctors, a caregiver, a relative, an '
  'admin. Doc treats pia and carer helps her, charts open; rel has opened a record by share.';

create function model.move_clock(p_by interval)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_share uuid;
begin
  -- now() stands still in a transaction, so all that has happened moves into the past.
  perform set_config('model.clock', 'moving', true);
  update public.care_relationships set
    created_at = created_at - p_by, starts_at = starts_at - p_by, ends_at = ends_at - p_by;
  update public.chart_sessions set
    opened_at = opened_at - p_by, expires_at = expires_at - p_by,
    last_used_at = last_used_at - p_by, closed_at = closed_at - p_by;
  -- The oldest first, and each by itself, so that none is moved over one that still stands there.
  for v_share in select s.id from public.medical_record_shares as s order by s.created_at loop
    update public.medical_record_shares set
      created_at = created_at - p_by, expires_at = expires_at - p_by,
      revoked_at = revoked_at - p_by
    where id = v_share;
  end loop;
  update private.record_openings set opened_at = opened_at - p_by;
  perform set_config('model.clock', '', true);
end;
$$;
comment on function model.move_clock(interval) is 'Lets time pass.';

create function model.begin_story(p_in_the_middle boolean)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if p_in_the_middle then
    perform model.move_clock(w.began_at - now() + interval '1 second') from model.ward as w;
    return;
  end if;
  perform set_config('model.clock', 'moving', true);
  delete from private.record_openings;
  delete from public.medical_record_shares;
  delete from public.chart_sessions;
  delete from public.care_relationships;
  perform set_config('model.clock', '', true);
end;
$$;
comment on function model.begin_story(boolean) is
  'Makes what the ward begins with a second old, or takes it away.';

-- That the clock moves is no deed: what is logged, logged as use, or stamped must not come of it.
-- (session_replication_role would say so, too, and throw away every plan with each change of it.)
do $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.tgname as name, t.tgrelid::regclass as "table", pg_get_triggerdef(t.oid) as definition
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_proc as p on p.oid = t.tgfoid
    where p.oid in ('private.audit_rows()'::regprocedure, 'private.set_updated_at()'::regprocedure)
      and t.tgrelid in (
        'public.care_relationships'::regclass, 'public.chart_sessions'::regclass,
        'public.medical_record_shares'::regclass
      )
  loop
    execute format('drop trigger %I on %s', v_trigger.name, v_trigger."table");
    execute replace(
      v_trigger.definition, 'EXECUTE FUNCTION',
      'when (current_setting(''model.clock'', true) is distinct from ''moving'') EXECUTE FUNCTION'
    );
  end loop;
end;
$$;

create function model.seen(p_tokens jsonb)
  returns jsonb
  language plpgsql
  set search_path = ''
as $$
declare
  v_people constant text[] := model.people();
  v_handle text;
  v_seen jsonb := '[]';
begin
  perform set_config('role', 'authenticated', true);
  foreach v_handle in array v_people loop
    perform set_config('request.jwt.claims', p_tokens ->> v_handle, true);
    select v_seen || jsonb_build_array(jsonb_build_array(
      array(select r.id from public.medical_records as r),
      array(select c.record_id from public.medical_record_contents as c)
    ))
    into v_seen;
  end loop;
  perform tests.act_as_owner();
  return v_seen;
end;
$$;
comment on function model.seen(jsonb) is
  'For everybody with such tokens, in the order of model.people(): the ids of the records that '
  'they see, and of those whose contents they read.';

create function model.obey(p_tokens jsonb, p_command jsonb)
  returns text
  language plpgsql
  set search_path = ''
as $$
declare
  v_do constant text := p_command ->> 'do';
  v_by constant text := p_command ->> 'by';
  v_patient_id constant uuid := tests.id(p_command ->> 'patient');
  v_other_id constant uuid := tests.id(p_command ->> 'other');
  v_record_id constant uuid := tests.id(p_command ->> 'record');
  v_scopes constant text[] := case
    when jsonb_typeof(p_command -> 'scopes') = 'array'
      then array(select jsonb_array_elements_text(p_command -> 'scopes'))
  end;
  v_says constant boolean := (p_command ->> 'says')::boolean;
  -- What a command speaks of is the newest of its kind; one that there is not is nobody's.
  v_id uuid := coalesce(
    case
      when v_do in ('respond_care', 'set_scopes', 'end_care', 'limit_care') then (
        select c.id from public.care_relationships as c
        where c.patient_id = v_patient_id and c.member_id = v_other_id
        order by c.created_at desc limit 1
      )
      when v_do = 'revoke_share' then (
        select s.id from public.medical_record_shares as s
        where s.record_id = v_record_id and s.shared_with_id = v_other_id
        order by s.created_at desc limit 1
      )
      when v_do in ('close_chart', 'review', 'object') then (
        select c.id from public.chart_sessions as c
        where c.patient_id = v_patient_id and c.viewer_id = v_other_id
          and (v_do = 'close_chart' or c.purpose = 'emergency')
        order by c.opened_at desc limit 1
      )
    end,
    tests.id('nothing')
  );
  v_answer text;
  v_rows integer;
begin
  -- What no request does.
  case v_do
    when 'wait' then
      return 'done';
    when 'sign_out' then
      perform tests.end_session(v_by);
      return 'done';
    when 'sign_in' then
      insert into auth.sessions (id, user_id, aal)
      values (tests.session_id(v_by), tests.id(v_by), 'aal1')
      on conflict (id) do nothing;
      return 'done';
    when 'limit_care' then
      update public.care_relationships
      set ends_at = now() + make_interval(mins => (p_command ->> 'minutes')::integer)
      where id = v_id and status = 'active';
      return 'done';
    else
      null;
  end case;
  begin
    perform set_config('request.jwt.claims', p_tokens ->> v_by, true);
    perform set_config('role', 'authenticated', true);
    case v_do
      when 'request_care' then
        v_answer := public.request_care(
          case v_by when p_command ->> 'patient' then v_other_id else v_patient_id end,
          p_command ->> 'kind', coalesce(v_scopes, '{}')
        ) ->> 'message';
      when 'respond_care' then
        v_answer := public.respond_care_request(v_id, v_says, v_scopes) ->> 'message';
      when 'set_scopes' then
        v_answer := public.set_care_scopes(v_id, v_scopes) ->> 'message';
      when 'end_care' then
        v_answer := public.end_care(v_id) ->> 'message';
      when 'open_chart' then
        select message into v_answer
        from public.open_chart(v_patient_id, p_command ->> 'purpose');
      when 'break_glass' then
        select message into v_answer from public.break_glass(v_patient_id, p_command ->> 'reason');
      when 'close_chart' then
        perform public.close_chart(v_id);
      when 'review' then
        v_answer := public.review_emergency_access(
          v_id, case when v_says then 'justified' else 'unjustified' end, 'Asked the ward'
        ) ->> 'message';
      when 'object' then
        v_answer := public.object_to_emergency_access(v_id, 'My sister was there') ->> 'message';
      when 'share' then
        v_answer := public.share_medical_record(
          v_record_id, v_other_id, 'view',
          now() + make_interval(mins => (p_command ->> 'minutes')::integer)
        ) ->> 'message';
      when 'revoke_share' then
        v_answer := public.revoke_record_share(v_id) ->> 'message';
      when 'open_record' then
        select message into v_answer from public.open_medical_record(v_record_id);
      when 'delete_record' then
        v_answer := public.delete_medical_record(v_record_id) ->> 'message';
      when 'restore_record' then
        v_answer := public.restore_medical_record(v_record_id) ->> 'message';
      when 'mark' then
        update public.medical_records
        set sensitivity = case when v_says then 'sensitive' else 'normal' end
        where id = v_record_id;
        get diagnostics v_rows = row_count;
        v_answer := case v_rows when 0 then 'no row' end;
      when 'verify' then
        perform public.verify_doctor(v_other_id, v_says, 'The licence was looked up');
      when 'set_active' then
        perform public.set_account_active(v_other_id, v_says, 'A report was looked into');
    end case;
    perform tests.act_as_owner();
    return coalesce(v_answer, 'done');
  exception
    when others then -- the role and whatever was done are as before
      if sqlstate not like 'PT%' then
        raise;
      end if;
      return 'raised ' || sqlerrm;
  end;
end;
$$;
comment on function model.obey(jsonb, jsonb) is
  'Carries out a command and answers done, the code that refuses it, after "raised" if it was '
  'raised, or "no row" for an update that meets none.';

create function model.replay(p_in_the_middle boolean, p_commands jsonb)
  returns jsonb
  language plpgsql
  set search_path = ''
as $$
declare
  v_tokens jsonb := (select w.tokens from model.ward as w);
  -- What must be older than what comes next. To move the clock after all else, too, takes long.
  v_beginnings constant text[] := array[
    'request_care', 'open_chart', 'break_glass', 'share', 'revoke_share', 'open_record'
  ];
  v_command jsonb;
  v_outcome text;
  v_answers jsonb;
begin
  perform model.begin_story(p_in_the_middle);
  v_answers := jsonb_build_array(jsonb_build_array('done', model.seen(v_tokens)));
  for v_command in select c from jsonb_array_elements(p_commands) as c loop
    v_outcome := model.obey(v_tokens, v_command);
    if v_command ->> 'do' = 'wait' then
      perform model.move_clock(make_interval(mins => (v_command ->> 'minutes')::integer));
    elsif v_outcome = 'done' and v_command ->> 'do' = any (v_beginnings) then
      perform model.move_clock(interval '1 second');
    end if;
    if v_command ->> 'do' = 'sign_in' then
      v_tokens := jsonb_set(
        v_tokens, array[v_command ->> 'by', 'aal'], v_command -> 'aal'
      );
    end if;
    v_answers := v_answers || jsonb_build_array(jsonb_build_array(
      v_outcome, case when v_outcome not like 'raised %' then model.seen(v_tokens) end
    ));
  end loop;
  raise exception using errcode = 'UNDO0';
exception
  when sqlstate 'UNDO0' then
    return v_answers;
end;
$$;
comment on function model.replay(boolean, jsonb) is
  'Replays commands and undoes it all. Answers, first for the beginning and then for each command, '
  'what came of it and what everybody sees in the next request: [outcome, model.seen]. Null is as '
  'before: an error that was raised has taken everything back by itself.';
