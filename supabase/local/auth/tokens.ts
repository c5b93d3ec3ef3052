// Access tokens: ES256 tokens that the stack signs and everybody can verify through the key set,
// and the internal HS256 token that stands for a verified one towards Lite.

import { createLocalJWKSet, errors, importJWK, type JWTPayload, jwtVerify, SignJWT } from "jose";
import type { StackContext } from "../context.ts";
import { publicKey } from "../functions.ts";

/** Claims of a verified access token. */
export interface AccessClaims extends JWTPayload {
  role: string;
  session_id?: string;
  is_anonymous?: boolean;
  aal?: string;
}

/** Why a token was refused. */
export type TokenFault = "malformed" | "expired" | "signature" | "claims";

/** A token that is not accepted; `message` says why and holds nothing of the token. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  constructor(readonly fault: TokenFault, message: string) {
    super(message);
  }
}

/** Audience of every access token. */
export const AUDIENCE = "authenticated";

const CACHE_SIZE = 10_000;

/** A token that was found good before. */
interface Known {
  claims: AccessClaims;
  /** Made when Lite first needs it. */
  internal?: string;
}

/** Signs and verifies the tokens of one stack. */
export class Tokens {
  #context: StackContext;
  #known = new Map<string, Known>();
  #keySet: ReturnType<typeof createLocalJWKSet>;
  #signingKey: ReturnType<typeof importJWK> | undefined;
  #internalKey: Uint8Array;

  constructor(context: StackContext) {
    this.#context = context;
    this.#keySet = createLocalJWKSet(keySet(context));
    this.#internalKey = new TextEncoder().encode(context.keys.internal);
  }

  /** Value of the claim `iss`. */
  get issuer(): string {
    return `${this.#context.apiUrl}/auth/v1`;
  }

  /** Signs `claims` as they are; `exp`, `iat`, `iss` and `aud` are the caller's to set. */
  async sign(claims: JWTPayload): Promise<string> {
    const { signing } = this.#context.keys;
    this.#signingKey ??= importJWK(signing, "ES256");
    return await new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", kid: signing.kid, typ: "JWT" })
      .sign(await this.#signingKey);
  }

  /**
   * Verifies signature, times, audience and issuer. A token is checked once; its text is
   * remembered until it expires. Whether its session still lives is not asked here.
   *
   * @throws {TokenError} If the token is not one of this stack's, or not any more.
   */
  async verify(token: string): Promise<AccessClaims> {
    return (await this.#lookUp(token)).claims;
  }

  /** The token that stands for `token` towards Lite, which knows HS256 only. */
  async internal(token: string): Promise<string> {
    const known = await this.#lookUp(token);
    // Lite's clock is the machine's, not the context's, and only REST's own settings reach policies.
    known.internal ??= await new SignJWT({ ...known.claims, exp: undefined, iat: undefined })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .sign(this.#internalKey);
    return known.internal;
  }

  async #lookUp(token: string): Promise<Known> {
    const known = this.#known.get(token);
    const now = this.#context.now();
    if (known) {
      if ((known.claims.exp ?? 0) * 1000 > now) return known;
      this.#known.delete(token);
      throw expired();
    }
    const fresh = { claims: await this.#check(token, now) };
    if (this.#known.size >= CACHE_SIZE) this.#forgetOldest();
    this.#known.set(token, fresh);
    return fresh;
  }

  #forgetOldest() {
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }

  async #check(token: string, now: number): Promise<AccessClaims> {
    const parts = token.split(".").length;
    if (parts !== 3) throw new TokenError("malformed", `Expected 3 parts in JWT; got ${parts}`);
    try {
      const { payload } = await jwtVerify<{ role: string }>(token, this.#keySet, {
        algorithms: ["ES256"],
        audience: AUDIENCE,
        issuer: this.issuer,
        currentDate: new Date(now),
        requiredClaims: ["exp", "role"],
      });
      return payload;
    } catch (error) {
      throw asTokenError(error);
    }
  }
}

function expired() {
  return new TokenError("expired", "JWT expired");
}

function asTokenError(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) return expired();
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new TokenError("claims", `Claim ${error.claim} is missing or not accepted`);
  }
  if (error instanceof errors.JOSEError) {
    const malformed = error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid;
    return new TokenError(
      malformed ? "malformed" : "signature",
      malformed ? "JWT is malformed" : "No suitable key or wrong key type",
    );
  }
  // A header that is not JSON, or not base64url, fails below jose.
  if (error instanceof TypeError || error instanceof SyntaxError) {
    return new TokenError("malformed", "JWT is malformed");
  }
  return error;
}

/** The public keys, as answered at `/.well-known/jwks.json`. */
export function keySet(context: StackContext) {
  return { keys: [publicKey(context)] };
}

const perStack = new WeakMap<StackContext, Tokens>();

/** The one {@link Tokens} of a stack, so that all parts share what was verified. */
export function tokensOf(context: StackContext): Tokens {
  let tokens = perStack.get(context);
  if (!tokens) perStack.set(context, tokens = new Tokens(context));
  return tokens;
}

/**
 * The user's token of a request, or undefined when it carries an API key only: clients without a
 * session put the key into `Authorization` too.
 *
 * @throws {TokenError} If the header is there and is no bearer token.
 */
export function bearerToken(request: Request): string | undefined {
  const header = request.headers.get("authorization");
  if (header === null) return undefined;
  const token = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (!token) throw new TokenError("malformed", "Authorization holds no bearer token");
  if (token.startsWith("sb_") || token === request.headers.get("apikey")) return undefined;
  return token;
}
