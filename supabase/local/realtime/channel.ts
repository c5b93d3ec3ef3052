// One channel of one socket, from its join to its end: who it acts for, what it may read and write, and
// what it tracks. The socket hands it one message after the other, each when the one before is done.

import { describeError } from "../log_errors.ts";
import { type Extension, MissingPartition, type Subject } from "./authorize.ts";
import type { ChangeMessage, ChangeSubscription } from "./changes.ts";
import {
  encodeText,
  type Frame,
  type Inbound,
  isLonger,
  isObject,
  SharedFrame,
  type Vsn,
} from "./frames.ts";
import { countMessages, frameOf, type Hub } from "./hub.ts";
import type { JoinConfig } from "./join.ts";
import type { PresenceDiff } from "./presence.ts";
import { parseReplay } from "./replay.ts";
import { type Member, roomKey } from "./rooms.ts";
import { type Identity, TokenFault } from "./tokens.ts";

/** What a channel needs of its socket. */
export interface Line {
  readonly vsn: Vsn;
  /** Of the connection; a channel without a token of its own acts for it. */
  readonly identity: Identity;
  /** The `x-…` headers of the upgrade. */
  readonly headers: Record<string, string>;
  readonly isOpen: boolean;
  send: (frame: Frame) => void;
  /** Forgets a channel that has ended. */
  forget: (channel: Channel) => void;
}

/** A join that is refused; the message is the reason that the client reads. */
export class JoinFault extends Error {
  override readonly name = "JoinFault";
  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
  }
}

/** One channel. */
export class Channel implements Member {
  readonly topic: string;
  readonly joinRef: string | null;
  readonly #subtopic: string;
  readonly #hub: Hub;
  readonly #line: Line;
  readonly #config: JoinConfig;
  readonly #room: string;
  #identity: Identity;
  #isClosed = false;
  #readable = new Set<Extension>();
  /** Whether an extension may be written; missing until it is asked for. */
  #writable = new Map<Extension, boolean>();
  #hasPresence: boolean;
  /** Times of the newest calls. */
  #presenceCalls: number[] = [];
  #tokenTimer: ReturnType<typeof setTimeout> | undefined;
  #changes: ChangeSubscription | undefined;
  /** Broadcasts that came while older ones were read to be replayed. */
  #held: SharedFrame[] | undefined;
  #replayed: Set<string> | undefined;

  constructor(hub: Hub, line: Line, request: Inbound, config: JoinConfig) {
    this.#hub = hub;
    this.#line = line;
    this.#config = config;
    this.#identity = line.identity;
    this.#hasPresence = config.presence;
    this.topic = request.topic;
    this.joinRef = request.joinRef ?? request.ref;
    this.#subtopic = request.topic.slice("realtime:".length);
    this.#room = roomKey(this.#subtopic, config.isPrivate);
  }

