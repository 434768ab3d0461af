// Writes, reads and deletes one object of a bucket, as Tempo will; ends with an
// error that says what the store answered. For the set-up of tempo-perf on
// Kubernetes.

import exec from 'k6/execution';
import http from 'k6/http';
import { signed } from './lib/sigv4.js';

const endpoint = __ENV.S3_ENDPOINT.replace(/\/+$/, '');
const bucket = __ENV.S3_BUCKET;
const credentials = {
  region: __ENV.S3_REGION,
  accessKeyId: __ENV.S3_ACCESS_KEY_ID,
  secretAccessKey: __ENV.S3_SECRET_ACCESS_KEY,
};
const key = __ENV.S3_OBJECT;

export const options = { iterations: 1, vus: 1, maxRedirects: 0 };

export default function () {
  ask('PUT', 'tempo-perf', [200]);
  ask('GET', null, [200]);
  ask('DELETE', null, [200, 204]);
  console.log(`bucket ${bucket} at ${endpoint} can be written, read and cleared`);
}

function ask(method, body, expected) {
  const { url, headers } = signed(credentials, method, `${endpoint}/${bucket}/${key}`, body || '', new Date());
  const answer = http.request(method, url, body, { headers, timeout: '20s' });
  if (!expected.includes(answer.status)) {
    // An error of S3 is a line of XML.
    const code = /<Code>([^<]*)<\/Code>/.exec(answer.body || '');
    const said = answer.error || (code && code[1]) || answer.body || '';
    exec.test.abort(`${method} ${bucket}/${key} at ${endpoint}: HTTP ${answer.status} ${said}`);
  }
}
