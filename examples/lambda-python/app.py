# SPDX-License-Identifier: Apache-2.0
"""An AWS Lambda function behind HTTP: POST text, get its most frequent words as JSON."""

import base64
import collections
import json
import re

WORD = re.compile(r"\w+")
calls = 0


def handler(event, context):
    global calls
    calls += 1
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode("utf-8", "replace")
    top = int((event.get("queryStringParameters") or {}).get("top", 3))
    words = collections.Counter(w.lower() for w in WORD.findall(body))
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({
            "words": words.most_common(top),
            "requestId": context.aws_request_id,
            "leftMs": context.get_remaining_time_in_millis(),
            "calls": calls,
        }),
    }
