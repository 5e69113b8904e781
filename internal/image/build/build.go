// SPDX-License-Identifier: Apache-2.0

// Package build makes images of what users have: a program with its libraries, a script, a folder with unifaas.yaml, an
// OCI image or archive. What it writes goes into an image store; how images run is not its affair.
//
// Nothing of a source is ever run, with two exceptions: Node.js of this machine is asked for its version, and a folder's own build runs where
// Options.Output allows it.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/image"
	"unifaas.dev/internal/image/oci"
	"unifaas.dev/internal/image/tree"
)

// Options say what a build may use. The zero value is this machine as the caller sees it.
type Options struct {
	LibraryPath []string // LD_LIBRARY_PATH of the caller, for programs and scripts
	MaxSize     int64    // bytes of files that an OCI image may have; 0: the default
	Contract    string   // how the program is called; empty: what the source says
	Handler     string   // of contract lambda: FILE.FUNCTION
	Runtime     string   // of contract lambda: what runs the handler
	// Output takes what a folder's own build prints; nil: folders that have one are refused.
	Output io.Writer

	root  string   // of this machine, for tests
	nodes []string // where Node.js may be, for tests
}

// machine is one build.
type machine struct {
	libs  *libraries
	nodes []string
	opts  Options
}

// Image builds an image of source into the store and lets name stand for it; an empty name leaves it unnamed.
func Image(ctx context.Context, s *image.Store, source, name string, o Options) (image.Manifest, error) {
	if name != "" {
		if err := image.CheckName(name); err != nil {
			return image.Manifest{}, err
		}
	}
	if o.root == "" {
		o.root = "/"
	}
	if o.nodes == nil {
		o.nodes = nodePlaces()
	}
	trees, m, done, err := parts(ctx, s, source, o)
	if err != nil {
		return image.Manifest{}, err
	}
	defer done()
	return add(ctx, s, source, name, trees, m)
}

// add writes the layers of an image and lets name stand for it.
func add(ctx context.Context, s *image.Store, source, name string, trees []*tree.Tree, m image.Manifest) (image.Manifest, error) {
	for _, t := range trees {
		if t.FilesSize() > abi.ImageMax-(64<<20) {
			return image.Manifest{}, fmt.Errorf("%s: %d bytes of files, an image can have at most %d", source, t.FilesSize(), int64(abi.ImageMax))
		}
		l, err := s.AddLayer(ctx, t)
		if err != nil {
			return image.Manifest{}, err
		}
		m.Layers = append(m.Layers, l)
	}
	return s.AddImage(m, name)
}

// parts tells the kinds of sources apart, and gives layers, lowest first, and a manifest without them. done is called
// when the layers are written.
func parts(ctx context.Context, s *image.Store, source string, o Options) (trees []*tree.Tree, man image.Manifest, done func(), err error) {
	m := &machine{nodes: o.nodes, opts: o}
	m.libs = newLibraries(&host{o.root, nil}, nil)
	if err := o.check(); err != nil {
		return nil, image.Manifest{}, nil, err
	}
	nothing := func() {}
	lambda := o.Contract == image.ContractLambda
	fi, err := os.Stat(source)
	switch {
	case err == nil && fi.IsDir():
		if _, err := os.Lstat(filepath.Join(source, ConfigFile)); err == nil {
			trees, man, err = m.folder(ctx, source)
			return trees, man, nothing, err
		}
		if oci.IsLayout(source) {
			return ociParts(ctx, s, oci.Layout(source), o)
		}
		if lambda {
			trees, man, err = m.lambdaFolder(ctx, source)
			return trees, man, nothing, err
		}
		return nil, image.Manifest{}, nil, fmt.Errorf("%s: a folder without %s, and no OCI layout either: write a %s that says what the image consists of (docs/images.md)", source, ConfigFile, ConfigFile)
	case err == nil && !fi.Mode().IsRegular():
		return nil, image.Manifest{}, nil, fmt.Errorf("%s: neither a file nor a folder", source)
	case err == nil:
		start, err := head(source)
		if err != nil {
			return nil, image.Manifest{}, nil, err
		}
		program := strings.HasPrefix(start, "\x7fELF")
		switch {
		case strings.HasPrefix(start, zipStart):
			return m.zip(ctx, s, source)
		case lambda && (program || strings.HasPrefix(start, "#!")):
			trees, man, err = m.lambdaProgram(ctx, source)
			return trees, man, nothing, err
		case program:
			trees, man, err = m.program(source, o.LibraryPath)
		case strings.HasPrefix(start, "#!"):
			trees, man, err = m.script(ctx, source, start)
		case oci.IsArchive(start):
			return ociParts(ctx, s, oci.Archive(source), o)
		default:
			return nil, image.Manifest{}, nil, fmt.Errorf("%s: not an ELF file, script, folder, zip file or image archive%s", source, whatElse(start))
		}
		if err == nil && o.Contract != "" {
			man.Contract = o.Contract
		}
		return trees, man, nothing, err
	case !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
		return nil, image.Manifest{}, nil, fmt.Errorf("%s: %w", source, cause(err))
	case filepath.IsAbs(source) || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../"):
		return nil, image.Manifest{}, nil, fmt.Errorf("%s: %w", source, cause(err))
	}
	return ociParts(ctx, s, oci.Reference(source), o)
}

func head(source string) (string, error) {
	f, err := os.OpenFile(source, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", source, cause(err))
	}
	defer f.Close()
	b := make([]byte, 512)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", fmt.Errorf("%s: %w", source, cause(err))
	}
	return string(b[:n]), nil
}

func whatElse(start string) string {
	switch {
	case start == "":
		return ": it is empty"
	case strings.HasPrefix(start, "MZ"):
		return ": a Windows program"
	case strings.HasPrefix(start, "\xcf\xfa\xed\xfe"), strings.HasPrefix(start, "\xca\xfe\xba\xbe"):
		return ": a macOS program or Java class"
	}
	return ""
}
