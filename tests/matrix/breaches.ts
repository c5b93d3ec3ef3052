// What would open or hide something, and the cells of the access matrix that must see it: proof that
// the matrix can fail. Each is made in a transaction that is rolled back.

/** One mistake. */
export interface Breach {
  /** What somebody has done, as the role that migrations run as. */
  sql: string;
  /** Objects whose cells are tried. */
  objects: string[];
  /** The assertions that fail, by name, and no others of those objects. */
  fails: string[];
}

const SIGNED_IN = [
  ...["guest", "pia", "omar", "sharer", "carer", "outsco", "former", "doc", "doc1", "closed"],
  ...["strang", "unver", "emerg", "moder", "admin1", "admin"],
];

const as = (viewers: string[], action: string) => viewers.map((viewer) => `${action} as ${viewer}`);

export const BREACHES: Breach[] = [
  {
    sql: "alter policy notifications_select_authenticated on public.notifications using (true)",
    objects: ["public.notifications"],
    fails: as(SIGNED_IN, "public.notifications: select"),
  },
  {
    sql: "drop policy patients_select_authenticated_only on public.patients",
    objects: ["public.patients"],
    fails: as(["doc1", "admin1"], "public.patients: select"),
  },
  {
    sql: "alter policy medical_records_update_authenticated on public.medical_records using (true)",
    objects: ["public.medical_records"],
    // The floor of clinical rows still holds for those without a second factor.
    fails: as(
      SIGNED_IN.filter((viewer) => viewer !== "doc1" && viewer !== "admin1"),
      "public.medical_records: update",
    ),
  },
  {
    sql: "drop policy medical_records_select_authenticated on public.medical_records",
    objects: ["public.medical_records"],
    fails: as(["pia", "omar", "sharer", "carer", "doc", "emerg"], "public.medical_records: select"),
  },
  {
    sql: "revoke select on table public.care_relationships from authenticated",
    objects: ["public.care_relationships"],
    fails: as(SIGNED_IN, "public.care_relationships: select"),
  },
  {
    sql: "grant delete on table public.medical_record_shares to authenticated",
    objects: ["public.medical_record_shares"],
    fails: as(SIGNED_IN, "public.medical_record_shares: delete"),
  },
  {
    sql: "grant update (role) on table public.profiles to authenticated",
    objects: ["public.profiles"],
    fails: ["public.profiles: columns that authenticated may update"],
  },
  {
    sql: "grant execute on function private.seal_audit(integer, integer) to records_worker",
    objects: ["private.seal_audit(integer, integer)"],
    fails: ["private.seal_audit(integer, integer): execute as record"],
  },
  {
    sql: "grant execute on function public.close_account() to anon",
    objects: ["public.close_account()"],
    fails: ["public.close_account(): execute public.close_account() as anon"],
  },
  {
    sql: "create policy planted on storage.objects for select to authenticated using (true)",
    objects: ["bucket audit-heads", "bucket avatars", "bucket medical-records"],
    // The files of records stay closed by restrictive policies.
    fails: [
      ...as(SIGNED_IN, "bucket audit-heads: select"),
      ...as(SIGNED_IN, "bucket avatars: select"),
    ],
  },
  {
    sql: "create policy planted on realtime.messages for select to authenticated using (true)",
    objects: ["realtime.messages"],
    fails: as(SIGNED_IN, "realtime.messages: select"),
  },
  { sql: "create table public.planted (id integer)", objects: [], fails: ["public.planted"] },
  {
    sql: "create table private.planted (id integer)",
    objects: [],
    fails: ["private.planted"],
  },
  { sql: "create view public.planted as select 1 as id", objects: [], fails: ["public.planted"] },
  {
    sql: "create function public.planted() returns integer language sql return 1",
    objects: [],
    fails: ["public.planted()", "public.planted(): a call"],
  },
  {
    sql: "create function private.planted(p_id uuid) returns integer language sql return 1",
    objects: [],
    fails: ["private.planted(uuid)"],
  },
  {
    sql: "insert into storage.buckets (id, name) values ('planted', 'planted')",
    objects: [],
    fails: ["bucket planted"],
  },
  { sql: "create role planted_worker", objects: [], fails: ["roles"] },
  {
    sql: "drop table private.rate_limits",
    objects: [],
    fails: ["declared private.rate_limits"],
  },
  {
    sql: "alter table public.notifications rename to notices",
    objects: [],
    fails: ["declared public.notifications", "public.notices"],
  },
];
