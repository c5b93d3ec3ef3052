// What PostgreSQL has to say of rows that have changed: their values as JSON, which filters they meet,
// and whether somebody may see them. Each question is asked for a whole batch of changes at once.

import postgres from "postgres";
import { describeError } from "../log_errors.ts";
import type { ChangeSubscriber } from "./change_bindings.ts";
import { type ChangeFilter, filterSql } from "./change_filters.ts";
import type { CatalogTable } from "./change_tables.ts";
import type { ReplicaColumn } from "./pgoutput.ts";

/** A value of a row, as text, with what is known of its column. */
export interface RowValue {
  column: ReplicaColumn;
  text: string | null;
}

/** A text and a type that it is to be read as. */
type Typed = `${number}/${number}/${string}`;

function typed({ column: { typeOid, typeModifier }, text }: RowValue): Typed {
  return `${typeOid}/${typeModifier}/${text}`;
}

/** JSON of values, as `to_jsonb` gives it. */
export class JsonValues {
  #values = new Map<Typed, unknown>();

  /** Reads all values at once. */
  static async read(sql: postgres.Sql, values: RowValue[]): Promise<JsonValues> {
    const json = new JsonValues();
    const distinct = new Map(
      values.filter(({ text }) => text !== null).map((value) => [typed(value), value]),
    );
    const byType = Map.groupBy(
      distinct.values(),
      ({ column: { typeOid, typeModifier } }) => `${typeOid}/${typeModifier}`,
    );
    const groups = [...byType.values()];
    if (groups.length === 0) return json;
    const types = await sql<{ type: string }[]>`
      select format_type(t.oid, t.modifier) as type
      from unnest(
        ${groups.map((group) => group[0]!.column.typeOid)}::oid[],
        ${groups.map((group) => group[0]!.column.typeModifier)}::integer[]
      ) with ordinality as t (oid, modifier, position)
      order by t.position`;
    // A type that is gone since has no name, and its values cannot be read.
    const readable = groups.map((group, i) => ({ group, type: types[i]!.type }))
      .filter(({ type }) => type !== "???");
    if (readable.length === 0) return json;
    const rows = await sql.unsafe<{ group: number; position: string; json: string }[]>(
      readable.map(({ type }, i) =>
        `select ${i} as "group", u.position, to_jsonb(u.value::${type})::text as json
         from unnest($${i + 1}::text[]) with ordinality as u (value, position)`
      ).join(" union all "),
      readable.map(({ group }) => group.map(({ text }) => text)),
    );
    for (const row of rows) {
      const value = readable[row.group]!.group[Number(row.position) - 1]!;
      json.#values.set(typed(value), parseExactly(row.json));
    }
    return json;
  }

  /** The value as JSON; null stays null. Undefined when it cannot be read. */
  of(value: RowValue): unknown {
    return value.text === null ? null : this.#values.get(typed(value));
  }
}

/** `JSON.rawJSON`, which TypeScript does not know yet. */
const rawJson = (JSON as unknown as { rawJSON: (text: string) => unknown }).rawJSON;

/** Parses JSON; a number that JavaScript would round is kept as it is written. */
function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, value, context?: { source?: string }) => {
    const source = context?.source;
    return typeof value === "number" && source !== undefined && String(value) !== source &&
        !/^-?\d{1,15}$|^-?(?=[\d.]{1,16}$)\d+\.\d+$/.test(source)
      ? rawJson(source)
      : value;
  });
}

/** A comparison that was asked for: one filter on one value of a row. */
export interface Comparison {
  filter: ChangeFilter;
  /** The column's type, without a length. */
  type: string;
  text: string | null;
}

/** Which comparisons hold; one that PostgreSQL refuses to make does not. */
export async function compare(
  sql: postgres.Sql,
  comparisons: Comparison[],
): Promise<(comparison: Comparison) => boolean> {
  const holding = new Set<string>();
  const keyOf = ({ filter: { operator, isNegated, value }, type, text }: Comparison) =>
    JSON.stringify([operator, isNegated, value, type, text]);
  // Those that differ in their values only are one question.
  const questions = Map.groupBy(
    comparisons,
    ({ filter: { operator, isNegated, value }, type }) =>
      JSON.stringify([operator, isNegated, type, operator === "is" ? value : ""]),
  );
  await Promise.all([...questions.values()].map(async (question) => {
    const distinct = [...new Map(question.map((one) => [keyOf(one), one])).values()];
    for (const one of await ask(sql, distinct)) holding.add(keyOf(one));
  }));
  return (comparison) => holding.has(keyOf(comparison));
}

