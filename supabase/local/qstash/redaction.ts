// Hides what a publisher wants hidden wherever messages are listed: `Upstash-Redact-Fields` names the
// body, all headers, or one header. What is delivered is untouched.

import { createHash } from "node:crypto";

/** What is shown of a message. */
export interface Shown {
  headers: Record<string, string>;
  body: Uint8Array<ArrayBuffer>;
}

/**
 * Puts a digest in the place of what is to be hidden.
 *
 * @param fields Names in lower case: `body`, `header`, `header[name]`.
 */
export function redact({ headers, body }: Shown, fields: string[]): Shown {
  const hidesHeader = (name: string) =>
    fields.includes("header") || fields.includes(`header[${name}]`);
  return {
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name,
        hidesHeader(name) ? digest(value) : value,
      ]),
    ),
    body: fields.includes("body") ? new TextEncoder().encode(digest(body)) : body,
  };
}

function digest(value: string | Uint8Array): string {
  return `REDACTED:${createHash("sha256").update(value).digest("hex")}`;
}
