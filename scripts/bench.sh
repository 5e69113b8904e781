#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench.sh [DIR]: every suite of `unifaas bench`, results as JSON, page and text into DIR (default build/results).
# Preconditions: make build examples; root, for runc; nothing else running on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-build/results}
mkdir -p "$dir"
for suite in footprint syscall proc compute start warm rewind density; do
	echo "== $suite"
	bin/unifaas bench $suite --json "$dir/$suite.json" --html "$dir/$suite.html" | tee "$dir/$suite.txt"
done
