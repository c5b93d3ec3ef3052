// Boots the function `audit`.

import { productionAuditDeps } from "./deps.ts";
import { createApp } from "./routes.ts";

export default { fetch: createApp(productionAuditDeps(Deno.env.toObject())).fetch };
