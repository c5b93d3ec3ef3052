// The test tools themselves: a runner that calls a failure a success would make every other test moot.

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { PROJECT } from "../../supabase/local/cli.ts";
import { adminConnection, createDatabase } from "../../supabase/local/database.ts";
import { readOutcome } from "../../tools/deno_suite.ts";
import { PreludeError, runPgtap } from "../../tools/pgtap.ts";
import { type Outcome, runSuites } from "../../tools/report.ts";
import { withCluster, withFolder } from "../../tools/throwaway.ts";

/** pgTAP files, how many of their assertions pass, and what is said of the others. */
const FILES: Record<string, { sql: string; passed: number; failures: string[] }> = {
  "a file whose assertions hold passes": {
    sql: "begin;\nselect plan(2);\nselect pass($$one; two$$);\nselect is(1, 1, 'é €');\n" +
      "select * from finish();\nrollback;",
    passed: 2,
    failures: [],
  },
  "a failing assertion is named by line, with what pgTAP says of it": {
    sql:
      "begin;\nselect plan(2);\n-- über\nselect is(1, 2, 'one is two');\nselect pass('then');\n" +
      "select * from finish();\nrollback;",
    passed: 1,
    failures: ["f.sql:4: one is two", "have: 1", "want: 2"],
  },
  "an SQL error is named by line and fails the file": {
    sql: "begin;\nselect plan(1);\nselect pass('before');\n\nselect 1 / 0;\nrollback;",
    passed: 1,
    failures: ["f.sql:5: division by zero (22012)"],
  },
  "a file that is no SQL fails with the line": {
    sql: "begin;\nselect plan(1);\nselekt pass();\nrollback;",
    passed: 0,
    failures: ['f.sql:3: syntax error at or near "selekt"'],
  },
  "an assertion too few fails": {
    sql: "begin;\nselect plan(2);\nselect pass('one');\nselect * from finish();\nrollback;",
    passed: 1,
    failures: ["f.sql: 2 assertions planned, 1 made"],
  },
  "a file without finish that made what it planned passes": {
    sql: "begin;\nselect plan(1);\nselect pass('one');\nrollback;",
    passed: 1,
    failures: [],
  },
  "a file without assertions fails": {
    sql: "begin;\nselect 1;\nrollback;",
    passed: 0,
    failures: ["f.sql: asserts nothing"],
  },
  "a file that commits fails before it runs": {
    sql: "begin;\nselect plan(1);\ncreate table public.left_behind ();\ncommit;\nbegin;\nrollback;",
    passed: 0,
    failures: ["f.sql:4: the transaction ends before the file does"],
  },
  "a file outside a transaction fails": {
    sql: "select plan(1);\nselect pass('one');",
    passed: 0,
    failures: ["f.sql:1: the first statement is not begin"],
  },
  "savepoints are allowed": {
    sql: "begin;\nselect plan(1);\nsavepoint s;\nrollback to s;\nselect pass('one');\nrollback;",
    passed: 1,
    failures: [],
  },
};

