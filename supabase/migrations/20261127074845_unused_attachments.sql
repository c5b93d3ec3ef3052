-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

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
      and split_part(o.name, '/', 1) = p_conversation_id::text
      -- Older ones may be swept at any moment: private.unused_attachments.
      and o.created_at > now() - interval '1 hour';
  else
    return;
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'not_found',
      detail = 'No such record, or no such file that the caller has uploaded to the conversation''s '
        || 'folder within the hour';
  end if;
end;
$function$;

CREATE OR REPLACE FUNCTION private.unused_attachments (
  p_limit integer
)
  RETURNS SETOF text
  LANGUAGE sql
  STABLE
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  select o.name
  from storage.objects as o
  where o.bucket_id = 'chat-attachments' and o.created_at < now() - interval '2 hours'
    and not exists (select from public.messages as m where m.attachment_path = o.name)
  order by o.created_at, o.name
  limit p_limit
$function$;

COMMENT ON FUNCTION "private"."require_attachment"(uuid, jsonb) IS 'Refuses metadata that names a record the caller may not read, or a file they have not uploaded for this conversation within the hour. For definer functions only. Errors: PT404 not_found.';

COMMENT ON FUNCTION "private"."unused_attachments"(integer) IS 'Files of the bucket chat-attachments, oldest first, that were uploaded two hours ago or earlier and are in no message: never sent, or sent and deleted. They may be removed.';

COMMENT ON FUNCTION "public"."send_message"(uuid, text, text, text, jsonb, bigint, boolean) IS 'Writes to a conversation in which the caller takes part, and answers the message. p_client_id is the caller''s own id of it, 1 to 100 characters: sent again with the same contents it answers the same message, with others it is refused. p_content has 1 to 8,000 characters (null for an image or file without caption); p_kind text, image or file; p_metadata of those {record_id, name?} of a record the caller may read, or {path, mime, size, name?} of an object they uploaded to the bucket chat-attachments as <conversation_id>/<uuid>, within an hour; p_reply_to_id a message of the conversation that the caller can see; p_is_encrypted: p_content is ciphertext, and is not looked at. To write is to have read. Everybody who takes part hears the event message, and is notified unless they have muted the conversation. Errors: PT400 invalid_request, PT401 unauthenticated, PT404 not_found (also when the other account of a direct conversation is not to be reached), PT409 client_id_reused.';

REVOKE ALL ON FUNCTION "private"."unused_attachments"(integer) FROM PUBLIC;

GRANT EXECUTE ON FUNCTION "private"."unused_attachments"(integer) TO "records_worker";
