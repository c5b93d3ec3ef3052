// Keys and what they hold, in memory: lost with the process, which is right for limits. A key whose time
// is over is gone for whoever asks, and deleted now and then.

import { wrongType } from "./replies.ts";

/** What a key may hold: a string, the fields of a hash, a set, the scores of a sorted set. */
export interface Values {
  string: string;
  hash: Map<string, string>;
  set: Set<string>;
  zset: Map<string, number>;
}
export type Kind = keyof Values;
type Value = { [K in Kind]: { kind: K; value: Values[K] } }[Kind];

const SWEEP_EVERY_MS = 60_000;

const EMPTY: { [K in Exclude<Kind, "string">]: () => Values[K] } = {
  hash: () => new Map(),
  set: () => new Set(),
  zset: () => new Map(),
};

/** All keys. */
export class Keyspace {
  readonly #entries = new Map<string, Value & { expiresAt: number | null }>();
  #sweptAt = 0;

  /** @param now Clock, unix milliseconds. */
  constructor(readonly now: () => number) {}

  /** What a key holds, if it is of that kind; throws when it is of another. */
  get<K extends Kind>(key: string, kind: K): Values[K] | undefined {
    const entry = this.#live(key);
    if (!entry) return undefined;
    if (entry.kind !== kind) throw wrongType();
    return entry.value as Values[K];
  }

  /** As {@link get}, for writing: what is missing is made. */
  open<K extends keyof typeof EMPTY>(key: string, kind: K): Values[K] {
    const found = this.get(key, kind);
    if (found) return found;
    const value = EMPTY[kind]() as Values[K];
    this.#entries.set(key, { kind, value, expiresAt: null } as never);
    return value;
  }

  /** Sets a key to a string, and when it ends. */
  setString(key: string, value: string, expiresAt: number | null): void {
    this.#entries.set(key, { kind: "string", value, expiresAt });
  }

  /** Sets a key to a set; an empty one is no key. */
  setSet(key: string, value: Set<string>): void {
    this.#entries.set(key, { kind: "set", value, expiresAt: null });
    this.trim(key);
  }

  /** Deletes a key that holds nothing any more. */
  trim(key: string): void {
    const entry = this.#entries.get(key);
    if (entry && typeof entry.value !== "string" && entry.value.size === 0) {
      this.#entries.delete(key);
    }
  }

  kindOf(key: string): Kind | undefined {
    return this.#live(key)?.kind;
  }

  delete(key: string): boolean {
    return this.#live(key) !== undefined && this.#entries.delete(key);
  }

  /** When a key ends: null for never, undefined without the key. */
  expiresAt(key: string): number | null | undefined {
    return this.#live(key)?.expiresAt;
  }

  /** Sets when a key ends; a time that is over deletes it. False without the key. */
  expire(key: string, at: number | null): boolean {
    const entry = this.#live(key);
    if (!entry) return false;
    entry.expiresAt = at;
    if (at !== null && at <= this.now()) this.#entries.delete(key);
    return true;
  }

  /** Names of all keys. */
  keys(): string[] {
    this.sweep(true);
    return [...this.#entries.keys()];
  }

  clear(): void {
    this.#entries.clear();
  }

  /** Deletes keys whose time is over, at most once a minute unless it `must`. */
  sweep(must = false): void {
    const now = this.now();
    if (!must && now - this.#sweptAt < SWEEP_EVERY_MS) return;
    this.#sweptAt = now;
    for (const [key, { expiresAt }] of this.#entries) {
      if (expiresAt !== null && expiresAt <= now) this.#entries.delete(key);
    }
  }

  #live(key: string) {
    const entry = this.#entries.get(key);
    if (!entry || entry.expiresAt === null || entry.expiresAt > this.now()) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}
