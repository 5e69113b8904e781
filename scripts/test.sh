#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh [lint]: everything that `make test` runs, section by section. It goes on after a failure, so that one run shows all
# of them, and fails at the end. `lint` stops before the tests proper.
set -uo pipefail
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL # those of the make that may have called this

only=${1:-}
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
fuzz_seconds=${FUZZ_SECONDS:-5}
export UNIFAAS_TEST_STRICT=1  # nothing may be skipped for being absent
export UNIFAAS_TEST_ARCHKVM=1 # the monitor's tests inside QEMU too
unset UNIFAAS_GATEWAY UNIFAAS_BIN

failed=()
begin=$SECONDS
section() { printf '\n==== %s (%d s) ====\n' "$*" $((SECONDS - begin)); }
check() {
	local name=$1
	shift
	section "$name"
	if "$@"; then return 0; fi
	echo "FAILED: $name"
	failed+=("$name")
	return 1
}
finish() {
	printf '\n==== result (%d s) ====\n' $((SECONDS - begin))
	if ((${#failed[@]})); then
		printf 'failed: %s\n' "${failed[@]}"
		exit 1
	fi
	echo "all passed"
	exit 0
}

formatted() {
	local bad
	bad=$(gofmt -l abi cmd examples guest internal test)
	[ -z "$bad" ] || {
		echo "not formatted, run gofmt -w on:"
		echo "$bad"
		return 1
	}
}

# Packages with a Go side worth racing; those that only start other processes have nothing in them to race.
race_packages() { go list ./... | grep -v -e '/test/' -e '/examples/' -e '/internal/bench$'; }

# A worker that is in the middle of a slow input when the time is over makes go test fail with the words below and no input that
# fails: that is no finding.
fuzz_one() {
	local out rc
	out=$(mktemp)
	go test -run '^$' -fuzz "^$2\$" -fuzztime "${fuzz_seconds}s" "$1" 2>&1 | tee "$out"
	rc=${PIPESTATUS[0]}
	if [ "$rc" != 0 ] && grep -q '^ *context deadline exceeded$' "$out" && ! grep -q -e 'Failing input' -e 'panic:' -e '_test.go:' "$out"; then rc=0; fi
	rm -f "$out"
	return "$rc"
}

fuzz() {
	local pkg name any=0
	while read -r pkg; do
		for name in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz'); do
			any=1
			echo "$pkg $name"
			fuzz_one "$pkg" "$name" || return 1
		done
	done < <(grep -rl --include='*_test.go' '^func Fuzz' internal abi test 2>/dev/null | xargs -r -n1 dirname | sort -u | sed 's#^#./#')
	[ $any = 1 ] || { echo "no fuzz target was found"; return 1; }
}

check "set-up" scripts/setup.sh test || finish
check "build" make --no-print-directory build examples abi-programs e2e-programs || finish
check "gofmt" formatted
check "go vet" go vet ./...
check "staticcheck" go run "$staticcheck" ./...
[ "$only" = lint ] && finish
check "guest unit tests on the host, with sanitizers" make --no-print-directory -C guest/test check
# One package at a time: most of them start virtual machines, and two cores are soon too few for their time limits.
check "go test" go test -count=1 -p 1 -timeout 15m ./...
# Without the script that measures time limits: the race detector makes a node several times slower.
# shellcheck disable=SC2046
check "go test -race" go test -count=1 -race -short -p 1 -skip 'TestScripts/node_faults' -timeout 10m $(race_packages)
check "fuzz, ${fuzz_seconds} s each" fuzz
finish
