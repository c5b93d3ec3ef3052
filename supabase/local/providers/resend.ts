// A double of Resend: `POST /emails`, with its errors and its idempotency keys.
// https://resend.com/docs/api-reference/errors

import type { Outbox } from "../outbox.ts";
import { Double, type DoubleAnswer, HANG_UP, retryAfter } from "./double.ts";

interface Email {
  from?: unknown;
  to?: unknown;
  subject?: unknown;
  text?: unknown;
}

/** How long a key is remembered. */
const KEY_LIFETIME_MS = 24 * 3600 * 1000;
const ADDRESS = /^[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+$/;

export class ResendDouble extends Double {
  /** What was answered under a key: the body that it came with, and the id of the mail. */
  readonly #keys = new Map<string, { body: string; id: string; at: number }>();
  /** Keys of requests under way. */
  readonly #open = new Set<string>();

  constructor(
    outbox: Outbox,
    readonly apiKey: string,
    readonly now: () => number,
  ) {
    super(outbox);
  }

  async handle(request: Request, path: string): Promise<DoubleAnswer> {
    const authorization = request.headers.get("authorization");
    if (!authorization) {
      return refusal(401, "missing_api_key", "Missing API key in the authorization header.");
    }
    if (authorization !== `Bearer ${this.apiKey}`) {
      return refusal(403, "invalid_api_key", "API key is invalid.");
    }
    if (path !== "/emails") return refusal(404, "not_found", "The requested endpoint is absent.");
    if (request.method !== "POST") {
      return refusal(405, "method_not_allowed", "This endpoint does not support this method.");
    }
    return await this.#send(await request.text(), request.headers.get("idempotency-key"));
  }

  async #send(body: string, key: string | null): Promise<DoubleAnswer> {
    if (key !== null && (key.length < 1 || key.length > 256)) {
      return refusal(400, "invalid_idempotency_key", "The key must be 1 to 256 characters long.");
    }
    if (key !== null && this.#open.has(key)) {
      return refusal(409, "concurrent_idempotent_requests", "The key is in use by a request.");
    }
    if (key !== null) this.#open.add(key);
    try {
      const behaviour = await this.next();
      switch (behaviour.mode) {
        case "die":
          return HANG_UP;
        case "refuse":
          return invalidTo();
        case "throttle":
          return refusal(429, "rate_limit_exceeded", "Too many requests.", retryAfter(behaviour));
        case "fail":
          return refusal(500, "internal_server_error", "An unexpected error occurred.");
      }
      const answer = this.#take(body, key);
      return behaviour.mode === "swallow" ? HANG_UP : answer;
    } finally {
      if (key !== null) this.#open.delete(key);
    }
  }

  #take(body: string, key: string | null): Response {
    const known = key === null ? undefined : this.#keys.get(key);
    if (known && this.now() - known.at < KEY_LIFETIME_MS) {
      return known.body === body ? Response.json({ id: known.id }) : refusal(
        409,
        "invalid_idempotent_request",
        "This key was used with another request body.",
      );
    }
    let email: Email;
    try {
      email = JSON.parse(body);
    } catch {
      return refusal(400, "validation_error", "The request body is not JSON.");
    }
    const { from, to, subject, text } = email;
    const [address, ...more] = Array.isArray(to) ? to : [to];
    if (typeof from !== "string" || !from.includes("@")) {
      return refusal(422, "invalid_from_address", "Invalid `from` field.");
    }
    if (typeof address !== "string" || !ADDRESS.test(address) || more.length > 0) {
      return invalidTo();
    }
    if (typeof subject !== "string" || typeof text !== "string") {
      return refusal(422, "missing_required_field", "Missing `subject` or `text` field.");
    }
    const id = crypto.randomUUID();
    this.outbox.add({ channel: "email", to: address, subject, text, provider: "resend", ref: id });
    if (key !== null) this.#keys.set(key, { body, id, at: this.now() });
    return Response.json({ id });
  }
}

function invalidTo(): Response {
  return refusal(422, "validation_error", "Invalid `to` field. The email address is not valid.");
}

function refusal(status: number, name: string, message: string, headers?: HeadersInit): Response {
  return Response.json({ statusCode: status, name, message }, { status, headers });
}
