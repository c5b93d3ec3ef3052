// `/auth/v1` of the embedded stack, for the unmodified client the same as hosted Supabase.
//
// Lite keeps the tables and signs in through other providers; every flow that hands out tokens or
// codes is answered here, because Lite's tokens lack most claims, its refresh does not survive
// parallel use, and its change of address never asks the new one.
//
//   /signup, /token                    routes_sign_in.ts
//   /otp, /recover, /resend, …         routes_email.ts
//   /verify                            routes_verify.ts
//   /user, /logout                     routes_user.ts
//   /factors                           routes_factors.ts
//   /admin/users                       routes_admin.ts
//   /invite, /admin/generate_link      routes_links.ts
//   /.well-known/jwks.json             here
//   /authorize, /callback              Lite, through lite_oauth.ts
//   /settings, /health                 Lite

import { Hono } from "hono";
import type { Part, StackContext } from "../context.ts";
import type { Lite } from "../lite.ts";
import { type AuthEnv, clientOf } from "./app.ts";
import { apiKeyRole } from "./caller.ts";
import { AuthError, failureResponse } from "./errors.ts";
import { createLiteAuth } from "./lite_oauth.ts";
import { addAdminRoutes } from "./routes_admin.ts";
import { addEmailRoutes } from "./routes_email.ts";
import { addFactorRoutes } from "./routes_factors.ts";
import { addLinkRoutes } from "./routes_links.ts";
import { addSignInRoutes } from "./routes_sign_in.ts";
import { addUserRoutes } from "./routes_user.ts";
import { addVerifyRoutes } from "./routes_verify.ts";
import { createService } from "./service.ts";
import { type AuthSettings, readAuthSettings } from "./settings.ts";
import { keySet } from "./tokens.ts";

/** Builds the auth part. */
export function createAuth(
  context: StackContext,
  lite: Lite,
  settings: AuthSettings = readAuthSettings(),
): Part {
  const service = createService(context, settings);
  const liteAuth = createLiteAuth(service, lite);
  const app = new Hono<AuthEnv>().basePath("/auth/v1");

  app.use(async (c, next) => {
    const role = apiKeyRole(service, c.req.raw);
    if (role instanceof Response) return role;
    c.set("keyRole", role);
    await next();
  });

  app.get("/.well-known/jwks.json", (c) => {
    c.header("cache-control", "public, max-age=600");
    return c.json(keySet(context));
  });
  addSignInRoutes(app, service, liteAuth);
  addEmailRoutes(app, service);
  addVerifyRoutes(app, service);
  addUserRoutes(app, service);
  addFactorRoutes(app, service);
  addAdminRoutes(app, service);
  addLinkRoutes(app, service);
  app.on(
    ["GET", "POST"],
    ["/authorize", "/callback"],
    (c) => liteAuth.forward(c.req.raw, clientOf(c)),
  );
  app.on("GET", ["/settings", "/health"], (c) => liteAuth.forward(c.req.raw, clientOf(c)));

  app.notFound((c) => failureResponse(new AuthError(404, "not_found", "No such path"), c.req.raw));
  app.onError((error, c) => failureResponse(error, c.req.raw));

  return (request, peer) => app.fetch(request, { peer });
}
