// Exports as an HTTP client asks for them.

import type { Fhir } from "../functions/bundles.ts";
import { type Person, tokenOf } from "./auth.ts";
import { testEnv } from "./env.ts";

/** Who asks: a person, somebody with this access token, or nobody. */
type Asker = Person | string | null;

/** Asks for an export; the body has not been read. */
export async function startExport(
  asker: Asker,
  query: Record<string, string> = {},
): Promise<Response> {
  const { url, publishableKey } = testEnv();
  const token = typeof asker === "string" ? asker : asker && await tokenOf(asker.client);
  return await fetch(`${url}/functions/v1/records/export?${new URLSearchParams(query)}`, {
    headers: {
      apikey: publishableKey,
      ...token && { authorization: `Bearer ${token}` },
    },
  });
}

/** A whole export: its text and, of a refusal, status and code. */
export async function exportOf(asker: Asker, query: Record<string, string> = {}) {
  const response = await startExport(asker, query);
  const text = await response.text();
  const bundle: Fhir = JSON.parse(text);
  return {
    status: response.status,
    headers: response.headers,
    text,
    bundle,
    entries: (bundle.entry ?? []) as { fullUrl: string; resource: Fhir }[],
    refusal: [response.status, bundle.error?.code],
  };
}
