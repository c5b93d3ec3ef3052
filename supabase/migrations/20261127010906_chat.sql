-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

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
  "blocked_id" uuid                     NOT NULL,
  "created_at" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT "blocks_pkey" PRIMARY KEY (id),
  "blocker_id" uuid                     NOT NULL DEFAULT auth.uid(),
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
  p_code          text DEFAULT NULL::text
)
  RETURNS text
  LANGUAGE sql
  IMMUTABLE
  SET search_path TO ''
  AS $function$
  select case
    when p_action like 'refuse\_%' then
      'Tried to ' || case p_action
        when 'refuse_open_chart' then 'open your chart'
        when 'refuse_break_glass' then 'open your chart in an emergency'
        when 'refuse_open_record' then 'read a record'
        when 'refuse_download_file' then 'download a file of a record'
        when 'refuse_import_records' then 'import records for you'
        when 'refuse_export_records' then 'export your records'
        else format(
          '%s (%s)', replace(substr(p_action, 8), '_', ' '), private.access_object(p_resource_type)
        )
      end || ' and was refused' || case p_code
        when 'not_found' then ': had no right to it'
        when 'not_verified' then ': is not a verified clinician'
        when 'mfa_required' then ': had signed in without a second factor'
        when 'forbidden' then ': you share it for viewing only'
        when 'review_pending' then ': an earlier emergency of theirs has not been reviewed'
        when 'already_in_care' then ': is in your care team, who need no emergency'
        else ''
      end
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
    left_at = private.conversation_clock(v_conversation),
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
begin
  perform private.broadcast(
    new.conversation_id,
    case
      when tg_op = 'INSERT' then 'message'
      when new.deleted_at is not null then 'message_deleted'
      else 'message_edited'
    end,
    to_jsonb(private.as_chat_message(new))
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
  update public.conversation_participants as p set
    last_read_message_id = v_message.id,
    last_read_seq = v_message.seq
  where p.id = v_seat.id and p.left_at is null and p.last_read_seq < v_message.seq;
  update public.notifications as n set read_at = now()
  where n.user_id = v_seat.user_id and n.kind = 'new_message' and n.collapse_key = p_id::text
    and n.read_at is null;
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
    or private.topic_is_writable();
end;
$function$;

CREATE OR REPLACE FUNCTION private.topic_is_writable()
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
  -- Whatever a client names is asked here; most of it is no topic of ours.
  if v_topic is null
    or v_topic !~ '^conversation:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[1-9][0-9]{0,8})?$'
  then
    return false;
  end if;
  return exists (
    select
    from private.chat_seats(v_claims) as s
    join public.conversations as c on c.id = s.conversation_id
    where s.conversation_id = split_part(v_topic, ':', 2)::uuid
      and s.left_at is null
      and private.topic_of(c.id, c.epoch) = v_topic
      and (c.pair is null or private.pair_is_open(c.pair))
  );
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

CREATE INDEX blocks_blocked_id_idx ON public.blocks USING btree (blocked_id);

CREATE INDEX conversation_participants_conversation_id_idx ON public.conversation_participants USING btree (conversation_id, user_id, joined_seq);

CREATE UNIQUE INDEX conversation_participants_one_current ON public.conversation_participants USING btree (conversation_id, user_id)
  WHERE (left_at IS NULL);

CREATE INDEX conversation_participants_patient_id_idx ON public.conversation_participants USING btree (patient_id);

CREATE INDEX conversation_participants_user_id_idx ON public.conversation_participants USING btree (user_id, conversation_id);

CREATE INDEX conversations_created_by_idx ON public.conversations USING btree (created_by);

CREATE INDEX conversations_patient_id_idx ON public.conversations USING btree (patient_id);

CREATE INDEX messages_attachment_path_idx ON public.messages USING btree (attachment_path)
  WHERE (attachment_path IS NOT NULL);

CREATE INDEX messages_conversation_id_idx ON public.messages USING btree (conversation_id, seq DESC);

CREATE TABLE "private"."messages_default" PARTITION OF "public"."messages" DEFAULT;

ALTER TABLE "private"."messages_default"
  ENABLE ROW LEVEL SECURITY;

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

CREATE POLICY "messages_insert_authenticated" ON "realtime"."messages"
  FOR INSERT
  TO "authenticated"
  WITH CHECK (((extension = ANY (ARRAY['broadcast'::text, 'presence'::text])) AND ( SELECT private.topic_is_writable() AS topic_is_writable)));

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
    ((storage.foldername(name))[1] = ANY (ARRAY( SELECT private.attachment_folders() AS attachment_folders)))));

