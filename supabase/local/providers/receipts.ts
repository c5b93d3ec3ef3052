// Receipts as the doubles send them: signed as the providers sign theirs, to the function's webhooks.

import type { ProviderKeys } from "./keys.ts";

/** What a receipt is to say. */
export interface ReceiptOrder {
  /** The provider's id of the message: `ref` in the outbox. */
  ref: string;
  /** In the provider's words: `delivered`, `bounced`, `complained`; `delivered`, `undelivered`. */
  status: string;
  /** Twilio: its number of the error. Resend: the type of the bounce, for example `Permanent`. */
  error_code?: string;
  /** Of a repeat: the id of the first. */
  event_id?: string;
  /** When it was signed, milliseconds since the epoch. */
  signed_at?: number;
}

/** Builds the request of a receipt to the webhook at `url`. */
export async function receiptOf(
  provider: string,
  url: string,
  order: ReceiptOrder,
  keys: ProviderKeys,
): Promise<Request | undefined> {
  if (provider === "resend") return await resendReceipt(url, order, keys.resend.webhookSecret);
  if (provider === "twilio") return await twilioReceipt(url, order, keys.twilio);
  return undefined; // the others send none
}

async function resendReceipt(url: string, order: ReceiptOrder, secret: string): Promise<Request> {
  const { ref, status, error_code, event_id, signed_at = Date.now() } = order;
  const id = event_id ?? `msg_${crypto.randomUUID()}`;
  const timestamp = String(Math.floor(signed_at / 1000));
  const bounce = error_code && { type: error_code, subType: "General", message: "Not delivered" };
  const body = JSON.stringify({
    type: `email.${status}`,
    created_at: new Date(signed_at).toISOString(),
    data: { email_id: ref, created_at: new Date(signed_at).toISOString(), ...bounce && { bounce } },
  });
  const key = Uint8Array.fromBase64(secret.replace(/^whsec_/, ""));
  const signature = await hmac("SHA-256", key, `${id}.${timestamp}.${body}`);
  return new Request(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "svix-id": id,
      "svix-timestamp": timestamp,
      "svix-signature": `v1,${signature}`,
    },
    body,
  });
}

async function twilioReceipt(
  url: string,
  { ref, status, error_code }: ReceiptOrder,
  { accountSid, authToken }: ProviderKeys["twilio"],
): Promise<Request> {
  const form = new URLSearchParams({
    AccountSid: accountSid,
    ApiVersion: "2010-04-01",
    MessageSid: ref,
    MessageStatus: status,
    SmsSid: ref,
    SmsStatus: status,
  });
  if (error_code) form.set("ErrorCode", error_code);
  form.sort();
  const signed = url + [...form].flat().join("");
  return new Request(url, {
    method: "POST",
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "x-twilio-signature": await hmac("SHA-1", new TextEncoder().encode(authToken), signed),
    },
    body: form.toString(),
  });
}

async function hmac(hash: string, key: Uint8Array<ArrayBuffer>, text: string): Promise<string> {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash }, false, [
    "sign",
  ]);
  const bytes = await crypto.subtle.sign("HMAC", imported, new TextEncoder().encode(text));
  return new Uint8Array(bytes).toBase64();
}
