// Scratch tables and functions for the tests of the data API, made as the role `postgres` in a
// project of any kind, and taken away again.

import postgres from "postgres";
import { until } from "./stack_process.ts";
import { newClient, testEnv } from "./env.ts";

/** Whether the project under test lets a test make tables. */
export const canMakeTables = testEnv().dbUrl !== undefined;

const TABLES = `
  create table public.probe_parents (
    id bigint generated always as identity primary key,
    name text not null unique,
    owner_id uuid,
    constraint probe_parents_name_check check (name <> 'bad')
  );
  create table public.probe_values (
    id uuid primary key default gen_random_uuid(),
    parent_id bigint references public.probe_parents,
    at timestamptz, wall timestamp, day date, span tstzrange, during interval,
    amount numeric(12, 2), big bigint, flag boolean, word text, bytes bytea,
    doc jsonb, words text[], numbers integer[], times timestamptz[]
  );
  alter table public.probe_parents enable row level security;
  alter table public.probe_values enable row level security;
  revoke all on public.probe_parents, public.probe_values from anon, authenticated;
  grant select, insert, update, delete on public.probe_parents, public.probe_values
    to authenticated, service_role;
  grant select on public.probe_values to anon;
  create policy probe_parents_all on public.probe_parents for all to authenticated
    using (owner_id = (select auth.uid())) with check (owner_id = (select auth.uid()));
  create policy probe_values_all on public.probe_values for all to anon, authenticated
    using (true) with check (true);`;

const FUNCTIONS = `
  create function public.probe_raise(p_state text) returns void language plpgsql as $$
  begin
    raise exception using errcode = p_state, message = 'already_shared',
      detail = 'The record is shared with that account', hint = 'Revoke it first';
  end $$;
  create function public.probe_raise_on_write() returns trigger language plpgsql as $$
  begin
    if new.word like 'PT%' then
      raise exception using errcode = new.word, message = 'refused', detail = 'By a trigger';
    end if;
    return new;
  end $$;
  create trigger probe_raise_on_write before insert or update on public.probe_values
    for each row execute function public.probe_raise_on_write();
  create function public.probe_settings() returns jsonb language sql stable as $$
    select jsonb_build_object(
      'claims', current_setting('request.jwt.claims', true)::jsonb,
      'headers', current_setting('request.headers', true)::jsonb,
      'method', current_setting('request.method', true),
      'path', current_setting('request.path', true),
      'role', current_user,
      'uid', auth.uid(),
      'timeout', current_setting('statement_timeout'))
  $$;
  create function public.probe_echo(p_doc jsonb, p_words text[] default null) returns jsonb
    language sql immutable as $$
    select jsonb_build_object('doc', p_doc, 'type', jsonb_typeof(p_doc), 'words', p_words)
  $$;
  create function public.probe_rows(p_count integer) returns table (n integer, at timestamptz)
    language sql stable as $$
    select n, '2026-01-02T03:04:05Z'::timestamptz from generate_series(1, p_count) as n
  $$;
  create type public.probe_answer as (id uuid, at timestamptz, code text, message text);
  create function public.probe_respond(p_status text, p_headers text default '')
    returns public.probe_answer language plpgsql as $$
  begin
    insert into public.probe_values (word) values ('responded ' || p_status);
    perform set_config('response.status', p_status, true),
      set_config('response.headers', p_headers, true);
    return row(null, '2026-01-02T03:04:05Z', 'PT' || p_status, 'refused')::public.probe_answer;
  end $$;
  create function public.probe_nothing() returns void language sql as '';
  create function public.probe_sum(p_a integer, p_b integer default 2) returns integer
    language sql immutable as 'select p_a + p_b';`;

const DROP = `
  drop table if exists public.probe_values, public.probe_parents cascade;
  drop function if exists public.probe_raise, public.probe_raise_on_write, public.probe_settings,
    public.probe_echo, public.probe_rows, public.probe_nothing, public.probe_sum,
    public.probe_respond;
  drop type if exists public.probe_answer;`;

/** A connection as the role `postgres`; end it after use. */
export function databaseConnection(): postgres.Sql {
  return postgres(testEnv().dbUrl ?? "", { max: 1, onnotice: () => {} });
}

/** Makes the scratch tables, runs `work`, and drops them. */
export async function withScratch(work: (db: postgres.Sql) => Promise<void>): Promise<void> {
  const db = databaseConnection();
  try {
    await db.unsafe(DROP + TABLES + FUNCTIONS);
    // The API hears of new tables a moment later.
    await until(async () => (await newClient().rpc("probe_nothing")).error === null);
    await work(db);
  } finally {
    await db.unsafe(DROP);
    await db.end();
  }
}
