// What is fresh in trace n of a run. The same function as
// src/corpus/identity.rs; fixtures/trace-identity.json holds the two together.

const GOLDEN = 0x9e3779b1;
const LANES = 9;
// Keeps the exponent of a double from being all ones: see Identity.id.
const NOT_NAN = 0xbfffffff;
const TWO_32 = 4294967296;

export function mix(x) {
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d);
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b);
  return x ^ (x >>> 16);
}

// Two hexadecimal digits for each byte, in the order in which a little-endian
// machine stores them.
const DIGITS = '0123456789abcdef';
const PAIRS = new Uint16Array(256);
for (let byte = 0; byte < 256; byte++) {
  PAIRS[byte] = DIGITS.charCodeAt(byte >>> 4) | (DIGITS.charCodeAt(byte & 15) << 8);
}

function putHex(pairs, high, low) {
  pairs[0] = PAIRS[high >>> 24];
  pairs[1] = PAIRS[(high >>> 16) & 255];
  pairs[2] = PAIRS[(high >>> 8) & 255];
  pairs[3] = PAIRS[high & 255];
  pairs[4] = PAIRS[low >>> 24];
  pairs[5] = PAIRS[(low >>> 16) & 255];
  pairs[6] = PAIRS[(low >>> 8) & 255];
  pairs[7] = PAIRS[low & 255];
}

export function hex(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i++) {
    text += DIGITS[bytes[i] >>> 4] + DIGITS[bytes[i] & 15];
  }
  return text;
}

// Values are kept as typed arrays with a second view as doubles: one
// setFloat64 writes eight bytes for the price of one call, and calls are what
// costs in k6's interpreter.
export class Identity {
  constructor(seed, run) {
    this.seed = seed;
    this.run = run;
    this.keys = new Array(LANES);
    this.high = -1;
    this.words = new Int32Array(4);
    this.id = new Float64Array(this.words.buffer);
    this.tokenPairs = new Uint16Array(8);
    this.token = new Float64Array(this.tokenPairs.buffer);
    this.sessionPairs = new Uint16Array(8);
    this.session = new Float64Array(this.sessionPairs.buffer);
    this.prefix = 0;
  }

  // By hand the run is known only when it has begun.
  useRun(run) {
    if (run !== this.run) {
      this.run = run;
      this.high = -1;
    }
  }

  // Sets all values to those of trace n, a whole number below 2^53.
  set(n) {
    const high = Math.floor(n / TWO_32);
    const keys = this.keys;
    if (high !== this.high) {
      for (let lane = 0; lane < LANES; lane++) {
        keys[lane] = mix(mix(mix((this.seed + Math.imul(GOLDEN, lane + 1)) | 0) ^ this.run) ^ high);
      }
      this.high = high;
    }
    const low = n | 0;
    const words = this.words;
    words[0] = mix(low ^ keys[0]) | 1;
    words[1] = mix(low ^ keys[1]) & NOT_NAN;
    words[2] = mix(low ^ keys[2]);
    words[3] = mix(low ^ keys[3]) & NOT_NAN;
    const tokenHigh = mix(low ^ keys[4]);
    const tokenLow = mix(low ^ keys[5]);
    this.prefix = mix(low ^ keys[6]);
    putHex(this.tokenPairs, tokenHigh, tokenLow);
    putHex(this.sessionPairs, tokenLow ^ keys[7], tokenHigh ^ keys[8]);
  }

  traceIdHex() {
    return hex(new Uint8Array(this.words.buffer));
  }

  prefixHex() {
    return hex(new Uint8Array(new Int32Array([this.prefix]).buffer));
  }

  tokenText() {
    return text(this.tokenPairs);
  }

  sessionText() {
    return text(this.sessionPairs);
  }
}

function text(pairs) {
  return String.fromCharCode.apply(null, new Uint8Array(pairs.buffer));
}
