#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh: starts a node, deploys two functions, calls them, each in a virtual machine of its own, and takes everything away again.
# Preconditions: make build build/examples/thumbnail; Python 3.11 on the machine.
set -euo pipefail
exec 2>&1 # one stream, in order
cd "$(dirname "$0")/.."
unset MAKEFLAGS MAKELEVEL # those of the make that may have called this

unifaas=$PWD/bin/unifaas
work=$(mktemp -d "${TMPDIR:-/tmp}/unifaas-demo-XXXXXX")
node=
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; fi

cleanup() {
	local status=$?
	if [ -n "$node" ]; then
		kill -TERM "$node" 2>/dev/null || true
		wait "$node" 2>/dev/null || true
	fi
	if [ $status -ne 0 ] && [ -s "$work/node.log" ]; then
		echo "--- what the node said:" >&2
		tail -n 20 "$work/node.log" >&2
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
run() {
	printf '$ unifaas'
	printf ' %q' "$@"
	printf '\n'
	"$unifaas" "$@"
}
fail() {
	echo "demo: $*" >&2
	exit 1
}

step "What this machine can do"
"$unifaas" doctor || fail "functions cannot run on this machine: see above"

step "A node"
echo '$ unifaas up --listen 127.0.0.1:0 --data '"$work/data"
"$unifaas" up --listen 127.0.0.1:0 --data "$work/data" >"$work/node.log" 2>&1 &
node=$!
address=
for _ in $(seq 300); do
	address=$(sed -n 's#.*\(http://[^ ]*\).*#\1#p' "$work/node.log" | head -n 1)
	[ -z "$address" ] || break
	kill -0 "$node" 2>/dev/null || fail "the node did not start"
	sleep 0.1
done
[ -n "$address" ] || fail "the node did not say that it is up within 30 s"
cat "$work/node.log"
export UNIFAAS_GATEWAY=$address

step "Two functions: a folder with a Python program, which gets this machine's Python as a layer below it, and a static Go program"
run deploy hello examples/python-hello
run deploy thumbnail build/examples/thumbnail
run ls

step "The Python program, each call shown with where its time went (for the first one a virtual machine is made, from the snapshot that was taken when it was deployed)"
for _ in first second; do
	run invoke hello --data "to a unikernel" --timing | tee "$work/answer"
	grep -q '"message": "Hello from Python".*"body": "to a unikernel"' "$work/answer" || fail "hello did not say hello"
done

step "The Go program makes a thumbnail of a picture"
go run ./test/tools/picture make 1600 1200 >"$work/photo.jpg"
echo "photo.jpg: $(stat -c %s "$work/photo.jpg") bytes, 1600 x 1200"
for name in first second; do
	printf '$ unifaas invoke thumbnail --data @photo.jpg --path /?w=200 --timing > %s.jpg\n' $name
	"$unifaas" invoke thumbnail --data "@$work/photo.jpg" --path '/?w=200' --timing >"$work/$name.jpg"
	printf '%s.jpg: %s bytes, ' $name "$(stat -c %s "$work/$name.jpg")"
	go run ./test/tools/picture check 200 150 <"$work/$name.jpg"
done
curl -fsS --data-binary @"$work/photo.jpg" "$address/function/thumbnail?w=64" -o "$work/curl.jpg"
printf '$ curl --data-binary @photo.jpg %s/function/thumbnail?w=64\ncurl.jpg: ' "$address"
go run ./test/tools/picture check 64 48 <"$work/curl.jpg"

step "Each instance is a virtual machine under /dev/kvm"
run ps
vms=0
for pid in $("$unifaas" ps | awk 'NR > 1 {print $NF}' | sort -u); do
	vms=$((vms + $(find "/proc/$pid/fd" -lname '*kvm-vm*' 2>/dev/null | wc -l)))
done
if [ $vms -gt 0 ]; then echo "$vms virtual machines are held by this node's tenders"; fi

step "The end"
run rm hello
run rm thumbnail
kill -TERM "$node"
wait "$node" || fail "the node ended with an error"
tail -n 1 "$work/node.log"
node=
left=$(grep -lsF "$work" /proc/[0-9]*/cmdline || true)
[ -z "$left" ] || fail "processes are left behind: $left"
echo "Done: nothing is left behind."
