// A double of Firebase Cloud Messaging: the endpoint that gives tokens to service accounts, and
// `messages:send` of HTTP v1.

import { importSPKI, jwtVerify } from "jose";
import type { Outbox } from "../outbox.ts";
import { Double, type DoubleAnswer, HANG_UP, retryAfter } from "./double.ts";

/** The service account that the double knows. */
export interface FcmAccount {
  projectId: string;
  clientEmail: string;
  /** SPKI, PEM. */
  publicKey: string;
}

const SCOPE = "https://www.googleapis.com/auth/firebase.messaging";
const TOKEN_SECONDS = 3600;
const FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

export class FcmDouble extends Double {
  /** When each token ends. */
  readonly #tokens = new Map<string, number>();
  readonly #unregistered = new Set<string>();

  /** @param tokenUri Address of the token endpoint, to which assertions are made out. */
  constructor(
    outbox: Outbox,
    readonly account: FcmAccount,
    readonly tokenUri: () => string,
    readonly now: () => number,
  ) {
    super(outbox);
  }

  /** Makes a device's token one that is not known any more. */
  unregister(token: string): void {
    this.#unregistered.add(token);
  }

  async handle(request: Request, path: string): Promise<DoubleAnswer> {
    if (request.method !== "POST") return refusal(405, "METHOD_NOT_ALLOWED");
    if (path === "/token") return await this.#grant(new URLSearchParams(await request.text()));
    const token = request.headers.get("authorization")?.replace("Bearer ", "") ?? "";
    if ((this.#tokens.get(token) ?? 0) <= this.now()) return refusal(401, "UNAUTHENTICATED");
    if (path !== `/v1/projects/${this.account.projectId}/messages:send`) {
      return refusal(404, "NOT_FOUND");
    }
    const body = await request.text();
    const behaviour = await this.next();
    switch (behaviour.mode) {
      case "die":
        return HANG_UP;
      case "refuse":
        return unregistered();
      case "throttle":
        return refusal(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retryAfter(behaviour));
      case "fail":
        return refusal(500, "INTERNAL", "INTERNAL");
    }
    const answer = this.#take(body);
    return behaviour.mode === "swallow" ? HANG_UP : answer;
  }

  async #grant(form: URLSearchParams): Promise<Response> {
    try {
      if (form.get("grant_type") !== "urn:ietf:params:oauth:grant-type:jwt-bearer") {
        return Response.json({ error: "unsupported_grant_type" }, { status: 400 });
      }
      const key = await importSPKI(this.account.publicKey, "RS256");
      const { payload } = await jwtVerify(form.get("assertion") ?? "", key, {
        issuer: this.account.clientEmail,
        audience: this.tokenUri(),
        algorithms: ["RS256"],
      });
      if (payload.scope !== SCOPE) throw new Error("Another scope");
    } catch {
      const error_description = "Invalid JWT Signature.";
      return Response.json({ error: "invalid_grant", error_description }, { status: 400 });
    }
    const access_token = `ya29.${crypto.randomUUID()}`;
    this.#tokens.set(access_token, this.now() + TOKEN_SECONDS * 1000);
    return Response.json({ access_token, expires_in: TOKEN_SECONDS, token_type: "Bearer" });
  }

  #take(body: string): Response {
    let message: {
      token?: unknown;
      notification?: { title?: string; body?: string };
      android?: { notification?: { tag?: string } };
    };
    try {
      ({ message } = JSON.parse(body));
    } catch {
      return refusal(400, "INVALID_ARGUMENT");
    }
    const { token, notification } = message ?? {};
    if (typeof token !== "string" || token.length < 8) {
      return Response.json({
        error: {
          code: 400,
          message: "The registration token is not a valid FCM registration token",
          status: "INVALID_ARGUMENT",
          details: [
            { "@type": FCM_ERROR, errorCode: "INVALID_ARGUMENT" },
            {
              "@type": "type.googleapis.com/google.rpc.BadRequest",
              fieldViolations: [{ field: "message.token", description: "Invalid" }],
            },
          ],
        },
      }, { status: 400 });
    }
    if (this.#unregistered.has(token)) return unregistered();
    const name = `projects/${this.account.projectId}/messages/${this.number()}`;
    this.outbox.add({
      channel: "push",
      to: token,
      subject: notification?.title ?? "",
      text: notification?.body ?? "",
      provider: "fcm",
      ref: name,
      tag: message.android?.notification?.tag,
    });
    return Response.json({ name });
  }
}

function unregistered(): Response {
  return refusal(404, "NOT_FOUND", "UNREGISTERED");
}

function refusal(
  code: number,
  status: string,
  errorCode?: string,
  headers?: HeadersInit,
): Response {
  const details = errorCode ? [{ "@type": FCM_ERROR, errorCode }] : undefined;
  const error = { code, message: status.toLowerCase().replaceAll("_", " "), status, details };
  return Response.json({ error }, { status: code, headers });
}
