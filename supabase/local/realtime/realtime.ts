// `/realtime/v1` of the embedded stack: hosted Supabase's Realtime, so that the unmodified client joins
// channels, broadcasts, is present and hears of the database. Sockets upgrade at `/websocket`;
// broadcasts over HTTP are below `/api`.

import { Hono } from "hono";
import type { Part, Peer, StackContext } from "../context.ts";
import { describeError } from "../log_errors.ts";
import { Authorizer } from "./authorize.ts";
import { broadcastRoutes } from "./broadcast_routes.ts";
import { createChanges } from "./changes.ts";
import { DatabaseFeed } from "./database_feed.ts";
import type { Frame, Vsn } from "./frames.ts";
import { frameOf, type Hub } from "./hub.ts";
import { Rate } from "./rates.ts";
import { readReplay } from "./replay.ts";
import { roomKey, Rooms } from "./rooms.ts";
import { DEFAULT_SETTINGS, type RealtimeSettings } from "./settings.ts";
import { RESTART, Socket } from "./socket.ts";
import { createVerifier, type Identity, TokenFault } from "./tokens.ts";

/** Realtime of one stack. */
export interface Realtime {
  /** Answers every request; one that upgrades must be given as the server made it. */
  part: Part;
  /** What is open now. */
  counts: () => { sockets: number; rooms: number };
  /** Closes every socket, and what stands behind them; resolves when the clients have gone. */
  close: () => Promise<void>;
}

/** Partitions of realtime.messages are made and dropped so often. */
const PARTITIONS_MS = 4 * 3600_000;

/** Builds Realtime; resolves when messages from the database are delivered. */
export async function createRealtime(
  context: StackContext,
  options: Partial<RealtimeSettings> = {},
): Promise<Realtime> {
  const settings = { ...DEFAULT_SETTINGS, ...options };
  const sockets = new Set<Socket>();
  /** Sockets whose connection has not ended yet. */
  const underWay = new Set<Promise<void>>();
  let stopping = false;
  await rollPartitions(context);

  const feed = new DatabaseFeed(context.admin, context.adminUrl, {
    message: (row) => hub.rooms.broadcast(roomKey(row.topic, row.private), frameOf(row)),
    // Whoever joins again knows that something may have been missed.
    gap: () => {
      for (const channel of [...hub.rooms.all()]) channel.crash();
    },
  });
  const hub: Hub = {
    settings,
    now: context.now,
    rooms: new Rooms(),
    authorizer: new Authorizer(context.admin),
    verifier: createVerifier(context),
    changes: createChanges(context),
    feedReady: () => feed.ready,
    replay: (topic, wish) => readReplay(context.admin, topic, wish),
    joins: new Rate(context.now, settings.maxJoinsPerSecond),
    messages: new Rate(context.now, settings.maxMessagesPerSecond),
    presences: new Rate(context.now, settings.maxPresencePerSecond),
    users: () => sockets.size,
    isStopping: () => stopping,
  };

  const upgrade = async (request: Request, peer: Peer): Promise<Response> => {
    const refusal = await refuse(hub, request);
    if (refusal instanceof Response) {
      await new Promise((resolve) => setTimeout(resolve, settings.refusalDelayMs));
      return refusal;
    }
    const upgraded = tryUpgrade(request);
    if (!upgraded) return Response.json({ error: "Malformed upgrade" }, { status: 400 });
    const { socket: wire, response } = upgraded;
    wire.binaryType = "arraybuffer";
    wire.onopen = () => {
      const gone = Promise.withResolvers<void>();
      underWay.add(gone.promise);
      const socket = new Socket(hub, wire, {
        ...refusal,
        headers: headersOf(request, peer),
        onEnd: () => sockets.delete(socket),
      });
      sockets.add(socket);
      wire.onmessage = ({ data }) => socket.receive(asFrame(data));
      wire.onclose = () => {
        socket.end();
        underWay.delete(gone.promise);
        gone.resolve();
      };
      if (stopping) socket.cut(RESTART);
    };
    wire.onerror = () => {}; // the close that follows says all there is to say
    return response;
  };

  const idle = setInterval(() => {
    for (const socket of [...sockets]) socket.checkIdle();
  }, Math.min(Math.max(settings.silenceMs / 10, 50), 5000));
  const partitions = setInterval(() => {
    rollPartitions(context).catch((error) => {
      console.error(`Realtime: Partitions were not made: ${describeError(error)}`);
    });
  }, PARTITIONS_MS);
  for (const timer of [idle, partitions]) Deno.unrefTimer(timer);

  const app = new Hono<{ Bindings: Peer }>().basePath("/realtime/v1");
  app.get("/websocket", (c) => {
    const isUpgrade = c.req.header("upgrade")?.toLowerCase() === "websocket";
    return isUpgrade ? upgrade(c.req.raw, c.env) : c.text("Upgrade Required", 426);
  });
  app.route("/api", broadcastRoutes(hub, headersOf));
  app.notFound((c) => c.json({ message: "Not Found" }, 404));

  const close = async () => {
    stopping = true;
    clearInterval(idle);
    clearInterval(partitions);
    for (const socket of [...sockets]) socket.cut(RESTART);
    await Promise.all(underWay);
    await hub.changes.close();
    await feed.close();
  };
  try {
    await feed.ready;
  } catch (error) {
    await close();
    throw error;
  }
  return {
    part: (request, peer) => app.fetch(request, peer),
    counts: () => ({ sockets: sockets.size, rooms: hub.rooms.size }),
    close,
  };
}

