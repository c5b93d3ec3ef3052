// Routes that end in a mail with a one-time code: sign-in by mail, recovery, resend, and the code
// that proves a signed-in person once more.

import { z } from "zod";
import { signUpByEmail, TakenError } from "./accounts.ts";
import { type AuthApp, clientOf } from "./app.ts";
import { metadata, normalizeEmail, pkceFields, readBody, text } from "./body.ts";
import { requireCaller } from "./caller.ts";
import { changeEmailMails } from "./email_change.ts";
import { AuthError, invalid, phoneDisabled } from "./errors.ts";
import { issueCode, type Mail, sendMail } from "./one_time.ts";
import { hashRandomPassword } from "./passwords.ts";
import { redirectTarget } from "./redirects.ts";
import type { AuthService } from "./service.ts";
import { type Account, findByEmail, isConfirmed } from "./users.ts";

const OtpBody = z.object({
  email: text,
  phone: text,
  create_user: z.boolean().nullish(),
  data: metadata,
  ...pkceFields,
});
type OtpParams = z.infer<typeof OtpBody>;

const RecoverBody = z.object({ email: text, ...pkceFields });
const ResendBody = z.object({ type: text, email: text, phone: text });

/** Adds the routes that send mail. */
export function addEmailRoutes(app: AuthApp, service: AuthService): void {
  const { settings } = service;

  app.on("POST", ["/otp", "/magiclink"], async (c) => {
    const body = await readBody(c.req.raw, OtpBody);
    if (!body.email && body.phone) throw phoneDisabled();
    if (!body.email) throw invalid("One of email or phone must be set");
    const email = normalizeEmail(body.email);
    const account = await findByEmail(service.read, email) ??
      await signUpForOtp(service, email, body, clientOf(c).ip);
    // A person who has never proved the address does so with the same code.
    const kind = isConfirmed(account) ? "magiclink" : "signup";
    await send(service, account, kind, {
      redirectTo: redirectTarget(c.req.raw, settings),
      challenge: body,
    });
    return c.json({});
  });

  app.post("/recover", async (c) => {
    const body = await readBody(c.req.raw, RecoverBody);
    if (!body.email) throw invalid("Password recovery requires an email");
    const account = await findByEmail(service.read, normalizeEmail(body.email));
    if (account) {
      await send(service, account, "recovery", {
        redirectTo: redirectTarget(c.req.raw, settings),
        challenge: body,
      });
    }
    return c.json({});
  });

  app.post("/resend", async (c) => {
    const { type, email } = await readBody(c.req.raw, ResendBody);
    if (type === "sms" || type === "phone_change") throw phoneDisabled();
    if (type !== "signup" && type !== "email_change") {
      throw invalid("Missing one of these types: signup, email_change, sms, phone_change");
    }
    if (!email) throw invalid("Type provided requires an email address");
    const account = await findByEmail(service.read, normalizeEmail(email));
    const redirectTo = redirectTarget(c.req.raw, settings);
    if (account && type === "signup" && !isConfirmed(account)) {
      await send(service, account, "signup", { redirectTo });
    } else if (account?.email_change && type === "email_change") {
      const { email_change } = account;
      const mails = await service.write((tx) =>
        changeEmailMails(service, tx, account, email_change, { redirectTo })
      );
      for (const mail of mails) sendMail(service, mail);
    }
    return c.json({});
  });

  app.get("/reauthenticate", async (c) => {
    const { account } = await requireCaller(service, c.req.raw);
    if (!account.email) {
      throw invalid("Reauthentication requires the user to have an email or a phone number", 422);
    }
    if (!isConfirmed(account)) {
      throw new AuthError(422, "email_not_confirmed", "Please verify your email first.");
    }
    await send(service, account, "reauthentication", { redirectTo: settings.site_url });
    return c.json({});
  });
}

async function send(
  service: AuthService,
  account: Account,
  kind: Exclude<Mail["kind"], "email_change">,
  options: Parameters<typeof issueCode>[4],
): Promise<void> {
  const mail = await service.write((tx) => issueCode(service, tx, account, kind, options));
  sendMail(service, mail);
}

/** Makes the account of a person who asks for a code and has none yet. */
async function signUpForOtp(
  service: AuthService,
  email: string,
  { create_user, data }: OtpParams,
  ip: string,
): Promise<Account> {
  const { settings } = service;
  if (create_user === false || !settings.enable_signup || !settings.email.enable_signup) {
    throw new AuthError(422, "otp_disabled", "Signups not allowed for otp");
  }
  const passwordHash = await hashRandomPassword();
  const confirmed = !settings.email.enable_confirmations;
  try {
    return await service.write((tx) =>
      signUpByEmail(service, tx, { email, passwordHash, data: data ?? {}, confirmed, ip })
    );
  } catch (error) {
    // Somebody made it in the meantime; a code for it is what both wanted.
    const account = error instanceof TakenError && await findByEmail(service.read, email);
    if (account) return account;
    throw error;
  }
}
