// Who asks: turns the API key and the bearer token of a request into a database role with claims.
// A token that is there but does not hold is refused; it never counts as nobody.

import { z } from "zod";
import { TokenError, tokensOf } from "../auth/tokens.ts";
import type { StackContext } from "../context.ts";
import { accessDenied, invalidApiKey } from "./errors.ts";

const Role = z.enum(["anon", "authenticated", "service_role"]);

/** Role and claims that a request runs with. */
export interface Caller {
  role: z.infer<typeof Role>;
  /** What `auth.jwt()` shows to policies. */
  claims: Record<string, unknown>;
  /** The account, when there is one. */
  userId?: string;
}

const ANON: Caller = { role: "anon", claims: { role: "anon" } };

/** Acts for Storage itself, past RLS. */
export const SERVICE: Caller = { role: "service_role", claims: { role: "service_role" } };

/**
 * Builds the function that names the caller of a request; undefined when it has neither key nor
 * token. The token outranks the key. Throws {@link invalidApiKey} or {@link accessDenied}.
 */
export function createCallerOf(context: StackContext) {
  const tokens = tokensOf(context);

  const ofKey = (key: string, request: Request): Caller => {
    if (key === context.keys.publishable) return ANON;
    if (key !== context.keys.secret) throw invalidApiKey();
    if (/^\s*Mozilla\/5\.0/i.test(request.headers.get("user-agent") ?? "")) {
      throw invalidApiKey("Forbidden use of secret API key in browser");
    }
    return SERVICE;
  };

  const ofToken = async (token: string): Promise<Caller> => {
    try {
      const claims = await tokens.verify(token);
      const role = Role.safeParse(claims.role);
      if (!role.success) throw accessDenied("Access denied: Invalid role");
      return { role: role.data, claims, userId: claims.sub };
    } catch (error) {
      throw error instanceof TokenError ? accessDenied(error.message) : error;
    }
  };

  return async (request: Request): Promise<Caller | undefined> => {
    const key = request.headers.get("apikey") ?? new URL(request.url).searchParams.get("apikey");
    const ofApiKey = key === null ? undefined : ofKey(key, request);
    const bearer = request.headers.get("authorization")?.replace(/^Bearer\s+/i, "");
    if (!bearer) return ofApiKey;
    return bearer.startsWith("sb_") ? ofKey(bearer, request) : await ofToken(bearer);
  };
}
