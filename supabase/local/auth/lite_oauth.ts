// Sign-in through another provider, which Lite does: its session stands in the same tables, and the
// tokens that it hands out are exchanged for ours before they leave.

import { decodeJwt } from "jose";
import type { Lite } from "../lite.ts";
import { AuthError } from "./errors.ts";
import type { AuthService, ClientInfo } from "./service.ts";
import { addMethod, adoptSession, issueTokens, type TokenResponse } from "./sessions.ts";

/** What of Auth is left to Lite. */
export interface LiteAuth {
  /** Passes a request on; errors are rewritten, and tokens in the address it redirects to. */
  forward: (request: Request, client: ClientInfo) => Promise<Response>;
  /** Exchanges the code of a flow that Lite began. */
  exchange: (
    request: Request,
    body: { auth_code: string; code_verifier: string },
    client: ClientInfo,
  ) => Promise<Response>;
}

/** Builds the bridge to Lite. */
export function createLiteAuth(service: AuthService, lite: Lite): LiteAuth {
  const forward = async (request: Request, client: ClientInfo) => {
    const response = await lite.fetch(request, { address: client.ip });
    if (response.status >= 400) throw await liteError(response);
    const location = response.headers.get("location");
    if (!location?.includes("access_token=")) return response;
    const url = new URL(location);
    const fragment = new URLSearchParams(url.hash.slice(1));
    const issued = await adopt(service, {
      access_token: fragment.get("access_token") ?? "",
      refresh_token: fragment.get("refresh_token") ?? "",
    }, client);
    fragment.set("access_token", issued.access_token);
    fragment.set("expires_at", String(issued.expires_at));
    fragment.set("expires_in", String(issued.expires_in));
    url.hash = fragment.toString();
    return new Response(null, { status: response.status, headers: { location: url.href } });
  };
  const exchange = async (
    request: Request,
    body: { auth_code: string; code_verifier: string },
    client: ClientInfo,
  ) => {
    const copy = new Request(request.url, {
      method: "POST",
      headers: { ...Object.fromEntries(request.headers), "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const response = await lite.fetch(copy, { address: client.ip });
    if (!response.ok) throw await liteError(response);
    const answer = await response.json();
    return Response.json({ ...answer, ...await adopt(service, answer, client) });
  };
  return { forward, exchange };
}

/** Whether Lite began the flow that this code ends. */
export async function isLiteFlow(service: AuthService, code: string): Promise<boolean> {
  const rows = await service.read`
    select 1 from auth.flow_state where auth_code = ${code} and provider_type <> 'email'`;
  return rows.length > 0;
}

/** Makes a session of Lite's one of ours, and its tokens with it. */
async function adopt(
  service: AuthService,
  { access_token, refresh_token }: { access_token: string; refresh_token: string },
  client: ClientInfo,
): Promise<TokenResponse> {
  const { session_id } = decodeJwt<{ session_id: string }>(access_token);
  try {
    return await service.write(async (tx) => {
      await adoptSession(service, tx, session_id, client);
      await addMethod(service, tx, session_id, "oauth");
      const sessionId = session_id;
      const refreshToken = refresh_token;
      return await issueTokens(service, tx, {
        sessionId,
        refreshToken,
        method: "oauth",
        ip: client.ip,
      });
    });
  } catch (error) {
    // A session that was refused its token must not be refreshed into one.
    await service.write((tx) => tx`delete from auth.sessions where id = ${session_id}`);
    throw error;
  }
}

async function liteError(response: Response): Promise<AuthError> {
  const body = await response.json().catch(() => ({}));
  const code = typeof body.error_code === "string" ? body.error_code : "unexpected_failure";
  const message = typeof body.msg === "string" ? body.msg : "Unexpected failure";
  return new AuthError(response.status, code, message);
}
