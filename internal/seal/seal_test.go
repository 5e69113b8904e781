// SPDX-License-Identifier: Apache-2.0

package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSeal(t *testing.T) {
	k, err := New(bytes.Repeat([]byte{1}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := New(bytes.Repeat([]byte{2}, KeySize))
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("secret"), 100_000)} {
		a, b := k.Seal("name", plain), k.Seal("name", plain)
		if bytes.Equal(a, b) {
			t.Error("the same value looks the same twice")
		}
		if len(plain) > 5 && bytes.Contains(a, plain[:6]) {
			t.Error("the value can be read")
		}
		if got, err := k.Open("name", k.ID(), a); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: %v", len(plain), err)
		}
		if _, err := k.Open("other", k.ID(), a); !errors.Is(err, ErrDamaged) {
			t.Errorf("under another name: %v", err)
		}
		if _, err := other.Open("name", k.ID(), a); !errors.Is(err, ErrOtherKey) {
			t.Errorf("with another key: %v", err)
		}
		if _, err := other.Open("name", other.ID(), a); !errors.Is(err, ErrDamaged) {
			t.Errorf("with another key that says it is the same: %v", err)
		}
		for _, at := range []int{0, len(a) / 2, len(a) - 1} {
			bad := bytes.Clone(a)
			bad[at] ^= 1
			if _, err := k.Open("name", k.ID(), bad); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d changed: %v", at, err)
			}
		}
		for n := range min(len(a), 40) {
			if _, err := k.Open("name", k.ID(), a[:n]); err == nil {
				t.Errorf("cut to %d bytes", n)
			}
		}
	}
	if _, err := New(make([]byte, 16)); err == nil {
		t.Error("a short key")
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "master.key")
	k, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st.Mode(), err)
	}
	again, err := Load(file)
	if err != nil || again.ID() != k.ID() {
		t.Error(err)
	}
	os.Chmod(file, 0o644)
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
	os.Chmod(file, 0o600)
	for _, text := range []string{"", "\n", "hello", base64.StdEncoding.EncodeToString(make([]byte, 31))} {
		os.WriteFile(file, []byte(text), 0o600)
		if _, err := Load(file); err == nil || strings.Count(err.Error(), file) != 1 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", text, err)
		}
	}
	os.Remove(file)
	os.Symlink("/dev/zero", file)
	if _, err := Load(file); err == nil {
		t.Error("a link")
	}
	if _, err := Load("/dev/null/x"); err == nil {
		t.Error("below a file")
	}

	t.Setenv(EnvKey, base64.StdEncoding.EncodeToString(make([]byte, KeySize)))
	fromEnv, err := Load(file)
	if err != nil || fromEnv.ID() == k.ID() {
		t.Error(err)
	}
	if os.Getenv(EnvKey) != "" {
		t.Error("it is still in the environment")
	}
	t.Setenv(EnvKey, "AAAA")
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), EnvKey) {
		t.Errorf("%v", err)
	}
}
