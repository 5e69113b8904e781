// SPDX-License-Identifier: Apache-2.0

package natsstore

import (
	"fmt"
	"strings"
)

const maxName = 600 // of a record: a namespace, and a name of 253 bytes in it

const hexDigits = "0123456789ABCDEF"

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// encode makes a bucket's key of a name: a dot would make two tokens of it, and most other bytes are not allowed there. They become
// =XX, as in mail.
func encode(name string) (string, error) {
	if name == "" || len(name) > maxName {
		return "", fmt.Errorf("record name %.80q: not valid", name)
	}
	var b strings.Builder
	for _, c := range []byte(name) {
		if plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'=', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String(), nil
}

// decode undoes it. Keys that encode does not make are refused: somebody else has made them.
func decode(key string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c == '=' && i+2 < len(key) {
			hi, lo := strings.IndexByte(hexDigits, key[i+1]), strings.IndexByte(hexDigits, key[i+2])
			c = byte(hi<<4 | lo)
			if hi < 0 || lo < 0 || plain(c) {
				return "", fmt.Errorf("key %.80q is not one of ours", key)
			}
			i += 2
		} else if !plain(c) {
			return "", fmt.Errorf("key %.80q is not one of ours", key)
		}
		b.WriteByte(c)
	}
	if b.Len() == 0 || b.Len() > maxName {
		return "", fmt.Errorf("key %.80q is not one of ours", key)
	}
	return b.String(), nil
}
