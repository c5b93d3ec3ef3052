// Writes the access matrix for people to read: docs/access-matrix.md.

import { type Declaration, type MatrixRow, rowsOf } from "./declaration.ts";

const SECTIONS: [section: MatrixRow["section"], title: string, text: string][] = [
  ["tables", "Tables and views", "Whose rows are seen, and how many rows a statement writes."],
  [
    "buckets",
    "Storage buckets",
    "The rows of `storage.objects` in each bucket, which Storage asks before it serves or takes bytes.",
  ],
  [
    "functions",
    "Functions that are called",
    "All functions that the API serves (schema `public`), and those that the edge functions call as " +
    "the caller, each with fixed arguments. `{pia}` is the id of pia, and so on; `{self}` the viewer's.",
  ],
  [
    "granted",
    "Other functions that somebody may execute",
    "Helpers of policies, bodies of the functions above, jobs of workers, the platform's own. The " +
    "schema `private` is not served by the API.",
  ],
];

/** The document, before `deno fmt` aligns its tables. */
export function renderMatrix(declaration: Declaration): string {
  const rows = rowsOf(declaration);
  const cells = rows.length * declaration.viewers.length;
  const closed = rows.filter(({ section }) => section === "closed");
  const closedNames = (kind: RegExp) =>
    [...new Set(closed.map(({ object }) => object))].filter((name) => kind.test(name))
      .map((name) => `- \`${name}\``);
  return [
    "# Access matrix",
    "",
    "Who may do what, for every table, view, bucket and function of the database. Written from",
    "`tests/matrix/access.yaml` by `deno task docs:matrix`; `deno task test:matrix` tries each of its",
    `${cells} cells on a scratch database, and fails for anything that has none.`,
    "",
    "## Viewers",
    "",
    "All look at pia, a patient, and at what is hers.",
    "",
    ...table(
      ["viewer", "who", "database role"],
      declaration.viewers.map(({ id, is, role }) => [id, is, `\`${role}\``]),
    ),
    "",
    "## Words",
    "",
    ...table(["word", "means"], [
      ["`-`", "no grant: refused before any row is looked at"],
      ["`0`", "no row seen, or written"],
      ["`P`", "select: all of pia's rows; with a number, so many of them"],
      ["`o`", "select: all of one's own rows; with a number, so many of them"],
      ["`x`", "select: all rows of others or of nobody; with a number, so many of them"],
      ["a number", "insert, update, delete: rows written of all there are"],
      ["`ok`", "execute: done, or answered with rows"],
      ...Object.values(declaration.outcomes).map(({ word, means }) => [`\`${word}\``, means]),
    ]),
    ...SECTIONS.flatMap(([section, title, text]) => [
      "",
      `## ${title}`,
      "",
      text,
      "",
      ...renderRows(declaration, rows.filter((row) => row.section === section)),
    ]),
    "",
    "## Columns",
    "",
    "What a grant on a table is for, where it is not for all columns. Whoever has the right has it on",
    "these.",
    "",
    ...table(
      ["table", "action", "columns"],
      Object.entries(declaration.tables).flatMap(([name, { columns }]) =>
        Object.entries(columns).filter(([, list]) => list !== "all").map((
          [action, list],
        ) => [`\`${name}\``, action, list])
      ),
    ),
    "",
    "## Closed to every viewer",
    "",
    "No select, insert, update or delete, by grant:",
    "",
    ...closedNames(/^[^(]*$/),
    "",
    "No execute, by grant; they are triggers, and parts of functions above:",
    "",
    ...closedNames(/\(/),
    "",
    "Functions and views of extensions run with the rights of their caller and hold no row of the",
    `product: ${declaration.extensions.join(", ")}.`,
    "",
  ].join("\n");
}

/** Rows under a heading; alike cells of all people are not drawn together, so that each can be read. */
function renderRows(declaration: Declaration, rows: MatrixRow[]): string[] {
  const objects = new Set<string>();
  return table(
    ["object", "action", ...declaration.viewers.map(({ id }) => id)],
    rows.map(({ object, action, values, section }) => {
      const first = !objects.has(object);
      objects.add(object);
      const call = section === "functions" ? `\`${action.replace(/^execute /, "")}\`` : action;
      return [first ? `\`${object}\`` : "", call, ...values];
    }),
  );
}

function table(head: string[], rows: string[][]): string[] {
  const line = (cells: string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}
