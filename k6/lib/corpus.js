// The trace corpus: payloads, and the slots that every trace fills anew.
// src/corpus/files.rs writes the files and describes their format.

import { open as openShared, SeekMode } from 'k6/experimental/fs';
import { Identity, hex } from './identity.js';

const MAGIC = 0x54504331;
const VERSION = 2;
const HEADER_WORDS = 6;
const PAYLOAD_WORDS = 8;
const TWO_32 = 4294967296;

// From a span's trace ID to its other slots; span_layout in src/corpus/encode.rs.
const SPAN_ID = 18;
const START = 27;
const END = 36;
const PARENT_ID = 46;

function openOrExplain(path, open) {
  try {
    return open(path);
  } catch (error) {
    throw missing(path, error);
  }
}

function missing(path, error) {
  return new Error(`no trace corpus at ${path}: write it with "tempo-perf corpus" (${error.message || error})`);
}

// To be called in the init context. The payloads stay in memory that all VUs
// share, and each request reads its piece; open(path, 'b') would give every VU
// a copy of all of them.
export async function openCorpus(dir, profile, seed, run) {
  const index = new Int32Array(openOrExplain(`${dir}/${profile}.index`, (path) => open(path, 'b')));
  if (index[0] !== MAGIC || index[1] !== VERSION) {
    throw new Error(`${dir}/${profile}.index is of another version: write it again with "tempo-perf corpus"`);
  }
  if (index[5] >>> 0 !== seed >>> 0) {
    throw new Error(`the corpus in ${dir} was made with seed ${index[5] >>> 0}, not ${seed}`);
  }
  let file;
  try {
    file = await openShared(`${dir}/${profile}.bin`);
  } catch (error) {
    throw missing(`${dir}/${profile}.bin`, error);
  }
  return new Corpus(file, index, new Identity(seed, run));
}

export class Corpus {
  constructor(file, index, identity) {
    this.file = file;
    this.index = index;
    this.identity = identity;
    this.payloads = index[2];
    this.cycleBytes = index[3];
    this.time = new Int32Array(2);
    this.timeAsDouble = new Float64Array(this.time.buffer);
    this.requests = {};
  }

  // Fixes how many traces a request holds. k6 reads whole buffers only, so the
  // buffer is no larger than the largest request.
  allocate(tracesPerRequest, maxRequestBytes) {
    if (tracesPerRequest < 1 || tracesPerRequest > this.payloads) {
      throw new Error(`traces per request must be 1 to ${this.payloads}, not ${tracesPerRequest}`);
    }
    this.tracesPerRequest = tracesPerRequest;
    this.buffer = new Uint8Array(maxRequestBytes);
    this.view = new DataView(this.buffer.buffer);
  }

  maxPayloadBytes() {
    let most = 0;
    for (let payload = 0; payload < this.payloads; payload++) {
      most = Math.max(most, this.field(payload, 1));
    }
    return most;
  }

  field(payload, word) {
    return this.index[HEADER_WORDS + PAYLOAD_WORDS * payload + word];
  }

  // Place and size of a request that begins with this payload.
  request(payload) {
    let request = this.requests[payload];
    if (request === undefined) {
      request = { start: this.field(payload, 0), bytes: 0, spans: 0, body: null, payloads: [], at: [] };
      for (let i = 0; i < this.tracesPerRequest; i++) {
        const each = (payload + i) % this.payloads;
        request.payloads.push(each);
        request.at.push(request.bytes);
        request.bytes += this.field(each, 1);
        request.spans += this.field(each, 2);
      }
      request.body = new Uint8Array(this.buffer.buffer, 0, request.bytes);
      this.requests[payload] = request;
    }
    return request;
  }

  // The body of request `number` of the run, its traces ending now. It is in
  // the VU's only buffer: k6 sends it from there without a copy, so the next
  // one must not be asked for before the answer to this one.
  async fill(number, unixMs) {
    const first = number * this.tracesPerRequest;
    const request = this.request(first % this.payloads);
    await this.file.seek(request.start, SeekMode.Start);
    await this.file.read(this.buffer);
    for (let i = 0; i < this.tracesPerRequest; i++) {
      this.fillTrace(request.payloads[i], request.at[i], first + i, unixMs);
    }
    return request;
  }

