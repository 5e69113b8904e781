// SPDX-License-Identifier: Apache-2.0

// Package image makes and keeps images: read-only EROFS file systems, one upon the other, with a program and its
// files, plus a manifest that says how to start it.
//
// Images are content-addressed and reproducible: the same source gives the same bytes on every machine. File data is
// stored uncompressed and page-aligned, so that a monitor maps the layers and the guest reads them in place. A layer is
// kept once for all images that have it. What images are made of is package build's affair; this one knows nothing of
// functions or instances either.
package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"

	"unifaas.dev/abi"
	"unifaas.dev/internal/image/tree"
)

// ManifestVersion is the layout of Manifest; an image with another one is refused.
const ManifestVersion = 2

// Contracts that a manifest can name. Empty: the deployment decides.
const (
	ContractHTTP  = "http"
	ContractStdio = "stdio"
	// ContractLambda is of images whose program is the bridge to a Lambda runtime: no other image can be called so.
	ContractLambda = "lambda"
)

// MaxManifest is the size of the largest manifest in bytes.
const MaxManifest = 1 << 20

// Manifest says what is in an image and how its program is started. Its digest is that of the image.
type Manifest struct {
	Digest   string    `json:"-"` // of the manifest as it is stored: "sha256:" and 64 hex digits
	Version  int       `json:"version"`
	Layers   []LayerID `json:"layers"`  // lowest first
	Program  string    `json:"program"` // path in the image
	Args     []string  `json:"args"`    // argv, Args[0] included
	Env      []string  `json:"env"`     // K=V
	Cwd      string    `json:"cwd"`
	UID      uint32    `json:"uid,omitempty"`
	GID      uint32    `json:"gid,omitempty"`
	Port     int       `json:"port,omitempty"`     // where the program listens if $PORT does not tell it
	Contract string    `json:"contract,omitempty"` // how the program is called
}

// LayerID names one file system of an image.
type LayerID struct {
	Digest    string `json:"digest"`    // of the layer's file
	Size      int64  `json:"size"`      // bytes of it
	FilesSize int64  `json:"filesSize"` // bytes of the files in it
}

// Layer is one EROFS file system of an image, open.
type Layer struct {
	File   *os.File
	Size   int64
	Digest string // of its bytes; names its content on this machine
}

// CloseLayers closes the files of layers.
func CloseLayers(layers []Layer) {
	for _, l := range layers {
		l.File.Close()
	}
}

// Size is the number of bytes of all layers.
func (m *Manifest) Size() (n int64) {
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// FilesSize is the number of bytes of the files in all layers.
func (m *Manifest) FilesSize() (n int64) {
	for _, l := range m.Layers {
		n += l.FilesSize
	}
	return n
}

// ErrNotFound is wrapped by errors about an image that the store does not have.
var ErrNotFound = errors.New("no such image")

// ErrNoLayer is wrapped by errors about a manifest whose layers are not all there.
var ErrNoLayer = errors.New("no such layer")

var (
	// A name is also what a reference to an image in a registry looks like: HOST:PORT in front, a digest at the end.
	nameForm   = regexp.MustCompile(`^([a-zA-Z0-9][a-zA-Z0-9._-]*:[0-9]{1,5}/)?[a-zA-Z0-9][a-zA-Z0-9._-]*(/[a-zA-Z0-9][a-zA-Z0-9._-]*)*(:[a-zA-Z0-9][a-zA-Z0-9._-]*)?(@sha256:[0-9a-f]{64})?$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

const nameMax = 230 // with each '/' as three bytes: leaves room for a suffix in a file name of at most 255

// CheckName says in one line what is wrong with the name of an image.
func CheckName(name string) error {
	if len(name)+2*strings.Count(name, "/") > nameMax || !nameForm.MatchString(name) || digestForm.MatchString(name) {
		return fmt.Errorf("image name %.300q: use letters, digits, '.', '_', '-', parts separated by '/', at most %d bytes, like thumbnail, team/thumbnail:v2 or registry.example.com:5000/team/thumbnail:v2", name, nameMax)
	}
	return nil
}

// check refuses a manifest that nothing in this version could have written.
func (m *Manifest) check() error {
	switch {
	case m.Version != ManifestVersion:
		return fmt.Errorf("manifest version %d, this unifaas knows %d: build the image again", m.Version, ManifestVersion)
	case len(m.Layers) == 0 || len(m.Layers) > abi.LayersMax:
		return fmt.Errorf("manifest has %d layers, an image has 1 to %d", len(m.Layers), abi.LayersMax)
	case !path.IsAbs(m.Program) || path.Clean(m.Program) != m.Program:
		return fmt.Errorf("manifest has no absolute program path (%q)", m.Program)
	case len(m.Args) == 0:
		return errors.New("manifest has no arguments")
	case !path.IsAbs(m.Cwd):
		return fmt.Errorf("manifest has no absolute working directory (%q)", m.Cwd)
	case m.Port < 0 || m.Port > 65535:
		return fmt.Errorf("manifest has port %d", m.Port)
	case m.Contract != "" && m.Contract != ContractHTTP && m.Contract != ContractStdio && m.Contract != ContractLambda:
		return fmt.Errorf("manifest has contract %q, this unifaas knows http, stdio and lambda", m.Contract)
	}
	var space int64
	for _, l := range m.Layers {
		if !digestForm.MatchString(l.Digest) {
			return fmt.Errorf("manifest has a layer with no valid digest (%q)", l.Digest)
		}
		if l.Size <= 0 || l.Size%tree.BlockSize != 0 || l.Size > abi.ImageMax || l.FilesSize < 0 {
			return fmt.Errorf("manifest says a layer of %d bytes, not a multiple of %d up to %d", l.Size, tree.BlockSize, int64(abi.ImageMax))
		}
		space += (l.Size + layerAlign - 1) &^ (layerAlign - 1)
	}
	if space > abi.ImageMax {
		return fmt.Errorf("image of %d bytes, an image can have at most %d", space, int64(abi.ImageMax))
	}
	strs := len(m.Program) + len(m.Cwd)
	for _, l := range [][]string{{m.Program, m.Cwd}, m.Args, m.Env} {
		for _, s := range l {
			if strings.ContainsRune(s, 0) {
				return fmt.Errorf("manifest has a NUL byte in %q", s)
			}
			strs += len(s) + 1
		}
	}
	if strs > maxStrings {
		return fmt.Errorf("command and environment of %d bytes, at most %d", strs, maxStrings)
	}
	return nil
}

const (
	layerAlign = 2 << 20   // each layer begins at a multiple in the guest's image area
	maxStrings = 128 << 10 // they have to fit the boot block beside what the deployment adds
)

// Encode gives the manifest's one spelling, and its digest.
func (m *Manifest) Encode() ([]byte, string, error) {
	if err := m.check(); err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return nil, "", fmt.Errorf("image: %w", err)
	}
	if b.Len() > MaxManifest {
		return nil, "", fmt.Errorf("manifest of %d bytes, at most %d", b.Len(), MaxManifest)
	}
	sum := sha256.Sum256(b.Bytes())
	return b.Bytes(), "sha256:" + hex.EncodeToString(sum[:]), nil
}

// DecodeManifest checks a manifest and gives it its digest.
func DecodeManifest(b []byte) (Manifest, error) {
	var m Manifest
	if len(b) > MaxManifest {
		return m, fmt.Errorf("manifest of %d bytes, at most %d", len(b), MaxManifest)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest is no valid JSON: %w", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	sum := sha256.Sum256(b)
	m.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return m, nil
}
