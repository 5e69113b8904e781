// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"unifaas.dev/internal/image/tree"
)

// writeCache makes the /etc/ld.so.cache that leads glibc's loader to libraries outside of its default folders. It names
// no others: those are found without it.
func (l *libraries) writeCache() error {
	if len(l.cached) == 0 {
		return nil
	}
	_, err := l.t.Put("/etc/ld.so.cache", tree.Bytes(0o644, ldCache(l.cached)))
	return err
}

// ldCache writes the format "1.1" of glibc 2.2 and later: a header, entries of 24 bytes, strings.
func ldCache(libs map[string]string) []byte {
	const (
		magic     = "glibc-ld.so.cache1.1"
		header    = 48
		entry     = 24
		elf64Libc = 0x303 // an x86-64 library of the GNU C library
		little    = 2
	)
	names := make([]string, 0, len(libs))
	for n := range libs {
		names = append(names, n)
	}
	// The loader searches by halves, from the largest name on.
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(compareVersions(b, a), cmp.Compare(b, a)) })
	le := binary.LittleEndian
	var entries, strs []byte
	base := uint32(header + entry*len(names))
	for _, n := range names {
		entries = le.AppendUint32(entries, elf64Libc)
		entries = le.AppendUint32(entries, base+uint32(len(strs)))
		strs = append(append(strs, n...), 0)
		entries = le.AppendUint32(entries, base+uint32(len(strs)))
		strs = append(append(strs, libs[n]...), 0)
		entries = append(entries, make([]byte, 12)...)
	}
	var b bytes.Buffer
	b.WriteString(magic)
	b.Write(le.AppendUint32(le.AppendUint32(nil, uint32(len(names))), uint32(len(strs))))
	b.WriteByte(little)
	b.Write(make([]byte, header-b.Len()))
	b.Write(entries)
	b.Write(strs)
	return b.Bytes()
}

// compareVersions is the loader's order: numbers count as numbers, and a digit is more than any other character.
func compareVersions(a, b string) int {
	digit := func(s string, i int) bool { return i < len(s) && s[i] >= '0' && s[i] <= '9' }
	i, j := 0, 0
	for i < len(a) {
		switch {
		case digit(a, i) && digit(b, j):
			x, y := 0, 0
			for ; digit(a, i); i++ {
				x = x*10 + int(a[i]-'0')
			}
			for ; digit(b, j); j++ {
				y = y*10 + int(b[j]-'0')
			}
			if x != y {
				return cmp.Compare(x, y)
			}
		case digit(a, i):
			return 1
		case digit(b, j):
			return -1
		case j >= len(b):
			return 1
		case a[i] != b[j]:
			return cmp.Compare(a[i], b[j])
		default:
			i++
			j++
		}
	}
	if j < len(b) {
		return -1
	}
	return 0
}
