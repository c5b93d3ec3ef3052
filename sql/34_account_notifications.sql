-- What happens to an account itself, and is told to it: sign-ins and second factors, which are rows
-- of Supabase Auth. Causes in our own tables call private.notify where they are.
-- Needs: 30_notifications.sql. Policies: none.

create function private.notify_sign_in()
  returns trigger
  language plpgsql
  security definer -- runs as the Auth service, which has no rights on our tables
  set search_path = ''
as $$
begin
  perform private.notify(p.id, 'new_sign_in', jsonb_build_object('session_id', new.id))
  from auth.users as u
  join public.profiles as p on p.id = u.id
  where u.id = new.user_id and not u.is_anonymous
    -- Not at sign-up: Auth stamps the time of a sign-in after it has made the session.
    and (
      u.last_sign_in_at is not null
      or exists (select 1 from auth.sessions as s where s.user_id = u.id and s.id <> new.id)
    );
  return null;
end;
$$;
comment on function private.notify_sign_in() is
  'Trigger on auth.sessions: tells an account of each sign-in after its first; from where is not '
  'said. Fails closed: without the notification there is no session.';
revoke execute on function private.notify_sign_in()
  from public, anon, authenticated, service_role;

create trigger on_auth_session_created_notify
  after insert on auth.sessions
  for each row execute function private.notify_sign_in();

create function private.notify_factor_change()
  returns trigger
  language plpgsql
  security definer -- runs as the Auth service, which has no rights on our tables
  set search_path = ''
as $$
begin
  -- Factors also go with their account, which is not there any more by then.
  perform private.notify(p.id, 'mfa_changed', jsonb_build_object('factor_id', old.id))
  from auth.users as u
  join public.profiles as p on p.id = u.id
  where u.id = old.user_id;
  return null;
end;
$$;
comment on function private.notify_factor_change() is
  'Trigger on auth.mfa_factors: tells an account that a second factor was proved for the first '
  'time, or taken away after it was. Fails closed: without the notification nothing changes.';
revoke execute on function private.notify_factor_change()
  from public, anon, authenticated, service_role;

create trigger on_auth_factor_verified
  after update of status on auth.mfa_factors
  for each row when (old.status <> 'verified' and new.status = 'verified')
  execute function private.notify_factor_change();
create trigger on_auth_factor_removed
  after delete on auth.mfa_factors
  for each row when (old.status = 'verified')
  execute function private.notify_factor_change();
