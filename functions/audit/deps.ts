// What `audit` needs beside the dependencies of every function: where signed heads go, and their key.

import { type Deps, productionDeps } from "../_shared/deps.ts";
import { readEnv } from "../_shared/env.ts";
import { resilientFetch } from "../_shared/fetch.ts";
import { createObjectStore, type ObjectStore } from "../_shared/storage.ts";
import { createHeadSigner, type HeadSigner } from "./heads.ts";

export interface AuditDeps extends Deps {
  /** The bucket `audit-heads`. */
  heads: ObjectStore;
  /** Signs heads; null when no key is configured, and then none are published. */
  signHead: HeadSigner | null;
}

/** Builds the real dependencies; see `productionDeps`. */
export function productionAuditDeps(variables: Record<string, string>): AuditDeps {
  const deps = productionDeps(variables);
  const env = readEnv(variables);
  return {
    ...deps,
    heads: createObjectStore({
      url: env.SUPABASE_URL.replace(/\/+$/, ""),
      publicUrl: deps.publicUrl,
      secretKey: env.SUPABASE_SECRET_KEYS.default,
      bucket: "audit-heads",
      fetch: resilientFetch(fetch),
    }),
    signHead: env.AUDIT_SIGNING_KEY ? createHeadSigner(env.AUDIT_SIGNING_KEY) : null,
  };
}
