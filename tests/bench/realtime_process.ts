// How the processes of the bench of Realtime speak: lines of JSON out, questions in.

import process from "node:process";
import { createInterface } from "node:readline";

/** Prints a line. */
export function say(value: unknown): void {
  console.log(JSON.stringify(value));
}

/**
 * Says `hello`; answers `memory` with this process's resident bytes and `cpu` with the microseconds of
 * processor that it has used; returns with the input's end.
 */
export async function answerQuestions(hello: unknown): Promise<void> {
  say(hello);
  for await (const question of createInterface({ input: process.stdin })) {
    if (question === "memory") say(Deno.memoryUsage().rss);
    if (question === "cpu") {
      const { user, system } = process.cpuUsage();
      say(user + system);
    }
  }
}
