// What signed-in people do with their own account: read it, change it, sign out.

import { z } from "zod";
import { changeEmail, emailExists } from "./accounts.ts";
import type { AuthApp } from "./app.ts";
import { metadata, normalizeEmail, pkceFields, readBody, text } from "./body.ts";
import { type Caller, requireCaller } from "./caller.ts";
import { changeEmailMails } from "./email_change.ts";
import { AuthError, invalid, phoneDisabled } from "./errors.ts";
import { hashCode, isCodeExpired, type Mail, sendMail } from "./one_time.ts";
import { checkPasswordStrength, hashPassword, isPassword } from "./passwords.ts";
import { redirectTarget } from "./redirects.ts";
import type { AuthService, Db } from "./service.ts";
import {
  findByEmail,
  getById,
  hasVerifiedFactor,
  lockUser,
  mergeMetadata,
  updateUser,
  userJson,
} from "./users.ts";

const UpdateBody = z.object({
  email: text,
  phone: text,
  password: text,
  nonce: text,
  data: metadata,
  app_metadata: metadata,
  ...pkceFields,
});
type UpdateParams = z.infer<typeof UpdateBody>;

const SCOPES = ["global", "local", "others"];
const REAUTHENTICATE_AFTER_MS = 24 * 3600 * 1000;

/** Adds the routes of one's own account. */
export function addUserRoutes(app: AuthApp, service: AuthService): void {
  const { settings } = service;

  app.get("/user", async (c) => {
    const { account } = await requireCaller(service, c.req.raw);
    return c.json(userJson(account));
  });

  app.put("/user", async (c) => {
    const caller = await requireCaller(service, c.req.raw);
    const body = await readBody(c.req.raw, UpdateBody);
    const redirectTo = redirectTarget(c.req.raw, settings);
    return c.json(await updateOwnUser(service, caller, body, redirectTo));
  });

  app.post("/logout", async (c) => {
    const scope = c.req.query("scope") || "global";
    if (!SCOPES.includes(scope)) throw invalid(`Unsupported logout scope "${scope}"`);
    const { account, session } = await requireCaller(service, c.req.raw);
    await service.write((tx) => signOut(tx, account.id, session.id, scope));
    return c.body(null, 204);
  });

  app.on(["GET", "DELETE"], "/user/identities/:id", async (c) => {
    await requireCaller(service, c.req.raw);
    throw new AuthError(404, "manual_linking_disabled", "Manual linking is disabled");
  });
}

async function signOut(tx: Db, userId: string, sessionId: string, scope: string): Promise<void> {
  await lockUser(tx, userId);
  if (scope === "global") await tx`delete from auth.sessions where user_id = ${userId}`;
  else if (scope === "local") await tx`delete from auth.sessions where id = ${sessionId}`;
  else await endOtherSessions(tx, userId, sessionId);
}

async function endOtherSessions(tx: Db, userId: string, sessionId: string): Promise<void> {
  await tx`delete from auth.sessions where user_id = ${userId} and id <> ${sessionId}`;
}

async function updateOwnUser(
  service: AuthService,
  caller: Caller,
  params: UpdateParams,
  redirectTo: string,
): Promise<Record<string, unknown>> {
  const { account, session } = caller;
  const newEmail = await checkUpdate(service, caller, params);
  const { password, data } = params;
  const passwordHash = password ? await newPasswordHash(service, caller, password) : undefined;
  let mails: Mail[] = [];
  const updated = await service.write(async (tx) => {
    const now = service.now();
    const locked = await lockUser(tx, account.id) ?? account;
    if (passwordHash !== undefined) {
      if (needsNonce(service, caller)) await useNonce(service, tx, caller, params.nonce);
      await updateUser(tx, account.id, {
        encrypted_password: passwordHash,
        recovery_token: null,
        reauthentication_token: null,
      }, now);
      await endOtherSessions(tx, account.id, session.id);
    }
    if (data) {
      const raw_user_meta_data = mergeMetadata(locked.raw_user_meta_data, data);
      await updateUser(tx, account.id, { raw_user_meta_data }, now);
    }
    const current = await getById(tx, account.id);
    if (newEmail && account.is_anonymous && !service.settings.email.enable_confirmations) {
      await changeEmail(service, tx, current, newEmail);
    } else if (newEmail) {
      mails = await changeEmailMails(service, tx, current, newEmail, {
        redirectTo,
        challenge: params,
      });
    }
    return await getById(tx, account.id);
  });
  for (const mail of mails) sendMail(service, mail);
  return userJson(updated);
}

/** Checks what a person may change; answers the new address, if there is one. */
async function checkUpdate(
  service: AuthService,
  { account, session }: Caller,
  { email, phone, password, app_metadata }: UpdateParams,
): Promise<string | undefined> {
  if (app_metadata) {
    throw new AuthError(403, "not_admin", "Updating app_metadata requires admin privileges");
  }
  if (phone && phone !== account.phone) throw phoneDisabled();
  const wanted = email ? normalizeEmail(email) : undefined;
  const newEmail = wanted === account.email ? undefined : wanted;
  if ((password || newEmail) && hasVerifiedFactor(account) && session.aal !== "aal2") {
    throw new AuthError(
      401,
      "insufficient_aal",
      "AAL2 session is required to update email or password when MFA is enabled.",
    );
  }
  if (password && account.is_anonymous && !newEmail) {
    throw invalid(
      "Updating password of an anonymous user without an email or phone is not allowed",
      422,
    );
  }
  if (newEmail && await findByEmail(service.read, newEmail)) throw emailExists();
  return newEmail;
}

async function newPasswordHash(
  service: AuthService,
  { account }: Caller,
  password: string,
): Promise<string> {
  checkPasswordStrength(password, service.settings);
  if (await isPassword(password, account.encrypted_password)) {
    throw new AuthError(
      422,
      "same_password",
      "New password should be different from the old password.",
    );
  }
  return await hashPassword(password);
}

/** Whether the sign-in of this session is too old for a change of password without a new proof. */
function needsNonce({ settings, context }: AuthService, { session }: Caller): boolean {
  const age = context.now() - new Date(session.created_at).getTime();
  return settings.email.secure_password_change && age > REAUTHENTICATE_AFTER_MS;
}

async function useNonce(
  service: AuthService,
  tx: Db,
  { account }: Caller,
  nonce: string | null | undefined,
): Promise<void> {
  if (!nonce) {
    throw new AuthError(
      400,
      "reauthentication_needed",
      "Password update requires reauthentication",
    );
  }
  const current = await getById(tx, account.id);
  const hash = await hashCode(account.email ?? "", nonce);
  const good = current.reauthentication_token === hash &&
    !isCodeExpired(service, current.reauthentication_sent_at);
  if (!good) {
    throw new AuthError(
      422,
      "reauthentication_not_valid",
      "Nonce has expired or is invalid",
    );
  }
}
