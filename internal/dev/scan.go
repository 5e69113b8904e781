// SPDX-License-Identifier: Apache-2.0

package dev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const maxFiles = 100_000

// stamp is what a file looks like from outside.
type stamp struct {
	size int64
	at   time.Time
	mode fs.FileMode
}

// skipped are folders that hold what others made.
func skipped(name string) bool {
	return name == ".git" || name == "__pycache__" || name == "node_modules" || name == ".venv"
}

// passing are files that editors have for a while.
func passing(name string) bool {
	return strings.HasSuffix(name, "~") || strings.HasPrefix(name, ".#") || strings.HasSuffix(name, ".swp") || strings.HasSuffix(name, ".swx") || name == "4913"
}

// scan looks at all files of a source.
func scan(source string) (map[string]stamp, error) {
	all := map[string]stamp{}
	err := walk(source, func(name string, fi fs.FileInfo) error {
		if len(all) == maxFiles {
			return fmt.Errorf("%s: more than %d files: name a smaller folder", source, maxFiles)
		}
		if !fi.IsDir() {
			all[name] = stamp{fi.Size(), fi.ModTime(), fi.Mode()}
		}
		return nil
	})
	return all, err
}

// walk goes through files and folders. What disappears meanwhile is not there; that the source is not is an error.
func walk(source string, visit func(name string, fi fs.FileInfo) error) error {
	if _, err := os.Stat(source); err != nil {
		return fmt.Errorf("%s: %w", source, cause(err))
	}
	root, err := filepath.EvalSymlinks(source)
	if err != nil {
		return fmt.Errorf("%s: %w", source, cause(err))
	}
	return filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, cause(err))
		}
		if name != root && e.IsDir() && skipped(e.Name()) {
			return fs.SkipDir
		}
		if passing(e.Name()) {
			return nil
		}
		fi, err := e.Info()
		if err != nil {
			return nil
		}
		return visit(name, fi)
	})
}

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
