-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

DROP POLICY "notifications_select_authenticated" ON "public"."notifications";

DROP VIEW "private"."notification_templates";

DROP VIEW "public"."public_profiles";

DROP VIEW "private"."visible_profiles";

CREATE TABLE "private"."conversation_mutes" (
  "conversation_id" uuid                     NOT NULL,
  "user_id"         uuid                     NOT NULL,
  "muted_until"     timestamp with time zone NOT NULL,
  CONSTRAINT "conversation_mutes_pkey" PRIMARY KEY (user_id, conversation_id)
);

ALTER TABLE "private"."conversation_mutes"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."delivery_receipts" (
  "provider"            text                     NOT NULL,
  "event_id"            text                     NOT NULL,
  "provider_message_id" text                     NOT NULL,
  "status"              text                     NOT NULL,
  "error_code"          text,
  "received_at"         timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "delivery_receipts_error_code_check" CHECK ((error_code ~ '^[A-Za-z0-9_.:-]{1,64}$'::text)),
  CONSTRAINT "delivery_receipts_event_id_check" CHECK (((length(event_id) >= 1) AND (length(event_id) <= 300))),
  CONSTRAINT "delivery_receipts_message_id_check" CHECK (((length(provider_message_id) >= 1) AND (length(provider_message_id) <= 300))),
  CONSTRAINT "delivery_receipts_pkey" PRIMARY KEY (PROVIDER, event_id),
  CONSTRAINT "delivery_receipts_provider_check" CHECK ((provider ~ '^[a-z0-9_]{1,40}$'::text)),
  CONSTRAINT "delivery_receipts_status_check"
    CHECK ((status = ANY (ARRAY['sent'::text, 'delivered'::text, 'failed'::text, 'bounced'::text, 'complained'::text, 'unregistered'::text])))
);

ALTER TABLE "private"."delivery_receipts"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."retired_addresses" (
  "user_id"        uuid                     NOT NULL,
  "channel"        text                     NOT NULL,
  "address_sha256" bytea                    NOT NULL,
  "reason"         text                     NOT NULL,
  "retired_at"     timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "retired_addresses_channel_check" CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text]))),
  CONSTRAINT "retired_addresses_pkey" PRIMARY KEY (user_id, channel, address_sha256),
  CONSTRAINT "retired_addresses_reason_check" CHECK ((reason ~ '^[A-Za-z0-9_.:-]{1,64}$'::text)),
  CONSTRAINT "retired_addresses_sha256_check" CHECK ((octet_length(address_sha256) = 32))
);

ALTER TABLE "private"."retired_addresses"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "private"."sent_messages" (
  "sender_id"          uuid                     NOT NULL,
  "client_id"          text                     NOT NULL,
  "message_id"         bigint                   NOT NULL,
  "message_created_at" timestamp with time zone NOT NULL,
  "digest"             bytea                    NOT NULL,
  CONSTRAINT "sent_messages_pkey" PRIMARY KEY (sender_id, client_id)
);

ALTER TABLE "private"."sent_messages"
  ENABLE ROW LEVEL SECURITY;

CREATE TABLE "public"."blocks" (
  "id"         uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "blocker_id" uuid                     NOT NULL DEFAULT auth.uid(),
  "blocked_id" uuid                     NOT NULL,
  "created_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "blocks_pkey" PRIMARY KEY (id),
  CONSTRAINT "blocks_one_each" UNIQUE (blocker_id, blocked_id),
  CONSTRAINT "blocks_people_check" CHECK ((blocker_id <> blocked_id))
);

ALTER TABLE "public"."blocks"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."blocks" FROM "anon", "service_role";

CREATE TABLE "public"."conversation_participants" (
  "id"                   uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "conversation_id"      uuid                     NOT NULL,
  "user_id"              uuid                     NOT NULL,
  "patient_id"           uuid,
  "role"                 text                     NOT NULL DEFAULT 'member'::text,
  "joined_at"            timestamp with time zone NOT NULL DEFAULT now(),
  "joined_seq"           bigint                   NOT NULL DEFAULT 0,
  "left_at"              timestamp with time zone,
  "left_seq"             bigint,
  "last_read_message_id" bigint,
  "last_read_seq"        bigint                   NOT NULL DEFAULT 0,
  "last_sent_seq"        bigint                   NOT NULL DEFAULT 0,
  "created_at"           timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"           timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "conversation_participants_pkey" PRIMARY KEY (id),
  CONSTRAINT "conversation_participants_read_check" CHECK (((last_read_seq >= joined_seq) AND (last_sent_seq >= 0))),
  CONSTRAINT "conversation_participants_role_check" CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text]))),
  CONSTRAINT "conversation_participants_stretch_check"
    CHECK (((joined_seq >= 0) AND (num_nulls(left_at, left_seq) = ANY (ARRAY[0, 2])) AND (left_at >= joined_at) AND (left_seq >= joined_seq)))
);

ALTER TABLE "public"."conversation_participants"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."conversation_participants" FROM "anon", "service_role";

CREATE TABLE "public"."conversations" (
  "id"              uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "kind"            text                     NOT NULL,
  "title"           text,
  "community_id"    uuid,
  "patient_id"      uuid,
  "pair"            uuid[],
  "created_by"      uuid,
  "last_message_id" bigint,
  "last_message_at" timestamp with time zone,
  "last_seq"        bigint                   NOT NULL DEFAULT 0,
  "epoch"           integer                  NOT NULL DEFAULT 0,
  "created_at"      timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"      timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "conversations_community_check" CHECK (((kind = 'community'::text) = (community_id IS NOT NULL))),
  CONSTRAINT "conversations_epoch_check" CHECK ((epoch >= 0)),
  CONSTRAINT "conversations_kind_check" CHECK ((kind = ANY (ARRAY['direct'::text, 'group'::text, 'community'::text, 'care'::text]))),
  CONSTRAINT "conversations_last_message_check" CHECK (((last_seq >= 0) AND (num_nulls(last_message_id, last_message_at) =
CASE
    WHEN (last_seq = 0) THEN 2
    ELSE 0
END))),
  CONSTRAINT "conversations_one_direct" UNIQUE (pair),
  CONSTRAINT "conversations_pair_check" CHECK ((((kind = 'direct'::text) = (pair IS
    NOT NULL)) AND (cardinality(pair) = 2) AND (array_position(pair, NULL::uuid) IS NULL) AND (pair[1] < pair[2]))),
  CONSTRAINT "conversations_patient_check" CHECK (((kind = 'care'::text) = (patient_id IS NOT NULL))),
  CONSTRAINT "conversations_pkey" PRIMARY KEY (id),
  CONSTRAINT "conversations_title_check" CHECK (((title IS NULL) OR ((title = btrim(title)) AND ((length(title) >= 1) AND (length(title) <= 120)) AND (kind <> 'direct'::text))))
);

ALTER TABLE "public"."conversations"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."conversations" FROM "anon", "service_role";

CREATE TABLE "public"."device_tokens" (
  "id"             uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "user_id"        uuid                     NOT NULL,
  "platform"       text                     NOT NULL,
  "token"          text,
  "endpoint"       text,
  "p256dh"         text,
  "auth"           text,
  "last_seen_at"   timestamp with time zone NOT NULL DEFAULT now(),
  "retired_at"     timestamp with time zone,
  "retired_reason" text,
  "created_at"     timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"     timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "device_tokens_auth_check" CHECK ((auth ~ '^[A-Za-z0-9_-]{22}(==)?$'::text)),
  CONSTRAINT "device_tokens_endpoint_check" CHECK (((endpoint ~ '^https://([a-z0-9-]+\.)+[a-z]{2,}/[!-~]*$'::text) AND (length(endpoint) <= 1000))),
  CONSTRAINT "device_tokens_p256dh_check" CHECK ((p256dh ~ '^[A-Za-z0-9_-]{87}=?$'::text)),
  CONSTRAINT "device_tokens_pkey" PRIMARY KEY (id),
  CONSTRAINT "device_tokens_platform_check" CHECK ((((platform = 'fcm'::text) AND (token IS
    NOT NULL) AND (num_nonnulls(endpoint, p256dh, auth) = 0)) OR ((platform = 'webpush'::text) AND (token IS NULL) AND (num_nulls(endpoint, p256dh, auth) = 0)))),
  CONSTRAINT "device_tokens_retired_check" CHECK (((retired_at IS NULL) = (retired_reason IS NULL))),
  CONSTRAINT "device_tokens_retired_reason_check" CHECK ((retired_reason = ANY (ARRAY['removed'::text, 'replaced'::text, 'unregistered'::text]))),
  CONSTRAINT "device_tokens_token_check" CHECK (((token ~ '^[A-Za-z0-9_:.-]+$'::text) AND ((length(token) >= 20) AND (length(token) <= 1000))))
);

ALTER TABLE "public"."device_tokens"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."device_tokens" FROM "anon", "service_role";

CREATE TABLE "public"."messages" (
  "id"              bigint                   GENERATED ALWAYS AS IDENTITY NOT NULL,
  "conversation_id" uuid                     NOT NULL,
  "seq"             bigint                   NOT NULL,
  "sender_id"       uuid,
  "client_id"       text,
  "kind"            text                     NOT NULL,
  "content"         text,
  "metadata"        jsonb                    NOT NULL,
  "attachment_path" text                     GENERATED ALWAYS AS ((metadata ->> 'path'::text)) STORED,
  "is_encrypted"    boolean                  NOT NULL,
  "reply_to_id"     bigint,
  "edited_at"       timestamp with time zone,
  "deleted_at"      timestamp with time zone,
  "created_at"      timestamp with time zone NOT NULL,
  "updated_at"      timestamp with time zone NOT NULL
) PARTITION BY RANGE (created_at);

ALTER TABLE "public"."messages"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."messages" FROM "anon", "service_role";

CREATE TABLE "public"."notification_deliveries" (
  "id"                  uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "notification_id"     uuid,
  "user_id"             uuid                     NOT NULL,
  "channel"             text                     NOT NULL,
  "device_token_id"     uuid,
  "is_urgent"           boolean                  NOT NULL DEFAULT false,
  "status"              text                     NOT NULL DEFAULT 'pending'::text,
  "attempts"            integer                  NOT NULL DEFAULT 0,
  "failures"            integer                  NOT NULL DEFAULT 0,
  "next_attempt_at"     timestamp with time zone NOT NULL DEFAULT now(),
  "claim_token"         uuid,
  "address_sha256"      bytea,
  "provider"            text,
  "provider_message_id" text,
  "last_error"          text,
  "sent_at"             timestamp with time zone,
  "delivered_at"        timestamp with time zone,
  "created_at"          timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at"          timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "notification_deliveries_address_check" CHECK ((octet_length(address_sha256) = 32)),
  CONSTRAINT "notification_deliveries_attempts_check" CHECK (((failures >= 0) AND (attempts >= failures))),
  CONSTRAINT "notification_deliveries_channel_check" CHECK ((channel = ANY (ARRAY['email'::text, 'sms'::text, 'push'::text]))),
  CONSTRAINT "notification_deliveries_claim_check" CHECK (((status = 'sending'::text) = (claim_token IS NOT NULL))),
  CONSTRAINT "notification_deliveries_device_check" CHECK (((channel = 'push'::text) OR (device_token_id IS NULL))),
  CONSTRAINT "notification_deliveries_last_error_check" CHECK ((last_error ~ '^[A-Za-z0-9_.:-]{1,64}$'::text)),
  CONSTRAINT "notification_deliveries_pkey" PRIMARY KEY (id),
  CONSTRAINT "notification_deliveries_provider_check"
    CHECK (((provider ~ '^[a-z0-9_]{1,40}$'::text) AND ((length(provider_message_id) >= 1) AND (length(provider_message_id) <= 300)))),
  CONSTRAINT "notification_deliveries_sent_check" CHECK (((status <> 'sent'::text) OR (sent_at IS NOT NULL))),
  CONSTRAINT "notification_deliveries_status_check" CHECK ((status = ANY (ARRAY['pending'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'dead'::text, 'suppressed'::text])))
);

ALTER TABLE "public"."notification_deliveries"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."notification_deliveries" FROM "anon", "service_role";

CREATE TABLE "public"."notification_preferences" (
  "id"         uuid                     NOT NULL DEFAULT gen_random_uuid(),
  "user_id"    uuid                     NOT NULL DEFAULT auth.uid(),
  "kind"       text                     NOT NULL,
  "channel"    text                     NOT NULL,
  "enabled"    boolean                  NOT NULL DEFAULT true,
  "quiet_from" time without time zone,
  "quiet_to"   time without time zone,
  "detail"     text                     NOT NULL DEFAULT 'minimal'::text,
  "created_at" timestamp with time zone NOT NULL DEFAULT now(),
  "updated_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "notification_preferences_channel_check" CHECK ((channel = ANY (ARRAY['in_app'::text, 'email'::text, 'sms'::text, 'push'::text]))),
  CONSTRAINT "notification_preferences_detail_check" CHECK ((detail = ANY (ARRAY['full'::text, 'minimal'::text]))),
  CONSTRAINT "notification_preferences_pkey" PRIMARY KEY (id),
  CONSTRAINT "notification_preferences_quiet_check" CHECK ((((quiet_from IS NULL) = (quiet_to IS NULL)) AND (quiet_from <> quiet_to))),
  CONSTRAINT "notification_preferences_one_each" UNIQUE (user_id, kind, channel)
);

ALTER TABLE "public"."notification_preferences"
  ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON TABLE "public"."notification_preferences" FROM "anon", "service_role";

ALTER TABLE "public"."notifications"
  ADD COLUMN "in_app" boolean NOT NULL DEFAULT true;

ALTER TABLE "public"."notifications"
  ADD COLUMN "collapse_key" text;

REVOKE ALL ON SEQUENCE "public"."messages_id_seq" FROM "anon";

REVOKE ALL ON SEQUENCE "public"."messages_id_seq" FROM "authenticated";

REVOKE ALL ON SEQUENCE "public"."messages_id_seq" FROM "service_role";

ALTER TABLE "public"."messages"
  ALTER COLUMN "created_at" SET DEFAULT clock_timestamp();

ALTER TABLE "public"."messages"
  ALTER COLUMN "is_encrypted" SET DEFAULT false;

ALTER TABLE "public"."messages"
  ALTER COLUMN "kind" SET DEFAULT 'text'::text;

ALTER TABLE "public"."messages"
  ALTER COLUMN "metadata" SET DEFAULT '{}'::jsonb;

ALTER TABLE "public"."messages"
  ALTER COLUMN "updated_at" SET DEFAULT now();

CREATE TYPE "public"."chat_message" AS (
  "id"              bigint,
  "conversation_id" uuid,
  "seq"             bigint,
  "sender_id"       uuid,
  "client_id"       text,
  "kind"            text,
  "content"         text,
  "metadata"        jsonb,
  "is_encrypted"    boolean,
  "reply_to_id"     bigint,
  "edited_at"       timestamp WITH time zone,
  "deleted_at"      timestamp WITH time zone,
  "created_at"      timestamp WITH time zone
);

CREATE TYPE "public"."started_conversation" AS (
  "id"         uuid,
  "kind"       text,
  "title"      text,
  "topic"      text,
  "created_at" timestamp WITH time zone
);

