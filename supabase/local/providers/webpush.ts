// A double of a push service and the browser behind it (RFC 8030): it gives out subscriptions, takes
// messages for them from whoever proves to be the sender (RFC 8292), and reads them with the browser's
// keys (RFC 8291).

import { Buffer } from "node:buffer";
import { createECDH, type ECDH, randomBytes } from "node:crypto";
import ece from "http_ece";
import { importJWK, jwtVerify } from "jose";
import type { Outbox } from "../outbox.ts";
import { Double, type DoubleAnswer, HANG_UP, retryAfter } from "./double.ts";

/** A subscription as `PushSubscription.toJSON()` gives it. */
export interface Subscription {
  endpoint: string;
  keys: { p256dh: string; auth: string };
}

interface Browser {
  keys: ECDH;
  auth: string;
}

/** Where the subscriptions are: a name that nobody else has. */
export const PUSH_HOST = "push.beautiful-life.example";

/** Largest body that push services have to take. */
const MAX_BODY_BYTES = 4096;

export class WebPushDouble extends Double {
  readonly #browsers = new Map<string, Browser>();

  /** @param publicKey The VAPID key of the only sender that is let through. */
  constructor(outbox: Outbox, readonly publicKey: string) {
    super(outbox);
  }

  /** Subscribes a new browser. */
  subscribe(): Subscription {
    const keys = createECDH("prime256v1");
    keys.generateKeys();
    const auth = randomBytes(16).toString("base64url");
    const id = crypto.randomUUID();
    this.#browsers.set(id, { keys, auth });
    return {
      endpoint: `https://${PUSH_HOST}/push/${id}`,
      keys: { p256dh: keys.getPublicKey().toString("base64url"), auth },
    };
  }

  /** Ends a subscription. */
  unsubscribe(endpoint: string): void {
    this.#browsers.delete(endpoint.split("/").at(-1) ?? "");
  }

  async handle(request: Request, path: string): Promise<DoubleAnswer> {
    const id = /^\/push\/([\w-]+)$/.exec(path)?.[1];
    if (!id) return new Response(null, { status: 404 });
    if (request.method !== "POST") return new Response(null, { status: 405 });
    const sender = await this.#sender(request.headers);
    if (sender !== "known") return new Response(null, { status: sender });
    const body = new Uint8Array(await request.arrayBuffer());
    const behaviour = await this.next();
    switch (behaviour.mode) {
      case "die":
        return HANG_UP;
      case "refuse":
        return new Response(null, { status: 410 });
      case "throttle":
        return new Response(null, { status: 429, headers: retryAfter(behaviour) });
      case "fail":
        return new Response(null, { status: 500 });
    }
    const answer = this.#take(id, request, body);
    return behaviour.mode === "swallow" ? HANG_UP : answer;
  }

  /** Checks `Authorization: vapid t=…, k=…`: 401 without one, 403 for one that is not good. */
  async #sender(headers: Headers): Promise<"known" | 401 | 403> {
    const vapid = /^vapid t=([\w.-]+), ?k=([\w-]+)$/.exec(headers.get("authorization") ?? "");
    if (!vapid) return 401;
    const [, token = "", k = ""] = vapid;
    if (k !== this.publicKey) return 403;
    try {
      const point = Buffer.from(k, "base64url");
      const [x, y] = [point.subarray(1, 33), point.subarray(33)]
        .map((bytes) => bytes.toString("base64url"));
      const key = await importJWK({ kty: "EC", crv: "P-256", x, y }, "ES256");
      const { payload } = await jwtVerify(token, key, { audience: `https://${PUSH_HOST}` });
      const lasts = (payload.exp ?? Infinity) - Date.now() / 1000;
      return lasts <= 24 * 3600 && /^(mailto|https):/.test(payload.sub ?? "") ? "known" : 403;
    } catch {
      return 403;
    }
  }

  #take(id: string, { headers }: Request, body: Uint8Array): Response {
    const browser = this.#browsers.get(id);
    if (!browser) return new Response(null, { status: 410 });
    if (headers.get("ttl") === null || headers.get("content-encoding") !== "aes128gcm") {
      return new Response(null, { status: 400 });
    }
    if (body.length > MAX_BODY_BYTES) return new Response(null, { status: 413 });
    const ref = crypto.randomUUID();
    const { title, body: text, tag } = read(browser, body);
    this.outbox.add({
      channel: "push",
      to: id,
      subject: title,
      text,
      provider: "webpush",
      ref,
      tag: headers.get("topic") ?? tag,
      urgency: headers.get("urgency") ?? undefined,
    });
    return new Response(null, { status: 201, headers: { location: `/message/${ref}` } });
  }
}

/** What the service worker of the browser would show. A body that it cannot read shows nothing. */
function read({ keys, auth }: Browser, body: Uint8Array) {
  try {
    const plain = ece.decrypt(Buffer.from(body), {
      version: "aes128gcm",
      privateKey: keys,
      authSecret: auth,
    });
    return JSON.parse(plain.toString("utf8")) as { title: string; body: string; tag?: string };
  } catch {
    return { title: "", body: "(cannot be read with the browser's keys)" };
  }
}
