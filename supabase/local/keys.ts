// Keys of one embedded stack, made at its first start and kept in its data folder, readable by the
// owner only: the two API keys, the ES256 key that signs access tokens, the secret that Lite wants for
// its own, and the keys by which functions encrypt.

import { join } from "@std/path";
import { makeProviderKeys, type ProviderKeys } from "./providers/keys.ts";

/** Keys of one stack. */
export interface LocalKeys {
  /** API key of clients; its role is `anon`. */
  publishable: string;
  /** API key of servers; its role is `service_role`. */
  secret: string;
  /** HS256 secret between the gateway and Lite; tokens signed with it never leave the process. */
  internal: string;
  /** Private ES256 key (JWK with `kid`) that signs access tokens. */
  signing: JsonWebKey & { kid: string };
  /** `KEY_ENCRYPTION_KEYS` of the functions. */
  encryption: string;
  /** `BLIND_INDEX_KEY` of the functions. */
  blindIndex: string;
  /** Private key (JWK) that signs heads of the audit trail: `AUDIT_SIGNING_KEY` of the functions. */
  auditSigning: JsonWebKey;
  /** Keys that sign what the queue delivers, the present one and the next. */
  queue: { current: string; next: string };
  /** Token of those who may publish to the queue. */
  queueToken: string;
  /** Token of those who may use Redis. */
  redisToken: string;
  /** Credentials of the doubles of mail, SMS and push. */
  providers: ProviderKeys;
}

/** Reads the keys below `dataDir`, or makes them; those of a kind that is new are added. */
export async function loadKeys(dataDir: string): Promise<LocalKeys> {
  const path = join(dataDir, "keys.json");
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "{}";
    throw error;
  });
  const known: Partial<LocalKeys> = JSON.parse(text);
  const keys: LocalKeys = {
    ...await makeKeys(),
    ...known,
    // Not made in vain at every start: it takes long.
    providers: known.providers ?? await makeProviderKeys(),
  };
  if (!Object.keys(keys).every((name) => name in known)) await saveKeys(dataDir, keys);
  return keys;
}

/** Writes the keys below `dataDir`. */
export async function saveKeys(dataDir: string, keys: LocalKeys): Promise<void> {
  const path = join(dataDir, "keys.json");
  // Renamed into place, so that a crash leaves either all keys or none.
  await Deno.writeTextFile(`${path}.new`, JSON.stringify(keys, null, 2), { mode: 0o600 });
  await Deno.rename(`${path}.new`, path);
}

/** A key that signs deliveries of the queue. */
export function newQueueKey(): string {
  return `sig_${random(24)}`;
}

async function makeKeys(): Promise<Omit<LocalKeys, "providers">> {
  return {
    publishable: `sb_publishable_${random(24)}`,
    secret: `sb_secret_${random(24)}`,
    internal: random(48),
    signing: { ...await newSigningKey(), kid: crypto.randomUUID(), alg: "ES256" },
    encryption: `local.v1=${base64(32)}`,
    blindIndex: base64(32),
    auditSigning: await newSigningKey(),
    queue: { current: newQueueKey(), next: newQueueKey() },
    queueToken: `qst_${random(32)}`,
    redisToken: `rst_${random(32)}`,
  };
}

/** A private key for ECDSA on P-256. */
async function newSigningKey(): Promise<JsonWebKey> {
  const pair = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  return await crypto.subtle.exportKey("jwk", pair.privateKey);
}

function random(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
}

function base64(bytes: number): string {
  return crypto.getRandomValues(new Uint8Array(bytes)).toBase64();
}
