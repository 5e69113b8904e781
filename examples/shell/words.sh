#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# words.sh: the most frequent words of the text on standard input, with their counts; as many as the first argument or $TOP says.
set -euo pipefail

top=${1:-${TOP:-5}}
tr -cs '[:alpha:]' '\n' | tr '[:upper:]' '[:lower:]' | { grep . || true; } | sort | uniq -c | sort -k1,1nr -k2 | awk -v n="$top" 'NR <= n { print $1, $2 }'