CREATE POLICY "chat_attachments_select_authenticated" ON "storage"."objects"
  FOR SELECT
  TO "authenticated"
  USING
    (((bucket_id = 'chat-attachments'::text) AND (((owner_id = (( SELECT auth.uid() AS uid))::text) AND ((storage.foldername(name))[1] = ANY (ARRAY( SELECT
    private.attachment_folders() AS attachment_folders)))) OR (EXISTS ( SELECT
   FROM public.messages m
  WHERE (m.attachment_path = objects.name))))));

COMMENT ON COLUMN "private"."conversation_mutes"."muted_until" IS 'A time that has passed mutes nothing.';

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

COMMENT ON COLUMN "public"."conversations"."epoch" IS 'Which topic is the current one: conversation:<id> at first, conversation:<id>:<epoch> after. Raised whenever somebody is to hear no more, as a channel that is joined stays joined.';

COMMENT ON COLUMN "public"."conversations"."last_seq" IS 'Number of the newest message. Messages are counted under a lock on this row, so the number, the id and the order of commits agree, and unread is a difference of two numbers.';

COMMENT ON COLUMN "public"."conversations"."pair" IS 'The two accounts of a direct conversation, the smaller id first; null for other kinds.';

COMMENT ON COLUMN "public"."conversations"."patient_id" IS 'Whose care it is about; set for the kind care only.';

COMMENT ON COLUMN "public"."conversations"."title" IS 'Name of a group or of a conversation of care.';

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

COMMENT ON FUNCTION "private"."add_participant"(uuid, uuid, text) IS 'Body of public.add_participant.';

COMMENT ON FUNCTION "private"."as_chat_message"(public.messages) IS 'A message as clients have it.';

COMMENT ON FUNCTION "private"."attachment_folders"() IS 'Folders of the bucket chat-attachments to which the caller may upload: those of the conversations in which they take part.';

COMMENT ON FUNCTION "private"."broadcast"(uuid, text, jsonb) IS 'Tells those who take part in a conversation something, when the transaction commits. For definer functions only, under a lock on the conversation, so that it does not move meanwhile.';

COMMENT ON FUNCTION "private"."care_patient"(uuid[]) IS 'The first of some people who is a patient and in whose care team all the others are; null for none.';

COMMENT ON FUNCTION "private"."chat_patient_ids"(uuid) IS 'Patients with whom somebody may chat about their care: as a verified doctor in care, or as a caregiver with the scope messages. For definer functions only.';

COMMENT ON FUNCTION "private"."chat_seats"(jsonb) IS 'The stretches, past ones too, of the account of a token''s claims, while its session is live. Those of care only while the care is in force, as a patient or by chat_patient_ids, and with the second factor that clinical rows ask for. For definer functions only.';

COMMENT ON FUNCTION "private"."connected_profile_ids"() IS 'Accounts whose public face the caller may see because they are in care together, because a record is shared between them, or because both take part in a conversation.';

COMMENT ON FUNCTION "private"."conversation_clock"(public.conversations) IS 'Now, and never before the newest message, so that times in a conversation have the order of its numbers even when the clock is set back. To be called under the lock on the conversation.';

COMMENT ON FUNCTION "private"."conversation_topic"(uuid) IS 'Body of public.conversation_topic.';

COMMENT ON FUNCTION "private"."current_conversation_ids"() IS 'Conversations in which the caller takes part now.';

COMMENT ON FUNCTION "private"."current_topic"(uuid) IS 'Topic on which a conversation is now. For definer functions only.';

COMMENT ON FUNCTION "private"."delete_message"(bigint) IS 'Body of public.delete_message.';

COMMENT ON FUNCTION "private"."edit_message"(bigint, text) IS 'Body of public.edit_message.';

