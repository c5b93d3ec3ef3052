// What every provider of deliveries is to the rest: something that takes one message and says what
// became of it. Nobody outside this folder knows whose API it was.

/** Who carries messages out of the app. */
export type ProviderName = "resend" | "smtp" | "twilio" | "fcm" | "webpush";

export interface EmailAddress {
  email: string;
}
export interface PhoneAddress {
  /** E.164. */
  phone: string;
}
export interface FcmAddress {
  token: string;
}
export interface WebPushAddress {
  endpoint: string;
  /** Public key and secret of the browser, base64url. */
  p256dh: string;
  auth: string;
}

/** One message to one address. The words are those that were claimed: without health data. */
export interface Message<Address> {
  notification_id: string;
  kind: string;
  urgency: "normal" | "security" | "emergency";
  title: string;
  body: string;
  address: Address;
  /** The same at every try of this delivery, and of no other. */
  idempotency_key: string;
  /** Which try this is, from 1. */
  attempts: number;
}

/** What became of a try. Codes are ours or the provider's; no text of theirs. */
export type SendOutcome =
  | { outcome: "sent"; provider_message_id: string | null }
  | {
    /** May succeed later. */
    outcome: "retry";
    error_code: string;
    retry_after_seconds?: number;
    /** The provider asks for a pause: it would refuse the others, too. */
    is_throttled?: boolean;
    /** Our account is at fault, so every message fails until somebody acts. */
    is_alarm?: boolean;
  }
  | { outcome: "permanent"; error_code: string; retire_address: boolean }
  /** Not tried: nobody carries this channel. */
  | { outcome: "suppressed"; error_code: string }
  /** Not tried: there was no time, or the provider is left alone. Does not count as a try. */
  | { outcome: "deferred"; error_code: string; retry_after_seconds: number };

/** How much of one provider is used at a time. */
export interface Limits {
  concurrency: number;
  /** Messages a second that the account may send. */
  per_second: number;
}

export interface Provider<Address> {
  readonly name: ProviderName;
  readonly limits: Limits;
  /** Never rejects for what the provider or the network did. */
  send(message: Message<Address>): Promise<SendOutcome>;
}

/** Our credentials are refused: nothing of the address is known, and somebody must act. */
export function refusedCredentials(error_code: string): SendOutcome {
  return { outcome: "retry", error_code, is_alarm: true };
}

/** The message is no good, now and later; nothing is known of the address. */
export function refusedMessage(error_code: string): SendOutcome {
  return { outcome: "permanent", error_code, retire_address: false };
}

/** The address is no good, now and later. */
export function refusedAddress(error_code: string): SendOutcome {
  return { outcome: "permanent", error_code, retire_address: true };
}

/** May succeed later. */
export function retryLater(error_code: string, retry_after_seconds?: number): SendOutcome {
  return { outcome: "retry", error_code, retry_after_seconds };
}
