// Signed heads: the newest seal, signed and laid down where the database cannot reach. Whoever rewrites
// the trail and all its seals cannot make the rewritten one fit a head that was published before.

import { calculateJwkThumbprint, decodeJwt, FlattenedSign, importJWK, type JWK } from "jose";
import { z } from "zod";
import type { Log } from "../_shared/log.ts";
import type { ObjectStore } from "../_shared/storage.ts";

/** What a head says of a seal. `canonical` is the text whose SHA-256 is `hash`. */
export const Head = z.strictObject({
  seal_id: z.int(),
  hash: z.string(),
  merkle_root: z.string(),
  sealed_at: z.string(),
  canonical: z.string(),
});
export type Head = z.infer<typeof Head>;

/** Signs a head; gives a JWS in flattened JSON (RFC 7515, section 7.2.2) as text. */
export type HeadSigner = (head: Head) => Promise<string>;

/** What became of a head. */
export type HeadStatus = "published" | "already_published" | "conflicting" | "not_configured";

/** Signs with a private JWK, Ed25519 or ECDSA on P-256; its thumbprint (RFC 7638) becomes `kid`. */
export function createHeadSigner(jwk: JWK): HeadSigner {
  const alg = jwk.kty === "OKP" ? "EdDSA" : "ES256";
  const key = importJWK(jwk, alg);
  const kid = calculateJwkThumbprint(jwk);
  // Whoever awaits them next meets a rejection; until then it is nobody's.
  key.catch(() => {});
  kid.catch(() => {});
  return async (head) => {
    const payload = new TextEncoder().encode(JSON.stringify(head));
    const jws = await new FlattenedSign(payload)
      .setProtectedHeader({ alg, kid: await kid, typ: "audit-head+json" })
      .sign(await key);
    return JSON.stringify(jws);
  };
}

/**
 * Publishes a head unless it is there already. One that is there and says something else is left as it
 * is: then the seals were rewritten after it was published.
 *
 * @throws {AppError} `unavailable` when Storage is down; the next call publishes.
 */
export async function publishHead(
  { heads, signHead }: { heads: ObjectStore; signHead: HeadSigner | null },
  head: Head,
): Promise<HeadStatus> {
  if (!signHead) return "not_configured";
  const path = `${head.seal_id}.json`;
  const found = await heads.open(path);
  if (!found) {
    const bytes = new TextEncoder().encode(await signHead(head));
    if (await heads.create(path, bytes, "application/json")) return "published";
  }
  // Another call may have come first.
  const stream = found ?? await heads.open(path);
  const text = await new Response(stream).text();
  return hashIn(text) === head.hash ? "already_published" : "conflicting";
}

/** The hash that a published head speaks of; undefined when it is no head. */
function hashIn(text: string): string | undefined {
  try {
    const { protected: header, payload, signature } = z.object({
      protected: z.string(),
      payload: z.string(),
      signature: z.string(),
    }).parse(JSON.parse(text));
    return Head.parse(decodeJwt(`${header}.${payload}.${signature}`)).hash;
  } catch {
    return undefined;
  }
}

/** Logs that a published head contradicts the seals. */
export function logConflict(log: Log, now: number, request_id: string): void {
  log({
    timestamp: new Date(now).toISOString(),
    level: "error",
    request_id,
    function: "audit",
    fault: { name: "AuditHeadConflict", frames: [] },
  });
}
