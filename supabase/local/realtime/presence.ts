// Who is present in one room: by key, a meta for each channel that tracks. Pure; answers what changed,
// and whoever calls tells the room.

/** One tracked payload with its reference. */
export type Meta = Record<string, unknown>;

/** Metas by presence key, as clients read them. */
export type PresenceState = Record<string, { metas: Meta[] }>;

/** What a change did. */
export interface PresenceDiff {
  joins: PresenceState;
  leaves: PresenceState;
}

interface Tracked {
  key: string;
  payload: Meta;
  /** {@link payload} in a canonical form. */
  canonical: string;
  meta: Meta;
}

/** Presence of one room. `Channel` is whatever tells one tracking channel from another. */
export class PresenceRoom<Channel> {
  #tracked = new Map<Channel, Tracked>();

  /** Whether nobody is tracked. */
  get isEmpty(): boolean {
    return this.#tracked.size === 0;
  }

  /** Sets what a channel tracks; undefined when it did so already. */
  track(channel: Channel, key: string, payload: Meta): PresenceDiff | undefined {
    const before = this.#tracked.get(channel);
    const canonical = canonicalJson(payload);
    if (before?.canonical === canonical && before.key === key) return undefined;
    const meta: Meta = { ...payload, phx_ref: newRef() };
    delete meta.phx_ref_prev;
    if (before) meta.phx_ref_prev = before.meta.phx_ref;
    this.#tracked.set(channel, { key, payload, canonical, meta });
    return { joins: only(key, meta), leaves: before ? only(before.key, before.meta) : none() };
  }

  /** Forgets what a channel tracks; undefined when it tracked nothing. */
  untrack(channel: Channel): PresenceDiff | undefined {
    const before = this.#tracked.get(channel);
    if (!before) return undefined;
    this.#tracked.delete(channel);
    return { joins: none(), leaves: only(before.key, before.meta) };
  }

  /** Everybody who is present, in the order in which they came. */
  state(): PresenceState {
    const state = none();
    for (const { key, meta } of this.#tracked.values()) {
      (state[key] ??= { metas: [] }).metas.push(meta);
    }
    return state;
  }
}

/** A key may be any text, also the name of what every object inherits. */
function none(): PresenceState {
  return Object.create(null);
}

function only(key: string, meta: Meta): PresenceState {
  const state = none();
  state[key] = { metas: [meta] };
  return state;
}

/** The same text for equal values, whatever the order of their keys. */
function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  const entries = Object.entries(value).toSorted(([a], [b]) => a < b ? -1 : 1);
  return `{${
    entries.map(([key, part]) => `${JSON.stringify(key)}:${canonicalJson(part)}`).join()
  }}`;
}

let refs = 0;
/** Tells the references of this process from those of the one before it. */
const RUN = crypto.getRandomValues(new Uint8Array(6)).toBase64({ alphabet: "base64url" });

function newRef(): string {
  return `${RUN}${(refs++).toString(36)}`;
}
