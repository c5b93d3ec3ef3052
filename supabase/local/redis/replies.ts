// Replies of commands, and how they are written for the client.

/** A reply: a string, a number, nothing, or a list of replies. */
export type Reply = string | number | null | Reply[];

/** A refusal, in Redis's words. */
export class RedisError extends Error {
  override readonly name = "RedisError";
}

export const wrongType = () =>
  new RedisError("WRONGTYPE Operation against a key holding the wrong kind of value");
export const syntaxError = () => new RedisError("ERR syntax error");
export const notAnInteger = () => new RedisError("ERR value is not an integer or out of range");
export const notAFloat = () => new RedisError("ERR value is not a valid float");

/** Writes every string in base64, at any depth, but a lone OK; as the client asks for by default. */
export function encodeReply(reply: Reply): Reply {
  return reply === "OK" ? reply : encode(reply);
}

function encode(reply: Reply): Reply {
  if (typeof reply === "string") return new TextEncoder().encode(reply).toBase64();
  return Array.isArray(reply) ? reply.map(encode) : reply;
}
