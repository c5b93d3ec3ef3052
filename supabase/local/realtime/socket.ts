// One connection: takes frames, handles them strictly one after the other, and sends what its channels
// have to say. A client that does not read is cut; nothing that a client sends ends the process.

import { describeError } from "../log_errors.ts";
import { Channel, JoinFault, joinReason, type Line } from "./channel.ts";
import { decodeFrame, encodeText, type Frame, type Inbound, isLonger, type Vsn } from "./frames.ts";
import type { Hub } from "./hub.ts";
import { type JoinConfig, parseJoin } from "./join.ts";
import type { Identity } from "./tokens.ts";

/** What a socket stands on; a WebSocket is one. */
export interface Wire {
  send: (data: Frame) => void;
  close: (code?: number, reason?: string) => void;
  /** Bytes that wait for the client to read. */
  readonly bufferedAmount: number;
}

/** Why the server closes, as a code of RFC 6455 and a reason. */
const SILENT = [1001, "No message for too long"] as const;
const TOO_MANY_JOINS = [1001, "Too many joins per second"] as const;
const FRAME_TOO_LARGE = [1009, "Frame is too large"] as const;
const FLOOD = [1008, "Too many messages wait for an answer"] as const;
const SLOW = [1013, "Client reads too slowly"] as const;
/** The stack stops, or starts again. */
export const RESTART = [1012, "Service restart"] as const;

/** One connection. */
export class Socket implements Line {
  readonly vsn: Vsn;
  readonly identity: Identity;
  readonly headers: Record<string, string>;
  readonly #hub: Hub;
  readonly #wire: Wire;
  readonly #onEnd: () => void;
  #channels = new Map<string, Channel>();
  #isOpen = true;
  #queue: { message: Inbound; bytes: number }[] = [];
  #queuedBytes = 0;
  #isBusy = false;
  /** When something came last, and since when there has been no channel. */
  #heardAt: number;
  #emptySince: number;

