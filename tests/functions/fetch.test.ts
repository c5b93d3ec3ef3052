// Calls out: what is tried again, what is not, and when a provider is left alone.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type CallPolicy, DEFAULT_POLICY, resilientFetch } from "../../functions/_shared/fetch.ts";

const POLICY: CallPolicy = {
  ...DEFAULT_POLICY,
  timeoutMs: 50,
  backoffMs: { initialDelay: 1, maxDelay: 2 },
};

/** A provider that answers one thing after the other; a status, an error, or never. */
function provider(...script: (number | Error | "never")[]) {
  const calls: Request[] = [];
  const inner: typeof fetch = (input, init) => {
    calls.push(new Request(input, init));
    const step = script[Math.min(calls.length, script.length) - 1];
    if (step instanceof Error) return Promise.reject(step);
    if (typeof step === "number") {
      return Promise.resolve(new Response(`status ${step}`, { status: step }));
    }
    return new Promise((_, reject) => {
      init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
    });
  };
  return { calls, call: resilientFetch(inner, POLICY) };
}

Deno.test("resilientFetch passes request and answer on", async () => {
  const { call, calls } = provider(200);
  const response = await call("https://x.example/a", {
    method: "POST",
    body: "b",
    headers: { h: "1" },
  });
  assertEquals(await response.text(), "status 200");
  const [request] = calls;
  assertEquals([request?.method, request?.headers.get("h"), await request?.text()], [
    "POST",
    "1",
    "b",
  ]);
  assertEquals(calls.length, 1);
});

Deno.test("resilientFetch tries again after a lost connection and a provider that is down", async () => {
  const { call, calls } = provider(new TypeError("connection reset"), 503, 200);
  assertEquals((await call("https://x.example/")).status, 200);
  assertEquals(calls.length, 3);
});

Deno.test("resilientFetch tries again when no answer comes in time", async () => {
  const { call, calls } = provider("never", 200);
  assertEquals((await call("https://x.example/")).status, 200);
  assertEquals(calls.length, 2);
  assert(calls[0]?.signal.aborted);
});

Deno.test("resilientFetch gives up after three tries", async () => {
  for (const step of [502, 503, 504, new TypeError("refused"), "never"] as const) {
    const { call, calls } = provider(step);
    await assertRejects(() => call("https://x.example/"));
    assertEquals(calls.length, 3, String(step));
  }
});

Deno.test("resilientFetch does not repeat what another try cannot change", async () => {
  for (const status of [400, 401, 403, 404, 409, 413, 429, 500, 501]) {
    const { call, calls } = provider(status);
    const response = await call("https://x.example/");
    assertEquals([response.status, calls.length], [status, 1]);
    await response.body?.cancel();
  }
});

Deno.test("resilientFetch stops asking a provider that is down", async () => {
  const { call, calls } = provider(503);
  for (let round = 0; round < 4; round++) await assertRejects(() => call("https://x.example/"));
  assertEquals(calls.length, DEFAULT_POLICY.breakAfterFailures);
});

Deno.test("resilientFetch asks again when the provider has been left alone", async () => {
  const script = Array(DEFAULT_POLICY.breakAfterFailures).fill(503);
  const calls: number[] = [];
  const inner: typeof fetch = () => {
    const status = script[calls.length] ?? 200;
    calls.push(status);
    return Promise.resolve(new Response(null, { status }));
  };
  const call = resilientFetch(inner, { ...POLICY, breakSeconds: 0.01 });
  for (let round = 0; round < 2; round++) await assertRejects(() => call("https://x.example/"));
  const deadline = performance.now() + 5_000;
  let status = 0;
  while (status !== 200 && performance.now() < deadline) {
    status = await call("https://x.example/").then((response) => response.status, () => 0);
  }
  assertEquals(status, 200);
});

Deno.test("resilientFetch leaves a body alone however long it takes", async () => {
  const inner: typeof fetch = (_input, init) => {
    let pieces = 0;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        // Longer than the time limit for the headers.
        await new Promise((resolve) => setTimeout(resolve, POLICY.timeoutMs));
        if (init?.signal?.aborted) return controller.error(init.signal.reason);
        if (++pieces > 2) return controller.close();
        controller.enqueue(new TextEncoder().encode("piece "));
      },
    });
    return Promise.resolve(new Response(body));
  };
  const response = await resilientFetch(inner, POLICY)("https://x.example/");
  assertEquals(await response.text(), "piece piece ");
});
