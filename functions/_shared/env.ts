// The environment, read and checked once, at boot. Names are those that hosted Supabase and the
// embedded stack set; the README lists them all.

import { z } from "zod";
import { readKeyVersions } from "./key_ring.ts";

const Jwk = z.looseObject({ kty: z.string() });
const JwkSet = z.preprocess(
  (value) => Array.isArray(value) ? { keys: value } : value,
  z.object({ keys: z.array(Jwk).min(1) }),
);

/** JSON text whose value is checked by `schema`. */
export function json<T extends z.ZodType>(schema: T) {
  return z.string().transform((text, context) => {
    try {
      return JSON.parse(text);
    } catch {
      context.addIssue("is not JSON");
      return z.NEVER;
    }
  }).pipe(schema);
}

/** A variable that is set to nothing counts as not set. */
export function optional<T extends z.ZodType>(schema: T) {
  return z.preprocess((value) => value === "" ? undefined : value, schema.optional());
}

const KeyVersions = z.string().transform((text, context) => {
  const versions = readKeyVersions(text);
  if (versions) return versions;
  context.addIssue("is not <id>.v<version>=<32 bytes in base64>, versions of one key by comma");
  return z.NEVER;
});
const Key = z.base64().transform((text) => Uint8Array.fromBase64(text)).refine(
  (key) => key.length === 32,
  "is not 32 bytes in base64",
);

/** A private key that signs: Ed25519, or ECDSA on P-256. */
const SigningJwk = z.union([
  z.looseObject({
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: z.string(),
    d: z.string(),
  }),
  z.looseObject({
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    x: z.string(),
    y: z.string(),
    d: z.string(),
  }),
], { error: "is not a private JWK of Ed25519 or P-256" });

const KeySet = z.record(z.string(), z.string().min(1));
const SecretKeySet = z.object({ default: z.string().min(1) }).catchall(z.string().min(1));

const EnvSchema = z.object({
  /** Address of the project; where Auth and Storage answer. */
  SUPABASE_URL: z.url(),
  /** Address that clients use, where it differs: behind a gateway or in containers. */
  PUBLIC_URL: optional(z.url()),
  /** The same; self-hosted Supabase sets it. */
  SUPABASE_PUBLIC_URL: optional(z.url()),
  /** Connection URL of the role `postgres`. */
  SUPABASE_DB_URL: z.url({ protocol: /^postgres(ql)?$/ }),
  SUPABASE_PUBLISHABLE_KEYS: optional(json(KeySet)),
  SUPABASE_SECRET_KEYS: json(SecretKeySet),
  /** Public keys that sign access tokens; without it they are fetched from Auth. */
  SUPABASE_JWKS: optional(json(JwkSet)),
  /** Web origins that may call, by comma; `*` for any. */
  ALLOWED_ORIGINS: z.string().default("").transform((text) =>
    text.split(",").map((origin) => origin.trim()).filter(Boolean)
  ),
  /** Key-encryption keys, newest version current: `<id>.v<version>=<32 bytes in base64>`, by comma. */
  KEY_ENCRYPTION_KEYS: KeyVersions,
  /** HMAC key of the blind indexes by which encrypted fields are searched: 32 bytes in base64. */
  BLIND_INDEX_KEY: Key,
  LOG_LEVEL: optional(z.enum(["debug", "info", "warn", "error"])),
  UPSTASH_REDIS_REST_URL: optional(z.url()),
  UPSTASH_REDIS_REST_TOKEN: optional(z.string()),
  /** Keys by which deliveries of QStash are known; without them none is accepted. */
  QSTASH_CURRENT_SIGNING_KEY: optional(z.string()),
  QSTASH_NEXT_SIGNING_KEY: optional(z.string()),
  /** Signs heads of the audit trail: a private JWK. Without it none is published. */
  AUDIT_SIGNING_KEY: optional(json(SigningJwk)),
}).refine((env) => !env.UPSTASH_REDIS_REST_URL === !env.UPSTASH_REDIS_REST_TOKEN, {
  path: ["UPSTASH_REDIS_REST_TOKEN"],
  message: "goes together with UPSTASH_REDIS_REST_URL",
}).refine((env) => !env.QSTASH_CURRENT_SIGNING_KEY === !env.QSTASH_NEXT_SIGNING_KEY, {
  path: ["QSTASH_NEXT_SIGNING_KEY"],
  message: "goes together with QSTASH_CURRENT_SIGNING_KEY",
});

export type Env = z.infer<typeof EnvSchema>;

/**
 * Checks the environment.
 *
 * @throws {Error} Naming, in one sentence, every variable that is missing or wrong, never its value.
 */
export function readEnv(variables: Record<string, string>): Env {
  return readVariables(EnvSchema, variables);
}

/**
 * Checks the variables that one function has for itself.
 *
 * @throws {Error} As `readEnv`.
 */
export function readVariables<S extends z.ZodType>(
  schema: S,
  variables: Record<string, string>,
): z.output<S> {
  const result = schema.safeParse(variables);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return name in variables ? `${name} is wrong (${issue.message})` : `${name} is not set`;
  });
  throw new Error(`Cannot start as the environment is not complete: ${faults.join("; ")}`);
}