COMMENT ON FUNCTION "private"."end_barred_sessions"() IS 'Trigger on auth.users: whoever is banned or deleted loses every session at once, where Auth alone would let them run until the next refresh, and hears no conversation any more.';

COMMENT ON FUNCTION "private"."end_care_conversations"(uuid) IS 'Ends the stretches of somebody in conversations about care in which they are no more. For definer functions only.';

COMMENT ON FUNCTION "private"."end_lapsed_care"(uuid) IS 'Ends the stretches of those whose care has run out by time alone, which nothing else notices. For definer functions only.';

COMMENT ON FUNCTION "private"."end_participation"(uuid, uuid) IS 'Ends somebody''s stretch at the newest message, and passes a group on when its owner goes. For definer functions only.';

COMMENT ON FUNCTION "private"."enter_conversation"(uuid) IS 'Locks a conversation in which the caller takes part, as settle_conversation. For definer functions only. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."follow_block"() IS 'Trigger: a block cuts the channel that the two have joined, as the lock of either account would.';

COMMENT ON FUNCTION "private"."follow_care"() IS 'Trigger: care that ends, or loses the scope messages, takes its member out of the conversations about it in the same transaction.';

COMMENT ON FUNCTION "private"."follow_joining"() IS 'Trigger: tells whoever joins a conversation, on their own channel, and logs it.';

COMMENT ON FUNCTION "private"."follow_leaving"() IS 'Trigger: whoever stops taking part, for whatever cause, hears nothing more: the conversation moves to another topic in the same transaction. Tells those who stay and those who go, and logs it.';

COMMENT ON FUNCTION "private"."follow_lock"() IS 'Trigger: an account that is locked or closed hears nothing more; its stretches go on, for it may be unlocked.';

COMMENT ON FUNCTION "private"."follow_message"() IS 'Trigger: a message that is written, edited or deleted goes to the channel of its conversation in the same transaction, and a new one is notified to the others who have not muted it.';

COMMENT ON FUNCTION "private"."follow_reading"() IS 'Trigger: tells a conversation how far somebody has read.';

COMMENT ON FUNCTION "private"."follow_verification"() IS 'Trigger: who is no verified clinician any more leaves the conversations about care.';

COMMENT ON FUNCTION "private"."hidden_profile_ids"() IS 'Accounts that have blocked the caller, who finds them absent.';

COMMENT ON FUNCTION "private"."is_attachment"(text, jsonb, boolean) IS 'Whether metadata has the form that a kind of message asks for. image and file: {record_id, name?} of a medical record, or {path, mime, size, name?} of an object in the bucket chat-attachments, size in bytes up to 25 MiB; others: {}.';

COMMENT ON FUNCTION "private"."leave_conversation"(uuid) IS 'Body of public.leave_conversation.';

COMMENT ON FUNCTION "private"."list_conversations"(integer, timestamp with time zone, uuid) IS 'Body of public.list_conversations.';

COMMENT ON FUNCTION "private"."list_messages"(uuid, integer, timestamp with time zone, bigint) IS 'Body of public.list_messages.';

COMMENT ON FUNCTION "private"."lock_conversation"(uuid) IS 'A conversation, locked until the transaction ends, as it is once the lock is there.';

COMMENT ON FUNCTION "private"."mark_conversation_read"(uuid, bigint) IS 'Body of public.mark_conversation_read.';

COMMENT ON FUNCTION "private"."move_conversation"(uuid) IS 'Sends a conversation to another topic and tells it on the old one: `moved`, with topic and the number of the newest message, after which whoever joins there lists what they have missed. For definer functions only.';

COMMENT ON FUNCTION "private"."move_conversations_of"(uuid) IS 'Moves every conversation in which somebody takes part. For definer functions only.';

COMMENT ON FUNCTION "private"."mute_conversation"(uuid, timestamp with time zone) IS 'Body of public.mute_conversation.';

COMMENT ON FUNCTION "private"."pair_is_open"(uuid[]) IS 'Whether two people can talk directly: neither account is closed or locked, and neither has blocked the other. One answer for all of it, so that no reason can be told from another. For definer functions only.';