Deno.test("the pgTAP runner", async (t) => {
  await withCluster(async (port) => {
    await createDatabase(port, "pgtap");
    const connection = adminConnection(port, "pgtap");
    try {
      for (const [name, { sql, passed, failures }] of Object.entries(FILES)) {
        await t.step(name, async () => {
          const result = await runPgtap(connection, "f.sql", sql);
          assertEquals(result.passed, passed);
          assertEquals(result.failed, failures.length > 0 ? 1 : 0, result.failures.join("\n"));
          for (const text of failures) assertStringIncludes(result.failures[0] ?? "", text);
        });
      }
      const file = (body: string) => `begin;\nselect plan(2);\n${body}\nrollback;`;
      await t.step("runs a prelude in the file's transaction, and undoes it", async () => {
        const seen = file(
          "select has_table('public', 'planted', 'there');\n" +
            "select is(current_user::text, 'anon', 'anon');",
        );
        const prelude = "create table public.planted (); set local role anon";
        assertEquals((await runPgtap(connection, "f.sql", seen, { prelude })).failures, []);
        assertEquals((await runPgtap(connection, "f.sql", seen)).failed, 2);
      });
      await t.step("throws what a prelude does wrong, and is ready for the next file", async () => {
        const passing = file("select pass('one');\nselect pass('two');");
        await assertRejects(
          () => runPgtap(connection, "f.sql", passing, { prelude: "drop table public.none" }),
          PreludeError,
          'table "none" does not exist',
        );
        assertEquals((await runPgtap(connection, "f.sql", passing)).failures, []);
      });
      await t.step("stops at the first failure when it is asked to", async () => {
        const failing = file("select fail('one');\nselect 1 / 0;\nselect pass('two');");
        const { passed, failures } = await runPgtap(connection, "f.sql", failing, {
          stopAtFailure: true,
        });
        assertEquals(passed, 0);
        assertEquals(failures.length, 1);
        assertStringIncludes(failures[0] ?? "", "f.sql:3: one");
      });
      await t.step("leaves neither rows, nor a role, nor a transaction", async () => {
        await runPgtap(
          connection,
          "f.sql",
          "begin; create table public.mine (); set role anon; oops",
        );
        await runPgtap(connection, "f.sql", "begin; create table public.mine (); set role anon;");
        const [left] = await connection`
          select to_regclass('public.mine') as mine, current_user::text as user`;
        assertEquals(left, { mine: null, user: "supabase_admin" });
      });
    } finally {
      await connection.end();
    }
  });
});

/** Runs `tools/test.ts functions` on test files of ours. */
async function runSuiteOn(files: Record<string, string>) {
  let result = { code: -1, lines: [""] };
  await withFolder(async (folder) => {
    for (const [name, code] of Object.entries(files)) {
      await Deno.writeTextFile(join(folder, name), code);
    }
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "tools/test.ts", "functions", folder],
      cwd: PROJECT,
      stdin: "null",
      stderr: "null",
    }).output();
    result = { code, lines: new TextDecoder().decode(stdout).trimEnd().split("\n") };
  });
  return result;
}

Deno.test("a test run ends with the counts and succeeds when everything passed", async () => {
  const { code, lines } = await runSuiteOn({
    "a.test.ts": 'Deno.test("a", () => {}); Deno.test("b", () => {});',
    "b.test.ts": 'Deno.test("c", () => {}); Deno.test.ignore("d", () => {});',
  });
  assertEquals(lines.at(-1), "3 passed, 0 failed");
  assertEquals(lines.filter((line) => /^\d+ passed, \d+ failed$/.test(line)).length, 1);
  assertEquals(code, 0);
});

Deno.test("a test run fails when a test fails", async () => {
  const { code, lines } = await runSuiteOn({
    "a.test.ts": 'Deno.test("a", () => {}); Deno.test("b", () => { throw new Error("no"); });',
  });
  assertEquals(lines.at(-1), "1 passed, 1 failed");
  assertEquals(code, 1);
  assert(lines.some((line) => line.includes("Error: no")));
});

Deno.test("a test run fails when a file does not load", async () => {
  const { code, lines } = await runSuiteOn({
    "a.test.ts": 'Deno.test("a", () => {});',
    "b.test.ts": 'throw new Error("not loaded");',
  });
  assertEquals(lines.at(-1), "1 passed, 1 failed");
  assertEquals(code, 1);
});

Deno.test("a test run without tests fails", async () => {
  const { code, lines } = await runSuiteOn({ "a.test.ts": "export {};" });
  assertEquals(lines.at(-1), "0 passed, 1 failed");
  assertEquals(code, 1);
});

Deno.test("free ports are given once, to whomever asks at the same time", async () => {
  const code = `import { freePort } from "./tools/throwaway.ts";
    console.log(Array.from({ length: 200 }, freePort).join(" "));`;
  const asked = await Promise.all(Array.from({ length: 3 }, async () => {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", code],
      cwd: PROJECT,
    }).output();
    return new TextDecoder().decode(stdout).trim().split(" ");
  }));
  const ports = asked.flat();
  assertEquals(ports.length, 600);
  assertEquals(new Set(ports).size, 600);
});

