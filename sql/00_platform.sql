-- Platform: what every domain stands on. Extensions, the schema `private`, worker roles, the clock of
-- `updated_at`, and the rate limiter that serves when Redis is not configured.
-- Needs: nothing. Policies: policies/00_platform.sql.

create extension if not exists btree_gist with schema extensions;
create extension if not exists citext with schema extensions;
create extension if not exists pg_trgm with schema extensions;
create extension if not exists pgcrypto with schema extensions;

create schema if not exists private;
comment on schema private is
  'Helpers that see past a caller''s policies, and tables that no client reads. Not served by the API.';

-- Roles belong to the cluster, not to a database, so each is made only where it is missing.
do $$
declare
  v_name text;
begin
  foreach v_name in array array[
    'records_worker', 'rate_limit_worker', 'identity_worker', 'audit_worker', 'keys_worker',
    'notification_worker', 'reminder_worker'
  ] loop
    if not exists (select 1 from pg_catalog.pg_roles where rolname = v_name) then
      execute format('create role %I nologin noinherit', v_name);
      execute format('grant %I to postgres with inherit false, set true', v_name);
    end if;
  end loop;
end
$$;

create function private.set_updated_at()
  returns trigger
  language plpgsql
  set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end;
$$;
comment on function private.set_updated_at() is
  'Trigger: stamps updated_at with the time of the transaction.';
revoke execute on function private.set_updated_at() from public, anon, authenticated, service_role;

create function private.is_timezone(p_name text)
  returns boolean
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  -- Only names of the IANA database: 'Asia/Kolkata', 'UTC'; abbreviations and offsets are not zones. A
  -- name with digits might be an offset in POSIX form, which the server takes whatever it begins with.
  perform now() at time zone p_name;
  return p_name ~ '^(UTC|Etc/GMT[+-][0-9]{1,2}|[A-Z][A-Za-z_+-]+(/[A-Za-z_+-]+)+)$';
exception
  when invalid_parameter_value then
    return false;
end;
$$;
comment on function private.is_timezone(text) is
  'Whether a text is the name of an IANA time zone, for example Asia/Kolkata; null for null.';
revoke execute on function private.is_timezone(text) from public, anon, service_role;
grant execute on function private.is_timezone(text) to authenticated;

create function private.is_sealed(p_value text, p_min_bytes integer, p_max_bytes integer)
  returns boolean
  language sql
  immutable
  set search_path = ''
as $$
  select p_value is null
    or p_value ~ (
        '^v1\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
        || '\.([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}(==|[A-Za-z0-9+/]=))?$'
      )
      -- Of three bytes come four letters; 28 bytes are the nonce and the tag.
      and length(rtrim(split_part(p_value, '.', 3), '=')) * 3 / 4 - 28
        between p_min_bytes and p_max_bytes
$$;
comment on function private.is_sealed(text, integer, integer) is
  'Whether a text is a field sealed by a function, v1.<data key>.<base64 of nonce, ciphertext, '
  'tag>, whose plaintext has so many bytes; true for null. For check constraints: no plaintext has '
  'this form.';
revoke execute on function private.is_sealed(text, integer, integer)
  from public, anon, service_role;
grant execute on function private.is_sealed(text, integer, integer) to authenticated;

-- Keyset pages -----------------------------------------------------------------------------------
-- A cursor is the sort key of a page's last row, as base64 of a JSON array. It holds nothing that the
-- row it came with did not show, and gives no right: the policies filter every page alike.

create function private.make_cursor(p_key jsonb)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select translate(encode(convert_to(p_key::text, 'UTF8'), 'base64'), E'\n', '')
$$;
comment on function private.make_cursor(jsonb) is 'Writes a sort key as a cursor.';

create function private.read_cursor(p_cursor text, p_types text[])
  returns jsonb
  language plpgsql
  immutable
  set search_path = ''
as $$
declare
  v_key jsonb;
begin
  if p_cursor is null then
    return null;
  end if;
  v_key := convert_from(decode(p_cursor, 'base64'), 'UTF8')::jsonb;
  if jsonb_typeof(v_key) <> 'array'
    or jsonb_array_length(v_key) <> cardinality(p_types)
    or exists (
      select 1
      from unnest(p_types) with ordinality as t (name, position)
      where not coalesce(pg_input_is_valid(v_key ->> (position - 1)::integer, name), false)
    )
  then
    raise data_exception;
  end if;
  return v_key;
