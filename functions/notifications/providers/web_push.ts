// Push to browsers: RFC 8030, the body encrypted for the browser (RFC 8291), the sender known by VAPID
// (RFC 8292). It knows no idempotency key: a repeat has the same topic, by which a push service keeps
// one, and the same tag, by which a browser shows one.

import { type Call, type ProviderAnswer, throttled } from "./call.ts";
import {
  type Limits,
  type Message,
  type Provider,
  refusedAddress,
  refusedCredentials,
  refusedMessage,
  retryLater,
  type SendOutcome,
  type WebPushAddress,
} from "./provider.ts";
import { PUSH_TTL_SECONDS, tagOf } from "./push.ts";

export interface WebPushOptions {
  /** base64url, uncompressed point and scalar of P-256. */
  publicKey: string;
  privateKey: string;
  /** `mailto:` or `https:`, for push services to complain to. */
  subject: string;
  /** Whose endpoints are called; see `resolveEndpoint`. */
  hosts: string[];
  limits: Limits;
  now: () => number;
  /** Makes the calls to one push service, which share a circuit breaker. */
  newCall: () => Call;
}

/**
 * The push services of Chrome, Firefox, Safari and Edge. An endpoint comes from a client: without this
 * list anybody could have us call any address.
 */
export const PUSH_HOSTS = [
  "fcm.googleapis.com",
  "*.push.services.mozilla.com",
  "*.push.apple.com",
  "*.notify.windows.com",
];

type WebPush = typeof import("web-push").default;

/** How long a proof of who sends is used, and how long it lasts; a day would be the most. */
const [PROOF_MS, PROOF_LASTS_SECONDS] = [3600 * 1000, 12 * 3600];
/** Most services of which something is kept: the names below a host are many. */
const MAX_SERVICES = 100;

export function createWebPush(options: WebPushOptions): Provider<WebPushAddress> {
  const { publicKey, privateKey, subject, hosts, limits, now, newCall } = options;
  const calls = new Map<string, Call>();
  /** The calls to one service: a name below an allowed one that answers nobody is not all of them. */
  const callOf = (origin: string): Call => {
    const known = calls.get(origin);
    if (known) return known;
    if (calls.size >= MAX_SERVICES) calls.delete(calls.keys().next().value!);
    const call = newCall();
    calls.set(origin, call);
    return call;
  };
  const proofs = new Map<string, { authorization: string; until: number }>();
  /** Proves to a service who sends. Signing takes as long as encrypting, and one proof does for all. */
  const prove = (webPush: WebPush, audience: string): string => {
    const known = proofs.get(audience);
    if (known && known.until > now()) return known.authorization;
    const ends = Math.floor(now() / 1000) + PROOF_LASTS_SECONDS;
    const { Authorization: authorization } = webPush
      .getVapidHeaders(audience, subject, publicKey, privateKey, "aes128gcm", ends);
    if (proofs.size >= MAX_SERVICES) proofs.clear();
    proofs.set(audience, { authorization, until: now() + PROOF_MS });
    return authorization;
  };
  return {
    name: "webpush",
    limits,
    async send(message) {
      const { endpoint, p256dh, auth } = message.address;
      const url = hosts.map((host) => resolveEndpoint(endpoint, host)).find(Boolean);
      if (!url) return refusedAddress("endpoint_not_allowed");
      const { origin } = new URL(endpoint);
      // Loaded with the first push of this kind.
      const { default: webPush } = await import("web-push");
      let request: ReturnType<typeof webPush.generateRequestDetails>;
      try {
        request = webPush.generateRequestDetails(
          { endpoint, keys: { p256dh, auth } },
          JSON.stringify(await toPayload(message)),
          {
            headers: { Authorization: prove(webPush, origin) },
            TTL: PUSH_TTL_SECONDS,
            urgency: message.urgency === "normal" ? "normal" : "high",
            topic: await tagOf(message),
            contentEncoding: "aes128gcm",
          },
        );
      } catch {
        // Our keys were checked at boot; those of the browser are no keys.
        return refusedAddress("invalid_subscription");
      }
      const { "Content-Length": _, ...headers } = request.headers;
      const called = await callOf(origin)(url, {
        method: "POST",
        headers: Object.entries(headers).map(([name, value]) => [name, String(value)]),
        body: new Uint8Array(request.body ?? []),
      });
      return "answer" in called ? toOutcome(called.answer) : called.outcome;
    },
  };
}

/**
 * The address to call for an endpoint at `host`; undefined when it is not there. A host is a name, or
 * `*.` and a name for all below it, both with https on the usual port; `=` and an address behind it say
 * where it is in truth, for a network that goes out by a proxy, and for doubles.
 */
export function resolveEndpoint(endpoint: string, host: string): string | undefined {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const [name = "", via] = host.split("=", 2);
  if (!url || url.protocol !== "https:" || url.port || url.username || url.password) {
    return undefined;
  }
  const isThere = name.startsWith("*.")
    ? url.hostname.endsWith(name.slice(1))
    : url.hostname === name;
  if (!isThere) return undefined;
  return via === undefined ? url.href : via.replace(/\/+$/, "") + url.pathname + url.search;
}

/** What the service worker of the page gets; under 4 KiB, as push services want it. */
async function toPayload(message: Message<WebPushAddress>) {
  const { title, body, notification_id, kind } = message;
  return { title, body, tag: await tagOf(message), data: { notification_id, kind } };
}

function toOutcome({ status, headers, retry_after_seconds }: ProviderAnswer): SendOutcome {
  const error_code = `http_${status}`;
  if (status >= 200 && status < 300) {
    // The address of the message at the service; it is as good as a key, and not needed.
    const provider_message_id = headers.get("location")?.split("/").at(-1)?.slice(0, 200) ?? null;
    return { outcome: "sent", provider_message_id };
  }
  if (status === 404 || status === 410) return refusedAddress(error_code);
  if (status === 401 || status === 403) return refusedCredentials(error_code);
  if (status === 429) return throttled(error_code, retry_after_seconds, 60);
  return status === 400 || status === 413
    ? refusedMessage(error_code)
    : retryLater(error_code, retry_after_seconds);
}