Deno.test("a program that ends early leaves neither server nor folder", async () => {
  const ends = { interrupted: "", failed: 'Promise.reject(new Error("nobody catches this"));' };
  for (const [how, failure] of Object.entries(ends)) {
    const code = `import { withCluster, withFolder } from "./tools/throwaway.ts";
      await withFolder((folder) => withCluster(async (port) => {
        console.log(JSON.stringify({ folder, port }));
        ${failure}
        await new Promise(() => setInterval(() => {}, 1000));
      }));`;
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "-q", code],
      cwd: PROJECT,
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const { folder, port } = JSON.parse((await lines.read()).value ?? "");
    if (how === "interrupted") child.kill("SIGINT");
    assertEquals((await child.status).code, how === "interrupted" ? 130 : 1);
    await lines.cancel();
    await assertRejects(() => Deno.stat(folder), Deno.errors.NotFound);
    await assertRejects(() => Deno.connect({ hostname: "127.0.0.1", port }));
  }
});

Deno.test("a report that was not written is a failure", () => {
  assertEquals(readOutcome("", 1), { passed: 0, failed: 1 });
});

Deno.test("work that ends by an interrupt does not overtake the clearing away", async () => {
  // As with a command that a stack is booted for: the interrupt ends it, and with it the work.
  const code = `import { withCleanup, withCluster, withFolder } from "./tools/throwaway.ts";
    const command = Promise.withResolvers();
    await withFolder((folder) => withCluster((port) => withCleanup(() => {
      console.log(JSON.stringify({ folder, port }));
      const timer = setInterval(() => {}, 1000);
      return command.promise.finally(() => clearInterval(timer));
    }, async () => command.resolve())));
    Deno.exit(0);`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "-q", code],
    cwd: PROJECT,
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { folder, port } = JSON.parse((await lines.read()).value ?? "");
  child.kill("SIGTERM");
  assertEquals((await child.status).code, 130);
  await lines.cancel();
  await assertRejects(() => Deno.stat(folder), Deno.errors.NotFound);
  await assertRejects(() => Deno.connect({ hostname: "127.0.0.1", port }));
});

Deno.test("a suite that waits holds up no other, and counts as the others do", async () => {
  const begun: string[] = [];
  const waited = Promise.withResolvers<Outcome>();
  const suite = (name: string, run: () => Outcome | Promise<Outcome>, waits?: boolean) => ({
    name,
    waits,
    run: async () => {
      begun.push(name);
      return await run();
    },
  });
  const good = { passed: 1, failed: 0 };
  const passed = await runSuites([
    suite("first", () => good),
    suite("waits", () => waited.promise, true),
    suite("last", () => {
      waited.resolve({ passed: 1, failed: 1 });
      return good;
    }),
  ], 1);
  assertEquals([passed, begun.toSorted()], [false, ["first", "last", "waits"]]);
});

Deno.test("what failed stands once more at the end, however much came after it", async () => {
  const code = `import { runSuites } from "./tools/report.ts";
    const suite = (name, lines, failed) => ({ name, run: (print) => {
      lines.forEach(print);
      return Promise.resolve({ passed: 1, failed });
    } });
    await runSuites([
      suite("sql", ["ok    a", "FAIL  b", "      b.sql:3: wrong", "ok    c"], 1),
      suite("ts", ["one ... FAILED", " ERRORS ", "one => x.ts", "FAILED | 0 passed", "two"], 1),
      suite("good", ["ok    d"], 0),
    ]);`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "-q", code],
    cwd: PROJECT,
    stderr: "inherit",
  }).output();
  assertEquals(
    new TextDecoder().decode(stdout).split("\n").slice(-10),
    [
      "",
      "What failed, once more:",
      "sql  | FAIL  b",
      "sql  |       b.sql:3: wrong",
      "ts   |  ERRORS ",
      "ts   | one => x.ts",
      "ts   | FAILED | 0 passed",
      "",
      "3 passed, 2 failed",
      "",
    ],
  );
});
