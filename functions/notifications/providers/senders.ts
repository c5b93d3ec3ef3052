// Which provider carries a delivery, by its channel and address.

import { z } from "zod";
import type { Lane } from "../lane.ts";
import type {
  EmailAddress,
  FcmAddress,
  Message,
  PhoneAddress,
  Provider,
  ProviderName,
  SendOutcome,
  WebPushAddress,
} from "./provider.ts";

/** A provider and the queue in front of it; null: not configured. */
type Sender<Address> = { provider: Provider<Address>; lane: Lane } | null;

export interface Senders {
  email: Sender<EmailAddress>;
  sms: Sender<PhoneAddress>;
  fcm: Sender<FcmAddress>;
  webpush: Sender<WebPushAddress>;
}

/** Where a message goes, by channel. */
const ADDRESSES = {
  email: z.object({ email: z.email() }),
  sms: z.object({ phone: z.string().regex(/^\+[1-9]\d{6,14}$/) }),
  push: z.discriminatedUnion("platform", [
    z.object({ platform: z.literal("fcm"), token: z.string().min(1) }),
    z.object({
      platform: z.literal("webpush"),
      endpoint: z.string(),
      p256dh: z.string(),
      auth: z.string(),
    }),
  ]),
};

export type Channel = keyof typeof ADDRESSES;

/** An outcome and who answered it; null when nobody was asked. */
export interface Sent {
  outcome: SendOutcome;
  provider: ProviderName | null;
}

/** Sends a message by its channel's provider, when its queue lets it. Never rejects. */
export async function sendBy(
  senders: Senders,
  channel: Channel,
  message: Message<unknown>,
  deadline: number,
): Promise<Sent> {
  const through = async <Address>(sender: Sender<Address>, address: Address): Promise<Sent> => {
    if (!sender) return unasked({ outcome: "suppressed", error_code: "not_configured" });
    const { provider, lane } = sender;
    const send = () => provider.send({ ...message, address });
    const outcome = await lane.run(send, deadline, message.urgency);
    return { outcome, provider: provider.name };
  };
  const bad = unasked({
    outcome: "permanent",
    error_code: "invalid_address",
    retire_address: true,
  });
  if (channel === "email") {
    const address = ADDRESSES.email.safeParse(message.address);
    return address.success ? await through(senders.email, address.data) : bad;
  }
  if (channel === "sms") {
    const address = ADDRESSES.sms.safeParse(message.address);
    return address.success ? await through(senders.sms, address.data) : bad;
  }
  const address = ADDRESSES.push.safeParse(message.address).data;
  if (!address) return bad;
  return address.platform === "fcm"
    ? await through(senders.fcm, address)
    : await through(senders.webpush, address);
}

function unasked(outcome: SendOutcome): Sent {
  return { outcome, provider: null };
}
