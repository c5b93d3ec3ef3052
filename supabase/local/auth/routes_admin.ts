// Administration of users: create, list, read, change, delete, and the factors of a user. Open to
// the secret key and to tokens of the role `service_role`.

import { z } from "zod";
import {
  createAccount,
  EMAIL_PROVIDER,
  emailExists,
  putEmailIdentity,
  taken,
  TakenError,
} from "./accounts.ts";
import type { AuthApp } from "./app.ts";
import { metadata, normalizeEmail, readBody, text } from "./body.ts";
import { isUuid, requireAdmin } from "./caller.ts";
import { AuthError, invalid } from "./errors.ts";
import { hashCode } from "./one_time.ts";
import {
  checkPasswordStrength,
  hashPassword,
  hashRandomPassword,
  isPasswordHash,
} from "./passwords.ts";
import { removeFactor, requireFactor } from "./routes_factors.ts";
import type { AuthService, Db } from "./service.ts";
import { durationMs } from "./settings.ts";
import {
  type Account,
  accountColumns,
  factorJson,
  findById,
  getById,
  lockUser,
  mergeMetadata,
  updateUser,
  userJson,
  type UserRow,
} from "./users.ts";

const UserBody = z.object({
  id: text,
  email: text,
  phone: text,
  password: text,
  password_hash: text,
  email_confirm: z.boolean().nullish(),
  phone_confirm: z.boolean().nullish(),
  user_metadata: metadata,
  app_metadata: metadata,
  role: text,
  ban_duration: text,
});
type UserParams = z.infer<typeof UserBody>;

const DeleteBody = z.object({ should_soft_delete: z.boolean().nullish() });

const MAX_PER_PAGE = 1000;

/** Adds the routes of administration. */
export function addAdminRoutes(app: AuthApp, service: AuthService): void {
  app.use("/admin/*", async (c, next) => {
    await requireAdmin(service, c.req.raw, c.var.keyRole);
    await next();
  });

  app.get("/admin/users", async (c) => {
    const page = positive(c.req.query("page"), 1);
    const perPage = Math.min(positive(c.req.query("per_page"), 50), MAX_PER_PAGE);
    const [count] = await service.read<{ total: number }[]>`
      select count(*)::integer as total from auth.users`;
    const accounts = await service.read<Account[]>`
      select ${accountColumns(service.read)} from auth.users as u
      order by u.created_at desc, u.id limit ${perPage} offset ${(page - 1) * perPage}`;
    const { total = 0 } = count ?? {};
    c.header("x-total-count", String(total));
    c.header("link", pageLinks(page, perPage, total));
    return c.json({ users: accounts.map(userJson), aud: "authenticated" });
  });

  app.post("/admin/users", async (c) => {
    const body = await readBody(c.req.raw, UserBody);
    return c.json(userJson(await createUser(service, body)));
  });

  app.get("/admin/users/:id", async (c) => {
    return c.json(userJson(await requireUser(service.read, c.req.param("id"))));
  });

  app.put("/admin/users/:id", async (c) => {
    const { id } = await requireUser(service.read, c.req.param("id"));
    const body = await readBody(c.req.raw, UserBody);
    return c.json(userJson(await changeUser(service, id, body)));
  });

  app.delete("/admin/users/:id", async (c) => {
    const { id } = await requireUser(service.read, c.req.param("id"));
    const { should_soft_delete } = c.req.raw.body ? await readBody(c.req.raw, DeleteBody) : {};
    await service.write(async (tx) => {
      if (should_soft_delete) await softDelete(service, tx, id);
      else await tx`delete from auth.users where id = ${id}`;
    });
    return c.json({});
  });

  app.get("/admin/users/:id/factors", async (c) => {
    const { factors } = await requireUser(service.read, c.req.param("id"));
    return c.json(factors.map(factorJson));
  });

  app.delete("/admin/users/:id/factors/:factor", async (c) => {
    const { id, factors } = await requireUser(service.read, c.req.param("id"));
    const factor = requireFactor(factors, c.req.param("factor"));
    await service.write((tx) => removeFactor(service, tx, id, factor.id));
    return c.json(factorJson(factor));
  });
}

function positive(value: string | undefined, fallback: number): number {
  if (!value) return fallback;
  if (!/^\d{1,9}$/.test(value) || Number(value) === 0) {
    throw invalid(`Bad Pagination Parameters: expected a positive number, got "${value}"`);
  }
  return Number(value);
}

/** `Link` header of a list; `page` comes first in the query, where the client looks for it. */
function pageLinks(page: number, perPage: number, total: number): string {
  const last = Math.max(1, Math.ceil(total / perPage));
  const link = (target: number, rel: string) =>
    `</admin/users?page=${target}&per_page=${perPage}>; rel="${rel}"`;
  const links = [link(last, "last")];
  if (page < last) links.unshift(link(page + 1, "next"));
  return links.join(", ");
}

/** The account with this id, for an administrator. */
async function requireUser(db: Db, id: string): Promise<Account> {
  if (!isUuid(id)) throw invalid("user_id must be an UUID", 404);
  const account = await findById(db, id);
  if (!account) throw new AuthError(404, "user_not_found", "User not found");
  return account;
}

/** When a ban that begins now ends; null for none. */
function banEnd(service: AuthService, duration: string): Date | null {
  if (duration === "none") return null;
  const ms = durationMs(duration);
  if (ms === undefined) throw invalid(`invalid format for ban duration: "${duration}"`);
  return new Date(service.context.now() + ms);
}

