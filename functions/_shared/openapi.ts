// OpenAPI 3.1 from the routes themselves: `validate` and `describe` leave their schemas on the
// middleware that they make, and `buildDocument` collects them from the app.

import type { Hono, MiddlewareHandler } from "hono";
import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from "zod-openapi";
import type { AppEnv } from "./app.ts";
import { Failure, successOf } from "./envelope.ts";
import { type ProblemCode, PROBLEMS } from "./errors.ts";

/** What a route does, for readers of its documentation. */
export interface RouteDescription {
  summary: string;
  description?: string;
  /** Schema of `data` in the success envelope; left out when the route answers something else. */
  data?: z.ZodType;
  /** Codes that only this route may answer, beside those that every route may. */
  problems?: ProblemCode[];
  /** Open to everybody, without a token. */
  is_public?: boolean;
  /** For jobs: open to the secret key, and to no token. */
  needs_secret_key?: boolean;
  /** A body that the route reads itself, by content type. */
  bodies?: Record<string, z.ZodType>;
  /** What a success answers without the envelope, by content type. */
  answers?: Record<string, z.ZodType>;
}

interface ValidatedPart {
  target: "json" | "query" | "param";
  schema: z.ZodObject;
}

const PARTS = new WeakMap<object, ValidatedPart>();
const DESCRIPTIONS = new WeakMap<object, RouteDescription>();

/** Remembers, for the document, what a middleware validates. */
export function documented<M extends object>(middleware: M, part: ValidatedPart): M {
  PARTS.set(middleware, part);
  return middleware;
}

/** Describes the route it is put on; does nothing when a request comes. */
export function describe(description: RouteDescription): MiddlewareHandler<AppEnv> {
  const middleware: MiddlewareHandler<AppEnv> = (_c, next) => next();
  DESCRIPTIONS.set(middleware, description);
  return middleware;
}

/** Codes that every route with a caller may answer. */
const COMMON_PROBLEMS: ProblemCode[] = [
  "invalid_request",
  "unauthenticated",
  "payload_too_large",
  "unsupported_media_type",
  "rate_limited",
  "internal",
  "unavailable",
];
const PUBLIC_PROBLEMS: ProblemCode[] = ["rate_limited", "internal"];

/** Builds the document of every route of an app that is described. */
export function buildDocument(app: Hono<AppEnv>, title: string, serverUrl: string) {
  const paths: ZodOpenApiPathsObject = {};
  for (const { path, method, handler } of app.routes) {
    const description = DESCRIPTIONS.get(handler);
    if (!description) continue;
    const handlers = app.routes.filter((other) => other.path === path && other.method === method);
    const parts = handlers.flatMap((other) => PARTS.get(other.handler) ?? []);
    const template = path.replace(/:(\w+)(\{[^/]*\})?/g, "{$1}");
    paths[template] = {
      ...paths[template],
      [method.toLowerCase()]: toOperation(description, parts),
    };
  }
  return createDocument({
    openapi: "3.1.0",
    info: { title, version: "1.0.0" },
    servers: [{ url: serverUrl }],
    paths,
    components: {
      securitySchemes: {
        user: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        secret_key: { type: "apiKey", in: "header", name: "apikey" },
      },
    },
  });
}

function toOperation(
  { summary, description, is_public, needs_secret_key, data, bodies, answers, problems = [] }:
    RouteDescription,
  parts: ValidatedPart[],
): ZodOpenApiOperationObject {
  const schemaOf = (target: ValidatedPart["target"]) =>
    parts.find((part) => part.target === target)?.schema;
  const json = schemaOf("json");
  const content = bodies ?? (json && { "application/json": json });
  const [path, query] = [schemaOf("param"), schemaOf("query")];
  return {
    summary,
    description,
    security: is_public ? [] : [needs_secret_key ? { secret_key: [] } : { user: [] }],
    requestParams: { ...path && { path }, ...query && { query } },
    requestBody: content && {
      required: bodies !== undefined || !json?.safeParse({}).success,
      content: toContent(content),
    },
    responses: {
      200: {
        description: "Success",
        content: toContent(
          answers ?? { "application/json": data ? successOf(data) : z.looseObject({}) },
        ),
      },
      ...failures([...is_public ? PUBLIC_PROBLEMS : COMMON_PROBLEMS, ...problems]),
    },
  };
}

/** Schemas by content type, as the document has them. */
function toContent(schemas: Record<string, z.ZodType>) {
  return Object.fromEntries(Object.entries(schemas).map(([type, schema]) => [type, { schema }]));
}

/** One response a status, naming the codes that it may carry. */
function failures(codes: ProblemCode[]) {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, known]) => [
      String(status),
      { description: known.join(", "), content: { "application/json": { schema: Failure } } },
    ]),
  );
}
