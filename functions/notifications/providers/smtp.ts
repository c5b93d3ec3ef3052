// E-mail by SMTP. The protocol knows no idempotency key: a repeat has the same Message-ID, by which
// most mailboxes show a mail once.

import {
  type EmailAddress,
  type Limits,
  type Provider,
  refusedAddress,
  refusedCredentials,
  refusedMessage,
  retryLater,
  type SendOutcome,
} from "./provider.ts";

export interface SmtpOptions {
  /** `smtps://user:password@host:465`, or `smtp:` for STARTTLS where the server has it. */
  url: string;
  /** Sender, for example `Beautiful Life <care@example.org>`. */
  from: string;
  limits: Limits;
  timeoutMs?: number;
  /** For a mail from first to last: a server that says a little now and then has no other end. */
  totalMs?: number;
}

/** What nodemailer's errors carry. */
interface SmtpError {
  code?: string;
  /** The server's reply. */
  responseCode?: number;
  /** What was said when it replied. */
  command?: string;
}

/** An SMTP provider with connections that are kept; `close` ends them. */
export interface SmtpProvider extends Provider<EmailAddress> {
  close(): Promise<void>;
}

export function createSmtp(
  { url, from, limits, timeoutMs = 10_000, totalMs = 30_000 }: SmtpOptions,
): SmtpProvider {
  // Loaded with the first mail: most calls of the function send none by this way.
  let opening: ReturnType<typeof open> | undefined;
  const open = async () => {
    const { default: nodemailer } = await import("nodemailer");
    return nodemailer.createTransport({
      url,
      pool: true,
      maxConnections: limits.concurrency,
      // No tries within a try: the outbox has its own.
      maxRequeues: 0,
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      // Texts are texts: nothing of them is read from a file or fetched.
      disableFileAccess: true,
      disableUrlAccess: true,
    });
  };
  const domain = /@([\w.-]+)/.exec(from)?.[1] ?? "localhost";
  return {
    name: "smtp",
    limits,
    async send({ address, title, body, idempotency_key }) {
      const messageId = `<${idempotency_key.replace(/[^\w.-]/g, "_")}@${domain}>`;
      try {
        const transport = await (opening ??= open());
        const sending = transport.sendMail({
          from,
          to: { name: "", address: address.email },
          subject: title,
          text: body,
          messageId,
          headers: { "Auto-Submitted": "auto-generated" },
        });
        if (await isOver(sending, totalMs)) {
          // Its connection may never be free again: the next mails get new ones.
          opening = undefined;
          transport.close();
          return retryLater("timeout");
        }
        return { outcome: "sent", provider_message_id: messageId };
      } catch (thrown) {
        return toOutcome(thrown as SmtpError);
      }
    },
    close: async () => (await opening)?.close(),
  };
}

/** Whether `ms` were over before `sending` ended; rejects as `sending` does. */
async function isOver(sending: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timer = setTimeout(resolve, ms, true);
  return await Promise.race([sending.then(() => false), promise])
    .finally(() => clearTimeout(timer));
}

function toOutcome({ code, responseCode, command }: SmtpError): SendOutcome {
  if (code === "EAUTH") return refusedCredentials(`smtp_${responseCode ?? "auth"}`);
  if (responseCode === undefined) {
    return retryLater(code === "ETIMEDOUT" ? "timeout" : "unreachable");
  }
  const error_code = `smtp_${responseCode}`;
  if (responseCode < 500) return retryLater(error_code);
  // RFC 5321: 5yz after RCPT is about who it is for, after MAIL about who it is from.
  if (command === "RCPT TO") return refusedAddress(error_code);
  if (command === "MAIL FROM") return refusedCredentials(error_code);
  return refusedMessage(error_code);
}
