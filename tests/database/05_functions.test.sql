-- Functions and triggers: with whose rights the helpers run, and that every trigger fires.
begin;
select plan(5);

-- The definer functions are listed in policies/README.md, with the reason of each. These need none
-- of their owner's rights and must not have them: what they ask, they ask as whoever calls them.
select is_empty(
  $$
    select name
    from unnest(array[
      'private.access_summary(text,text,text)',
      'private.audit_table(regclass,text,text,text,text)',
      'private.changed_values(jsonb,jsonb,text[])',
      'private.copy_record_to_contents()',
      'private.ensure_month_partitions(regclass,integer)',
      'private.is_timezone(text)',
      'private.keep_sensitive_mark()',
      'private.letters(text)',
      'private.like_escape(text)',
      'private.live_account(jsonb)',
      'private.make_cursor(jsonb)',
      'private.read_cursor(text,text[])',
      'private.refuse_change()',
      'private.require_admin()',
      'private.require_live_session()',
      'private.require_page_size(integer)',
      'private.resource_time(jsonb)',
      'private.set_record_source()',
      'private.set_updated_at()'
    ]) as name
    where not exists (
      select from pg_proc as p where p.oid = to_regprocedure(name) and not p.prosecdef
    )
  $$,
  'a helper that needs no right of its own runs with the rights of its caller'
);

-- Definer functions call these, or callers who can read the same rows at this moment by themselves:
-- without their owner's rights they would still answer, until somebody else calls them.
select is_empty(
  $$
    select name
    from unnest(array[
      'private.access_grounds(uuid)',
      'private.added_record_ids()',
      'private.audit_chart_close()',
      'private.connected_profile_ids()',
      'private.current_audit_context()',
      'private.end_barred_sessions()',
      'private.is_permanent(uuid)',
      'private.is_verified_doctor()',
      'private.merge_imported_patient(uuid,text,jsonb)',
      'private.open_chart_purpose(uuid)',
      'private.record_access(uuid)',
      'private.require_permanent_account()',
      'private.writable_record(uuid)',
      'private.write_audit(text,text,uuid,uuid,text,jsonb)'
    ]) as name
    where not exists (
      select from pg_proc as p where p.oid = to_regprocedure(name) and p.prosecdef
    )
  $$,
  'a helper that must see past its caller''s policies runs with the rights of its owner'
);

-- Names in a function without search_path are found as its caller likes. A rule of the catalogue
-- lets one that its owner alone may call become part of the statement around it; these need not.
select is_empty(
  $$
    select name
    from unnest(array[
      'private.access_summary(text,text,text)',
      'private.changed_values(jsonb,jsonb,text[])',
      'private.letters(text)',
      'private.resource_time(jsonb)'
    ]) as name
    where not exists (
      select from pg_proc as p
      where p.oid = to_regprocedure(name) and 'search_path=""' = any (p.proconfig)
    )
  $$,
  'a helper that nobody needs to inline has an empty search_path'
);

create temp view our_triggers as
  select t.tgrelid::regclass::text as table_name, t.tgname, t.tgenabled, p.proname
  from pg_trigger as t
  join pg_proc as p on p.oid = t.tgfoid
  where not t.tgisinternal and p.pronamespace = 'private'::regnamespace;
select isnt_empty('select 1 from our_triggers', 'there are triggers to look at');
select is_empty(
  $$
    select table_name, tgname from our_triggers
    where tgenabled <> case proname when 'refuse_change' then 'A' else 'O' end
  $$,
  'every trigger fires; those that refuse a change fire for replication, too'
);

select * from finish();
rollback;
