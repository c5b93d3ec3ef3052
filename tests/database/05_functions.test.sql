-- Functions and triggers: with whose rights the helpers run, and that every trigger fires.
begin;
select plan(5);

-- The definer functions are listed in policies/README.md, with the reason of each. These need none
-- of their owner's rights and must not have them: what they ask, they ask as whoever calls them.
select is_empty(
  $$
    select name
    from unnest(array[
      'private.access_decision(uuid,uuid,uuid,text)',
      'private.access_object(text)',
      'private.access_reason(text,text)',
      'private.access_summary(text,text,text)',
      'private.audit_leaf(bigint,timestamptz,uuid,text,uuid,text,text,uuid,uuid,text,jsonb,jsonb,'
        || 'inet,text,text,xid8)',
      'private.audit_seal_hash(text)',
      'private.audit_table(regclass,text,text,text,text)',
      'private.changed_values(jsonb,jsonb,text[])',
      'private.check_audit(timestamptz,timestamptz)',
      'private.check_audit_seal(bigint)',
      'private.clinical_caller()',
      'private.copy_record_to_contents()',
      'private.ensure_month_partitions(regclass,integer)',
      'private.find_patients(jsonb)',
      'private.find_unsealed_event(timestamptz,timestamptz)',
      'private.is_sealed(text,integer,integer)',
      'private.is_timezone(text)',
      'private.keep_sensitive_mark()',
      'private.letters(text)',
      'private.like_escape(text)',
      'private.live_account(jsonb)',
      'private.make_cursor(jsonb)',
      'private.merkle_parents(bytea)',
      'private.merkle_path(bytea,integer)',
      'private.merkle_root(bytea)',
      'private.note_key_version()',
      'private.read_cursor(text,text[])',
      'private.read_patient_fields(uuid[])',
      'private.read_record_descriptions(uuid[])',
      'private.refuse_change()',
      'private.require_admin()',
      'private.require_live_session()',
      'private.require_page_size(integer)',
      'private.require_patient_key(uuid,text[])',
      'private.resource_time(jsonb)',
      'private.set_record_source()',
      'private.set_search_keys(uuid,jsonb)',
      'private.set_updated_at()',
      'private.snapshot_before_self()',
      'private.touch_chart(uuid)'
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
      'private.audit_staff_sign_in()',
      'private.connected_profile_ids()',
      'private.current_audit_context()',
      'private.dead_record_objects(uuid)',
      'private.end_barred_sessions()',
      'private.erase_data_keys(text,uuid)',
      'private.is_permanent(uuid)',
      'private.is_verified_doctor()',
      'private.merge_imported_patient(uuid,text,jsonb)',
      'private.notify(uuid,text,jsonb)',
      'private.notify_administrators(text,jsonb)',
      'private.open_chart_purpose(uuid)',
      'private.record_access(uuid)',
      'private.refuse(text,text,uuid,uuid,text,text,text,text)',
      'private.require_permanent_account()',
      'private.shred_record_file(uuid)',
      'private.with_caregiver_scopes(jsonb,uuid)',
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
      'private.access_object(text)',
      'private.access_reason(text,text)',
      'private.access_summary(text,text,text)',
      'private.audit_leaf(bigint,timestamptz,uuid,text,uuid,text,text,uuid,uuid,text,jsonb,jsonb,'
        || 'inet,text,text,xid8)',
      'private.audit_seal_hash(text)',
      'private.changed_values(jsonb,jsonb,text[])',
      'private.letters(text)',
      'private.merkle_parents(bytea)',
      'private.resource_time(jsonb)',
      'private.set_search_keys(uuid,jsonb)',
      'private.snapshot_before_self()'
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
