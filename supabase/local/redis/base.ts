// Where Redis answers, apart from Redis itself, for those who only name its address.

/** Path of Redis below the stack's address. */
export const REDIS_BASE = "/redis";
