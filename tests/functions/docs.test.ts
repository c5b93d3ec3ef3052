// The documents that name files and tests as proof: each of them is there, and each quoted test is.

import { assert, assertEquals } from "@std/assert";
import { basename, dirname, join } from "@std/path";

const PROJECT = new URL("../../", import.meta.url).pathname;
const DOCUMENTS = ["docs/hipaa.md", "docs/coverage.md", "docs/audit.md", "SECURITY.md"];
const PATH = /^[\w.-]+(?:\/[\w.*-]+)*\.(?:ts|sql|md|json|toml|lock|mjs)$/;

/** A document, or the part of it that a path stands in: a cell of a table, a paragraph. */
interface Named {
  document: string;
  /** As it is written; without folder: beside the one before it. */
  path: string;
  /** Folder of the last path with a folder in the same line, if any. */
  beside: string;
}

/** Every path between back-quotes, and every link to another document. */
function pathsIn(document: string): Named[] {
  const named: Named[] = [];
  for (const line of Deno.readTextFileSync(join(PROJECT, document)).split("\n")) {
    let beside = dirname(document);
    for (const [, quoted = "", linked] of line.matchAll(/`([^`]+)`|\]\(([\w./-]+\.md)\)/g)) {
      if (linked !== undefined) {
        named.push({ document, path: linked, beside: dirname(document) });
      } else if (PATH.test(quoted) || /^[\w./-]+\/$/.test(quoted)) {
        named.push({ document, path: quoted, beside });
        if (quoted.includes("/")) beside = quoted.endsWith("/") ? quoted : dirname(quoted);
      }
    }
  }
  return named;
}

/** Whether a path exists; `*` in its last part stands for anything. */
function exists(path: string): boolean {
  const folder = dirname(path);
  const pattern = basename(path).replaceAll(".", "\\.").replaceAll("*", ".*");
  try {
    return path.endsWith("/")
      ? Deno.statSync(join(PROJECT, path)).isDirectory
      : [...Deno.readDirSync(join(PROJECT, folder))].some(({ name }) =>
        new RegExp(`^${pattern}$`).test(name)
      );
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return false;
    throw thrown;
  }
}

for (const document of DOCUMENTS) {
  Deno.test(`${document} names files that are there, and no others`, () => {
    const named = pathsIn(document);
    assert(named.length > 3, "It names hardly a file: are they still written between back-quotes?");
    const missing = named.filter(({ path, beside }) => !exists(path) && !exists(join(beside, path)))
      .map(({ path }) => path);
    assertEquals(missing, []);
  });
}

Deno.test("docs/hipaa.md has every technical safeguard, each with a rule, a file and a test", () => {
  const rows = Deno.readTextFileSync(join(PROJECT, "docs/hipaa.md")).split("\n").filter((line) =>
    /^\| \([a-e]\)/.test(line)
  ).map((line) => line.split(" | ").map((cell) => cell.replace(/^\|?\s*|\s*\|?$/g, "")));
  assertEquals(rows.map(([safeguard]) => safeguard?.match(/^(?:\(\w+\))+/)?.[0]), [
    "(a)(1)",
    "(a)(2)(i)",
    "(a)(2)(ii)",
    "(a)(2)(iii)",
    "(a)(2)(iv)",
    "(b)",
    "(c)(1)",
    "(c)(2)",
    "(d)",
    "(e)(1)",
    "(e)(2)(i)",
    "(e)(2)(ii)",
  ]);
  for (const [safeguard, rule = "", files = "", tests = "", proposed = ""] of rows) {
    assert(rule.length > 50, `${safeguard} says what is done`);
    assert(/`(?:sql|policies|functions|clients)\/[^`]+`/.test(files), `${safeguard} names a file`);
    assert(/`tests\/[^`]+\.test\.(?:ts|sql)`/.test(tests), `${safeguard} names a test`);
    assert(proposed.length > 5, `${safeguard} says what is proposed`);
  }
});

Deno.test("docs/hipaa.md names functions of the database that there are", () => {
  const sql = [...Deno.readDirSync(join(PROJECT, "sql"))].map(({ name }) =>
    Deno.readTextFileSync(join(PROJECT, "sql", name))
  ).join("\n");
  const text = Deno.readTextFileSync(join(PROJECT, "docs/hipaa.md"));
  const named = [...text.matchAll(/`private\.(\w+)`/g)].map(([, name = ""]) => name);
  assert(named.length > 3);
  assertEquals(named.filter((name) => !sql.includes(`create function private.${name}(`)), []);
});
