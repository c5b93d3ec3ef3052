// Push to browsers: RFC 8030, the body encrypted for the browser (RFC 8291), the sender known by VAPID
// (RFC 8292). It knows no idempotency key: a repeat has the same topic, by which a push service keeps
// one, and the same tag, by which a browser shows one.

import { Buffer } from "node:buffer";
import webPush from "web-push";
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
  /** Whose endpoints are called; see `isAllowed`. */
  hosts: string[];
  limits: Limits;
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

export function createWebPush(options: WebPushOptions): Provider<WebPushAddress> {
  const { publicKey, privateKey, subject, hosts, limits, newCall } = options;
  const calls = new Map(hosts.map((host) => [host, newCall()]));
  return {
    name: "webpush",
    limits,
    async send(message) {
      const { endpoint, p256dh, auth } = message.address;
      const call = calls.get(hosts.find((host) => isAllowed(endpoint, host)) ?? "");
      if (!call) return refusedAddress("endpoint_not_allowed");
      let request: ReturnType<typeof webPush.generateRequestDetails>;
      try {
        request = webPush.generateRequestDetails(
          { endpoint, keys: { p256dh, auth } },
          JSON.stringify(await toPayload(message)),
          {
            vapidDetails: { subject, publicKey, privateKey },
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
      const called = await call(endpoint, {
        method: "POST",
        headers: Object.entries(headers).map(([name, value]) => [name, String(value)]),
        body: Buffer.from(request.body ?? []),
      });
      return "answer" in called ? toOutcome(called.answer) : called.outcome;
    },
  };
}

/**
 * Whether an endpoint is at `host`: a name, or `*.` and a name for all below it, both with https; or an
 * origin, scheme and port included, as it is.
 */
export function isAllowed(endpoint: string, host: string): boolean {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || url.username || url.password) return false;
  if (host.includes("://")) return url.origin === host;
  if (url.protocol !== "https:" || url.port !== "") return false;
  return host.startsWith("*.") ? url.hostname.endsWith(host.slice(1)) : url.hostname === host;
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
