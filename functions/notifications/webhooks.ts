// Receipts: what providers tell of a message after they took it. Each is known by its signature over
// the body as it came; nothing is parsed before that holds.

import { z } from "zod";
import { AppError } from "../_shared/errors.ts";
import type { Receipt } from "./outbox.ts";

/** A call of a webhook, as it came. */
export interface WebhookCall {
  /** The address that the provider was given. */
  url: string;
  headers: Headers;
  body: string;
  /** Clock, milliseconds since the epoch. */
  now: number;
}

/**
 * Reads the receipt out of a call; null when the event is none that is kept.
 *
 * Rejects with `unauthenticated` when the provider has not signed it, or signed it too long ago.
 */
export type Webhook = (call: WebhookCall) => Promise<Receipt | null>;

/** How old a signature may be, or how far ahead; Svix has the same bound. */
const TOLERANCE_SECONDS = 300;

const ResendEvent = z.looseObject({
  type: z.string(),
  data: z.looseObject({
    email_id: z.string().max(200),
    bounce: z.looseObject({ type: z.string().regex(/^\w{1,40}$/) }).optional().catch(undefined),
  }),
});

const RESEND_STATUS: Record<string, Receipt["status"]> = {
  "email.delivered": "delivered",
  // Unless it says that the address itself is no good, which retires it.
  "email.bounced": "failed",
  "email.complained": "complained",
  "email.failed": "failed",
};

/**
 * Webhooks of Resend, which Svix signs: https://docs.svix.com/receiving/verifying-payloads/how-manual
 *
 * @param secret `whsec_` and the key in base64.
 */
export function resendWebhook(secret: string): Webhook {
  const key = importHmacKey(Uint8Array.fromBase64(secret.replace(/^whsec_/, "")), "SHA-256");
  return async ({ headers, body, now }) => {
    const [id, timestamp, signatures] = ["svix-id", "svix-timestamp", "svix-signature"]
      .map((name) => headers.get(name) ?? "");
    const is_fresh = /^\d{1,12}$/.test(timestamp!) &&
      Math.abs(now / 1000 - Number(timestamp)) <= TOLERANCE_SECONDS;
    // Several while the secret is being changed.
    const tries = signatures!.split(" ").filter((one) => one.startsWith("v1,")).slice(0, 8)
      .map(async (one) => await verify(await key, one.slice(3), `${id}.${timestamp}.${body}`));
    if (!id || !is_fresh || !(await Promise.all(tries)).includes(true)) throw refused();
    const { type, data } = parse(ResendEvent, () => JSON.parse(body));
    const status = data.bounce?.type === "Permanent" ? "bounced" : RESEND_STATUS[type];
    return !status ? null : {
      provider: "resend",
      event_id: id.slice(0, 200),
      provider_message_id: data.email_id,
      status,
      error_code: data.bounce ? `bounce_${data.bounce.type.toLowerCase()}` : null,
    };
  };
}

const TwilioEvent = z.looseObject({
  AccountSid: z.string(),
  MessageSid: z.string().max(200),
  MessageStatus: z.string().max(40),
  ErrorCode: z.string().regex(/^\d{1,10}$/).optional().catch(undefined),
});

/** Errors of a receipt by which the number is no good, or its owner has said STOP. */
const BAD_NUMBER: Record<string, Receipt["status"]> = {
  "21610": "complained",
  "30005": "unregistered",
  "30006": "unregistered",
};

const TWILIO_STATUS: Record<string, Receipt["status"]> = {
  delivered: "delivered",
  read: "delivered",
  undelivered: "failed",
  failed: "failed",
};

/**
 * Status callbacks of Twilio: HMAC-SHA1 over the address and the parameters in order of their names,
 * https://www.twilio.com/docs/usage/security. It says nothing of the time: a repeat is known by message
 * and status, which are signed.
 */
export function twilioWebhook(accountSid: string, authToken: string): Webhook {
  const key = importHmacKey(new TextEncoder().encode(authToken), "SHA-1");
  return async ({ url, headers, body }) => {
    const parameters = [...new URLSearchParams(body)]
      .toSorted(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
    const signed = url + parameters.flat().join("");
    if (!await verify(await key, headers.get("x-twilio-signature") ?? "", signed)) throw refused();
    const event = parse(TwilioEvent, () => Object.fromEntries(parameters));
    if (event.AccountSid !== accountSid) throw refused();
    const status = TWILIO_STATUS[event.MessageStatus];
    return !status ? null : {
      provider: "twilio",
      event_id: `${event.MessageSid}:${event.MessageStatus}`,
      provider_message_id: event.MessageSid,
      status: status === "failed" ? BAD_NUMBER[event.ErrorCode ?? ""] ?? status : status,
      error_code: event.ErrorCode ?? null,
    };
  };
}

function importHmacKey(bytes: Uint8Array<ArrayBuffer>, hash: string): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash }, false, ["verify"]);
}

/** Compares in constant time, as `crypto.subtle.verify` does. */
async function verify(key: CryptoKey, signature: string, signed: string): Promise<boolean> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(signature);
  } catch {
    return false;
  }
  return await crypto.subtle.verify("HMAC", key, bytes, new TextEncoder().encode(signed));
}

function parse<S extends z.ZodType>(schema: S, read: () => unknown): z.output<S> {
  try {
    return schema.parse(read());
  } catch {
    throw new AppError("invalid_request", "The event does not have the form that is known");
  }
}

function refused(): AppError {
  return new AppError("unauthenticated", "The signature is not valid");
}
