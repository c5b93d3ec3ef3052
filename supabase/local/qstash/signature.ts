// The signature of a delivery: a JWT over the destination and the body, by the current signing key.

import { SignJWT } from "jose";

const LIFETIME_SECONDS = 300;

/** What is signed. */
export interface Signed {
  /** Destination as it was published, query included. */
  url: string;
  body: Uint8Array<ArrayBuffer>;
}

/** The value of `Upstash-Signature`; made anew for each attempt, as it ends after five minutes. */
export async function signDelivery(
  { url, body }: Signed,
  key: string,
  now: number,
): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const seconds = Math.floor(now / 1000);
  return await new SignJWT({ body: digest.toBase64({ alphabet: "base64url" }) })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer("Upstash")
    .setSubject(url)
    .setIssuedAt(seconds)
    .setNotBefore(seconds)
    .setExpirationTime(seconds + LIFETIME_SECONDS)
    .setJti(`jwt_${crypto.randomUUID()}`)
    .sign(new TextEncoder().encode(key));
}
