#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# load.sh: ten minutes, or LOAD_SECONDS, of more calls of mixed functions than a node can take; fails if one fails but by 429, or if memory grows.
set -euo pipefail
cd "$(dirname "$0")/.."
export LOAD_SECONDS=${LOAD_SECONDS:-600} UNIFAAS_TEST_STRICT=1
unset UNIFAAS_GATEWAY UNIFAAS_BIN
scripts/setup.sh test
make --no-print-directory build examples
exec go test -count=1 -v -timeout "$((LOAD_SECONDS * 2 + 600))s" ./test/load
