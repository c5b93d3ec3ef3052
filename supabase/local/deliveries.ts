// In the place of the queue: calls the function `notifications` when a delivery is due, with a
// signature as the queue's. Off in stacks for tests, which say themselves when to deliver.

import { SignJWT } from "jose";
import type { StackContext } from "./context.ts";

/** How often it looks whether something is due, in milliseconds. */
const INTERVAL_MS = 2_000;

const PATH = "/functions/v1/notifications/deliver";

/** Starts looking; the result ends it. */
export function startDeliveries(context: StackContext): () => Promise<void> {
  const stopped = new AbortController();
  const run = async () => {
    while (!stopped.signal.aborted) {
      // What fails now is due the next time.
      await deliverDue(context, stopped.signal).catch(() => {});
      await pause(stopped.signal);
    }
  };
  const running = run();
  return async () => {
    stopped.abort();
    await running;
  };
}

async function deliverDue(context: StackContext, signal: AbortSignal): Promise<void> {
  const [row] = await context.admin<{ due: string }[]>`select due from private.delivery_backlog()`;
  if (Number(row?.due ?? 0) === 0) return;
  const url = context.apiUrl + PATH;
  const response = await fetch(url, {
    method: "POST",
    headers: { "upstash-signature": await sign(url, context.keys.queue.current) },
    signal,
  });
  await response.body?.cancel();
}

/** The value of `Upstash-Signature` for a delivery without a body. */
async function sign(url: string, key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array());
  return await new SignJWT({ body: new Uint8Array(digest).toBase64({ alphabet: "base64url" }) })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer("Upstash")
    .setSubject(url)
    .setIssuedAt()
    .setNotBefore("0s")
    .setExpirationTime("5m")
    .setJti(`jwt_${crypto.randomUUID()}`)
    .sign(new TextEncoder().encode(key));
}

async function pause(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, INTERVAL_MS);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
