// Weakens and narrows conditions as PostgreSQL prints them, in which every AND and every OR stands
// in parentheses of its own, as does each of its parts.

/** A condition of which one part was left out. */
export interface Shortened {
  /** The part: of an AND it was asked for beside the others, of an OR it was enough by itself. */
  part: string;
  /** `conjunct`: the condition holds more often without it; `alternative`: less often. */
  role: "conjunct" | "alternative";
  /** The condition, or the statement around it, without the part. */
  text: string;
}

/** Lists every way to leave one part out of an AND or an OR, at any depth of the text. */
export function leaveOneOut(text: string): Shortened[] {
  return groups(text).flatMap(({ parts, operator }) =>
    parts.map(({ from, to }, i) => {
      // The operator before the part goes with it; of the first part, the one behind.
      const begin = i > 0 ? parts[i - 1]!.to : from;
      const end = i > 0 ? to : parts[1]!.from;
      return {
        part: oneLine(text.slice(from, to)),
        role: operator === "AND" ? "conjunct" : "alternative",
        text: text.slice(0, begin) + text.slice(end),
      };
    })
  );
}

/** The text in one line, without the names that PostgreSQL gives the columns of a subquery. */
export function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(/\( /g, "(").replace(/(\w+\([^()]*\)) AS \w+\)/g, "$1)")
    .trim();
}

interface Group {
  operator: string;
  /** Places of the parts, blanks trimmed. */
  parts: { from: number; to: number }[];
}

interface Level {
  /** Where its text begins, behind the parenthesis. */
  from: number;
  /** AND and OR that stand on this level, by place. */
  operators: { word: string; from: number; to: number }[];
  /** Whether an AND here belongs to a BETWEEN, as in the frame of a window. */
  between: boolean;
}

/** What stands between two parentheses: a quoted text, a word, or one of the parentheses. */
const TOKEN = /E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|\w+|[()]/gs;

function groups(text: string): Group[] {
  const found: Group[] = [];
  const levels: Level[] = [];
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const level = levels.at(-1);
    if (token === "(") levels.push({ from: index + 1, operators: [], between: false });
    else if (token === ")") {
      const closed = levels.pop();
      if (!closed) throw new Error(`Cannot read the condition as it closes a parenthesis: ${text}`);
      if (closed.operators.length > 0 && !closed.between) found.push(groupOf(text, closed, index));
    } else if (level && (token === "AND" || token === "OR")) {
      level.operators.push({ word: token, from: index, to: index + token.length });
    } else if (level && token === "BETWEEN") level.between = true;
  }
  if (levels.length > 0) {
    throw new Error(`Cannot read the condition as a parenthesis stays open: ${text}`);
  }
  return found;
}

function groupOf(text: string, { from, operators }: Level, to: number): Group {
  const words = new Set(operators.map(({ word }) => word));
  if (words.size > 1) {
    throw new Error(`Cannot read the condition as AND and OR stand side by side: ${text}`);
  }
  const begins = [from, ...operators.map((operator) => operator.to)];
  const ends = [...operators.map((operator) => operator.from), to];
  return {
    operator: operators[0]!.word,
    parts: begins.map((begin, i) => trimmed(text, begin, ends[i]!)),
  };
}

function trimmed(text: string, from: number, to: number): { from: number; to: number } {
  const part = text.slice(from, to);
  return { from: from + part.search(/\S/), to: from + part.trimEnd().length };
}
