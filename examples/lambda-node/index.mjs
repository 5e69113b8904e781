// SPDX-License-Identifier: Apache-2.0
// An AWS Lambda function that streams: each line of its answer goes out when it is known.

import { setTimeout as pause } from 'node:timers/promises';

export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const query = event.queryStringParameters ?? {};
  const count = Math.min(Number(query.count ?? 3), 1000);
  const out = awslambda.HttpResponseStream.from(stream, {
    statusCode: 200,
    headers: { 'content-type': 'text/plain', 'x-request': context.awsRequestId },
    cookies: ['seen=1'],
  });
  let [a, b] = [0n, 1n];
  for (let n = 1; n <= count; n++) {
    out.write(`${n}: ${a}\n`);
    [a, b] = [b, a + b];
    await pause(Number(query.pause ?? 0));
  }
  out.end();
});
