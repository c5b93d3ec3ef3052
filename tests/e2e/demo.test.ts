// The demo and the demo people, on a stack that is started as a newcomer starts it.

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { PROJECT } from "../../supabase/local/cli.ts";
import { loadKeys } from "../../supabase/local/keys.ts";
import { clientOf } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import { must, raiseToAal2 } from "../support/people.ts";
import { type Ended, Site } from "../support/stack_process.ts";

const seed = await Deno.readTextFile(`${PROJECT}/supabase/seed.sql`);
const password = /^-- Password of all: (\S+)$/m.exec(seed)?.[1] ?? "";

/** Runs `deno task demo` against the stack of a site. */
async function tellDemo(site: Site, ...args: string[]): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "demo", ...args],
    cwd: PROJECT,
    env: site.env(),
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, text: text.decode(stdout) + text.decode(stderr) };
}

/** Signs a demo person in, by the password that the seed names. */
async function signIn(site: Site, name: string) {
  const { publishable } = await loadKeys(site.dataDir);
  const client = clientOf(`http://127.0.0.1:${site.apiPort}`, publishable);
  const { data, error } = await client.auth.signInWithPassword({
    email: `${name}@example.com`,
    password,
  });
  if (error) throw error;
  return { client, id: data.user.id };
}

/** Every row of the product's tables that the demo people have, and their accounts. */
const SEEDED = `
  select md5(string_agg(line, ',' order by line)) as digest, count(*)::int as lines
  from (
    select to_jsonb(t)::text as line from public.audit_events as t
    union all select to_jsonb(t)::text from public.profiles as t
    union all select to_jsonb(t)::text from public.doctors as t
    union all select to_jsonb(t)::text from public.patients as t
    union all select to_jsonb(t)::text from public.medical_records as t
    union all select to_jsonb(t)::text from public.medical_record_contents as t
    union all select to_jsonb(t)::text from public.medical_record_shares as t
    union all select to_jsonb(t)::text from public.care_relationships as t
    union all select id || encrypted_password from auth.users
    union all select id || identity_data::text from auth.identities
  ) as rows`;

Deno.test({
  name: "a new stack has its demo people, and the demo tells the story or what is wrong with it " +
    "(embedded stack of its own)",
  ignore: !testEnv().adminUrl,
  fn: (t) =>
    Site.use(async (site) => {
      await site.start().ready();

      await t.step("running the seed again changes nothing", async () => {
        const before = await site.query(SEEDED);
        await site.query(`set role postgres; ${seed}`);
        assertEquals(await site.query(SEEDED), before);
        assertEquals(Number(before[0]?.lines) > 50, true);
      });

      await t.step("each demo person signs in and is who the seed says", async () => {
        const roles = {
          admin: ["admin", false],
          patient: ["patient", false],
          relative: ["caregiver", false],
          doctor: ["doctor", true],
          applicant: ["patient", false],
          stranger: ["patient", false],
        };
        for (const [name, expected] of Object.entries(roles)) {
          const { client, id } = await signIn(site, name);
          const [profile] = await must(
            client.from("profiles").select("role, is_verified").eq("id", id),
          );
          assertEquals([profile?.role, profile?.is_verified], expected, name);
          const { data } = await client.auth.getUser();
          assertEquals(data.user?.identities?.map(({ provider }) => provider), ["email"], name);
          assertEquals((await client.auth.refreshSession()).error, null, name);
        }
      });

      await t.step("the demo people see what the seed says", async () => {
        const list = async (name: string) => {
          const { client } = await signIn(site, name);
          return (await must(client.from("medical_records").select("title"))).length;
        };
        assertEquals(await list("patient"), 4);
        assertEquals(await list("relative"), 1);
        assertEquals(await list("stranger"), 0);
        const patient = await signIn(site, "patient");
        const doctor = await signIn(site, "doctor");
        await raiseToAal2(doctor.client);
        await must(doctor.client.rpc("open_chart", {
          ...{ p_patient_id: patient.id, p_purpose: "treatment" },
        }));
        assertEquals((await must(doctor.client.from("medical_records").select("id"))).length, 4);
        const admin = await signIn(site, "admin");
        await raiseToAal2(admin.client);
        const { id } = await signIn(site, "applicant");
        await must(admin.client.rpc("verify_doctor", { p_user_id: id, p_approve: true }));
      });

      await t.step("the demo tells the story, also twice at once, and ends with 0", async () => {
        for (const { code, text } of await Promise.all([tellDemo(site), tellDemo(site)])) {
          assertEquals(code, 0, text);
          assertMatch(text, /^(\d+) of \1 things were as they must be$/m);
          assertMatch(text, /^ +the patient +yes: 25 of 25 +yes +yes +yes +owner$/m);
          assertMatch(text, /^ +Leela, after it expired +no +no +no +no +none$/m);
          assertMatch(text, /^ +a stranger +no +no +no +no +none$/m);
        }
      });

      await t.step("the demo refuses what is no bundle, in a sentence", async () => {
        const folder = await tellDemo(site, "--bundle", `${site.folder}/none.json`);
        assertEquals(folder.code, 1);
        assertStringIncludes(folder.text, "Cannot read the bundle");
        const other = await tellDemo(site, "--bundle", `${PROJECT}/deno.json`);
        assertEquals(other.code, 1);
        assertStringIncludes(other.text, "The import is refused: 400 invalid_request");
        assertEquals((await tellDemo(site, "--unknown")).code, 1);
      });

      await t.step("the demo ends with 1 and says so when a rule does not hold", async () => {
        // The floor under every policy must go, too: it would keep the stranger out all the same.
        await site.query(
          `drop policy medical_records_select_authenticated_only on public.medical_records;
           create policy broken on public.medical_records for select to authenticated using (true)`,
        );
        const { code, text } = await tellDemo(site);
        assertEquals(code, 1);
        assertStringIncludes(text, "NOT AS IT MUST BE: his list has");
        assertMatch(text, /^ {2}not: \d+\. to the table: a stranger sees/m);
      });
    }),
});

Deno.test("the demo says in one sentence that no stack runs", () =>
  Site.use(async (site) => {
    const { code, text } = await tellDemo(site);
    assertEquals([code, text.trim()], [
      1,
      "The stack is not running; start it with `deno task start`",
    ]);
  }));
