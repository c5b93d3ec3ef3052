// Invitations, and the links that an administrator makes instead of having them mailed.

import { z } from "zod";
import { emailExists, signUpByEmail, TakenError } from "./accounts.ts";
import { type AuthApp, clientOf } from "./app.ts";
import { metadata, normalizeEmail, readBody, text } from "./body.ts";
import { requireAdmin } from "./caller.ts";
import { AuthError, invalid } from "./errors.ts";
import {
  actionLink,
  issueCode,
  keepCode,
  makeCode,
  sendMail,
  type TokenColumn,
} from "./one_time.ts";
import { checkPasswordStrength, hashPassword, hashRandomPassword } from "./passwords.ts";
import { redirectTarget } from "./redirects.ts";
import type { AuthService, Db } from "./service.ts";
import {
  type Account,
  findByEmail,
  getById,
  isConfirmed,
  mergeMetadata,
  updateUser,
  userJson,
} from "./users.ts";

const InviteBody = z.object({ email: text, data: metadata });

const LinkBody = z.object({
  type: z.enum([
    "signup",
    "invite",
    "magiclink",
    "recovery",
    "email_change_current",
    "email_change_new",
  ]),
  email: text,
  new_email: text,
  password: text,
  data: metadata,
  redirect_to: text,
});
type LinkParams = z.infer<typeof LinkBody>;
type LinkType = LinkParams["type"];

const COLUMN = {
  signup: "confirmation_token",
  invite: "confirmation_token",
  magiclink: "recovery_token",
  recovery: "recovery_token",
  email_change_current: "email_change_token_current",
  email_change_new: "email_change_token_new",
} as const satisfies Record<LinkType, TokenColumn>;

/** Adds the routes of invitations and links. */
export function addLinkRoutes(app: AuthApp, service: AuthService): void {
  app.post("/invite", async (c) => {
    await requireAdmin(service, c.req.raw, c.var.keyRole);
    const body = await readBody(c.req.raw, InviteBody);
    const email = normalizeEmail(body.email ?? "");
    const redirectTo = redirectTarget(c.req.raw, service.settings);
    const { ip } = clientOf(c);
    const [mail, account] = await writeOrExists(service, async (tx) => {
      const invited = await invitee(service, tx, email, body.data ?? {}, ip);
      const mail = await issueCode(service, tx, invited, "invite", { redirectTo });
      return [mail, await getById(tx, invited.id)] as const;
    });
    sendMail(service, mail);
    return c.json(userJson(account));
  });

  app.post("/admin/generate_link", async (c) => {
    const body = await readBody(c.req.raw, LinkBody);
    const email = normalizeEmail(body.email ?? "");
    const redirectTo = redirectTarget(c.req.raw, service.settings, body.redirect_to);
    const existing = await findByEmail(service.read, email);
    const type = linkType(body.type, existing);
    const passwordHash = type === "signup" && !existing
      ? await signUpPassword(service, body)
      : null;
    const code = await makeCode(
      service,
      type === "email_change_new" ? normalizeEmail(body.new_email ?? "") : email,
    );
    const account = await writeOrExists(service, async (tx) => {
      const owner = await linkOwner(service, tx, {
        type,
        email,
        existing,
        passwordHash,
        params: body,
        ip: clientOf(c).ip,
      });
      await keepCode(service, tx, owner.id, COLUMN[type], code);
      return await getById(tx, owner.id);
    });
    const verification = type.startsWith("email_change") ? "email_change" : type;
    return c.json({
      ...userJson(account),
      action_link: actionLink(service, verification, code.hash, redirectTo),
      email_otp: code.otp,
      hashed_token: code.hash,
      verification_type: type,
      redirect_to: redirectTo,
    });
  });
}

async function writeOrExists<T>(service: AuthService, work: (tx: Db) => Promise<T>): Promise<T> {
  try {
    return await service.write(work);
  } catch (error) {
    throw error instanceof TakenError ? emailExists() : error;
  }
}

/** The account that an invitation is for; a new one without a password if there is none. */
async function invitee(
  service: AuthService,
  tx: Db,
  email: string,
  data: NonNullable<LinkParams["data"]>,
  ip: string,
): Promise<Account> {
  const existing = await findByEmail(tx, email);
  if (existing && isConfirmed(existing)) throw emailExists();
  const account = existing ??
    await signUpByEmail(service, tx, { email, passwordHash: null, data, confirmed: false, ip });
  const now = service.now();
  await updateUser(tx, account.id, { invited_at: now }, now);
  return account;
}

/** A link to sign in is one to sign up when nobody has the address. */
function linkType(type: LinkType, existing: Account | undefined): LinkType {
  if (existing || type === "signup" || type === "invite") return type;
  if (type === "magiclink") return "signup";
  throw new AuthError(404, "user_not_found", "User with this email not found");
}

async function signUpPassword(
  service: AuthService,
  { type, password }: LinkParams,
): Promise<string> {
  if (type === "magiclink") return await hashRandomPassword();
  if (!password) throw invalid("Signup requires a valid password");
  checkPasswordStrength(password, service.settings);
  return await hashPassword(password);
}

/** The account that a link is for, with what must stand in it beside the code. */
async function linkOwner(
  service: AuthService,
  tx: Db,
  { type, email, existing, passwordHash, params, ip }: {
    type: LinkType;
    email: string;
    existing: Account | undefined;
    passwordHash: string | null;
    params: LinkParams;
    ip: string;
  },
): Promise<Account> {
  const data = params.data ?? {};
  if (type === "invite") return await invitee(service, tx, email, data, ip);
  if (!existing) {
    return await signUpByEmail(service, tx, { email, passwordHash, data, confirmed: false, ip });
  }
  const now = service.now();
  if (type === "signup") {
    if (isConfirmed(existing)) throw emailExists();
    const raw_user_meta_data = mergeMetadata(existing.raw_user_meta_data, data);
    await updateUser(tx, existing.id, { raw_user_meta_data }, now);
  }
  if (type === "email_change_current" || type === "email_change_new") {
    if (type === "email_change_current" && !service.settings.email.double_confirm_changes) {
      throw invalid("Enable secure email change to generate link for current email");
    }
    const newEmail = normalizeEmail(params.new_email ?? "");
    if (await findByEmail(tx, newEmail)) throw emailExists();
    await updateUser(tx, existing.id, {
      email_change: newEmail,
      email_change_confirm_status: 0,
    }, now);
  }
  return existing;
}
