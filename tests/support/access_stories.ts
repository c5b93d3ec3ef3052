// Stories for the model-based test of access: random commands for the ward, and the databases that
// replay them. access_model.sql is their half in SQL, access_model.ts what they are compared with.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import fc from "fast-check";
import postgres from "postgres";
import { PROJECT } from "../../supabase/local/cli.ts";
import { createDatabase } from "../../supabase/local/database.ts";
import { databaseUrl, SUPERUSER } from "../../supabase/local/postgres.ts";
import { asSuperuser, createDeclared } from "../../tools/schema.ts";
import { runScript } from "../../tools/sql_script.ts";
import { withCluster } from "../../tools/throwaway.ts";
import {
  type Command,
  DOCTORS,
  type Name,
  type Outcome,
  type Patient,
  PEOPLE,
  type Purpose,
  type RecordName,
  RECORDS,
  type Scope,
  type View,
  Ward,
} from "./access_model.ts";

/** A story: where it begins, and what happens. */
export interface Story {
  inTheMiddle: boolean;
  commands: Command[];
}

/** One of the values; the first comes up as often as all others together. */
function mostly<T>(first: T, ...others: T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { arbitrary: fc.constant(first), weight: 1 },
    { arbitrary: fc.constantFrom<T[]>(...others), weight: 1 },
  );
}

const anybody = fc.constantFrom<Name[]>(...PEOPLE);
const patient = mostly<Patient>("pia", "omar");
const doctor = mostly<Name>("doc", "dora");
const carer = fc.constant<Name>("carer");
const member = fc.oneof(doctor, carer);
const record = mostly<RecordName>("Scan", ...RECORDS.slice(1));
const says = fc.boolean();
const scopes = fc.constantFrom<Scope[][]>(
  ["records"],
  ["records", "sensitive"],
  ["sensitive"],
  ["tracking"],
  [],
);
/** Clock moves keep clear of the minute that an idle chart may close early in. */
const minutes = mostly(5, 10, 20, 35, 65, 3 * 24 * 60);

/** Whoever is meant to give a command; now and then somebody else does. */
function by(right: fc.Arbitrary<Name>): fc.Arbitrary<Name> {
  return fc.oneof({ arbitrary: right, weight: 7 }, { arbitrary: anybody, weight: 1 });
}

/** How often, compared with the others, a command comes up. */
function command(
  weight: number,
  arbitrary: fc.Arbitrary<Command>,
): { arbitrary: fc.Arbitrary<Command>; weight: number } {
  return { arbitrary, weight };
}

const admin = fc.constant<Name>("admin");
const recipient = mostly<Name>("rel", "omar", "doc", "carer", "admin", "pia");

