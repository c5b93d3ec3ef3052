// Log lines: which are written, and that a fault carries no words.

import { assert, assertEquals } from "@std/assert";
import {
  createLog,
  describeFault,
  type LogEntry,
  type LogLevel,
} from "../../functions/_shared/log.ts";

const entry = (level: LogLevel): LogEntry => ({
  timestamp: "2026-03-01T12:00:00.000Z",
  level,
  request_id: "r1",
  function: "test",
  route: "/test/:id",
  status: 200,
  duration_ms: 1,
  user_id: null,
});

Deno.test("createLog writes lines of its level and above, one JSON object each", () => {
  const levels: LogLevel[] = ["debug", "info", "warn", "error"];
  for (const [index, least] of levels.entries()) {
    const lines: string[] = [];
    const log = createLog(least, (line) => lines.push(line));
    for (const level of levels) log(entry(level));
    assertEquals(lines.map((line) => JSON.parse(line)), levels.slice(index).map(entry));
    assert(lines.every((line) => !line.includes("\n")));
  }
});

Deno.test("describeFault gives class, code and frames of an error and its causes, no message", () => {
  const inner = Object.assign(new RangeError("Ananya Rao"), { code: "22P02" });
  const fault = describeFault(new Error("Ananya\n    at Rao (file:///x.ts:1:1)", { cause: inner }));
  assertEquals([fault.name, fault.cause?.name, fault.cause?.code], [
    "Error",
    "RangeError",
    "22P02",
  ]);
  assert(fault.frames[0]?.includes("log.test.ts"));
  assert(!JSON.stringify(fault).includes("Ananya") && !JSON.stringify(fault).includes("Rao"));
});

Deno.test("describeFault leaves out a code that is no code, and ends in a circle of causes", () => {
  const error = Object.assign(new Error("x"), { code: "Ananya Rao" });
  assertEquals(describeFault(error).code, undefined);
  error.cause = error;
  assert(JSON.stringify(describeFault(error)).length < 20_000);
  assertEquals(describeFault("Ananya Rao"), { name: "string", frames: [] });
  assertEquals(describeFault(undefined), { name: "undefined", frames: [] });
});
