// Whose socket, channel or request it is: API keys and access tokens, judged in the words of hosted
// Realtime. Unlike the data API it asks for role and expiry only, not for audience and issuer.

import { createLocalJWKSet, errors, type JWTPayload, jwtVerify } from "jose";
import { keySet } from "../auth/tokens.ts";
import type { StackContext } from "../context.ts";

/** Whom a key or token names. */
export interface Identity {
  /** The key or token itself. */
  token: string;
  role: string;
  /** What `auth.jwt()` shows to policies. */
  claims: Record<string, unknown>;
  /** Unix seconds; infinite for API keys. */
  expiresAt: number;
}

/** A key or token that is refused; `message` holds nothing of it. */
export class TokenFault extends Error {
  override readonly name = "TokenFault";
  constructor(
    readonly code: "InvalidJWTToken" | "MalformedJWT" | "JwtSignatureError",
    message: string,
  ) {
    super(message);
  }
}

/** Judges keys and tokens. */
export interface Verifier {
  /** @throws {TokenFault} */
  verify: (token: string) => Promise<Identity>;
  /** What is wrong with an identity now that was right before, if anything. */
  expired: (identity: Identity) => TokenFault | undefined;
}

/** Tokens whose signature is remembered. */
const CACHE_SIZE = 10_000;

/** Builds the judge of one stack. */
export function createVerifier(context: StackContext): Verifier {
  const keys = createLocalJWKSet(keySet(context));
  const known = new Map<string, Identity>();

  const expired = ({ expiresAt }: Identity) => {
    const seconds = Math.floor(context.now() / 1000 - expiresAt);
    return seconds < 0
      ? undefined
      : new TokenFault("InvalidJWTToken", `Token has expired ${seconds} seconds ago`);
  };

  const check = async (token: string): Promise<Identity> => {
    const { publishable, secret } = context.keys;
    if (token === publishable) return ofKey(token, "anon");
    if (token === secret) return ofKey(token, "service_role");
    if (token.split(".").length !== 3) throw malformed();
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: ["ES256"],
        // Times are judged by {@link expired}, in its words.
        currentDate: new Date(0),
        clockTolerance: Number.MAX_SAFE_INTEGER,
      });
      return ofClaims(token, payload);
    } catch (error) {
      throw asFault(error);
    }
  };

  return {
    expired,
    async verify(token) {
      let identity = known.get(token);
      if (!identity) {
        identity = await check(token);
        if (known.size >= CACHE_SIZE) known.delete(known.keys().next().value!);
        known.set(token, identity);
      }
      const fault = expired(identity);
      if (fault) throw fault;
      return identity;
    },
  };
}

function ofKey(token: string, role: string): Identity {
  return { token, role, claims: { role }, expiresAt: Infinity };
}

function ofClaims(token: string, claims: JWTPayload): Identity {
  const { role, exp } = claims;
  if (typeof role !== "string" || exp === undefined) {
    throw new TokenFault("InvalidJWTToken", "Fields `role` and `exp` are required in JWT");
  }
  return { token, role, claims, expiresAt: exp };
}

function malformed(): TokenFault {
  return new TokenFault("MalformedJWT", "The token provided is not a valid JWT");
}

function asFault(error: unknown): unknown {
  if (error instanceof TokenFault) return error;
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new TokenFault("InvalidJWTToken", "Token expiration time is invalid");
  }
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return malformed();
  if (error instanceof errors.JOSEError) {
    return new TokenFault("JwtSignatureError", "Failed to validate JWT signature");
  }
  // A header that is not JSON, or not base64url, fails below jose.
  if (error instanceof TypeError || error instanceof SyntaxError) return malformed();
  return error;
}
