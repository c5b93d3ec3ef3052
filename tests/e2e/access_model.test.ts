// Thousands of random stories of care, shares, charts, emergencies, sign-outs and time, replayed on
// a database and in a model of its own making: after every step both let everybody read the same.
// BL_MODEL_SEED repeats a run; fast-check prints the seed and the shortest story of a failure.

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { anyStory, type Broken, withTheatres } from "../support/access_stories.ts";

const STORIES = 2000;
const LANES = 2;

/** Refusals that 2,000 stories come to by the dozen. */
const SEEN_TO = [
  "open_chart not_found",
  "open_chart not_verified",
  "open_record not_found",
  "open_record unauthenticated",
  "break_glass not_verified",
  "break_glass already_in_care",
  "break_glass review_pending",
  "request_care already_requested",
  "share already_shared",
  "review forbidden",
];

Deno.test("random stories let everybody read what the model says, after every step", async () => {
  const seed = Number(Deno.env.get("BL_MODEL_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  await withTheatres(LANES, async (theatres) => {
    const told = new Set<string>();
    const began = performance.now();
    await Promise.all(theatres.map((theatre, lane) => {
      const property = fc.asyncProperty(anyStory, async (story) => {
        for (const words of await theatre.play(story)) told.add(words);
      });
      return fc.assert(property, { seed: seed + lane, numRuns: STORIES / LANES });
    }));
    const seconds = (performance.now() - began) / 1000;
    console.log(
      `${STORIES} stories agree, seed ${seed}: ${Math.round(STORIES / seconds)} a second`,
    );
    // Stories in which nothing comes of anything would agree, too.
    const kinds = new Set([...told].map((words) => words.split(" ")[0]));
    assertEquals([...kinds].filter((kind) => !told.has(`${kind} done`)), []);
    for (const words of SEEN_TO) assert(told.has(words), `no story came to: ${words}`);
  });
});

/** Rules that somebody might break, each found by a story among the first few hundred. */
const BROKEN: (Broken & { what: string })[] = [
  {
    what: "a chart left alone stays open",
    function: "private.chart_is_open(public.chart_sessions)",
    ...{ text: "and private.chart_idles_at(p_chart) > now()", by: "" },
  },
  {
    what: "a caregiver's scopes are not asked for",
    function: "private.chart_patient_ids(text)",
    ...{ text: "or p_scope = any (g.scopes)", by: "or true" },
  },
  {
    what: "sensitive records are shown as others are",
    table: "medical_records",
    ...{ text: "(sensitivity = 'normal'::text)", by: "true" },
  },
  {
    what: "contents of sensitive records are shown as others are",
    table: "medical_record_contents",
    ...{ text: "(sensitivity = 'normal'::text)", by: "true" },
  },
  {
    what: "a share does not expire",
    function: "private.share_is_live(public.medical_record_shares)",
    ...{ text: "and p_share.expires_at > now()", by: "" },
  },
  {
    what: "a share is not revoked",
    function: "private.share_is_live(public.medical_record_shares)",
    ...{ text: "p_share.revoked_at is null and", by: "" },
  },
  {
    what: "what was opened by one share is read by the next",
    function: "private.opened_record_ids()",
    ...{ text: "o.opened_at >= g.since", by: "true" },
  },
  {
    what: "a verification that was withdrawn still counts",
    function: "private.verified_doctor(uuid)",
    ...{ text: "and d.verified_at is not null", by: "" },
  },
  {
    what: "a locked account reads on",
    function: "private.active_account(uuid)",
    ...{ text: "and p.is_active", by: "" },
  },
  {
    what: "one factor is enough",
    function: "private.clinical_account(jsonb)",
    ...{ text: "or p_claims ->> 'aal' = 'aal2'", by: "or true" },
  },
  {
    what: "care that has lapsed is active",
    function: "private.care_is_active(public.care_relationships)",
    ...{ text: "and (p_care.ends_at is null or p_care.ends_at > now())", by: "" },
  },
  {
    what: "an unjustified emergency stays open",
    function: "private.review_emergency_access(uuid,text,text)",
    ...{ text: "p_outcome = 'unjustified' and c.expires_at > now()", by: "false" },
  },
  {
    what: "a deleted record is still shown",
    table: "medical_records",
    ...{ text: "(deleted_at IS NULL)", by: "true" },
  },
];

Deno.test("a rule that is broken is found by some story", async () => {
  await withTheatres(LANES, async (theatres) => {
    const rules = [...BROKEN];
    await Promise.all(theatres.map(async ({ play, withBroken }) => {
      for (let rule = rules.shift(); rule; rule = rules.shift()) {
        await withBroken(rule, async () => {
          const property = fc.asyncProperty(anyStory, async (story) => {
            await play(story);
          });
          const { failed, numRuns } = await fc.check(property, {
            ...{ seed: 1, numRuns: 600, endOnFailure: true },
          });
          assertEquals(failed, true, `${rule?.what}, and ${numRuns} stories do not show it`);
          console.log(`${rule?.what}: story ${numRuns}`);
        });
      }
    }));
  });
});
