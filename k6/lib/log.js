// Lines for the program that started k6; src/k6/log.rs reads them.

import { Counter } from 'k6/metrics';

const notLogged = new Counter('not_logged');
const exceptions = new Counter('iteration_exceptions');
const EXCEPTIONS_PER_VU = 5;
const TEXT_LENGTH = 300;

let lines = 0;
let exceptionLines = 0;

// Writes at most `limit` lines in each VU and counts the others.
export function report(limit, kind, values) {
  if (lines >= limit) {
    notLogged.add(1);
    return;
  }
  lines++;
  console.warn(line(kind, values));
}

export function line(kind, values) {
  const words = Object.keys(values).map((key) => `${key}=${word(values[key])}`);
  return `tempo-perf/${kind} ${words.join(' ')}`;
}

function word(value) {
  if (typeof value === 'number') {
    return String(value);
  }
  const text = String(value).slice(0, TEXT_LENGTH);
  try {
    return encodeURIComponent(text);
  } catch (_) {
    // Half a surrogate pair: keep what is ASCII.
    return encodeURIComponent(text.replace(/[^ -~]/g, '?'));
  }
}

// k6 ends with code 0 after exceptions in iterations, so they are counted.
export function guarded(iteration) {
  return async function (shared) {
    try {
      await iteration(shared);
    } catch (error) {
      exceptions.add(1);
      if (exceptionLines < EXCEPTIONS_PER_VU) {
        exceptionLines++;
        console.error(line('exception', { text: (error && error.stack) || error }));
      }
    }
  };
}
