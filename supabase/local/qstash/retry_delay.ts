// How long to wait before a retry: a formula of the queue's own, or an expression that the publisher
// gives, such as `pow(2, retried) * 1000`, in milliseconds over `retried` (0 for the first retry).

const FUNCTIONS: Record<string, { from: number; to: number; of: (...args: number[]) => number }> = {
  pow: { from: 2, to: 2, of: Math.pow },
  sqrt: { from: 1, to: 1, of: Math.sqrt },
  abs: { from: 1, to: 1, of: Math.abs },
  exp: { from: 1, to: 1, of: Math.exp },
  floor: { from: 1, to: 1, of: Math.floor },
  ceil: { from: 1, to: 1, of: Math.ceil },
  round: { from: 1, to: 1, of: Math.round },
  min: { from: 1, to: Infinity, of: Math.min },
  max: { from: 1, to: Infinity, of: Math.max },
};

const MAX_WAIT_SECONDS = 86_400;
const MAX_LENGTH = 500;
const MAX_DEPTH = 50;

type Expression = (retried: number) => number;

/**
 * Milliseconds before the retry that follows `retried` failed retries: 12 s, 2 min 28 s, 30 min 8 s,
 * 6 h 7 min 6 s, then 24 h; or what `expression` says, 0 to one day.
 */
export function retryWait(retried: number, expression: string | null): number {
  if (expression === null) {
    return Math.floor(Math.min(MAX_WAIT_SECONDS, Math.exp(2.5 * (retried + 1)))) * 1000;
  }
  const wait = parseExpression(expression)(retried);
  if (Number.isNaN(wait)) return 0;
  return Math.round(Math.min(MAX_WAIT_SECONDS * 1000, Math.max(0, wait)));
}

/**
 * Reads an expression.
 *
 * @throws {SyntaxError} If it is none; the message says where.
 */
export function parseExpression(text: string): Expression {
  if (text.length > MAX_LENGTH) throw new SyntaxError(`longer than ${MAX_LENGTH} characters`);
  const parser = new Parser(text);
  const expression = parser.sum();
  parser.end();
  return expression;
}

class Parser {
  #at = 0;
  #depth = 0;

  constructor(readonly text: string) {}

  sum(): Expression {
    let left = this.#product();
    for (;;) {
      const operator = this.#take(/[+-]/y);
      if (!operator) return left;
      const [a, b] = [left, this.#product()];
      left = operator === "+" ? (n) => a(n) + b(n) : (n) => a(n) - b(n);
    }
  }

  end(): void {
    this.#take(/\s*/y);
    if (this.#at < this.text.length) throw this.#fault();
  }

  #product(): Expression {
    let left = this.#factor();
    for (;;) {
      const operator = this.#take(/[*/%]/y);
      if (!operator) return left;
      const [a, b] = [left, this.#factor()];
      left = operator === "*"
        ? (n) => a(n) * b(n)
        : operator === "/"
        ? (n) => a(n) / b(n)
        : (n) => a(n) % b(n);
    }
  }

  #factor(): Expression {
    if (++this.#depth > MAX_DEPTH) throw this.#fault();
    const factor = this.#bareFactor();
    this.#depth--;
    return factor;
  }

  #bareFactor(): Expression {
    if (this.#take(/-/y)) {
      const negated = this.#factor();
      return (n) => -negated(n);
    }
    if (this.#take(/\(/y)) {
      const inner = this.sum();
      this.#expect(/\)/y);
      return inner;
    }
    const number = this.#take(/\d+(?:\.\d+)?/y);
    if (number !== undefined) return () => Number(number);
    const name = this.#take(/[a-z]+/y);
    if (name === "retried") return (n) => n;
    const known = name !== undefined && Object.hasOwn(FUNCTIONS, name)
      ? FUNCTIONS[name]
      : undefined;
    if (!known) throw this.#fault();
    this.#expect(/\(/y);
    const args = [this.sum()];
    while (this.#take(/,/y)) args.push(this.sum());
    this.#expect(/\)/y);
    if (args.length < known.from || args.length > known.to) throw this.#fault();
    return (n) => known.of(...args.map((arg) => arg(n)));
  }

  #take(token: RegExp): string | undefined {
    while (/\s/.test(this.text[this.#at] ?? "")) this.#at++;
    token.lastIndex = this.#at;
    const found = token.exec(this.text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #expect(token: RegExp): void {
    if (this.#take(token) === undefined) throw this.#fault();
  }

  #fault(): SyntaxError {
    return new SyntaxError(`unexpected text at position ${this.#at + 1}`);
  }
}
