// Signature version 4 of AWS for requests to S3, as its documentation
// ("Authenticating Requests: Using the Authorization Header") describes it.

import crypto from 'k6/crypto';

const ALGORITHM = 'AWS4-HMAC-SHA256';

// `url` without a query; its path needs no encoding.
export function signed(credentials, method, url, body, now) {
  const [, host, path] = /^https?:\/\/([^/]+)(\/.*)$/.exec(url);
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '');
  const day = time.slice(0, 8);
  const hash = crypto.sha256(body, 'hex');
  const headers = { host, 'x-amz-content-sha256': hash, 'x-amz-date': time };
  const names = Object.keys(headers).sort();
  const canonical = [
    method,
    path,
    '',
    ...names.map((name) => `${name}:${headers[name]}`),
    '',
    names.join(';'),
    hash,
  ].join('\n');
  const scope = `${day}/${credentials.region}/s3/aws4_request`;
  const text = [ALGORITHM, time, scope, crypto.sha256(canonical, 'hex')].join('\n');
  let key = `AWS4${credentials.secretAccessKey}`;
  for (const part of [day, credentials.region, 's3', 'aws4_request']) {
    key = crypto.hmac('sha256', key, part, 'binary');
  }
  const signature = crypto.hmac('sha256', key, text, 'hex');
  return {
    url,
    headers: {
      'x-amz-content-sha256': hash,
      'x-amz-date': time,
      Authorization: `${ALGORITHM} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
    },
  };
}
