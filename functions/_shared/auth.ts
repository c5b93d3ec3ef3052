// Who asks: the access token of the Authorization header, verified against the project's keys, or,
// for jobs, the secret key of the header apikey.

import type { SupabaseEnv } from "@supabase/server";
import { verifyAuth } from "@supabase/server/core";
import { z } from "zod";
import { AppError } from "./errors.ts";

/** Whose tokens are taken. */
export interface AuthSettings {
  /** Keys of the project; `jwks` is a key set, or the address to fetch it from. */
  env: SupabaseEnv;
  /** `iss` of the project's tokens, for example `https://<ref>.supabase.co/auth/v1`. */
  issuer: string;
}

/**
 * Claims that every access token of Supabase Auth has. An API key in the form of a token, which has
 * no session and another role, is not one.
 */
const AccessClaims = z.looseObject({
  sub: z.guid(),
  role: z.literal("authenticated"),
  session_id: z.guid(),
  exp: z.number(),
});

/**
 * Verifies signature, algorithm, expiry, issuer and audience of the request's token. Whether its
 * session still lives only the database knows; see `asCaller`.
 *
 * @throws {AppError} `unauthenticated`, or `unavailable` when the keys cannot be had.
 */
export async function verifyCaller(
  request: Request,
  { env, issuer }: AuthSettings,
): Promise<{ id: string; claims: Record<string, unknown> }> {
  const { data, error } = await verifyAuth(request, {
    auth: "user",
    audience: "authenticated",
    issuer,
    env,
  });
  if (error) {
    if (error.status >= 500) {
      throw new AppError("unavailable", "Access tokens cannot be verified now", {
        cause: error,
        retryAfterSeconds: 5,
      });
    }
    throw new AppError(
      "unauthenticated",
      request.headers.has("authorization")
        ? "The access token is not valid"
        : "The access token is missing",
      { cause: error },
    );
  }
  const claims = AccessClaims.safeParse(data.jwtClaims);
  if (!claims.success) throw new AppError("unauthenticated", "The access token is not valid");
  return { id: claims.data.sub, claims: claims.data };
}

/**
 * Verifies that a request carries a secret key of the project, in the header `apikey`.
 *
 * @throws {AppError} `unauthenticated`.
 */
export async function verifySecretKey(request: Request, { env }: AuthSettings): Promise<void> {
  // Any of them, so that keys can be rotated.
  const { error } = await verifyAuth(request, { auth: "secret:*", env });
  if (error) {
    throw new AppError("unauthenticated", "The secret key is missing or not valid", {
      cause: error,
    });
  }
}
