// Access tokens of a Google service account: a JWT signed with its key, changed for a token that is
// kept until it ends. https://developers.google.com/identity/protocols/oauth2/service-account

import { importPKCS8, SignJWT } from "jose";
import { z } from "zod";
import type { Call } from "./call.ts";
import { refusedCredentials, retryLater, type SendOutcome } from "./provider.ts";

/** The file that Google gives out for a service account, as far as it is used. */
export const ServiceAccount = z.looseObject({
  project_id: z.string().regex(/^[a-z0-9-]{1,60}$/),
  client_email: z.email(),
  private_key: z.string().includes("PRIVATE KEY"),
  token_uri: z.url().default("https://oauth2.googleapis.com/token"),
});
export type ServiceAccount = z.infer<typeof ServiceAccount>;

/** Gives a token, or the outcome of a message that cannot be sent for want of one. */
export interface TokenSource {
  get(): Promise<{ token: string } | { outcome: SendOutcome }>;
  /** Forgets the token, which was refused. */
  forget(): void;
}

const SCOPE = "https://www.googleapis.com/auth/firebase.messaging";
/** How long an assertion may be used, and how long before its end a token is renewed, in seconds. */
const [ASSERTION_SECONDS, MARGIN_SECONDS] = [3600, 60];

const Granted = z.object({ access_token: z.string().min(1), expires_in: z.number() });

export function createTokenSource(
  account: ServiceAccount,
  call: Call,
  now: () => number,
): TokenSource {
  type Held = { token: string; ends_at: number } | { outcome: SendOutcome };
  let held: Promise<Held> | undefined;
  const ask = async (): Promise<Held> => {
    const assertion = await sign(account, Math.floor(now() / 1000)).catch(() => undefined);
    if (!assertion) return { outcome: refusedCredentials("service_account_key") };
    const called = await call(account.token_uri, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({
        grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion,
      }).toString(),
    });
    if (!("answer" in called)) return called;
    const { status, json, retry_after_seconds } = called.answer;
    const granted = status === 200 ? Granted.safeParse(json).data : undefined;
    if (granted) {
      const seconds = granted.expires_in - MARGIN_SECONDS;
      return { token: granted.access_token, ends_at: now() + seconds * 1000 };
    }
    const outcome = status >= 400 && status < 500 && status !== 429
      ? refusedCredentials(`token_http_${status}`)
      : retryLater(`token_http_${status}`, retry_after_seconds);
    return { outcome };
  };
  return {
    async get() {
      let asked = held;
      let found = await asked;
      if (!found || ("token" in found && found.ends_at <= now())) {
        // Messages that are sent at a time wait for one answer. What was just granted is used, however
        // short it lasts: asking again would have no end.
        asked = held = !held || held === asked ? ask() : held;
        found = await asked;
      }
      if (!("token" in found) && held === asked) held = undefined;
      return found;
    },
    forget() {
      held = undefined;
    },
  };
}

async function sign({ client_email, private_key, token_uri }: ServiceAccount, now: number) {
  return await new SignJWT({ scope: SCOPE })
    .setProtectedHeader({ alg: "RS256", typ: "JWT" })
    .setIssuer(client_email)
    .setAudience(token_uri)
    .setIssuedAt(now)
    .setExpirationTime(now + ASSERTION_SECONDS)
    .sign(await importPKCS8(private_key, "RS256"));
}
