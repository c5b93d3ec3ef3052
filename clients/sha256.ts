// SHA-256 of bytes that come one piece after the other (FIPS 180-4). WebCrypto digests only what lies
// in memory as a whole; a file of 50 MB need not.

/** First 32 bits of the fractional parts of the cube roots of the first 64 primes. */
const K = Uint32Array.from(firstPrimes(64), (prime) => fraction(Math.cbrt(prime)));
const BLOCK_BYTES = 64;

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes;
}

function fraction(value: number): number {
  return (value - Math.floor(value)) * 2 ** 32;
}

/** A digest in the making. */
export class Sha256 {
  /** First 32 bits of the fractional parts of the square roots of the first eight primes. */
  readonly #state = Uint32Array.from(firstPrimes(8), (prime) => fraction(Math.sqrt(prime)));
  readonly #schedule = new Uint32Array(64);
  readonly #block = new Uint8Array(BLOCK_BYTES);
  /** Bytes of `#block` that are filled. */
  #filled = 0;
  #totalBytes = 0;

  /** Takes the next bytes. */
  update(bytes: Uint8Array): this {
    this.#totalBytes += bytes.length;
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(bytes.length, BLOCK_BYTES - this.#filled);
      this.#block.set(bytes.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < BLOCK_BYTES) return this;
      this.#compress(this.#block, 0);
      this.#filled = 0;
    }
    for (; at + BLOCK_BYTES <= bytes.length; at += BLOCK_BYTES) this.#compress(bytes, at);
    this.#block.set(bytes.subarray(at));
    this.#filled = bytes.length - at;
    return this;
  }

  /** The digest in 64 lower-case hexadecimal digits. Nothing may be added after it. */
  hex(): string {
    const padding = new Uint8Array(
      (this.#filled < BLOCK_BYTES - 8 ? BLOCK_BYTES : 2 * BLOCK_BYTES) - this.#filled,
    );
    padding[0] = 0x80;
    new DataView(padding.buffer).setBigUint64(padding.length - 8, BigInt(this.#totalBytes) * 8n);
    this.update(padding);
    return Array.from(this.#state, (word) => word.toString(16).padStart(8, "0")).join("");
  }

  #compress(bytes: Uint8Array, start: number): void {
    const state = this.#state;
    const w = this.#schedule;
    for (let i = 0; i < 16; i++) {
      const at = start + 4 * i;
      w[i] = bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
    }
    for (let i = 16; i < 64; i++) {
      const [early, late] = [w[i - 15]!, w[i - 2]!];
      const s0 = rotate(early, 7) ^ rotate(early, 18) ^ early >>> 3;
      const s1 = rotate(late, 17) ^ rotate(late, 19) ^ late >>> 10;
      w[i] = w[i - 16]! + s0 + w[i - 7]! + s1;
    }
    let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!;
    let e = state[4]!, f = state[5]!, g = state[6]!, h = state[7]!;
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = h + s1 + (e & f ^ ~e & g) + K[i]! + w[i]! | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = s0 + (a & b ^ a & c ^ b & c) | 0;
      h = g, g = f, f = e, e = d + t1 | 0;
      d = c, c = b, b = a, a = t1 + t2 | 0;
    }
    state[0] = state[0]! + a, state[1] = state[1]! + b;
    state[2] = state[2]! + c, state[3] = state[3]! + d;
    state[4] = state[4]! + e, state[5] = state[5]! + f;
    state[6] = state[6]! + g, state[7] = state[7]! + h;
  }
}

/** Turns 32 bits to the right. */
function rotate(word: number, bits: number): number {
  return word >>> bits | word << 32 - bits;
}
