-- Indexes without which a rule would still hold, and be paid for by every request.
begin;
select plan(2);

select is_empty(
  $$
    select p.polrelid::regclass, p.polname, a.attname
    from pg_policy as p
    join pg_depend as d on d.classid = 'pg_policy'::regclass and d.objid = p.oid
      and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
    join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where a.atttypid = 'uuid'::regtype
      and not exists (
        select from pg_index as i
        where i.indrelid = a.attrelid and i.indkey[0] = a.attnum and i.indisvalid
          and i.indpred is null
      )
  $$,
  'every id that a policy reads leads an index of all rows'
);

-- The helpers of policies look up what is open now; the pages of a listing come in the order of a key.
select is_empty(
  $$
    select l.*
    from (values
      ('public.care_relationships', '(patient_id, created_at DESC, id)'),
      ('public.care_relationships', '(member_id, created_at DESC, id)'),
      ('public.chart_sessions', '(viewer_id, expires_at) WHERE (closed_at IS NULL)'),
      ('public.chart_sessions', '(viewer_id, opened_at DESC, id)'),
      ('public.chart_sessions', '(patient_id, opened_at DESC, id)'),
      ('public.conversation_participants', '(conversation_id, user_id, joined_seq)'),
      ('public.conversation_participants', '(user_id, conversation_id)'),
      ('public.messages', '(conversation_id, seq DESC)'),
      ('public.messages', '(attachment_path) WHERE (attachment_path IS NOT NULL)'),
      ('public.medical_records', '(patient_id, record_date DESC NULLS LAST, id DESC)'),
      ('public.medical_records',
        '(patient_id, record_type, record_date DESC NULLS LAST, id DESC)'),
      ('public.medical_record_shares', '(patient_id, created_at DESC, id)'),
      ('public.medical_record_shares',
        '(shared_with_id, expires_at DESC, id) INCLUDE (record_id) WHERE (revoked_at IS NULL)'),
      ('public.notifications', '(user_id, created_at DESC, id DESC)'),
      ('public.notifications', '(user_id, created_at DESC, id DESC) WHERE (read_at IS NULL)'),
      ('public.notification_deliveries', '(user_id, created_at DESC, id DESC)'),
      ('public.notification_deliveries',
        $i$(is_urgent, next_attempt_at) WHERE (status = ANY (ARRAY['pending'::text, 'sending'::text]))$i$),
      ('public.notification_deliveries', $i$(created_at DESC, id DESC) WHERE (status = 'dead'::text)$i$),
      ('public.notification_deliveries',
        '(provider, provider_message_id) WHERE (provider_message_id IS NOT NULL)'),
      ('public.device_tokens', '(user_id, last_seen_at DESC, id)'),
      ('private.delivery_receipts', '(provider, provider_message_id)'),
      ('private.data_keys', '(subject_id, purpose)'),
      ('private.data_keys', '(key_version, id) WHERE (erased_at IS NULL)'),
      ('private.record_uploads', '(record_id, created_at DESC)')
    ) as l (name, columns)
    where not exists (
      select from pg_index as i
      where i.indrelid = to_regclass(l.name) and i.indisvalid
        and right(pg_get_indexdef(i.indexrelid), length(l.columns)) = l.columns
    )
  $$,
  'these lookups and listings have an index in their order'
);

select * from finish();
rollback;
