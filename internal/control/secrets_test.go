// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/control/store"
	"unifaas.dev/internal/control/storetest"
	"unifaas.dev/internal/seal"
)

func names(list []control.Secret) (n []string) {
	for _, s := range list {
		n = append(n, s.Name)
	}
	return n
}

func TestSecrets(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	st := storetest.Open(t, dir)
	s := control.NewSecrets(st, storetest.Key(t))
	value := []byte("a very secret value\x00\xff")
	if err := s.Create(ctx, "", "api-key", value); err != nil {
		t.Fatal(err)
	}
	if err := s.Create(ctx, "default", "api-key", nil); !errors.Is(err, control.ErrSecretExists) {
		t.Errorf("second create: %v", err)
	}
	if err := s.Update(ctx, "", "missing", nil); !errors.Is(err, control.ErrNoSecret) {
		t.Errorf("update of nothing: %v", err)
	}
	if err := s.Put(ctx, "team", "api-key", []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, "", "a.b", nil); err != nil {
		t.Fatal(err)
	}
	got, first, err := s.Get(ctx, "", "api-key")
	if err != nil || !bytes.Equal(got, value) || first.Namespace != "default" || first.Created.IsZero() || first.Version == 0 {
		t.Fatalf("%q %+v %v", got, first, err)
	}
	if err := s.Update(ctx, "", "api-key", []byte("another")); err != nil {
		t.Fatal(err)
	}
	got, second, err := s.Get(ctx, "default", "api-key")
	if err != nil || string(got) != "another" || !second.Created.Equal(first.Created) || second.Version <= first.Version {
		t.Fatalf("%q %+v %v", got, second, err)
	}
	if list, err := s.List(ctx, ""); err != nil || !slices.Equal(names(list), []string{"a.b", "api-key"}) {
		t.Errorf("%v %v", list, err)
	}
	if list, err := s.List(ctx, "nobody"); err != nil || list == nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	for what, err := range map[string]error{
		"..": s.Create(ctx, "", "..", nil), "a/b": s.Create(ctx, "", "a/b", nil), "": s.Create(ctx, "", "", nil), "long": s.Create(ctx, "", strings.Repeat("x", 254), nil),
		"namespace": s.Create(ctx, "a/b", "c", nil), "large": s.Create(ctx, "", "large", make([]byte, control.MaxSecret+1)), "delete": s.Delete(ctx, "", "a/../b"),
	} {
		var bad *control.InvalidError
		if !errors.As(err, &bad) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Create(ctx, "", "large", make([]byte, control.MaxSecret)); err != nil {
		t.Errorf("the largest secret: %v", err)
	}
	if err := s.Delete(ctx, "", "missing"); !errors.Is(err, control.ErrNoSecret) {
		t.Errorf("%v", err)
	}
	st.Close()

	// Nothing on the disk can be read.
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, value[:19]) || bytes.Contains(text, []byte("another")) || bytes.Contains(text, []byte("theirs")) {
			t.Errorf("a secret stands in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	st = storetest.Open(t, dir)
	defer st.Close()
	s = control.NewSecrets(st, storetest.Key(t))
	if got, _, err := s.Get(ctx, "", "api-key"); err != nil || string(got) != "another" {
		t.Errorf("after a restart: %q %v", got, err)
	}
	// A record put in another's place is not taken for it.
	theirs, err := st.Get(ctx, store.Key{Kind: store.Secrets, Name: "team/api-key"})
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Replace(theirs.Value, []byte(`"team"`), []byte(`"default"`), 1)
	if _, err := st.Put(ctx, store.Key{Kind: store.Secrets, Name: "default/api-key"}, text, second.Version); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(ctx, "", "api-key"); !errors.Is(err, seal.ErrDamaged) || strings.Contains(err.Error(), "theirs") {
		t.Errorf("exchanged: %v", err)
	}
	if err := s.Update(ctx, "", "api-key", []byte("whole again")); err != nil {
		t.Error(err)
	}
	if got, _, err := s.Get(ctx, "", "api-key"); err != nil || string(got) != "whole again" {
		t.Errorf("%q %v", got, err)
	}
	other, err := seal.New(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := control.NewSecrets(st, other).Get(ctx, "", "api-key"); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if err := s.Delete(ctx, "", "api-key"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Get(ctx, "", "api-key"); !errors.Is(err, control.ErrNoSecret) {
		t.Errorf("deleted: %v", err)
	}
	if _, _, err := s.Get(ctx, "team", "api-key"); err != nil {
		t.Errorf("the other namespace's: %v", err)
	}
}
