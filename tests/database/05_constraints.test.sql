-- Keys and columns that must be filled. Each list names what has to hold; what a check asks of
-- values is tried by each domain.
begin;
select plan(3);

select is_empty(
  $$
    select c.oid::regclass from pg_class as c
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind in ('r', 'p')
      and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)
  $$,
  'every table has a primary key'
);

select set_eq(
  $$
    select format('%s.%s', c.oid::regclass, a.attname)
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      and c.relkind in ('r', 'p') and not c.relispartition and a.attnotnull and a.attidentity = ''
      and not exists ( -- a primary key forbids null by itself
        select from pg_constraint as k
        where k.conrelid = c.oid and k.contype = 'p' and a.attnum = any (k.conkey)
      )
  $$,
  $$
    select format('%s.%s', to_regclass(l.name), column_name)
    from (values
      ('public.account_grants', 'user_id, grant, created_at'),
      ('public.audit_events',
        'actor_role, action, resource_type, transaction_id, leaf_hash'),
      ('public.audit_seals',
        'from_id, to_id, leaf_count, merkle_root, snapshot, is_drained, is_restart, sealed_at, '
        'hash'),
      ('public.blocks', 'blocker_id, blocked_id, created_at'),
      ('public.care_relationships',
        'patient_id, member_id, kind, scopes, status, requested_by, created_at, updated_at'),
      ('public.chart_sessions',
        'patient_id, viewer_id, purpose, opened_at, expires_at, last_used_at, created_at, '
        'updated_at'),
      ('public.conversation_participants',
        'conversation_id, user_id, role, joined_at, joined_seq, last_read_seq, last_sent_seq, '
        'created_at, updated_at'),
      ('public.conversations', 'kind, last_seq, epoch, created_at, updated_at'),
      ('public.messages',
        'conversation_id, seq, kind, metadata, is_encrypted, updated_at'),
      ('public.doctors', 'license_number, specialty, created_at, updated_at'),
      ('public.medical_record_contents',
        'patient_id, sensitivity, metadata, created_at, updated_at'),
      ('public.medical_record_shares',
        'record_id, patient_id, shared_with_id, shared_by_id, access_level, expires_at, '
        'created_at, updated_at'),
      ('public.medical_records',
        'patient_id, title, record_type, source, sensitivity, created_at, updated_at'),
      ('public.device_tokens', 'user_id, platform, last_seen_at, created_at, updated_at'),
      ('public.notification_deliveries',
        'user_id, channel, is_urgent, status, attempts, failures, next_attempt_at, created_at, '
        'updated_at'),
      ('public.notification_preferences',
        'user_id, kind, channel, enabled, detail, created_at, updated_at'),
      ('public.notifications',
        'user_id, kind, title, body, data, in_app, created_at, updated_at'),
      ('public.patients', 'is_active, created_at, updated_at'),
      ('public.profiles',
        'role, is_public, is_active, is_verified, subscription_tier, locale, timezone, created_at, '
        'updated_at'),
      ('public.medications',
        'user_id, name, units_per_dose, refill_threshold_days, created_at, updated_at'),
      ('public.reminders',
        'user_id, title, reminder_type, starts_at_local, timezone, rdate, exdate, shift_minutes, '
        'is_active, grace_minutes, max_repeats, upcoming, expansion, expanded_to, created_at, '
        'updated_at'),
      ('public.reminder_logs',
        'reminder_id, user_id, reminder_type, timezone, grace_minutes, due_at, status, '
        'repeats_sent, created_at, updated_at'),
      ('private.audit_seal_leaves', 'event_id, occurred_at, leaf_hash'),
      ('private.conversation_mutes', 'muted_until'),
      ('private.data_keys', 'purpose, subject_id, key_id, key_version, created_at'),
      ('private.delivery_receipts', 'provider_message_id, status, received_at'),
      ('private.key_versions', 'first_used_at'),
      ('private.patient_identifiers', 'patient_id, system, value, created_at'),
      ('private.patient_search_keys', 'digest'),
      ('private.rate_limits', 'tokens, granted, refilled_at'),
      ('private.record_openings', 'opened_at'),
      ('private.record_uploads',
        'record_id, patient_id, storage_path, data_key_id, file_name, file_type, file_size, '
        'file_sha256, requested_by, expires_at, created_at'),
      ('private.retired_addresses', 'reason, retired_at'),
      ('private.sent_messages', 'message_id, message_created_at, digest'),
      ('private.sign_in_failures', 'failures, window_started_at'),
      ('private.unlisted_refusals', 'actor_id, actor_role, refusals, first_at')
    ) as l (name, columns)
    cross join unnest(string_to_array(l.columns, ', ')) as column_name
  $$,
  'these columns are never empty, and others may be'
);

