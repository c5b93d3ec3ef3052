// The story of the README, run as it stands there by a program of its own, with the demo people.

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import postgres from "postgres";
import { PROJECT } from "../../supabase/local/cli.ts";
import { runScript } from "../../tools/sql_script.ts";
import { present } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";

Deno.test({
  name: "the README's story runs as it is printed (embedded stack)",
  ignore: !testEnv().adminUrl,
  fn: async () => {
    await loadDemoPeople();
    const readme = await Deno.readTextFile(join(PROJECT, "README.md"));
    const [, story] = /^```js\n([\s\S]+?)^```$/m.exec(readme) ?? [];
    assert(story, "the README has no story");
    const { url, publishableKey } = testEnv();
    const program = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--ext=js", "-"],
      cwd: PROJECT,
      env: { API_URL: url, PUBLISHABLE_KEY: publishableKey, NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stdin = program.stdin.getWriter();
    await stdin.write(new TextEncoder().encode(story));
    await stdin.close();
    const { success, stdout, stderr } = await program.output();
    const told = new TextDecoder().decode(stdout);
    assert(success, new TextDecoder().decode(stderr));
    for (
      const line of [
        /^24 records imported$/m,
        /^1 record read by the relative$/m,
        /^20 newest records read by the doctor$/m,
        /Ravi Verma Read a record$/m,
        /Dr Meera Iyer Opened your chart$/m,
      ]
    ) assert(line.test(told), `${line} is missing from:\n${told}`);
    assertEquals(told.includes("undefined"), false, told);
  },
});

async function loadDemoPeople(): Promise<void> {
  const sql = postgres(present(testEnv().dbUrl), { max: 1, onnotice: () => {} });
  try {
    await runScript(sql, join(PROJECT, "supabase", "seed.sql"), "supabase/seed.sql");
  } finally {
    await sql.end();
  }
}
