// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"

	"unifaas.dev/abi"
	"unifaas.dev/internal/image/tree"
)

// MaxLayers is how many layers an instance can have.
const MaxLayers = abi.LayersMax

// FilesLayer makes a layer in memory of a few files, by their paths, which everybody inside can read. The same files give the same digest.
// The caller closes its file.
func FilesLayer(files map[string][]byte) (Layer, error) {
	t := tree.New(nil)
	for path, data := range files {
		if _, err := t.Put(path, tree.Bytes(0o444, data)); err != nil {
			return Layer{}, err
		}
	}
	f, size, err := InMemory(t)
	if err != nil {
		return Layer{}, err
	}
	d, err := digest(context.Background(), f)
	if err != nil {
		f.Close()
		return Layer{}, err
	}
	return Layer{File: f, Size: size, Digest: d}, nil
}
