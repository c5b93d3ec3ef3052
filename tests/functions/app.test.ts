// What every answer has in common: headers, request id, CORS, log line, and what happens when a
// handler breaks.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { HTTPException } from "hono/http-exception";
import { newApp } from "../../functions/_shared/app.ts";
import type { Deps } from "../../functions/_shared/deps.ts";
import { ok, okPage } from "../../functions/_shared/envelope.ts";
import { AppError } from "../../functions/_shared/errors.ts";
import { assertFailure, assertSuccess, CALLER_ID, fakeDeps, NOW_MS, sign } from "./support.ts";

const ITEM_ID = "e1b2c3d4-0000-4000-8000-000000000005";

function build(changes: Partial<Deps> = {}, handler?: () => Response | Promise<Response>) {
  const deps = fakeDeps({}, changes);
  const app = newApp(deps, { name: "test", publicPaths: ["/test/open"] });
  app.get("/test/open", (c) => ok(c, {}));
  app.get("/test/page", (c) => okPage(c, [1, 2], "next"));
  app.get("/test/items/:id", async (c) => handler ? await handler() : ok(c, { id: "x" }));
  const request = async (path: string, headers: Record<string, string> = {}, method = "GET") =>
    await app.request(path, {
      method,
      headers: { authorization: `Bearer ${await sign()}`, ...headers },
    });
  return { deps, app, request };
}

const HEADERS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "x-xss-protection": "1; mode=block",
  "strict-transport-security": "max-age=31536000; includeSubDomains",
  "content-security-policy": "default-src 'self'",
  "cache-control": "no-store",
};

