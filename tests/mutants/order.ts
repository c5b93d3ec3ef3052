// Which file of the suite to run first on a mutant: the one that most likely notices it for the time
// it takes. Learns while the mutants run; only how long the whole takes depends on it.

import type { Mutant } from "./mutant.ts";

/** One file of the suite that the unchanged database passes. */
export interface SuiteFile {
  /** For messages, for example `00_catalog.test.sql`. */
  name: string;
  text: string;
  /** What it took on the unchanged database. */
  seconds: number;
}

/** How much more a mutant of the same table tells than another of the same kind. */
const SAME_SUBJECT = 8;

/** Orders the files for each mutant, by what they noticed before. */
export class Order {
  readonly #tried = new Map<string, number>();
  readonly #noticed = new Map<string, number>();

  constructor(readonly files: SuiteFile[]) {}

  /** All files, the most promising first. */
  for(mutant: Mutant): SuiteFile[] {
    const word = new RegExp(`\\b${mutant.subject}\\b`, "g");
    const mentions = this.files.map(({ text }) => text.match(word)?.length ?? 0);
    const all = mentions.reduce((sum, count) => sum + count, 1);
    return this.files
      .map((file, i) => ({
        file,
        worth: this.#chance(mutant, file, mentions[i]! / all) / file.seconds,
      }))
      .sort((a, b) => b.worth - a.worth)
      .map(({ file }) => file);
  }

  /** Notes whether the file noticed the mutant. */
  learn(mutant: Mutant, file: SuiteFile, noticed: boolean): void {
    for (const key of keys(mutant, file)) {
      this.#tried.set(key, (this.#tried.get(key) ?? 0) + 1);
      if (noticed) this.#noticed.set(key, (this.#noticed.get(key) ?? 0) + 1);
    }
  }

  /** Between 0 and 1; `prior` is what is thought of a file that has not been tried. */
  #chance(mutant: Mutant, file: SuiteFile, prior: number): number {
    const [kind, subject] = keys(mutant, file) as [string, string];
    const sum = (counts: Map<string, number>) =>
      (counts.get(kind) ?? 0) + SAME_SUBJECT * (counts.get(subject) ?? 0);
    return (sum(this.#noticed) + prior) / (sum(this.#tried) + 1);
  }
}

function keys({ kind, subject }: Mutant, { name }: SuiteFile): string[] {
  return [`${name} ${kind}`, `${name} ${kind} ${subject}`];
}