exception
  when data_exception then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = 'Cannot read p_cursor: pass the cursor of the last row of the page before';
end;
$$;
comment on function private.read_cursor(text, text[]) is
  'Reads a cursor back as an array whose parts can be cast to `p_types`, none of them null; null '
  'for null. Errors: PT400 invalid_request.';

create function private.require_page_size(p_limit integer)
  returns void
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  if p_limit is null or p_limit not between 1 and 100 then
    raise exception using errcode = 'PT400', message = 'invalid_request',
      detail = format('Cannot list as p_limit must be 1 to 100: current value is %s', p_limit);
  end if;
end;
$$;
comment on function private.require_page_size(integer) is
  'Refuses a page of less than 1 or more than 100 rows. Errors: PT400 invalid_request.';

create function private.like_escape(p_text text)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select replace(replace(replace(p_text, '\', '\\'), '%', '\%'), '_', '\_')
$$;
comment on function private.like_escape(text) is 'Makes a text match itself in LIKE and ILIKE.';

revoke execute on function
  private.make_cursor(jsonb), private.read_cursor(text, text[]), private.like_escape(text),
  private.require_page_size(integer)
from public, anon, service_role;
grant execute on function
  private.make_cursor(jsonb), private.read_cursor(text, text[]), private.like_escape(text),
  private.require_page_size(integer)
to authenticated;

-- Rate limits ------------------------------------------------------------------------------------

create unlogged table private.rate_limits (
  key text primary key,
  tokens double precision not null,
  granted boolean not null,
  refilled_at timestamptz not null,

  constraint rate_limits_key_check check (length(key) between 1 and 200),
  constraint rate_limits_tokens_check check (tokens >= 0)
);
comment on table private.rate_limits is
  'Token buckets, one a key. Not PHI: the key is a digest of route and caller. Unlogged, because a '
  'bucket that a crash empties is full again, which harms nobody.';
comment on column private.rate_limits.tokens is 'Tokens left at refilled_at.';
comment on column private.rate_limits.granted is 'Whether the newest request got a token.';

create index rate_limits_refilled_at_idx on private.rate_limits (refilled_at);

create function private.take_rate_token(
  p_key text,
  p_capacity integer,
  p_refill_seconds integer
)
  returns table (allowed boolean, remaining integer, reset_seconds integer)
  language plpgsql
  security definer -- the worker may take a token, not read or write the buckets
  set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_per_second constant double precision := p_capacity::double precision / p_refill_seconds;
  v_bucket private.rate_limits;
begin
  insert into private.rate_limits as b (key, tokens, granted, refilled_at)
  values (p_key, p_capacity - 1, true, v_now)
  on conflict (key) do update set
    (tokens, granted, refilled_at) = (
      -- A refusal leaves tokens and time as they are, so that hammering does not delay the refill;
      -- another request may have passed us while we waited for the row, hence the greatest().
      select
        case when filled.tokens >= 1 then filled.tokens - 1 else b.tokens end,
        filled.tokens >= 1,
        case when filled.tokens >= 1 then greatest(v_now, b.refilled_at) else b.refilled_at end
      from (
        select least(
          p_capacity,
          b.tokens
            + greatest(0, extract(epoch from v_now - b.refilled_at)::double precision)
            * v_per_second
        ) as tokens
      ) as filled
    )
  returning b.* into v_bucket;

  allowed := v_bucket.granted;
  remaining := case when allowed then floor(v_bucket.tokens)::integer else 0 end;
  reset_seconds := case
    when allowed then ceil((p_capacity - v_bucket.tokens) / v_per_second)::integer
    else greatest(1, ceil(
      (1 - v_bucket.tokens) / v_per_second - extract(epoch from v_now - v_bucket.refilled_at)
    )::integer)
  end;
  return next;
end;
$$;
comment on function private.take_rate_token(text, integer, integer) is
  'Takes one token of the bucket `p_key`, which holds `p_capacity` and fills up in '
  '`p_refill_seconds`. Returns whether there was one, whole tokens left, and the seconds until the '
  'bucket is full (taken) or has its next token (refused).';
revoke execute on function private.take_rate_token(text, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function private.take_rate_token(text, integer, integer) to rate_limit_worker;
