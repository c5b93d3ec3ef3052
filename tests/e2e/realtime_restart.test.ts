// A stack that is killed and started again, as channels of an unmodified client see it.

import { assertEquals } from "@std/assert";
import { createClient } from "@supabase/supabase-js";
import { loadKeys } from "../../supabase/local/keys.ts";
import { broadcastsOf, joined } from "../support/realtime.ts";
import { Site } from "../support/stack_process.ts";

Deno.test({
  name: "after a kill and a start the channels are joined again and hear the database",
  // The client's timers outlive its end.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    Site.usePrepared(async (site) => {
      const killed = site.start();
      await killed.ready();
      const { secret } = await loadKeys(site.dataDir);
      const client = createClient(`http://127.0.0.1:${site.apiPort}`, secret, {
        auth: { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false },
        realtime: { reconnectAfterMs: () => 200 },
      });
      try {
        const channel = client.channel("room", { config: { private: true } });
        const heard = broadcastsOf(channel);
        const statuses = await joined(channel);
        const before = statuses.seen.length;

        await killed.kill();
        await statuses.next("CHANNEL_ERROR", before);
        await site.start().ready();

        await statuses.next("SUBSCRIBED", before);
        await site.query("select realtime.send('{}', 'again', 'room', true)");
        assertEquals((await heard.first(1))[0]!.event, "again");
      } finally {
        client.realtime.disconnect();
      }
    }),
});