/** Undefined when the request asks for it in a way that no server can answer. */
function tryUpgrade(request: Request): Deno.WebSocketUpgrade | undefined {
  try {
    // Deno's own pings would close a client that answers none; silence is judged by the socket.
    return Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** Whom a socket is for and how it speaks, or why it is refused. */
async function refuse(
  hub: Hub,
  request: Request,
): Promise<Response | { identity: Identity; vsn: Vsn }> {
  const answer = (status: number, error: string) => Response.json({ error }, { status });
  const { searchParams } = new URL(request.url);
  const { enabled, maxUsers } = hub.settings;
  if (hub.isStopping()) return answer(500, "Error connecting to Realtime");
  if (!enabled) return answer(403, "Realtime was disabled for this tenant");
  const vsn = searchParams.get("vsn") ?? "1.0.0";
  if (vsn !== "1.0.0" && vsn !== "2.0.0") return answer(400, "Unknown vsn");
  const token = request.headers.get("x-api-key") ?? searchParams.get("apikey");
  if (!token) return answer(401, "API key is missing");
  if (maxUsers > 0 && hub.users() >= maxUsers) return answer(429, "Too many connected users");
  if (hub.joins.isOver()) return answer(429, "Too many joins per second");
  try {
    return { identity: await hub.verifier.verify(token), vsn };
  } catch (error) {
    if (!(error instanceof TokenFault)) throw error;
    // The one text that is shorter here than for a channel.
    return answer(401, error.message.replace(/^(Token has expired).*/, "$1"));
  }
}

/** The headers that policies may see: `x-…`, but no credentials. */
function headersOf(request: Request, peer?: Peer): Record<string, string> {
  const headers = [...request.headers].filter(([name]) => /^x-(?!api-key$)/.test(name));
  return {
    ...Object.fromEntries(headers),
    // Written over what the client claims; over HTTP the gateway has done so.
    ...(peer ? { "x-forwarded-for": peer.address } : {}),
  };
}

function asFrame(data: string | ArrayBuffer): Frame {
  return typeof data === "string" ? data : new Uint8Array(data);
}

async function rollPartitions({ admin }: StackContext): Promise<void> {
  await admin`select _realtime.roll_partitions()`;
}
