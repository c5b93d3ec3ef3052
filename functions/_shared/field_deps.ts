// What handles encrypted fields, made once an app, so that unwrapped keys are kept between requests.

import { type BlindIndex, openBlindIndex } from "./blind_index.ts";
import type { Deps } from "./deps.ts";
import { createFieldVault, type FieldVault } from "./fields.ts";

/** Dependencies with what seals, opens and digests fields. */
export interface FieldDeps extends Deps {
  vault: FieldVault;
  blindIndex: BlindIndex;
}

/** Adds them. */
export function withFields(deps: Deps): FieldDeps {
  return {
    ...deps,
    vault: createFieldVault(deps),
    blindIndex: openBlindIndex(deps.blindIndexKey),
  };
}
