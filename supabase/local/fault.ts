// A fault that the person at the keyboard can mend: main.ts prints its one sentence, no stack.

/** Something outside the program is wrong; `message` is one sentence that says what and the cure. */
export class Fault extends Error {
  override readonly name = "Fault";
}
