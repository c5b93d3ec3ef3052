// A small project for the tests of the schema tools: a folder with sql/, policies/ and
// supabase/migrations/, holding one of each thing that drift could change unseen.

import { join } from "@std/path";
import { withFolder } from "../../tools/throwaway.ts";

const SQL = `-- Visits, for the tests of the schema tools.
create schema private;
grant usage on schema private to authenticated;

create type public.mood as enum ('good', 'bad');
create sequence public.numbers;

create table public.visits (
  id uuid primary key default gen_random_uuid(),
  patient_id uuid not null references auth.users (id) on delete restrict,
  status text not null default 'booked',
  mood public.mood,
  constraint visits_status_check check (status in ('booked', 'done'))
);
comment on table public.visits is 'Visits.';
comment on column public.visits.status is 'Where it stands.';
create index visits_patient_id_idx on public.visits (patient_id);

create table public.events (
  at timestamptz not null default now(),
  visit_id uuid not null
) partition by range (at);
create table private.events_default partition of public.events default;
alter table private.events_default enable row level security;
create table private.events_2026_01 partition of public.events
  for values from ('2026-01-01') to ('2026-02-01');

create function private.visit_count() returns bigint
  language sql stable security definer set search_path = ''
as $$ select count(*) from public.visits $$;
comment on function private.visit_count() is 'How many.';
revoke execute on function private.visit_count() from public;
grant execute on function private.visit_count() to authenticated;

create function private.stamp() returns trigger
  language plpgsql set search_path = ''
as $$ begin return new; end $$;
create trigger visits_stamp before update on public.visits
  for each row execute function private.stamp();
create trigger on_user_created after insert on auth.users
  for each row execute function private.stamp();

create view public.visit_moods with (security_invoker = true) as select id, mood from public.visits;
`;

const POLICIES = `alter table public.visits enable row level security;
alter table public.events enable row level security;
revoke all on table public.visits from anon, authenticated;
grant select on table public.visits to authenticated;
grant insert (patient_id) on table public.visits to authenticated;
create policy visits_select_authenticated on public.visits
  for select to authenticated using (patient_id = (select auth.uid()));
create policy objects_select_authenticated on storage.objects
  for select to authenticated using (bucket_id = 'visits');
create policy visits_select_authenticated on realtime.messages
  for select to authenticated using (realtime.topic() = 'visits');
`;

/** Runs `work` with a new project folder; see `writeProject` for what may be changed in it. */
export async function withProject(work: (project: string) => Promise<void>): Promise<void> {
  await withFolder(async (project) => {
    for (const folder of ["sql", "policies", "supabase/migrations"]) {
      await Deno.mkdir(join(project, folder), { recursive: true });
    }
    const config = 'project_id = "schema-tools"\n\n[db]\nmajor_version = 17\n';
    await Deno.writeTextFile(join(project, "supabase/config.toml"), config);
    await writeProject(project);
    await work(project);
  });
}

/** Writes the declared files, with `more` at the end of each. */
export async function writeProject(
  project: string,
  more: { sql?: string; policies?: string } = {},
): Promise<void> {
  await Deno.writeTextFile(join(project, "sql/50_visits.sql"), SQL + (more.sql ?? ""));
  await Deno.writeTextFile(
    join(project, "policies/50_visits.sql"),
    POLICIES + (more.policies ?? ""),
  );
}
