// Tries every cell of the access matrix on a database with the scene of scene.sql, and says what came
// of it in the words of access.yaml. What is tried is undone (tests.attempt).

import {
  type CatalogFunction,
  type CatalogRelation,
  type Connection,
  type Grants,
  readBuckets,
  readFunctions,
  readGrants,
  readRelations,
} from "./catalog.ts";
import { type Cell, cellsOf, type Declaration, type Relation, type Viewer } from "./declaration.ts";

/** Rows that are of nobody in particular are others'. */
const PATIENT = "pia";

/** What is in the database. */
export interface Objects {
  relations: CatalogRelation[];
  functions: CatalogFunction[];
  buckets: string[];
  grants: Grants;
}

/** Reads what there is, and the grants on it. */
export async function readObjects(sql: Connection, declaration: Declaration): Promise<Objects> {
  const relations = await readRelations(sql);
  const functions = await readFunctions(sql);
  const roles = rolesOf(declaration);
  const all = [...roles, ...platformRolesOf(declaration)];
  const grants = await readGrants(
    sql,
    { relations: roles, functions: all },
    relations,
    functions,
  );
  return { relations, functions, buckets: await readBuckets(sql), grants };
}

/** The database roles that viewers have, each once. */
export function rolesOf({ viewers }: Declaration): string[] {
  return [...new Set(viewers.map(({ role }) => role))];
}

/** Roles that may execute something and are no viewer's. */
export function platformRolesOf(declaration: Declaration): string[] {
  const roles = rolesOf(declaration);
  return [...new Set(declaration.granted.flatMap(({ to }) => to))]
    .filter((role) => !roles.includes(role));
}

/**
 * Tries the cells of the objects that `wanted` accepts, all by default. An object that is declared and
 * is not there has no cells in the answer.
 */
export async function observe(
  sql: Connection,
  declaration: Declaration,
  objects: Objects,
  wanted: (object: string) => boolean = () => true,
): Promise<Cell[]> {
  const { viewers } = declaration;
  const trial = { sql, declaration, grants: objects.grants, ids: await readIds(sql, viewers) };
  const rows: Row[] = [];
  for (const target of targetsOf(declaration, objects)) {
    if (wanted(target.object)) rows.push(...await tryTarget(trial, target));
  }
  for (const fn of objects.functions) {
    if (wanted(fn.name)) rows.push(...await tryFunction(trial, fn));
  }
  return rows.flatMap(({ object, action, values }) =>
    viewers.map(({ id }, i) => ({ object, action, viewer: id, value: values[i]! }))
  );
}

/** What all trials need. */
interface Trial {
  sql: Connection;
  declaration: Declaration;
  grants: Grants;
  /** Ids of the viewers that are people. */
  ids: Map<string, string>;
}

/** Words of one action, one for each viewer. */
interface Row {
  object: string;
  action: string;
  values: string[];
}

/** A relation, or the rows of one bucket. */
interface Target {
  object: string;
  relation: CatalogRelation;
  declared: Relation | undefined;
  where: string;
}

/** Relations, of the partitions of one name the first, and buckets. */
function targetsOf(declaration: Declaration, { relations, buckets }: Objects): Target[] {
  const first = relations.filter(({ name }, i) =>
    relations.findIndex((relation) => relation.name === name) === i
  );
  const files = first.filter(({ name }) => name === "storage.objects");
  return [
    ...first.map((relation) => ({
      object: relation.name,
      relation,
      declared: declaration.tables[relation.name],
      where: "",
    })),
    ...files.flatMap((relation) =>
      buckets.map((id) => ({
        object: `bucket ${id}`,
        relation,
        declared: declaration.buckets[id],
        where: `where bucket_id = '${id}'`,
      }))
    ),
  ];
}

/** What is tried, by action: all rows of the target, where nothing else is declared. */
function statementsOf(
  { relation, declared, where }: Target,
): [action: string, statement: string][] {
  const { identifier, column } = relation;
  const usual: Record<string, string> = {
    select: countByOwner(declared, identifier, where),
    insert: `insert into ${identifier} default values`,
    update: `update ${identifier} set "${column}" = default ${where}`,
    delete: `delete from ${identifier} ${where}`,
  };
  return Object.entries({ ...usual, ...declared?.try });
}

function countByOwner(declared: Relation | undefined, identifier: string, where: string): string {
  return `select count(*) || ' ' || coalesce(r.owner, '')
    from (select (${declared?.owner ?? "null"})::text as owner from ${identifier} ${where}) as r
    group by r.owner`;
}

async function tryTarget(trial: Trial, target: Target): Promise<Row[]> {
  const { sql, declaration, grants, ids } = trial;
  const { object, relation, declared, where } = target;
  const [all] = await sql.unsafe<{ rows: string | null }[]>(
    `select string_agg(v, ', ') as rows
     from (${countByOwner(declared, declared?.all ?? relation.identifier, where)}) as q (v)`,
  );
  const totals = countRows(all?.rows ?? "nothing");
  const rows: Row[] = [];
  for (const [action, statement] of statementsOf(target)) {
    const verb = action.split(" ")[0]!;
    const granted = (role: string) => grants.columns.has(`${relation.name} ${verb} ${role}`);
    // Rows tell nothing of a sequence.
    const outcomes = relation.kind === "S"
      ? declaration.viewers.map(({ role }) => granted(role) ? "ok" : "42501 grant")
      : await attemptAll(sql, declaration.viewers, statement, granted);
    const values = declaration.viewers.map(({ id, role }, i) => {
      const outcome = outcomes[i]!;
      if (!granted(role)) return deniedWord(outcome);
      if (verb === "select" && /^(\d+ |nothing$)/.test(outcome)) {
        return describeRows(countRows(outcome), totals, ids.get(id), ids.get(PATIENT));
      }
      return wordOf(declaration, outcome);
    });
    rows.push({ object, action, values });
  }
  return rows;
}

