// Tokens of signed URLs. They are signed with a secret of their own, so that an access token never
// opens a URL and a URL's token never signs anybody in.

import { errors, jwtVerify, SignJWT } from "jose";
import { z } from "zod";
import type { StackContext } from "../context.ts";
import { invalidJwt, invalidSignature } from "./errors.ts";

const DownloadClaims = z.object({
  scope: z.literal("download"),
  /** `<bucket>/<key>`. */
  url: z.string(),
  exp: z.int(),
});

const UploadClaims = z.object({
  scope: z.literal("upload"),
  /** `<bucket>/<key>`. */
  url: z.string(),
  exp: z.int(),
  /** Who will own the object. */
  owner: z.string().optional(),
  /** Whether it may replace one. */
  upsert: z.boolean(),
});

/** What a signed download URL allows; `exp` in unix seconds. */
export type DownloadToken = z.infer<typeof DownloadClaims>;

/** What a signed upload URL allows; `exp` in unix seconds. */
export type UploadToken = z.infer<typeof UploadClaims>;

/** Signs and checks the tokens of signed URLs. */
export interface UrlTokens {
  signDownload: (url: string, ttlSeconds: number) => Promise<string>;
  signUpload: (
    grant: { url: string; owner?: string; upsert: boolean },
    ttlSeconds: number,
  ) => Promise<string>;
  /** Throws unless `token` allows to read `url` now. */
  verifyDownload: (token: string, url: string) => Promise<DownloadToken>;
  /** Throws unless `token` allows to write `url` now. */
  verifyUpload: (token: string, url: string) => Promise<UploadToken>;
}

/** Derives the secret and builds the functions. */
export async function createUrlTokens(context: StackContext): Promise<UrlTokens> {
  const secret = await deriveSecret(context.keys.internal);

  const sign = (claims: Record<string, unknown>, ttlSeconds: number) => {
    const now = Math.floor(context.now() / 1000);
    return new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setIssuedAt(now)
      .setExpirationTime(now + ttlSeconds)
      .sign(secret);
  };

  const verify = async <T extends { url: string }>(
    token: string,
    url: string,
    schema: z.ZodType<T>,
    scope: string,
  ): Promise<T> => {
    const { payload } = await jwtVerify(token, secret, {
      algorithms: ["HS256"],
      requiredClaims: ["exp"],
      currentDate: new Date(context.now()),
    }).catch((error) => {
      if (error instanceof errors.JOSEError) throw invalidJwt(error.message);
      throw error;
    });
    const claims = schema.safeParse(payload);
    if (!claims.success) throw invalidSignature(`Token is not scoped for ${scope}`);
    if (claims.data.url !== url) throw invalidSignature();
    return claims.data;
  };

  return {
    signDownload: (url, ttlSeconds) => sign({ url, scope: "download" }, ttlSeconds),
    signUpload: (grant, ttlSeconds) => sign({ ...grant, scope: "upload" }, ttlSeconds),
    verifyDownload: (token, url) => verify(token, url, DownloadClaims, "download"),
    verifyUpload: (token, url) => verify(token, url, UploadClaims, "upload"),
  };
}

async function deriveSecret(internal: string): Promise<Uint8Array> {
  const text = new TextEncoder();
  const material = await crypto.subtle.importKey("raw", text.encode(internal), "HKDF", false, [
    "deriveBits",
  ]);
  const params = {
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(),
    info: text.encode("storage signed urls"),
  };
  return new Uint8Array(await crypto.subtle.deriveBits(params, material, 256));
}
