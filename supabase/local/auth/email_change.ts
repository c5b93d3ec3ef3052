// Changing an e-mail address: codes to the old and the new address, and what each of them proves.

import { changeEmail } from "./accounts.ts";
import { checkFrequency, type Mail, makeCode, startPkce } from "./one_time.ts";
import type { Challenge } from "./one_time.ts";
import type { AuthService, Db } from "./service.ts";
import { type Account, updateUser } from "./users.ts";

/** Keeps the wish for a new address and returns the mails that ask both addresses to confirm it. */
export async function changeEmailMails(
  service: AuthService,
  tx: Db,
  account: Account,
  newEmail: string,
  { redirectTo, challenge }: { redirectTo: string; challenge?: Challenge },
): Promise<Mail[]> {
  checkFrequency(service, account.email_change_sent_at);
  const prefix = await startPkce(service, tx, account.id, "email_change", challenge);
  const kind = "email_change" as const;
  const toNew = await makeCode(service, newEmail, prefix);
  const mails: Mail[] = [{ ...toNew, kind, to: newEmail, redirectTo }];
  const { email } = account;
  const toCurrent = email && service.settings.email.double_confirm_changes
    ? await makeCode(service, email, prefix)
    : undefined;
  if (email && toCurrent) mails.push({ ...toCurrent, kind, to: email, redirectTo });
  const now = service.now();
  await updateUser(tx, account.id, {
    email_change: newEmail,
    email_change_token_new: toNew.hash,
    email_change_token_current: toCurrent?.hash ?? null,
    email_change_sent_at: now,
    email_change_confirm_status: 0,
  }, now);
  return mails;
}

/**
 * Takes one confirmation of a change of address. Answers false when the other address has to
 * confirm it too.
 *
 * @param hash The hash of the code that was given, which stands in one of the two columns.
 */
export async function confirmEmailChange(
  service: AuthService,
  tx: Db,
  account: Account,
  hash: string,
): Promise<boolean> {
  const { double_confirm_changes } = service.settings.email;
  const { email, email_change } = account;
  if (!email_change) throw new Error("A code for a change of address came without the address");
  if (double_confirm_changes && email && account.email_change_confirm_status === 0) {
    const column = account.email_change_token_current === hash
      ? "email_change_token_current"
      : "email_change_token_new";
    await updateUser(
      tx,
      account.id,
      { [column]: null, email_change_confirm_status: 1 },
      service.now(),
    );
    return false;
  }
  await changeEmail(service, tx, account, email_change);
  return true;
}
