// The outbox: what a hosted stack would have sent to e-mail, telephones and devices.

import { clock, make } from "./dom.js";

const SHOWN = 8;
const LOOK_AGAIN_MS = 2000;

/** Shows the newest messages in `list`, and goes on doing so. The outbox has no events of its own. */
export async function showOutbox(list) {
  for (;;) {
    const messages = await fetch("outbox").then((response) => response.json()).catch(() => []);
    const newest = messages.slice(-SHOWN).reverse();
    list.replaceChildren(
      ...newest.map(({ channel, to, subject, text, sent_at }) =>
        make("li", {}, [
          make("time", { dateTime: sent_at, textContent: clock(sent_at) }),
          ` ${channel} to ${to}: `,
          make("strong", { textContent: subject || text }),
        ])
      ),
    );
    if (newest.length === 0) list.append(make("li", { textContent: "Nothing was sent yet" }));
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}
