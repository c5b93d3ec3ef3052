// SMS by Twilio's REST API. It knows no idempotency key, so a text ends with a reference of its
// delivery, and a second try first asks whether a message with it was made: one that got through
// although nobody heard the answer is not sent again.

import { z } from "zod";
import { type Call, type ProviderAnswer, throttled } from "./call.ts";
import {
  type Limits,
  type Message,
  type PhoneAddress,
  type Provider,
  refusedAddress,
  refusedCredentials,
  refusedMessage,
  retryLater,
  type SendOutcome,
} from "./provider.ts";

export interface TwilioOptions {
  /** Without a slash at its end. */
  url: string;
  accountSid: string;
  authToken: string;
  /** A number in E.164, or the SID of a messaging service. */
  from: string;
  /** Where receipts go. */
  statusCallback: string;
  limits: Limits;
  now: () => number;
  call: Call;
}

const Sent = z.object({ sid: z.string() });
const Refusal = z.object({ code: z.int() });
const Listing = z.object({
  messages: z.array(z.object({ sid: z.string(), body: z.string(), status: z.string() })),
});

/** Errors by which the number is no good, or its owner has said STOP. */
const BAD_NUMBER = new Set([21211, 21214, 21217, 21401, 21421, 21610, 21614, 21635]);
/** Errors of our account: its key, its sender, where it may send. */
const OURS = new Set([20003, 20005, 21212, 21408, 21603, 21606, 21612, 21659, 21660, 21703]);

/** How far back a message of an earlier try can be: longer than all tries take. */
const LOOK_BACK_MS = 3 * 24 * 3600 * 1000;
/** Messages to one number that are looked through. */
const PAGE_SIZE = 200;

export function createTwilio(options: TwilioOptions): Provider<PhoneAddress> {
  const { url, accountSid, authToken, from, statusCallback, limits, now, call } = options;
  const messages = `${url}/2010-04-01/Accounts/${accountSid}/Messages.json`;
  const authorization = `Basic ${btoa(`${accountSid}:${authToken}`)}`;

  const create = async (to: string, text: string): Promise<SendOutcome> => {
    const form = new URLSearchParams({ To: to, Body: text, StatusCallback: statusCallback });
    form.set(from.startsWith("MG") ? "MessagingServiceSid" : "From", from);
    const called = await call(messages, {
      method: "POST",
      headers: { authorization, "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
    });
    return "answer" in called ? toOutcome(called.answer) : called.outcome;
  };

  /** The message that an earlier try has made, if any. */
  const find = async (to: string, reference: string): Promise<SendOutcome | undefined> => {
    const query = new URLSearchParams({
      To: to,
      "DateSent>": new Date(now() - LOOK_BACK_MS).toISOString().slice(0, 10),
      PageSize: String(PAGE_SIZE),
    });
    const called = await call(`${messages}?${query}`, { headers: { authorization } });
    if (!("answer" in called)) return called.outcome;
    const { answer } = called;
    const listing = answer.status === 200 ? Listing.safeParse(answer.json).data : undefined;
    if (!listing) return toOutcome(answer);
    const made = listing.messages.find(({ body, status }) =>
      body.endsWith(reference) && status !== "failed" && status !== "canceled"
    );
    return made && { outcome: "sent", provider_message_id: made.sid };
  };

  return {
    name: "twilio",
    limits,
    async send(message) {
      const reference = await referenceOf(message);
      const { phone } = message.address;
      const found = message.attempts > 1 ? await find(phone, reference) : undefined;
      return found ?? await create(phone, `${message.title}\n${message.body}\n${reference}`);
    },
  };
}

/** Digits and letters that are not taken for one another (Crockford's base 32). */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** The last line of a text: names its delivery among all texts to one number, and nobody. */
export async function referenceOf(
  { idempotency_key }: Pick<Message<unknown>, "idempotency_key">,
): Promise<string> {
  const bytes = new TextEncoder().encode(idempotency_key);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `Ref ${Array.from(digest.subarray(0, 8), (byte) => ALPHABET[byte % 32]).join("")}`;
}

function toOutcome({ status, json, retry_after_seconds }: ProviderAnswer): SendOutcome {
  if (status === 201) {
    return { outcome: "sent", provider_message_id: Sent.safeParse(json).data?.sid ?? null };
  }
  const code = Refusal.safeParse(json).data?.code;
  const error_code = code === undefined ? `http_${status}` : String(code);
  if (status === 429 || code === 20429) return throttled(error_code, retry_after_seconds, 5);
  if (status === 401 || status === 403 || OURS.has(code ?? 0)) {
    return refusedCredentials(error_code);
  }
  if (BAD_NUMBER.has(code ?? 0)) return refusedAddress(error_code);
  return status === 400 ? refusedMessage(error_code) : retryLater(error_code);
}
