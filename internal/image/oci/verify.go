// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

var errTooLarge = errors.New("too large")

// checkConfig compares the configuration, which names the layers' contents, with its digest.
func checkConfig(img v1.Image) error {
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("its manifest: %s", oneLine(err))
	}
	raw, err := img.RawConfigFile()
	if err != nil {
		return fmt.Errorf("its configuration: %s", oneLine(err))
	}
	h := sha256.New()
	h.Write(raw)
	return compare("its configuration", h, m.Config.Digest)
}

// checkBlob compares a layer's file with its digest.
func checkBlob(ctx context.Context, l v1.Layer, limit int64) error {
	want, err := l.Digest()
	if err != nil {
		return errors.New(oneLine(err))
	}
	r, err := l.Compressed()
	if err != nil {
		return errors.New(oneLine(err))
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, &bounded{ctx: ctx, r: r, left: &limit}); err != nil {
		return errors.New(oneLine(err))
	}
	return compare("its file", h, want)
}

func compare(what string, h hash.Hash, want v1.Hash) error {
	got := hex.EncodeToString(h.Sum(nil))
	if want.Algorithm != "sha256" || want.Hex != got {
		return fmt.Errorf("wrong digest: %s has sha256:%s, should have %s", what, got, want)
	}
	return nil
}

// bounded is a reader that has an end, whatever it reads from.
type bounded struct {
	ctx  context.Context
	r    io.Reader
	left *int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if *b.left < 0 {
		return 0, errTooLarge
	}
	n, err := b.r.Read(p[:min(int64(len(p)), *b.left+1)])
	if *b.left -= int64(n); *b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}
