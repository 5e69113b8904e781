#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# libos-size.sh ELF MAX: prints text + data of the library OS, fails when they are larger than MAX bytes.
set -euo pipefail
read -r text data bss < <(size "$1" | awk 'NR==2 {print $1, $2, $3}')
sum=$((text + data))
printf '  SIZE  %s: text %d + data %d = %d bytes (limit %d), bss %d\n' "$1" "$text" "$data" "$sum" "$2" "$bss"
if ((sum > $2)); then
	echo "libos-size: warning: $1 has $sum bytes of text + data, the limit is $2: look at build/guest/libos.map for what grew" >&2
	[ -z "${UNIFAAS_TEST_STRICT:-}" ] || exit 1
fi
