// `identity`: the encrypted fields of patients.

import type { Hono } from "hono";
import { z } from "zod";
import { type AppEnv, newApp } from "../_shared/app.ts";
import type { Deps } from "../_shared/deps.ts";
import { ok } from "../_shared/envelope.ts";
import { withFields } from "../_shared/field_deps.ts";
import { buildDocument, describe } from "../_shared/openapi.ts";
import { type RateLimit, rateLimited } from "../_shared/rate_limit.ts";
import { validate } from "../_shared/validate.ts";
import { findPatients, readFields, writeFields } from "./patient_fields.ts";
import {
  FoundPatient,
  PatchedPatient,
  PatchPatientBody,
  PatientFields,
  ReadPatientsBody,
  SearchPatientsBody,
} from "./schemas.ts";

const DOCUMENT_PATH = "/identity/openapi.json";

const WRITE_LIMIT: RateLimit = { capacity: 30, refillSeconds: 60 };
const READ_LIMIT: RateLimit = { capacity: 120, refillSeconds: 60 };
/** Low, because a search is a guess. */
const SEARCH_LIMIT: RateLimit = { capacity: 20, refillSeconds: 60 };
const DOCUMENT_LIMIT: RateLimit = { capacity: 60, refillSeconds: 60 };

/** Builds the identity app. */
export function createApp(productDeps: Deps): Hono<AppEnv> {
  const deps = withFields(productDeps);
  const app = newApp(deps, { name: "identity", publicPaths: [DOCUMENT_PATH] });

  app.patch(
    "/identity/patient",
    describe({
      summary: "Write encrypted fields of one's own registry row",
      description: "What is left out stays as it is; null empties a field.",
      data: PatchedPatient,
      problems: ["not_found"],
    }),
    rateLimited(deps, WRITE_LIMIT),
    validate("json", PatchPatientBody),
    async (c) => ok(c, await writeFields(deps, c.var.caller, c.req.valid("json"))),
  );

  app.post(
    "/identity/patients/read",
    describe({
      summary: "Read the encrypted fields of patients",
      description:
        "Patients whom the caller may not see are left out. Every other is in that patient's " +
        "access log.",
      data: z.array(PatientFields),
    }),
    rateLimited(deps, READ_LIMIT),
    validate("json", ReadPatientsBody),
    async (c) => ok(c, await readFields(deps, c.var.caller, c.req.valid("json").patient_ids)),
  );

  app.post(
    "/identity/patients/search",
    describe({
      summary: "Find patients by phone or policy number",
      description:
        "Among those whom the caller may see; finding one is in that patient's access log. Of a " +
        "phone number the country counts where both numbers name it, by + or 00; of a policy " +
        "number, letters and digits count.",
      data: z.array(FoundPatient),
    }),
    rateLimited(deps, SEARCH_LIMIT),
    validate("json", SearchPatientsBody),
    async (c) => ok(c, await findPatients(deps, c.var.caller, c.req.valid("json"))),
  );

  app.get(
    DOCUMENT_PATH,
    describe({ summary: "This document", is_public: true }),
    rateLimited(deps, DOCUMENT_LIMIT),
    (c) => {
      c.header("Cache-Control", "public, max-age=300");
      return c.json(document);
    },
  );

  const document = buildDocument(app, "Identity", `${deps.publicUrl}/functions/v1`);
  return app;
}
