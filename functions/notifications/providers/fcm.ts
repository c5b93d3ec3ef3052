// Push to apps by Firebase Cloud Messaging, HTTP v1. It knows no idempotency key: a repeat has the
// same tag, by which a device shows it in the place of the first.
// https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode

import { z } from "zod";
import { type Call, type ProviderAnswer, throttled } from "./call.ts";
import type { TokenSource } from "./google_token.ts";
import {
  type FcmAddress,
  type Limits,
  type Message,
  type Provider,
  refusedAddress,
  refusedCredentials,
  refusedMessage,
  retryLater,
  type SendOutcome,
} from "./provider.ts";
import { PUSH_TTL_SECONDS, tagOf } from "./push.ts";

export interface FcmOptions {
  /** Without a slash at its end. */
  url: string;
  projectId: string;
  tokens: TokenSource;
  limits: Limits;
  now: () => number;
  call: Call;
}

const Sent = z.object({ name: z.string() });
const Refusal = z.object({
  error: z.object({
    status: z.string().regex(/^[A-Z_]{1,60}$/),
    details: z.array(z.looseObject({
      errorCode: z.string().regex(/^[A-Z_]{1,60}$/).optional(),
      fieldViolations: z.array(z.looseObject({ field: z.string().optional() })).optional(),
    })).optional(),
  }),
});

export function createFcm(options: FcmOptions): Provider<FcmAddress> {
  const { url, projectId, tokens, limits, now, call } = options;
  return {
    name: "fcm",
    limits,
    async send(message) {
      const granted = await tokens.get();
      if (!("token" in granted)) return granted.outcome;
      const called = await call(`${url}/v1/projects/${projectId}/messages:send`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${granted.token}`,
          "content-type": "application/json",
        },
        body: JSON.stringify({ message: await toFcm(message, now()) }),
      });
      if (!("answer" in called)) return called.outcome;
      // The next try gets a new one.
      if (called.answer.status === 401) tokens.forget();
      return toOutcome(called.answer);
    },
  };
}

/** The message as FCM takes it, for phones of both kinds. */
async function toFcm(message: Message<FcmAddress>, now: number) {
  const { address, title, body, notification_id, kind, urgency } = message;
  const tag = await tagOf(message);
  const is_urgent = urgency !== "normal";
  return {
    token: address.token,
    notification: { title, body },
    data: { notification_id, kind },
    android: {
      priority: is_urgent ? "HIGH" : "NORMAL",
      ttl: `${PUSH_TTL_SECONDS}s`,
      notification: { tag },
    },
    apns: {
      headers: {
        "apns-collapse-id": tag,
        "apns-priority": is_urgent ? "10" : "5",
        "apns-expiration": String(Math.floor(now / 1000) + PUSH_TTL_SECONDS),
      },
    },
  };
}

function toOutcome({ status, json, retry_after_seconds }: ProviderAnswer): SendOutcome {
  if (status === 200) {
    return { outcome: "sent", provider_message_id: Sent.safeParse(json).data?.name ?? null };
  }
  const error = Refusal.safeParse(json).data?.error;
  const details = error?.details ?? [];
  const code = details.find(({ errorCode }) => errorCode)?.errorCode ?? error?.status ??
    `http_${status}`;
  switch (code) {
    case "UNREGISTERED":
    case "SENDER_ID_MISMATCH":
      return refusedAddress(code);
    case "INVALID_ARGUMENT": {
      const fields = details.flatMap(({ fieldViolations = [] }) =>
        fieldViolations.map(({ field }) => field)
      );
      return fields.includes("message.token") ? refusedAddress(code) : refusedMessage(code);
    }
    case "QUOTA_EXCEEDED":
      return throttled(code, retry_after_seconds, 60);
  }
  if (status === 401 || status === 403) return refusedCredentials(code);
  if (status === 429) return throttled(code, retry_after_seconds, 60);
  // A project or an address of the API that is not there.
  if (status === 404) return refusedCredentials(code);
  return status === 400 ? refusedMessage(code) : retryLater(code, retry_after_seconds);
}
