// Reads access.yaml, the declaration of who may do what, and takes it apart into single cells.

import { parse } from "yaml";
import { z } from "zod";

/** Cells of one action, one for each viewer, in the viewers' order; separated by blanks. */
const Cells = z.string().transform((text) => text.trim().split(/\s+/));

const Viewer = z.strictObject({
  id: z.string(),
  /** Whom `tests.attempt` acts as: a handle, perhaps with `@aal1`, `anon`, or a database role. */
  actor: z.string(),
  /** Database role of the actor's requests. */
  role: z.string(),
  is: z.string(),
});

const Relation = z.strictObject({
  /** Expression whose value is the id of the person a row belongs to. */
  owner: z.string().default("null"),
  /** Table that has all rows of a view that shows each person others. */
  all: z.string().optional(),
  /** Columns that whoever has the right may use it on; `all` for every one. */
  columns: z.partialRecord(z.enum(["select", "insert", "update"]), z.string()).default({}),
  /** Statements in place of the usual ones, by action. */
  try: z.record(z.string(), z.string()).default({}),
  cells: z.record(z.string(), Cells),
});

const Declaration = z.strictObject({
  viewers: z.array(Viewer),
  /** Short words of cells, by the outcome that `tests.attempt` answers. */
  outcomes: z.record(z.string(), z.strictObject({ word: z.string(), means: z.string() })),
  other_roles: z.record(z.string(), z.string()),
  extensions: z.array(z.string()),
  tables: z.record(z.string(), Relation),
  buckets: z.record(z.string(), Relation),
  functions: z.record(
    z.string(),
    z.array(z.strictObject({ call: z.string(), cells: Cells })),
  ),
  /** Functions that are helpers, jobs or bodies of others: who may execute them decides alone. */
  granted: z.array(z.strictObject({ to: z.array(z.string()), functions: z.array(z.string()) })),
  /** Relations on which the platform gives the API roles TRUNCATE, REFERENCES, TRIGGER, MAINTAIN. */
  other_rights: z.array(z.string()),
  closed: z.strictObject({ relations: z.array(z.string()), functions: z.array(z.string()) }),
});

export type Declaration = z.infer<typeof Declaration>;
export type Viewer = z.infer<typeof Viewer>;
export type Relation = z.infer<typeof Relation>;

/** What is declared of one viewer, one object and one action. */
export interface Cell {
  object: string;
  action: string;
  viewer: string;
  value: string;
}

/** Reads the declaration beside this file; throws when a row has not one cell a viewer. */
export async function readDeclaration(): Promise<Declaration> {
  const text = await Deno.readTextFile(new URL("./access.yaml", import.meta.url));
  return parseDeclaration(text);
}

/** As {@link readDeclaration}, of a text. */
export function parseDeclaration(text: string): Declaration {
  const declaration = Declaration.parse(parse(text));
  for (const { object, action, values } of rowsOf(declaration)) {
    if (values.length !== declaration.viewers.length) {
      throw new Error(
        `${object}, ${action}: ${values.length} cells for ${declaration.viewers.length} viewers`,
      );
    }
  }
  return declaration;
}

/** One line of the matrix. */
export interface MatrixRow {
  section: "tables" | "buckets" | "functions" | "granted" | "closed";
  object: string;
  action: string;
  values: string[];
}

/** Every line of the matrix, those that lists stand for included. */
export function rowsOf(declaration: Declaration): MatrixRow[] {
  const { viewers } = declaration;
  const relations = (section: "tables" | "buckets") =>
    Object.entries(declaration[section]).flatMap(([name, { cells }]) =>
      Object.entries(cells).map(([action, values]) => ({
        section,
        object: section === "buckets" ? `bucket ${name}` : name,
        action,
        values,
      }))
    );
  const calls = Object.entries(declaration.functions).flatMap(([object, calls]) =>
    calls.map(({ call, cells }) => ({
      section: "functions" as const,
      object,
      action: `execute ${call}`,
      values: cells,
    }))
  );
  const granted = declaration.granted.flatMap(({ to, functions }) =>
    functions.map((object) => ({
      section: "granted" as const,
      object,
      action: "execute",
      values: viewers.map(({ role }) => to.includes(role) ? "ok" : "-"),
    }))
  );
  const denied = viewers.map(() => "-");
  const closed = [
    ...declaration.closed.relations.flatMap((object) =>
      ACTIONS.map((action) => ({ section: "closed" as const, object, action, values: denied }))
    ),
    ...declaration.closed.functions.map((object) => ({
      section: "closed" as const,
      object,
      action: "execute",
      values: denied,
    })),
  ];
  return [...relations("tables"), ...relations("buckets"), ...calls, ...granted, ...closed];
}

/** What can be done to a relation. */
export const ACTIONS = ["select", "insert", "update", "delete"];

/** Every cell of the matrix. */
export function cellsOf(declaration: Declaration): Cell[] {
  return rowsOf(declaration).flatMap(({ object, action, values }) =>
    declaration.viewers.map(({ id }, i) => ({ object, action, viewer: id, value: values[i]! }))
  );
}
