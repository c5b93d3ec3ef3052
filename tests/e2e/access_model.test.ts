// Thousands of random stories of care, shares, charts, emergencies, sign-outs and time, replayed on a
// database and in a model of its own making: after every step both let everybody read the same.
// BL_MODEL_SEED repeats a run; fast-check prints the seed and the shortest story of a failure.

import fc from "fast-check";
import { anyStory, withTheatres } from "../support/access_stories.ts";

const STORIES = 2000;
const LANES = 2;

Deno.test("after every step of random stories, everybody reads what the model says and no more", async () => {
  const seed = Number(Deno.env.get("BL_MODEL_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  await withTheatres(LANES, async (theatres) => {
    const began = performance.now();
    await Promise.all(
      theatres.map((theatre, lane) =>
        fc.assert(fc.asyncProperty(anyStory, theatre.play), {
          seed: seed + lane,
          numRuns: STORIES / LANES,
        })
      ),
    );
    const seconds = (performance.now() - began) / 1000;
    console.log(
      `${STORIES} stories agree, seed ${seed}: ${Math.round(STORIES / seconds)} a second`,
    );
  });
});
