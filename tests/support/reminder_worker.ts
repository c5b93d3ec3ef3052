// Ticks without end by a clock that runs `speed` times as fast as the machine's: what tests kill.
// Arguments: the database, when the clock began on the machine's, the speed.

import { BEGIN_MS, ticker } from "./reminder_lab.ts";

const [url, beganAt, speed] = Deno.args;
const now = () => BEGIN_MS + (Date.now() - Number(beganAt)) * Number(speed);
const tick = ticker(url!);
for (;;) {
  try {
    await tick(now);
  } catch {
    // The database is down; it comes back.
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
