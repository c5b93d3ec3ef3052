// Logs: one JSON line a request, and one more where something broke that nobody expected. Ids,
// patterns and codes only; never a name, a value, a message or a token.

/** From least to most urgent. */
const LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LEVELS[number];

/** One line. `route` is the pattern that matched, not the path, which holds ids. */
export type LogEntry =
  & { timestamp: string; level: LogLevel; request_id: string; function: string }
  & ({ route: string; status: number; duration_ms: number; user_id: string | null } | {
    fault: Fault;
  });

/** What broke: enough to find the line of code, nothing of the data that passed there. */
export interface Fault {
  /** Class of the error, for example `TypeError`. */
  name: string;
  /** Its code, for example an SQLSTATE. */
  code?: string;
  /** Stack frames without the message, which may repeat values. */
  frames: string[];
  cause?: Fault;
}

export type Log = (entry: LogEntry) => void;

/** Writes lines of `least` urgency and above with `write`. */
export function createLog(least: LogLevel, write: (line: string) => void): Log {
  return (entry) => {
    if (LEVELS.indexOf(entry.level) >= LEVELS.indexOf(least)) write(JSON.stringify(entry));
  };
}

/** Describes a thrown value without its message. */
export function describeFault(thrown: unknown, depth = 3): Fault {
  if (!(thrown instanceof Error)) return { name: typeof thrown, frames: [] };
  // The message goes first: it may hold lines that look like frames.
  const stack = (thrown.stack ?? "").replace(thrown.message, "");
  const fault: Fault = {
    name: thrown.constructor.name,
    frames: stack.split("\n").filter((line) => /^\s+at .+:\d+:\d+\)?$/.test(line))
      .map((line) => line.trim()).slice(0, 12),
  };
  if ("code" in thrown && /^[A-Za-z0-9_]{1,40}$/.test(String(thrown.code))) {
    fault.code = String(thrown.code);
  }
  if (thrown.cause !== undefined && depth > 1) fault.cause = describeFault(thrown.cause, depth - 1);
  return fault;
}