/** Asks about comparisons with one operator and type; when one is refused, about each by itself. */
async function ask(sql: postgres.Sql, comparisons: Comparison[]): Promise<Comparison[]> {
  const { filter, type } = comparisons[0]!;
  try {
    const rows = await sql.unsafe<{ position: string }[]>(
      `select u.position
       from unnest($1::text[], $2::text[]) with ordinality as u (value, wanted, position)
       where ${filterSql(filter, type, "u.value", "u.wanted")}`,
      [comparisons.map(({ text }) => text), comparisons.map((one) => one.filter.value)],
    );
    return rows.map(({ position }) => comparisons[Number(position) - 1]!);
  } catch (error) {
    if (isOutage(error)) throw error;
    if (comparisons.length > 1) {
      const answers = await Promise.all(comparisons.map((one) => ask(sql, [one])));
      return answers.flat();
    }
    console.error(`Realtime: A filter was not compared: ${describeError(error)}`);
    return [];
  }
}

/** Whether an error is about the connection or the server, not about the statement. */
export function isOutage(error: unknown): boolean {
  if (error instanceof postgres.PostgresError) return /^(57P|08|53)/.test(error.code);
  return error instanceof Error && "code" in error;
}

/** A row that somebody may or may not see, by its primary key. */
export interface KeyedRow {
  table: CatalogTable;
  key: RowValue[];
}

/** A policy that takes longer counts as one that hides the row. */
const TIMEOUT = "8s";

/**
 * Those of the rows, as they are now, that the subscriber may see; none where a policy fails.
 *
 * @throws When the database cannot be reached.
 */
export async function visibleRows(
  sql: postgres.Sql,
  subscriber: ChangeSubscriber,
  rows: KeyedRow[],
): Promise<Set<KeyedRow>> {
  const groups = [...Map.groupBy(rows, (row) => row.table).values()];
  const visible = await Promise.all(groups.map((group) => askPolicies(sql, subscriber, group)));
  return new Set(visible.flat());
}

/** Asks about rows of one table; when a policy fails, about each half, to find the rows it fails for. */
async function askPolicies(
  sql: postgres.Sql,
  subscriber: ChangeSubscriber,
  rows: KeyedRow[],
): Promise<KeyedRow[]> {
  try {
    return await sql.begin("read only", async (tx) => {
      await assume(tx, subscriber);
      return await selectVisible(tx, rows[0]!.table, rows);
    });
  } catch (error) {
    if (isOutage(error)) throw error;
    const isTimeout = error instanceof postgres.PostgresError && error.code === "57014";
    if (rows.length === 1 || isTimeout) {
      console.error(`Realtime: Rows were not checked: ${describeError(error)}`);
      return [];
    }
    const half = Math.ceil(rows.length / 2);
    return [
      ...await askPolicies(sql, subscriber, rows.slice(0, half)),
      ...await askPolicies(sql, subscriber, rows.slice(half)),
    ];
  }
}

async function selectVisible(
  tx: postgres.TransactionSql,
  { identifier, columns }: CatalogTable,
  rows: KeyedRow[],
): Promise<KeyedRow[]> {
  const names = rows[0]!.key.map(({ column }) => column.name);
  const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`;
  const conditions = names.map((name, i) =>
    `t.${quoted(name)} = k.k${i}::${columns.get(name)!.comparedType}`
  );
  // Each row is looked up by itself ("offset 0"): a plan for all of them might ask the policy about
  // every row of the table.
  const found = await tx.unsafe<{ position: string }[]>(
    `select k.position
     from unnest(${names.map((_, i) => `$${i + 1}::text[]`).join(", ")})
       with ordinality as k (${names.map((_, i) => `k${i}`).join(", ")}, position)
     cross join lateral (
       select from ${identifier} as t where ${conditions.join(" and ")} offset 0
     ) as seen`,
    names.map((_, i) => rows.map(({ key }) => key[i]!.text)),
  );
  return found.map(({ position }) => rows[Number(position) - 1]!);
}

/** Lowers the transaction to the subscriber. One statement, so there is no state between. */
async function assume(
  tx: postgres.TransactionSql,
  { role, claims, headers }: ChangeSubscriber,
): Promise<void> {
  const sub = typeof claims.sub === "string" ? claims.sub : "";
  await tx`
    select set_config('request.jwt.claims', ${JSON.stringify(claims)}, true),
           set_config('request.jwt.claim.sub', ${sub}, true),
           set_config('request.jwt.claim.role', ${role}, true),
           set_config('request.headers', ${JSON.stringify(headers)}, true),
           set_config('statement_timeout', ${TIMEOUT}, true),
           set_config('role', ${role}, true)`;
}