const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  command(7, fc.record({ do: fc.constant("wait"), minutes })),
  command(2, fc.record({ do: fc.constant("sign_out"), by: anybody })),
  command(
    3,
    fc.record({
      do: fc.constant("sign_in"),
      by: fc.oneof(doctor, anybody),
      aal: fc.constantFrom("aal2", "aal1"),
    }),
  ),
  command(
    3,
    fc.record({
      do: fc.constant("verify"),
      by: by(admin),
      other: fc.constantFrom<Name[]>(...DOCTORS),
      says,
    }),
  ),
  command(
    3,
    fc.record({
      do: fc.constant("set_active"),
      by: by(admin),
      other: fc.constantFrom<Name[]>(...PEOPLE.filter((name) => name !== "admin")),
      says,
    }),
  ),
  // A doctor or caregiver asks, or a patient appoints.
  command(
    3,
    fc.tuple(patient, member, scopes).map(([patient, other, scopes]) => ({
      ...{ do: "request_care", by: other, patient, other, scopes },
      kind: other === "carer" ? "caregiver" : "doctor",
    })),
  ),
  command(
    3,
    fc.tuple(patient, fc.oneof(member, fc.constant<Name>("rel")), scopes).map((
      [patient, other, scopes],
    ) => ({
      ...{ do: "request_care", by: patient, patient, other, scopes },
      kind: other === "carer" || other === "rel" ? "caregiver" : "doctor",
    })),
  ),
  command(
    3,
    fc.tuple(patient, member, fc.boolean(), fc.option(scopes)).chain((
      [patient, other, says, scopes],
    ) =>
      by(fc.constant(patient)).map((by) => ({
        ...{ do: "respond_care", by, patient, other, says, scopes },
      }))
    ),
  ),
  command(
    4,
    patient.chain((patient) =>
      fc.record({
        ...{ do: fc.constant("set_scopes"), by: by(fc.constant(patient)) },
        ...{ patient: fc.constant(patient), other: mostly<Name>("carer", "doc"), scopes },
      })
    ),
  ),
  command(
    3,
    fc.tuple(patient, member).chain(([patient, other]) =>
      by(fc.constantFrom<Name[]>(patient, other)).map((by) => ({
        ...{ do: "end_care", by, patient, other },
      }))
    ),
  ),
  command(
    4,
    fc.record({
      do: fc.constant("limit_care"),
      patient,
      other: member,
      minutes: fc.constantFrom(5, 30),
    }),
  ),
  command(
    7,
    fc.oneof(
      fc.record({
        do: fc.constant("open_chart"),
        by: doctor,
        patient,
        purpose: mostly<Purpose>("treatment", "care_coordination", "delegated"),
      }),
      fc.record({
        do: fc.constant("open_chart"),
        by: by(carer),
        patient,
        purpose: mostly<Purpose>("delegated", "treatment"),
      }),
    ),
  ),
  command(
    2,
    member.chain((other) =>
      fc.record({
        ...{ do: fc.constant("close_chart"), by: by(fc.constant(other)), patient },
        other: fc.constant(other),
      })
    ),
  ),
  command(
    4,
    fc.record({
      do: fc.constant("break_glass"),
      by: by(mostly<Name>("dora", "doc")),
      patient,
      reason: fc.oneof(
        { arbitrary: fc.constant("Found unconscious at the station"), weight: 9 },
        { arbitrary: fc.constant("Curious"), weight: 1 },
      ),
    }),
  ),
  command(
    3,
    fc.record({
      ...{ do: fc.constant("review"), by: by(admin), patient },
      ...{ other: mostly<Name>("dora", "doc"), says },
    }),
  ),
  command(
    1,
    fc.record({
      ...{ do: fc.constant("object"), by: by(patient), patient },
      other: mostly<Name>("dora", "doc"),
    }),
  ),
  command(
    5,
    record.chain((record) =>
      fc.record({
        ...{ do: fc.constant("share"), by: by(fc.constant(ownerOf(record))) },
        ...{ record: fc.constant(record), other: recipient },
        minutes: fc.constantFrom(15, 60, 7 * 24 * 60),
      })
    ),
  ),
  command(
    3,
    fc.tuple(record, recipient).chain(([record, other]) =>
      by(fc.constantFrom<Name[]>(ownerOf(record), other)).map((by) => ({
        ...{ do: "revoke_share", by, record, other },
      }))
    ),
  ),
  command(
    7,
    fc.record({
      do: fc.constant("open_record"),
      by: fc.oneof(mostly<Name>("rel", "doc", "carer"), anybody),
      record,
    }),
  ),
  command(
    3,
    record.chain((record) =>
      fc.record({
        do: fc.constantFrom("delete_record", "restore_record"),
        by: by(fc.constant(ownerOf(record))),
        record: fc.constant(record),
      })
    ),
  ),
  command(
    4,
    record.chain((record) =>
      fc.record({
        do: fc.constant("mark"),
        by: by(fc.constant(ownerOf(record))),
        record: fc.constant(record),
        says,
      })
    ),
  ),
);

function ownerOf(record: RecordName): Patient {
  return record === "Scan" || record === "Genes" ? "pia" : "omar";
}

const EMERGENCY = { do: "break_glass", reason: "Found unconscious at the station" } as const;

/** Two commands of which the second seldom meets the first by chance. */
const anyPair: fc.Arbitrary<Command[]> = fc.oneof(
  fc.tuple(patient, member, scopes, says).map(([patient, other, scopes, says]): Command[] => [
    {
      ...{ do: "request_care", by: other, patient, other, scopes },
      kind: other === "carer" ? "caregiver" : "doctor",
    },
    { do: "respond_care", by: patient, patient, other, says, scopes: null },
  ]),
  fc.tuple(patient, doctor, says).map(([patient, other, says]): Command[] => [
    { ...EMERGENCY, by: other, patient },
    { do: "review", by: "admin", patient, other, says },
  ]),
  fc.tuple(patient, doctor).map(([patient, other]): Command[] => [
    { ...EMERGENCY, by: other, patient },
    { do: "object", by: patient, patient, other },
  ]),
  fc.tuple(record, recipient).map(([record, other]): Command[] => [
    { do: "share", by: ownerOf(record), record, other, minutes: 60 },
    { do: "open_record", by: other, record },
  ]),
);

/** Stories of about ten commands; three in four begin in the middle of things. */
export const anyStory: fc.Arbitrary<Story> = fc.record({
  inTheMiddle: fc.oneof(
    { arbitrary: fc.constant(true), weight: 3 },
    { arbitrary: fc.constant(false), weight: 1 },
  ),
  commands: fc.array(
    fc.oneof(
      { arbitrary: anyCommand.map((command) => [command]), weight: 7 },
      { arbitrary: anyPair, weight: 1 },
    ),
    { minLength: 1, maxLength: 16, size: "max" },
  ).map((parts) => parts.flat()),
});

