// What a wrapped data key is bound to, so that it cannot stand in for another one.

/** Uses of data keys, as `private.data_keys` has them. */
export type DataKeyPurpose = "record_file" | "patient_fields";

/** Names a data key for `KeyRing.wrap` and `unwrap`: `<purpose>:<key's id>:<subject's id>`. */
export function dataKeyContext(
  { id, purpose, subject_id }: { id: string; purpose: DataKeyPurpose; subject_id: string },
): string {
  // The database writes ids in lower case; a caller may not.
  return `${purpose}:${id}:${subject_id}`.toLowerCase();
}