COMMENT ON FUNCTION "private"."reachable_ids"(uuid[]) IS 'Those of some accounts whom the caller may start to talk to: whose public face they see (which whoever has blocked them does not show), and whom they have not blocked. For definer functions only.';

COMMENT ON FUNCTION "private"."readable_conversation_ids"() IS 'Conversations of which the caller may read some stretch.';

COMMENT ON FUNCTION "private"."remove_participant"(uuid, uuid) IS 'Body of public.remove_participant.';

COMMENT ON FUNCTION "private"."require_attachment"(uuid, jsonb) IS 'Refuses metadata that names a record the caller may not read, or a file they have not uploaded for this conversation. For definer functions only. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."require_content"(text, text, boolean) IS 'Refuses a content that is no message. Errors: PT400 invalid_request.';

COMMENT ON FUNCTION "private"."require_manager"(uuid) IS 'Locks a conversation whose participants the caller may change. For definer functions only. Errors: PT401 unauthenticated, PT403 forbidden, PT404 not_found.';

COMMENT ON FUNCTION "private"."require_open_pair"(public.conversations) IS 'Refuses to write to somebody who is gone, locked, has blocked the caller or is blocked: one answer for all. For definer functions only. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."require_seat"(uuid) IS 'The caller''s stretch in a conversation in which they take part. For definer functions only. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "private"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) IS 'Body of public.send_message.';

COMMENT ON FUNCTION "private"."sent_before"(text, bytea) IS 'The message that the caller has sent under an id of theirs; null for none. For definer functions only. Errors: PT409 client_id_reused when it was another.';

COMMENT ON FUNCTION "private"."settle_conversation"(uuid) IS 'Locks a conversation in which something is about to be told, and sees to it that nobody hears it whose care is over. For definer functions only.';

COMMENT ON FUNCTION "private"."start_conversation"(uuid[], text, text) IS 'Body of public.start_conversation.';

COMMENT ON FUNCTION "private"."tell_user"(uuid, text, jsonb) IS 'Tells one account something on its own channel, when the transaction commits. For definer functions only.';

COMMENT ON FUNCTION "private"."topic_is_readable"() IS 'Whether the topic that Realtime asks about is the caller''s own, with a live session, or one that they may write to.';

COMMENT ON FUNCTION "private"."topic_is_writable"() IS 'Whether the topic that Realtime asks about is the current one of a conversation in which the caller takes part, with a live session; a direct one only while the two can talk.';

COMMENT ON FUNCTION "private"."topic_of"(uuid, integer) IS 'Topic of a conversation in an epoch: conversation:<id>, then conversation:<id>:<epoch>. For definer functions only.';

COMMENT ON FUNCTION "private"."visible_message"(bigint) IS 'A message that the caller may read. For definer functions only. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."add_participant"(uuid, uuid, text) IS 'Adds somebody to a group (its owner or an admin; only the owner adds an admin) or to a conversation about care (the patient, a member of their care team). Their history starts here; who was there before reads again what was said then, and nothing of what was said in between. Who may be added is as for start_conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden, PT404 not_found, PT409 already_participant or conversation_full (256).';

COMMENT ON FUNCTION "public"."conversation_topic"(uuid) IS 'Name of the private channel of a conversation in which the caller takes part. Ask again when joining is refused: the conversation has moved. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."delete_message"(bigint) IS 'Deletes a message of the caller''s: it stays in its place without content and attachment, and nobody reads them any more; deleting it again changes nothing. Everybody hears the event message_deleted. Errors: PT401 unauthenticated, PT403 forbidden (another''s), PT404 not_found.';

COMMENT ON FUNCTION "public"."edit_message"(bigint, text) IS 'Changes the content of a message of the caller''s within 15 minutes, while they take part. Everybody hears the event message_edited. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (another''s), PT404 not_found, PT409 already_deleted or edit_window_over.';

COMMENT ON FUNCTION "public"."leave_conversation"(uuid) IS 'The caller takes part no more. An owner passes the group on, to an admin or to whoever has been there longest; a conversation about care that its patient leaves ends for all. Errors: PT401 unauthenticated, PT403 forbidden for a direct conversation, PT404 not_found.';

