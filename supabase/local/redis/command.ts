// What a command is, and how its arguments are read.

import type { Keyspace } from "./keyspace.ts";
import { notAFloat, notAnInteger, type Reply } from "./replies.ts";

/** Runs a command on the keys. */
export type Run = (keys: Keyspace, args: string[]) => Reply;

/** A command: how many arguments it takes, and what it does. */
export interface Command {
  min: number;
  max: number;
  run: Run;
}

/** Commands by their names in upper case. */
export type Commands = Record<string, Command>;

/** A command with `min` to `max` arguments, or exactly `min`. */
export function command(min: number, run: Run, max = min): Command {
  return { min, max, run };
}

const INT64 = 9_223_372_036_854_775_807n;

/** Reads an integer as Redis does: 64 bits, no spaces; beyond 53 bits its value is rounded. */
export function integer(text: string | undefined): number {
  if (text === undefined || !/^-?(0|[1-9]\d{0,18})$/.test(text)) throw notAnInteger();
  const value = BigInt(text);
  if (value > INT64 || value < -INT64 - 1n) throw notAnInteger();
  return Number(value);
}

/** Reads a number that may have a fraction, or be infinite. */
export function float(text: string | undefined): number {
  if (text !== undefined && /^[+-]?inf(inity)?$/i.test(text)) {
    return text.startsWith("-") ? -Infinity : Infinity;
  }
  if (text === undefined || text.trim() !== text || text === "" || Number.isNaN(Number(text))) {
    throw notAFloat();
  }
  return Number(text);
}

/** Writes a number with a fraction. */
export function formatFloat(value: number): string {
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  return String(value);
}