  /** @throws {JoinFault | TokenFault | MissingPartition} And what the database throws. */
  async open(ref: string | null): Promise<void> {
    const { token, isPrivate } = this.#config;
    if (token !== undefined) this.#identity = await this.#hub.verifier.verify(token);
    const fault = this.#hub.verifier.expired(this.#identity);
    if (fault) throw fault;
    if (isPrivate) {
      this.#readable = await this.#askReadable();
      if (this.#readable.size === 0) {
        throw new JoinFault(
          "Unauthorized",
          `You do not have permissions to read from this Channel topic: ${this.#subtopic}`,
        );
      }
    }
    const replayed = await this.#readReplay();
    if (this.#isClosed || !this.#line.isOpen) return this.end();
    this.#enter(ref, replayed);
  }

  /** Reads what is to be replayed; from before that on, nothing that is sent is missed. */
  async #readReplay(): Promise<SharedFrame[]> {
    const { replay, isPrivate } = this.#config;
    if (!replay) return [];
    const code = "UnableToReplayMessages";
    if (!isPrivate) throw new JoinFault(code, "Replay is not allowed for public channels");
    const wish = parseReplay(replay, this.#hub.now());
    if (!wish) throw new JoinFault(code, "Replay params are not valid");
    if (!this.#readable.has("broadcast")) return [];
    this.#held = [];
    this.#hub.rooms.enter(this.#room, this);
    try {
      const messages = await this.#hub.replay(this.#subtopic, wish);
      this.#replayed = new Set(messages.map(({ id }) => id));
      return messages.map((message) => frameOf(message, { replayed: true }));
    } catch (error) {
      console.error(`Realtime: Messages were not replayed: ${describeError(error)}`);
      throw new JoinFault(code, "Realtime was unable to replay messages");
    }
  }

  /** From here to the end nothing waits, so that no message comes between. */
  #enter(ref: string | null, replayed: SharedFrame[]): void {
    this.#hub.rooms.enter(this.#room, this);
    this.#reply(ref, "ok", { postgres_changes: this.#subscribeChanges() });
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const frame of replayed) this.#sendShared(frame);
    for (const frame of held) this.hearBroadcast(frame);
    if (this.#hasPresence) this.#sendPresenceState();
    this.#watchToken();
    this.#announceChanges();
    if (this.#config.replicationReady) this.#announceFeed();
  }

  /** Handles a message of the client's. */
  handle(message: Inbound): Promise<void> | void {
    switch (message.event) {
      case "broadcast":
        return this.#broadcast(message);
      case "presence":
        return this.#changePresence(message);
      case "access_token":
        return this.#takeToken(message.payload);
    }
    // Others are nobody's, and hosted Realtime answers nothing.
  }

  // Broadcast --------------------------------------------------------------------------------------

  #broadcast(message: Inbound): Promise<void> | void {
    if (!countMessages(this.#hub, 1)) return;
    const frame = this.#frameOfBroadcast(message);
    if (frame === undefined) return;
    if (frame === "too large") {
      if (this.#config.ack) this.#reply(message.ref, "error", "payload_size_exceeded");
      return;
    }
    const mayWrite = this.#config.isPrivate ? this.#writable.get("broadcast") : true;
    if (mayWrite !== undefined) return this.#spread(message, frame, mayWrite);
    return this.#askWritable("broadcast").then((answer) => this.#spread(message, frame, answer));
  }

  #frameOfBroadcast({ broadcast, payload }: Inbound): SharedFrame | "too large" | undefined {
    const limit = this.#hub.settings.maxPayloadBytes;
    if (broadcast) {
      if (broadcast.payload.length > limit) return "too large";
      return SharedFrame.broadcast(this.topic, broadcast, undefined);
    }
    if (!isObject(payload)) return undefined;
    if (isLonger(JSON.stringify(payload.payload ?? null), limit)) return "too large";
    return SharedFrame.text(this.topic, "broadcast", payload);
  }

  #spread({ ref }: Inbound, frame: SharedFrame, mayWrite: boolean): void {
    if (!mayWrite || this.#isClosed) return;
    const { self, ack } = this.#config;
    this.#hub.rooms.broadcast(this.#room, frame, self ? undefined : this);
    if (ack) this.#reply(ref, "ok", {});
  }

  hearBroadcast(frame: SharedFrame): void {
    if (this.#held) {
      this.#held.push(frame);
      return;
    }
    if (this.#config.isPrivate && !this.#readable.has("broadcast")) return;
    if (frame.id !== undefined && this.#replayed?.has(frame.id)) return;
    this.#sendShared(frame);
  }

  // Presence ---------------------------------------------------------------------------------------

  async #changePresence({ ref, payload }: Inbound): Promise<void> {
    if (!this.#mayCallPresence()) return this.shutDown("Client presence rate limit exceeded");
    if (!this.#hub.presences.add()) return this.shutDown("Too many presence messages per second");
    const call = isObject(payload) ? payload : {};
    const event = String(call.event).toLowerCase();
    if (event === "track") return await this.#track(ref, call.payload ?? {});
    if (event !== "untrack") return this.#reply(ref, "error", {});
    this.#announcePresence(this.#hub.rooms.presence(this.#room)?.untrack(this));
    this.#reply(ref, "ok", {});
  }

  async #track(ref: string | null, payload: unknown): Promise<void> {
    if (!isObject(payload)) {
      return this.#reply(ref, "error", { reason: "Presence track payload must be a map" });
    }
    if (this.#config.isPrivate && !await this.#mayTrack()) return this.#reply(ref, "error", {});
    if (this.#isClosed) return;
    if (isLonger(JSON.stringify(payload), this.#hub.settings.maxPayloadBytes)) {
      return this.shutDown("Track message size exceeded");
    }
    this.#reply(ref, "ok", {});
    if (!this.#hasPresence) {
      this.#hasPresence = true;
      this.#sendPresenceState();
    }
    const room = this.#hub.rooms.presence(this.#room);
    this.#announcePresence(room?.track(this, this.#config.presenceKey, payload));
  }

  /** Whether it may write; where presence was off at the join, reading is asked for as well. */
  async #mayTrack(): Promise<boolean> {
    if (!this.#hasPresence) {
      const asked = await this.#hub.authorizer.read(this.#subject, this.#subtopic, ["presence"]);
      if (asked.has("presence")) this.#readable.add("presence");
    }
    return this.#writable.get("presence") ?? await this.#askWritable("presence");
  }

  #mayCallPresence(): boolean {
    const { maxPresenceCalls, presenceWindowMs } = this.#hub.settings;
    const now = this.#hub.now();
    this.#presenceCalls = this.#presenceCalls.filter((time) => time > now - presenceWindowMs);
    this.#presenceCalls.push(now);
    return maxPresenceCalls === 0 || this.#presenceCalls.length <= maxPresenceCalls;
  }

  #announcePresence(diff: PresenceDiff | undefined): void {
    if (!diff) return;
    this.#hub.rooms.announce(this.#room, SharedFrame.text(this.topic, "presence_diff", diff));
  }

  hearPresence(frame: SharedFrame): void {
    // A channel that is being opened has no state yet that this could change.
    if (this.#held) return;
    if (this.#config.isPrivate && !this.#readable.has("presence")) return;
    this.#sendShared(frame);
  }

  #sendPresenceState(): void {
    if (this.#config.isPrivate && !this.#readable.has("presence")) return;
    this.#push("presence_state", this.#hub.rooms.presence(this.#room)?.state() ?? {});
  }

  // Rights -----------------------------------------------------------------------------------------

  get #subject(): Subject {
    return { identity: this.#identity, headers: this.#line.headers };
  }

  async #askReadable(): Promise<Set<Extension>> {
    // Also where presence may be read and not be written, which leaves it off.
    const asked: Extension[] = this.#hasPresence || this.#readable.has("presence")
      ? ["broadcast", "presence"]
      : ["broadcast"];
    return await this.#hub.authorizer.read(this.#subject, this.#subtopic, asked);
  }

  async #askWritable(extension: Extension): Promise<boolean> {
    const answer = await this.#hub.authorizer.write(this.#subject, this.#subtopic, extension);
    this.#writable.set(extension, answer);
    return answer;
  }

  async #takeToken(payload: unknown): Promise<void> {
    const token = isObject(payload) ? payload.access_token : undefined;
    if (typeof token !== "string" || token.startsWith("sb_")) return;
    if (token === this.#identity.token) return;
    try {
      this.#identity = await this.#hub.verifier.verify(token);
    } catch (error) {
      if (error instanceof TokenFault) return this.shutDown(error.message);
      throw error;
    }
    this.#writable.clear();
    if (this.#config.isPrivate) {
      const before = this.#readable;
      const now = this.#readable = await this.#askReadable();
      const topic = `from this Channel topic: ${this.#subtopic}`;
      if (!before.isSubsetOf(now)) {
        return this.shutDown(`You no longer have permission to read ${topic}`);
      }
      if (now.size === 0) return this.shutDown(`You do not have permissions to read ${topic}`);
    }
    if (this.#isClosed) return;
    this.#changes?.update(this.#changeSubscriber);
    this.#watchToken();
  }

  /** Looks at the token again when it expires, and now and then before. */
  #watchToken(): void {
    clearTimeout(this.#tokenTimer);
    if (this.#isClosed || this.#identity.expiresAt === Infinity) return;
    const left = this.#identity.expiresAt * 1000 - this.#hub.now();
    const wait = Math.max(Math.min(left, this.#hub.settings.tokenCheckMs), 10);
    this.#tokenTimer = setTimeout(() => {
      const fault = this.#hub.verifier.expired(this.#identity);
      if (fault) this.shutDown(fault.message);
      else this.#watchToken();
    }, wait);
  }

  // The database -----------------------------------------------------------------------------------

  get #changeSubscriber() {
    const { role, claims } = this.#identity;
    return { role, claims, headers: this.#line.headers };
  }

  /** Subscribes to changes of rows; answers the entries as they were sent, with their ids. */
  #subscribeChanges(): Record<string, unknown>[] {
    const entries = this.#config.changes;
    if (entries.length === 0) return [];
    const changes = this.#hub.changes.subscribe(
      entries.map(({ binding }) => binding),
      this.#changeSubscriber,
      (message) => this.#sendChange(message),
      (status, message) => this.#system("postgres_changes", status, message),
    );
    this.#changes = changes;
    return entries.map(({ sent }, i) => ({ ...sent, id: changes.ids[i] }));
  }

  #sendChange({ ids, data }: ChangeMessage): void {
    if (this.#isClosed) return;
    const payload = { ids, data };
    this.#send({ joinRef: null, ref: null, event: "postgres_changes", payload });
  }

  #announceChanges(): void {
    this.#changes?.ready.then(
      () => this.#system("postgres_changes", "ok", "Subscribed to PostgreSQL"),
      (error) => this.#system("postgres_changes", "error", String(error?.message)),
    );
  }

  #announceFeed(): void {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((_, reject) => {
      timer = setTimeout(reject, this.#hub.settings.feedTimeoutMs);
    });
    Promise.race([this.#hub.feedReady(), late]).then(
      () => this.#system("system", "ok", "Replication connection established"),
      () => this.shutDown("Replication connection was not established in time"),
    ).finally(() => clearTimeout(timer));
  }

  // The end ----------------------------------------------------------------------------------------

  /** Ends the channel in order; the client does not come back by itself. */
  shutDown(message: string): void {
    if (this.#isClosed) return;
    this.#system("system", "error", message);
    this.close();
  }

  /** Says that the channel is closed, and ends it. */
  close(): void {
    if (this.#isClosed) return;
    this.#send({ joinRef: this.joinRef, ref: this.joinRef, event: "phx_close", payload: {} });
    this.end();
  }

  /** Ends the channel so that the client joins again. */
  crash(): void {
    if (this.#isClosed) return;
    const payload = { reason: "channel_crash" };
    this.#send({ joinRef: this.joinRef, ref: this.joinRef, event: "phx_error", payload });
    this.end();
  }

  /** Leaves the room, and whatever else it is in; may be called again. */
  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#tokenTimer);
    this.#changes?.close();
    const diff = this.#hub.rooms.presence(this.#room)?.untrack(this);
    this.#hub.rooms.leave(this.#room, this);
    this.#line.forget(this);
    this.#announcePresence(diff);
  }

  // Sending ----------------------------------------------------------------------------------------

  #reply(ref: string | null, status: "ok" | "error", response: unknown): void {
    const payload = { status, response };
    this.#send({ joinRef: this.joinRef, ref, event: "phx_reply", payload });
  }

  #push(event: string, payload: unknown): void {
    this.#send({ joinRef: this.joinRef, ref: null, event, payload });
  }

  #system(extension: "system" | "postgres_changes", status: "ok" | "error", message: string): void {
    if (this.#isClosed) return;
    this.#push("system", { extension, status, message, channel: this.#subtopic });
  }

  #send(
    message: { joinRef: string | null; ref: string | null; event: string; payload: unknown },
  ): void {
    this.#line.send(encodeText(this.#line.vsn, { ...message, topic: this.topic }));
  }

  #sendShared(frame: SharedFrame): void {
    const encoded = frame.forVsn(this.#line.vsn);
    if (encoded !== undefined) this.#line.send(encoded);
  }
}

/** The reason that a client reads when its join fails. */
export function joinReason(error: unknown): string {
  if (error instanceof JoinFault) return error.message;
  if (error instanceof TokenFault) return `${error.code}: ${error.message}`;
  if (error instanceof MissingPartition) {
    return "MissingPartition: Realtime was unable to find the expected messages partition";
  }
  console.error(`Realtime: A join failed: ${describeError(error)}`);
  return "Unknown Error on Channel";
}
