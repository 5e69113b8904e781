// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"unifaas.dev/internal/snapshot"
)

// keyJSON is a key as people can read it, who ask what a file is of.
type keyJSON struct {
	Libos    hexHash   `json:"libos"`
	ABI      uint32    `json:"abi"`
	Features string    `json:"features,omitempty"`
	Memory   int64     `json:"memory"`
	Layers   []hexHash `json:"layers,omitempty"`
	Program  hexHash   `json:"program"`
}

type hexHash hash

func (h hexHash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

func (h *hexHash) UnmarshalText(b []byte) error {
	if len(b) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash of %d digits", len(b))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// EncodeKey writes a key as people can read it.
func EncodeKey(k snapshot.Key) ([]byte, error) {
	if !utf8.ValidString(k.Features) {
		return nil, fmt.Errorf("features %q are no text", k.Features)
	}
	j := keyJSON{Libos: hexHash(k.Libos), ABI: k.ABI, Features: k.Features, Memory: k.Memory, Program: hexHash(k.Program)}
	for _, l := range k.Layers {
		j.Layers = append(j.Layers, hexHash(l))
	}
	return json.Marshal(j)
}

// DecodeKey reads it again.
func DecodeKey(b []byte) (k snapshot.Key, err error) {
	var j keyJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return k, err
	}
	k = snapshot.Key{Libos: j.Libos, ABI: j.ABI, Features: j.Features, Memory: j.Memory, Program: j.Program}
	for _, l := range j.Layers {
		k.Layers = append(k.Layers, l)
	}
	return k, nil
}
