-- Schema storage: the tables, helper functions, guards and grants that hosted Supabase gives a
-- project, so that the product's policies and migrations run unchanged on both. Follows
-- platform.sql; run by `supabase_admin`; may be repeated. RLS is on and there is no policy: the
-- product's migrations bring them. Left out, because nothing here serves them: multipart and
-- resumable uploads, analytics and vector buckets.

-- Tables ------------------------------------------------------------------------------------------

do $$
begin
  if to_regtype('storage.buckettype') is null then
    create type storage.buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');
    alter type storage.buckettype owner to supabase_storage_admin;
  end if;
end
$$;

create table if not exists storage.buckets (
  id text primary key,
  name text not null unique,
  owner uuid,
  owner_id text,
  public boolean default false,
  avif_autodetection boolean default false,
  file_size_limit bigint,
  allowed_mime_types text[],
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
alter table storage.buckets
  add column if not exists type storage.buckettype not null default 'STANDARD';
comment on column storage.buckets.owner is 'Superseded by owner_id, kept for old policies.';
comment on column storage.buckets.file_size_limit is
  'Largest object, in bytes. Null: the limit of the whole server.';

create table if not exists storage.objects (
  id uuid primary key default gen_random_uuid(),
  bucket_id text references storage.buckets (id),
  name text,
  owner uuid,
  owner_id text,
  metadata jsonb,
  user_metadata jsonb,
  path_tokens text[] generated always as (string_to_array(name, '/')) stored,
  version text,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  last_accessed_at timestamptz default now()
);
comment on column storage.objects.owner is 'Superseded by owner_id, kept for old policies.';
comment on column storage.objects.version is 'Names the file that holds the bytes of this row.';

create unique index if not exists bucketid_objname on storage.objects (bucket_id, name);
create index if not exists name_prefix_search on storage.objects (name text_pattern_ops);
create index if not exists idx_objects_bucket_id_name
  on storage.objects (bucket_id, name collate "C");
create index if not exists idx_objects_bucket_id_name_lower
  on storage.objects (bucket_id, lower(name) collate "C");

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
alter table storage.buckets owner to supabase_storage_admin;
alter table storage.objects owner to supabase_storage_admin;
grant all on table storage.buckets, storage.objects to anon, authenticated, service_role;
grant all on table storage.buckets, storage.objects to postgres with grant option;

-- Helpers for policies ----------------------------------------------------------------------------

create or replace function storage.foldername(name text)
  returns text[]
  language sql
  immutable
as $$
  select (string_to_array(name, '/'))[1 : array_length(string_to_array(name, '/'), 1) - 1]
$$;
comment on function storage.foldername(text) is 'Folders of an object name: a/b/c.txt gives {a,b}.';

create or replace function storage.filename(name text)
  returns text
  language sql
  immutable
as $$
  select (string_to_array(name, '/'))[array_length(string_to_array(name, '/'), 1)]
$$;
comment on function storage.filename(text) is 'Last part of an object name: a/b/c.txt gives c.txt.';

create or replace function storage.extension(name text)
  returns text
  language sql
  immutable
as $$
  select reverse(split_part(reverse(storage.filename(name)), '.', 1))
$$;
comment on function storage.extension(text) is
  'What follows the last dot of the file name: a/b/c.tar.gz gives gz.';

create or replace function storage.operation()
  returns text
  language sql
  stable
as $$
  select current_setting('storage.operation', true)
$$;
comment on function storage.operation() is
  'Operation of the request that runs, for example storage.object.upload.';

create or replace function storage.allow_any_operation(expected_operations text[])
  returns boolean
  language sql
  stable
as $$
  select coalesce(
    regexp_replace(storage.operation(), '^storage\.', '') = any (
      select regexp_replace(expected, '^storage\.', '')
      from unnest(expected_operations) as expected
      where expected <> ''
    ),
    false
  )
$$;
comment on function storage.allow_any_operation(text[]) is
  'Whether the request is one of these operations; the prefix "storage." may be left out.';

create or replace function storage.allow_only_operation(expected_operation text)
  returns boolean
  language sql
  stable
as $$
  select storage.allow_any_operation(array[expected_operation])
$$;
comment on function storage.allow_only_operation(text) is
  'Whether the request is this operation; the prefix "storage." may be left out.';

create or replace function storage.get_size_by_bucket()
  returns table (size bigint, bucket_id text)
  language sql
  stable
as $$
  select sum((o.metadata ->> 'size')::bigint)::bigint, o.bucket_id
  from storage.objects as o
  group by o.bucket_id
$$;
comment on function storage.get_size_by_bucket() is
  'Bytes per bucket, of the objects that the caller may see.';

-- Listing -----------------------------------------------------------------------------------------

create or replace function storage.search(
  prefix text,
  bucketname text,
  limits integer default 100,
  levels integer default 1,
  offsets integer default 0,
  search text default '',
  sortcolumn text default 'name',
  sortorder text default 'asc'
)
  returns table (
    name text,
    id uuid,
    updated_at timestamptz,
    created_at timestamptz,
    last_accessed_at timestamptz,
    metadata jsonb
  )
  language sql
  stable
as $$
  with matching as (
    select o.path_tokens, o.id, o.updated_at, o.created_at, o.last_accessed_at, o.metadata
    from storage.objects as o
    where o.bucket_id = bucketname
      -- The same as a case-insensitive LIKE prefix, in a form that the index on lower(name) serves.
      and lower(o.name) collate "C" ^@ lower(coalesce(prefix, '') || coalesce(search, ''))
  ),
  entries as (
    select distinct
      m.path_tokens[levels] as name,
      null::uuid as id,
      null::timestamptz as updated_at,
      null::timestamptz as created_at,
      null::timestamptz as last_accessed_at,
      null::jsonb as metadata
    from matching as m
    where array_length(m.path_tokens, 1) > levels
    union all
    select m.path_tokens[levels], m.id, m.updated_at, m.created_at, m.last_accessed_at, m.metadata
    from matching as m
    where array_length(m.path_tokens, 1) = levels
  )
  select e.name, e.id, e.updated_at, e.created_at, e.last_accessed_at, e.metadata
  from entries as e
  order by
    -- By time, folders come first: they have none. By name they stand among the files.
    case when sortcolumn in ('updated_at', 'created_at', 'last_accessed_at')
      then e.id is not null
    end,
    case when sortorder <> 'desc' then
      case sortcolumn
        when 'updated_at' then e.updated_at
        when 'created_at' then e.created_at
        when 'last_accessed_at' then e.last_accessed_at
      end
    end,
    case when sortorder = 'desc' then
      case sortcolumn
        when 'updated_at' then e.updated_at
        when 'created_at' then e.created_at
        when 'last_accessed_at' then e.last_accessed_at
      end
    end desc,
    case when sortorder <> 'desc' then lower(e.name) collate "C" end,
    case when sortorder = 'desc' then lower(e.name) collate "C" end desc,
    e.name collate "C",
    e.id
  limit least(coalesce(limits, 100), 1500)
  offset coalesce(offsets, 0)
$$;
comment on function storage.search(text, text, integer, integer, integer, text, text, text) is
  'Objects and folders at one level below a prefix, letter case ignored. A folder has a name only.';

-- Guards ------------------------------------------------------------------------------------------

create or replace function storage.protect_delete()
  returns trigger
  language plpgsql
as $$
begin
  if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
    raise exception using
      errcode = '42501',
      message =
        'Direct deletion from storage tables is not allowed. Use the Storage API instead.',
      hint = 'This prevents accidental data loss from orphaned objects.';
  end if;
  return null;
end
$$;
comment on function storage.protect_delete() is
  'Refuses DELETE in plain SQL, which would leave the bytes behind, unless the transaction sets '
  'storage.allow_delete_query to true.';

create or replace function storage.update_updated_at_column()
  returns trigger
  language plpgsql
as $$
begin
  new.updated_at = now();
  return new;
end
$$;
comment on function storage.update_updated_at_column() is 'Keeps updated_at.';

create or replace function storage.enforce_bucket_name_length()
  returns trigger
  language plpgsql
as $$
begin
  if length(new.name) > 100 then
    raise exception 'bucket name "%" is too long (% characters). Max is 100.',
      new.name, length(new.name);
  end if;
  return new;
end
$$;
comment on function storage.enforce_bucket_name_length() is
  'Refuses a bucket name over 100 letters.';

create or replace trigger protect_buckets_delete
  before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create or replace trigger protect_objects_delete
  before delete on storage.objects
  for each statement execute function storage.protect_delete();
create or replace trigger update_objects_updated_at
  before update on storage.objects
  for each row execute function storage.update_updated_at_column();
create or replace trigger enforce_bucket_name_length_trigger
  before insert or update of name on storage.buckets
  for each row execute function storage.enforce_bucket_name_length();

-- Owners ------------------------------------------------------------------------------------------

do $$
declare
  v_function record;
begin
  for v_function in
    select p.oid::regprocedure as signature
    from pg_proc as p
    where p.pronamespace = 'storage'::regnamespace
  loop
    execute format('alter function %s owner to supabase_storage_admin', v_function.signature);
    execute format('grant execute on function %s to public', v_function.signature);
  end loop;
end
$$;
