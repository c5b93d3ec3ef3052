// The requests that every route must withstand, each with the answer that it must get. A test file
// names its routes; a new route that is not named fails.

import { assert, assertEquals } from "@std/assert";
import type { Deps } from "../../functions/_shared/deps.ts";
import {
  assertFailure,
  assertSuccess,
  goodClaims,
  post as send,
  sign,
  type Subject,
} from "./support.ts";

/** A route and a request to it that is fine. */
export interface Route {
  /** POST when left out. */
  method?: "POST" | "PUT" | "PATCH";
  path: string;
  /** Left out when the route takes none. */
  body?: object;
  /** A body with a field that the route does not know. */
  withUnknownField: object;
  /** A body where a value is of a wrong type. */
  withWrongType: object | string;
  /** Largest body, in bytes. */
  maxBytes: number;
  /** What the route wants in the header `apikey`, instead of a person's token. */
  secretKey?: string;
}

const BODY_METHODS = ["POST", "PUT", "PATCH"];

/** Whether the request touched anything behind the app. */
function assertUntouched({ deps }: Subject) {
  assertEquals(deps.sql.statements, []);
  assertEquals(deps.recordFiles.calls, []);
}

/**
 * Registers the matrix for each route of an app that takes a body.
 *
 * @param build Makes an app whose routes all succeed, with some dependencies replaced.
 * @param others Paths, as registered, of routes that take neither JSON nor a token: they have tests
 *   of their own.
 */
