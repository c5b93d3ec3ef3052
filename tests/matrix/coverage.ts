// Whether the matrix covers the catalogue: each object, action, role and extension has its place in
// access.yaml, and each grant the columns that are declared there.

import { type Connection, readRest } from "./catalog.ts";
import { ACTIONS, type Declaration, rowsOf } from "./declaration.ts";
import { type Assertion, type Objects, platformRolesOf, rolesOf } from "./observe.ts";

/** One assertion for everything there is and for everything that is declared. */
export async function compareCoverage(
  sql: Connection,
  declaration: Declaration,
  objects: Objects,
): Promise<Assertion[]> {
  const rows = rowsOf(declaration);
  const rowsByObject = Map.groupBy(rows, ({ object }) => object);
  const relations = [
    ...new Set(objects.relations.map(({ name }) => name)),
    ...objects.buckets.map((id) => `bucket ${id}`),
  ];
  const functions = objects.functions.map(({ name }) => name);
  const rest = await readRest(sql);
  const isOf = (object: string, actions: string[]) => {
    const found = (rowsByObject.get(object) ?? []).map(({ action }) => action.split(" ")[0]!);
    return actions.every((action) => found.includes(action)) ? "has its cells" : "has no cells";
  };
  const there = new Set([...relations, ...functions]);
  return [
    ...relations.map((name) => assertion(name, "has its cells", isOf(name, ACTIONS))),
    ...functions.map((name) => assertion(name, "has its cells", isOf(name, ["execute"]))),
    // What the API serves is called, not only granted.
    ...functions.filter((name) => name.startsWith("public.")).map((name) =>
      assertion(
        `${name}: a call`,
        declaration.closed.functions.includes(name) ? "none" : "declared",
        declaration.functions[name] ? "declared" : "none",
      )
    ),
    ...[...rowsByObject.keys()].map((name) =>
      assertion(`declared ${name}`, "is there", there.has(name) ? "is there" : "is not there")
    ),
    ...[...rowsByObject].map(([name, found]) =>
      assertion(
        `declared ${name}`,
        "has one row an action",
        new Set(found.map(({ action }) => action)).size === found.length
          ? "has one row an action"
          : "has two rows of one action",
      )
    ),
    assertion("extensions", declaration.extensions.join(" "), rest.extensions.join(" ")),
    assertion(
      "roles",
      [...rolesOf(declaration), ...Object.keys(declaration.other_roles)].sort().join(" "),
      [...rest.roles].sort().join(" "),
    ),
    ...compareGrants(declaration, objects),
  ];
}

/** The columns of every grant on a declared relation, and the rights that no row is for. */
function compareGrants(declaration: Declaration, objects: Objects): Assertion[] {
  const roles = rolesOf(declaration);
  const declared = new Set(rowsOf(declaration).map(({ object }) => object));
  const names = [...new Set(objects.relations.map(({ name }) => name))]
    .filter((name) => declared.has(name));
  const columns = names.flatMap((name) =>
    (["select", "insert", "update"] as const).flatMap((action) =>
      roles.map((role) => ({
        name: `${name}: columns that ${role} may ${action}`,
        expected: declaration.tables[name]?.columns[action] ?? "none",
        found: objects.grants.columns.get(`${name} ${action} ${role}`) ?? "none",
      })).filter(({ found }) => found !== "none")
    )
  );
  // Every role of the platform may execute its own functions.
  const ours = objects.functions.filter(({ name }) =>
    /^(public|private)\./.test(name) && declared.has(name)
  );
  const execute = platformRolesOf(declaration).flatMap((role) =>
    ours.map(({ name }) => {
      const isDeclared = declaration.granted.some(({ to, functions }) =>
        to.includes(role) && functions.includes(name)
      );
      return assertion(
        `${name}: execute as ${role}`,
        isDeclared ? "ok" : "-",
        objects.grants.execute.has(`${name} execute ${role}`) ? "ok" : "-",
      );
    })
  );
  return [
    ...columns,
    ...execute,
    ...names.map((name) =>
      assertion(
        `${name}: truncate, references, trigger or maintain`,
        declaration.other_rights.includes(name) ? "granted" : "not granted",
        objects.grants.other.has(name) ? "granted" : "not granted",
      )
    ),
  ];
}

function assertion(name: string, expected: string, found: string): Assertion {
  return { name, expected, found };
}