async function createUser(service: AuthService, params: UserParams): Promise<Account> {
  const email = params.email ? normalizeEmail(params.email) : null;
  const phone = params.phone ? normalizePhone(params.phone) : null;
  if (!email && !phone) throw invalid("Cannot create a user without either an email or phone");
  if (params.id && !isUuid(params.id)) throw invalid("ID must conform to the uuid v4 format");
  const passwordHash = await givenPasswordHash(service, params) ?? await hashRandomPassword();
  const emailConfirmed = Boolean(email && params.email_confirm);
  const provider = email ? "email" : "phone";
  try {
    return await service.write((tx) =>
      createAccount(service, tx, {
        id: params.id ?? undefined,
        email,
        phone,
        passwordHash,
        emailConfirmed,
        phoneConfirmed: Boolean(phone && params.phone_confirm),
        role: params.role,
        userMetadata: {
          ...params.user_metadata,
          ...emailConfirmed ? { email_verified: true } : {},
        },
        appMetadata: { provider, providers: [provider], ...params.app_metadata },
        bannedUntil: params.ban_duration ? banEnd(service, params.ban_duration) : null,
      })
    );
  } catch (error) {
    throw error instanceof TakenError ? takenFailure(error) : error;
  }
}

function takenFailure({ field }: TakenError): AuthError {
  if (field === "email") return emailExists();
  if (field === "id") return new AuthError(422, "user_already_exists", "User already registered");
  return new AuthError(
    422,
    "phone_exists",
    "A user with this phone number has already been registered",
  );
}

/** E.164 without the plus sign, as the database keeps it. */
function normalizePhone(phone: string): string {
  const digits = phone.replace(/^\+/, "").replaceAll(" ", "");
  if (!/^[1-9]\d{1,14}$/.test(digits)) {
    throw invalid("Invalid phone number format (E.164 required)");
  }
  return digits;
}

async function givenPasswordHash(
  { settings }: AuthService,
  { password, password_hash }: UserParams,
): Promise<string | undefined> {
  if (password && password_hash) {
    throw invalid("Only a password or a password hash should be provided");
  }
  if (password_hash) {
    if (!isPasswordHash(password_hash)) throw invalid("Invalid password hash: bcrypt is expected");
    return password_hash;
  }
  if (!password) return undefined;
  checkPasswordStrength(password, settings);
  return await hashPassword(password);
}

async function changeUser(
  service: AuthService,
  id: string,
  params: UserParams,
): Promise<Account> {
  const passwordHash = await givenPasswordHash(service, params);
  const email = params.email ? normalizeEmail(params.email) : undefined;
  const phone = params.phone ? normalizePhone(params.phone) : undefined;
  try {
    return await service.write(async (tx) => {
      const now = service.now();
      const account = await lockUser(tx, id);
      if (!account) throw new AuthError(404, "user_not_found", "User not found");
      const changes: Partial<UserRow> = {};
      if (email) changes.email = email;
      if (phone) changes.phone = phone;
      if (params.role) changes.role = params.role;
      if (params.email_confirm) changes.email_confirmed_at = account.email_confirmed_at ?? now;
      if (params.phone_confirm) changes.phone_confirmed_at = account.phone_confirmed_at ?? now;
      if (params.ban_duration) changes.banned_until = banEnd(service, params.ban_duration);
      Object.assign(changes, metadataChanges(account, params, Boolean(email)));
      if (passwordHash) Object.assign(changes, NO_CODES, { encrypted_password: passwordHash });
      await updateUser(tx, id, changes, now);
      if (passwordHash) await tx`delete from auth.sessions where user_id = ${id}`;
      const address = email ?? account.email;
      if (address && (email || params.email_confirm)) {
        const verified = Boolean(params.email_confirm || account.email_confirmed_at);
        await putEmailIdentity(service, tx, id, address, verified);
      }
      return await getById(tx, id);
    });
  } catch (error) {
    const conflict = taken(error);
    throw conflict ? takenFailure(conflict) : error;
  }
}

const NO_CODES = {
  confirmation_token: null,
  recovery_token: null,
  email_change_token_new: null,
  email_change_token_current: null,
  reauthentication_token: null,
};

function metadataChanges(
  account: Account,
  { user_metadata, app_metadata, email_confirm }: UserParams,
  hasNewEmail: boolean,
): Partial<UserRow> {
  const user = { ...user_metadata, ...email_confirm ? { email_verified: true } : {} };
  const providers = hasNewEmail && account.is_anonymous ? EMAIL_PROVIDER : {};
  return {
    raw_user_meta_data: mergeMetadata(account.raw_user_meta_data, user),
    raw_app_meta_data: mergeMetadata(account.raw_app_meta_data, { ...providers, ...app_metadata }),
    is_anonymous: account.is_anonymous && !hasNewEmail,
  };
}

/** Takes everything from an account that tells whose it was, and leaves its row. */
async function softDelete(service: AuthService, tx: Db, id: string): Promise<void> {
  const account = await lockUser(tx, id);
  if (!account) return;
  const now = service.now();
  const hidden = async (value: string | null) => value && await hashCode(value, id);
  await updateUser(tx, id, {
    ...NO_CODES,
    email: await hidden(account.email),
    phone: await hidden(account.phone),
    email_change: null,
    encrypted_password: null,
    raw_user_meta_data: {},
    raw_app_meta_data: {},
    deleted_at: now,
  }, now);
  await tx`delete from auth.sessions where user_id = ${id}`;
  await tx`delete from auth.mfa_factors where user_id = ${id}`;
  await tx`delete from auth.identities where user_id = ${id}`;
}
