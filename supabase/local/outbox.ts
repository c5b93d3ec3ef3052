// The outbox of the embedded stack: nothing is sent, everything is kept and can be read back at
// `GET /_local/outbox`, newest last.

/** One message that a hosted stack would have sent. */
export interface OutboxMessage {
  /** Number in order of arrival, from 1. */
  id: number;
  /** Kind of channel. */
  channel: "email" | "sms" | "push";
  to: string;
  subject: string;
  /** Plain text. */
  text: string;
  /** Which double took it, and its id there; what Auth sends has none. */
  provider?: string;
  ref?: string;
  /** Of a push: what a device shows once. */
  tag?: string;
  /** Of a push to a browser: how much it matters. */
  urgency?: string;
  /** ISO 8601, UTC. */
  sent_at: string;
}

/** Keeps the newest messages in memory. */
export class Outbox {
  #messages: OutboxMessage[] = [];
  #next = 1;

  constructor(readonly capacity = 1000) {}

  /** Takes a message in place of sending it. */
  add(message: Omit<OutboxMessage, "id" | "sent_at">): void {
    this.#messages.push({ id: this.#next++, ...message, sent_at: new Date().toISOString() });
    if (this.#messages.length > this.capacity) this.#messages.shift();
  }

  /** Messages in order of arrival, optionally only those to one address. */
  list(to?: string): OutboxMessage[] {
    return this.#messages.filter((message) => to === undefined || message.to === to);
  }
}