  // A time is written as the double that has the same 64 bits. Within one
  // power of two, subtracting nanoseconds from the number is subtracting so
  // many units in the last place from the double: one subtraction, one call,
  // no BigInt. The power changes every 52 days.
  fillTrace(payload, at, n, unixMs) {
    const index = this.index;
    const view = this.view;
    const identity = this.identity;
    identity.set(n);
    const id0 = identity.id[0];
    const id1 = identity.id[1];
    const prefix = identity.prefix;

    let head = HEADER_WORDS + PAYLOAD_WORDS * payload;
    const spans = index[head + 2];
    let slot = index[head + 3];
    const events = index[head + 4];
    const sessions = index[head + 5];
    const token = at + index[head + 6];

    const unixNs = unixMs * 1e6;
    let high = Math.floor(unixNs / TWO_32);
    let low = unixNs - high * TWO_32;
    const startHigh = Math.floor((unixNs - index[head + 7] * 1000) / TWO_32);
    if (startHigh >>> 20 !== high >>> 20) {
      // The trace would cross the power of two: end it just before.
      high = ((high >>> 20) << 20) - 1;
      low = TWO_32 - 1;
    }
    this.time[0] = low;
    this.time[1] = high;
    const end = this.timeAsDouble[0];
    const microsecond = 1000 * Math.pow(2, (high >>> 20) - 1075);

    // The root, which has no parent.
    let position = at + index[slot];
    view.setFloat64(position, id0, true);
    view.setFloat64(position + 8, id1, true);
    view.setInt32(position + SPAN_ID, prefix, true);
    view.setFloat64(position + START, end - index[slot + 1] * microsecond, true);
    view.setFloat64(position + END, end - index[slot + 2] * microsecond, true);
    slot += 3;
    const lastSpan = slot + 3 * (spans - 1);
    for (; slot < lastSpan; slot += 3) {
      position = at + index[slot];
      view.setFloat64(position, id0, true);
      view.setFloat64(position + 8, id1, true);
      view.setInt32(position + SPAN_ID, prefix, true);
      view.setInt32(position + PARENT_ID, prefix, true);
      view.setFloat64(position + START, end - index[slot + 1] * microsecond, true);
      view.setFloat64(position + END, end - index[slot + 2] * microsecond, true);
    }
    const lastEvent = slot + 2 * events;
    for (; slot < lastEvent; slot += 2) {
      view.setFloat64(at + index[slot], end - index[slot + 1] * microsecond, true);
    }
    const session0 = identity.session[0];
    const session1 = identity.session[1];
    const lastSession = slot + sessions;
    for (; slot < lastSession; slot++) {
      position = at + index[slot];
      view.setFloat64(position, session0, true);
      view.setFloat64(position + 8, session1, true);
    }
    view.setFloat64(token, identity.token[0], true);
    view.setFloat64(token + 8, identity.token[1], true);
  }

  // What trace n must look like when it is read back. Needs allocate(1, …).
  async expected(n) {
    const payload = n % this.payloads;
    await this.file.seek(this.field(payload, 0), SeekMode.Start);
    await this.file.read(this.buffer);
    this.identity.set(n);
    const prefix = this.identity.prefixHex();
    const parents = {};
    let slot = this.field(payload, 3);
    const spans = this.field(payload, 2);
    for (let i = 0; i < spans; i++, slot += 3) {
      const at = this.index[slot];
      const own = prefix + this.hexAt(at + SPAN_ID + 4);
      parents[own] = i === 0 ? '' : prefix + this.hexAt(at + PARENT_ID + 4);
    }
    return {
      traceId: this.identity.traceIdHex(),
      parents,
      spans,
      sessions: this.field(payload, 5),
      token: this.identity.tokenText(),
      session: this.identity.sessionText(),
    };
  }

  hexAt(position) {
    return hex(this.buffer.subarray(position, position + 4));
  }
}
