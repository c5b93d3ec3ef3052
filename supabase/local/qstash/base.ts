// Where the queue answers, apart from the queue itself, for those who only name its address.

/** Path of the queue below the stack's address. */
export const QSTASH_BASE = "/qstash";
