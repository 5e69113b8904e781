// SPDX-License-Identifier: Apache-2.0

// Package project writes the beginnings of functions, one for each language: a folder that `unifaas deploy` takes.
package project

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed all:templates
var templates embed.FS

// language is one in which functions are written.
type language struct{ name, main, test string }

func languages() map[string]language {
	return map[string]language{
		"go":     {"Go", "main.go", "go test"},
		"python": {"Python", "handler.py", "python3 -m unittest"},
		"node":   {"JavaScript", "handler.js", "node --test"},
		"c":      {"C", "handler.c", ""},
	}
}

// Languages lists what New knows.
func Languages() []string { return slices.Sorted(maps.Keys(languages())) }

// Check says what is wrong with a language.
func Check(lang string) error {
	if _, ok := languages()[lang]; !ok {
		return fmt.Errorf("language %q: choose from %s", lang, strings.Join(Languages(), ", "))
	}
	return nil
}

// New writes a project into a folder, which is made; one that has something in it is left alone. It returns the files.
func New(dir, lang string) (files []string, err error) {
	if err := Check(lang); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if there, err := os.ReadDir(abs); err == nil && len(there) > 0 {
		return nil, fmt.Errorf("%s: there is something in this folder: choose another name", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, cause(err))
	}
	l := languages()[lang]
	name := filepath.Base(abs)
	data := struct{ Name, Package, Language, Main, Test string }{name, packageName(name), l.name, l.main, l.test}
	write := func(from string) error {
		t, err := template.ParseFS(templates, from)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, data); err != nil {
			return err
		}
		to := strings.TrimSuffix(path.Base(from), ".tmpl")
		if to == "gitignore" {
			to = ".gitignore"
		}
		files = append(files, to)
		if err := os.WriteFile(filepath.Join(abs, to), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, to), cause(err))
		}
		return nil
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, cause(err))
	}
	entries, err := templates.ReadDir("templates/" + lang)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := write("templates/" + lang + "/" + e.Name()); err != nil {
			return files, err
		}
	}
	return files, write("templates/README.md.tmpl")
}

// packageName is a name that npm takes.
func packageName(name string) string {
	name = strings.Trim(strings.ToLower(name), "._-")
	if name == "" {
		return "function"
	}
	return name
}

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