COMMENT ON FUNCTION "public"."list_conversations"(integer, text) IS 'Conversations in which the caller takes part, the one with the newest message first: topic (the private channel to join), peer_id (the other account of a direct one), the caller''s role, active_at (time of the newest message, else of the start), unread_count (messages after what the caller has read or written, tombstones included), last_message as list_messages shows it (null when the caller came after it). p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated.';

COMMENT ON FUNCTION "public"."list_messages"(uuid, integer, text) IS 'Messages of a conversation that were written while the caller took part, newest first; of one about care only while it is in force. p_limit 1 to 100; p_cursor is the cursor of the last row of the page before. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) IS 'The caller has read a conversation up to a message, and with it the notification of new messages; an earlier one than before changes nothing. Everybody hears the event read. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."mute_conversation"(uuid, timestamp with time zone) IS 'No notifications of this conversation until then (infinity: for good); null ends it. Messages come as before, and nobody else learns of it. Errors: PT401 unauthenticated, PT404 not_found.';

COMMENT ON FUNCTION "public"."remove_participant"(uuid, uuid) IS 'Removes somebody from a group (its owner; an admin removes members) or from a conversation about care (the patient). They keep what was said while they took part, if it is not about care, and hear nothing more: the conversation moves to another topic at once. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (also in a direct conversation), PT404 not_found.';

COMMENT ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) IS 'Writes to a conversation in which the caller takes part, and answers the message. p_client_id is the caller''s own id of it, 1 to 100 characters: sent again with the same contents it answers the same message, with others it is refused. p_content has 1 to 8,000 characters (null for an image or file without caption); p_kind text, image or file; p_metadata of those {record_id, name?} of a record the caller may read, or {path, mime, size, name?} of an object they uploaded to the bucket chat-attachments as <conversation_id>/<uuid>; p_reply_to_id a message of the conversation that the caller can see; p_is_encrypted: p_content is ciphertext, and is not looked at. To write is to have read. Everybody who takes part hears the event message, and is notified unless they have muted the conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found (also when the other account of a direct conversation is not to be reached), PT409 client_id_reused.';

COMMENT ON FUNCTION "public"."start_conversation"(uuid[], text, text) IS 'Starts a conversation with others: direct with one, and starting it again answers the one there is; a group with 1 to 255, of which the caller is the owner; or one about care, between a patient and members of their active care team (verified doctors, caregivers with the scope messages), started by either, of which the patient is the owner. Everybody must be somebody whose public face the caller sees; an account that is absent, locked, hidden, or that has blocked the caller or is blocked by them, are one and the same not_found. Errors: PT400 invalid_request, PT401 unauthenticated, PT403 forbidden (anonymous account) or mfa_required (a clinician, about care), PT404 not_found.';

COMMENT ON TABLE "private"."conversation_mutes" IS 'Until when somebody wants no notifications of a conversation. Apart from the participants, whose rows the others read, so that nobody learns who has muted them; list_conversations tells one''s own. Personal data.';

COMMENT ON TABLE "private"."messages_default" IS 'Messages of months that have no partition yet. PHI.';

COMMENT ON TABLE "private"."sent_messages" IS 'What has been sent under which id of a sender, so that sending again sends nothing twice. One row a message: a constraint that messages, parted by time, could not hold. Personal data.';

COMMENT ON TABLE "public"."blocks" IS 'One account that another has blocked: it finds the other absent, and neither writes to the other directly. Personal data, for the blocker alone.';

COMMENT ON TABLE "public"."conversation_participants" IS 'One stretch of one person in one conversation, from joining to leaving; who comes back has another. History is what was said within one''s stretches. PHI if of care.';

COMMENT ON TABLE "public"."conversations" IS 'One conversation: direct (two people, once a pair), group (up to 256), care (a patient and members of their care team), community (none yet). PHI if of care: who is treated by whom; so rows with patient_id are clinical.';

COMMENT ON TABLE "public"."messages" IS 'One message. What people say, of their health too: PHI, and a clinical row if its conversation is about care. Deleted ones stay without what they said, and those of a closed account as they are.';

COMMENT ON TYPE "public"."chat_message" IS 'One message as clients have it, from RPC and from the channel alike.';

