// The doubles of one stack: who they are, how the function reaches them, and how a test tells them to
// misbehave. They listen on a port of their own and are in reach below `/_local/providers/` as well.

import { z } from "zod";
import type { Outbox } from "../outbox.ts";
import { type Double, type DoubleAnswer, HANG_UP, MODES } from "./double.ts";
import { FcmDouble } from "./fcm.ts";
import { FCM_EMAIL, FCM_PROJECT, type ProviderKeys } from "./keys.ts";
import { receiptOf } from "./receipts.ts";
import { ResendDouble } from "./resend.ts";
import { serveDoubles } from "./server.ts";
import { TwilioDouble } from "./twilio.ts";
import { PUSH_HOST, WebPushDouble } from "./webpush.ts";

/** What doubles are made of. */
export interface DoublesOptions {
  outbox: Outbox;
  keys: ProviderKeys;
  /** Address of the stack, where receipts go and browsers are subscribed. */
  apiUrl: string;
  now: () => number;
}

/** Doubles that listen. */
export interface Doubles {
  /** Variables by which the function `notifications` sends to them. */
  env: Record<string, string>;
  /** Answers what the gateway gets below `/_local/providers/`. */
  handle: (request: Request) => Promise<Response>;
  close: () => Promise<void>;
}

const PREFIX = "/_local/providers";

const BehaviourBody = z.strictObject({
  mode: z.enum(MODES),
  for_next: z.int().min(1).optional(),
  delay_ms: z.number().min(0).max(60_000).optional(),
  retry_after_seconds: z.int().min(0).optional(),
});
const ReceiptBody = z.strictObject({
  ref: z.string(),
  status: z.string(),
  error_code: z.string().optional(),
  event_id: z.string().optional(),
  signed_at: z.number().optional(),
});
const EndBody = z.strictObject({ address: z.string() });

/** Starts the doubles. */
export async function startDoubles(options: DoublesOptions): Promise<Doubles> {
  const { outbox, keys, apiUrl, now } = options;
  let url = "";
  const fcm = new FcmDouble(
    outbox,
    { projectId: FCM_PROJECT, clientEmail: FCM_EMAIL, publicKey: keys.fcm.publicKey },
    () => `${url}/fcm/token`,
    now,
  );
  const webpush = new WebPushDouble(outbox, keys.vapid.publicKey);
  const twilioAccount = { sid: keys.twilio.accountSid, authToken: keys.twilio.authToken };
  const doubles = new Map<string, Double>([
    ["resend", new ResendDouble(outbox, keys.resend.apiKey, now)],
    ["twilio", new TwilioDouble(outbox, twilioAccount, now)],
    ["fcm", fcm],
    ["webpush", webpush],
  ]);

  const order = async (name: string, what: string, request: Request) => {
    const body = await request.json().catch(() => undefined);
    switch (what) {
      case "/behaviour":
        doubles.get(name)!.behave(BehaviourBody.parse(body));
        return Response.json({});
      case "/receipt": {
        const to = `${apiUrl}/functions/v1/notifications/webhooks/${name}`;
        const receipt = await receiptOf(name, to, ReceiptBody.parse(body), keys);
        if (!receipt) return new Response(null, { status: 404 });
        const answer = await fetch(receipt);
        return new Response(await answer.text(), { status: answer.status });
      }
      case "/subscriptions":
        return Response.json(webpush.subscribe());
      case "/end": {
        const { address } = EndBody.parse(body);
        if (name === "fcm") fcm.unregister(address);
        else webpush.unsubscribe(address);
        return Response.json({});
      }
    }
  };

  const dispatch = async (request: Request, path: string): Promise<DoubleAnswer> => {
    const [, name = "", below = ""] = /^\/([a-z]+)(\/.*)$/.exec(path) ?? [];
    const double = doubles.get(name);
    return double ? await double.handle(request, below) : new Response(null, { status: 404 });
  };

  const server = await serveDoubles((request) => dispatch(request, new URL(request.url).pathname));
  url = server.url;
  return {
    env: variables(url, keys),
    async handle(request) {
      const path = new URL(request.url).pathname.slice(PREFIX.length);
      const [, name = "", what = ""] = /^\/([a-z]+)(\/.*)$/.exec(path) ?? [];
      if (request.method === "POST" && doubles.has(name)) {
        try {
          const done = await order(name, what, request.clone());
          if (done) return done;
        } catch (thrown) {
          if (!(thrown instanceof z.ZodError)) throw thrown;
          return Response.json({ code: "invalid_request" }, { status: 400 });
        }
      }
      const answer = await dispatch(request, path);
      // Here the connection cannot be ended without a status.
      return answer === HANG_UP ? new Response(null, { status: 502 }) : answer;
    },
    close: server.close,
  };
}

function variables(url: string, keys: ProviderKeys): Record<string, string> {
  return {
    EMAIL_FROM: "Beautiful Life <care@beautiful-life.example>",
    RESEND_API_KEY: keys.resend.apiKey,
    RESEND_URL: `${url}/resend`,
    RESEND_PER_SECOND: "10000",
    RESEND_WEBHOOK_SECRET: keys.resend.webhookSecret,
    TWILIO_ACCOUNT_SID: keys.twilio.accountSid,
    TWILIO_AUTH_TOKEN: keys.twilio.authToken,
    TWILIO_FROM: "+15005550006",
    TWILIO_URL: `${url}/twilio`,
    TWILIO_PER_SECOND: "10000",
    FCM_SERVICE_ACCOUNT: JSON.stringify({
      type: "service_account",
      project_id: FCM_PROJECT,
      client_email: FCM_EMAIL,
      private_key: keys.fcm.privateKey,
      token_uri: `${url}/fcm/token`,
    }),
    FCM_URL: `${url}/fcm`,
    VAPID_PUBLIC_KEY: keys.vapid.publicKey,
    VAPID_PRIVATE_KEY: keys.vapid.privateKey,
    VAPID_SUBJECT: "mailto:care@beautiful-life.example",
    WEB_PUSH_HOSTS: `${PUSH_HOST}=${url}/webpush`,
    PUSH_PER_SECOND: "10000",
  };
}
