// Who may become a worker role: the files that policies/README.md lists, and nobody else.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";

const PROJECT = new URL("../../", import.meta.url).pathname;

/** Every TypeScript file below a folder, as a path from the project's root. */
function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(join(PROJECT, folder))].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesIn(path) : path.endsWith(".ts") ? [path] : [];
  });
}

const files = filesIn("functions");
const textOf = (path: string) => Deno.readTextFileSync(join(PROJECT, path));

Deno.test("asWorker is used by the files that policies/README.md lists, and by no other", () => {
  const users = files.filter((path) =>
    path !== "functions/_shared/db.ts" && /\basWorker\b/.test(textOf(path))
  );
  const rows = textOf("policies/README.md").split("\n").filter((line) =>
    /^\| `\w+_worker`/.test(line)
  );
  const listed = rows.flatMap((row) => row.match(/functions\/[\w/.-]+\.ts/g) ?? []);
  assertEquals(users.toSorted(), [...new Set(listed)].toSorted());
});

Deno.test("every worker role of the code is one that policies/README.md lists", () => {
  const used = files.flatMap((path) => textOf(path).match(/"\w+_worker"/g) ?? []);
  const readme = textOf("policies/README.md");
  assert(used.length > 0);
  for (const name of new Set(used)) assert(readme.includes(`\`${name.slice(1, -1)}\``), name);
});

Deno.test("only what boots reads the environment or the clock", () => {
  const readers = files.filter((path) => /\bDeno\.env\b|\bDate\.now\(/.test(textOf(path)));
  const boots = (path: string) => /^functions\/[a-z]+\/index\.ts$/.test(path);
  assertEquals(readers.filter((path) => !boots(path)), ["functions/_shared/deps.ts"]);
  assert(readers.some(boots));
});
