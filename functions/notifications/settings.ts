// The variables that `notifications` has for itself: which providers there are, and their keys. A
// provider whose key is not set is not there, and what would go by it is suppressed.

import { z } from "zod";
import { json, optional, readVariables } from "../_shared/env.ts";
import { ServiceAccount } from "./providers/google_token.ts";
import { PUSH_HOSTS } from "./providers/web_push.ts";

const BaseUrl = (fallback: string) =>
  optional(z.url()).transform((url) => (url ?? fallback).replace(/\/+$/, ""));
const Rate = (fallback: number) =>
  optional(z.coerce.number().positive().max(100_000)).transform((rate) => rate ?? fallback);
const base64url = (bytes: number) =>
  z.string().refine((text) => {
    try {
      return Uint8Array.fromBase64(text, { alphabet: "base64url" }).length === bytes;
    } catch {
      return false;
    }
  }, `is not ${bytes} bytes in base64url`);

const Schema = z.object({
  /** Sender of mails, for example `Beautiful Life <care@example.org>`. */
  EMAIL_FROM: optional(z.string().regex(/@[\w.-]+\.\w+>?$/, "is no address")),
  RESEND_API_KEY: optional(z.string()),
  RESEND_URL: BaseUrl("https://api.resend.com"),
  /** Mails a second; Resend begins with two. */
  RESEND_PER_SECOND: Rate(2),
  /** Signs receipts. */
  RESEND_WEBHOOK_SECRET: optional(
    z.string().regex(/^whsec_[A-Za-z0-9+/]{16,}={0,2}$/, "is not whsec_ and base64"),
  ),
  /** A mail server in the place of Resend. */
  SMTP_URL: optional(z.url({ protocol: /^smtps?$/ })),
  SMTP_PER_SECOND: Rate(10),
  TWILIO_ACCOUNT_SID: optional(z.string().regex(/^AC[0-9a-f]{32}$/, "is no account SID")),
  TWILIO_AUTH_TOKEN: optional(z.string()),
  /** Number in E.164, or SID of a messaging service. */
  TWILIO_FROM: optional(z.string().regex(/^(\+\d{5,15}|MG[0-9a-f]{32})$/, "is no number or SID")),
  TWILIO_URL: BaseUrl("https://api.twilio.com"),
  TWILIO_PER_SECOND: Rate(50),
  /** The file of a service account that may send. */
  FCM_SERVICE_ACCOUNT: optional(json(ServiceAccount)),
  FCM_URL: BaseUrl("https://fcm.googleapis.com"),
  VAPID_PUBLIC_KEY: optional(base64url(65)),
  VAPID_PRIVATE_KEY: optional(base64url(32)),
  /** `mailto:` or `https:`, for push services to complain to. */
  VAPID_SUBJECT: optional(
    z.string().regex(/^(mailto:.+@.+|https:\/\/.+)$/, "is no mailto or https"),
  ),
  /** Push services of browsers, by comma, in the place of the four large ones. */
  WEB_PUSH_HOSTS: optional(z.string()).transform((text) =>
    text?.split(",").map((host) => host.trim()).filter(Boolean) ?? PUSH_HOSTS
  ),
  PUSH_PER_SECOND: Rate(500),
}).superRefine((env, context) => {
  const together = (...names: (keyof typeof env)[]) => {
    const missing = names.filter((name) => env[name] === undefined);
    if (missing.length === names.length) return;
    for (const name of missing) {
      context.addIssue({ code: "custom", path: [name], message: `goes with ${names.join(", ")}` });
    }
  };
  together("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM");
  together("VAPID_PUBLIC_KEY", "VAPID_PRIVATE_KEY", "VAPID_SUBJECT");
  if (env.RESEND_API_KEY && env.SMTP_URL) {
    context.addIssue({
      code: "custom",
      path: ["SMTP_URL"],
      message: "stands in the place of RESEND_API_KEY",
    });
  }
  if ((env.RESEND_API_KEY || env.SMTP_URL) && !env.EMAIL_FROM) {
    context.addIssue({
      code: "custom",
      path: ["EMAIL_FROM"],
      message: "goes with a mail provider",
    });
  }
});
export type Settings = z.infer<typeof Schema>;

/**
 * Checks the variables.
 *
 * @throws {Error} As `readEnv`.
 */
export function readSettings(variables: Record<string, string>): Settings {
  return readVariables(Schema, variables);
}
