// A double of Twilio's Messages resource: create and list. Like Twilio it knows no idempotency key: what
// comes twice is sent twice. https://www.twilio.com/docs/messaging/api/message-resource

import type { Outbox } from "../outbox.ts";
import { Double, type DoubleAnswer, HANG_UP, retryAfter } from "./double.ts";

interface Sms {
  sid: string;
  to: string;
  from: string;
  body: string;
  at: number;
}

/** What the double is known by, and what it signs with. */
export interface TwilioAccount {
  sid: string;
  authToken: string;
}

export class TwilioDouble extends Double {
  readonly #sent: Sms[] = [];

  constructor(
    outbox: Outbox,
    readonly account: TwilioAccount,
    readonly now: () => number,
  ) {
    super(outbox);
  }

  async handle(request: Request, path: string): Promise<DoubleAnswer> {
    const { sid, authToken } = this.account;
    if (request.headers.get("authorization") !== `Basic ${btoa(`${sid}:${authToken}`)}`) {
      return refusal(401, 20003, "Authenticate");
    }
    if (path !== `/2010-04-01/Accounts/${sid}/Messages.json`) {
      return refusal(404, 20404, "The requested resource was not found");
    }
    if (request.method === "GET") return this.#list(new URL(request.url).searchParams);
    if (request.method !== "POST") return refusal(405, 20004, "Method not allowed");
    const form = new URLSearchParams(await request.text());
    const behaviour = await this.next();
    switch (behaviour.mode) {
      case "die":
        return HANG_UP;
      case "refuse":
        return refusal(400, 21211, "Invalid 'To' Phone Number");
      case "throttle":
        return refusal(429, 20429, "Too Many Requests", retryAfter(behaviour));
      case "fail":
        return refusal(500, 20500, "Internal Server Error");
    }
    const answer = this.#create(form);
    return behaviour.mode === "swallow" ? HANG_UP : answer;
  }

  #create(form: URLSearchParams): Response {
    const [to = "", body = ""] = [form.get("To") ?? "", form.get("Body") ?? ""];
    const from = form.get("From") ?? form.get("MessagingServiceSid") ?? "";
    if (!/^\+[1-9]\d{6,14}$/.test(to)) return refusal(400, 21211, "Invalid 'To' Phone Number");
    if (!from) return refusal(400, 21603, "A 'From' phone number is required");
    if (!body) return refusal(400, 21602, "Message body is required");
    if (body.length > 1600) return refusal(400, 21617, "The concatenated message is too long");
    const sms: Sms = { sid: this.#newSid(), to, from, body, at: this.now() };
    this.#sent.push(sms);
    if (this.#sent.length > 10_000) this.#sent.shift();
    this.outbox.add({
      channel: "sms",
      to,
      subject: "",
      text: body,
      provider: "twilio",
      ref: sms.sid,
    });
    return Response.json(this.#resource(sms), { status: 201 });
  }

  #list(query: URLSearchParams): Response {
    const since = Date.parse(query.get("DateSent>") ?? "") || 0;
    const to = query.get("To");
    const size = Math.min(Number(query.get("PageSize") ?? 50), 1000);
    const messages = this.#sent.filter((sms) => (to === null || sms.to === to) && sms.at >= since)
      .toReversed().slice(0, size).map((sms) => this.#resource(sms));
    return Response.json({ messages, page: 0, page_size: size, next_page_uri: null });
  }

  #newSid(): string {
    return `SM${crypto.randomUUID().replaceAll("-", "")}`;
  }

  #resource({ sid, to, from, body, at }: Sms) {
    return {
      sid,
      account_sid: this.account.sid,
      to,
      from,
      body,
      status: "queued",
      direction: "outbound-api",
      date_created: new Date(at).toUTCString(),
      error_code: null,
      error_message: null,
    };
  }
}

function refusal(status: number, code: number, message: string, headers?: HeadersInit): Response {
  const more_info = `https://www.twilio.com/docs/errors/${code}`;
  return Response.json({ code, message, more_info, status }, { status, headers });
}
