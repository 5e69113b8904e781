// SPDX-License-Identifier: Apache-2.0

package objects

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// listLimit bounds the reading of all names.
const listLimit = time.Minute

func (b *Bucket) all(ctx context.Context) ([]*jetstream.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	list, err := b.o.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, b.wrap("all", err)
	}
	return list, nil
}

// List gives all objects that are whole.
func (b *Bucket) List(ctx context.Context) ([]Info, error) {
	list, err := b.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, i := range list {
		if m, err := parseMeta(i); err == nil && !strings.Contains(i.Name, "/") {
			out = append(out, Info{i.Name, m.size, i.ModTime, i.Metadata[metaNote]})
		}
	}
	return out, nil
}

// Sweep removes objects older than age that nobody wants, and parts of that age that belong to none: uploads that were broken off.
func (b *Bucket) Sweep(ctx context.Context, age time.Duration, want func(i Info) bool) error {
	list, err := b.all(ctx)
	if err != nil {
		return err
	}
	uploads := map[string]bool{} // NAME/UPLOAD
	for _, i := range list {
		if !strings.Contains(i.Name, "/") {
			uploads[i.Name+"/"+i.Metadata[metaUpload]] = true
		}
	}
	for _, i := range list {
		if time.Since(i.ModTime) < age {
			continue
		}
		if last := strings.LastIndexByte(i.Name, '/'); last >= 0 {
			if !uploads[i.Name[:last]] {
				_ = b.remove(ctx, i) // the next Sweep tries again
			}
		} else if !want(Info{Name: i.Name, Time: i.ModTime, Note: i.Metadata[metaNote]}) {
			if err := b.Delete(ctx, i.Name); err != nil {
				return err
			}
		}
	}
	return nil
}
