// The providers that the settings name, each with its queue.

import { type Clock, Lane } from "./lane.ts";
import { createCall } from "./providers/call.ts";
import { createFcm } from "./providers/fcm.ts";
import { createTokenSource } from "./providers/google_token.ts";
import type { Provider } from "./providers/provider.ts";
import { createResend } from "./providers/resend.ts";
import type { Senders } from "./providers/senders.ts";
import { createSmtp } from "./providers/smtp.ts";
import { createTwilio } from "./providers/twilio.ts";
import { createWebPush } from "./providers/web_push.ts";
import type { Settings } from "./settings.ts";

interface Outside {
  clock: Clock;
  fetch: typeof fetch;
  /** Where Twilio sends receipts. */
  twilioReceipts: string;
}

/** Messages that one provider is sent at a time. */
const CONCURRENCY = 16;
/** Connections to a mail server, which may allow but a few. */
const SMTP_CONNECTIONS = 5;

/** Opens what the settings name; nothing is connected before the first message. */
export function openSenders(settings: Settings, outside: Outside): Senders {
  const { clock, fetch, twilioReceipts } = outside;
  const newCall = () => createCall(fetch, clock.now);
  const limits = (per_second: number, concurrency = CONCURRENCY) => ({ concurrency, per_second });
  const withLane = <Address>(provider: Provider<Address>) => ({
    provider,
    lane: new Lane(provider.limits, clock),
  });
  const { EMAIL_FROM: from, RESEND_API_KEY, SMTP_URL, FCM_SERVICE_ACCOUNT: account } = settings;
  const { TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM } = settings;
  const { VAPID_PUBLIC_KEY, VAPID_PRIVATE_KEY, VAPID_SUBJECT } = settings;
  return {
    email: !from ? null : RESEND_API_KEY
      ? withLane(createResend({
        url: settings.RESEND_URL,
        apiKey: RESEND_API_KEY,
        from,
        limits: limits(settings.RESEND_PER_SECOND),
        call: newCall(),
      }))
      : SMTP_URL
      ? withLane(createSmtp({
        url: SMTP_URL,
        from,
        limits: limits(settings.SMTP_PER_SECOND, SMTP_CONNECTIONS),
      }))
      : null,
    sms: TWILIO_ACCOUNT_SID && TWILIO_AUTH_TOKEN && TWILIO_FROM
      ? withLane(createTwilio({
        url: settings.TWILIO_URL,
        accountSid: TWILIO_ACCOUNT_SID,
        authToken: TWILIO_AUTH_TOKEN,
        from: TWILIO_FROM,
        statusCallback: twilioReceipts,
        limits: limits(settings.TWILIO_PER_SECOND),
        now: clock.now,
        call: newCall(),
      }))
      : null,
    fcm: account
      ? withLane(createFcm({
        url: settings.FCM_URL,
        projectId: account.project_id,
        tokens: createTokenSource(account, newCall(), clock.now),
        limits: limits(settings.PUSH_PER_SECOND),
        now: clock.now,
        call: newCall(),
      }))
      : null,
    webpush: VAPID_PUBLIC_KEY && VAPID_PRIVATE_KEY && VAPID_SUBJECT
      ? withLane(createWebPush({
        publicKey: VAPID_PUBLIC_KEY,
        privateKey: VAPID_PRIVATE_KEY,
        subject: VAPID_SUBJECT,
        hosts: settings.WEB_PUSH_HOSTS,
        limits: limits(settings.PUSH_PER_SECOND),
        now: clock.now,
        newCall,
      }))
      : null,
  };
}
