// What every function's app begins with: request id, log line, headers, CORS, the caller, and the
// envelope for whatever goes wrong. Routes are added by each function's routes.ts.

import { corsHeaders } from "@supabase/supabase-js/cors";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { requestId } from "hono/request-id";
import { matchedRoutes } from "hono/route";
import { secureHeaders } from "hono/secure-headers";
import { z } from "zod";
import { verifyCaller } from "./auth.ts";
import type { Caller, RequestContext } from "./db.ts";
import type { Deps } from "./deps.ts";
import { AppError, toAppError, toFailure } from "./errors.ts";
import { describeFault } from "./log.ts";

/** What handlers find in `c.var`. */
export interface AppEnv {
  Variables: {
    requestId: string;
    /** Clock, milliseconds since the epoch. */
    now: () => number;
    /** The request, for audit, when nobody is signed in. */
    context: RequestContext;
    /** Who asks; set on every path that is neither public nor for the secret key. */
    caller: Caller;
  };
}

interface AppOptions {
  /** Name of the function, which is also the first segment of its paths. */
  name: string;
  /** Paths that are answered without a token. Everything else needs one, unknown paths too. */
  publicPaths?: string[];
  /** Below this path, with a slash at its end, each route asks for a proof of its own. */
  publicPrefix?: string;
  /** Paths of jobs, which need the secret key instead: their routes use `fromQueueOrSecretKey`. */
  secretKeyPaths?: string[];
}

/** Longest request id that is taken over from the caller. */
const MAX_REQUEST_ID_LENGTH = 64;
/** Longest user agent that is kept. */
const MAX_USER_AGENT_LENGTH = 200;

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/** Builds an app that has everything but its routes. */
export function newApp(
  deps: Deps,
  { name, publicPaths = [], publicPrefix, secretKeyPaths = [] }: AppOptions,
): Hono<AppEnv> {
  const app = new Hono<AppEnv>({ strict: false });
  const fail = (thrown: unknown, c: Context<AppEnv>) => {
    const error = toAppError(thrown);
    if (error.code === "internal" || error.code === "unavailable") {
      deps.log({
        timestamp: new Date(deps.now()).toISOString(),
        level: "error",
        request_id: c.var.requestId,
        function: name,
        fault: describeFault(error.cause ?? error),
      });
    }
    return toFailure(error, c.var.requestId, new Date(deps.now()));
  };

  app.use(requestId({ limitLength: MAX_REQUEST_ID_LENGTH }));
  app.use(logged(deps, name));
  app.use(secureHeaders({
    contentSecurityPolicy: { defaultSrc: ["'self'"] },
    strictTransportSecurity: "max-age=31536000; includeSubDomains",
    xContentTypeOptions: "nosniff",
    xFrameOptions: "DENY",
    // Browsers of today ignore it; audits of older baselines ask for it.
    xXssProtection: "1; mode=block",
    // Other origins are let in by CORS, by name.
    crossOriginResourcePolicy: "cross-origin",
  }));
  app.use(cors({
    origin: (origin) =>
      deps.allowedOrigins.includes("*") || deps.allowedOrigins.includes(origin) ? origin : null,
    allowMethods: METHODS,
    // What the client library sends, in its own words, and what callers may add.
    allowHeaders: [corsHeaders["Access-Control-Allow-Headers"] ?? "authorization", "x-request-id"],
    exposeHeaders: [
      "X-Request-Id",
      "Retry-After",
      "RateLimit-Limit",
      "RateLimit-Remaining",
      "RateLimit-Reset",
    ],
    maxAge: 3600,
  }));
  app.use(onlyErrors);
  const pathsWithoutToken = [...publicPaths, ...secretKeyPaths];
  app.use(authenticated(deps, (path) =>
    pathsWithoutToken.includes(path) ||
    (publicPrefix !== undefined && path.startsWith(publicPrefix))));

  app.onError((error, c) => fail(error, c));
  app.notFound((c) => {
    const allowed = METHODS.filter((method) => hasRoute(app, method, c.req.path));
    if (allowed.length === 0) return fail(new AppError("not_found", "No such path"), c);
    const response = fail(
      new AppError("method_not_allowed", `Method must be one of ${allowed.join(", ")}`),
      c,
    );
    response.headers.set("Allow", allowed.join(", "));
    return response;
  });
  return app;
}

/** Sets what is known of the request, finishes the answer, and logs one line. */
function logged(deps: Deps, name: string): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const started_at = deps.now();
    c.set("now", deps.now);
    c.set("context", {
      request_id: c.var.requestId,
      ip: clientAddress(c.req.raw.headers),
      user_agent: c.req.header("user-agent")?.slice(0, MAX_USER_AGENT_LENGTH) ?? null,
    });
    await next();
    // Answers are about one person; only a route that says otherwise may be kept by a cache.
    if (!c.res.headers.has("Cache-Control")) c.res.headers.set("Cache-Control", "no-store");
    const { status } = c.res;
    deps.log({
      timestamp: new Date(deps.now()).toISOString(),
      level: status >= 500 ? "error" : status >= 400 ? "warn" : "info",
      request_id: c.var.requestId,
      function: name,
      route: matchedRoutes(c).findLast(({ method }) => method !== "ALL")?.path ?? "unmatched",
      status,
      duration_ms: Math.round(deps.now() - started_at),
      user_id: c.var.caller?.id ?? null,
    });
  };
}

/** Hono hands only instances of Error to onError; anything may be thrown. */
const onlyErrors: MiddlewareHandler<AppEnv> = async (_c, next) => {
  try {
    await next();
  } catch (thrown) {
    throw toAppError(thrown);
  }
};

function authenticated(
  deps: Deps,
  needsNoToken: (path: string) => boolean,
): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    if (!needsNoToken(c.req.path)) {
      c.set("caller", { ...c.var.context, ...await verifyCaller(c.req.raw, deps.auth) });
    }
    await next();
  };
}

/** Address of the client as the gateway gave it; null when there is none or it is no address. */
function clientAddress(headers: Headers): string | null {
  // Hosted Supabase's edge writes cf-connecting-ip itself; x-forwarded-for may begin with a claim.
  const given = headers.get("cf-connecting-ip") ?? headers.get("x-forwarded-for")?.split(",")[0];
  const address = z.union([z.ipv4(), z.ipv6()]).safeParse(given?.trim());
  return address.success ? address.data : null;
}

/** Whether a path has a route of its own for a method, beside what applies to every path. */
function hasRoute(app: Hono<AppEnv>, method: string, path: string): boolean {
  const asked = method === "HEAD" ? "GET" : method;
  return app.router.match(asked, path)[0].some(([[, route]]) => route.method === asked);
}