/** What came of one step, and what everybody saw after it; null: as before. */
type Step = [outcome: Outcome, seen: [records: string[], contents: string[]][] | null];

/** How a rule is broken. */
export interface Broken {
  /** A function with its arguments, or a table whose policy for select it is. */
  function?: string;
  table?: string;
  text: string;
  by: string;
}

/** A database that replays stories. */
export interface Theatre {
  /**
   * Replays a story and compares each step with the model; fails at the first that differs.
   * Answers what was done and what came of it, as `open_chart not_verified`.
   */
  play(story: Story): Promise<string[]>;
  /** Runs `work` while a rule is broken: `by` stands for `text` in its definition. */
  withBroken(rule: Broken, work: () => Promise<void>): Promise<void>;
}

/** Runs `work` with databases for stories, `count` of them alike. */
export async function withTheatres(count: number, work: (theatres: Theatre[]) => Promise<void>) {
  await withCluster(async (port) => {
    const ward = await createDeclared(port, "ward");
    const titles = await asSuperuser(ward, async (sql) => {
      for (const name of ["cast.sql", "scenes.sql", "access_model.sql"]) {
        await runScript(sql, join(PROJECT, "tests", "support", name), `tests/support/${name}`);
      }
      await sql`select model.make_ward()`;
      await sql`analyze`;
      const rows = await sql<{ id: string; title: RecordName }[]>`
        select id, title from public.medical_records`;
      return new Map(rows.map(({ id, title }) => [id, title]));
    });
    const connections: postgres.Sql[] = [];
    try {
      for (let number = 1; number <= count; number += 1) {
        const name = `ward_${number}`;
        await createDatabase(port, name, ward.name);
        connections.push(postgres(databaseUrl(port, SUPERUSER, name), { max: 1 }));
      }
      await work(connections.map((sql) => ({
        play: async (story) => compare(story, await replay(sql, story), titles),
        withBroken: async (rule, work) => {
          const definition = await definitionOf(sql, rule);
          assert(definition.includes(rule.text), `"${rule.text}" is not in ${definition}`);
          await sql.unsafe(definition.replace(rule.text, rule.by));
          try {
            await work();
          } finally {
            await sql.unsafe(definition);
          }
        },
      })));
    } finally {
      await Promise.all(connections.map((sql) => sql.end({ timeout: 5 })));
    }
  });
}

/** The statement that makes a function, or a table's policy for select, what it is. */
async function definitionOf(sql: postgres.Sql, rule: Broken): Promise<string> {
  const [row] = rule.function === undefined
    ? await sql<{ text: string }[]>`
      select format('alter policy %I on public.%I using (%s)', policyname, tablename, qual) as text
      from pg_catalog.pg_policies
      where schemaname = 'public' and tablename = ${rule.table ?? ""} and cmd = 'SELECT'
        and permissive = 'PERMISSIVE'`
    : await sql<{ text: string }[]>`
      select pg_get_functiondef(${rule.function}::regprocedure) as text`;
  return row?.text ?? "";
}

async function replay(sql: postgres.Sql, { inTheMiddle, commands }: Story): Promise<Step[]> {
  const [row] = await sql<{ steps: Step[] }[]>`
    select model.replay(${inTheMiddle}, ${JSON.stringify(commands)}::text::jsonb) as steps`;
  return row?.steps ?? [];
}

function compare(story: Story, steps: Step[], titles: Map<string, RecordName>): string[] {
  const ward = new Ward(story.inTheMiddle);
  const names = (ids: string[]) =>
    RECORDS.filter((name) => ids.some((id) => titles.get(id) === name));
  assertEquals(steps.length, story.commands.length + 1);
  const said: string[] = [];
  let views: View[] = [];
  for (const [index, [outcome, seen]] of steps.entries()) {
    const command = story.commands[index - 1];
    const expected = { outcome: command ? ward.obey(command) : "done", seen: byName(ward.seen()) };
    views = seen?.map(([records, contents]) => ({
      records: names(records),
      contents: names(contents),
    })) ?? views;
    assertEquals(
      { outcome: outcome.replace(/^raised /, ""), seen: byName(views) },
      expected,
      `the database (-) and the model (+) differ after step ${index}: ${JSON.stringify(command)}`,
    );
    if (command) said.push(`${command.do} ${expected.outcome}`);
  }
  return said;
}

function byName(views: View[]): Record<string, View | undefined> {
  return Object.fromEntries(PEOPLE.map((name, index) => [name, views[index]]));
}
