// A double of a mail server: authenticated SMTP submission on loopback. Mails with a Message-ID that is
// known already are taken and not shown again, as mailboxes do.

import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";
import type { Outbox } from "../outbox.ts";
import { type Behaviour, Double, type DoubleAnswer } from "./double.ts";

/** What mail programs sign in with. */
export interface SmtpAccount {
  user: string;
  password: string;
}

/** A double that listens. */
export interface SmtpServerDouble {
  /** `smtp://…`, credentials included. */
  url: string;
  behave(behaviour: Partial<Behaviour>): void;
  /** How often each Message-ID came. */
  received: Map<string, number>;
  close(): Promise<void>;
}

class SmtpDouble extends Double {
  handle(): Promise<DoubleAnswer> {
    throw new Error("It speaks no HTTP");
  }
  turn(): Promise<Behaviour> {
    return this.next();
  }
}

/** Starts the double on a free port. */
export async function startSmtp(outbox: Outbox, account: SmtpAccount): Promise<SmtpServerDouble> {
  const double = new SmtpDouble(outbox);
  const received = new Map<string, number>();
  const server = new SMTPServer({
    banner: "double",
    disabledCommands: ["STARTTLS"],
    // On loopback there is nobody to listen in.
    allowInsecureAuth: true,
    onAuth({ username, password }, _session, callback) {
      const isKnown = username === account.user && password === account.password;
      callback(isKnown ? null : refusal(535, "Authentication credentials invalid"), {
        user: username,
      });
    },
    async onRcptTo(address, session, callback) {
      const behaviour = await double.turn();
      switch (behaviour.mode) {
        case "refuse":
          return callback(refusal(550, "No such user here"));
        case "throttle":
          return callback(refusal(451, "Try again later"));
        case "fail":
          return callback(refusal(421, "Service not available"));
        case "die":
          return hangUp(server, session.id);
      }
      callback(address.address.includes("@") ? null : refusal(553, "Mailbox name not allowed"));
      if (behaviour.mode === "swallow") swallowing.add(session.id);
    },
    onData(stream, session, callback) {
      const chunks: Uint8Array[] = [];
      stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      stream.on("end", async () => {
        const source = await new Blob(chunks as BlobPart[]).text();
        const id = headerOf(source, "Message-ID");
        const before = received.get(id) ?? 0;
        received.set(id, before + 1);
        if (before === 0) {
          outbox.add({
            channel: "email",
            to: session.envelope.rcptTo[0]?.address ?? "",
            subject: headerOf(source, "Subject"),
            text: bodyOf(source),
            provider: "smtp",
            ref: id,
          });
        }
        if (swallowing.delete(session.id)) return hangUp(server, session.id);
        callback(null, "OK: queued");
      });
    },
  });
  const swallowing = new Set<string>();
  // A client that goes away in the middle is what some tests are about.
  server.on("error", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.server.address() as AddressInfo;
  const { user, password } = account;
  return {
    url: `smtp://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${port}`,
    behave: (behaviour) => double.behave(behaviour),
    received,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

/** Ends a connection without a word. */
function hangUp(server: SMTPServer, id: string): void {
  for (const connection of server.connections) {
    if (connection.id === id) connection._socket.destroy();
  }
}

function refusal(responseCode: number, message: string): Error {
  return Object.assign(new Error(message), { responseCode });
}

function headerOf(source: string, name: string): string {
  const [head = ""] = source.split("\r\n\r\n", 1);
  const line = head.replace(/\r\n[ \t]+/g, " ").split("\r\n")
    .find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  return decodeWords(line?.slice(name.length + 1).trim() ?? "");
}

/** Decodes what RFC 2047 has encoded in base 64, which is how nodemailer writes other scripts. */
function decodeWords(text: string): string {
  return text.replace(/\?=\s+=\?/g, "?==?").replace(
    /=\?UTF-8\?B\?([^?]*)\?=/gi,
    (_, word) => new TextDecoder().decode(Uint8Array.fromBase64(word)),
  );
}

function bodyOf(source: string): string {
  const body = source.slice(source.indexOf("\r\n\r\n") + 4).trimEnd();
  return headerOf(source, "Content-Transfer-Encoding") === "base64"
    ? new TextDecoder().decode(Uint8Array.fromBase64(body.replace(/\s/g, "")))
    : body;
}
