// Signs deliveries as the queue (QStash) does: a JWT over address and body, with a key that it shares
// with the receiver.

import { SignJWT } from "jose";

/** What a delivery claims; what is left out is as the queue would have it. */
export interface DeliveryClaims {
  url: string;
  body?: string;
  key: string;
  issuer?: string;
  /** Seconds from now until the signature ends; negative for one that has ended. */
  endsInSeconds?: number;
}

/** The value of `Upstash-Signature`. */
export async function signDelivery(
  { url, body = "", key, issuer = "Upstash", endsInSeconds = 300 }: DeliveryClaims,
): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(body));
  const now = Math.floor(Date.now() / 1000);
  return await new SignJWT({ body: new Uint8Array(digest).toBase64({ alphabet: "base64url" }) })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer(issuer)
    .setSubject(url)
    .setIssuedAt(now - 600)
    .setNotBefore(now - 600)
    .setExpirationTime(now + endsInSeconds)
    .setJti(`jwt_${crypto.randomUUID()}`)
    .sign(new TextEncoder().encode(key));
}
