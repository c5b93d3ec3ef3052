-- The cast of every pgTAP suite: people with accounts and live sessions, and the ways to act as one.
-- Loaded by the superuser into test databases only. Helpers that set a scene run with the superuser's
-- rights; whatever a test proves, it proves after `tests.act_as`.

create schema tests;
grant usage on schema tests to public;
-- pgTAP is there; roles without access to it could assert nothing.
grant usage on schema extensions to public;

create function tests.id(p_name text)
  returns uuid
  language sql
  immutable
  set search_path = ''
as $$
  select md5('beautiful-life/' || p_name)::uuid
$$;
comment on function tests.id(text) is
  'The fixed id of whatever a helper here makes under that name: a user, a record, a session …';

create function tests.uid(p_handle text)
  returns uuid
  language plpgsql
  volatile -- sees a user whom the same statement has made
  security definer
  set search_path = ''
as $$
begin
  if not exists (select 1 from auth.users where id = tests.id(p_handle)) then
    raise exception 'No user %: make it with tests.make_user', p_handle;
  end if;
  return tests.id(p_handle);
end;
$$;
comment on function tests.uid(text) is 'The id of a user made by tests.make_user; fails for others.';

create function tests.session_id(p_handle text)
  returns uuid
  language sql
  immutable
  set search_path = ''
as $$
  select tests.id('session of ' || p_handle)
$$;
comment on function tests.session_id(text) is 'The id of the live session that a user is given.';

create function tests.make_user(
  p_handle text,
  p_role text default 'patient',
  p_verified boolean default true,
  p_active boolean default true,
  p_anonymous boolean default false,
  p_metadata jsonb default '{}'
)
  returns uuid
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_id constant uuid := tests.id(p_handle);
begin
  if p_role not in ('patient', 'caregiver', 'doctor', 'admin') then
    raise exception 'No role %', p_role;
  end if;
  -- The sign-up trigger makes the profile, as for anybody who signs up.
  insert into auth.users (
    id, aud, role, email, email_confirmed_at, is_anonymous, raw_app_meta_data, raw_user_meta_data
  )
  values (
    v_id, 'authenticated', 'authenticated',
    case when not p_anonymous then p_handle || '@example.com' end,
    case when not p_anonymous then now() end,
    p_anonymous,
    case when p_anonymous then '{}' else '{"provider": "email", "providers": ["email"]}' end::jsonb,
    jsonb_build_object('role', p_role, 'display_name', initcap(p_handle)) || p_metadata
  );
  insert into auth.sessions (id, user_id, aal) values (tests.session_id(p_handle), v_id, 'aal1');

  if p_role = 'doctor' then
    insert into public.doctors (id, license_number, specialty, verified_at)
    values (v_id, 'LIC-' || p_handle, 'Oncology', case when p_verified then now() end);
    update public.profiles set role = 'doctor', is_verified = p_verified where id = v_id;
  elsif p_role = 'admin' then
    update public.profiles set role = 'admin' where id = v_id;
  end if;
  if not p_active then
    update public.profiles set is_active = false where id = v_id;
  end if;
  return v_id;
end;
$$;
comment on function tests.make_user(text, text, boolean, boolean, boolean, jsonb) is
  'Makes an account with a live session through the sign-up trigger, then gives it the role that no '
  'sign-up gives. A doctor is verified unless p_verified is false. p_metadata is sign-up metadata.';

create function tests.claims(
  p_handle text,
  p_aal text default null,
  p_session_id uuid default null
)
  returns jsonb
  language sql
  volatile -- as tests.uid
  security definer
  set search_path = ''
as $$
  select jsonb_build_object(
    'sub', tests.uid(p_handle),
    'aud', 'authenticated',
    'role', 'authenticated',
    'email', coalesce(u.email, ''),
    'aal', a.aal,
    'amr', case a.aal
      when 'aal2' then '[{"method": "password"}, {"method": "totp"}]'
      else '[{"method": "password"}]'
    end::jsonb,
    'session_id', coalesce(p_session_id, tests.session_id(p_handle)),
    'is_anonymous', u.is_anonymous,
    'app_metadata', u.raw_app_meta_data,
    'user_metadata', u.raw_user_meta_data
  )
  from auth.users as u
  join public.profiles as p on p.id = u.id
  cross join lateral (
    select coalesce(p_aal, case when p.role in ('doctor', 'admin') then 'aal2' else 'aal1' end) as aal
  ) as a
  where u.id = tests.uid(p_handle)
$$;
comment on function tests.claims(text, text, uuid) is
  'The claims of an access token of the user, as Supabase Auth writes them. Doctors and '
  'administrators have signed in with a second factor unless p_aal says otherwise.';

create function tests.act_as(
  p_handle text,
  p_aal text default null,
  p_session_id uuid default null
)
  returns void
  language sql
  set search_path = ''
as $$
  select set_config('response.status', '', true); -- as at the beginning of a request
  select set_config('request.jwt.claims', tests.claims(p_handle, p_aal, p_session_id)::text, true);
  select set_config('role', 'authenticated', true);
$$;
comment on function tests.act_as(text, text, uuid) is
  'What follows in this transaction runs as that user with a token of the live session, or of '
  'p_session_id; p_aal is aal1 or aal2.';

create function tests.act_as_anon()
  returns void
  language sql
  set search_path = ''
as $$
  select set_config('response.status', '', true);
  select set_config('request.jwt.claims', '{"role": "anon"}', true);
  select set_config('role', 'anon', true);
$$;
comment on function tests.act_as_anon() is 'What follows runs as a client that is not signed in.';

create function tests.act_as_role(p_role text, p_handle text default null)
  returns void
  language sql
  set search_path = ''
as $$
  select set_config('response.status', '', true);
  select set_config(
    'request.jwt.claims',
    case when p_handle is null then '' else tests.claims(p_handle)::text end,
    true
  );
  select set_config('role', p_role, true);
$$;
comment on function tests.act_as_role(text, text) is
  'What follows runs as a database role, service_role or a worker, on behalf of a user or of nobody.';

create function tests.act_as_owner()
  returns void
  language sql
  set search_path = ''
as $$
  select set_config('request.jwt.claims', '', true);
  select set_config('role', 'none', true);
$$;
comment on function tests.act_as_owner() is
  'Back to the superuser, to set the next scene or to look at what a test has left.';

create function tests.end_session(p_handle text)
  returns void
  language sql
  security definer
  set search_path = ''
as $$
  delete from auth.sessions where id = tests.session_id(p_handle)
$$;
comment on function tests.end_session(text) is
  'Signs the user out: the token of tests.act_as stays valid and its session is gone.';
