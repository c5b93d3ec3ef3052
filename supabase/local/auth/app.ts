// The Hono application that the routes of Auth hang on, and what they read from its context.

import type { Context, Hono } from "hono";
import type { Peer } from "../context.ts";
import type { KeyRole } from "./caller.ts";
import type { ClientInfo } from "./service.ts";

/** Environment of a request to Auth. */
export interface AuthEnv {
  Bindings: { peer: Peer };
  Variables: {
    /** Role of the request's API key. */
    keyRole: KeyRole;
  };
}

export type AuthApp = Hono<AuthEnv>;

/** Where a request came from. */
export function clientOf(c: Context<AuthEnv>): ClientInfo {
  return { ip: c.env.peer.address, userAgent: c.req.header("user-agent") ?? "" };
}
