// E-mail by Resend's HTTP API. A repeat within 24 hours is known by its idempotency key and sends
// nothing: https://resend.com/docs/dashboard/emails/idempotency-keys

import { z } from "zod";
import { type Call, type ProviderAnswer, throttled } from "./call.ts";
import {
  type EmailAddress,
  type Limits,
  type Provider,
  refusedAddress,
  refusedCredentials,
  refusedMessage,
  retryLater,
  type SendOutcome,
} from "./provider.ts";

export interface ResendOptions {
  /** Without a slash at its end. */
  url: string;
  apiKey: string;
  /** Sender, for example `Beautiful Life <care@example.org>`. */
  from: string;
  limits: Limits;
  call: Call;
}

const Sent = z.object({ id: z.string() });
const Refusal = z.object({ name: z.string().regex(/^[a-z_]{1,60}$/), message: z.string() });

/** Names of refusals that are about our account or sender, not about the message. */
const OURS = new Set([
  "missing_api_key",
  "invalid_api_key",
  "restricted_api_key",
  "invalid_access",
  "invalid_from_address",
  "invalid_region",
]);

export function createResend({ url, apiKey, from, limits, call }: ResendOptions): Provider<
  EmailAddress
> {
  return {
    name: "resend",
    limits,
    async send({ address, title, body, idempotency_key }) {
      const called = await call(`${url}/emails`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${apiKey}`,
          "content-type": "application/json",
          "idempotency-key": idempotency_key,
        },
        body: JSON.stringify({
          from,
          to: [address.email],
          subject: title,
          text: body,
          headers: { "Auto-Submitted": "auto-generated" },
        }),
      });
      return "answer" in called ? toOutcome(called.answer) : called.outcome;
    },
  };
}

function toOutcome({ status, json, retry_after_seconds }: ProviderAnswer): SendOutcome {
  if (status === 200) {
    return { outcome: "sent", provider_message_id: Sent.safeParse(json).data?.id ?? null };
  }
  const refusal = Refusal.safeParse(json).data;
  const code = refusal?.name ?? `http_${status}`;
  if (status === 429) {
    // A day's or a month's quota does not come back in a second.
    return throttled(code, retry_after_seconds, code.endsWith("quota_exceeded") ? 3600 : 1);
  }
  if (status === 401 || status === 403 || OURS.has(code)) return refusedCredentials(code);
  // The first try of the same key is still under way.
  if (code === "concurrent_idempotent_requests") return retryLater(code);
  // Only the sentence tells whether the address is what is wrong.
  if (status === 422 && refusal?.message.includes("`to`")) return refusedAddress(code);
  return [400, 409, 413, 422, 451].includes(status) ? refusedMessage(code) : retryLater(code);
}