export function testEveryRoute(
  build: (changes?: Partial<Deps>) => Subject,
  routes: Route[],
  others: string[] = [],
) {
  Deno.test("every route of the app that takes a body is in the matrix", () => {
    const { app } = build();
    const registered = app.routes.filter(({ method, path }) =>
      BODY_METHODS.includes(method) && !others.includes(path)
    );
    const isInMatrix = (method: string, path: string) =>
      routes.some((route) =>
        (route.method ?? "POST") === method &&
        app.router.match(method, route.path)[0].some(([[, { path: known }]]) => known === path)
      );
    assertEquals(registered.filter(({ method, path }) => !isInMatrix(method, path)), []);
  });

  for (const route of routes) {
    const { method = "POST" } = route;
    const label = `${method} ${route.path}`;
    const test = (behaviour: string, run: (subject: Subject) => Promise<void>) =>
      Deno.test(`${label} ${behaviour}`, () => run(build()));
    const credentials = async (): Promise<Record<string, string>> =>
      route.secretKey === undefined
        ? { authorization: `Bearer ${await sign()}` }
        : { apikey: route.secretKey, authorization: "" };
    const post = async (
      subject: Subject,
      path: string,
      body?: string | Uint8Array<ArrayBuffer> | object,
      headers: Record<string, string> = {},
    ) => await send(subject, path, body, { ...await credentials(), ...headers }, method);

    test("answers 401 unauthenticated without a token", async (subject) => {
      const headers = { authorization: "", apikey: "" };
      const response = await post(subject, route.path, route.body, headers);
      await assertFailure(response, 401, "unauthenticated");
      assertUntouched(subject);
    });

    test("answers 401 unauthenticated to a token that is none", async (subject) => {
      const headers = { authorization: "Bearer x.y.z", apikey: "" };
      const response = await post(subject, route.path, route.body, headers);
      await assertFailure(response, 401, "unauthenticated");
      assertUntouched(subject);
    });

    test("answers 401 unauthenticated to an expired token", async (subject) => {
      const token = await sign({ ...goodClaims(), exp: Math.floor(Date.now() / 1000) - 1 });
      const headers = { authorization: `Bearer ${token}`, apikey: "" };
      await assertFailure(
        await post(subject, route.path, route.body, headers),
        401,
        "unauthenticated",
      );
      assertUntouched(subject);
    });

    if (route.secretKey === undefined) {
      test("answers 401 unauthenticated when the session has ended", async (subject) => {
        subject.deps.sql.session_is_live = false;
        const response = await post(subject, route.path, route.body);
        await assertFailure(response, 401, "unauthenticated");
        assertEquals(subject.deps.sql.ended, ["rolled back"]);
        assertEquals(subject.deps.recordFiles.calls, []);
      });
    } else {
      test("answers 401 unauthenticated to a person", async (subject) => {
        const headers = { authorization: `Bearer ${await sign()}`, apikey: "" };
        const response = await post(subject, route.path, route.body, headers);
        await assertFailure(response, 401, "unauthenticated");
        assertUntouched(subject);
      });
    }

    test("answers 400 invalid_request to malformed JSON", async (subject) => {
      await assertFailure(await post(subject, route.path, "{"), 400, "invalid_request");
      assertUntouched(subject);
    });

    test("answers 400 invalid_request to a body that is not UTF-8", async (subject) => {
      const response = await post(subject, route.path, new Uint8Array([0x22, 0xff, 0x22]));
      await assertFailure(response, 400, "invalid_request");
      assertUntouched(subject);
    });

    test("answers 400 invalid_request to an unknown field", async (subject) => {
      const response = await post(subject, route.path, route.withUnknownField);
      const { details } = await assertFailure(response, 400, "invalid_request");
      assert(
        details.some(({ message }: { message: string }) => message.startsWith("Unknown field")),
      );
      assertUntouched(subject);
    });

    test("answers 400 invalid_request to a value of a wrong type", async (subject) => {
      const response = await post(subject, route.path, route.withWrongType);
      await assertFailure(response, 400, "invalid_request");
      assertUntouched(subject);
    });

    test("answers 400 invalid_request to a body that is no object", async (subject) => {
      for (const body of ["null", "[]", "1", '"text"']) {
        await assertFailure(await post(subject, route.path, body), 400, "invalid_request");
      }
      assertUntouched(subject);
    });

    test("answers 400 invalid_request to a body that is nested too deeply", async (subject) => {
      const body = "[".repeat(100_000) + "]".repeat(100_000);
      const fitting = body.length <= route.maxBytes ? body : "[".repeat(200) + "]".repeat(200);
      await assertFailure(await post(subject, route.path, fitting), 400, "invalid_request");
      assertUntouched(subject);
    });

    if (route.body !== undefined) {
      test("answers 400 invalid_request to an empty body", async (subject) => {
        await assertFailure(await post(subject, route.path, ""), 400, "invalid_request");
        assertUntouched(subject);
      });
    }

    test("answers 415 unsupported_media_type to a body that is not JSON", async (subject) => {
      const headers = { "content-type": "text/plain" };
      const response = await post(subject, route.path, route.body ?? {}, headers);
      await assertFailure(response, 415, "unsupported_media_type");
      assertUntouched(subject);
    });

    test("answers 413 payload_too_large to a length above the limit", async (subject) => {
      const headers = { "content-length": String(route.maxBytes + 1) };
      const response = await post(subject, route.path, route.body ?? {}, headers);
      await assertFailure(response, 413, "payload_too_large");
      assertUntouched(subject);
    });

    test("answers 413 payload_too_large while a body without a length streams in", async (subject) => {
      const piece = new Uint8Array(64 * 1024).fill(0x20);
      let sent = 0;
      let is_cancelled = false;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          // Four times the limit, if anybody asks for it.
          if (sent > 4 * route.maxBytes) return controller.close();
          sent += piece.length;
          controller.enqueue(piece);
        },
        cancel() {
          is_cancelled = true;
        },
      });
      const response = await subject.app.request(route.path, {
        method,
        headers: { ...await credentials(), "content-type": "application/json" },
        body,
      });
      await assertFailure(response, 413, "payload_too_large");
      assert(is_cancelled && sent <= route.maxBytes + 3 * piece.length, `${sent} bytes were read`);
      assertUntouched(subject);
    });

    test("answers 405 method_not_allowed to another method and names its own", async (subject) => {
      const headers = await credentials();
      for (const other of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
        if (other === method) continue;
        const response = await subject.app.request(route.path, { method: other, headers });
        await assertFailure(response, 405, "method_not_allowed");
        assertEquals(response.headers.get("allow"), method);
      }
      assertUntouched(subject);
    });

    test("answers 404 not_found to a path below it", async (subject) => {
      const response = await send(subject, `${route.path}/more`, route.body);
      await assertFailure(response, 404, "not_found");
      assertUntouched(subject);
    });

    test("answers 429 rate_limited when the bucket is empty", async () => {
      const refused = { allowed: false, remaining: 0, reset_seconds: 7 };
      const subject = build({ rateLimiter: { take: () => Promise.resolve(refused) } });
      const response = await post(subject, route.path, route.body);
      await assertFailure(response, 429, "rate_limited");
      assertEquals(response.headers.get("retry-after"), "7");
      assertEquals(response.headers.get("ratelimit-remaining"), "0");
      assertEquals(response.headers.get("ratelimit-reset"), "7");
      assertUntouched(subject);
    });

    test("answers success to a request that is fine", async (subject) => {
      await assertSuccess(await post(subject, route.path, route.body));
    });
  }
}
