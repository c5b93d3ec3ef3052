-- Attempts: what somebody gets who tries something, as one text, so that a matrix of access can be
-- written as a table. Follows cast.sql.

create function tests.state()
  returns text
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_table regclass;
  v_digest text;
  v_digests text := '';
begin
  for v_table in
    select c.oid from pg_catalog.pg_class as c
    where c.relkind in ('r', 'p') and not c.relispartition
      and (
        c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
        or c.oid = 'storage.objects'::regclass
      )
    order by c.oid
  loop
    execute format('select md5(string_agg(t::text, '';'' order by t::text)) from %s as t', v_table)
    into v_digest;
    v_digests := v_digests || coalesce(v_digest, '-');
  end loop;
  return md5(v_digests);
end;
$$;
comment on function tests.state() is
  'A digest of every row of the product, the audit trail and the list of files included.';

create function tests.names()
  returns jsonb
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select jsonb_object_agg(p.id, p.display_name) from public.profiles as p
$$;
comment on function tests.names() is
  'The display names of all accounts by id, so that rows read by somebody can be told apart.';

create function tests.set_standing(p_handle text, p_standing text)
  returns void
  language plpgsql
  security definer
  set search_path = ''
as $$
begin
  case p_standing
    when 'signed out' then
      perform tests.end_session(p_handle);
    when 'out of time' then
      update auth.sessions set not_after = now() - interval '1 second'
      where id = tests.session_id(p_handle);
    when 'locked' then
      update public.profiles set is_active = false where id = tests.uid(p_handle);
    when 'banned' then
      update auth.users set banned_until = now() + interval '1 hour' where id = tests.uid(p_handle);
    when 'deleted' then
      update auth.users set deleted_at = now() where id = tests.uid(p_handle);
  end case;
end;
$$;
comment on function tests.set_standing(text, text) is
  'What has become of an account whose token is still valid: signed out, out of time '
  '(the session''s), locked, banned, deleted (softly, as Auth does).';

create function tests.refusal()
  returns text
  language plpgsql -- not sql, which would plan the audit trail's partitions for every attempt
  volatile -- sees the row that the same statement has written
  security definer
  set search_path = ''
as $$
begin
  if nullif(current_setting('response.status', true), '') is null then
    return null;
  end if;
  return format('PT%s %s', current_setting('response.status'), coalesce(
    (
      select case when a.action like 'refuse\_%' then a.new_values ->> 'code' end
      from public.audit_events as a
      order by a.id desc
      limit 1
    ),
    'not logged'
  ));
end;
$$;
comment on function tests.refusal() is
  'The refusal that the last call has answered instead of raising one, as `PT404 not_found`; null for '
  'none. The code is that of the newest audit row, so that a refusal that is not logged fails.';

create function tests.attempt(p_actor text, p_statement text, p_standing text default 'live')
  returns text
  language plpgsql
  set search_path = ''
as $$
declare
  v_handle constant text := split_part(p_actor, '@', 1);
  v_aal constant text := nullif(split_part(p_actor, '@', 2), '');
  v_rows bigint;
  v_after text;
  v_outcome text;
begin
  begin -- undoes the standing
    if p_standing <> 'live' then
      perform tests.set_standing(v_handle, p_standing);
    end if;
    begin -- undoes the statement
      if p_actor = 'anon' then
        perform tests.act_as_anon();
      elsif p_actor = 'service_role' or p_actor like '%\_worker' then
        perform tests.act_as_role(p_actor);
      else
        perform tests.act_as(v_handle, v_aal);
      end if;
      if p_statement ~* '^\s*select' then
        execute format(
          $sql$
            select coalesce(
              string_agg(
                case
                  when pg_typeof(v) = 'void'::regtype then 'done'
                  when pg_typeof(v) = 'jsonb'::regtype and v is null then 'done'
                  else v::text
                end, ', ' order by v::text
              ),
              'nothing'
            )
            from (%s) as q (v)
          $sql$,
          p_statement
        ) into v_outcome;
      else
        execute p_statement;
        get diagnostics v_rows = row_count;
        v_outcome := v_rows;
        if v_rows = 0 then
          v_after := tests.state();
        end if;
      end if;
      v_outcome := coalesce(tests.refusal(), v_outcome);
      raise exception using errcode = 'UNDO0';
    exception
      when sqlstate 'UNDO0' then
        if v_after <> tests.state() then
          v_outcome := '0, yet something changed';
        end if;
      when others then -- whatever it is, it is the outcome, and the statement has changed nothing
        v_outcome := concat_ws(' ', sqlstate, case
          when sqlstate like 'PT%' then sqlerrm
          when sqlerrm like 'permission denied for%' then 'grant'
          when sqlerrm like 'new row violates row-level security%' then 'policy'
        end);
    end;
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then
      return v_outcome;
  end;
end;
$$;
comment on function tests.attempt(text, text, text) is
  'Runs a statement as somebody and undoes it. Answers the rows of a select, sorted, as one text '
  '(nothing: none; done: of a function that returns nothing, or jsonb that is null), the number of rows that another statement '
  'wrote, or the SQLSTATE that refused it and by what: our code, a grant, or a policy. The actor is a '
  'handle (doc, or doc@aal1 for another level than usual), anon, or a role; p_standing is live or what '
  'tests.set_standing takes. To be called as the owner.';

create function tests.writable_columns(p_actor text, p_table regclass, p_verb text)
  returns text
  language sql
  set search_path = ''
as $$
  select string_agg(a.attname, ', ' order by a.attnum)
  from pg_catalog.pg_attribute as a
  where a.attrelid = p_table and a.attnum > 0 and not a.attisdropped
    and tests.attempt(p_actor, case p_verb
      when 'update' then format('update %s set %I = default', p_table, a.attname)
      when 'insert' then format('insert into %s (%I) values (default)', p_table, a.attname)
    end) <> '42501 grant'
$$;
comment on function tests.writable_columns(text, regclass, text) is
  'The columns that somebody may insert or update as far as grants decide, in their order, each tried; '
  'null for none.';

create function tests.refusal(p_statement text)
  returns text
  language plpgsql
  set search_path = ''
as $$
declare
  v_constraint text;
begin
  begin
    execute p_statement;
    raise exception using errcode = 'UNDO0';
  exception
    when integrity_constraint_violation then
      get stacked diagnostics v_constraint = constraint_name;
      return v_constraint;
    when sqlstate 'UNDO0' then
      return 'done';
  end;
end;
$$;
comment on function tests.refusal(text) is
  'Runs a statement as the owner, whom neither grants nor policies hold back, and undoes it. Answers '
  'the name of the constraint that refused it, or done.';
