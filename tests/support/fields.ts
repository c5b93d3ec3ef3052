// Encrypted fields in stories: written, read and searched through the functions.

import { type Person, tokenOf } from "./auth.ts";
import { type Answer, refusalOf, send } from "./requests.ts";

/** The encrypted fields of a patient. */
export interface Contact {
  phone: string | null;
  address: string | null;
  insurance_policy_number: string | null;
  emergency_contact_phone: string | null;
}

export const CONTACT: Contact = {
  phone: "+91 98450 00117",
  address: "14, 3rd Cross, Jayanagar 4th Block",
  insurance_policy_number: "HX 204-118/a",
  emergency_contact_phone: "(080) 2663 0118",
};

/** Sends a request to a function as a person; answers whatever came. */
export async function ask(
  { client }: Person,
  method: "POST" | "PUT" | "PATCH",
  path: string,
  body: unknown,
): Promise<Answer> {
  return await send(`/functions/v1/${path}`, {
    method,
    token: await tokenOf(client),
    body: JSON.stringify(body),
  });
}

/** As {@link ask}, for a request that must succeed; answers `data`. */
async function mustAsk(...request: Parameters<typeof ask>) {
  const answer = await ask(...request);
  if (answer.status !== 200) throw new Error(`${request[2]}: ${refusalOf(answer).join(" ")}`);
  return answer.body.data;
}

export const writeContact = (person: Person, contact: Partial<Contact>) =>
  mustAsk(person, "PATCH", "identity/patient", contact);

/** The fields of those patients whom the person may see. */
export const readContacts = (
  person: Person,
  ...patients: { id: string }[]
): Promise<(Contact & { id: string })[]> =>
  mustAsk(person, "POST", "identity/patients/read", { patient_ids: patients.map(({ id }) => id) });

/** Ids of the patients who are found by phone or policy number. */
export async function search(person: Person, by: object): Promise<string[]> {
  const found: { id: string }[] = await mustAsk(person, "POST", "identity/patients/search", by);
  return found.map(({ id }) => id);
}

export const describe = (person: Person, recordId: string, description: string | null) =>
  mustAsk(person, "PUT", `records/${recordId}/description`, { description });

/** Descriptions of those records whose contents the person may see. */
export async function descriptions(
  person: Person,
  ...record_ids: string[]
): Promise<(string | null)[]> {
  const rows = await mustAsk(person, "POST", "records/descriptions/read", { record_ids });
  return rows.map(({ description }: { description: string | null }) => description);
}
