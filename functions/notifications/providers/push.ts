// What both kinds of push have in common.

import type { Message } from "./provider.ts";

/** How long a push service keeps a message for a device that is away: what is older is in the app. */
export const PUSH_TTL_SECONDS = 24 * 3600;

/** Names a delivery to devices and push services: 32 characters, base64url, and nobody's. */
export async function tagOf(
  { idempotency_key }: Pick<Message<unknown>, "idempotency_key">,
): Promise<string> {
  const bytes = new TextEncoder().encode(idempotency_key);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return digest.subarray(0, 24).toBase64({ alphabet: "base64url" });
}