async function tryFunction(
  { sql, declaration, grants }: Trial,
  fn: CatalogFunction,
): Promise<Row[]> {
  const { viewers } = declaration;
  const granted = (role: string) => grants.execute.has(`${fn.name} execute ${role}`);
  const calls = declaration.functions[fn.name];
  if (!calls) {
    const values = viewers.map(({ role }) => granted(role) ? "ok" : "-");
    return [{ object: fn.name, action: "execute", values }];
  }
  const rows: Row[] = [];
  for (const { call } of calls) {
    const outcomes = await attemptAll(sql, viewers, callStatement(fn, call), granted);
    const values = viewers.map(({ role }, i) =>
      granted(role) ? wordOf(declaration, outcomes[i]!) : deniedWord(outcomes[i]!)
    );
    rows.push({ object: fn.name, action: `execute ${call}`, values });
  }
  return rows;
}

/** What is not granted is refused; a view that cannot be written to, before grants are looked at. */
function deniedWord(outcome: string): string {
  return ["42501 grant", "55000"].includes(outcome) ? "-" : `not granted, yet ${outcome}`;
}

/** Ids of the viewers that are people. */
async function readIds(sql: Connection, viewers: Viewer[]): Promise<Map<string, string>> {
  const rows = await sql.unsafe<{ viewer: string; id: string }[]>(
    `select v.viewer, p.id from unnest($1::text[], $2::text[]) as v (viewer, handle)
     join public.profiles as p on p.id = tests.id(v.handle)`,
    [viewers.map(({ id }) => id), viewers.map(handleOf)],
  );
  return new Map(rows.map(({ viewer, id }) => [viewer, id]));
}

/** Rows by owner, from `2 <uuid>, 1 `. */
function countRows(outcome: string): Map<string, number> {
  const counts = new Map<string, number>();
  if (outcome === "nothing") return counts;
  for (const part of outcome.split(", ")) {
    const [count, owner = ""] = part.split(" ");
    counts.set(owner, Number(count));
  }
  return counts;
}

/**
 * Whose rows are seen: `P` all of pia's, `o` all of one's own, `x` all of others'; with a number, so
 * many and not all.
 */
function describeRows(
  seen: Map<string, number>,
  all: Map<string, number>,
  self: string | undefined,
  patient: string | undefined,
): string {
  const kindOf = (owner: string) => owner === patient ? "P" : owner === self ? "o" : "x";
  const sum = (counts: Map<string, number>, kind: string) =>
    [...counts].reduce((total, [owner, n]) => kindOf(owner) === kind ? total + n : total, 0);
  const words = ["P", "o", "x"].map((kind) => {
    const [n, total] = [sum(seen, kind), sum(all, kind)];
    return n === 0 ? "" : n === total ? kind : `${kind}${n}`;
  });
  return words.join("") || "0";
}

/** A function's call as a statement that answers `ok`, `0` for no row, or the code it answers. */
function callStatement({ composite }: CatalogFunction, call: string): string {
  // count(f) has the value computed that count(*) would let the planner leave out.
  const some = "case when count(f) >= 0 and count(*) > 0 then 'ok' else '0' end";
  return composite
    ? `select coalesce(min(to_jsonb(f) ->> 'code'), ${some}) from ${call} as f`
    : `select ${some} from ${call} as f`;
}

/** Outcomes by viewer. Where a role lacks the grant all its viewers fare alike: one of them tries. */
async function attemptAll(
  sql: Connection,
  viewers: Viewer[],
  statement: string,
  granted: (role: string) => boolean,
): Promise<string[]> {
  const keys = viewers.map(({ id, role }) => granted(role) ? id : role);
  const trying = viewers.filter((_, i) => keys.indexOf(keys[i]!) === i);
  const rows = await sql.unsafe<{ outcome: string }[]>(
    `select tests.attempt(t.actor, t.statement) as outcome
     from unnest($1::text[], $2::text[]) with ordinality as t (actor, statement, position)
     order by t.position`,
    [trying.map(({ actor }) => actor), trying.map((viewer) => withIds(statement, viewer))],
  );
  const outcomes = new Map(
    trying.map(({ id, role }, i) => [granted(role) ? id : role, rows[i]!.outcome]),
  );
  return keys.map((key) => outcomes.get(key)!);
}

/** `{pia}` is the id that a helper made under that name, `{self}` the viewer's. */
function withIds(statement: string, viewer: Viewer): string {
  return statement.replaceAll(
    /\{([\w ]+)\}/g,
    (_, name) => `tests.id('${name === "self" ? handleOf(viewer) : name}')`,
  );
}

function handleOf({ actor }: Viewer): string {
  return actor.split("@")[0]!;
}

function wordOf({ outcomes }: Declaration, outcome: string): string {
  return outcomes[outcome]?.word ?? outcome.replaceAll(" ", "_");
}

/** One assertion of the matrix. */
export interface Assertion {
  name: string;
  expected: string;
  found: string;
}

/** Every declared cell beside what was found; a cell that nothing was found for fails. */
export function compareCells(
  declaration: Declaration,
  found: Cell[],
  wanted: (object: string) => boolean = () => true,
): Assertion[] {
  const nameOf = ({ object, action, viewer }: Cell) => `${object}: ${action} as ${viewer}`;
  const values = new Map(found.map((cell) => [nameOf(cell), cell.value]));
  return cellsOf(declaration).filter(({ object }) => wanted(object)).map((cell) => ({
    name: nameOf(cell),
    expected: cell.value,
    found: values.get(nameOf(cell)) ?? "no such object or action",
  }));
}
