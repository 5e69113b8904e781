// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"

	"unifaas.dev/internal/image"
)

// secretFolders are where programs look for the files of secrets: OpenFaaS's place and that of containers.
var secretFolders = [...]string{"/var/openfaas/secrets/", "/run/secrets/"}

// secrets makes the layer, in memory, that brings secrets into instances as files. Its digest is that of what is in it, and with it the key of
// their snapshots, which stay in memory too: see keeper.private.
func (n *Node) secrets(ctx context.Context, list []Secret) (image.Layer, error) {
	if n.opts.Secret == nil {
		return image.Layer{}, errors.New("this node has no secrets")
	}
	files := map[string][]byte{}
	for _, s := range list {
		value, err := n.opts.Secret(ctx, s)
		if err != nil {
			return image.Layer{}, err
		}
		for _, dir := range secretFolders {
			files[dir+s.Name] = value
		}
	}
	l, err := image.FilesLayer(files)
	if err != nil {
		return image.Layer{}, fmt.Errorf("secrets: %w", err)
	}
	return l, nil
}

// private reports whether snapshots of the revision must not leave memory: its instances have read secrets.
func (k *keeper) private() bool { return len(k.pool.spec.Secrets) > 0 }
