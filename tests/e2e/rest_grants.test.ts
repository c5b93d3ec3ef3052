// A thousand requests at once on a stack that has just started, the first of all it ever gets: none
// fails, no grant changes, and nothing of a person is printed.

import { assertEquals } from "@std/assert";
import { loadKeys } from "../../supabase/local/keys.ts";
import { clientOf, newEmail, PASSWORD, present } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import { Site } from "../support/stack_process.ts";

/** Every grant of the database: of relations, columns, functions and schemas, and the defaults. */
const ACLS = `
  select 'relation' as kind, c.oid::regclass::text as name, c.relacl::text as acl
  from pg_class as c where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  union all
  select 'column', a.attrelid::regclass || '.' || a.attname, a.attacl::text
  from pg_attribute as a where a.attacl is not null
  union all
  select 'function', p.oid::regprocedure::text, p.proacl::text from pg_proc as p
  union all
  select 'schema', n.nspname, n.nspacl::text from pg_namespace as n
  union all
  select 'default', concat_ws(' ', d.defaclrole::regrole, d.defaclnamespace, d.defaclobjtype),
         d.defaclacl::text
  from pg_default_acl as d
  order by 1, 2, 3`;

Deno.test({
  name: "a thousand first requests at once change no grant, fail never, and print no person " +
    "(embedded stack of its own)",
  ignore: !testEnv().adminUrl,
  fn: () =>
    Site.use(async (site) => {
      const process = site.start();
      await process.ready();
      const keys = await loadKeys(site.dataDir);
      const url = `http://127.0.0.1:${site.apiPort}`;
      const before = await site.query(ACLS);
      assertEquals(before.length > 500, true);

      const emails = Array.from({ length: 10 }, () => newEmail("grants"));
      const get = (path: string, headers: HeadersInit) => fetch(`${url}${path}`, { headers });
      const anon = { apikey: keys.publishable };
      const service = { apikey: keys.secret };
      const kinds: [request: (n: number) => Promise<Response>, expected: number[]][] = [
        [() => get("/rest/v1/profiles?select=id", anon), [200, 401]],
        [() => get("/rest/v1/profiles?select=id", service), [200, 403]],
        [() => get("/rest/v1/medical_records?select=id", anon), [200, 401]],
        [() => get("/rest/v1/no_such_table", anon), [404]],
        [() => post(`${url}/rest/v1/rpc/no_such_function`, anon, {}), [404]],
        [() => post(`${url}/rest/v1/medical_records`, anon, { title: "x" }), [400, 401]],
        [() => get("/auth/v1/settings", anon), [200]],
        [() => get("/auth/v1/user", anon), [401]],
        [() => get("/auth/v1/.well-known/jwks.json", {}), [200]],
        [(n) => signUpOrTaken(url, anon, present(emails[n % 10])), [200, 422]],
      ];
      // Ten sign-ups only: each costs a password hash.
      const requests = Array.from({ length: 1000 }, (_, n) => {
        const [request, expected] = present(kinds[n < 100 ? n % 10 : n % 9]);
        return request(Math.floor(n / 10)).then(async (answer) => {
          await answer.body?.cancel();
          return { status: answer.status, expected };
        });
      });
      const answers = await Promise.all(requests);

      const unexpected = answers.filter(({ status, expected }) => !expected.includes(status));
      assertEquals(unexpected, []);
      await asUsers(url, keys.publishable, emails);
      assertEquals(await site.query(ACLS), before);
      process.signal("SIGTERM");
      const { text } = await process.ended;
      assertEquals(emails.filter((email) => text.includes(email)), []);
      assertEquals(/PostgresError|\n\s+at /.test(text), false, text);
    }),
});

/** Every person reads and is refused at once, with a session. */
async function asUsers(url: string, key: string, emails: string[]): Promise<void> {
  const clients = await Promise.all(emails.map(async (email) => {
    const client = clientOf(url, key);
    const { error } = await client.auth.signInWithPassword({ email, password: PASSWORD });
    assertEquals(error, null);
    return client;
  }));
  const reads = await Promise.all(
    clients.flatMap((client) =>
      Array.from({ length: 20 }, () => client.from("profiles").select("id"))
    ),
  );
  assertEquals(new Set(reads.map(({ status }) => status)), new Set([200]));
  const refused = await Promise.all(clients.map((client) => client.from("audit_events").select()));
  assertEquals(refused.filter(({ status }) => status >= 500), []);
}

async function post(url: string, headers: HeadersInit, body: unknown): Promise<Response> {
  return await fetch(url, {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function signUpOrTaken(url: string, headers: HeadersInit, email: string): Promise<Response> {
  return await post(`${url}/auth/v1/signup`, headers, { email, password: PASSWORD });
}
