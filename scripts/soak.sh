#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# soak.sh: half an hour, or SOAK_SECONDS, of random calls, failures and changes on one node; fails if anything grows.
set -euo pipefail
cd "$(dirname "$0")/.."
export SOAK_SECONDS=${SOAK_SECONDS:-1800} UNIFAAS_TEST_STRICT=1
unset UNIFAAS_GATEWAY UNIFAAS_BIN
scripts/setup.sh test
make --no-print-directory build examples e2e-programs
exec go test -count=1 -v -timeout "$((SOAK_SECONDS * 2 + 600))s" ./test/soak
