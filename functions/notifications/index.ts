// Boots the function `notifications`.

import { productionNotificationsDeps } from "./deps.ts";
import { createApp } from "./routes.ts";

export default { fetch: createApp(productionNotificationsDeps(Deno.env.toObject())).fetch };