-- Clinical rows hold on to their people; what belongs to an account goes with it; who did something
-- may go and leave what was done.
select set_eq(
  $$
    select format('%s.%s to %s: %s', c.conrelid::regclass, a.attname, c.confrelid::regclass,
      case c.confdeltype
        when 'r' then 'restrict' when 'c' then 'cascade' when 'n' then 'set null'
        when 'a' then 'no action'
      end)
    from pg_constraint as c
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
    where c.contype = 'f' and c.convalidated and c.conparentid = 0
      and c.connamespace in ('public'::regnamespace, 'private'::regnamespace)
  $$,
  $$
    select format('%s.%s to %s: %s', to_regclass(l.name), l.column_name, to_regclass(l.target), l.when_deleted)
    from (values
      ('public.account_grants', 'granted_by', 'public.profiles', 'set null'),
      ('public.account_grants', 'user_id', 'public.profiles', 'cascade'),
      ('public.blocks', 'blocker_id', 'public.profiles', 'cascade'),
      ('public.care_relationships', 'member_id', 'public.profiles', 'restrict'),
      ('public.care_relationships', 'patient_id', 'public.patients', 'restrict'),
      ('public.care_relationships', 'requested_by', 'public.profiles', 'restrict'),
      ('public.chart_sessions', 'patient_id', 'public.patients', 'restrict'),
      ('public.chart_sessions', 'reviewed_by', 'public.profiles', 'restrict'),
      ('public.chart_sessions', 'viewer_id', 'public.profiles', 'restrict'),
      ('public.conversation_participants', 'conversation_id', 'public.conversations', 'restrict'),
      ('public.conversation_participants', 'user_id', 'public.profiles', 'cascade'),
      ('public.conversations', 'created_by', 'public.profiles', 'set null'),
      ('public.conversations', 'patient_id', 'public.patients', 'restrict'),
      ('public.messages', 'conversation_id', 'public.conversations', 'restrict'),
      ('public.device_tokens', 'user_id', 'public.profiles', 'cascade'),
      ('public.doctors', 'id', 'public.profiles', 'cascade'),
      ('public.doctors', 'verified_by', 'public.profiles', 'set null'),
      ('public.medical_record_contents', 'data_key_id', 'private.data_keys', 'restrict'),
      ('public.medical_record_contents', 'patient_id', 'public.patients', 'restrict'),
      ('public.medical_record_contents', 'record_id', 'public.medical_records', 'cascade'),
      ('public.medical_record_shares', 'patient_id', 'public.patients', 'restrict'),
      ('public.medical_record_shares', 'record_id', 'public.medical_records', 'restrict'),
      ('public.medical_record_shares', 'shared_by_id', 'public.profiles', 'restrict'),
      ('public.medical_record_shares', 'shared_with_id', 'public.profiles', 'restrict'),
      ('public.medical_records', 'created_by', 'public.profiles', 'set null'),
      ('public.medical_records', 'patient_id', 'public.patients', 'restrict'),
      ('public.notification_deliveries', 'device_token_id', 'public.device_tokens', 'set null'),
      ('public.notification_deliveries', 'notification_id', 'public.notifications', 'set null'),
      ('public.notification_deliveries', 'user_id', 'public.profiles', 'cascade'),
      ('public.notification_preferences', 'user_id', 'public.profiles', 'cascade'),
      ('public.medications', 'user_id', 'public.profiles', 'restrict'),
      ('public.reminders', 'user_id', 'public.profiles', 'restrict'),
      ('public.reminders', 'escalate_to', 'public.profiles', 'set null'),
      ('public.reminders', 'medication_id', 'public.medications', 'set null'),
      ('public.reminder_logs', 'reminder_id', 'public.reminders', 'cascade'),
      ('public.notifications', 'user_id', 'public.profiles', 'cascade'),
      ('public.patients', 'created_by', 'public.profiles', 'set null'),
      ('public.patients', 'id', 'public.profiles', 'cascade'),
      ('public.profiles', 'id', 'auth.users', 'cascade'),
      ('private.audit_seal_leaves', 'seal_id', 'public.audit_seals', 'no action'),
      ('private.patient_identifiers', 'patient_id', 'public.patients', 'cascade'),
      ('private.patient_search_keys', 'patient_id', 'public.patients', 'cascade'),
      ('private.record_openings', 'record_id', 'public.medical_records', 'cascade'),
      ('private.record_openings', 'viewer_id', 'public.profiles', 'cascade'),
      ('private.record_uploads', 'patient_id', 'public.patients', 'restrict'),
      ('private.record_uploads', 'record_id', 'public.medical_records', 'cascade'),
      ('private.retired_addresses', 'user_id', 'public.profiles', 'cascade'),
      ('private.conversation_mutes', 'conversation_id', 'public.conversations', 'cascade'),
      ('private.conversation_mutes', 'user_id', 'public.profiles', 'cascade'),
      ('private.sent_messages', 'sender_id', 'public.profiles', 'cascade'),
      ('private.sign_in_failures', 'user_id', 'auth.users', 'cascade')
    ) as l (name, column_name, target, when_deleted)
  $$,
  'these columns, and no others, refer to these tables, and this happens when what they refer to is deleted'
);

select * from finish();
rollback;