CREATE OR REPLACE FUNCTION private.access_object (
  p_resource_type text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case p_resource_type
    when 'patient' then 'your registry entry'
    when 'medical_record' then 'a record'
    when 'medical_record_content' then 'the contents of a record'
    when 'medical_record_share' then 'a share of a record'
    when 'record_upload' then 'an upload of a file'
    when 'patient_identifier' then 'your id in another system'
    when 'care_relationship' then 'a care relationship with you'
    when 'chart_session' then 'an opening of your chart'
    when 'conversation' then 'a conversation about your care'
    else 'a ' || replace(p_resource_type, '_', ' ')
  end
$function$;

CREATE OR REPLACE FUNCTION private.access_summary (
  p_action        text,
  p_resource_type text,
  p_code          text    DEFAULT NULL::text,
  p_unlisted      integer DEFAULT NULL::integer
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case
    when p_action = 'refuse_more' then
      format('Tried to reach your data %s more times and was refused', p_unlisted)
    when p_action like 'refuse\_%' then
      'Tried to ' || case p_action
        when 'refuse_open_chart' then 'open your chart'
        when 'refuse_break_glass' then 'open your chart in an emergency'
        when 'refuse_open_record' then 'read a record'
        when 'refuse_download_file' then 'download a file of a record'
        when 'refuse_import_records' then 'import records for you'
        when 'refuse_export_records' then 'export your records'
        when 'refuse_review_emergency' then 'review an emergency access to your chart'
        when 'refuse_object_to_emergency' then 'object to an emergency access to your chart'
        when 'refuse_share_record' then 'share a record of yours'
        when 'refuse_revoke_share' then 'end a share of a record of yours'
        when 'refuse_delete_record' then 'delete a record of yours'
        when 'refuse_restore_record' then 'restore a record of yours'
        when 'refuse_upload_file' then 'add a file to a record of yours'
        when 'refuse_erase_file' then 'erase a file of a record of yours'
        when 'refuse_request_care' then 'enter into a care relationship with you'
        when 'refuse_answer_care' then 'answer a care request to you'
        when 'refuse_set_care_scopes' then 'change what a caregiver may see of you'
        when 'refuse_end_care' then 'end a care relationship with you'
        else format(
          '%s (%s)', replace(substr(p_action, 8), '_', ' '), private.access_object(p_resource_type)
        )
      end || ' and was refused' || case p_code
        when 'not_found' then ': had no right to it'
        when 'not_verified' then ': is not a verified clinician'
        when 'mfa_required' then ': had signed in without a second factor'
        when 'forbidden' then case p_action
          when 'refuse_download_file' then ': you share it for viewing only'
          else ': may not do this'
        end
        when 'review_pending' then ': an earlier emergency of theirs has not been reviewed'
        when 'already_in_care' then ': is in your care team, who need no emergency'
        when 'already_answered' then ': it has been answered'
        when 'already_ended' then ': it has ended'
        when 'already_objected' then ': an objection is on record'
        when 'already_requested' then ': there is one or a request for one already'
        when 'already_reviewed' then ': it has been reviewed'
        when 'already_shared' then ': it is shared with them already'
        when 'already_uploaded' then ': the record has its file already'
        else ''
      end || coalesce('; ' || p_unlisted || ' more before it are not listed', '')
    else case p_action
      when 'open_chart' then 'Opened your chart'
      when 'break_glass' then 'Opened your chart in an emergency'
      when 'close_chart' then 'Closed your chart'
      when 'review_emergency' then 'Reviewed an emergency access to your chart'
      when 'open_record' then 'Read a record'
      when 'download_file' then 'Downloaded a file of a record'
      when 'upload_file' then 'Added a file to a record'
      when 'export_records' then 'Exported your records'
      when 'search_audit' then 'Searched the audit trail for what concerns you'
      when 'read_contact' then 'Read your contact details'
      when 'match_contact' then 'Found you by your phone or policy number'
      when 'read_description' then 'Read the description of a record'
      when 'add_participant' then 'Added somebody to a conversation about your care'
      when 'remove_participant' then 'Took somebody, or themselves, out of a conversation about your care'
      when 'create' then 'Created ' || private.access_object(p_resource_type)
      when 'update' then 'Updated ' || private.access_object(p_resource_type)
      when 'delete' then 'Deleted ' || private.access_object(p_resource_type)
      else format(
        '%s (%s)', upper(left(p_action, 1)) || replace(substr(p_action, 2), '_', ' '),
        private.access_object(p_resource_type)
      )
    end
  end
$function$;

CREATE OR REPLACE FUNCTION private.add_participant (
  p_conversation_id uuid,
  p_user_id         uuid,
  p_role            text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_seat constant public.conversation_participants := private.require_seat(p_conversation_id);
  v_conversation public.conversations;
begin
  if p_role is null or p_role not in ('admin', 'member') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot add a participant as p_role must be admin or member';
  end if;
  -- As start_conversation, and before the conversation, as the end of care has it.
  perform 1 from public.care_relationships as r
    where r.patient_id = v_seat.patient_id and r.member_id = p_user_id and r.status = 'active'
    order by r.id
    for share;
  v_conversation := private.require_manager(p_conversation_id);
  if p_role = 'admin'
    and (v_conversation.kind = 'care' or (private.require_seat(p_conversation_id)).role <> 'owner')
  then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only the owner of a group makes somebody its admin';
  end if;
  perform 1 from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null;
  if found then
    raise exception using errcode = 'PT409', message = 'already_participant',
      detail = 'The account takes part already';
  end if;
  if v_conversation.kind = 'care' then
    perform 1 from private.chat_patient_ids(p_user_id) as c (id)
      where c.id = v_conversation.patient_id;
  else
    perform 1 from private.reachable_ids(array[p_user_id]);
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such account to talk to';
  end if;
  if (
    select count(*) >= 256
    from public.conversation_participants as p
    where p.conversation_id = p_conversation_id and p.left_at is null
  ) then
    raise exception using errcode = 'PT409', message = 'conversation_full',
      detail = 'A conversation has at most 256 participants';
  end if;
  -- Realtime replays what was sent on a topic to whoever may join it, from before they came, too.
  if v_conversation.last_seq > 0 then
    perform private.move_conversation(p_conversation_id);
  end if;
  insert into public.conversation_participants (
    conversation_id, user_id, patient_id, role, joined_at, joined_seq, last_read_seq
  )
  values (
    p_conversation_id, p_user_id, v_conversation.patient_id, p_role,
    private.conversation_clock(v_conversation), v_conversation.last_seq, v_conversation.last_seq
  );
  perform private.broadcast(
    p_conversation_id, 'participant_added', jsonb_build_object(
      'conversation_id', p_conversation_id, 'user_id', p_user_id, 'role', p_role
    )
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.apply_receipts (
  p_ids uuid[]
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_gone record;
begin
  -- What is known of a message decides, and not the order in which it was heard: that it cannot
  -- have arrived is stronger than that it has.
  update public.notification_deliveries as d set
    status = case when r.has_failed then 'failed' else d.status end,
    delivered_at = case when not r.has_failed then r.delivered_at end,
    last_error = case when r.has_failed then r.error_code else d.last_error end
  from (
    select
      d.id,
      bool_or(r.status in ('failed', 'bounced', 'unregistered')) as has_failed,
      min(r.received_at) filter (where r.status in ('delivered', 'complained')) as delivered_at,
      min(coalesce(r.error_code, r.status))
        filter (where r.status in ('failed', 'bounced', 'unregistered')) as error_code
    from public.notification_deliveries as d
    join private.delivery_receipts as r
      on r.provider = d.provider and r.provider_message_id = d.provider_message_id
    where d.id = any (p_ids)
    group by d.id
  ) as r
  where d.id = r.id and d.status in ('sent', 'failed');
  select array_agg(d.id) as ids, array_agg(r.status) as reasons, array_agg(d.sent_at) as since
  into v_gone
  from public.notification_deliveries as d
  join private.delivery_receipts as r
    on r.provider = d.provider and r.provider_message_id = d.provider_message_id
  where d.id = any (p_ids) and r.status in ('bounced', 'complained', 'unregistered');
  perform private.retire_delivery_addresses(v_gone.ids, v_gone.reasons, v_gone.since);
end;
$function$;

CREATE OR REPLACE FUNCTION private.as_chat_message (
  p_message public.messages
)
  RETURNS public.chat_message
  LANGUAGE sql
  IMMUTABLE
  AS $function$
  select row(
    p_message.id, p_message.conversation_id, p_message.seq, p_message.sender_id, p_message.client_id,
    p_message.kind, p_message.content, p_message.metadata, p_message.is_encrypted,
    p_message.reply_to_id, p_message.edited_at, p_message.deleted_at, p_message.created_at
  )::public.chat_message
$function$;

CREATE OR REPLACE FUNCTION private.attachment_folders()
  RETURNS SETOF text
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  select c.id::text from private.current_conversation_ids() as c (id)
$function$;

CREATE OR REPLACE FUNCTION private.broadcast (
  p_conversation_id uuid,
  p_event           text,
  p_payload         jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  perform realtime.send(p_payload, p_event, private.current_topic(p_conversation_id), true);
end;
$function$;

CREATE OR REPLACE FUNCTION private.broadcast_notification()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform realtime.send(
    to_jsonb(new),
    case tg_op when 'INSERT' then 'notification' else 'notification_read' end,
    'user:' || new.user_id,
    true
  );
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.care_patient (
  p_people uuid[]
)
  RETURNS uuid
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  select u.id
  from unnest(p_people) with ordinality as u (id, position)
  join public.patients as t on t.id = u.id
  where not exists (
    select from unnest(p_people) as m (id)
    where m.id <> u.id and u.id not in (select private.chat_patient_ids(m.id))
  )
  order by u.position
  limit 1
$function$;

CREATE OR REPLACE FUNCTION private.channel_is_on (
  p_channel   text,
  p_enabled   boolean,
  p_channels  text[],
  p_required  text[],
  p_has_email boolean
)
  RETURNS boolean
  LANGUAGE sql
  IMMUTABLE
  AS $function$
  select p_channel = any (p_required)
    -- What must arrive by e-mail arrives by SMS where there is no e-mail.
    or p_channel = 'sms' and 'email' = any (p_required) and not p_has_email
    or coalesce(p_enabled, p_channel = any (p_channels))
$function$;

CREATE OR REPLACE FUNCTION private.chat_patient_ids (
  p_member_id uuid
)
  RETURNS SETOF uuid
  LANGUAGE sql
  STABLE
  AS $function$
  select g.patient_id
  from private.care_grounds(p_member_id) as g
  where g.kind = 'doctor' or 'messages' = any (g.scopes)
$function$;

CREATE OR REPLACE FUNCTION private.chat_seats (
  p_claims jsonb
)
  RETURNS SETOF public.conversation_participants
  LANGUAGE sql
  STABLE
  AS $function$
  select p.*
  from private.live_account(p_claims) as l
  join public.conversation_participants as p on p.user_id = l.id
  where p.patient_id is null
    or exists (
      select
      from private.clinical_account(p_claims) as c
      where p.patient_id = c.id or p.patient_id in (select private.chat_patient_ids(c.id))
    )
$function$;

CREATE OR REPLACE FUNCTION private.check_notification_preference()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_required text[];
begin
  select k.required into v_required
  from private.notification_kinds as k
  where k.kind = new.kind;
  if not found then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot set a preference as there is no kind of notification of this name';
  end if;
  if not new.enabled and new.channel = any (v_required) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = format('Cannot switch %s off on the channel %s', new.kind, new.channel);
  end if;
  return new;
end;
$function$;

CREATE OR REPLACE FUNCTION private.claim_deliveries (
  p_limit         integer,
  p_lease_seconds integer
)
  RETURNS TABLE (
    id              uuid,
    claim_token     uuid,
    notification_id uuid,
    channel         text,
    attempts        integer,
    kind            text,
    urgency         text,
    title           text,
    body            text,
    address         jsonb,
    idempotency_key text
  )
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_token constant uuid := gen_random_uuid();
  v_lease_ends_at constant timestamptz := now() + make_interval(secs => p_lease_seconds);
  v_left integer := p_limit;
  v_due uuid[];
  v_claimed integer;
  v_urgent boolean;
begin
  if p_limit is null or p_limit not between 1 and 1000
    or p_lease_seconds is null or p_lease_seconds not between 1 and 3600
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A claim is for 1 to 1000 deliveries and 1 to 3600 seconds';
  end if;
  foreach v_urgent in array array[true, false] loop
    -- Until there are enough, or nothing is due: what is looked at and not claimed is due no more.
    while v_left > 0 loop
      v_due := array(
        select d.id
        from public.notification_deliveries as d
        where d.status in ('pending', 'sending') and d.is_urgent = v_urgent
          and d.next_attempt_at <= now()
        order by d.next_attempt_at
        limit v_left
        -- What another worker is claiming at this moment is not waited for.
        for update skip locked
      );
      exit when v_due = '{}';
      return query
        with candidate as (
          select
            d.id, f.detail, n.kind, n.title, n.body, k.urgency, k.is_discreet, p.locale,
            case d.channel
              when 'email' then jsonb_build_object('email', u.email)
              when 'sms' then jsonb_build_object('phone', '+' || ltrim(u.phone, '+'))
              else jsonb_strip_nulls(jsonb_build_object(
                'platform', t.platform, 'token', t.token, 'endpoint', t.endpoint,
                'p256dh', t.p256dh, 'auth', t.auth
              ))
            end as address,
            a.sha256,
            case
              when n.id is null then 'deleted'
              when not p.is_active or u.deleted_at is not null or u.banned_until > now()
                then 'account_closed'
              when k.urgency = 'normal' and n.read_at is not null then 'read'
              when not private.channel_is_on(
                  d.channel, f.enabled, k.channels, k.required,
                  u.email_confirmed_at is not null and u.email <> ''
                )
                then 'switched_off'
              when d.channel = 'push' and t.id is null or d.channel <> 'push' and a.sha256 is null
                then 'no_address'
              when t.retired_at is not null or r.user_id is not null then 'retired_address'
            end as against,
            case
              when k.urgency = 'normal'
                then private.quiet_until(now(), f.quiet_from, f.quiet_to, p.timezone)
            end as quiet_until,
            -- Of a row that no worker survives the others must not suffer for ever.
            d.status = 'sending' and d.attempts - d.failures >= 25 as is_poison
          from public.notification_deliveries as d
          join public.profiles as p on p.id = d.user_id
          join auth.users as u on u.id = d.user_id
          left join public.notifications as n on n.id = d.notification_id
          left join private.notification_kinds as k on k.kind = n.kind
          left join public.notification_preferences as f
            on f.user_id = d.user_id and f.kind = n.kind and f.channel = d.channel
          -- A device that is another account's by now is no address of this one.
          left join public.device_tokens as t
            on t.id = d.device_token_id and t.user_id = d.user_id
          cross join lateral (
            select sha256(convert_to(
              case
                when d.channel = 'email' and u.email_confirmed_at is not null
                  then nullif(lower(u.email), '')
                when d.channel = 'sms' and u.phone_confirmed_at is not null
                  then nullif(ltrim(u.phone, '+'), '')
              end,
              'UTF8'
            )) as sha256
          ) as a
          left join private.retired_addresses as r
            on r.user_id = d.user_id and r.channel = d.channel and r.address_sha256 = a.sha256
          where d.id = any (v_due)
        ),
        decided as (
          select
            c.*,
            case
              when c.against is not null then 'suppressed'
              when c.is_poison then 'dead'
              when c.quiet_until > now() then 'pending'
              else 'sending'
            end as next_status
          from candidate as c
        ),
        changed as (
          update public.notification_deliveries as d set
            status = c.next_status,
            attempts = d.attempts + (c.next_status = 'sending')::integer,
            claim_token = case c.next_status when 'sending' then v_token end,
            next_attempt_at = case c.next_status
              when 'sending' then v_lease_ends_at
              when 'pending' then c.quiet_until
              else d.next_attempt_at
            end,
            last_error = case c.next_status
              when 'suppressed' then c.against
              when 'dead' then 'worker_lost'
              else d.last_error
            end,
            address_sha256 = case c.next_status when 'sending' then c.sha256 else d.address_sha256 end
          from decided as c
          where d.id = c.id
          returning d.id, d.status, d.notification_id, d.channel, d.attempts
        )
        select
          d.id, v_token, d.notification_id, d.channel, d.attempts, c.kind,
          coalesce(c.urgency, 'normal'), w.title, w.body, c.address, d.id::text
        from changed as d
        join decided as c on c.id = d.id
        cross join lateral (
          select
            case when o.whole then c.title else m.title end as title,
            case when o.whole then c.body else m.body end as body
          from (
            select c.detail = 'full' or coalesce(c.is_discreet, false) as whole
          ) as o
          cross join private.notification_minimal_words as m
          where m.urgency = coalesce(c.urgency, 'normal')
            and m.locale in (c.locale, split_part(c.locale, '-', 1), 'en')
          order by m.locale = c.locale desc, m.locale <> 'en' desc
          limit 1
        ) as w
        where d.status = 'sending';
      get diagnostics v_claimed = row_count;
      v_left := v_left - v_claimed;
      perform private.tell_of_dead_deliveries(array(
        select d.id from public.notification_deliveries as d
        where d.id = any (v_due) and d.status = 'dead'
      ));
    end loop;
  end loop;
end;
$function$;

CREATE OR REPLACE FUNCTION private.connected_profile_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := auth.uid();
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select case when r.member_id = v_caller then r.patient_id else r.member_id end
    from public.care_relationships as r
    -- A patient sees who asks; who asks sees the patient once the answer was yes.
    where (
        r.member_id = v_caller and r.status = 'active'
        or r.patient_id = v_caller and r.status in ('requested', 'active')
      )
      and (r.ends_at is null or r.ends_at > now())
    union
    select case when s.shared_with_id = v_caller then s.patient_id else s.shared_with_id end
    from public.medical_record_shares as s
    where (s.shared_with_id = v_caller or s.patient_id = v_caller)
      and s.revoked_at is null
      and s.expires_at > now()
    union
    select o.user_id
    from private.chat_seats(v_claims) as s
    join public.conversation_participants as o on o.conversation_id = s.conversation_id
    where s.left_at is null and o.left_at is null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.conversation_clock (
  p_conversation public.conversations
)
  RETURNS timestamp WITH time zone
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  return greatest(clock_timestamp(), p_conversation.last_message_at, p_conversation.created_at);
end;
$function$;

CREATE OR REPLACE FUNCTION private.conversation_topic (
  p_id uuid
)
  RETURNS text
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.require_seat(p_id);
  return private.current_topic(p_id);
end;
$function$;

CREATE OR REPLACE FUNCTION private.current_conversation_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select s.conversation_id from private.chat_seats(v_claims) as s where s.left_at is null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.current_topic (
  p_conversation_id uuid
)
  RETURNS text
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
begin
  return (
    select private.topic_of(c.id, c.epoch)
    from public.conversations as c
    where c.id = p_conversation_id
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.delete_message (
  p_id bigint
)
  RETURNS public.chat_message
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_message public.messages := private.visible_message(p_id);
begin
  if v_message.sender_id is distinct from (select auth.uid()) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only its sender deletes a message';
  end if;
  -- Also by one who has left: what is one's own can be taken back.
  perform private.settle_conversation(v_message.conversation_id);
  update public.messages as m set content = null, metadata = '{}', deleted_at = now()
  where m.id = p_id and m.created_at = v_message.created_at and m.deleted_at is null;
  return private.as_chat_message(private.visible_message(p_id));
end;
$function$;

CREATE OR REPLACE FUNCTION private.delete_notification (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  perform 1 from public.notifications as n
    where n.id = p_id and n.user_id = v_caller and n.in_app
    for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No notification with this id';
  end if;
  -- All of them, in the order in which the worker locks those it finishes.
  perform 1 from public.notification_deliveries as d
    where d.notification_id = p_id
    order by d.id
    for update;
  -- Whoever has got into an account must not be able to stop what warns its owner: that is out of
  -- sight, and there until it is sent.
  update public.notifications as n set in_app = false
  where n.id = p_id and exists (
    select from public.notification_deliveries as d
    where d.notification_id = p_id and d.is_urgent and d.status in ('pending', 'sending')
  );
  if found then
    return;
  end if;
  update public.notification_deliveries as d set status = 'suppressed', last_error = 'deleted'
  where d.notification_id = p_id and d.status = 'pending';
  delete from public.notifications as n where n.id = p_id;
end;
$function$;

CREATE OR REPLACE FUNCTION private.delivery_backlog()
  RETURNS TABLE (
    pending            bigint,
    sending            bigint,
    due                bigint,
    oldest_due_seconds integer,
    next_attempt_at    timestamp with time zone,
    dead               bigint
  )
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select
    count(*) filter (where d.status = 'pending'),
    count(*) filter (where d.status = 'sending'),
    count(*) filter (where d.next_attempt_at <= now()),
    extract(
      epoch from now() - min(d.next_attempt_at) filter (where d.next_attempt_at <= now())
    )::integer,
    min(d.next_attempt_at),
    (select count(*) from public.notification_deliveries as x where x.status = 'dead')
  from public.notification_deliveries as d
  where d.status in ('pending', 'sending')
$function$;

CREATE OR REPLACE FUNCTION private.edit_message (
  p_id      bigint,
  p_content text
)
  RETURNS public.chat_message
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_message public.messages := private.visible_message(p_id);
  v_conversation constant public.conversations :=
    private.enter_conversation(v_message.conversation_id);
begin
  v_message := private.visible_message(p_id);
  if v_message.sender_id is distinct from (select auth.uid()) then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only its sender edits a message';
  end if;
  perform private.require_open_pair(v_conversation);
  if v_message.deleted_at is not null then
    raise exception using errcode = 'PT409', message = 'already_deleted',
      detail = 'The message is deleted';
  end if;
  if v_message.created_at <= now() - interval '15 minutes' then
    raise exception using errcode = 'PT409', message = 'edit_window_over',
      detail = 'A message is edited within 15 minutes';
  end if;
  perform private.require_content(p_content, v_message.kind, v_message.is_encrypted);
  update public.messages as m set content = p_content, edited_at = now()
  where m.id = p_id and m.created_at = v_message.created_at
  returning m.* into v_message;
  return private.as_chat_message(v_message);
end;
$function$;

CREATE OR REPLACE FUNCTION private.end_barred_sessions()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  delete from auth.sessions as s where s.user_id = new.id;
  perform private.move_conversations_of(new.id);
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.end_care (
  p_id     uuid,
  p_reason text
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_ended public.care_relationships;
begin
  update public.care_relationships as r set
    status = 'ended', ends_at = now(), ended_reason = nullif(btrim(p_reason), '')
  where r.id = p_id
    and v_caller in (r.patient_id, r.member_id)
    and (r.status = 'active' or r.status = 'requested' and r.requested_by = v_caller)
  returning r.* into v_ended;
  if not found then
    perform 1 from public.care_relationships as r
      where r.id = p_id and v_caller in (r.patient_id, r.member_id);
    if found then
      return private.refuse_care(
        'end_care', p_id, 'already_ended', 'The relationship is not active'
      );
    end if;
    return private.refuse_care('end_care', p_id, 'not_found', 'No relationship with this id');
  end if;
  update public.chart_sessions as c set closed_at = now()
  where c.patient_id = v_ended.patient_id and c.viewer_id = v_ended.member_id
    and c.closed_at is null and c.expires_at > now()
    and c.purpose = any (
      case v_ended.kind
        when 'doctor' then array['treatment', 'care_coordination'] else array['delegated']
      end
    );
  -- Of a request that is withdrawn nobody is told: nothing has ended.
  perform private.notify(
    case v_caller when v_ended.patient_id then v_ended.member_id else v_ended.patient_id end,
    'care_ended', jsonb_build_object('care_id', p_id)
  )
  where v_ended.starts_at is not null;
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A reason has at most 500 characters';
end;
$function$;

CREATE OR REPLACE FUNCTION private.end_care_conversations (
  p_member_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_id uuid;
begin
  for v_id in
    select p.conversation_id
    from public.conversation_participants as p
    where p.user_id = p_member_id
      and p.left_at is null
      and p.user_id <> p.patient_id
      and p.patient_id not in (select private.chat_patient_ids(p_member_id))
    order by 1
  loop
    perform private.end_participation(v_id, p_member_id);
  end loop;
end;
$function$;

CREATE OR REPLACE FUNCTION private.end_lapsed_care (
  p_conversation_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.end_participation(p.conversation_id, p.user_id)
  from public.conversation_participants as p
  where p.conversation_id = p_conversation_id
    and p.left_at is null
    and p.user_id <> p.patient_id
    and p.patient_id not in (select private.chat_patient_ids(p.user_id))
$function$;

CREATE OR REPLACE FUNCTION private.end_participation (
  p_conversation_id uuid,
  p_user_id         uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_conversation public.conversations := private.lock_conversation(p_conversation_id);
  v_left public.conversation_participants;
begin
  update public.conversation_participants as p set
    -- Not before joining, even when the clock was set back since: nobody is kept for that.
    left_at = greatest(private.conversation_clock(v_conversation), p.joined_at),
    left_seq = v_conversation.last_seq
  where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null
  returning p.* into v_left;
  if v_left.role = 'owner' then
    -- An admin before a member, and whoever has been there longest; with nobody left it is over.
    update public.conversation_participants as p set role = 'owner'
    where p.id = (
      select o.id
      from public.conversation_participants as o
      where o.conversation_id = p_conversation_id and o.left_at is null
        and v_conversation.kind = 'group'
      order by o.role, o.joined_at, o.id
      limit 1
    );
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.enter_conversation (
  p_conversation_id uuid
)
  RETURNS public.conversations
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_conversation public.conversations;
begin
  -- Asked before, so that nobody locks a conversation that is none of theirs; and after, since
  -- whoever held the lock may have removed the caller.
  perform private.require_seat(p_conversation_id);
  v_conversation := private.settle_conversation(p_conversation_id);
  perform private.require_seat(p_conversation_id);
  return v_conversation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.finish_deliveries (
  p_outcomes jsonb
)
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_done record;
begin
  if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array'
    or jsonb_array_length(p_outcomes) > 1000
    or exists (
      select 1 from jsonb_array_elements(p_outcomes) as o
      where coalesce(
        o ->> 'outcome' not in ('sent', 'retry', 'permanent', 'suppressed', 'deferred'), true
      )
    )
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Outcomes are an array of at most 1000, each sent, retry, permanent, suppressed or '
        'deferred';
  end if;
  perform private.lock_messages(m.provider, m.message_ids)
  from (
    select o.provider, array_agg(left(o.provider_message_id, 300)) as message_ids
    from jsonb_to_recordset(p_outcomes) as o (provider text, provider_message_id text)
    where o.provider_message_id is not null
    group by o.provider
    order by o.provider
  ) as m;

  with outcome as (
    select distinct on (o.id)
      o.id, o.claim_token, o.outcome, o.provider,
      left(nullif(o.provider_message_id, ''), 300) as provider_message_id,
      -- A code whatever the provider calls it; of words only what could be one is kept.
      left(regexp_replace(o.error_code, '[^A-Za-z0-9_.:-]+', '_', 'g'), 64) as error_code,
      -- A provider that wants more than a day gets a day.
      least(greatest(o.retry_after_seconds, 0), 86400) as retry_after_seconds,
      coalesce(o.retire_address, false) as retire_address
    from jsonb_to_recordset(p_outcomes) as o (
      id uuid, claim_token uuid, outcome text, provider text, provider_message_id text,
      error_code text, retry_after_seconds double precision, retire_address boolean
    )
    order by o.id
  ),
  held as materialized (
    -- What was claimed anew since, or is over, is not this worker's any more.
    select
      d.id, d.updated_at as claimed_at, o.outcome, o.provider, o.provider_message_id,
      nullif(o.error_code, '') as error_code, o.retry_after_seconds, o.retire_address,
      case
        when o.outcome = 'sent' then 'sent'
        when o.outcome = 'permanent' then 'failed'
        when o.outcome = 'suppressed' then 'suppressed'
        when o.outcome = 'retry' and d.failures >= 5 then 'dead'
        else 'pending'
      end as next_status
    from public.notification_deliveries as d
    join outcome as o on o.id = d.id and o.claim_token = d.claim_token
    where d.status = 'sending'
    order by d.id
    for update of d
  ),
  finished as (
    update public.notification_deliveries as d set
      status = h.next_status,
      claim_token = null,
      -- One that was not tried has not been in anybody's hand.
      attempts = d.attempts - (h.outcome = 'deferred')::integer,
      failures = d.failures + (h.outcome = 'retry')::integer,
      next_attempt_at = case
        when h.outcome = 'deferred'
          then now() + make_interval(secs => coalesce(h.retry_after_seconds, 0))
        when h.next_status = 'pending' then now() + make_interval(secs => greatest(
          private.retry_delay_seconds(d.failures, random()),
          coalesce(h.retry_after_seconds, 0)
        ))
        else d.next_attempt_at
      end,
      provider = coalesce(h.provider, d.provider),
      provider_message_id = case h.outcome when 'sent' then h.provider_message_id end,
      last_error = case h.outcome
        when 'sent' then null
        when 'deferred' then d.last_error
        else coalesce(h.error_code, 'unknown')
      end,
      sent_at = case h.outcome when 'sent' then now() end
    from held as h
    where d.id = h.id
    returning d.id, d.status, h.retire_address, h.claimed_at, d.last_error, d.provider_message_id
  )
  select
    count(*)::integer as count,
    array_agg(f.id) filter (where f.status = 'dead') as dead,
    array_agg(f.id) filter (where f.provider_message_id is not null) as with_message,
    array_agg(f.id) filter (where f.retire_address) as gone,
    array_agg(coalesce(f.last_error, 'unknown')) filter (where f.retire_address) as reasons,
    array_agg(f.claimed_at) filter (where f.retire_address) as since
  into v_done
  from finished as f;

  if v_done.gone is not null then
    perform private.retire_delivery_addresses(v_done.gone, v_done.reasons, v_done.since);
  end if;
  if v_done.with_message is not null then
    perform private.apply_receipts(v_done.with_message);
  end if;
  if v_done.dead is not null then
    perform private.tell_of_dead_deliveries(v_done.dead);
  end if;
  return v_done.count;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_block()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.move_conversation(c.id)
  from public.conversations as c
  where c.pair = array[
    least(new.blocker_id, new.blocked_id), greatest(new.blocker_id, new.blocked_id)
  ];
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_care()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.end_care_conversations(old.member_id);
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_joining()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.tell_user(
    new.user_id, 'conversation_joined', jsonb_build_object(
      'conversation_id', new.conversation_id,
      'topic', private.current_topic(new.conversation_id)
    )
  );
  perform private.write_audit(
    'add_participant', 'conversation', new.conversation_id, new.patient_id, null,
    jsonb_build_object('participant_id', new.user_id, 'role', new.role)
  );
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_leaving()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.move_conversation(old.conversation_id);
  perform private.broadcast(
    old.conversation_id, 'participant_left', jsonb_build_object(
      'conversation_id', old.conversation_id, 'user_id', old.user_id
    )
  );
  perform private.tell_user(
    old.user_id, 'conversation_left', jsonb_build_object('conversation_id', old.conversation_id)
  );
  perform private.write_audit(
    'remove_participant', 'conversation', old.conversation_id, old.patient_id, null,
    jsonb_build_object('participant_id', old.user_id)
  );
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_lock()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.move_conversations_of(new.id);
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_message()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_payload jsonb := to_jsonb(private.as_chat_message(new));
begin
  -- An edit must not tell an old message to those who have come since.
  if tg_op = 'UPDATE' and new.deleted_at is null and exists (
    select
    from public.conversation_participants as p
    where p.conversation_id = new.conversation_id
      and p.left_at is null
      and p.joined_seq >= new.seq
      and not exists (
        select
        from public.conversation_participants as b
        where b.conversation_id = p.conversation_id and b.user_id = p.user_id
          and b.joined_seq < new.seq and b.left_seq >= new.seq
      )
  ) then
    v_payload := v_payload - array['content', 'metadata'];
  end if;
  perform private.broadcast(
    new.conversation_id,
    case
      when tg_op = 'INSERT' then 'message'
      when new.deleted_at is not null then 'message_deleted'
      else 'message_edited'
    end,
    v_payload
  );
  if tg_op = 'INSERT' and new.kind <> 'system' then
    perform private.notify(
      o.user_id, 'new_message', jsonb_build_object('conversation_id', new.conversation_id)
    )
    from (
      select p.user_id
      from public.conversation_participants as p
      join public.profiles as a on a.id = p.user_id and a.is_active
      where p.conversation_id = new.conversation_id
        and p.left_at is null
        and p.user_id is distinct from new.sender_id
        and not exists (
          select from private.conversation_mutes as m
          where m.conversation_id = p.conversation_id and m.user_id = p.user_id
            and m.muted_until > now()
        )
      order by p.user_id
    ) as o;
  end if;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_reading()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.broadcast(
    new.conversation_id, 'read', jsonb_build_object(
      'conversation_id', new.conversation_id,
      'user_id', new.user_id,
      'message_id', new.last_read_message_id,
      'seq', new.last_read_seq
    )
  );
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.follow_verification()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.end_care_conversations(old.id);
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.hidden_profile_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  return query select b.blocker_id from public.blocks as b where b.blocked_id = auth.uid();
end;
$function$;

CREATE OR REPLACE FUNCTION private.is_attachment (
  p_kind         text,
  p_metadata     jsonb,
  p_is_encrypted boolean
)
  RETURNS boolean
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
begin
  return coalesce(
    jsonb_typeof(p_metadata) = 'object'
    and case
      when p_kind not in ('image', 'file') then p_metadata = '{}'
      when p_metadata ? 'record_id' then
        p_metadata - array['record_id', 'name'] = '{}'
        and p_metadata ->> 'record_id' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      else
        p_metadata - array['path', 'mime', 'size', 'name'] = '{}'
        and p_metadata ->> 'path'
          ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        and p_metadata ->> 'mime' ~ '^[a-z]+/[a-z0-9][a-z0-9.+-]{0,98}$'
        and (p_kind <> 'image' or p_is_encrypted or p_metadata ->> 'mime' like 'image/%')
        and jsonb_typeof(p_metadata -> 'size') = 'number'
        and p_metadata ->> 'size' ~ '^[1-9][0-9]{0,7}$'
        and (p_metadata ->> 'size')::bigint <= 26214400
    end
    and (
      not p_metadata ? 'name'
      or jsonb_typeof(p_metadata -> 'name') = 'string'
        and length(p_metadata ->> 'name') between 1 and 200
    ),
    false
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.leave_conversation (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_conversation public.conversations := private.enter_conversation(p_id);
  v_caller constant uuid := (select auth.uid());
begin
  if v_conversation.kind = 'direct' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'A direct conversation is not left: mute it, or block the other account';
  end if;
  if v_caller = v_conversation.patient_id then
    -- Without the patient there is nobody whose care it could be about.
    perform private.end_participation(p_id, p.user_id)
    from public.conversation_participants as p
    where p.conversation_id = p_id and p.left_at is null and p.user_id <> v_caller;
  end if;
  perform private.end_participation(p_id, v_caller);
end;
$function$;

CREATE OR REPLACE FUNCTION private.list_conversations (
  p_limit    integer,
  p_after    timestamp with time zone,
  p_after_id uuid
)
  RETURNS TABLE (
    id                   uuid,
    kind                 text,
    title                text,
    topic                text,
    patient_id           uuid,
    peer_id              uuid,
    role                 text,
    created_at           timestamp with time zone,
    active_at            timestamp with time zone,
    unread_count         bigint,
    last_read_message_id bigint,
    muted_until          timestamp with time zone,
    last_message         jsonb
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
#variable_conflict use_column
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query
    select
      c.id, c.kind, c.title, private.topic_of(c.id, c.epoch), c.patient_id,
      case when c.pair[1] = s.user_id then c.pair[2] else c.pair[1] end,
      s.role, c.created_at, coalesce(c.last_message_at, c.created_at),
      -- Numbers have no gaps, so that nothing is counted.
      greatest(0, c.last_seq - greatest(s.last_read_seq, s.last_sent_seq)),
      s.last_read_message_id,
      (
        select m.muted_until
        from private.conversation_mutes as m
        where m.conversation_id = c.id and m.user_id = s.user_id and m.muted_until > now()
      ),
      (
        select to_jsonb(private.as_chat_message(m))
        from public.messages as m
        where m.id = c.last_message_id and m.created_at = c.last_message_at
          and m.seq > s.joined_seq
      )
    from private.chat_seats(v_claims) as s
    join public.conversations as c on c.id = s.conversation_id
    where s.left_at is null
      and (coalesce(c.last_message_at, c.created_at), c.id) < (
        coalesce(p_after, 'infinity'),
        coalesce(p_after_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by coalesce(c.last_message_at, c.created_at) desc, c.id desc
    limit p_limit;
end;
$function$;

CREATE OR REPLACE FUNCTION private.list_dead_deliveries (
  p_limit integer,
  p_after jsonb
)
  RETURNS TABLE (
    id         uuid,
    user_id    uuid,
    channel    text,
    kind       text,
    attempts   integer,
    last_error text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone
  )
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
begin
  perform private.require_admin();
  return query
    select
      d.id, d.user_id, d.channel, n.kind, d.attempts, d.last_error, d.created_at, d.updated_at
    from public.notification_deliveries as d
    left join public.notifications as n on n.id = d.notification_id
    where d.status = 'dead'
      and (d.created_at, d.id) < (
        coalesce((p_after ->> 0)::timestamptz, 'infinity'),
        coalesce((p_after ->> 1)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by d.created_at desc, d.id desc
    limit p_limit;
end;
$function$;

CREATE OR REPLACE FUNCTION private.list_messages (
  p_conversation_id uuid,
  p_limit           integer,
  p_after           timestamp with time zone,
  p_after_seq       bigint
)
  RETURNS SETOF public.chat_message
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_stretch public.conversation_participants;
  v_wanted integer := p_limit;
  v_found integer;
  v_is_participant boolean := false;
begin
  for v_stretch in
    select s.*
    from private.chat_seats(v_claims) as s
    where s.conversation_id = p_conversation_id
    order by s.joined_seq desc, s.left_seq desc
  loop
    v_is_participant := true;
    exit when v_wanted = 0;
    return query
      select (private.as_chat_message(m)).*
      from public.messages as m
      where m.conversation_id = p_conversation_id
        and m.seq > v_stretch.joined_seq
        and m.seq <= coalesce(v_stretch.left_seq, 9223372036854775807)
        and m.seq < coalesce(p_after_seq, 9223372036854775807)
        -- Times have the order of numbers: whole months are left out.
        and m.created_at >= v_stretch.joined_at
        and m.created_at <= least(p_after, v_stretch.left_at, 'infinity')
      order by m.seq desc
      limit v_wanted;
    get diagnostics v_found = row_count;
    v_wanted := v_wanted - v_found;
  end loop;
  if not v_is_participant then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No conversation with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.lock_conversation (
  p_conversation_id uuid
)
  RETURNS public.conversations
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_conversation public.conversations;
begin
  -- Whoever writes, joins, leaves or moves does so after the others, in one order for all.
  select c.* into v_conversation
  from public.conversations as c
  where c.id = p_conversation_id
  for no key update;
  return v_conversation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.lock_messages (
  p_provider    text,
  p_message_ids text[]
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select pg_advisory_xact_lock(m.key)
  from (
    select distinct hashtextextended(p_provider || ' ' || i.id, 0) as key
    from unnest(p_message_ids) as i (id)
    order by 1
  ) as m
$function$;

CREATE OR REPLACE FUNCTION private.mark_all_notifications_read()
  RETURNS integer
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_count integer;
begin
  update public.notifications as n set read_at = now()
  where n.user_id = v_caller and n.in_app and n.read_at is null;
  get diagnostics v_count = row_count;
  return v_count;
end;
$function$;

CREATE OR REPLACE FUNCTION private.mark_conversation_read (
  p_id         uuid,
  p_message_id bigint
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_message constant public.messages := private.visible_message(p_message_id);
  v_seat public.conversation_participants;
begin
  v_seat := private.require_seat(p_id);
  -- The topic on which this is told does not change meanwhile.
  if v_seat.patient_id is null then
    perform 1 from public.conversations as c where c.id = p_id for share;
  else
    perform private.settle_conversation(p_id);
  end if;
  if v_message.conversation_id <> p_id then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No message with this id';
  end if;
  -- Where the two cannot talk a mark stays where it is: of an account that is locked it does, too.
  update public.conversation_participants as p set
    last_read_message_id = v_message.id,
    last_read_seq = v_message.seq
  where p.id = v_seat.id and p.left_at is null and p.last_read_seq < v_message.seq
    and not exists (
      select from public.conversations as c
      where c.id = p_id and c.pair is not null and not private.pair_is_open(c.pair)
    );
  update public.notifications as n set read_at = now()
  where n.user_id = v_seat.user_id and n.kind = 'new_message' and n.collapse_key = p_id::text
    and n.read_at is null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.mark_notification_read (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.notifications as n set read_at = now()
  where n.id = p_id and n.user_id = v_caller and n.in_app and n.read_at is null;
  if found then
    return;
  end if;
  perform 1 from public.notifications as n where n.id = p_id and n.user_id = v_caller and n.in_app;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No notification with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.move_conversation (
  p_conversation_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_moved public.conversations;
begin
  update public.conversations as c set epoch = c.epoch + 1
  where c.id = p_conversation_id
  returning c.* into v_moved;
  perform realtime.send(
    jsonb_build_object(
      'conversation_id', v_moved.id,
      'topic', private.topic_of(v_moved.id, v_moved.epoch),
      'seq', v_moved.last_seq
    ),
    'moved', private.topic_of(v_moved.id, v_moved.epoch - 1), true
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.move_conversations_of (
  p_user_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_id uuid;
begin
  for v_id in
    select p.conversation_id
    from public.conversation_participants as p
    where p.user_id = p_user_id and p.left_at is null
    order by 1
  loop
    perform private.move_conversation(v_id);
  end loop;
end;
$function$;

CREATE OR REPLACE FUNCTION private.mute_conversation (
  p_id    uuid,
  p_until timestamp with time zone
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_seat constant public.conversation_participants := private.require_seat(p_id);
begin
  if p_until is null then
    delete from private.conversation_mutes as m
    where m.conversation_id = p_id and m.user_id = v_seat.user_id;
  else
    insert into private.conversation_mutes (conversation_id, user_id, muted_until)
    values (p_id, v_seat.user_id, p_until)
    on conflict (user_id, conversation_id) do update set muted_until = excluded.muted_until;
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify (
  p_user_id uuid,
  p_kind    text,
  p_data    jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_kind record;
  v_wanted text[];
  v_id uuid;
begin
  select
    k.kind, k.urgency, k.channels, k.required, p_data ->> k.collapse_key as collapse_key,
    t.title, t.body, p.timezone,
    u.email_confirmed_at is not null and u.email <> '' as has_email,
    u.phone_confirmed_at is not null and u.phone <> '' as has_phone
  into v_kind
  from public.profiles as p
  join auth.users as u on u.id = p.id
  join private.notification_kinds as k on k.kind = p_kind
  join private.notification_templates as t
    on t.kind = k.kind and t.locale in (p.locale, split_part(p.locale, '-', 1), 'en')
  where p.id = p_user_id
  -- hi-IN before hi before en.
  order by t.locale = p.locale desc, t.locale <> 'en' desc
  limit 1;
  if not found then
    raise exception 'Cannot notify: no such account, or no words for the kind %', p_kind;
  end if;

  v_wanted := array(
    select c.channel
    from unnest(array['in_app', 'email', 'sms', 'push']) as c (channel)
    left join public.notification_preferences as f
      on f.user_id = p_user_id and f.kind = p_kind and f.channel = c.channel
    where private.channel_is_on(
      c.channel, f.enabled, v_kind.channels, v_kind.required, v_kind.has_email
    )
  );
  if v_wanted = '{}' then
    return;
  end if;

  insert into public.notifications (user_id, kind, title, body, data, in_app, collapse_key)
  values (
    p_user_id, p_kind, v_kind.title, v_kind.body, p_data, 'in_app' = any (v_wanted),
    v_kind.collapse_key
  )
  -- One that is unread already says it, and has had its deliveries.
  on conflict (user_id, kind, collapse_key)
    where read_at is null and in_app and collapse_key is not null
    do nothing
  returning id into v_id;
  if v_id is null then
    return;
  end if;

  if v_wanted && array['email', 'sms', 'push'] then
    insert into public.notification_deliveries (
      notification_id, user_id, channel, device_token_id, is_urgent, next_attempt_at
    )
    select
      v_id, p_user_id, a.channel, a.device_token_id, v_kind.urgency <> 'normal',
      coalesce(
        case
          when v_kind.urgency = 'normal'
            then private.quiet_until(now(), f.quiet_from, f.quiet_to, v_kind.timezone)
        end,
        now()
      )
    from (
      select 'email' as channel, null::uuid as device_token_id where v_kind.has_email
      union all
      select 'sms', null where v_kind.has_phone
      union all
      select 'push', d.id
      from public.device_tokens as d
      where d.user_id = p_user_id and d.retired_at is null
    ) as a
    left join public.notification_preferences as f
      on f.user_id = p_user_id and f.kind = p_kind and f.channel = a.channel
    where a.channel = any (v_wanted);
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify_administrators (
  p_kind text,
  p_data jsonb
)
  RETURNS void
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select private.notify(p.id, p_kind, p_data)
  from public.profiles as p
  where p.role = 'admin' and p.is_active
  -- In one order for all: of a kind of which one unread is enough the writers wait for each other.
  order by p.id
$function$;

CREATE OR REPLACE FUNCTION private.notify_factor_change()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  -- Factors also go with their account, which is not there any more by then.
  perform private.notify(p.id, 'mfa_changed', jsonb_build_object('factor_id', old.id))
  from auth.users as u
  join public.profiles as p on p.id = u.id
  where u.id = old.user_id;
  return null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.notify_sign_in()
  RETURNS TRIGGER
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION private.open_chart (
  p_patient_id uuid,
  p_purpose    text
)
  RETURNS public.opened_chart
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_kind text;
  v_code text;
  v_details text;
  v_chart public.chart_sessions;
begin
  v_kind := case
    when p_purpose in ('treatment', 'care_coordination') then 'doctor'
    when p_purpose = 'delegated' then 'caregiver'
  end;
  if v_kind is null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot open the chart as p_purpose must be treatment, care_coordination or delegated';
  end if;
  -- What depends on the caller alone comes first: it tells nothing about the patient.
  if v_kind = 'doctor' and not private.is_verified_doctor() then
    v_code := 'not_verified';
    v_details := 'The clinician is not verified';
  elsif v_kind = 'doctor' and (select auth.jwt()) ->> 'aal' is distinct from 'aal2' then
    v_code := 'mfa_required';
    v_details := 'Opening a chart needs multi-factor sign-in';
  else
    -- The lock on the relationship keeps it from ending between this check and the new chart.
    perform 1 from public.care_relationships as r
      where r.patient_id = p_patient_id and r.member_id = v_caller and r.kind = v_kind
        and private.care_is_active(r)
      for update;
    if not found then
      v_code := 'not_found';
      v_details := 'No patient in active care with this id';
    end if;
  end if;
  if v_code is not null then
    return jsonb_populate_record(
      null::public.opened_chart,
      private.refuse(
        'open_chart', 'chart_session', null, p_patient_id, v_code, v_details,
        p_purpose => p_purpose
      )
    );
  end if;
  -- Opening again closes the earlier opening, so that each has its own end.
  update public.chart_sessions as c set closed_at = now()
  where c.patient_id = p_patient_id and c.viewer_id = v_caller
    and c.closed_at is null and c.expires_at > now() and c.purpose <> 'emergency';
  insert into public.chart_sessions (patient_id, viewer_id, purpose, expires_at)
  values (p_patient_id, v_caller, p_purpose, now() + interval '60 minutes')
  returning * into v_chart;
  perform private.write_audit(
    'open_chart', 'chart_session', v_chart.id, p_patient_id, p_purpose
  );
  perform private.notify(
    p_patient_id, 'chart_opened',
    jsonb_build_object('chart_id', v_chart.id, 'viewer_id', v_caller)
  );
  return row(v_chart.id, v_chart.expires_at, null, null, null, null)::public.opened_chart;
end;
$function$;

CREATE OR REPLACE FUNCTION private.pair_is_open (
  p_pair uuid[]
)
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
begin
  return (select count(*) = 2 from public.profiles as p where p.id = any (p_pair) and p.is_active)
    and not exists (
      select from public.blocks as b
      where b.blocker_id = any (p_pair) and b.blocked_id = any (p_pair)
    );
end;
$function$;

CREATE OR REPLACE FUNCTION private.quiet_until (
  p_at       timestamp with time zone,
  p_from     time without time zone,
  p_to       time without time zone,
  p_timezone text
)
  RETURNS timestamp WITH time zone
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  -- By the clock on the wall, not by adding hours: a night is 7 or 9 hours long twice a year.
  select case
    when p_from < p_to and l.clock >= p_from and l.clock < p_to
      then (l.day + p_to) at time zone p_timezone
    when p_from > p_to and l.clock >= p_from
      then (l.day + 1 + p_to) at time zone p_timezone
    when p_from > p_to and l.clock < p_to
      then (l.day + p_to) at time zone p_timezone
  end
  from (
    select (p_at at time zone p_timezone)::date as day, (p_at at time zone p_timezone)::time as clock
  ) as l
$function$;

CREATE OR REPLACE FUNCTION private.reachable_ids (
  p_user_ids uuid[]
)
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := auth.uid();
begin
  return query
    select v.id
    from private.visible_profiles as v
    where v.id = any (p_user_ids)
      and v.id <> v_caller
      and private.is_permanent(v.id)
      and not exists (
        select from public.blocks as b where b.blocker_id = v_caller and b.blocked_id = v.id
      );
end;
$function$;

CREATE OR REPLACE FUNCTION private.readable_conversation_ids()
  RETURNS SETOF uuid
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
begin
  return query select distinct s.conversation_id from private.chat_seats(v_claims) as s;
end;
$function$;

CREATE OR REPLACE FUNCTION private.record_receipt (
  p_provider            text,
  p_event_id            text,
  p_provider_message_id text,
  p_status              text,
  p_error_code          text
)
  RETURNS boolean
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.lock_messages(p_provider, array[p_provider_message_id]);
  insert into private.delivery_receipts (
    provider, event_id, provider_message_id, status, error_code
  )
  values (
    p_provider, p_event_id, p_provider_message_id, p_status,
    nullif(left(regexp_replace(p_error_code, '[^A-Za-z0-9_.:-]+', '_', 'g'), 64), '')
  )
  on conflict (provider, event_id) do nothing;
  if not found then
    return false;
  end if;
  perform private.apply_receipts(array(
    select d.id from public.notification_deliveries as d
    where d.provider = p_provider and d.provider_message_id = p_provider_message_id
    order by d.id
    for update
  ));
  return true;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A receipt has a provider, ids of at most 300 characters, and a status that is known';
end;
$function$;

CREATE OR REPLACE FUNCTION private.register_device_token (
  p_platform text,
  p_token    text,
  p_p256dh   text,
  p_auth     text
)
  RETURNS uuid
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_id uuid;
begin
  if p_platform = 'webpush' then
    insert into public.device_tokens as d (user_id, platform, endpoint, p256dh, auth)
    values (v_caller, p_platform, p_token, p_p256dh, p_auth)
    on conflict (endpoint) do update set
      user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth,
      last_seen_at = now(), retired_at = null, retired_reason = null
    returning d.id into v_id;
  else
    insert into public.device_tokens as d (user_id, platform, token, p256dh, auth)
    values (v_caller, p_platform, p_token, p_p256dh, p_auth)
    -- Whoever uses the device now gets its pushes, and who used it before gets none there.
    on conflict (token) do update set
      user_id = excluded.user_id, last_seen_at = now(), retired_at = null, retired_reason = null
    returning d.id into v_id;
  end if;
  -- One notification is one push a device: their number has an end.
  update public.device_tokens as d set retired_at = now(), retired_reason = 'replaced'
  where d.id in (
    select o.id from public.device_tokens as o
    where o.user_id = v_caller and o.retired_at is null and o.id <> v_id
    order by o.last_seen_at desc, o.id
    offset 19
  );
  return v_id;
exception
  when check_violation or not_null_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A device is fcm with a token, or webpush with the https address of its endpoint, '
        || 'p256dh and auth';
end;
$function$;

CREATE OR REPLACE FUNCTION private.remove_device_token (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  update public.device_tokens as d set
    retired_at = coalesce(d.retired_at, now()),
    retired_reason = coalesce(d.retired_reason, 'removed')
  where d.id = p_id and d.user_id = v_caller;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No device with this id';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.remove_participant (
  p_conversation_id uuid,
  p_user_id         uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_theirs text;
begin
  perform private.require_manager(p_conversation_id);
  if p_user_id = (select auth.uid()) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot remove oneself: call leave_conversation';
  end if;
  select p.role into v_theirs
  from public.conversation_participants as p
  where p.conversation_id = p_conversation_id and p.user_id = p_user_id and p.left_at is null;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No participant with this id';
  end if;
  if v_theirs <> 'member' and (private.require_seat(p_conversation_id)).role <> 'owner' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only the owner removes an admin';
  end if;
  perform private.end_participation(p_conversation_id, p_user_id);
end;
$function$;

CREATE OR REPLACE FUNCTION private.request_care (
  p_member_or_patient_id uuid,
  p_kind                 text,
  p_scopes               text[]
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_caller_role constant text := (select p.role from public.profiles as p where p.id = v_caller);
  v_scopes constant text[] := case
    when p_kind = 'doctor' then '{}'
    else array(select distinct s from unnest(p_scopes) as s order by s)
  end;
  -- A doctor or caregiver asks the patient; a patient appoints one.
  v_is_asking constant boolean := v_caller_role = p_kind;
  v_patient_id constant uuid := case when v_is_asking then p_member_or_patient_id else v_caller end;
  v_code text;
  v_details text;
  v_id uuid;
begin
  if p_kind is null or p_kind not in ('doctor', 'caregiver') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot request care as p_kind must be doctor or caregiver';
  end if;
  if p_member_or_patient_id = v_caller then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot request care of oneself';
  end if;

  -- Neither account closes between the checks below and the new row.
  perform 1 from public.profiles as p
    where p.id in (v_caller, p_member_or_patient_id) and p.is_active
    order by p.id
    for share;

  if not private.is_permanent(v_caller) then
    v_code := 'forbidden';
    v_details := 'Anonymous accounts may not do this: add an address first';
  elsif v_is_asking and p_kind = 'doctor' and not private.is_verified_doctor() then
    v_code := 'not_verified';
    v_details := 'The clinician is not verified';
  elsif v_is_asking then
    perform 1 from public.patients as t
      join public.profiles as p on p.id = t.id
      where t.id = p_member_or_patient_id and p.is_active and private.is_permanent(p.id);
    if not found then
      v_code := 'not_found';
      v_details := 'No patient with this id';
    end if;
  elsif p_kind = 'doctor' and v_caller_role <> 'patient' then
    v_code := 'not_verified';
    v_details := 'Only a verified clinician may ask for care as a doctor';
  elsif private.clinical_caller() is null then
    v_code := 'mfa_required';
    v_details := 'Letting somebody see clinical data needs multi-factor sign-in';
  elsif not exists (select 1 from public.patients as t where t.id = v_caller) then
    v_code := 'forbidden';
    v_details := 'The account is no patient''s';
  else
    perform 1 from public.profiles as p
      left join public.doctors as d on d.id = p.id
      where p.id = p_member_or_patient_id and p.is_active and private.is_permanent(p.id)
        and p.role = p_kind
        and (p_kind <> 'doctor' or d.verified_at is not null);
    if not found then
      -- Whoever waits to be verified means to ask as a doctor, and learns why that fails.
      if p_kind = 'doctor' and exists (select 1 from public.doctors as d where d.id = v_caller) then
        v_code := 'not_verified';
        v_details := 'The clinician is not verified';
      else
        v_code := 'not_found';
        v_details := 'No such doctor or caregiver';
      end if;
    end if;
  end if;
  if v_code is not null then
    return private.refuse(
      'request_care', 'care_relationship', null, v_patient_id, v_code, v_details
    );
  end if;
  insert into public.care_relationships (
    patient_id, member_id, kind, scopes, status, requested_by, starts_at
  )
  values (
    v_patient_id,
    case when v_is_asking then v_caller else p_member_or_patient_id end,
    p_kind, v_scopes,
    -- The patient's asking is consenting, so it is active at once; the member may end it.
    case when v_is_asking then 'requested' else 'active' end,
    v_caller,
    case when not v_is_asking then now() end
  )
  returning id into v_id;
  perform private.notify(
    p_member_or_patient_id,
    case when v_is_asking then 'care_requested' else 'care_accepted' end,
    jsonb_build_object('care_id', v_id)
  );
  return to_jsonb(v_id);
exception
  when unique_violation then
    return private.refuse(
      'request_care', 'care_relationship', null, v_patient_id, 'already_requested',
      'There is an open relationship or request of this kind already'
    );
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_attachment (
  p_conversation_id uuid,
  p_metadata        jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
begin
  if p_metadata ? 'record_id' then
    -- Naming a record shows it to nobody: each reads it by their own right.
    perform 1
    from private.record_access((p_metadata ->> 'record_id')::uuid) as a
    where a.ground is not null;
  elsif p_metadata ? 'path' then
    perform 1
    from storage.objects as o
    where o.bucket_id = 'chat-attachments'
      and o.name = p_metadata ->> 'path'
      and o.owner_id = (select auth.uid())::text
      and split_part(o.name, '/', 1) = p_conversation_id::text;
  else
    return;
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such record, or no such file of the caller in the conversation''s folder';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_content (
  p_content      text,
  p_kind         text,
  p_is_encrypted boolean
)
  RETURNS void
  LANGUAGE plpgsql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
begin
  -- Of ciphertext nothing is known but how long it is.
  if length(p_content) > 8000
    or p_kind = 'text' and p_content is null
    or p_content = ''
    or not p_is_encrypted and p_content !~ '\S'
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = format(
        'Cannot write a message of %s characters: it has 1 to 8000, not all of them blank',
        coalesce(length(p_content), 0)
      );
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_manager (
  p_conversation_id uuid
)
  RETURNS public.conversations
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_conversation public.conversations := private.enter_conversation(p_conversation_id);
  v_seat constant public.conversation_participants := private.require_seat(p_conversation_id);
begin
  if v_conversation.kind = 'direct' or v_seat.role = 'member' then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Only an owner or admin of a group, or the patient, changes who takes part';
  end if;
  return v_conversation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_open_pair (
  p_conversation public.conversations
)
  RETURNS void
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
begin
  if p_conversation.pair is not null and not private.pair_is_open(p_conversation.pair) then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such account to talk to';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.require_seat (
  p_conversation_id uuid
)
  RETURNS public.conversation_participants
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_seat public.conversation_participants;
begin
  perform private.require_live_session();
  select s.* into v_seat
  from private.chat_seats(v_claims) as s
  where s.conversation_id = p_conversation_id and s.left_at is null;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No conversation with this id';
  end if;
  return v_seat;
end;
$function$;

CREATE OR REPLACE FUNCTION private.respond_care_request (
  p_id     uuid,
  p_accept boolean,
  p_scopes text[]
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
begin
  if p_accept is null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot respond as p_accept must be true or false';
  end if;
  if p_accept and private.clinical_caller() is null then
    return private.refuse_care(
      'answer_care', p_id, 'mfa_required',
      'Letting somebody see clinical data needs multi-factor sign-in'
    );
  end if;
  -- The row lock lets exactly one of several answers through: the others find no request.
  update public.care_relationships as r set
    status = case when p_accept then 'active' else 'declined' end,
    starts_at = case when p_accept then now() end,
    ends_at = case when not p_accept then now() end,
    scopes = case
      when r.kind = 'caregiver' and p_scopes is not null
        then array(select distinct s from unnest(p_scopes) as s order by s)
      else r.scopes
    end
  where r.id = p_id and r.patient_id = v_caller and r.status = 'requested';
  if not found then
    perform 1 from public.care_relationships as r where r.id = p_id and r.patient_id = v_caller;
    if found then
      return private.refuse_care(
        'answer_care', p_id, 'already_answered', 'The request has been answered or withdrawn'
      );
    end if;
    return private.refuse_care('answer_care', p_id, 'not_found', 'No request with this id');
  end if;
  perform private.notify(r.member_id, 'care_accepted', jsonb_build_object('care_id', p_id))
  from public.care_relationships as r
  where r.id = p_id and p_accept;
  return null;
exception
  when check_violation then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Scopes are one or more of records, tracking, medications, appointments, messages, '
        || 'sensitive';
end;
$function$;

CREATE OR REPLACE FUNCTION private.retire_delivery_addresses (
  p_ids     uuid[],
  p_reasons text[],
  p_since   timestamp with time zone[]
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  with gone as (
    select d.user_id, d.channel, d.address_sha256, d.device_token_id, g.reason, g.since
    from unnest(p_ids, p_reasons, p_since) as g (id, reason, since)
    join public.notification_deliveries as d on d.id = g.id
  ),
  devices as (
    -- One that was registered again since then is in use.
    update public.device_tokens as t set retired_at = now(), retired_reason = 'unregistered'
    from gone as g
    where t.id = g.device_token_id and t.retired_at is null and t.last_seen_at <= g.since
  )
  insert into private.retired_addresses (user_id, channel, address_sha256, reason)
  select distinct on (g.user_id, g.channel, g.address_sha256)
    g.user_id, g.channel, g.address_sha256, g.reason
  from gone as g
  where g.address_sha256 is not null
  order by g.user_id, g.channel, g.address_sha256
  on conflict (user_id, channel, address_sha256) do nothing
$function$;

CREATE OR REPLACE FUNCTION private.retry_delay_seconds (
  p_failures integer,
  p_random   double precision
)
  RETURNS double precision
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select (array[12, 150, 1800, 21600, 86400])[least(p_failures, 4) + 1] * (0.8 + 0.4 * p_random)
$function$;

CREATE OR REPLACE FUNCTION private.retry_delivery (
  p_id uuid
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  perform private.require_admin();
  update public.notification_deliveries as d set
    status = 'pending', attempts = 0, failures = 0, next_attempt_at = now()
  where d.id = p_id and d.status = 'dead';
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No delivery with this id was given up';
  end if;
  perform private.write_audit('retry_delivery', 'notification_delivery', p_id, null);
end;
$function$;

CREATE OR REPLACE FUNCTION private.send_message (
  p_conversation_id uuid,
  p_content         text,
  p_client_id       text,
  p_kind            text,
  p_metadata        jsonb,
  p_reply_to_id     bigint,
  p_is_encrypted    boolean
)
  RETURNS public.chat_message
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_metadata constant jsonb := coalesce(p_metadata, '{}');
  v_is_encrypted constant boolean := coalesce(p_is_encrypted, false);
  v_digest constant bytea := sha256(convert_to(
    jsonb_build_array(
      p_conversation_id, p_kind, p_content, v_metadata, v_is_encrypted, p_reply_to_id
    )::text, 'UTF8'
  ));
  v_caller constant uuid := private.require_live_session();
  v_conversation public.conversations;
  v_seat public.conversation_participants;
  v_message public.messages;
  v_sent public.chat_message;
begin
  if length(p_client_id) not between 1 and 100 or p_client_id is null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot send a message as p_client_id must have 1 to 100 characters';
  end if;
  if p_kind is null or p_kind not in ('text', 'image', 'file') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot send a message as p_kind must be text, image or file';
  end if;
  perform private.require_content(p_content, p_kind, v_is_encrypted);
  if not private.is_attachment(p_kind, v_metadata, v_is_encrypted) then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'p_metadata of an image or file is {record_id, name?} or {path, mime, size, name?}, '
        || 'else {}';
  end if;

  -- From here on one after the other: number, id and commit come in the same order.
  v_conversation := private.enter_conversation(p_conversation_id);
  v_seat := private.require_seat(p_conversation_id);
  perform private.require_open_pair(v_conversation);
  v_sent := private.sent_before(p_client_id, v_digest);
  if v_sent.id is not null then
    return v_sent;
  end if;
  perform private.require_attachment(p_conversation_id, v_metadata);
  if p_reply_to_id is not null
    and (private.visible_message(p_reply_to_id)).conversation_id <> p_conversation_id
  then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No message with this id';
  end if;

  v_message.id := nextval('public.messages_id_seq');
  v_message.created_at := private.conversation_clock(v_conversation);
  -- The same id may be on its way to another conversation, whose lock is another.
  insert into private.sent_messages (sender_id, client_id, message_id, message_created_at, digest)
  values (v_caller, p_client_id, v_message.id, v_message.created_at, v_digest)
  on conflict (sender_id, client_id) do nothing;
  if not found then
    return private.sent_before(p_client_id, v_digest);
  end if;
  update public.conversations as c set
    last_seq = v_conversation.last_seq + 1,
    last_message_id = v_message.id,
    last_message_at = v_message.created_at
  where c.id = p_conversation_id;
  update public.conversation_participants as p set last_sent_seq = v_conversation.last_seq + 1
  where p.id = v_seat.id;
  insert into public.messages (
    id, conversation_id, seq, sender_id, client_id, kind, content, metadata, is_encrypted,
    reply_to_id, created_at
  )
  overriding system value
  values (
    v_message.id, p_conversation_id, v_conversation.last_seq + 1, v_caller, p_client_id, p_kind,
    p_content, v_metadata, v_is_encrypted, p_reply_to_id, v_message.created_at
  )
  returning * into v_message;
  return private.as_chat_message(v_message);
end;
$function$;

CREATE OR REPLACE FUNCTION private.sent_before (
  p_client_id text,
  p_digest    bytea
)
  RETURNS public.chat_message
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_sent private.sent_messages;
begin
  select s.* into v_sent
  from private.sent_messages as s
  where s.sender_id = (select auth.uid()) and s.client_id = p_client_id;
  if not found then
    return null;
  end if;
  if v_sent.digest <> p_digest then
    raise exception using errcode = 'PT409', message = 'client_id_reused',
      detail = 'Another message was sent under this p_client_id';
  end if;
  return (
    select private.as_chat_message(m)
    from public.messages as m
    where m.id = v_sent.message_id and m.created_at = v_sent.message_created_at
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.settle_conversation (
  p_conversation_id uuid
)
  RETURNS public.conversations
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
declare
  v_conversation public.conversations := private.lock_conversation(p_conversation_id);
begin
  if v_conversation.kind = 'care' then
    perform private.end_lapsed_care(p_conversation_id);
  end if;
  return v_conversation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.share_medical_record (
  p_record_id      uuid,
  p_shared_with_id uuid,
  p_access_level   text,
  p_expires_at     timestamp with time zone
)
  RETURNS jsonb
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_live_session();
  v_id uuid;
begin
  -- The lock makes shares of one record wait for each other here: in the exclusion constraint two of
  -- them would wait for one another, a deadlock.
  perform 1 from public.medical_records as r
    where r.id = p_record_id and r.deleted_at is null
      and (
        select d.allowed
        from private.access_decision(private.clinical_caller(), r.patient_id, r.id, 'share') as d
      )
    for no key update;
  if not found then
    return private.refuse_record('share_record', p_record_id);
  end if;
  if p_shared_with_id = v_caller then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot share a record with oneself';
  end if;
  -- Neither account closes between this check and the new share.
  perform 1 from public.profiles as p
    where p.id in (v_caller, p_shared_with_id) and p.is_active
    order by p.id
    for share;
  perform 1 from public.profiles as p
    where p.id = p_shared_with_id and p.is_active and private.is_permanent(p.id);
  if not found then
    return private.refuse(
      'share_record', 'medical_record', p_record_id, v_caller, 'not_found',
      'No account with this id'
    );
  end if;
  insert into public.medical_record_shares (
    record_id, patient_id, shared_with_id, shared_by_id, access_level, expires_at
  )
  values (p_record_id, v_caller, p_shared_with_id, v_caller, p_access_level, p_expires_at)
  returning id into v_id;
  perform private.notify(
    p_shared_with_id, 'record_shared',
    jsonb_build_object('share_id', v_id, 'record_id', p_record_id)
  );
  return to_jsonb(v_id);
exception
  when exclusion_violation then
    return private.refuse(
      'share_record', 'medical_record', p_record_id, v_caller, 'already_shared',
      'The record is shared with this account already: revoke that share first'
    );
  when check_violation or not_null_violation or data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A share has the level view or download and ends in the future, within a year';
end;
$function$;

CREATE OR REPLACE FUNCTION private.start_conversation (
  p_participant_ids uuid[],
  p_kind            text,
  p_title           text
)
  RETURNS public.started_conversation
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_caller constant uuid := private.require_permanent_account();
  v_others constant uuid[] := array(
    select distinct u from unnest(p_participant_ids) as u where u <> v_caller order by u
  );
  v_pair constant uuid[] := case
    when p_kind = 'direct' then array(select u from unnest(v_others || v_caller) as u order by u)
  end;
  v_title constant text := nullif(btrim(p_title), '');
  v_patient uuid;
  v_reachable bigint;
  v_new public.conversations;
begin
  if p_kind is null or p_kind not in ('direct', 'group', 'care') then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot start a conversation as p_kind must be direct, group or care';
  end if;
  if array_position(p_participant_ids, null) is not null
    or cardinality(v_others) not between 1 and (case p_kind when 'direct' then 1 else 255 end)
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A conversation has one other participant if direct, else 1 to 255';
  end if;
  if length(v_title) > 120 or p_kind = 'direct' and v_title is not null then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A title has at most 120 characters, and a direct conversation has none';
  end if;

  if p_kind = 'care' then
    -- The care that it stands on does not end between this check and the new rows.
    perform 1 from public.care_relationships as r
      where r.status = 'active'
        and r.patient_id = any (v_others || v_caller) and r.member_id = any (v_others || v_caller)
      order by r.id
      for share;
    v_patient := private.care_patient(v_caller || v_others);
  else
    select count(*) into v_reachable from private.reachable_ids(v_others);
  end if;
  if v_patient is null and v_reachable is distinct from cardinality(v_others) then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such account to talk to';
  end if;
  if p_kind = 'care' and private.clinical_caller() is null then
    raise exception using errcode = 'PT403', message = 'mfa_required',
      detail = 'A conversation about care needs multi-factor sign-in';
  end if;

  -- Of many at once for one pair the first makes it; the others wait for it here, and find it.
  insert into public.conversations (kind, title, patient_id, pair, created_by)
  values (p_kind, v_title, v_patient, v_pair, v_caller)
  on conflict (pair) do nothing
  returning * into v_new;
  if not found then
    select c.* into v_new from public.conversations as c where c.pair = v_pair;
  else
    insert into public.conversation_participants (conversation_id, user_id, patient_id, role)
    select
      v_new.id, u.id, v_patient,
      case
        when p_kind = 'direct' then 'member'
        when u.id = coalesce(v_patient, v_caller) then 'owner'
        else 'member'
      end
    from unnest(v_caller || v_others) as u (id);
  end if;
  return row(
    v_new.id, v_new.kind, v_new.title, private.topic_of(v_new.id, v_new.epoch), v_new.created_at
  )::public.started_conversation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.tell_of_dead_deliveries (
  p_ids uuid[]
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.notify_administrators(
    'delivery_dead', jsonb_build_object('delivery_id', d.id, 'channel', d.channel)
  )
  from public.notification_deliveries as d
  left join public.notifications as n on n.id = d.notification_id
  -- Of what was to tell an administrator of such a thing nobody is told again.
  where d.id = any (p_ids) and n.kind is distinct from 'delivery_dead'
  -- By what they collapse to, so that two workers do not wait for each other.
  order by d.channel, d.id
$function$;

CREATE OR REPLACE FUNCTION private.tell_user (
  p_user_id uuid,
  p_event   text,
  p_payload jsonb
)
  RETURNS void
  LANGUAGE plpgsql
  SET search_path TO ''
  AS $function$
begin
  perform realtime.send(p_payload, p_event, 'user:' || p_user_id, true);
end;
$function$;

CREATE OR REPLACE FUNCTION private.topic_conversation()
  RETURNS public.conversations
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
declare
  v_topic constant text := realtime.topic();
  v_claims constant jsonb := auth.jwt();
  v_conversation public.conversations;
begin
  -- Whatever a client names is asked here; most of it is no topic of ours.
  if v_topic ~ '^conversation:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[1-9][0-9]{0,8})?$' then
    select c.* into v_conversation
    from private.chat_seats(v_claims) as s
    join public.conversations as c on c.id = s.conversation_id
    where s.conversation_id = split_part(v_topic, ':', 2)::uuid
      and s.left_at is null
      and private.topic_of(c.id, c.epoch) = v_topic
      and (c.pair is null or private.pair_is_open(c.pair));
  end if;
  return v_conversation;
end;
$function$;

CREATE OR REPLACE FUNCTION private.topic_is_readable()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_topic constant text := realtime.topic();
  v_claims constant jsonb := auth.jwt();
begin
  return exists (select from private.live_account(v_claims) as l where 'user:' || l.id = v_topic)
    or private.topic_is_shared();
end;
$function$;

CREATE OR REPLACE FUNCTION private.topic_is_shared()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
begin
  return (private.topic_conversation()).id is not null;
end;
$function$;

CREATE OR REPLACE FUNCTION private.topic_of (
  p_conversation_id uuid,
  p_epoch           integer
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  AS $function$
  select 'conversation:' || p_conversation_id::text
    || case when p_epoch > 0 then ':' || p_epoch::text else '' end
$function$;

CREATE OR REPLACE FUNCTION private.topic_takes_broadcasts()
  RETURNS boolean
  LANGUAGE plpgsql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_conversation constant public.conversations := private.topic_conversation();
begin
  return v_conversation.id is not null and v_conversation.kind <> 'care';
end;
$function$;

CREATE OR REPLACE FUNCTION private.verify_doctor (
  p_user_id uuid,
  p_approve boolean,
  p_reason  text
)
  RETURNS void
  LANGUAGE plpgsql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
declare
  v_admin constant uuid := private.require_admin();
begin
  if p_approve is null or (not p_approve and nullif(btrim(p_reason), '') is null)
    or length(p_reason) > 500
  then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'A refusal needs a reason of 1 to 500 characters';
  end if;
  if p_user_id = v_admin then
    raise exception using errcode = 'PT403', message = 'forbidden',
      detail = 'Nobody decides on their own verification';
  end if;
  update public.doctors set
    verified_at = case when p_approve then coalesce(verified_at, now()) end,
    verified_by = v_admin,
    rejected_reason = case when not p_approve then btrim(p_reason) end
  where id = p_user_id;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No request for verification with this id';
  end if;
  update public.profiles set
    is_verified = p_approve,
    -- Withdrawal keeps the role: the account stays a clinician's, without the rights of one.
    role = case when p_approve and role <> 'admin' then 'doctor' else role end
  where id = p_user_id;
  -- The reason of a refusal stands in the row, and with it in the trail; that of an approval only here.
  if p_approve and nullif(btrim(p_reason), '') is not null then
    perform private.write_audit('verify', 'doctor', p_user_id, null, btrim(p_reason));
  end if;
  perform private.notify(
    p_user_id, case when p_approve then 'doctor_verified' else 'doctor_rejected' end, '{}'
  );
end;
$function$;

CREATE OR REPLACE FUNCTION private.visible_message (
  p_id bigint
)
  RETURNS public.messages
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  SET plan_cache_mode TO 'force_generic_plan'
  AS $function$
declare
  v_claims constant jsonb := auth.jwt();
  v_message public.messages;
begin
  perform private.require_live_session();
  select m.* into v_message
  from public.messages as m
  where m.id = p_id
    and exists (
      select from private.chat_seats(v_claims) as s
      where s.conversation_id = m.conversation_id
        and m.seq > s.joined_seq
        and m.seq <= coalesce(s.left_seq, 9223372036854775807)
    );
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No message with this id';
  end if;
  return v_message;
end;
$function$;

CREATE OR REPLACE FUNCTION public.add_participant (
  p_conversation_id uuid,
  p_user_id         uuid,
  p_role            text DEFAULT 'member'::text
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.add_participant(p_conversation_id, p_user_id, p_role)
$function$;

REVOKE ALL ON FUNCTION "public"."add_participant"(uuid, uuid, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.conversation_topic (
  p_id uuid
)
  RETURNS text
  LANGUAGE sql
  STABLE
  SET search_path TO ''
  AS $function$
  select private.conversation_topic(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."conversation_topic"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.delete_message (
  p_id bigint
)
  RETURNS public.chat_message
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.delete_message(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."delete_message"(bigint) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.delete_notification (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.delete_notification(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."delete_notification"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.edit_message (
  p_id      bigint,
  p_content text
)
  RETURNS public.chat_message
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.edit_message(p_id, p_content)
$function$;

REVOKE ALL ON FUNCTION "public"."edit_message"(bigint, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.leave_conversation (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.leave_conversation(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."leave_conversation"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.list_conversations (
  p_limit  integer DEFAULT 20,
  p_cursor text    DEFAULT NULL::text
)
  RETURNS TABLE (
    id                   uuid,
    kind                 text,
    title                text,
    topic                text,
    patient_id           uuid,
    peer_id              uuid,
    role                 text,
    created_at           timestamp with time zone,
    active_at            timestamp with time zone,
    unread_count         bigint,
    last_read_message_id bigint,
    muted_until          timestamp with time zone,
    last_message         jsonb,
    cursor               text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'uuid']);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      l.id, l.kind, l.title, l.topic, l.patient_id, l.peer_id, l.role, l.created_at, l.active_at,
      l.unread_count, l.last_read_message_id, l.muted_until, l.last_message,
      private.make_cursor(jsonb_build_array(l.active_at, l.id))
    from private.list_conversations(
      p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::uuid
    ) as l;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."list_conversations"(integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.list_dead_deliveries (
  p_limit  integer DEFAULT 20,
  p_cursor text    DEFAULT NULL::text
)
  RETURNS TABLE (
    id         uuid,
    user_id    uuid,
    channel    text,
    kind       text,
    attempts   integer,
    last_error text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    cursor     text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'uuid']);
begin
  perform private.require_admin();
  perform private.require_page_size(p_limit);
  return query
    select
      d.id, d.user_id, d.channel, d.kind, d.attempts, d.last_error, d.created_at, d.updated_at,
      private.make_cursor(jsonb_build_array(d.created_at, d.id))
    from private.list_dead_deliveries(p_limit, v_after) as d;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."list_dead_deliveries"(integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.list_messages (
  p_conversation_id uuid,
  p_limit           integer DEFAULT 50,
  p_cursor          text    DEFAULT NULL::text
)
  RETURNS TABLE (
    id              bigint,
    conversation_id uuid,
    seq             bigint,
    sender_id       uuid,
    client_id       text,
    kind            text,
    content         text,
    metadata        jsonb,
    is_encrypted    boolean,
    reply_to_id     bigint,
    edited_at       timestamp with time zone,
    deleted_at      timestamp with time zone,
    created_at      timestamp with time zone,
    cursor          text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'bigint']);
begin
  perform private.require_live_session();
  perform private.require_page_size(p_limit);
  return query
    select
      m.id, m.conversation_id, m.seq, m.sender_id, m.client_id, m.kind, m.content, m.metadata,
      m.is_encrypted, m.reply_to_id, m.edited_at, m.deleted_at, m.created_at,
      private.make_cursor(jsonb_build_array(m.created_at, m.seq))
    from private.list_messages(
      p_conversation_id, p_limit, (v_after ->> 0)::timestamptz, (v_after ->> 1)::bigint
    ) as m;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."list_messages"(uuid, integer, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.list_notifications (
  p_limit       integer DEFAULT 20,
  p_cursor      text    DEFAULT NULL::text,
  p_unread_only boolean DEFAULT false
)
  RETURNS TABLE (
    id           uuid,
    kind         text,
    title        text,
    body         text,
    data         jsonb,
    read_at      timestamp with time zone,
    created_at   timestamp with time zone,
    unread_count bigint,
    cursor       text
  )
  LANGUAGE plpgsql
  STABLE
  SET search_path TO ''
  AS $function$
#variable_conflict use_column
declare
  v_caller constant uuid := private.require_live_session();
  v_after constant jsonb := private.read_cursor(p_cursor, array['timestamptz', 'uuid']);
begin
  perform private.require_page_size(p_limit);
  return query
    select
      n.id, n.kind, n.title, n.body, n.data, n.read_at, n.created_at,
      (
        select count(*) from public.notifications as u
        where u.user_id = v_caller and u.read_at is null
      ),
      private.make_cursor(jsonb_build_array(n.created_at, n.id))
    from public.notifications as n
    where n.user_id = v_caller
      and (not coalesce(p_unread_only, false) or n.read_at is null)
      and (n.created_at, n.id) < (
        coalesce((v_after ->> 0)::timestamptz, 'infinity'),
        coalesce((v_after ->> 1)::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      )
    order by n.created_at desc, n.id desc
    limit p_limit;
end;
$function$;

REVOKE ALL ON FUNCTION "public"."list_notifications"(integer, text, boolean) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.mark_conversation_read (
  p_id         uuid,
  p_message_id bigint
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.mark_conversation_read(p_id, p_message_id)
$function$;

REVOKE ALL ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.mute_conversation (
  p_id    uuid,
  p_until timestamp with time zone
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.mute_conversation(p_id, p_until)
$function$;

REVOKE ALL ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.register_device_token (
  p_platform text,
  p_token    text,
  p_p256dh   text DEFAULT NULL::text,
  p_auth     text DEFAULT NULL::text
)
  RETURNS uuid
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.register_device_token(p_platform, p_token, p_p256dh, p_auth)
$function$;

REVOKE ALL ON FUNCTION "public"."register_device_token"(text, text, text, text) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.remove_device_token (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.remove_device_token(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."remove_device_token"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.remove_participant (
  p_conversation_id uuid,
  p_user_id         uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.remove_participant(p_conversation_id, p_user_id)
$function$;

REVOKE ALL ON FUNCTION "public"."remove_participant"(uuid, uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.retry_delivery (
  p_id uuid
)
  RETURNS void
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.retry_delivery(p_id)
$function$;

REVOKE ALL ON FUNCTION "public"."retry_delivery"(uuid) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.send_message (
  p_conversation_id uuid,
  p_content         text,
  p_client_id       text,
  p_kind            text    DEFAULT 'text'::text,
  p_metadata        jsonb   DEFAULT '{}'::jsonb,
  p_reply_to_id     bigint  DEFAULT NULL::bigint,
  p_is_encrypted    boolean DEFAULT false
)
  RETURNS public.chat_message
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.send_message(
    p_conversation_id, p_content, p_client_id, p_kind, p_metadata, p_reply_to_id, p_is_encrypted
  )
$function$;

REVOKE ALL ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) FROM PUBLIC, "anon", "service_role";

CREATE OR REPLACE FUNCTION public.start_conversation (
  p_participant_ids uuid[],
  p_kind            text   DEFAULT 'direct'::text,
  p_title           text   DEFAULT NULL::text
)
  RETURNS public.started_conversation
  LANGUAGE sql
  SET search_path TO ''
  AS $function$
  select private.start_conversation(p_participant_ids, p_kind, p_title)
$function$;

REVOKE ALL ON FUNCTION "public"."start_conversation"(uuid[], text, text) FROM PUBLIC, "anon", "service_role";

ALTER TABLE "private"."conversation_mutes"
  ADD CONSTRAINT "conversation_mutes_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "private"."retired_addresses"
  ADD CONSTRAINT "retired_addresses_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "private"."sent_messages"
  ADD CONSTRAINT "sent_messages_sender_id_fkey" FOREIGN KEY (sender_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "public"."conversation_participants"
  ADD CONSTRAINT "conversation_participants_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "public"."conversations"
  ADD CONSTRAINT "conversations_created_by_fkey" FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

ALTER TABLE "public"."conversations"
  ADD CONSTRAINT "conversations_patient_id_fkey" FOREIGN KEY (patient_id) REFERENCES public.patients(id) ON DELETE RESTRICT;

ALTER TABLE "private"."conversation_mutes"
  ADD CONSTRAINT "conversation_mutes_conversation_id_fkey" FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE CASCADE;

ALTER TABLE "public"."conversation_participants"
  ADD CONSTRAINT "conversation_participants_conversation_id_fkey" FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE RESTRICT;

ALTER TABLE "public"."device_tokens"
  ADD CONSTRAINT "device_tokens_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_client_id_check" CHECK (((length(client_id) >= 1) AND (length(client_id) <= 100)));

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_content_check" CHECK ((((content IS NOT NULL) OR (kind = ANY (ARRAY['image'::text, 'file'::text])) OR (deleted_at IS
    NOT NULL)) AND ((length(content) >= 1) AND (length(content) <= 8000))));

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_conversation_id_fkey" FOREIGN KEY (conversation_id) REFERENCES public.conversations(id) ON DELETE RESTRICT;

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_deleted_check" CHECK (((deleted_at IS NULL) OR ((content IS NULL) AND (metadata = '{}'::jsonb))));

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_kind_check" CHECK ((kind = ANY (ARRAY['text'::text, 'image'::text, 'file'::text, 'system'::text])));

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_pkey" PRIMARY KEY (id, created_at);

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_sender_check" CHECK ((((kind = 'system'::text) = (sender_id IS NULL)) AND ((sender_id IS NULL) = (client_id IS NULL))));

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_seq_check" CHECK ((seq > 0));

ALTER TABLE "public"."notification_deliveries"
  ADD CONSTRAINT "notification_deliveries_device_token_id_fkey" FOREIGN KEY (device_token_id) REFERENCES public.device_tokens(id) ON DELETE SET NULL;

ALTER TABLE "public"."notification_deliveries"
  ADD CONSTRAINT "notification_deliveries_notification_id_fkey" FOREIGN KEY (notification_id) REFERENCES public.notifications(id) ON DELETE SET NULL;

ALTER TABLE "public"."notification_deliveries"
  ADD CONSTRAINT "notification_deliveries_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

CREATE VIEW "private"."notification_kinds" AS  SELECT kind,
    urgency,
    channels,
    required,
    collapse_key,
    is_discreet
   FROM ( VALUES ('care_requested'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('care_accepted'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('care_ended'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('record_shared'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('chart_opened'::text,'normal'::text,'{}'::text[],'{}'::text[],NULL::text,false), ('emergency_access'::text,'emergency'::text,'{in_app,email,sms,push}'::text[],'{in_app,email}'::text[],NULL::text,false), ('emergency_review_due'::text,'emergency'::text,'{in_app,email,push}'::text[],'{in_app,email}'::text[],NULL::text,false), ('emergency_reviewed'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('emergency_objection'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('doctor_verified'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('doctor_rejected'::text,'normal'::text,'{in_app,email,push}'::text[],'{}'::text[],NULL::text,false), ('new_message'::text,'normal'::text,'{in_app,push}'::text[],'{}'::text[],'conversation_id'::text,true), ('new_sign_in'::text,'security'::text,'{in_app,email,push}'::text[],'{in_app,email}'::text[],NULL::text,true), ('mfa_changed'::text,'security'::text,'{in_app,email,push}'::text[],'{in_app,email}'::text[],NULL::text,true), ('delivery_dead'::text,'normal'::text,'{in_app}'::text[],'{}'::text[],'channel'::text,true)) k(kind, urgency, channels, required, collapse_key, is_discreet);

CREATE VIEW "private"."notification_minimal_words" AS  SELECT urgency,
    locale,
    title,
    body
   FROM ( VALUES ('normal'::text,'en'::text,'You have a new notification'::text,'Open the app to read it.'::text), ('normal'::text,'hi'::text,'आपके लिए एक नई सूचना है'::text,'पढ़ने के लिए ऐप खोलें।'::text), ('security'::text,'en'::text,'A notification about the security of your account'::text,'Open the app to read it.'::text), ('security'::text,'hi'::text,'आपके खाते की सुरक्षा के बारे में एक सूचना'::text,'पढ़ने के लिए ऐप खोलें।'::text), ('emergency'::text,'en'::text,'You have an urgent notification'::text,'Open the app now to read it.'::text), ('emergency'::text,'hi'::text,'आपके लिए एक ज़रूरी सूचना है'::text,'पढ़ने के लिए अभी ऐप खोलें।'::text)) t(urgency, locale, title, body);

CREATE VIEW "private"."notification_templates" AS  SELECT kind,
    locale,
    title,
    body
   FROM ( VALUES ('emergency_access'::text,'en'::text,'Your chart was opened in an emergency'::text,('A doctor has opened your chart in an emergency and said why. Every look into it is in your '::text || 'access log, an administrator will review it, and you may object.'::text)), ('emergency_access'::text,'hi'::text,'आपात स्थिति में आपका चार्ट खोला गया'::text,('एक डॉक्टर ने आपात स्थिति में आपका चार्ट खोला है और कारण बताया है। हर पहुँच आपके एक्सेस लॉग में '::text || 'दर्ज है, एक प्रशासक इसकी समीक्षा करेगा, और आप आपत्ति कर सकते हैं।'::text)), ('emergency_review_due'::text,'en'::text,'An emergency access waits for review'::text,'A doctor has opened a chart in an emergency. Please review whether it was justified.'::text), ('emergency_review_due'::text,'hi'::text,'एक आपातकालीन पहुँच समीक्षा की प्रतीक्षा में है'::text,'एक डॉक्टर ने आपात स्थिति में एक चार्ट खोला है। कृपया समीक्षा करें कि यह उचित था या नहीं।'::text), ('emergency_reviewed'::text,'en'::text,'An emergency access was reviewed'::text,'An administrator has reviewed an emergency access that concerns you. The outcome is with it.'::text), ('emergency_reviewed'::text,'hi'::text,'एक आपातकालीन पहुँच की समीक्षा हुई'::text,'एक प्रशासक ने आपसे जुड़ी एक आपातकालीन पहुँच की समीक्षा की है। परिणाम उसी के साथ है।'::text), ('emergency_objection'::text,'en'::text,'A patient objects to an emergency access'::text,'A patient has objected to an emergency access to their chart. The objection is with it.'::text), ('emergency_objection'::text,'hi'::text,'एक मरीज़ ने आपातकालीन पहुँच पर आपत्ति की'::text,'एक मरीज़ ने अपने चार्ट की आपातकालीन पहुँच पर आपत्ति की है। आपत्ति उसी के साथ है।'::text), ('care_requested'::text,'en'::text,'Somebody asks to take part in your care'::text,'A doctor or caregiver asks for access to your data. Nothing is open to them until you accept.'::text), ('care_requested'::text,'hi'::text,'कोई आपकी देखभाल में शामिल होना चाहता है'::text,'एक डॉक्टर या देखभालकर्ता आपके डेटा तक पहुँच माँगता है। आपकी स्वीकृति तक उनके लिए कुछ भी खुला नहीं है।'::text), ('care_accepted'::text,'en'::text,'A care relationship has begun'::text,'A patient has let you take part in their care.'::text), ('care_accepted'::text,'hi'::text,'एक देखभाल संबंध शुरू हुआ'::text,'एक मरीज़ ने आपको अपनी देखभाल में शामिल होने दिया है।'::text), ('care_ended'::text,'en'::text,'A care relationship has ended'::text,'A care relationship of yours has ended, and with it the access that it gave.'::text), ('care_ended'::text,'hi'::text,'एक देखभाल संबंध समाप्त हुआ'::text,'आपका एक देखभाल संबंध समाप्त हो गया है, और उसके साथ उससे मिली पहुँच भी।'::text), ('record_shared'::text,'en'::text,'A record was shared with you'::text,'Somebody has shared a record with you. Opening it is logged.'::text), ('record_shared'::text,'hi'::text,'आपके साथ एक रिकॉर्ड साझा किया गया'::text,'किसी ने आपके साथ एक रिकॉर्ड साझा किया है। उसे खोलना दर्ज किया जाता है।'::text), ('chart_opened'::text,'en'::text,'Your chart was opened'::text,'Somebody who takes part in your care has opened your chart. Every look is in your access log.'::text), ('chart_opened'::text,'hi'::text,'आपका चार्ट खोला गया'::text,'आपकी देखभाल में शामिल किसी ने आपका चार्ट खोला है। हर पहुँच आपके एक्सेस लॉग में दर्ज है।'::text), ('doctor_verified'::text,'en'::text,'You are verified'::text,'An administrator has verified you as a clinician.'::text), ('doctor_verified'::text,'hi'::text,'आप सत्यापित हैं'::text,'एक प्रशासक ने आपको चिकित्सक के रूप में सत्यापित किया है।'::text), ('doctor_rejected'::text,'en'::text,'You are not verified'::text,'An administrator has refused or withdrawn your verification. The reason is with it.'::text), ('doctor_rejected'::text,'hi'::text,'आप सत्यापित नहीं हैं'::text,'एक प्रशासक ने आपका सत्यापन अस्वीकार किया या वापस लिया है। कारण उसी के साथ है।'::text), ('new_message'::text,'en'::text,'You have a new message'::text,'Open the conversation to read it.'::text), ('new_message'::text,'hi'::text,'आपके लिए एक नया संदेश है'::text,'पढ़ने के लिए बातचीत खोलें।'::text), ('new_sign_in'::text,'en'::text,'New sign-in to your account'::text,('Somebody has signed in to your account. If it was not you, change your password and end the '::text || 'other sessions.'::text)), ('new_sign_in'::text,'hi'::text,'आपके खाते में नया साइन-इन'::text,'किसी ने आपके खाते में साइन इन किया है। यदि वह आप नहीं थे, तो अपना पासवर्ड बदलें और अन्य सत्र समाप्त करें।'::text), ('mfa_changed'::text,'en'::text,'A second factor of your account was changed'::text,('A second factor was added to your account or taken from it. If it was not you, change your '::text || 'password and ask for help.'::text)), ('mfa_changed'::text,'hi'::text,'आपके खाते का दूसरा कारक बदला गया'::text,('आपके खाते में दूसरा कारक जोड़ा या उससे हटाया गया है। यदि वह आप नहीं थे, तो अपना पासवर्ड बदलें और सहायता '::text || 'माँगें।'::text)), ('delivery_dead'::text,'en'::text,'A notification could not be delivered'::text,'A delivery was given up after its last attempt. Look at it, and try again when the cause is gone.'::text), ('delivery_dead'::text,'hi'::text,'एक सूचना पहुँचाई नहीं जा सकी'::text,'अंतिम प्रयास के बाद एक डिलीवरी छोड़ दी गई। इसे देखें, और कारण दूर होने पर फिर प्रयास करें।'::text)) t(kind, locale, title, body);

CREATE VIEW "private"."visible_profiles" WITH (security_barrier=true) AS  SELECT id,
    role,
    display_name,
    avatar_path,
    bio,
    is_verified
   FROM public.profiles p
  WHERE (( SELECT private.session_is_live() AS session_is_live) AND is_active AND (is_public OR (id = ( SELECT auth.uid() AS uid)) OR (id = ANY (ARRAY( SELECT private.connected_profile_ids() AS connected_profile_ids)))) AND (id <> ALL (ARRAY( SELECT private.hidden_profile_ids() AS hidden_profile_ids))));

CREATE VIEW "public"."public_profiles" WITH (security_invoker=true) AS  SELECT id,
    role,
    display_name,
    avatar_path,
    bio,
    is_verified
   FROM private.visible_profiles v;

REVOKE ALL ON TABLE "public"."public_profiles" FROM "anon", "service_role";

CREATE INDEX conversation_mutes_conversation_id_idx ON private.conversation_mutes USING btree (conversation_id);

CREATE INDEX delivery_receipts_message_idx ON private.delivery_receipts USING btree (PROVIDER, provider_message_id);

CREATE INDEX blocks_blocked_id_idx ON public.blocks USING btree (blocked_id);

CREATE INDEX conversation_participants_conversation_id_idx ON public.conversation_participants USING btree (conversation_id, user_id, joined_seq);

CREATE UNIQUE INDEX conversation_participants_one_current ON public.conversation_participants USING btree (conversation_id, user_id)
  WHERE (left_at IS NULL);

CREATE INDEX conversation_participants_patient_id_idx ON public.conversation_participants USING btree (patient_id);

CREATE INDEX conversation_participants_user_id_idx ON public.conversation_participants USING btree (user_id, conversation_id);

CREATE INDEX conversations_created_by_idx ON public.conversations USING btree (created_by);

CREATE INDEX conversations_patient_id_idx ON public.conversations USING btree (patient_id);

CREATE UNIQUE INDEX device_tokens_one_endpoint ON public.device_tokens USING btree (endpoint);

CREATE UNIQUE INDEX device_tokens_one_token ON public.device_tokens USING btree (token);

CREATE INDEX device_tokens_user_id_idx ON public.device_tokens USING btree (user_id, last_seen_at DESC, id);

CREATE INDEX messages_attachment_path_idx ON public.messages USING btree (attachment_path)
  WHERE (attachment_path IS NOT NULL);

CREATE INDEX messages_conversation_id_idx ON public.messages USING btree (conversation_id, seq DESC);

CREATE TABLE "private"."messages_default" PARTITION OF "public"."messages" DEFAULT;

ALTER TABLE "private"."messages_default"
  ENABLE ROW LEVEL SECURITY;

CREATE INDEX notification_deliveries_dead_idx ON public.notification_deliveries USING btree (created_at DESC, id DESC)
  WHERE (status = 'dead'::text);

CREATE INDEX notification_deliveries_device_token_id_idx ON public.notification_deliveries USING btree (device_token_id)
  WHERE (device_token_id IS NOT NULL);

CREATE INDEX notification_deliveries_due_idx ON public.notification_deliveries USING btree (is_urgent, next_attempt_at)
  WHERE (status = ANY (ARRAY['pending'::text, 'sending'::text]));

CREATE INDEX notification_deliveries_message_idx ON public.notification_deliveries USING btree (PROVIDER, provider_message_id)
  WHERE (provider_message_id IS NOT NULL);

CREATE INDEX notification_deliveries_notification_id_idx ON public.notification_deliveries USING btree (notification_id);

CREATE INDEX notification_deliveries_user_id_idx ON public.notification_deliveries USING btree (user_id, created_at DESC, id DESC);

CREATE UNIQUE INDEX notifications_one_unread ON public.notifications USING btree (user_id, kind, collapse_key)
  WHERE ((read_at IS NULL) AND in_app AND (collapse_key IS NOT NULL));

CREATE TRIGGER on_auth_factor_removed
  AFTER DELETE ON auth.mfa_factors
  FOR EACH ROW
  WHEN ((old.status = 'verified'::text))
  EXECUTE FUNCTION private.notify_factor_change();

CREATE TRIGGER on_auth_factor_verified
  AFTER UPDATE OF status ON auth.mfa_factors
  FOR EACH ROW
  WHEN (((old.status <> 'verified'::text) AND (new.status = 'verified'::text)))
  EXECUTE FUNCTION private.notify_factor_change();

CREATE TRIGGER on_auth_session_created_notify
  AFTER INSERT ON auth.sessions
  FOR EACH ROW
  EXECUTE FUNCTION private.notify_sign_in();

CREATE TRIGGER messages_default_no_truncate
  BEFORE TRUNCATE ON private.messages_default
  FOR EACH STATEMENT
  EXECUTE FUNCTION private.refuse_change();

ALTER TABLE "private"."messages_default"
  ENABLE ALWAYS TRIGGER "messages_default_no_truncate";

CREATE TRIGGER blocks_move_conversation
  AFTER INSERT ON public.blocks
  FOR EACH ROW
  EXECUTE FUNCTION private.follow_block();

CREATE TRIGGER care_relationships_end_conversations
  AFTER UPDATE OF status, ends_at, scopes ON public.care_relationships
  FOR EACH ROW
  WHEN ((old.status = 'active'::text))
  EXECUTE FUNCTION private.follow_care();

CREATE TRIGGER conversation_participants_gone
  AFTER DELETE ON public.conversation_participants
  FOR EACH ROW
  WHEN ((old.left_at IS NULL))
  EXECUTE FUNCTION private.follow_leaving();

CREATE TRIGGER conversation_participants_joined
  AFTER INSERT ON public.conversation_participants
  FOR EACH ROW
  EXECUTE FUNCTION private.follow_joining();

CREATE TRIGGER conversation_participants_left
  AFTER UPDATE OF left_at ON public.conversation_participants
  FOR EACH ROW
  WHEN (((old.left_at IS NULL) AND (new.left_at IS NOT NULL)))
  EXECUTE FUNCTION private.follow_leaving();

CREATE TRIGGER conversation_participants_read
  AFTER UPDATE OF last_read_seq ON public.conversation_participants
  FOR EACH ROW
  WHEN ((new.last_read_seq > old.last_read_seq))
  EXECUTE FUNCTION private.follow_reading();

CREATE TRIGGER conversation_participants_set_updated_at
  BEFORE UPDATE ON public.conversation_participants
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER conversations_set_updated_at
  BEFORE UPDATE ON public.conversations
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER device_tokens_set_updated_at
  BEFORE UPDATE ON public.device_tokens
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER doctors_end_conversations
  AFTER UPDATE OF verified_at ON public.doctors
  FOR EACH ROW
  WHEN (((old.verified_at IS NOT NULL) AND (new.verified_at IS NULL)))
  EXECUTE FUNCTION private.follow_verification();

CREATE TRIGGER messages_set_updated_at
  BEFORE UPDATE ON public.messages
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER messages_written
  AFTER INSERT OR UPDATE ON public.messages
  FOR EACH ROW
  EXECUTE FUNCTION private.follow_message();

CREATE TRIGGER notification_deliveries_set_updated_at
  BEFORE UPDATE ON public.notification_deliveries
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER notification_preferences_audit_delete AFTER DELETE ON public.notification_preferences
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'notification_preference',
  'id',
  '',
  ''
);

CREATE TRIGGER notification_preferences_audit_insert AFTER INSERT ON public.notification_preferences
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'notification_preference',
  'id',
  '',
  ''
);

CREATE TRIGGER notification_preferences_audit_update AFTER UPDATE ON public.notification_preferences
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.audit_rows (
  'notification_preference',
  'id',
  '',
  ''
);

CREATE TRIGGER notification_preferences_check
  BEFORE INSERT OR UPDATE ON public.notification_preferences
  FOR EACH ROW
  EXECUTE FUNCTION private.check_notification_preference();

CREATE TRIGGER notification_preferences_set_updated_at
  BEFORE UPDATE ON public.notification_preferences
  FOR EACH ROW
  EXECUTE FUNCTION private.set_updated_at();

CREATE TRIGGER notifications_broadcast_insert
  AFTER INSERT ON public.notifications
  FOR EACH ROW
  WHEN (new.in_app)
  EXECUTE FUNCTION private.broadcast_notification();

CREATE TRIGGER notifications_broadcast_read
  AFTER UPDATE OF read_at ON public.notifications
  FOR EACH ROW
  WHEN ((new.in_app AND (old.read_at IS NULL) AND (new.read_at IS NOT NULL)))
  EXECUTE FUNCTION private.broadcast_notification();

CREATE TRIGGER profiles_move_conversations
  AFTER UPDATE OF is_active ON public.profiles
  FOR EACH ROW
  WHEN ((old.is_active AND (NOT new.is_active)))
  EXECUTE FUNCTION private.follow_lock();

CREATE POLICY "conversation_participants_select_authenticated_only" ON "public"."conversation_participants"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (((patient_id IS NULL) OR ( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows)));

CREATE POLICY "conversation_participants_select_authenticated" ON "public"."conversation_participants"
  FOR SELECT
  TO "authenticated"
  USING
    (((conversation_id = ANY (ARRAY( SELECT private.current_conversation_ids() AS current_conversation_ids))) OR ((user_id = ( SELECT auth.uid() AS uid)) AND (conversation_id = ANY
    (ARRAY( SELECT private.readable_conversation_ids() AS readable_conversation_ids))))));

CREATE POLICY "conversations_select_authenticated_only" ON "public"."conversations"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING (((patient_id IS NULL) OR ( SELECT private.may_see_clinical_rows() AS may_see_clinical_rows)));

CREATE POLICY "conversations_select_authenticated" ON "public"."conversations"
  FOR SELECT
  TO "authenticated"
  USING ((id = ANY (ARRAY( SELECT private.current_conversation_ids() AS current_conversation_ids))));

CREATE POLICY "device_tokens_select_authenticated" ON "public"."device_tokens"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "messages_select_authenticated_only" ON "public"."messages"
  AS RESTRICTIVE
  FOR SELECT
  TO "authenticated"
  USING ((conversation_id = ANY (ARRAY( SELECT private.readable_conversation_ids() AS readable_conversation_ids))));

CREATE POLICY "messages_select_authenticated" ON "public"."messages"
  FOR SELECT
  TO "authenticated"
  USING ((EXISTS ( SELECT
   FROM public.conversation_participants p
  WHERE
    ((p.conversation_id = messages.conversation_id) AND (p.user_id = ( SELECT auth.uid() AS uid)) AND (p.joined_seq < messages.seq) AND (messages.seq <= COALESCE(p.left_seq,
    '9223372036854775807'::bigint))))));

CREATE POLICY "notification_deliveries_select_authenticated" ON "public"."notification_deliveries"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "notifications_select_authenticated" ON "public"."notifications"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid)) AND in_app));

CREATE POLICY "messages_insert_authenticated" ON "realtime"."messages"
  FOR INSERT
  TO "authenticated"
  WITH
    CHECK
    ((((extension = 'presence'::text) AND ( SELECT private.topic_is_shared() AS topic_is_shared)) OR ((extension = 'broadcast'::text) AND ( SELECT private.topic_takes_broadcasts()
    AS topic_takes_broadcasts))));

CREATE POLICY "messages_select_authenticated" ON "realtime"."messages"
  FOR SELECT
  TO "authenticated"
  USING (((EXTENSION = ANY (ARRAY['broadcast'::text, 'presence'::text])) AND ( SELECT private.topic_is_readable() AS topic_is_readable)));

CREATE POLICY "chat_attachments_delete_authenticated" ON "storage"."objects"
  FOR DELETE
  TO "authenticated"
  USING
    (((bucket_id = 'chat-attachments'::text) AND (owner_id = (( SELECT auth.uid() AS uid))::text) AND ((storage.foldername(name))[1] = ANY (ARRAY( SELECT
    private.attachment_folders() AS attachment_folders)))));

CREATE POLICY "chat_attachments_insert_authenticated" ON "storage"."objects"
  FOR INSERT
  TO "authenticated"
  WITH
    CHECK
    (((bucket_id = 'chat-attachments'::text) AND (name ~ '^[0-9a-f-]{36}/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'::text) AND (owner_id = (( SELECT auth.uid() AS uid))::text) AND
    ((storage.foldername(name))[1] = ANY (ARRAY( SELECT private.attachment_folders() AS attachment_folders))) AND (NOT (EXISTS ( SELECT
   FROM public.messages m
  WHERE (m.attachment_path = objects.name))))));

CREATE POLICY "chat_attachments_select_authenticated" ON "storage"."objects"
  FOR SELECT
  TO "authenticated"
  USING
    (((bucket_id = 'chat-attachments'::text) AND (((owner_id = (( SELECT auth.uid() AS uid))::text) AND ((storage.foldername(name))[1] = ANY (ARRAY( SELECT
    private.attachment_folders() AS attachment_folders)))) OR (EXISTS ( SELECT
   FROM public.messages m
  WHERE (m.attachment_path = objects.name))))));

COMMENT ON COLUMN "private"."conversation_mutes"."muted_until" IS 'A time that has passed mutes nothing.';

COMMENT ON COLUMN "private"."delivery_receipts"."event_id" IS 'Id of the report with the provider; a repeat has the same.';

COMMENT ON COLUMN "private"."delivery_receipts"."status" IS 'sent and delivered: on its way, and arrived; failed: it will not arrive; bounced and unregistered: nor will anything else to this address; complained: it arrived, and its reader wants no more.';

COMMENT ON COLUMN "private"."retired_addresses"."reason" IS 'Code of the provider, or of what it reported.';

COMMENT ON COLUMN "private"."sent_messages"."digest" IS 'SHA-256 of what was sent, to tell it from another.';

COMMENT ON COLUMN "public"."blocks"."blocked_id" IS 'Who is blocked. No foreign key: its error would tell whether there is such an account.';

COMMENT ON COLUMN "public"."conversation_participants"."joined_seq" IS 'Number of the newest message at joining; history starts after it.';

COMMENT ON COLUMN "public"."conversation_participants"."last_read_message_id" IS 'Newest message marked as read; null: none. Never goes back.';

COMMENT ON COLUMN "public"."conversation_participants"."last_read_seq" IS 'Its number.';

COMMENT ON COLUMN "public"."conversation_participants"."last_sent_seq" IS 'Number of the newest message of one''s own: whoever writes has read what is above.';

COMMENT ON COLUMN "public"."conversation_participants"."left_at" IS 'End of the stretch; null: takes part now.';

COMMENT ON COLUMN "public"."conversation_participants"."left_seq" IS 'Number of the newest message at leaving; the last that can be read.';

COMMENT ON COLUMN "public"."conversation_participants"."patient_id" IS 'As the conversation''s: whose care it is about; null for other kinds.';

COMMENT ON COLUMN "public"."conversation_participants"."role" IS 'owner and admin add and remove people in a group; a patient owns the conversations of their care.';

COMMENT ON COLUMN "public"."conversations"."community_id" IS 'Set for the kind community only.';

COMMENT ON COLUMN "public"."conversations"."epoch" IS 'Which topic is the current one: conversation:<id> at first, conversation:<id>:<epoch> after. Raised whenever somebody is to hear no more, as a channel that is joined stays joined, and when somebody comes later, as a topic is replayed to whoever joins it.';

COMMENT ON COLUMN "public"."conversations"."last_seq" IS 'Number of the newest message. Messages are counted under a lock on this row, so the number, the id and the order of commits agree, and unread is a difference of two numbers.';

COMMENT ON COLUMN "public"."conversations"."pair" IS 'The two accounts of a direct conversation, the smaller id first; null for other kinds.';

COMMENT ON COLUMN "public"."conversations"."patient_id" IS 'Whose care it is about; set for the kind care only.';

COMMENT ON COLUMN "public"."conversations"."title" IS 'Name of a group or of a conversation of care.';

COMMENT ON COLUMN "public"."device_tokens"."auth" IS 'The browser''s secret (RFC 8291), base64url.';

COMMENT ON COLUMN "public"."device_tokens"."endpoint" IS 'Push resource of the browser; whose hosts are allowed is for the function that sends.';

COMMENT ON COLUMN "public"."device_tokens"."last_seen_at" IS 'When the app last registered it.';

COMMENT ON COLUMN "public"."device_tokens"."p256dh" IS 'The browser''s public key (RFC 8291), base64url.';

COMMENT ON COLUMN "public"."device_tokens"."platform" IS 'fcm: Firebase; webpush: a push service (RFC 8030).';

COMMENT ON COLUMN "public"."device_tokens"."retired_at" IS 'Since when it gets nothing; null: it does.';

COMMENT ON COLUMN "public"."device_tokens"."retired_reason" IS 'removed: by its account; replaced: by newer devices of the account; unregistered: by the provider.';

COMMENT ON COLUMN "public"."device_tokens"."token" IS 'Registration token of Firebase.';

COMMENT ON COLUMN "public"."messages"."attachment_path" IS 'Object in the bucket chat-attachments, from metadata; null for none. A column, since policies of messages let no index of an expression be used.';

COMMENT ON COLUMN "public"."messages"."client_id" IS 'The sender''s own id of it: sent again, it is the same message.';

COMMENT ON COLUMN "public"."messages"."content" IS 'Text, or caption of an image or file; up to 8,000 characters; null when deleted.';

COMMENT ON COLUMN "public"."messages"."created_at" IS 'Clock time of the write, UTC; the partition key. Never before that of an earlier message.';

COMMENT ON COLUMN "public"."messages"."id" IS 'Grows in a conversation in the order of commits.';

COMMENT ON COLUMN "public"."messages"."is_encrypted" IS 'Whether content is ciphertext of the clients, which nobody here reads or looks at.';

COMMENT ON COLUMN "public"."messages"."kind" IS 'text, image, file; system: written by functions only.';

COMMENT ON COLUMN "public"."messages"."metadata" IS 'Of an image or file: {record_id, name?}, or {path, mime, size, name?}; else {}.';

COMMENT ON COLUMN "public"."messages"."reply_to_id" IS 'An earlier message of the same conversation that its sender could see. What it said is not copied.';

COMMENT ON COLUMN "public"."messages"."sender_id" IS 'Who wrote it; null for the kind system. No foreign key: the account may be gone.';

COMMENT ON COLUMN "public"."messages"."seq" IS 'Number in the conversation: 1, 2, 3 … without a gap, so that a client sees what it has missed.';

COMMENT ON COLUMN "public"."notification_deliveries"."address_sha256" IS 'Digest of the e-mail address or number to which it went, so that a bounce retires that one.';

COMMENT ON COLUMN "public"."notification_deliveries"."attempts" IS 'How often a worker has had it in hand.';

COMMENT ON COLUMN "public"."notification_deliveries"."channel" IS 'email, sms or push.';

COMMENT ON COLUMN "public"."notification_deliveries"."claim_token" IS 'Which claim has it; an outcome counts while it is the same.';

COMMENT ON COLUMN "public"."notification_deliveries"."delivered_at" IS 'When the provider reported that it arrived; null: it has not, or not yet.';

COMMENT ON COLUMN "public"."notification_deliveries"."device_token_id" IS 'Of a push: to which device.';

COMMENT ON COLUMN "public"."notification_deliveries"."failures" IS 'How many attempts ended in an error that may pass; the others of a row that was not sent are workers that died.';

COMMENT ON COLUMN "public"."notification_deliveries"."is_urgent" IS 'Whether it is of a kind for security or emergencies: those go first.';

COMMENT ON COLUMN "public"."notification_deliveries"."last_error" IS 'Code of the last error, or why it was suppressed.';

COMMENT ON COLUMN "public"."notification_deliveries"."next_attempt_at" IS 'When it is due: of a pending one the next attempt, of one that is being sent the end of the lease.';

COMMENT ON COLUMN "public"."notification_deliveries"."notification_id" IS 'What is told; null: its owner has deleted it.';

COMMENT ON COLUMN "public"."notification_deliveries"."provider" IS 'Who took it, for example resend.';

COMMENT ON COLUMN "public"."notification_deliveries"."provider_message_id" IS 'Its id with the provider, which receipts name.';

COMMENT ON COLUMN "public"."notification_deliveries"."sent_at" IS 'When a provider took it.';

COMMENT ON COLUMN "public"."notification_deliveries"."status" IS 'pending: waits for next_attempt_at; sending: a worker has it; sent: a provider took it; failed: it cannot arrive; dead: given up after the last attempt; suppressed: not wanted any more.';

COMMENT ON COLUMN "public"."notification_deliveries"."user_id" IS 'Who is told.';

COMMENT ON COLUMN "public"."notification_preferences"."channel" IS 'in_app, email, sms or push.';

COMMENT ON COLUMN "public"."notification_preferences"."detail" IS 'What is said outside the app: full, the words of the kind; minimal, only that there is something. In the app it is always the whole.';

COMMENT ON COLUMN "public"."notification_preferences"."enabled" IS 'Whether the kind goes there. Security and emergencies cannot be switched off in the app and by e-mail.';

COMMENT ON COLUMN "public"."notification_preferences"."kind" IS 'A kind of notification_kinds.';

COMMENT ON COLUMN "public"."notification_preferences"."quiet_from" IS 'Local time in the zone of the profile from which nothing is sent, until quiet_to, across midnight when that is earlier; it is sent then. Null: no quiet hours. In the app, and for security and emergencies, there are none.';

COMMENT ON COLUMN "public"."notification_preferences"."quiet_to" IS 'End of the quiet hours, excluded.';

COMMENT ON COLUMN "public"."notifications"."collapse_key" IS 'What it is one of, for a kind of which one unread notification is enough, for example the id of the conversation; null: it stands for itself.';

COMMENT ON COLUMN "public"."notifications"."in_app" IS 'False: the account wants this kind outside the app only, or has deleted it, and the row is there for its deliveries.';

COMMENT ON COLUMN "public"."notifications"."kind" IS 'What it is about; a kind of notification_kinds.';

COMMENT ON FUNCTION "private"."add_participant"(uuid, uuid, text) IS 'Body of public.add_participant.';

COMMENT ON FUNCTION "private"."apply_receipts"(uuid[]) IS 'Makes of deliveries what all receipts of their messages say, whatever was applied before.';

COMMENT ON FUNCTION "private"."as_chat_message"(public.messages) IS 'A message as clients have it.';

COMMENT ON FUNCTION "private"."attachment_folders"() IS 'Folders of the bucket chat-attachments to which the caller may upload: those of the conversations in which they take part.';

COMMENT ON FUNCTION "private"."broadcast"(uuid, text, jsonb) IS 'Tells those who take part in a conversation something, when the transaction commits. For definer functions only, under a lock on the conversation, so that it does not move meanwhile.';

COMMENT ON FUNCTION "private"."broadcast_notification"() IS 'Trigger: sends a notification to the private channel user:<id> when its transaction commits, as event notification, and as notification_read when it is marked as read; the payload is the row.';

COMMENT ON FUNCTION "private"."care_patient"(uuid[]) IS 'The first of some people who is a patient and in whose care team all the others are; null for none.';

COMMENT ON FUNCTION "private"."channel_is_on"(text, boolean, text[], text[], boolean) IS 'Whether a kind with such default and required channels goes to a channel for which the account''s preference is p_enabled; null: it has none. For definer functions only.';

COMMENT ON FUNCTION "private"."chat_patient_ids"(uuid) IS 'Patients with whom somebody may chat about their care: as a verified doctor in care, or as a caregiver with the scope messages. For definer functions only.';

COMMENT ON FUNCTION "private"."chat_seats"(jsonb) IS 'The stretches, past ones too, of the account of a token''s claims, while its session is live. Those of care only while the care is in force, as a patient or by chat_patient_ids, and with the second factor that clinical rows ask for. For definer functions only.';

COMMENT ON FUNCTION "private"."check_notification_preference"() IS 'Trigger: refuses a preference for a kind that there is not, and one that switches off what must arrive. Errors: PT400 invalid_request, PT403 forbidden.';

COMMENT ON FUNCTION "private"."claim_deliveries"(integer, integer) IS 'Hands a worker up to p_limit (1 to 1,000) deliveries that are due, urgent ones first, with the words to say and the address as it is now: {email}, {phone} (E.164), {platform, token} or {platform, endpoint, p256dh, auth}. No other worker gets them for p_lease_seconds (1 to 3,600). What has no use any more is suppressed on the way, and what falls into quiet hours waits for their end. No row: nothing is due. The idempotency key is the same for every attempt.';

COMMENT ON FUNCTION "private"."connected_profile_ids"() IS 'Accounts whose public face the caller may see because they are in care together, because a record is shared between them, or because both take part in a conversation.';

COMMENT ON FUNCTION "private"."conversation_clock"(public.conversations) IS 'Now, and never before the newest message, so that times in a conversation have the order of its numbers even when the clock is set back. To be called under the lock on the conversation.';

COMMENT ON FUNCTION "private"."conversation_topic"(uuid) IS 'Body of public.conversation_topic.';

COMMENT ON FUNCTION "private"."current_conversation_ids"() IS 'Conversations in which the caller takes part now.';

COMMENT ON FUNCTION "private"."current_topic"(uuid) IS 'Topic on which a conversation is now. For definer functions only.';

COMMENT ON FUNCTION "private"."delete_message"(bigint) IS 'Body of public.delete_message.';

COMMENT ON FUNCTION "private"."delete_notification"(uuid) IS 'Body of public.delete_notification.';

COMMENT ON FUNCTION "private"."delivery_backlog"() IS 'How many deliveries wait (pending), are in hand (sending), are due, and were given up (dead); for how long the oldest has been due, and when the next one is, null for none.';

COMMENT ON FUNCTION "private"."edit_message"(bigint, text) IS 'Body of public.edit_message.';

COMMENT ON FUNCTION "private"."end_barred_sessions"() IS 'Trigger on auth.users: whoever is banned or deleted loses every session at once, where Auth alone would let them run until the next refresh, and hears no conversation any more.';

COMMENT ON FUNCTION "private"."end_care_conversations"(uuid) IS 'Ends the stretches of somebody in conversations about care in which they are no more. For definer functions only.';

COMMENT ON FUNCTION "private"."end_lapsed_care"(uuid) IS 'Ends the stretches of those whose care has run out by time alone, which nothing else notices. For definer functions only.';

COMMENT ON FUNCTION "private"."end_participation"(uuid, uuid) IS 'Ends somebody''s stretch at the newest message, and passes a group on when its owner goes. For definer functions only.';

COMMENT ON FUNCTION "private"."enter_conversation"(uuid) IS 'Locks a conversation in which the caller takes part, as settle_conversation. For definer functions only. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."finish_deliveries"(jsonb) IS 'Takes what became of claimed deliveries. p_outcomes: array of at most 1,000 {id, claim_token, outcome, provider, provider_message_id, error_code, retry_after_seconds, retire_address}. outcome sent: a provider took it; retry: tried again after 12 s, 2.5 min, 30 min, 6 h and 24 h, each a fifth more or less, or after retry_after_seconds if that is longer, then dead, which administrators are told; permanent: failed at once; suppressed: nobody carries the channel; deferred: not tried, due again after retry_after_seconds, and not counted. retire_address: nothing more goes to that address or device. Returns how many it took; one that another claim has by now, or that is over, is left as it is. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."follow_block"() IS 'Trigger: a block cuts the channel that the two have joined, as the lock of either account would.';

COMMENT ON FUNCTION "private"."follow_care"() IS 'Trigger: care that ends, or loses the scope messages, takes its member out of the conversations about it in the same transaction.';

COMMENT ON FUNCTION "private"."follow_joining"() IS 'Trigger: tells whoever joins a conversation, on their own channel, and logs it.';

COMMENT ON FUNCTION "private"."follow_leaving"() IS 'Trigger: whoever stops taking part, for whatever cause, hears nothing more: the conversation moves to another topic in the same transaction. Tells those who stay and those who go, and logs it.';

COMMENT ON FUNCTION "private"."follow_lock"() IS 'Trigger: an account that is locked or closed hears nothing more; its stretches go on, for it may be unlocked.';

COMMENT ON FUNCTION "private"."follow_message"() IS 'Trigger: a message that is written, edited or deleted goes to the channel of its conversation in the same transaction, and a new one is notified to the others who have not muted it. When somebody who takes part cannot read it, an edit of it comes without content and metadata.';

COMMENT ON FUNCTION "private"."follow_reading"() IS 'Trigger: tells a conversation how far somebody has read.';

COMMENT ON FUNCTION "private"."follow_verification"() IS 'Trigger: who is no verified clinician any more leaves the conversations about care.';

COMMENT ON FUNCTION "private"."hidden_profile_ids"() IS 'Accounts that have blocked the caller, who finds them absent.';

COMMENT ON FUNCTION "private"."is_attachment"(text, jsonb, boolean) IS 'Whether metadata has the form that a kind of message asks for. image and file: {record_id, name?} of a medical record, or {path, mime, size, name?} of an object in the bucket chat-attachments, size in bytes up to 25 MiB; others: {}.';

COMMENT ON FUNCTION "private"."leave_conversation"(uuid) IS 'Body of public.leave_conversation.';

COMMENT ON FUNCTION "private"."list_conversations"(integer, timestamp with time zone, uuid) IS 'Body of public.list_conversations.';

COMMENT ON FUNCTION "private"."list_dead_deliveries"(integer, jsonb) IS 'Body of public.list_dead_deliveries. p_after: [created_at, id] of the last row of the page before; null for the first page.';

COMMENT ON FUNCTION "private"."list_messages"(uuid, integer, timestamp with time zone, bigint) IS 'Body of public.list_messages.';

COMMENT ON FUNCTION "private"."lock_conversation"(uuid) IS 'A conversation, locked until the transaction ends, as it is once the lock is there.';

COMMENT ON FUNCTION "private"."lock_messages"(text, text[]) IS 'Makes those who learn the id of a message and those who learn of its receipt wait for each other: either sees what the other has written. Before any lock on rows.';

COMMENT ON FUNCTION "private"."mark_conversation_read"(uuid, bigint) IS 'Body of public.mark_conversation_read.';

COMMENT ON FUNCTION "private"."move_conversation"(uuid) IS 'Sends a conversation to another topic and tells it on the old one: `moved`, with topic and the number of the newest message, after which whoever joins there lists what they have missed. For definer functions only.';

COMMENT ON FUNCTION "private"."move_conversations_of"(uuid) IS 'Moves every conversation in which somebody takes part. For definer functions only.';

COMMENT ON FUNCTION "private"."mute_conversation"(uuid, timestamp with time zone) IS 'Body of public.mute_conversation.';

COMMENT ON FUNCTION "private"."notify"(uuid, text, jsonb) IS 'Tells an account something, in its language where there are words in it, else in English: writes the notification and one delivery for each channel and address outside the app that preferences and kind say. The only way in, for definer functions; it fails, and with it the transaction, when it cannot.';

COMMENT ON FUNCTION "private"."notify_factor_change"() IS 'Trigger on auth.mfa_factors: tells an account that a second factor was proved for the first time, or taken away after it was. Fails closed: without the notification nothing changes.';

COMMENT ON FUNCTION "private"."notify_sign_in"() IS 'Trigger on auth.sessions: tells an account of each sign-in after its first; from where is not said. Fails closed: without the notification there is no session.';

COMMENT ON FUNCTION "private"."pair_is_open"(uuid[]) IS 'Whether two people can talk directly: neither account is closed or locked, and neither has blocked the other. One answer for all of it, so that no reason can be told from another. For definer functions only.';

COMMENT ON FUNCTION "private"."quiet_until"(timestamp with time zone, time without time zone, time without time zone, text) IS 'When the quiet hours end in which a moment falls; null when it falls in none. A moment is quiet when the clock in the zone shows a time from p_from up to p_to, p_to excluded. An end that the clock shows twice, when it is put back, is the second one; an end that it skips, when it is put forward, comes as much later as it skips.';

COMMENT ON FUNCTION "private"."reachable_ids"(uuid[]) IS 'Those of some accounts whom the caller may start to talk to: whose public face they see (which whoever has blocked them does not show), and whom they have not blocked. For definer functions only.';

COMMENT ON FUNCTION "private"."readable_conversation_ids"() IS 'Conversations of which the caller may read some stretch.';

COMMENT ON FUNCTION "private"."record_receipt"(text, text, text, text, text) IS 'Takes what a provider reports of a message, once for each p_event_id. p_status: sent, delivered, failed, bounced, complained or unregistered; the last three retire the address. The order of reports does not matter, and one of a message that is not known is kept until it is. Returns whether it is new. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."register_device_token"(text, text, text, text) IS 'Body of public.register_device_token.';

COMMENT ON FUNCTION "private"."remove_device_token"(uuid) IS 'Body of public.remove_device_token.';

COMMENT ON FUNCTION "private"."remove_participant"(uuid, uuid) IS 'Body of public.remove_participant.';

COMMENT ON FUNCTION "private"."require_attachment"(uuid, jsonb) IS 'Refuses metadata that names a record the caller may not read, or a file they have not uploaded for this conversation. For definer functions only. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."require_content"(text, text, boolean) IS 'Refuses a content that is no message. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."require_manager"(uuid) IS 'Locks a conversation whose participants the caller may change. For definer functions only. Errors: PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "private"."require_open_pair"(public.conversations) IS 'Refuses to write to somebody who is gone, locked, has blocked the caller or is blocked: one answer for all. For definer functions only. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."require_seat"(uuid) IS 'The caller''s stretch in a conversation in which they take part. For definer functions only. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."retire_delivery_addresses"(uuid[], text[], timestamp with time zone[]) IS 'Sends nothing more to where these deliveries went: the device, unless it was registered after p_since, or the address.';

COMMENT ON FUNCTION "private"."retry_delay_seconds"(integer, double precision) IS 'Seconds until the next attempt after p_failures failures before this one; p_random, 0 to 1, spreads them by a fifth to either side, so that what failed together does not come back together.';

COMMENT ON FUNCTION "private"."retry_delivery"(uuid) IS 'Body of public.retry_delivery.';

COMMENT ON FUNCTION "private"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) IS 'Body of public.send_message.';

COMMENT ON FUNCTION "private"."sent_before"(text, bytea) IS 'The message that the caller has sent under an id of theirs; null for none. For definer functions only. Errors: PT409 client_id_reused when it was another.';

COMMENT ON FUNCTION "private"."settle_conversation"(uuid) IS 'Locks a conversation in which something is about to be told, and sees to it that nobody hears it whose care is over. For definer functions only.';

COMMENT ON FUNCTION "private"."start_conversation"(uuid[], text, text) IS 'Body of public.start_conversation.';

COMMENT ON FUNCTION "private"."tell_of_dead_deliveries"(uuid[]) IS 'Tells administrators of deliveries that were given up; an unread notification a channel is enough.';

COMMENT ON FUNCTION "private"."tell_user"(uuid, text, jsonb) IS 'Tells one account something on its own channel, when the transaction commits. For definer functions only.';

COMMENT ON FUNCTION "private"."topic_conversation"() IS 'The conversation whose current topic Realtime asks about, if the caller takes part in it with a live session; a direct one only while the two can talk. Null otherwise. For definer functions only.';

COMMENT ON FUNCTION "private"."topic_is_readable"() IS 'Whether the topic that Realtime asks about is the caller''s own, with a live session, or that of a conversation in which they take part.';

COMMENT ON FUNCTION "private"."topic_is_shared"() IS 'Whether the topic that Realtime asks about is the current one of a conversation in which the caller takes part: there they may be present.';

COMMENT ON FUNCTION "private"."topic_of"(uuid, integer) IS 'Topic of a conversation in an epoch: conversation:<id>, then conversation:<id>:<epoch>. For definer functions only.';

COMMENT ON FUNCTION "private"."topic_takes_broadcasts"() IS 'Whether the caller may send to the topic that Realtime asks about. Not in a conversation about care: what a client sends may claim to be any event of anybody, a doctor''s message too, as policies do not see the event.';

COMMENT ON FUNCTION "private"."visible_message"(bigint) IS 'A message that the caller may read. For definer functions only. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."add_participant"(uuid, uuid, text) IS 'Adds somebody to a group (its owner or an admin; only the owner adds an admin) or to a conversation about care (the patient, a member of their care team). Their history starts here; who was there before reads again what was said then, and nothing of what was said in between; the conversation moves to another topic if anything was said, so that no replay tells it. Who may be added is as for start_conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found, PT409 already_participant or conversation_full (256).';

COMMENT ON FUNCTION "public"."conversation_topic"(uuid) IS 'Name of the private channel of a conversation in which the caller takes part. Ask again when joining is refused: the conversation has moved. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."delete_message"(bigint) IS 'Deletes a message of the caller''s: it stays in its place without content and attachment, and nobody reads them any more; deleting it again changes nothing. Everybody hears the event message_deleted. Errors: PT401 unauthenticated, PT403 forbidden (another''s), PT404 not_found.';

COMMENT ON FUNCTION "public"."delete_notification"(uuid) IS 'Deletes one of the caller''s notifications; what of it has not been sent is not sent any more, unless it is about security or an emergency. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."edit_message"(bigint, text) IS 'Changes the content of a message of the caller''s within 15 minutes, while they take part. Everybody hears the event message_edited, which is without content and metadata when somebody takes part who came after the message: who may read it reads it from messages. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (another''s), PT404 not_found, PT409 already_deleted or edit_window_over.';

COMMENT ON FUNCTION "public"."leave_conversation"(uuid) IS 'The caller takes part no more. An owner passes the group on, to an admin or to whoever has been there longest; a conversation about care that its patient leaves ends for all. Errors: PT401 unauthenticated, PT403 forbidden for a direct conversation, PT404 not_found.';

COMMENT ON FUNCTION "public"."list_conversations"(integer, text) IS 'Conversations in which the caller takes part, the one with the newest message first: topic (the private channel to join), peer_id (the other account of a direct one), the caller''s role, active_at (time of the newest message, else of the start), unread_count (messages after what the caller has read or written, tombstones included), last_message as list_messages shows it (null when the caller came after it). p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."list_dead_deliveries"(integer, text) IS 'Administrators: deliveries that were given up after their last attempt, newest first; kind and code, no words and no address. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden.';

COMMENT ON FUNCTION "public"."list_messages"(uuid, integer, text) IS 'Messages of a conversation that were written while the caller took part, newest first; of one about care only while it is in force. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."list_notifications"(integer, text, boolean) IS 'The caller''s notifications, newest first; p_unread_only leaves out those that were read. Each row brings the number of all that are unread. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) IS 'The caller has read a conversation up to a message, and with it the notification of new messages; an earlier one than before changes nothing. Everybody hears the event read. In a direct conversation whose two cannot talk only the notification is read, so that a block looks like a lock. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."mute_conversation"(uuid, timestamp with time zone) IS 'No notifications of this conversation until then (infinity: for good); null ends it. Messages come as before, and nobody else learns of it. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."register_device_token"(text, text, text, text) IS 'Registers the device for the caller''s pushes, at each start of the app: p_platform fcm with the registration token, or webpush with the endpoint as p_token, p_p256dh and p_auth. A device that was another account''s is the caller''s from then on; of more than 20 the newest count. Returns its id. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."remove_device_token"(uuid) IS 'Ends the caller''s pushes to a device, as on sign-out; removing it again changes nothing. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."remove_participant"(uuid, uuid) IS 'Removes somebody from a group (its owner; an admin removes members) or from a conversation about care (the patient). They keep what was said while they took part, if it is not about care, and hear nothing more: the conversation moves to another topic at once. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (also in a direct conversation), PT404 not_found.';

COMMENT ON FUNCTION "public"."retry_delivery"(uuid) IS 'Administrators: tries a delivery again that was given up, as if it were new; logged. Errors: PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) IS 'Writes to a conversation in which the caller takes part, and answers the message. p_client_id is the caller''s own id of it, 1 to 100 characters: sent again with the same contents it answers the same message, with others it is refused. p_content has 1 to 8,000 characters (null for an image or file without caption); p_kind text, image or file; p_metadata of those {record_id, name?} of a record the caller may read, or {path, mime, size, name?} of an object they uploaded to the bucket chat-attachments as <conversation_id>/<uuid>; p_reply_to_id a message of the conversation that the caller can see; p_is_encrypted: p_content is ciphertext, and is not looked at. To write is to have read. Everybody who takes part hears the event message, and is notified unless they have muted the conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found (also when the other account of a direct conversation is not to be reached), PT409 client_id_reused.';

COMMENT ON FUNCTION "public"."start_conversation"(uuid[], text, text) IS 'Starts a conversation with others: direct with one, and starting it again answers the one there is; a group with 1 to 255, of which the caller is the owner; or one about care, between a patient and members of their active care team (verified doctors, caregivers with the scope messages), started by either, of which the patient is the owner. Everybody must be somebody whose public face the caller sees; an account that is absent, locked, hidden, or that has blocked the caller or is blocked by them, are one and the same not_found. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (anonymous account) or mfa_required (a clinician, about care), PT404 not_found.';

COMMENT ON TABLE "private"."conversation_mutes" IS 'Until when somebody wants no notifications of a conversation. Apart from the participants, whose rows the others read, so that nobody learns who has muted them; list_conversations tells one''s own. Personal data.';

COMMENT ON TABLE "private"."delivery_receipts" IS 'What providers reported of messages, each report once, also of messages that are not known (yet). Not PHI: ids and codes.';

COMMENT ON TABLE "private"."messages_default" IS 'Messages of months that have no partition yet. PHI.';

COMMENT ON TABLE "private"."retired_addresses" IS 'E-mail addresses and numbers to which nothing is sent to an account any more, because a provider said that they do not exist or want nothing. By digest, so that another address works again.';

COMMENT ON TABLE "private"."sent_messages" IS 'What has been sent under which id of a sender, so that sending again sends nothing twice. One row a message: a constraint that messages, parted by time, could not hold. Personal data.';

COMMENT ON TABLE "public"."blocks" IS 'One account that another has blocked: it finds the other absent, and neither writes to the other directly. Personal data, for the blocker alone.';

COMMENT ON TABLE "public"."conversation_participants" IS 'One stretch of one person in one conversation, from joining to leaving; who comes back has another. History is what was said within one''s stretches. PHI if of care.';

COMMENT ON TABLE "public"."conversations" IS 'One conversation: direct (two people, once a pair), group (up to 256), care (a patient and members of their care team), community (none yet). PHI if of care: who is treated by whom; so rows with patient_id are clinical.';

COMMENT ON TABLE "public"."device_tokens" IS 'One installation of the app, or one browser, that takes pushes for the account that is signed in there. Personal data, no health data.';

COMMENT ON TABLE "public"."messages" IS 'One message. What people say, of their health too: PHI, and a clinical row if its conversation is about care. Deleted ones stay without what they said, and those of a closed account as they are.';

COMMENT ON TABLE "public"."notification_deliveries" IS 'One notification on its way to one address outside the app. Personal data: that somebody was told something. The address itself is not here; it is read when the row is claimed.';

COMMENT ON TABLE "public"."notification_preferences" IS 'What an account wants of one kind of notification on one channel; without a row the kind''s defaults hold. Personal data.';

COMMENT ON TYPE "public"."chat_message" IS 'One message as clients have it, from RPC and from the channel alike.';

COMMENT ON TYPE "public"."started_conversation" IS 'Answer of start_conversation. topic: name of the private channel, until the event moved names another.';

COMMENT ON VIEW "private"."notification_kinds" IS 'Every kind of notification. urgency: normal, or security and emergency, which wait for no quiet hours. channels: where it goes unless the preferences of an account say otherwise; none: only who asks for it gets it. required: what no preference switches off. collapse_key: the id in data of which an account has one unread notification at most. is_discreet: whether its words may stand on a locked screen, as they tell nothing of care.';

COMMENT ON VIEW "private"."notification_minimal_words" IS 'What leaves the app instead of the words of a kind, unless the account wants those: that there is something, and how urgent it is.';

COMMENT ON VIEW "private"."notification_templates" IS 'The words of every kind of notification by language (BCP 47). Each kind has English; no text says anything of somebody''s health, nor a name.';

COMMENT ON VIEW "private"."visible_profiles" IS 'The rows and columns of profiles that the caller may see of others. Runs with its owner''s rights on purpose: the policies of profiles show a caller only their own row, in full.';

COMMENT ON VIEW "public"."public_profiles" IS 'Public faces of accounts that are public, or connected with the caller by care, a share or a conversation, unless they have blocked the caller. Not PHI by itself.';

REVOKE ALL ON FUNCTION "private"."add_participant"(uuid, uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."add_participant"(uuid, uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."apply_receipts"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."as_chat_message"(public.messages) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."attachment_folders"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."attachment_folders"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."broadcast"(uuid, text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."broadcast_notification"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."care_patient"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."channel_is_on"(text, boolean, text[], text[], boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chat_patient_ids"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chat_seats"(jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."check_notification_preference"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."claim_deliveries"(integer, integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."claim_deliveries"(integer, integer) TO "notification_worker";

REVOKE ALL ON FUNCTION "private"."conversation_clock"(public.conversations) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."conversation_topic"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."conversation_topic"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."current_conversation_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."current_conversation_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."current_topic"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."delete_message"(bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."delete_message"(bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."delete_notification"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."delete_notification"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."delivery_backlog"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."delivery_backlog"() TO "notification_worker";

REVOKE ALL ON FUNCTION "private"."edit_message"(bigint, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."edit_message"(bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."end_care_conversations"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."end_lapsed_care"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."end_participation"(uuid, uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."enter_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."finish_deliveries"(jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."finish_deliveries"(jsonb) TO "notification_worker";

REVOKE ALL ON FUNCTION "private"."follow_block"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_care"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_joining"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_leaving"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_lock"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_message"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_reading"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."follow_verification"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."hidden_profile_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."hidden_profile_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."is_attachment"(text, jsonb, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."is_attachment"(text, jsonb, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."leave_conversation"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."leave_conversation"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."list_conversations"(integer, timestamp WITH time zone, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."list_conversations"(integer, timestamp WITH time zone, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."list_dead_deliveries"(integer, jsonb) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."list_dead_deliveries"(integer, jsonb) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."list_messages"(uuid, integer, timestamp WITH time zone, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."list_messages"(uuid, integer, timestamp WITH time zone, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."lock_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."lock_messages"(text, text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."mark_conversation_read"(uuid, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."mark_conversation_read"(uuid, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."move_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."move_conversations_of"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."mute_conversation"(uuid, timestamp WITH time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."mute_conversation"(uuid, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."notify_factor_change"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."notify_sign_in"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."pair_is_open"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."quiet_until"(timestamp WITH time zone, time WITHOUT time zone, time WITHOUT time zone, text) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."reachable_ids"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."readable_conversation_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."readable_conversation_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."record_receipt"(text, text, text, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."record_receipt"(text, text, text, text, text) TO "notification_worker";

REVOKE ALL ON FUNCTION "private"."register_device_token"(text, text, text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."register_device_token"(text, text, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."remove_device_token"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."remove_device_token"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."remove_participant"(uuid, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."remove_participant"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."require_attachment"(uuid, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_content"(text, text, boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_manager"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_open_pair"(public.conversations) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_seat"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."retire_delivery_addresses"(uuid[], text[], timestamp WITH time zone[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."retry_delay_seconds"(integer, double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."retry_delivery"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."retry_delivery"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."sent_before"(text, bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."settle_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."start_conversation"(uuid[], text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."start_conversation"(uuid[], text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."tell_of_dead_deliveries"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."tell_user"(uuid, text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."topic_conversation"() FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."topic_is_readable"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."topic_is_readable"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."topic_is_shared"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."topic_is_shared"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."topic_of"(uuid, integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."topic_takes_broadcasts"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."topic_takes_broadcasts"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."visible_message"(bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "public"."add_participant"(uuid, uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."add_participant"(uuid, uuid, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."add_participant"(uuid, uuid, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."conversation_topic"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."conversation_topic"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."conversation_topic"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_message"(bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."delete_message"(bigint) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_message"(bigint) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_notification"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."delete_notification"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."delete_notification"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."edit_message"(bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."edit_message"(bigint, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."edit_message"(bigint, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."leave_conversation"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."leave_conversation"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."leave_conversation"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_conversations"(integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_conversations"(integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_conversations"(integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_dead_deliveries"(integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_dead_deliveries"(integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_dead_deliveries"(integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_messages"(uuid, integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_messages"(uuid, integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_messages"(uuid, integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_notifications"(integer, text, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_notifications"(integer, text, boolean) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_notifications"(integer, text, boolean) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."register_device_token"(text, text, text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."register_device_token"(text, text, text, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."register_device_token"(text, text, text, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."remove_device_token"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."remove_device_token"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."remove_device_token"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."remove_participant"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."remove_participant"(uuid, uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."remove_participant"(uuid, uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."retry_delivery"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."retry_delivery"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."retry_delivery"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."start_conversation"(uuid[], text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."start_conversation"(uuid[], text, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."start_conversation"(uuid[], text, text) TO "postgres";

REVOKE ALL ON SCHEMA "private" FROM "notification_worker";

GRANT USAGE ON SCHEMA "private" TO "notification_worker";

REVOKE ALL ON SEQUENCE "public"."messages_id_seq" FROM "postgres";

GRANT SELECT, UPDATE, USAGE ON SEQUENCE "public"."messages_id_seq" TO "postgres";

REVOKE ALL ON TABLE "public"."blocks" FROM "authenticated";

REVOKE ALL ("blocked_id") ON TABLE "public"."blocks" FROM "authenticated";

GRANT INSERT ("blocked_id") ON TABLE "public"."blocks" TO "authenticated";

GRANT DELETE, SELECT ON TABLE "public"."blocks" TO "authenticated";

REVOKE ALL ON TABLE "public"."blocks" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."blocks" TO "postgres";

REVOKE ALL ON TABLE "public"."conversation_participants" FROM "authenticated";

GRANT SELECT ON TABLE "public"."conversation_participants" TO "authenticated";

REVOKE ALL ON TABLE "public"."conversation_participants" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."conversation_participants" TO "postgres";

REVOKE ALL ON TABLE "public"."conversations" FROM "authenticated";

GRANT SELECT ON TABLE "public"."conversations" TO "authenticated";

REVOKE ALL ON TABLE "public"."conversations" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."conversations" TO "postgres";

REVOKE ALL ON TABLE "public"."device_tokens" FROM "authenticated";

GRANT SELECT ON TABLE "public"."device_tokens" TO "authenticated";

REVOKE ALL ON TABLE "public"."device_tokens" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."device_tokens" TO "postgres";

REVOKE ALL ON TABLE "public"."messages" FROM "authenticated";

GRANT SELECT ON TABLE "public"."messages" TO "authenticated";

REVOKE ALL ON TABLE "public"."messages" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."messages" TO "postgres";

REVOKE ALL ON TABLE "public"."notification_deliveries" FROM "authenticated";

GRANT SELECT ON TABLE "public"."notification_deliveries" TO "authenticated";

REVOKE ALL ON TABLE "public"."notification_deliveries" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."notification_deliveries" TO "postgres";

REVOKE ALL ON TABLE "public"."notification_preferences" FROM "authenticated";

REVOKE ALL ("channel") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("channel"), UPDATE ("channel") ON TABLE "public"."notification_preferences" TO "authenticated";

REVOKE ALL ("detail") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("detail"), UPDATE ("detail") ON TABLE "public"."notification_preferences" TO "authenticated";

REVOKE ALL ("enabled") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("enabled"), UPDATE ("enabled") ON TABLE "public"."notification_preferences" TO "authenticated";

REVOKE ALL ("kind") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("kind"), UPDATE ("kind") ON TABLE "public"."notification_preferences" TO "authenticated";

REVOKE ALL ("quiet_from") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("quiet_from"), UPDATE ("quiet_from") ON TABLE "public"."notification_preferences" TO "authenticated";

REVOKE ALL ("quiet_to") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("quiet_to"), UPDATE ("quiet_to") ON TABLE "public"."notification_preferences" TO "authenticated";

GRANT DELETE, SELECT ON TABLE "public"."notification_preferences" TO "authenticated";

REVOKE ALL ON TABLE "public"."notification_preferences" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."notification_preferences" TO "postgres";

GRANT SELECT ON TABLE "private"."visible_profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."public_profiles" FROM "authenticated";

GRANT SELECT ON TABLE "public"."public_profiles" TO "authenticated";

REVOKE ALL ON TABLE "public"."public_profiles" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."public_profiles" TO "postgres";

ALTER TABLE "public"."blocks"
  ADD CONSTRAINT "blocks_blocker_id_fkey" FOREIGN KEY (blocker_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

CREATE POLICY "blocks_delete_authenticated" ON "public"."blocks"
  FOR DELETE
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (blocker_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "blocks_insert_authenticated" ON "public"."blocks"
  FOR INSERT
  TO "authenticated"
  WITH CHECK ((( SELECT private.session_is_live() AS session_is_live) AND (blocker_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "blocks_select_authenticated" ON "public"."blocks"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (blocker_id = ( SELECT auth.uid() AS uid))));

COMMENT ON COLUMN "public"."blocks"."blocker_id" IS 'Who blocks; the caller.';

REVOKE ALL ("blocker_id") ON TABLE "public"."blocks" FROM "authenticated";

GRANT INSERT ("blocker_id") ON TABLE "public"."blocks" TO "authenticated";

ALTER TABLE "public"."notification_preferences"
  ADD CONSTRAINT "notification_preferences_user_id_fkey" FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

CREATE POLICY "notification_preferences_delete_authenticated" ON "public"."notification_preferences"
  FOR DELETE
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "notification_preferences_insert_authenticated" ON "public"."notification_preferences"
  FOR INSERT
  TO "authenticated"
  WITH CHECK ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "notification_preferences_select_authenticated" ON "public"."notification_preferences"
  FOR SELECT
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

CREATE POLICY "notification_preferences_update_authenticated" ON "public"."notification_preferences"
  FOR UPDATE
  TO "authenticated"
  USING ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))))
  WITH CHECK ((( SELECT private.session_is_live() AS session_is_live) AND (user_id = ( SELECT auth.uid() AS uid))));

COMMENT ON COLUMN "public"."notification_preferences"."user_id" IS 'The account; the caller by default.';

REVOKE ALL ("user_id") ON TABLE "public"."notification_preferences" FROM "authenticated";

GRANT INSERT ("user_id"), UPDATE ("user_id") ON TABLE "public"."notification_preferences" TO "authenticated";

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_metadata_check"
    CHECK ((((kind = 'system'::text) AND (jsonb_typeof(metadata) = 'object'::text)) OR private.is_attachment(kind, metadata, is_encrypted) OR (deleted_at IS NOT NULL)));
