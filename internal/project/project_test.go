// SPDX-License-Identifier: Apache-2.0

package project_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unifaas.dev/internal/project"
)

// TestNew: what is written is whole, and names the function; what is there is left alone.
func TestNew(t *testing.T) {
	for _, lang := range project.Languages() {
		dir := filepath.Join(t.TempDir(), "made", "my-function")
		files, err := project.New(dir, lang)
		if err != nil {
			t.Fatalf("%s: %v", lang, err)
		}
		for _, want := range []string{"unifaas.yaml", "README.md", ".gitignore"} {
			if !slices.Contains(files, want) {
				t.Errorf("%s: no %s among %v", lang, want, files)
			}
		}
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(dir, f))
			if err != nil || strings.Contains(string(b), "{{") || strings.Contains(string(b), "<no value>") {
				t.Errorf("%s: %s: %v\n%s", lang, f, err, b)
			}
		}
		if b, _ := os.ReadFile(filepath.Join(dir, "README.md")); !strings.Contains(string(b), "unifaas deploy my-function") {
			t.Errorf("%s: README.md does not say how to deploy it:\n%s", lang, b)
		}
		if _, err := project.New(dir, lang); err == nil || !strings.Contains(err.Error(), "there is something in this folder") {
			t.Errorf("%s: a second time: %v", lang, err)
		}
	}
	if _, err := project.New(t.TempDir(), "cobol"); err == nil || !strings.Contains(err.Error(), "choose from c, go, node, python") {
		t.Errorf("another language: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := project.New(filepath.Join(file, "x"), "go"); err == nil || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("below a file: %v", err)
	}
}
