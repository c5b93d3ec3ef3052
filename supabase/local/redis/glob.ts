// Patterns of KEYS, SCAN and PSUBSCRIBE: `*`, `?`, `[a-z]`, `[^a]`, and `\` before what is meant as it is.

/** Builds a test of names. */
export function glob(pattern: string): (name: string) => boolean {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern[at]!;
    if (letter === "*") source += ".*";
    else if (letter === "?") source += ".";
    else if (letter === "\\" && at + 1 < pattern.length) source += literal(pattern[++at]!);
    else if (letter === "[") {
      const end = pattern.indexOf("]", at + 1);
      const inner = end < 0 ? pattern.slice(at + 1) : pattern.slice(at + 1, end);
      const [, negation, members] = /^(\^?)(.*)$/s.exec(inner)!;
      const safe = members!.replaceAll(/[\\\]^[]/g, "\\$&");
      source += safe === "" ? "(?!)" : `[${negation}${safe}]`;
      at = end < 0 ? pattern.length : end;
    } else source += literal(letter);
  }
  const expression = new RegExp(`^${source}$`, "s");
  return (name) => expression.test(name);
}

function literal(letter: string): string {
  return letter.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}
