// Connections that the server ends under load, as at a failover or when a pooler restarts: what they
// were doing fails with a clear error, and the pool is whole again afterwards.

import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { DatabaseUnreachable } from "../../functions/_shared/database_errors.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { asWorker, openDatabase } from "../../functions/_shared/db.ts";
import { present } from "../support/auth.ts";
import { testEnv } from "../support/env.ts";

const CONTEXT = { request_id: "breaks", ip: null, user_agent: null };
const APPLICATION = "breaks";
const WORKERS = 16;
const BREAKS = 5;

Deno.test({
  name: "openDatabase survives connections that the server ends in the middle",
  ignore: !testEnv().dbUrl,
  // The pool lets go of its connections by itself when they have been idle.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: endConnections,
});

async function endConnections(): Promise<void> {
  const url = present(testEnv().dbUrl);
  const own = new URL(url);
  // Only these connections are ended: other tests use the same database.
  own.searchParams.set("application_name", APPLICATION);
  const sql = openDatabase(own.href);
  const admin = postgres(url, { max: 1, onnotice: () => {} });
  const seen = { done: 0, broken: 0, other: [] as unknown[] };
  let is_over = false;
  const worker = async () => {
    while (!is_over) {
      try {
        await sql.begin((tx) => tx`select pg_sleep(0.02)`);
        seen.done++;
      } catch (error) {
        const is_ended = error instanceof Error && "code" in error && error.code === "57P01";
        const is_lost = error instanceof DatabaseUnreachable || error instanceof AppError;
        if (is_ended || is_lost) seen.broken++;
        else seen.other.push(error);
      }
    }
  };
  const workers = Array.from({ length: WORKERS }, worker);
  try {
    for (let round = 0; round < BREAKS; round++) {
      const goal = seen.done + 2 * WORKERS;
      while (seen.done < goal) await sql.begin((tx) => tx`select 1`).catch(() => {});
      const ended = await admin`
        select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = ${APPLICATION}`;
      assert(ended.length > 0, "there was no connection to end");
    }
    is_over = true;
    await Promise.all(workers);
    assertEquals(seen.other, []);
    assert(seen.broken > 0, "nothing broke");
    // As many at once as the pool has places: each of them answers.
    const answers = await Promise.all(
      Array.from(
        { length: 8 },
        () => asWorker(sql, "rate_limit_worker", CONTEXT, (tx) => tx`select pg_sleep(0.05)`),
      ),
    );
    assertEquals(answers.length, 8);
  } finally {
    is_over = true;
    await admin.end();
  }
}
