-- Made by `deno task db:diff` from sql/ and policies/; change those, not this file.

SET local check_function_bodies = off;

CREATE OR REPLACE FUNCTION private.claim_data_keys (
  p_key_version   integer,
  p_limit         integer,
  p_claim_seconds integer DEFAULT 60
)
  RETURNS TABLE (
    id          uuid,
    purpose     text,
    subject_id  uuid,
    key_id      text,
    key_version integer,
    wrapped_key text
  )
  LANGUAGE sql
  SECURITY DEFINER
  SET search_path TO ''
  AS $function$
  update private.data_keys as k
  set claimed_until = now() + make_interval(secs => p_claim_seconds)
  -- An array, which is made once: a join may look for the next ones again for each row, and take more.
  where k.id = any (array(
    select c.id
    from private.data_keys as c
    where c.key_version < p_key_version and c.erased_at is null
      and (c.claimed_until is null or c.claimed_until <= now())
    -- Those that failed before come last, so that they hold up nobody.
    order by c.claimed_until nulls first, c.key_version, c.id
    limit p_limit
    -- What another run is claiming at this moment, or somebody is erasing, is not waited for.
    for update skip locked
  ))
  returning k.id, k.purpose, k.subject_id, k.key_id, k.key_version, encode(k.wrapped_key, 'hex')
$function$;