COMMENT ON TYPE "public"."started_conversation" IS 'Answer of start_conversation. topic: name of the private channel, until the event moved names another.';

COMMENT ON VIEW "private"."visible_profiles" IS 'The rows and columns of profiles that the caller may see of others. Runs with its owner''s rights on purpose: the policies of profiles show a caller only their own row, in full.';

COMMENT ON VIEW "public"."public_profiles" IS 'Public faces of accounts that are public, or connected with the caller by care, a share or a conversation, unless they have blocked the caller. Not PHI by itself.';

REVOKE ALL ON FUNCTION "private"."add_participant"(uuid, uuid, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."add_participant"(uuid, uuid, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."as_chat_message"(public.messages) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."attachment_folders"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."attachment_folders"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."broadcast"(uuid, text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."care_patient"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chat_patient_ids"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."chat_seats"(jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."conversation_clock"(public.conversations) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."conversation_topic"(uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."conversation_topic"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."current_conversation_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."current_conversation_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."current_topic"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."delete_message"(bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."delete_message"(bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."edit_message"(bigint, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."edit_message"(bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."end_care_conversations"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."end_lapsed_care"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."end_participation"(uuid, uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."enter_conversation"(uuid) FROM PUBLIC;

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

REVOKE ALL ON FUNCTION "private"."list_messages"(uuid, integer, timestamp WITH time zone, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."list_messages"(uuid, integer, timestamp WITH time zone, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."lock_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."mark_conversation_read"(uuid, bigint) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."mark_conversation_read"(uuid, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."move_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."move_conversations_of"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."mute_conversation"(uuid, timestamp WITH time zone) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."mute_conversation"(uuid, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."pair_is_open"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."reachable_ids"(uuid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."readable_conversation_ids"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."readable_conversation_ids"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."remove_participant"(uuid, uuid) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."remove_participant"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."require_attachment"(uuid, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_content"(text, text, boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_manager"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_open_pair"(public.conversations) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."require_seat"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."sent_before"(text, bytea) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."settle_conversation"(uuid) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."start_conversation"(uuid[], text, text) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."start_conversation"(uuid[], text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "private"."tell_user"(uuid, text, jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION "private"."topic_is_readable"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."topic_is_readable"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."topic_is_writable"() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."topic_is_writable"() TO "authenticated";

REVOKE ALL ON FUNCTION "private"."topic_of"(uuid, integer) FROM PUBLIC;

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

GRANT EXECUTE ON FUNCTION "public"."edit_message"(bigint, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."edit_message"(bigint, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."edit_message"(bigint, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."leave_conversation"(uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."leave_conversation"(uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."leave_conversation"(uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_conversations"(integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_conversations"(integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_conversations"(integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_messages"(uuid, integer, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."list_messages"(uuid, integer, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."list_messages"(uuid, integer, text) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."mark_conversation_read"(uuid, bigint) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."mute_conversation"(uuid, timestamp WITH time zone) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."remove_participant"(uuid, uuid) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."remove_participant"(uuid, uuid) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."remove_participant"(uuid, uuid) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) TO "postgres";

GRANT EXECUTE ON FUNCTION "public"."start_conversation"(uuid[], text, text) TO "authenticated";

REVOKE ALL ON FUNCTION "public"."start_conversation"(uuid[], text, text) FROM "postgres";

GRANT EXECUTE ON FUNCTION "public"."start_conversation"(uuid[], text, text) TO "postgres";

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

REVOKE ALL ON TABLE "public"."messages" FROM "authenticated";

GRANT SELECT ON TABLE "public"."messages" TO "authenticated";

REVOKE ALL ON TABLE "public"."messages" FROM "postgres";

GRANT DELETE, INSERT, MAINTAIN, REFERENCES, SELECT, TRIGGER, TRUNCATE, UPDATE ON TABLE "public"."messages" TO "postgres";

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

ALTER TABLE "public"."messages"
  ADD CONSTRAINT "messages_metadata_check"
    CHECK ((((kind = 'system'::text) AND (jsonb_typeof(metadata) = 'object'::text)) OR private.is_attachment(kind, metadata, is_encrypted) OR (deleted_at IS NOT NULL)));
