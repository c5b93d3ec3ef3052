// The one address of the stack: sends each request to the part that its path names, answers CORS,
// and keeps `/_local/*` for callers on this machine.

import type { Part, Peer, StackContext } from "./context.ts";
import { servePage } from "./page.ts";

/** Parts by the first path segment they answer. */
export type Parts = Record<
  "auth" | "rest" | "storage" | "realtime" | "functions" | "qstash" | "redis",
  Part
>;

/** Answers below `/_local/<name>` of parts that have something to show there. */
export type Locals = Record<
  "qstash" | "providers",
  (request: Request) => Promise<Response | undefined>
>;

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
  "access-control-expose-headers": "*",
  "access-control-max-age": "3600",
};

/** Builds the gateway's fetch handler. */
export function createGateway(
  context: StackContext,
  parts: Parts,
  locals: Partial<Locals> = {},
): Part {
  return async (request, peer) => {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/_local/")) return await local(context, locals, request, peer);
    const server = /^\/(qstash|redis)(?:\/|$)/.exec(pathname)?.[1];
    // For servers only, so without CORS; and as it came, for a whole address may stand in the path.
    if (server) return await parts[server as keyof Parts](request, peer);
    const name = /^\/(auth|rest|storage|realtime|functions)\/v1(?:\/|$)/.exec(pathname)?.[1];
    if (!name) return notFound();
    // Only the request that the server made can be upgraded, and its response must stay as it is.
    if (pathname === "/realtime/v1/websocket" && request.headers.has("upgrade")) {
      return await parts.realtime(request, peer);
    }
    const inner = withPeer(request, peer);
    // Functions answer CORS themselves, for the origins that they are configured with.
    if (name === "functions") return await parts.functions(inner, peer);
    if (request.method === "OPTIONS") return preflight(request);
    return withCors(await parts[name as "auth" | "rest" | "storage" | "realtime"](inner, peer));
  };
}

async function local(
  context: StackContext,
  locals: Partial<Locals>,
  request: Request,
  peer: Peer,
): Promise<Response> {
  if (!isLoopback(peer.address) || !isLoopback(new URL(request.url).hostname)) return notFound();
  const url = new URL(request.url);
  if (url.pathname === "/_local/health") return Response.json({ ready: true });
  if (url.pathname === "/_local/outbox") {
    return Response.json(context.outbox.list(url.searchParams.get("to") ?? undefined));
  }
  const name = /^\/_local\/([^/]+)/.exec(url.pathname)?.[1] ?? "";
  const part = Object.hasOwn(locals, name) ? locals[name as keyof Locals] : undefined;
  if (part) return await part(request) ?? notFound();
  return await servePage(context, url.pathname.slice("/_local/".length)) ?? notFound();
}

/** Writes the client's address where hosted Supabase's edge does, over what the client claims. */
function withPeer(request: Request, peer: Peer): Request {
  const headers = new Headers(request.headers);
  headers.set("x-forwarded-for", peer.address);
  headers.delete("cf-connecting-ip");
  return derive(request, request.url, headers);
}

/**
 * Makes a request like `request` for another address or with other headers. Not `new Request(request,
 * …)`, which would take its abort signal along, and with it Deno's warning about what that means.
 */
export function derive(request: Request, url: string | URL, headers: Headers): Request {
  const { method, body } = request;
  return new Request(url, { method, headers, body, redirect: "manual" });
}

/** Whether an address or host name is this machine. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, "").replace(/^::ffff:/, "");
  return bare === "localhost" || bare === "::1" || /^127(\.\d{1,3}){3}$/.test(bare);
}

function preflight(request: Request): Response {
  const wanted = request.headers.get("access-control-request-headers") ?? "*";
  return new Response(null, {
    status: 204,
    headers: { ...CORS, "access-control-allow-headers": wanted },
  });
}

function withCors(response: Response): Response {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(CORS)) headers.set(name, value);
  return new Response(response.body, { status: response.status, headers });
}

function notFound(): Response {
  return Response.json({ code: "not_found", message: "No such path" }, { status: 404 });
}
