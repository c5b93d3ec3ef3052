// `/functions/v1/<name>`: the same modules that are deployed, mounted in process. Each folder of
// functions/ that config.toml names is one function; its index.ts exports `{ fetch }`.

import { join, toFileUrl } from "@std/path";
import { parse } from "@std/toml";
import { PROJECT } from "./cli.ts";
import type { Part, StackContext } from "./context.ts";
import { derive } from "./gateway.ts";
import type { Doubles } from "./providers/providers.ts";
import { QSTASH_BASE } from "./qstash/base.ts";
import { REDIS_BASE } from "./redis/base.ts";

/** The environment as it was before a stack put its own into it. */
const GIVEN = Deno.env.toObject();

interface FunctionModule {
  default: { fetch: (request: Request) => Response | Promise<Response> };
}

/** Mounts every function of config.toml; a module is imported when its first request comes. */
export async function mountFunctions(
  context: StackContext,
  doubles: Doubles,
  { redis = false }: { redis?: boolean } = {},
): Promise<Part> {
  const env = {
    ...providers(doubles),
    ...functionEnv(context),
    ...(redis ? redisEnv(context) : {}),
  };
  for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
  const entrypoints = await readEntrypoints();
  const modules = new Map<string, Promise<FunctionModule>>();
  return async (request) => {
    const name = /^\/functions\/v1\/([^/]+)/.exec(new URL(request.url).pathname)?.[1] ?? "";
    const entrypoint = entrypoints.get(name);
    if (!entrypoint) {
      return Response.json({ code: "NOT_FOUND", message: "Requested function was not found" }, {
        status: 404,
      });
    }
    if (!modules.has(name)) modules.set(name, import(toFileUrl(entrypoint).href));
    const module = await modules.get(name)!;
    // As on hosted projects, the function sees `/<name>/…`.
    const url = new URL(request.url);
    url.pathname = url.pathname.slice("/functions/v1".length);
    return await module.default.fetch(derive(request, url, request.headers));
  };
}

/** Environment that a hosted function finds: names as on hosted Supabase. */
function functionEnv(context: StackContext): Record<string, string> {
  return {
    SUPABASE_URL: context.apiUrl,
    SUPABASE_DB_URL: context.dbUrl,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: context.keys.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: context.keys.secret }),
    SUPABASE_JWKS: JSON.stringify({ keys: [publicKey(context)] }),
    // What is set outside wins: a new version of the key is tried by setting it before a start.
    KEY_ENCRYPTION_KEYS: GIVEN.KEY_ENCRYPTION_KEYS ?? context.keys.encryption,
    BLIND_INDEX_KEY: GIVEN.BLIND_INDEX_KEY ?? context.keys.blindIndex,
    QSTASH_CURRENT_SIGNING_KEY: GIVEN.QSTASH_CURRENT_SIGNING_KEY ?? context.keys.queue.current,
    QSTASH_NEXT_SIGNING_KEY: GIVEN.QSTASH_NEXT_SIGNING_KEY ?? context.keys.queue.next,
    QSTASH_URL: GIVEN.QSTASH_URL ?? context.apiUrl + QSTASH_BASE,
    QSTASH_TOKEN: GIVEN.QSTASH_TOKEN ?? context.keys.queueToken,
    AUDIT_SIGNING_KEY: GIVEN.AUDIT_SIGNING_KEY ?? JSON.stringify(context.keys.auditSigning),
    // On a machine of one's own, pages from anywhere may be tried.
    ALLOWED_ORIGINS: GIVEN.ALLOWED_ORIGINS ?? "*",
  };
}

/** Makes functions count requests in the stack's Redis. */
function redisEnv({ apiUrl, keys }: StackContext): Record<string, string> {
  return {
    UPSTASH_REDIS_REST_URL: GIVEN.UPSTASH_REDIS_REST_URL ?? apiUrl + REDIS_BASE,
    UPSTASH_REDIS_REST_TOKEN: GIVEN.UPSTASH_REDIS_REST_TOKEN ?? keys.redisToken,
  };
}

/** Who sends mails, texts and pushes: the doubles, unless the outside names somebody real. */
function providers({ env }: Pick<Doubles, "env">): Record<string, string> {
  const isNamed = Object.keys(env).concat("SMTP_URL").some((name) => GIVEN[name]);
  return isNamed ? {} : env;
}

/** Public half of the signing key, as a JWK for the key set. */
export function publicKey({ keys }: Pick<StackContext, "keys">): JsonWebKey & { kid: string } {
  const { kty, crv, x, y, kid } = keys.signing;
  return { kty, crv, x, y, kid, alg: "ES256", use: "sig", key_ops: ["verify"] };
}

async function readEntrypoints(): Promise<Map<string, string>> {
  const folder = join(PROJECT, "supabase");
  const config = parse(await Deno.readTextFile(join(folder, "config.toml"))) as {
    functions?: Record<string, { entrypoint: string }>;
  };
  const declared = Object.entries(config.functions ?? {});
  return new Map(declared.map(([name, { entrypoint }]) => [name, join(folder, entrypoint)]));
}
