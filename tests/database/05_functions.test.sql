-- Functions and triggers: with whose rights functions run, which triggers there are, and that each
-- fires.
begin;
select plan(5);

-- The reason of each stands in policies/README.md. Every other one needs none of its owner's rights
-- and must not have them: what it asks, it asks as whoever calls it. One of these that lost them
-- might still answer, because definer functions call it, until somebody else does.
select set_eq(
  $$
    select p.oid::regprocedure::text from pg_proc as p
    where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and p.prosecdef
  $$,
  array[
'private.add_participant(uuid,uuid,text)',
    'private.conversation_topic(uuid)',
    'private.current_conversation_ids()',
    'private.delete_message(bigint)',
    'private.edit_message(bigint,text)',
    'private.follow_block()',
    'private.follow_care()',
    'private.follow_joining()',
    'private.follow_leaving()',
    'private.follow_lock()',
    'private.follow_message()',
    'private.follow_reading()',
    'private.follow_verification()',
    'private.hidden_profile_ids()',
    'private.leave_conversation(uuid)',
    'private.list_conversations(integer,timestamp with time zone,uuid)',
    'private.list_messages(uuid,integer,timestamp with time zone,bigint)',
    'private.mark_conversation_read(uuid,bigint)',
    'private.mute_conversation(uuid,timestamp with time zone)',
    'private.readable_conversation_ids()',
    'private.remove_participant(uuid,uuid)',
    'private.send_message(uuid,text,text,text,jsonb,bigint,boolean)',
    'private.start_conversation(uuid[],text,text)',
    'private.topic_is_readable()',
    'private.topic_is_shared()',
    'private.topic_takes_broadcasts()',
    'private.access_grounds(uuid)',
    'private.add_record_file_key(uuid,text,integer,text)',
    'private.added_record_ids()',
    'private.audit_chart_close()',
    'private.audit_head()',
    'private.audit_proof(bigint)',
    'private.audit_rows()',
    'private.audit_search(uuid,uuid,text,text,uuid,text,timestamp with time zone,'
      'timestamp with time zone,integer,bigint)',
    'private.audit_staff_sign_in()',
    'private.authorize_export(uuid,timestamp with time zone,text[])',
    'private.authorize_record_download(uuid)',
    'private.begin_record_upload(uuid,text,text,bigint,text)',
    'private.break_glass(uuid,text)',
    'private.broadcast_notification()',
    'private.chart_patient_ids(text)',
    'private.check_notification_preference()',
    'private.claim_data_keys(integer,integer,integer)',
    'private.claim_deliveries(integer,integer)',
    'private.close_account()',
    'private.close_chart(uuid)',
    'private.complete_record_upload(uuid,text,text)',
    'private.connected_profile_ids()',
    'private.current_audit_context()',
    'private.dead_record_objects(uuid)',
    'private.delete_notification(uuid)',
    'private.delivery_backlog()',
    'private.disclose_patient_fields(uuid[])',
    'private.disclose_record_descriptions(uuid[])',
    'private.end_barred_sessions()',
    'private.end_care(uuid,text)',
    'private.ended_record_uploads(integer)',
    'private.erase_data_keys(text,uuid)',
    'private.erase_record_file(uuid)',
    'private.export_grounds(uuid)',
    'private.export_keys(uuid)',
    'private.field_key_for_patient(uuid)',
    'private.field_key_for_record(uuid)',
    'private.finish_deliveries(jsonb)',
    'private.grant_account(uuid,text)',
    'private.handle_new_user()',
    'private.handle_user_upgrade()',
    'private.import_records(uuid,text,jsonb,jsonb)',
    'private.is_admin()',
    'private.is_permanent(uuid)',
    'private.is_verified_doctor()',
    'private.keep_patient_key(uuid,uuid,text,integer,text)',
    'private.key_status()',
    'private.limit_sign_in_attempts(jsonb)',
    'private.list_dead_deliveries(integer,jsonb)',
    'private.list_emergency_accesses(integer,jsonb)',
    'private.list_refusals()',
    'private.mark_all_notifications_read()',
    'private.mark_notification_read(uuid)',
    'private.matching_patient_ids(uuid[],jsonb)',
    'private.may_see_clinical_rows()',
    'private.merge_imported_patient(uuid,text,jsonb)',
    'private.my_access_log(integer,timestamp with time zone,bigint)',
    'private.note_uploads_swept(uuid[])',
    'private.notify(uuid,text,jsonb)',
    'private.notify_administrators(text,jsonb)',
    'private.notify_factor_change()',
    'private.notify_sign_in()',
    'private.object_to_emergency_access(uuid,text)',
    'private.open_chart(uuid,text)',
    'private.open_chart_purpose(uuid)',
    'private.open_medical_record(uuid)',
    'private.opened_record_ids()',
    'private.pending_record_upload(uuid,uuid)',
    'private.reachable_patient_ids()',
    'private.record_access(uuid)',
    'private.record_file_key(uuid,text)',
    'private.record_receipt(text,text,text,text,text)',
    'private.refuse(text,text,uuid,uuid,text,text,text,text)',
    'private.register_device_token(text,text,text,text)',
    'private.reject_record_upload(uuid)',
    'private.remove_device_token(uuid)',
    'private.request_care(uuid,text,text[])',
    'private.request_doctor_verification(text,text,text)',
    'private.require_permanent_account()',
    'private.respond_care_request(uuid,boolean,text[])',
    'private.retry_delivery(uuid)',
    'private.review_emergency_access(uuid,text,text)',
    'private.revoke_account_grant(uuid,text)',
    'private.revoke_record_share(uuid)',
    'private.seal_audit(integer,integer)',
    'private.session_is_live()',
    'private.audit_reminder_update()',
    'private.complete_next_reminder(uuid,timestamp with time zone,text)',
    'private.complete_reminder(uuid,text)',
    'private.follow_up_reminders(timestamp with time zone,integer,'
        'timestamp with time zone,uuid)',
    'private.notify_many(uuid[],text,jsonb[])',
    'private.notify_refills(timestamp with time zone,integer)',
    'private.plan_refill()',
    'private.reminders_to_expand(integer)',
    'private.save_reminder(uuid,text,text,timestamp without time zone,text,text,text,'
        'timestamp without time zone[],timestamp without time zone[],integer,integer,'
        'boolean,integer,integer,integer,uuid,uuid,timestamp with time zone[],boolean,'
        'numeric)',
    'private.shift_plan(uuid,integer)',
    'private.skip_reminder(uuid,text)',
    'private.snooze_reminder(uuid,integer)',
    'private.store_expansions(jsonb)',
    'private.tick_reminders(timestamp with time zone,integer,timestamp with time zone,uuid)',
    'private.set_account_active(uuid,boolean,text)',
    'private.set_care_scopes(uuid,text[])',
    'private.set_record_deleted(uuid,boolean)',
    'private.share_medical_record(uuid,uuid,text,timestamp with time zone)',
    'private.shared_record_ids()',
    'private.shred_record_file(uuid)',
    'private.store_rewrapped_keys(text,integer,jsonb)',
    'private.sync_record_contents()',
    'private.take_rate_token(text,integer,integer)',
    'private.touch_last_active()',
    'private.unused_attachments(integer)',
    'private.treated_patient_ids()',
    'private.verify_audit(timestamp with time zone,timestamp with time zone)',
    'private.verify_doctor(uuid,boolean,text)',
    'private.who_can_see(uuid)',
    'private.with_caregiver_scopes(jsonb,uuid)',
    'private.writable_record(uuid)',
    'private.write_audit(text,text,uuid,uuid,text,jsonb)',
    'private.write_patient_fields(jsonb,jsonb)',
    'private.write_record_description(uuid,text)'
  ],
  'these functions run with the rights of their owner, and all others with those of their caller'
);

