// What a channel wants to hear of which table, checked against the database before anything is heard:
// the table is published, the role may read the columns, and PostgreSQL can compare the values.

import postgres from "postgres";
import { PUBLICATION } from "./change_feed.ts";
import {
  type ChangeFilter,
  FilterFault,
  filterSql,
  IS_WORDS,
  listed,
  parseFilters,
} from "./change_filters.ts";
import { type CatalogTable, readTables } from "./change_tables.ts";

/** One entry of `postgres_changes`. */
export interface ChangeBinding {
  event: "*" | "INSERT" | "UPDATE" | "DELETE";
  /** `*` for every schema. */
  schema: string;
  /** `*` or missing for every table of the schema. */
  table?: string;
  filter?: string;
  /** Names of columns with commas between them. */
  select?: string;
}

/** Whom changes are for. */
export interface ChangeSubscriber {
  role: string;
  claims: Record<string, unknown>;
  /** The `x-…` headers that policies may see. */
  headers: Record<string, string>;
}

/** A subscription that cannot work; the message is for the client. */
export class ChangeError extends Error {
  override readonly name = "ChangeError";
}

/** A binding that has been read. */
export interface ParsedBinding {
  id: number;
  event: ChangeBinding["event"];
  schema: string;
  table: string;
  filters: ChangeFilter[];
  /** Columns in the order of their names; undefined for all. */
  select: string[] | undefined;
}

/** Roles that a token may name; the pool could take any other, too. */
const ROLES = new Set(["anon", "authenticated", "service_role"]);

/** Values of one `in`. */
const MAX_IN_VALUES = 100;

/**
 * Reads a binding.
 *
 * @throws {ChangeError}
 */
export function parseBinding(binding: ChangeBinding, id: number): ParsedBinding {
  const { event, schema, table = "*", filter = "" } = binding;
  const names = binding.select?.split(",").map((name) => name.trim().replace(/^"(.*)"$/, "$1"));
  const wanted = names?.filter((name) => name !== "") ?? [];
  const select = wanted.length > 0 ? [...new Set(wanted)].sort() : undefined;
  const refused = (reason: string) =>
    refusal(describe({ event, schema, table, filters: filter, select }), reason);
  if (select && (schema === "*" || table === "*")) {
    throw refused(
      "Column selection is not supported for wildcard subscriptions. " +
        "Provide an explicit schema and table name.",
    );
  }
  try {
    return { id, event, schema, table, filters: parseFilters(filter), select };
  } catch (error) {
    throw error instanceof FilterFault ? refused(error.message) : error;
  }
}

/**
 * Sees that bindings can work for a subscriber.
 *
 * @throws {ChangeError} For the first that cannot.
 */
export async function checkBindings(
  sql: postgres.Sql,
  bindings: ParsedBinding[],
  { role }: ChangeSubscriber,
): Promise<void> {
  for (const binding of bindings) {
    const text = describe({ ...binding, filters: describeFilters(binding.filters) });
    if (!ROLES.has(role)) {
      throw refusal(text, `ERROR 42704 (undefined_object) role "${role}" does not exist`);
    }
    const oids = await publishedTables(sql, binding);
    if (oids.length === 0) {
      throw new ChangeError(
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled " +
          `for the given connect parameters: ${text}`,
      );
    }
    const { filters, select } = binding;
    if (filters.length === 0 && !select) continue;
    for (const table of (await readTables(sql, oids, [role])).values()) {
      await checkTable(sql, table, binding, role).catch((error) => {
        if (error instanceof postgres.PostgresError) throw refusal(text, asPostgrex(error));
        throw error instanceof BindingFault ? refusal(text, error.message) : error;
      });
    }
  }
}

async function publishedTables(
  sql: postgres.Sql,
  { schema, table }: ParsedBinding,
): Promise<number[]> {
  const rows = await sql<{ oid: number }[]>`
    select c.oid
    from pg_catalog.pg_publication_tables as p
    join pg_catalog.pg_namespace as n on n.nspname = p.schemaname
    join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = p.tablename
    where p.pubname = ${PUBLICATION}
      and ${schema}::text in ('*', p.schemaname::text) and ${table}::text in ('*', p.tablename::text)`;
  return rows.map(({ oid }) => oid);
}

