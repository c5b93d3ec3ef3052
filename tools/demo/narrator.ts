// Tells a story line by line and keeps account of whether things went as they must.

import type { Outcome } from "./outcome.ts";

/** Prints steps and what came of them. */
export class Narrator {
  #chapters = 0;
  #met = 0;
  #unmet: string[] = [];
  #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  /** Begins a numbered step. */
  chapter(title: string): void {
    this.#print(`\n${++this.#chapters}. ${title}`);
  }

  /** Says how it was done, as a developer would write it. */
  did(call: string): void {
    this.#print(`   > ${call}`);
  }

  /** Says something that is not at stake. */
  tell(line: string): void {
    this.#print(line ? `     ${line}` : "");
  }

  /** Says what came back, and remembers whether that is as it must be. */
  expect(what: string, isMet: boolean): void {
    if (isMet) this.#met++;
    else this.#unmet.push(`${this.#chapters}. ${what}`);
    this.#print(isMet ? `   ✓ ${what}` : `   ✗ NOT AS IT MUST BE: ${what}`);
  }

  /** Says that a request was answered with data. */
  allowed(what: string, { refusal, detail }: Outcome<unknown>): void {
    this.expect(refusal ? `${what} (was refused: ${refusal}, ${detail})` : what, !refusal);
  }

  /** Says that a request was refused, which must have happened with this status and code. */
  refused(what: string, { refusal, detail }: Outcome<unknown>, expected: string): void {
    const came = refusal ? `${refusal} (${detail})` : "no refusal";
    this.expect(`${what} is refused: ${came}`, refusal === expected);
  }

  /** Says how it ended; answers whether all was as it must be. */
  end(): boolean {
    const total = this.#met + this.#unmet.length;
    this.#print(`\n${this.#met} of ${total} things were as they must be`);
    for (const what of this.#unmet) this.#print(`  not: ${what}`);
    return this.#unmet.length === 0 && total > 0;
  }
}

/** Lines of a table whose columns are as wide as what stands in them. */
export function tableLines(head: string[], rows: string[][]): string[] {
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => [...(row[column] ?? "")].length))
  );
  const line = (cells: string[]) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd();
  return [line(head), line(widths.map((width) => "─".repeat(width))), ...rows.map(line)];
}