-- Names in a function without search_path are found as its caller likes. A rule of the catalogue
-- lets one that its owner alone may call become part of the statement around it; these need not.
select is_empty(
  $$
    select name
    from unnest(array[
      'private.access_object(text)',
      'private.access_reason(text,text)',
      'private.access_summary(text,text,text,integer)',
      'private.audit_leaf(bigint,timestamptz,uuid,text,uuid,text,text,uuid,uuid,text,jsonb,jsonb,'
        || 'inet,text,text,xid8)',
      'private.audit_seal_hash(text)',
      'private.care_patient(uuid[])',
      'private.changed_values(jsonb,jsonb,text[])',
      'private.civil_time(timestamptz,text)',
      'private.end_lapsed_care(uuid)',
      'private.letters(text)',
      'private.lock_messages(text,text[])',
      'private.merkle_parents(bytea)',
      'private.quiet_until(timestamptz,time,time,text)',
      'private.refuse_care(text,uuid,text,text)',
      'private.refuse_record(text,uuid)',
      'private.resource_time(jsonb)',
      'private.retire_delivery_addresses(uuid[],text[],timestamptz[])',
      'private.retry_delay_seconds(integer,double precision)',
      'private.set_search_keys(uuid,jsonb)',
      'private.snapshot_before_self()',
      'private.tell_of_dead_deliveries(uuid[])'
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
select results_eq(
  $$
    select p.proname::text collate "C",
      concat_ws(' ',
        case when t.tgtype & 2 > 0 then 'before' else 'after' end,
        case when t.tgtype & 4 > 0 then 'insert' end, case when t.tgtype & 8 > 0 then 'delete' end,
        case when t.tgtype & 16 > 0 then 'update' end,
        case when t.tgtype & 32 > 0 then 'truncate' end
      ) collate "C",
      string_agg(t.tgrelid::regclass::text, ', ' order by t.tgrelid::regclass::text collate "C")
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid
    join pg_class as c on c.oid = t.tgrelid
    where not t.tgisinternal and p.pronamespace = 'private'::regnamespace
      -- A partition has its parent's, and one against truncate: 15_audit_access.test.sql.
      and not c.relispartition
    group by 1, 2 order by 1, 2
  $$,
  $$
    with audited (names) as (
      values (
        'account_grants, care_relationships, doctors, medical_record_contents, '
        'medical_record_shares, medical_records, medications, notification_preferences, patients, '
        'private.patient_identifiers, '
        'private.record_uploads, profiles'
      )
    )
    -- The updates of reminders are logged by a trigger of their own.
    select function collate "C", event collate "C",
      coalesce(tables, names || case event when 'after update' then '' else ', reminders' end)
    from audited
    cross join (values
      ('audit_chart_close', 'after update', 'chart_sessions'),
      ('audit_reminder_update', 'after update', 'reminders'),
      ('audit_rows', 'after delete', null),
      ('audit_rows', 'after insert', null),
      ('audit_rows', 'after update', null),
      ('audit_staff_sign_in', 'after insert', 'auth.sessions'),
      ('broadcast_notification', 'after insert', 'notifications'),
      ('broadcast_notification', 'after update', 'notifications'),
      ('check_notification_preference', 'before insert update', 'notification_preferences'),
      ('check_reminder_plan', 'before insert update', 'reminders'),
      ('copy_record_to_contents', 'before insert', 'medical_record_contents'),
      ('end_barred_sessions', 'after update', 'auth.users'),
      ('follow_block', 'after insert', 'blocks'),
      ('follow_care', 'after update', 'care_relationships'),
      ('follow_joining', 'after insert', 'conversation_participants'),
      ('follow_leaving', 'after delete', 'conversation_participants'),
      ('follow_leaving', 'after update', 'conversation_participants'),
      ('follow_lock', 'after update', 'profiles'),
      ('follow_message', 'after insert update', 'messages'),
      ('follow_reading', 'after update', 'conversation_participants'),
      ('follow_verification', 'after update', 'doctors'),
      ('handle_new_user', 'after insert', 'auth.users'),
      ('handle_user_upgrade', 'after update', 'auth.users'),
      ('keep_sensitive_mark', 'before update', 'medical_records'),
      ('limit_medications', 'before insert', 'medications'),
      ('note_key_version', 'after insert', 'private.data_keys'),
      ('note_key_version', 'after update', 'private.data_keys'),
      ('notify_factor_change', 'after delete', 'auth.mfa_factors'),
      ('notify_factor_change', 'after update', 'auth.mfa_factors'),
      ('notify_sign_in', 'after insert', 'auth.sessions'),
      ('plan_refill', 'before update', 'medications'),
      ('refuse_change', 'before delete update',
        'audit_events, audit_seals, private.audit_seal_leaves'),
      ('refuse_change', 'before truncate', 'audit_events, audit_seals, private.audit_seal_leaves'),
      ('set_record_source', 'before insert', 'medical_records'),
      ('set_updated_at', 'before update',
        'care_relationships, chart_sessions, conversation_participants, conversations, '
        'device_tokens, doctors, medical_record_contents, '
        'medical_record_shares, medical_records, medications, messages, notification_deliveries, '
        'notification_preferences, notifications, patients, profiles, reminder_logs, reminders'),
      ('sync_record_contents', 'after update', 'medical_records')
    ) as t (function, event, tables)
    order by 1, 2
  $$,
  'these triggers there are, and no other'
);
select is_empty(
  $$
    select table_name, tgname from our_triggers
    where tgenabled <> case proname when 'refuse_change' then 'A' else 'O' end
  $$,
  'every trigger fires; those that refuse a change fire for replication, too'
);

select * from finish();
rollback;
