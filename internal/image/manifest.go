// SPDX-License-Identifier: Apache-2.0

// Package image makes and keeps images: a read-only EROFS file system with a program and its files, plus a manifest
// that says how to start it.
//
// Images are content-addressed and reproducible: the same source gives the same bytes on every machine. File data is
// stored uncompressed and page-aligned, so that a monitor maps the image file and the guest reads it in place. The
// package knows nothing of functions or instances.
package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"
)

// ManifestVersion is the layout of Manifest; an image with another one is refused.
const ManifestVersion = 1

// Manifest says what is in an image and how its program is started.
type Manifest struct {
	Version   int      `json:"version"`
	Digest    string   `json:"digest"`    // of the image file: "sha256:" and 64 hex digits
	Size      int64    `json:"size"`      // bytes of the image file
	FilesSize int64    `json:"filesSize"` // bytes of the files in it
	Program   string   `json:"program"`   // path in the image
	Args      []string `json:"args"`      // argv, Args[0] included
	Env       []string `json:"env"`       // K=V
	Cwd       string   `json:"cwd"`
}

// Layer is one EROFS file system of an image.
type Layer struct {
	File   *os.File
	Size   int64
	Digest string // of its bytes; names its content on this machine
}

// ErrNotFound is wrapped by errors about an image that the store does not have.
var ErrNotFound = errors.New("no such image")

var (
	nameForm   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*(/[a-zA-Z0-9][a-zA-Z0-9._-]*)*(:[a-zA-Z0-9][a-zA-Z0-9._-]*)?$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

const nameMax = 200 // leaves room for a suffix in a file name of at most 255 bytes

// CheckName says in one line what is wrong with the name of an image.
func CheckName(name string) error {
	if len(name) > nameMax || !nameForm.MatchString(name) || digestForm.MatchString(name) {
		return fmt.Errorf("image name %q: use letters, digits, '.', '_', '-', parts separated by '/', at most %d bytes, like thumbnail or team/thumbnail:v2", name, nameMax)
	}
	return nil
}

// check refuses a manifest that nothing in this version could have written.
func (m *Manifest) check() error {
	switch {
	case m.Version != ManifestVersion:
		return fmt.Errorf("manifest version %d, this unifaas knows %d: build the image again", m.Version, ManifestVersion)
	case !digestForm.MatchString(m.Digest):
		return fmt.Errorf("manifest has no valid digest (%q)", m.Digest)
	case m.Size <= 0 || m.Size%blockSize != 0:
		return fmt.Errorf("manifest says an image of %d bytes, not a multiple of %d", m.Size, blockSize)
	case !path.IsAbs(m.Program) || path.Clean(m.Program) != m.Program:
		return fmt.Errorf("manifest has no absolute program path (%q)", m.Program)
	case len(m.Args) == 0:
		return errors.New("manifest has no arguments")
	}
	for _, s := range append(append([]string{m.Program, m.Cwd}, m.Args...), m.Env...) {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("manifest has a NUL byte in %q", s)
		}
	}
	return nil
}

func decodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest is no valid JSON: %w", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}
