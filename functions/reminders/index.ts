// Boots the function `reminders`.

import { productionDeps } from "../_shared/deps.ts";
import { createApp } from "./routes.ts";

export default { fetch: createApp(productionDeps(Deno.env.toObject())).fetch };
