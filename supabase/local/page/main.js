// The local page: two panes, each a person with a client of their own, and the outbox below them.

import { showOutbox } from "./outbox.js";
import { createPane } from "./pane.js";

const { publishable_key, people } = await (await fetch("config.json")).json();

for (const name of ["left", "right"]) {
  const newClient = () =>
    // From supabase.js, the build of supabase-js for browsers.
    globalThis.supabase.createClient(location.origin, publishable_key, {
      // Two people in one page: neither may find the other's session.
      auth: { persistSession: false, storageKey: `pane-${name}` },
    });
  document.querySelector("#panes").append(createPane({ name, people, newClient }));
}
showOutbox(document.querySelector("#outbox"));
