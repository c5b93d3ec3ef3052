// PUBLISH, and subscriptions as streams of server-sent events.

import { glob } from "./glob.ts";

interface Subscriber {
  /** What its events are called: `message`, or `pmessage` with the pattern before the channel. */
  matches: (channel: string) => boolean;
  send: (channel: string, text: string) => void;
}

/** Who listens. */
export class Channels {
  readonly #subscribers = new Set<Subscriber>();

  /** Sends a text to those who listen to the channel; answers how many. */
  publish(channel: string, text: string): number {
    const listening = [...this.#subscribers].filter(({ matches }) => matches(channel));
    for (const { send } of listening) send(channel, text);
    return listening.length;
  }

  /** A response that goes on until its reader, or the stack, ends. */
  subscribe(name: string, isPattern: boolean): Response {
    let subscriber: Subscriber;
    const stream = new ReadableStream<string>({
      start: (controller) => {
        const emit = (line: string) => controller.enqueue(`data: ${line}\n\n`);
        subscriber = isPattern
          ? {
            matches: glob(name),
            send: (channel, text) => emit(`pmessage,${name},${channel},${text}`),
          }
          : {
            matches: (channel) => channel === name,
            send: (channel, text) => emit(`message,${channel},${text}`),
          };
        this.#subscribers.add(subscriber);
        emit(`${isPattern ? "psubscribe" : "subscribe"},${name},1`);
      },
      cancel: () => {
        this.#subscribers.delete(subscriber);
      },
    });
    return new Response(stream.pipeThrough(new TextEncoderStream()), {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  }
}