  constructor(
    hub: Hub,
    wire: Wire,
    options: { vsn: Vsn; identity: Identity; headers: Record<string, string>; onEnd: () => void },
  ) {
    this.#hub = hub;
    this.#wire = wire;
    this.vsn = options.vsn;
    this.identity = options.identity;
    this.headers = options.headers;
    this.#onEnd = options.onEnd;
    this.#heardAt = this.#emptySince = performance.now();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Takes a frame from the client. */
  receive(data: Frame): void {
    if (!this.#isOpen) return;
    const { maxFrameBytes, maxQueuedBytes } = this.#hub.settings;
    this.#heardAt = performance.now();
    const tooLong = typeof data === "string"
      ? isLonger(data, maxFrameBytes)
      : data.length > maxFrameBytes;
    if (tooLong) return this.cut(FRAME_TOO_LARGE);
    const message = decodeFrame(this.vsn, data);
    if (!message) return;
    this.#queue.push({ message, bytes: data.length });
    this.#queuedBytes += data.length;
    if (!this.#isBusy) this.#handleAll();
    else if (this.#queuedBytes > maxQueuedBytes) this.cut(FLOOD);
  }

  async #handleAll(): Promise<void> {
    this.#isBusy = true;
    for (let next; this.#isOpen && (next = this.#queue.shift());) {
      this.#queuedBytes -= next.bytes;
      try {
        // What does not wait for the database does not wait at all.
        const handled = this.#handle(next.message);
        if (handled) await handled;
      } catch (error) {
        console.error(`Realtime: A channel failed: ${describeError(error)}`);
        this.#channels.get(next.message.topic)?.crash();
      }
    }
    this.#isBusy = false;
  }

  #handle(message: Inbound): Promise<void> | void {
    const { topic, event, joinRef } = message;
    if (topic === "phoenix" && event === "heartbeat") return this.#reply(message, "ok", {});
    if (event === "phx_join") return this.#join(message);
    const channel = this.#channels.get(topic);
    const isCurrent = channel && (joinRef === null || joinRef === channel.joinRef);
    if (event === "phx_leave") {
      this.#reply(message, "ok", {});
      if (isCurrent) channel.close();
      return;
    }
    if (!isCurrent) return this.#reply(message, "error", { reason: "unmatched topic" });
    return channel.handle(message);
  }

  async #join(message: Inbound): Promise<void> {
    const { topic } = message;
    if (!topic.startsWith("realtime:")) {
      return this.#reply(message, "error", { reason: "unmatched topic" });
    }
    this.#channels.get(topic)?.close();
    const config = parseJoin(message.payload);
    try {
      if (topic === "realtime:") {
        throw new JoinFault("TopicNameRequired", "You must provide a topic name");
      }
      this.#checkLimits(config);
      const channel = new Channel(this.#hub, this, message, config);
      this.#channels.set(topic, channel);
      try {
        await channel.open(message.ref);
      } catch (error) {
        channel.end();
        throw error;
      }
    } catch (error) {
      this.#refuseJoin(message, joinReason(error));
      if (error instanceof TooManyJoins) this.cut(TOO_MANY_JOINS);
    }
  }

  #checkLimits({ isPrivate }: JoinConfig): void {
    const { privateOnly, maxUsers, maxChannels } = this.#hub.settings;
    if (this.#hub.isStopping()) {
      throw new JoinFault("RealtimeRestarting", "Realtime is restarting, please standby");
    }
    if (privateOnly && !isPrivate) {
      throw new JoinFault("PrivateOnly", "This project only allows private channels");
    }
    if (maxUsers > 0 && this.#hub.users() > maxUsers) {
      throw new JoinFault("ConnectionRateLimitReached", "Too many connected users");
    }
    if (!this.#hub.joins.add()) throw new TooManyJoins();
    if (this.#channels.size >= maxChannels) {
      throw new JoinFault("ChannelRateLimitReached", "Too many channels");
    }
  }

  #refuseJoin(message: Inbound, reason: string): void {
    const refuse = () => this.#reply(message, "error", { reason });
    const wait = this.#hub.settings.joinErrorDelayMs;
    if (wait === 0) refuse();
    else setTimeout(refuse, wait);
  }

  #reply({ joinRef, ref, topic }: Inbound, status: "ok" | "error", response: unknown): void {
    const payload = { status, response };
    this.send(encodeText(this.vsn, { joinRef, ref, topic, event: "phx_reply", payload }));
  }

  forget(channel: Channel): void {
    if (this.#channels.get(channel.topic) === channel) this.#channels.delete(channel.topic);
    if (this.#channels.size === 0) this.#emptySince = performance.now();
  }

  /** Sends a frame, or cuts a client that has not read what was sent before. */
  send(frame: Frame): void {
    if (!this.#isOpen) return;
    if (this.#wire.bufferedAmount > this.#hub.settings.maxBufferedBytes) return this.cut(SLOW);
    try {
      this.#wire.send(frame);
    } catch {
      this.end(); // closing already; the event has not come yet
    }
  }

  /** Closes a socket that is silent, or has had no channel for too long. */
  checkIdle(): void {
    const { silenceMs, channellessMs } = this.#hub.settings;
    const now = performance.now();
    if (now - this.#heardAt > silenceMs) return this.cut(SILENT);
    if (this.#channels.size === 0 && now - this.#emptySince > channellessMs) this.cut();
  }

  /** Closes the connection. */
  cut([code, reason]: readonly [code?: number, reason?: string] = []): void {
    if (!this.#isOpen) return;
    this.end();
    try {
      this.#wire.close(code, reason);
    } catch (error) {
      console.error(`Realtime: A socket was not closed: ${describeError(error)}`);
    }
  }

  /** The connection is gone, or as good as gone. */
  end(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#queue = [];
    this.#onEnd();
    // Not at once: a socket may be cut while a room that it is in is being told something.
    queueMicrotask(() => {
      for (const channel of [...this.#channels.values()]) channel.end();
    });
  }
}

/** More joins of all sockets than the project allows. */
class TooManyJoins extends JoinFault {
  constructor() {
    super("ClientJoinRateLimitReached", "Too many joins per second");
  }
}
