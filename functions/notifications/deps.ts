// What `notifications` needs beside the dependencies of every function: the providers, and the keys by
// which their receipts are known.

import { type Deps, productionDeps } from "../_shared/deps.ts";
import type { DeliveryDeps } from "./deliver.ts";
import { realClock } from "./lane.ts";
import { openSenders } from "./open_senders.ts";
import { readSettings, type Settings } from "./settings.ts";
import { resendWebhook, twilioWebhook, type Webhook } from "./webhooks.ts";

export interface NotificationsDeps extends Deps, DeliveryDeps {
  /** By the name in the path; null where receipts are not configured. */
  webhooks: Record<string, Webhook | null>;
}

/** Path of the receipts of a provider. */
export function webhookPath(provider: string): string {
  return `/notifications/webhooks/${provider}`;
}

/** Builds the real dependencies; see `productionDeps`. */
export function productionNotificationsDeps(
  variables: Record<string, string>,
): NotificationsDeps {
  const deps = productionDeps(variables);
  const settings = readSettings(variables);
  const clock = realClock(deps.now);
  return {
    ...deps,
    clock,
    senders: openSenders(settings, {
      clock,
      fetch,
      twilioReceipts: `${deps.publicUrl}/functions/v1${webhookPath("twilio")}`,
    }),
    webhooks: openWebhooks(settings),
  };
}

function openWebhooks(settings: Settings): Record<string, Webhook | null> {
  const { RESEND_WEBHOOK_SECRET, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN } = settings;
  return {
    resend: RESEND_WEBHOOK_SECRET ? resendWebhook(RESEND_WEBHOOK_SECRET) : null,
    twilio: TWILIO_ACCOUNT_SID && TWILIO_AUTH_TOKEN
      ? twilioWebhook(TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN)
      : null,
  };
}
