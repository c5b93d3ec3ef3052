// Rooms: the channels that hear each other. A public and a private room of one name are two rooms.

import type { SharedFrame } from "./frames.ts";
import { PresenceRoom } from "./presence.ts";

/** What a room needs of a channel in it. */
export interface Member {
  /** Takes a broadcast, if this channel may read those. */
  hearBroadcast: (frame: SharedFrame) => void;
  /** Takes a change of presence, if this channel may read those. */
  hearPresence: (frame: SharedFrame) => void;
}

interface Room<M> {
  members: Set<M>;
  presence: PresenceRoom<M>;
}

/** Every room that has a member. */
export class Rooms<M extends Member> {
  #rooms = new Map<string, Room<M>>();

  /** Number of rooms. */
  get size(): number {
    return this.#rooms.size;
  }

  /** Adds a channel to a room. */
  enter(key: string, member: M): void {
    let room = this.#rooms.get(key);
    if (!room) this.#rooms.set(key, room = { members: new Set(), presence: new PresenceRoom() });
    room.members.add(member);
  }

  /** Takes a channel out of a room; what it tracked is to be untracked before. */
  leave(key: string, member: M): void {
    const room = this.#rooms.get(key);
    room?.members.delete(member);
    if (room?.members.size === 0) this.#rooms.delete(key);
  }

  /** Presence of a room that has a member. */
  presence(key: string): PresenceRoom<M> | undefined {
    return this.#rooms.get(key)?.presence;
  }

  /** Gives a broadcast to every channel of the room but one. */
  broadcast(key: string, frame: SharedFrame, except?: M): void {
    for (const member of this.#members(key)) {
      if (member !== except) member.hearBroadcast(frame);
    }
  }

  /** Gives a change of presence to every channel of the room. */
  announce(key: string, frame: SharedFrame): void {
    for (const member of this.#members(key)) member.hearPresence(frame);
  }

  /** Not a copy: a set may lose members while it is read, as it does when one of them is cut. */
  #members(key: string): Iterable<M> {
    return this.#rooms.get(key)?.members ?? [];
  }

  /** Every channel of every room. */
  *all(): Iterable<M> {
    for (const { members } of [...this.#rooms.values()]) yield* [...members];
  }
}

/** The room of a topic without its prefix. */
export function roomKey(subtopic: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"}:${subtopic}`;
}
