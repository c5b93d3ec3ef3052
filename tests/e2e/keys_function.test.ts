// The function `keys` through the gateway: for administrators with a second factor, and nobody else.

import { assert, assertEquals } from "@std/assert";
import { type Person, tokenOf } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import { databaseTest, newAdmin, newDoctor, newPatient } from "../support/people.ts";
import { newFile } from "../support/records_calls.ts";
import { signInAgain } from "../support/auth.ts";
import { refusalOf, send } from "../support/requests.ts";

const ROUTES = [["POST", "rotate"], ["GET", "status"]] as const;

async function ask(person: Person | null, method: string, path: string) {
  const token = person ? await tokenOf(person.client) : undefined;
  return await send(`/functions/v1/keys/${path}`, { method, token });
}

databaseTest("an administrator sees which keys are in use, and rotates them", async () => {
  const admin = await newAdmin();
  const before = await ask(admin, "GET", "status");
  await newFile(await newPatient());
  const { status, body } = await ask(admin, "GET", "status");
  assertEquals([before.status, status], [200, 200]);
  const files = ({ versions }: typeof body) =>
    versions.find((version: { is_current: boolean }) => version.is_current)?.data_keys
      .record_file ?? 0;
  assert(files(body.data) > files(before.body.data));
  assertEquals([body.data.is_overdue, body.data.to_rewrap], [false, 0]);
  const text = JSON.stringify(body);
  assert(!/wrapped|[A-Za-z0-9+/]{43}=/.test(text), text);

  const rotated = await ask(admin, "POST", "rotate");
  assertEquals(rotated.status, 200);
  assertEquals(rotated.body.data, {
    current: body.data.current,
    rewrapped: 0,
    failed: 0,
    remaining: 0,
  });
});

databaseTest("nobody else does, not even an administrator with a password alone", async () => {
  const admin = await newAdmin();
  const single = { ...admin, client: await signInAgain(admin) };
  const others = { patient: await newPatient(), doctor: await newDoctor(), single };
  for (const [method, path] of ROUTES) {
    for (const [who, person] of Object.entries(others)) {
      assertEquals(refusalOf(await ask(person, method, path)), [403, "forbidden"], who);
    }
    assertEquals(refusalOf(await ask(null, method, path)), [401, "unauthenticated"]);
    const secret = await send(`/functions/v1/keys/${path}`, {
      method,
      headers: { authorization: `Bearer ${testEnv().secretKey}` },
    });
    assertEquals(refusalOf(secret), [401, "unauthenticated"]);
    const forged = await send(`/functions/v1/keys/${path}`, {
      method,
      headers: { "upstash-signature": "e30.e30.e30" },
    });
    assertEquals(refusalOf(forged), [401, "unauthenticated"]);
  }
});
