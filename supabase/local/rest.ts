// `/rest/v1` of the embedded stack: Lite's data API behind a check of tokens and texts. A token that
// is not good is refused; it never counts as no token.

import { bearerToken, TokenError, type Tokens, tokensOf } from "./auth/tokens.ts";
import type { Part, Peer, StackContext } from "./context.ts";
import type { Lite, RestScope } from "./lite.ts";
import { readRestBody, UnstorableError } from "./rest_body.ts";
import { restErrorResponse } from "./rest_errors.ts";

/** Builds the data API part. */
export function createRest(context: StackContext, lite: Lite): Part {
  const tokens = tokensOf(context);
  return async (request, peer) => {
    try {
      const { headers, claims } = await identify(context, tokens, request);
      const body = await readRestBody(lite, request);
      const scope = { claims, settings: requestSettings(request, peer) };
      const inner = new Request(request.url, {
        method: request.method,
        headers,
        body,
      });
      return await lite.fetch(inner, peer, scope);
    } catch (error) {
      if (error instanceof TokenError) return refuse(error);
      if (error instanceof UnstorableError) return unstorable();
      throw error;
    }
  };
}

/** Whose request it is, and the headers by which Lite knows it. */
async function identify(
  { keys }: StackContext,
  tokens: Tokens,
  request: Request,
): Promise<{ headers: Headers; claims: RestScope["claims"] }> {
  const headers = new Headers(request.headers);
  headers.delete("content-length");
  headers.delete("authorization");
  const token = bearerToken(request);
  if (token === undefined) {
    const key = headers.get("apikey") ?? new URL(request.url).searchParams.get("apikey");
    return { headers, claims: { role: key === keys.secret ? "service_role" : "anon" } };
  }
  const claims = await tokens.verify(token);
  headers.set("authorization", `Bearer ${await tokens.internal(token)}`);
  return { headers, claims };
}

/** Refuses a token as PostgREST does: by its claims, or because no key fits it. */
function refuse({ fault, message }: TokenError): Response {
  const byClaims = fault === "expired" || fault === "claims";
  const challenge = `Bearer error="invalid_token", error_description="${message}"`;
  return restErrorResponse(401, {
    code: byClaims ? "PGRST303" : "PGRST301",
    message,
    details: byClaims ? null : "None of the keys was able to decode the JWT",
    hint: null,
  }, { "www-authenticate": challenge });
}

/** What functions and policies may know of the request. Credentials are not for them. */
function requestSettings(request: Request, { address }: Peer): Record<string, string> {
  const headers = Object.fromEntries(request.headers);
  delete headers.authorization;
  delete headers.apikey;
  delete headers.cookie;
  headers["x-forwarded-for"] = address;
  return {
    "request.method": request.method,
    "request.path": new URL(request.url).pathname.slice("/rest/v1".length),
    "request.headers": JSON.stringify(headers),
  };
}

function unstorable(): Response {
  return restErrorResponse(400, {
    code: "22P05",
    message: "unsupported Unicode escape sequence",
    details: "Text must be UTF-8 without NUL and without half a surrogate pair",
    hint: null,
  });
}
