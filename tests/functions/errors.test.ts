// The closed list of codes: SQL raises no code that is not on it, nor one under another status.

import { assert, assertEquals } from "@std/assert";
import { isProblemCode, PROBLEMS } from "../../functions/_shared/errors.ts";

const RAISED = /errcode = 'PT(\d{3})',\s*message = '([a-z_]+)'/g;

Deno.test("every code that SQL raises is on the list, with the list's status", async () => {
  const folder = new URL("../../sql/", import.meta.url);
  const found = new Set<string>();
  for await (const { name } of Deno.readDir(folder)) {
    const text = await Deno.readTextFile(new URL(name, folder));
    for (const [, status, code = ""] of text.matchAll(RAISED)) {
      if (!isProblemCode(code)) throw new Error(`${name} raises ${code}, which is not on the list`);
      assertEquals(Number(status), PROBLEMS[code].status, `${name} raises ${code} as ${status}`);
      found.add(code);
    }
    const statements = text.match(/errcode = 'PT/g)?.length ?? 0;
    assertEquals(
      [...text.matchAll(RAISED)].length,
      statements,
      `${name} raises one in another form`,
    );
  }
  assert(
    found.has("not_found") && found.has("unauthenticated"),
    "the pattern finds the statements",
  );
});

Deno.test("every code with which SQL refuses is on the list, with the list's status", async () => {
  const text = await Deno.readTextFile(new URL("../../sql/15_audit.sql", import.meta.url));
  const [, cases = ""] = /v_status constant integer := case p_code([^;]+)end;/.exec(text) ?? [];
  const codes = [...cases.matchAll(/when '([a-z_]+)' then (\d{3})/g)];
  assert(codes.length > 0, "the pattern finds the cases");
  for (const [, code = "", status] of codes) {
    if (!isProblemCode(code)) throw new Error(`SQL refuses with ${code}, which is not on the list`);
    assertEquals(Number(status), PROBLEMS[code].status, code);
  }
});

Deno.test("the README has a line for every code", async () => {
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  const rows = readme.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  for (const [code, { status }] of Object.entries(PROBLEMS)) {
    const row = rows.find((cells) => cells[1] === `\`${code}\``);
    assertEquals(row?.[2], String(status), `README.md lacks the code ${code} (${status})`);
  }
});
