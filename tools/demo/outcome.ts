// One shape for what the client libraries answer: data, or a refusal with its status and code.

import { FunctionsHttpError, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../functions/_shared/database.types.ts";

/** The client of one person. */
export type Client = SupabaseClient<Database>;

/** What came back. */
export interface Outcome<T> {
  data: T | null;
  /** Status and code, for example `404 not_found`; null when the request was granted. */
  refusal: string | null;
  /** Why, in a sentence; empty when granted. */
  detail: string;
}

/** What the data API answers to supabase-js. */
interface RestAnswer {
  data: unknown;
  status: number;
  error: { code: string; message: string; details: string | null } | null;
}

/** Waits for an answer of the data API. SQL raises PTnnn with the product's code as its message. */
export async function outcome<A extends RestAnswer>(
  request: PromiseLike<A>,
): Promise<Outcome<A["data"]>> {
  const { data, status, error } = await request;
  if (!error) return { data, refusal: null, detail: "" };
  const isOurs = /^PT\d{3}$/.test(error.code);
  return {
    data: null,
    refusal: `${status} ${isOurs ? error.message : error.code}`,
    detail: (isOurs ? error.details : error.message) ?? "",
  };
}

/** The data of an answer on which the rest of the story stands. */
export async function granted<A extends RestAnswer>(
  request: PromiseLike<A>,
): Promise<NonNullable<A["data"]>> {
  const { data, refusal, detail } = await outcome(request);
  if (data === null || data === undefined) {
    throw new Error(`The story cannot go on: ${refusal ?? "no data"} ${detail}`);
  }
  return data;
}

/**
 * Calls the function `records` as supabase-js does.
 *
 * @param path Path below the function, for example `import`.
 * @param body JSON text, or a value to be sent as JSON.
 */
export function callRecords<T>(
  client: Client,
  path: string,
  body: string | object = {},
): Promise<Outcome<T>> {
  return callFunction(client, "POST", `records/${path}`, body);
}

/** As {@link callRecords}, for any function and method; the path begins with the function's name. */
export async function callFunction<T>(
  client: Client,
  method: "POST" | "PUT" | "PATCH",
  path: string,
  body: string | object,
): Promise<Outcome<T>> {
  const { data, error } = await client.functions.invoke(path, {
    method,
    body: typeof body === "string" ? body : JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });
  if (!error) return { data: data.data, refusal: null, detail: "" };
  if (!(error instanceof FunctionsHttpError)) throw error;
  const response: Response = error.context;
  const { error: { code, message } } = await response.json();
  return { data: null, refusal: `${response.status} ${code}`, detail: message };
}
