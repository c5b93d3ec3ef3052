// The function `notifications` through the gateway: its backlog is for administrators with a second
// factor, and its worker for them and the queue. What it sends is in notifications_delivery.test.ts.

import { assert, assertEquals } from "@std/assert";
import { type Person, signInAgain, tokenOf } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";
import { databaseTest, newAdmin, newDoctor, newPatient } from "../support/people.ts";
import { refusalOf, send } from "../support/requests.ts";

const ROUTES = [["POST", "deliver"], ["GET", "status"]] as const;

async function ask(person: Person | null, method: string, path: string) {
  const token = person ? await tokenOf(person.client) : undefined;
  return await send(`/functions/v1/notifications/${path}`, { method, token });
}

databaseTest("an administrator sees how many deliveries wait, and nothing of whom", async () => {
  const { status, body } = await ask(await newAdmin(), "GET", "status");
  assertEquals(status, 200);
  assertEquals(Object.keys(body.data).toSorted(), [
    "dead",
    "due",
    "next_attempt_at",
    "oldest_due_seconds",
    "pending",
    "sending",
  ]);
  assert(!JSON.stringify(body).includes("@"));
});

databaseTest(
  "nobody else does, nor delivers, not even an administrator with a password alone",
  async () => {
    const admin = await newAdmin();
    const single = { ...admin, client: await signInAgain(admin) };
    const others = { patient: await newPatient(), doctor: await newDoctor(), single };
    for (const [method, path] of ROUTES) {
      for (const [who, person] of Object.entries(others)) {
        assertEquals(refusalOf(await ask(person, method, path)), [403, "forbidden"], who);
      }
      assertEquals(refusalOf(await ask(null, method, path)), [401, "unauthenticated"]);
      const secret = await send(`/functions/v1/notifications/${path}`, {
        method,
        headers: { authorization: `Bearer ${testEnv().secretKey}` },
      });
      assertEquals(refusalOf(secret), [401, "unauthenticated"]);
      const forged = await send(`/functions/v1/notifications/${path}`, {
        method,
        headers: { "upstash-signature": "e30.e30.e30" },
      });
      assertEquals(refusalOf(forged), [401, "unauthenticated"]);
    }
  },
);