Deno.test("every answer has the security headers, whatever its status", async () => {
  const broken = () => Promise.reject(new Error("broken"));
  const answers = [
    await build().request("/test/items/1"),
    await build().request("/test/open"),
    await build().request("/test/nowhere"),
    await build().request("/test/items/1", {}, "POST"),
    await build().app.request("/test/items/1"),
    await build({}, broken).request("/test/items/1"),
  ];
  assertEquals(answers.map(({ status }) => status), [200, 200, 404, 405, 401, 500]);
  for (const { headers } of answers) {
    const found = Object.keys(HEADERS).map((name) => [name, headers.get(name)]);
    assertEquals(Object.fromEntries(found), HEADERS);
    assertMatch(headers.get("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
  }
});

Deno.test("a sane request id is taken over, another one is replaced", async () => {
  const { request } = build();
  const idOf = async (id: string) =>
    (await request("/test/items/1", { "x-request-id": id })).headers.get("x-request-id");
  assertEquals(await idOf("abc-123_DEF"), "abc-123_DEF");
  for (const id of ["", "a b", "a\tb", "<script>", '{"a":1}', "é", "a".repeat(65)]) {
    assertMatch(await idOf(id) ?? "", /^[0-9a-f-]{36}$/);
  }
});

Deno.test("success and page have the envelope's fields and the clock's time", async () => {
  const { request } = build();
  assertEquals(await (await request("/test/items/1")).json(), {
    success: true,
    data: { id: "x" },
    timestamp: new Date(NOW_MS).toISOString(),
  });
  assertEquals(await (await request("/test/page")).json(), {
    success: true,
    data: [1, 2],
    meta: { next_cursor: "next" },
    timestamp: new Date(NOW_MS).toISOString(),
  });
});

Deno.test("each request is one log line with the pattern of its route", async () => {
  const times = [NOW_MS, NOW_MS + 42];
  const { deps, request } = build({ now: () => times.length > 1 ? times.shift()! : times[0]! });
  await request(`/test/items/${ITEM_ID}?name=Ananya`, { "x-request-id": "r1" });
  assertEquals(deps.logged, [{
    timestamp: new Date(NOW_MS + 42).toISOString(),
    level: "info",
    request_id: "r1",
    function: "test",
    route: "/test/items/:id",
    status: 200,
    duration_ms: 42,
    user_id: CALLER_ID,
  }]);
});

Deno.test("a request that matches no route is logged without its path", async () => {
  const { deps, request, app } = build();
  await request("/test/Ananya-Rao");
  await request(`/test/items/${ITEM_ID}`, {}, "DELETE");
  await app.request("/test/Ananya-Rao");
  const lines = deps.logged.map((line) => "route" in line && [line.route, line.status, line.level]);
  assertEquals(lines, [
    ["unmatched", 404, "warn"],
    ["unmatched", 405, "warn"],
    ["unmatched", 401, "warn"],
  ]);
  assertEquals(deps.logged.map((line) => "user_id" in line && line.user_id), [
    CALLER_ID,
    CALLER_ID,
    null,
  ]);
});

Deno.test("what breaks unexpectedly is 500 without detail, and its place is logged", async () => {
  class DatabaseError extends Error {
    readonly code = "XX000";
  }
  const secret = "Ananya Rao\n    at forged (file:///Ananya.ts:1:1)";
  const { deps, request } = build({}, () => {
    throw new DatabaseError(secret, { cause: new TypeError(secret) });
  });
  const response = await request("/test/items/1");
  const error = await assertFailure(response, 500, "internal");
  assertEquals([error.message, error.details], ["Internal error", undefined]);

  const { level, fault } = deps.logged.find((entry) => "fault" in entry)!;
  assertEquals([level, fault.name, fault.code], ["error", "DatabaseError", "XX000"]);
  assertEquals(fault.cause?.name, "TypeError");
  assert(fault.frames.some((frame) => frame.includes("app.test.ts")));
  assert(!JSON.stringify(deps.logged).includes("Ananya"));
  const line = deps.logged.find((entry) => "status" in entry)!;
  assertEquals([line.status, line.level], [500, "error"]);
});

Deno.test("a thrown value that is no Error is 500, too", async () => {
  for (const thrown of ["Ananya Rao", null, undefined, 7, { message: "Ananya" }]) {
    const { deps, request } = build({}, () => {
      throw thrown;
    });
    const response = await request("/test/items/1");
    await assertFailure(response, 500, "internal");
    assertEquals(response.headers.get("x-frame-options"), "DENY");
    assertEquals(deps.logged.length, 2);
    assert(!JSON.stringify(deps.logged).includes("Ananya"));
  }
});

Deno.test("an error of the list is answered with its detail and is no fault", async () => {
  const { deps, request } = build({}, () => {
    throw new AppError("wrong_patient", "The bundle is about somebody else", {
      details: [{ path: "Bundle.entry[0]", message: "Is not the patient" }],
    });
  });
  const error = await assertFailure(await request("/test/items/1"), 422, "wrong_patient");
  assertEquals(error.message, "The bundle is about somebody else");
  assertEquals(error.details, [{ path: "Bundle.entry[0]", message: "Is not the patient" }]);
  assertEquals(deps.logged.length, 1);
});

Deno.test("a framework's 400 is invalid_request, its other exceptions are internal", async () => {
  const bad = build({}, () => {
    throw new HTTPException(400, { message: "Ananya" });
  });
  const error = await assertFailure(await bad.request("/test/items/1"), 400, "invalid_request");
  assertEquals(error.message, "Cannot parse the request");
  const other = build({}, () => {
    throw new HTTPException(418, { message: "Ananya" });
  });
  await assertFailure(await other.request("/test/items/1"), 500, "internal");
});

Deno.test("CORS lets configured origins in and no others", async () => {
  const { app } = build();
  const preflight = (origin: string) =>
    app.request("/test/items/1", {
      method: "OPTIONS",
      headers: {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
      },
    });
  const allowed = await preflight("https://app.example");
  assertEquals(allowed.status, 204);
  assertEquals(allowed.headers.get("access-control-allow-origin"), "https://app.example");
  for (
    const header of ["authorization", "apikey", "content-type", "x-client-info", "x-request-id"]
  ) {
    assertMatch(allowed.headers.get("access-control-allow-headers") ?? "", new RegExp(header));
  }
  assertMatch(allowed.headers.get("access-control-allow-methods") ?? "", /POST/);
  for (const origin of ["https://evil.example", "https://app.example.evil", "null", ""]) {
    const refused = await preflight(origin);
    assertEquals(refused.headers.get("access-control-allow-origin"), null);
  }
});

Deno.test("CORS headers are on errors as well, so that a page can read them", async () => {
  const { app } = build();
  const response = await app.request("/test/items/1", {
    headers: { origin: "https://app.example" },
  });
  assertEquals(response.status, 401);
  assertEquals(response.headers.get("access-control-allow-origin"), "https://app.example");
  assertMatch(response.headers.get("access-control-expose-headers") ?? "", /X-Request-Id/);
});

Deno.test("CORS answers any origin when * is configured", async () => {
  const { request } = build({ allowedOrigins: ["*"] });
  const response = await request("/test/items/1", { origin: "https://any.example" });
  assertEquals(response.headers.get("access-control-allow-origin"), "https://any.example");
});

Deno.test("the client's address comes from the edge, and only when it is one", async () => {
  const { app } = build();
  app.get("/test/ip", (c) => ok(c, c.var.context.ip));
  const ipOf = async (headers: Record<string, string>) => {
    const authorization = `Bearer ${await sign()}`;
    return await assertSuccess(
      await app.request("/test/ip", { headers: { authorization, ...headers } }),
    );
  };
  assertEquals(await ipOf({ "x-forwarded-for": "203.0.113.7, 10.0.0.1" }), "203.0.113.7");
  assertEquals(await ipOf({ "x-forwarded-for": "2001:db8::1" }), "2001:db8::1");
  assertEquals(
    await ipOf({ "cf-connecting-ip": "203.0.113.9", "x-forwarded-for": "198.51.100.1" }),
    "203.0.113.9",
  );
  for (const claim of ["", "unknown", "203.0.113.7'; drop table", "999.1.1.1"]) {
    assertEquals(await ipOf({ "x-forwarded-for": claim }), null);
  }
});
