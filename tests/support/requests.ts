// Requests as no client library would send them, and how their answers compare.

import { testEnv } from "./env.ts";

/** An answer that has been read. */
export interface Answer {
  status: number;
  /** The JSON value, or the text where it is none. */
  // deno-lint-ignore no-explicit-any -- tests look into whatever came
  body: any;
  headers: Headers;
}

/** A request to the gateway. */
export interface RawRequest extends Omit<RequestInit, "headers"> {
  /** Access token; without it the API key stands for nobody. */
  token?: string;
  headers?: Record<string, string>;
}

/** Sends a request with the publishable key; a body is JSON unless `headers` say otherwise. */
export async function send(path: string, request: RawRequest = {}): Promise<Answer> {
  const { token, headers, ...init } = request;
  const { url, publishableKey } = testEnv();
  const response = await fetch(url + path, {
    ...init,
    headers: {
      apikey: publishableKey,
      ...token && { authorization: `Bearer ${token}` },
      ...init.body && { "content-type": "application/json" },
      ...headers,
    },
  });
  const text = await response.text();
  return { status: response.status, body: toJson(text), headers: response.headers };
}

function toJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Status and body of an answer without what differs between any two: request id and time. */
export function comparable({ status, body }: Answer): unknown {
  if (typeof body !== "object" || body === null || !("success" in body)) return { status, body };
  const { timestamp: _, error, ...rest } = body;
  if (!error) return { status, body: rest };
  const { request_id: __, ...what } = error;
  return { status, body: { ...rest, error: what } };
}

/** Status and code of a refusal, whichever part of the stack it comes from. */
export function refusalOf({ status, body }: Answer): [status: number, code: string] {
  const { error, code, message } = body ?? {};
  // SQL raises PTnnn with the product's code as message.
  return [status, error?.code ?? (/^PT\d{3}$/.test(code) ? message : code)];
}
