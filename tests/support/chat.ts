// People who talk: conversations through the unmodified client, and what each hears on its channel.

import type { RealtimeChannel, SupabaseClient } from "@supabase/supabase-js";
import { newPerson, type Person } from "./auth.ts";
import { must } from "./people.ts";
import { broadcastsOf, Heard, type HeardBroadcast, inTime, Statuses } from "./realtime.ts";

/** A conversation as start_conversation answers it. */
export interface Conversation {
  id: string;
  topic: string;
}

/** A message as clients have it. */
export interface ChatMessage {
  id: number;
  seq: number;
  conversation_id: string;
  sender_id: string;
  content: string | null;
}

/** Somebody whose public face all may see, so that they can be talked to. */
export async function newTalker(display_name: string): Promise<Person> {
  const person = await newPerson({ display_name });
  await must(
    person.client.from("profiles").update({ is_public: true }).eq("id", person.id).select(),
  );
  return person;
}

/** Starts a conversation. */
export async function start(
  { client }: Person,
  others: Person[],
  kind = "direct",
): Promise<Conversation> {
  return await must(client.rpc("start_conversation", {
    p_participant_ids: others.map(({ id }) => id),
    p_kind: kind,
  })) as Conversation;
}

/** Writes to a conversation. */
export async function say(
  { client }: { client: SupabaseClient },
  { id }: { id: string },
  content: string,
  client_id: string = crypto.randomUUID(),
): Promise<ChatMessage> {
  return await must(client.rpc("send_message", {
    p_conversation_id: id,
    p_content: content,
    p_client_id: client_id,
  })) as ChatMessage;
}

/** Sends an image of five bytes that lies in the bucket. */
export function attach(
  { client }: Person,
  { id }: Conversation,
  path: string,
  client_id: string = crypto.randomUUID(),
) {
  return client.rpc("send_message", {
    p_conversation_id: id,
    p_content: null,
    p_client_id: client_id,
    p_kind: "image",
    p_metadata: { path, mime: "image/png", size: 5 },
  });
}

/** What somebody lists of a conversation, oldest first. */
export async function contentsFor(
  { client }: Person,
  { id }: { id: string },
): Promise<(string | null)[]> {
  const rows = await must(client.rpc("list_messages", { p_conversation_id: id }));
  return (rows as ChatMessage[]).map(({ content }) => content).reverse();
}

/** A private channel that somebody has joined, and what it has heard. */
export class Listening {
  private constructor(
    readonly channel: RealtimeChannel,
    readonly statuses: Statuses,
    readonly heard: Heard<HeardBroadcast>,
    readonly presence: Heard<string[]>,
  ) {}

  /** Asks to join; wait for a status to know what came of it. */
  static async ask(
    { client, id }: Person,
    topic: string,
    replay?: { since: number },
  ): Promise<Listening> {
    await client.realtime.setAuth();
    const channel = client.channel(topic, {
      config: { private: true, broadcast: { ack: true, replay }, presence: { key: id } },
    });
    const heard = broadcastsOf(channel);
    const presence = new Heard<string[]>();
    channel.on(
      "presence",
      { event: "sync" },
      () => presence.add(Object.keys(channel.presenceState()).sort()),
    );
    return new Listening(channel, new Statuses(channel), heard, presence);
  }

  /** Joins. */
  static async join(
    person: Person,
    topic: string,
    replay?: { since: number },
  ): Promise<Listening> {
    const listening = await Listening.ask(person, topic, replay);
    await listening.statuses.next("SUBSCRIBED");
    return listening;
  }

  /** The first broadcast of an event, the `count`-th of it. */
  async event(name: string, count = 1): Promise<HeardBroadcast> {
    for (let i = 1;; i++) {
      await this.heard.first(i);
      const found = this.heard.all.filter(({ event }) => event === name)[count - 1];
      if (found) return found;
    }
  }

  /** Waits until exactly these are present. */
  async present(...people: Person[]): Promise<void> {
    const wanted = people.map(({ id }) => id).sort().join();
    await inTime(
      (async () => {
        for (let i = 1;; i++) {
          const states = await this.presence.first(i);
          if (states.at(-1)!.join() === wanted) return;
        }
      })(),
      `the presence of ${people.length}`,
    );
  }

  /** Names of what was heard, in order. */
  get events(): string[] {
    return this.heard.all.map(({ event }) => event);
  }
}

/** Registers a test in which sockets are used, whose timers outlive their end. */
export function chatTest(name: string, work: (people: People) => Promise<void>): void {
  Deno.test({
    name,
    fn: async () => {
      const people = new People();
      try {
        await work(people);
      } finally {
        await people.hangUp();
      }
    },
    sanitizeOps: false,
    sanitizeResources: false,
  });
}

/** Those of one test, whose sockets close with it. */
export class People {
  #all: Person[] = [];

  /** Remembers somebody. */
  know<P extends Person>(person: P): P {
    this.#all.push(person);
    return person;
  }

  /** Makes talkers. */
  async talkers<Names extends string[]>(
    ...names: Names
  ): Promise<{ [K in keyof Names]: Person }> {
    const made = await Promise.all(names.map(newTalker));
    return made.map((person) => this.know(person)) as { [K in keyof Names]: Person };
  }

  async hangUp(): Promise<void> {
    await Promise.all(this.#all.map(({ client }) => client.realtime.disconnect()));
  }
}