/** A fault of one filter or column. */
class BindingFault extends Error {
  constructor(message: string) {
    super(`ERROR P0001 (raise_exception) ${message}`);
  }
}

async function checkTable(
  sql: postgres.Sql,
  table: CatalogTable,
  { filters, select }: ParsedBinding,
  role: string,
): Promise<void> {
  const typeOf = (name: string) => {
    const column = table.columns.get(name);
    return column?.readers.has(role) ? column.comparedType : undefined;
  };
  for (const filter of filters) {
    const type = typeOf(filter.column);
    if (type === undefined) throw new BindingFault(`invalid column for filter ${filter.column}`);
    await checkFilter(sql, filter, type);
  }
  for (const name of select ?? []) {
    if (typeOf(name) === undefined) throw new BindingFault(`invalid column for select ${name}`);
  }
}

async function checkFilter(sql: postgres.Sql, filter: ChangeFilter, type: string): Promise<void> {
  const { operator, value } = filter;
  if (operator === "is") {
    if (!IS_WORDS.includes(value)) {
      throw new BindingFault(
        "invalid value for is filter: must be null, true, false, or unknown",
      );
    }
    if (value !== "null" && type !== "boolean") {
      throw new BindingFault(`is ${value} filter requires a boolean column, got ${type}`);
    }
    return;
  }
  if (operator === "in") {
    const [found] = await sql.unsafe<{ count: number }[]>(
      `select cardinality(($1::text)::${type}[]) as count`,
      [value],
    );
    if (found!.count > MAX_IN_VALUES) {
      throw new BindingFault(
        `too many values for \`in\` filter. Maximum ${MAX_IN_VALUES}`,
      );
    }
  }
  const isPattern = ["like", "ilike", "match", "imatch"].includes(operator);
  try {
    // Both the comparison, which may not exist for the type, and the pattern, which a comparison with
    // null would not look at.
    await sql.unsafe(
      `select ${filterSql(filter, type, "null::text", "$1::text")}, ${
        isPattern ? filterSql(filter, "text", "$1::text", "$1::text") : "true"
      }`,
      [value],
    );
  } catch (error) {
    if (!(error instanceof postgres.PostgresError) || !isPattern) throw error;
    if (error.code === "42883") {
      throw new BindingFault(
        `operator ${operator} requires a text-compatible column type, got ${type}`,
      );
    }
    if (error.code === "2201B") {
      throw new BindingFault(
        `invalid regular expression for ${operator} filter: ${error.message}`,
      );
    }
    throw error;
  }
}

function refusal(binding: string, reason: string): ChangeError {
  return new ChangeError(
    "Unable to subscribe to changes with given parameters. An exception happened so please check " +
      `your connect parameters: ${binding}. Exception: ${reason}`,
  );
}

/** Words of hosted Realtime for what a filter's value can be refused for. */
const CONDITIONS: Record<string, string> = {
  "22003": "numeric_value_out_of_range",
  "22007": "invalid_datetime_format",
  "22008": "datetime_field_overflow",
  "22025": "invalid_escape_sequence",
  "22P02": "invalid_text_representation",
  "2202E": "array_subscript_error",
  "42883": "undefined_function",
};

function asPostgrex({ code, message }: postgres.PostgresError): string {
  return ["ERROR", code, CONDITIONS[code] && `(${CONDITIONS[code]})`, message]
    .filter(Boolean).join(" ");
}

/** A binding as hosted Realtime lists it in its refusals. */
function describe(
  { event, schema, table, filters, select }: {
    event: string;
    schema: string;
    table: string;
    filters: string;
    select: string[] | undefined;
  },
): string {
  return `[event: ${event}, schema: ${schema}, table: ${table}, filters: ${filters}, select: ${
    select ? listed(...select) : "nil"
  }]`;
}

function describeFilters(filters: ChangeFilter[]): string {
  const parts = filters.map(({ column, operator, value, isNegated }) =>
    `{${[column, operator, value].map((text) => JSON.stringify(text)).join(", ")}, ${isNegated}}`
  );
  return `[${parts.join(", ")}]`;
}
