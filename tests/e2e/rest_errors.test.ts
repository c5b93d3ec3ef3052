// What the data API makes of errors, and what is printed of them: no stack needed.

import { assertEquals } from "@std/assert";
import postgres from "postgres";
import { describeError, hideRowsInErrors } from "../../supabase/local/log_errors.ts";
import { restFailure } from "../../supabase/local/rest_errors.ts";

/** An error as the driver throws it. */
function databaseError(fields: Record<string, string>): postgres.PostgresError {
  return Object.assign(new postgres.PostgresError(fields.message ?? ""), fields);
}

for (
  const [code, role, status] of [
    ["42501", "anon", 401],
    ["42501", "authenticated", 403],
    ["23505", "anon", 409],
    ["23503", "anon", 409],
    ["23P01", "anon", 400],
    ["23514", "anon", 400],
    ["22P02", "anon", 400],
    ["25006", "anon", 405],
    ["42883", "anon", 404],
    ["42P01", "anon", 404],
    ["42P17", "anon", 500],
    ["0L000", "anon", 403],
    ["28000", "anon", 403],
    ["40001", "anon", 500],
    ["53300", "anon", 503],
    ["53400", "anon", 500],
    ["57014", "anon", 500],
    ["57P01", "anon", 503],
    ["P0001", "anon", 400],
    ["P0002", "anon", 500],
    ["XX000", "anon", 500],
    ["PT418", "anon", 418],
    ["PT999", "anon", 500],
    ["PTXYZ", "anon", 500],
  ] as const
) {
  Deno.test(`SQLSTATE ${code} is ${status} for ${role}`, async () => {
    const answer = restFailure(databaseError({ code, message: "m", detail: "d", hint: "h" }), role)
      .getResponse();

    assertEquals(answer.status, status);
    assertEquals(await answer.json(), { code, message: "m", details: "d", hint: "h" });
  });
}

Deno.test("raise sqlstate PGRST sets body, status and headers", async () => {
  const answer = restFailure(
    databaseError({
      code: "PGRST",
      message: `{"code":"X1","message":"m","details":"d"}`,
      detail: `{"status":402,"headers":{"x-why":"because"}}`,
    }),
    "anon",
  ).getResponse();
  const broken = restFailure(databaseError({ code: "PGRST", message: "m", detail: "d" }), "anon")
    .getResponse();

  assertEquals([answer.status, answer.headers.get("x-why")], [402, "because"]);
  assertEquals(await answer.json(), { code: "X1", message: "m", details: "d", hint: null });
  assertEquals([broken.status, (await broken.json()).code], [500, "PGRST121"]);
});

Deno.test("an unforeseen error shows and prints nothing of itself to the caller", async () => {
  const printed: unknown[][] = [];
  const { error: original } = console;
  console.error = (...values: unknown[]) => printed.push(values);
  try {
    const answer = restFailure(new Error("bug with ada@example.org"), "anon").getResponse();

    assertEquals(answer.status, 500);
    assertEquals((await answer.text()).includes("ada@example.org"), false);
    assertEquals(printed.length, 1);
  } finally {
    console.error = original;
  }
});

Deno.test("a printed error of PostgreSQL shows kind and place, and no value", () => {
  const error = databaseError({
    code: "23505",
    message: "duplicate key value",
    detail: "Key (email)=(ada@example.org) already exists.",
    constraint_name: "users_email_partial_key",
    where: `PL/pgSQL function private.add(text) line 3 at SQL statement "ada@example.org"`,
  });
  hideRowsInErrors();

  const expected =
    "PostgresError 23505 users_email_partial_key PL/pgSQL function private.add(text) line 3";
  assertEquals(describeError(error), expected);
  assertEquals(Deno.inspect(error), expected);
  const outer = Deno.inspect(new Error("outer", { cause: error }));
  assertEquals(outer.includes("ada@example.org"), false);
});
