// What the queue refuses: a status, and a sentence that the client makes the message of its error.

/** A refusal that the caller can act on; anything else thrown becomes a 500 without details. */
export class QStashError extends Error {
  override readonly name = "QStashError";

  constructor(readonly status: number, message: string) {
    super(message);
  }

  /** The response for it. */
  toResponse(): Response {
    return Response.json({ error: this.message }, { status: this.status });
  }
}

export const invalid = (message: string) => new QStashError(400, message);

export const notFound = (what: string) => new QStashError(404, `${what} not found`);

export const overLimit = (message: string) => new QStashError(412, message);
