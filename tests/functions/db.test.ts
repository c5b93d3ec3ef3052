// Transactions as somebody, and what the database throws as codes of the list.

import { assertEquals, assertRejects } from "@std/assert";
import { DatabaseUnreachable, fromDatabase } from "../../functions/_shared/database_errors.ts";
import { asCaller, asWorker, type Caller, openDatabase } from "../../functions/_shared/db.ts";
import { AppError, type ProblemCode, PROBLEMS } from "../../functions/_shared/errors.ts";
import { CALLER_ID, FakeSql, raised, SESSION_ID } from "./support.ts";

const caller: Caller = {
  id: CALLER_ID,
  claims: { sub: CALLER_ID, role: "authenticated", session_id: SESSION_ID, aal: "aal2" },
  request_id: "req-1",
  ip: "203.0.113.7",
  user_agent: "Test/1",
};

Deno.test("asCaller sets role, claims and headers in one statement before the work", async () => {
  const sql = new FakeSql({ "select 1": [{ one: 1 }] });
  const rows = await asCaller(sql, caller, (tx) => tx`select 1`);
  assertEquals(rows, [{ one: 1 }]);
  assertEquals(sql.statements.length, 2);
  const settings = sql.settingsOf(sql.find("select 1"));
  assertEquals(settings.role, "authenticated");
  assertEquals(JSON.parse(settings["request.jwt.claims"]!), caller.claims);
  assertEquals(JSON.parse(settings["request.headers"]!), {
    "x-forwarded-for": "203.0.113.7",
    "user-agent": "Test/1",
    "x-request-id": "req-1",
  });
  assertEquals(sql.ended, ["committed"]);
});

Deno.test("asCaller refuses a session that has ended, before the work", async () => {
  const sql = new FakeSql();
  sql.session_is_live = false;
  const error = await assertRejects(
    () => asCaller(sql, caller, () => Promise.reject(new Error("the work was reached"))),
    AppError,
  );
  assertEquals(error.code, "unauthenticated");
  assertEquals(sql.ended, ["rolled back"]);
});

Deno.test("asCaller rolls back what fails, and gives the code that was raised", async () => {
  const sql = new FakeSql({ "private.f": raised("PT409", "already_shared", "Shared already") });
  const error = await assertRejects(
    () => asCaller(sql, caller, (tx) => tx`select private.f()`),
    AppError,
  );
  assertEquals([error.code, error.message], ["already_shared", "Shared already"]);
  assertEquals(sql.ended, ["rolled back"]);
});

Deno.test("asWorker takes the worker's role and the claims of the caller it acts for", async () => {
  const sql = new FakeSql({ "private.f": [{}] });
  await asWorker(sql, "records_worker", caller, (tx) => tx`select private.f()`);
  const settings = sql.settingsOf(sql.find("private.f"));
  assertEquals(settings.role, "records_worker");
  assertEquals(JSON.parse(settings["request.jwt.claims"]!).sub, CALLER_ID);
});

Deno.test("asWorker has no claims when it acts for nobody", async () => {
  const sql = new FakeSql({ "private.f": [{}] });
  const context = { request_id: "req-1", ip: null, user_agent: null };
  await asWorker(sql, "rate_limit_worker", context, (tx) => tx`select private.f()`);
  const settings = sql.settingsOf(sql.find("private.f"));
  assertEquals(settings["request.jwt.claims"], "{}");
  assertEquals(settings["request.headers"], '{"x-request-id":"req-1"}');
});

Deno.test("fromDatabase reads every code of the list from its PT state", () => {
  for (const [code, { status }] of Object.entries(PROBLEMS)) {
    const error = fromDatabase(raised(`PT${status}`, code, "A sentence"));
    assertEquals(error instanceof AppError && [error.code, error.message], [code, "A sentence"]);
  }
});

Deno.test("fromDatabase gives the title when a function raised without a sentence", () => {
  const error = fromDatabase(raised("PT404", "not_found"));
  assertEquals(error instanceof AppError && error.message, "Not found");
});

Deno.test("fromDatabase does not take a code that is not of the list, or of another status", () => {
  const strangers = [
    raised("PT404", "no_such_code", "Ananya Rao"),
    raised("PT500", "not_found", "Ananya Rao"),
    raised("PT404", "constructor", "Ananya Rao"),
    raised("P0001", "not_found", "Ananya Rao"),
    raised("XX000", "not_found", "Ananya Rao"),
  ];
  for (const error of strangers) assertEquals(fromDatabase(error), error);
});

Deno.test("fromDatabase reads SQLSTATEs that nobody translated", () => {
  const codes: [string[], ProblemCode][] = [
    [
      ["08006", "08001", "53300", "53200", "57P01", "57P03", "57014", "55P03", "40001", "40P01"],
      "unavailable",
    ],
    [
      ["22021", "22P05", "22P02", "22001", "22003", "22007", "22008", "23502", "23514"],
      "invalid_request",
    ],
    [["42501"], "forbidden"],
  ];
  for (const [states, code] of codes) {
    for (const state of states) {
      const error = fromDatabase(raised(state, "Ananya Rao", "Failing row contains (Ananya)"));
      assertEquals(error instanceof AppError && error.code, code, state);
      assertEquals(error instanceof AppError && error.message.includes("Ananya"), false);
    }
  }
});

Deno.test("fromDatabase keeps what is a mistake of ours as it is", () => {
  for (const state of ["42P01", "42703", "42883", "23505", "23503", "25006"]) {
    const error = raised(state, "a mistake");
    assertEquals(fromDatabase(error), error);
  }
  const other = new TypeError("x is not a function");
  assertEquals(fromDatabase(other), other);
  assertEquals(fromDatabase("text"), "text");
});

Deno.test("fromDatabase says unavailable, and when to come back, for a lost connection", () => {
  const error = fromDatabase(new DatabaseUnreachable(new Error("write 10.0.0.7:5432")));
  assertEquals(error instanceof AppError && [error.code, error.retryAfterSeconds], [
    "unavailable",
    5,
  ]);
});

Deno.test("openDatabase says unreachable when nobody listens", async () => {
  const sql = openDatabase("postgresql://postgres:postgres@127.0.0.1:1/postgres");
  await assertRejects(() => sql.begin((tx) => tx`select 1`), DatabaseUnreachable);
});
