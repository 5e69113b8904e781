// SPDX-License-Identifier: Apache-2.0

package basicauth

import (
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "auth")
	if _, err := Load(dir); !errors.Is(err, ErrNone) {
		t.Fatalf("nothing there: %v", err)
	}
	made, err := Generate(dir)
	if err != nil || len(made.Password) < 32 {
		t.Fatal(made, err)
	}
	if fi, err := os.Stat(filepath.Join(dir, PasswordFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if c, err := Load(dir); err != nil || *c != *made {
		t.Errorf("%v %v, made %v", c, err, made)
	}
	if _, err := Generate(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	for _, bad := range []struct{ name, text string }{{UserFile, "a:b"}, {UserFile, "a\nb"}, {PasswordFile, "\n"}, {PasswordFile, ""}} {
		old, err := os.ReadFile(filepath.Join(dir, bad.name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, bad.name), []byte(bad.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Load(dir); err == nil {
			t.Errorf("%s of %q: %v", bad.name, bad.text, c)
		}
		if err := os.WriteFile(filepath.Join(dir, bad.name), old, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(dir, UserFile))
	if _, err := Load(dir); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("half of them: %v", err)
	}
}

func TestValid(t *testing.T) {
	c := &Credentials{"admin", "secret"}
	for _, q := range []struct {
		user, password string
		want           bool
	}{{"admin", "secret", true}, {"admin", "secre", false}, {"admin", "secrets", false}, {"Admin", "secret", false}, {"", "", false}, {"admin", "", false}} {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(q.user, q.password)
		if c.Valid(r) != q.want {
			t.Errorf("%+v", q)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	if c.Valid(r) {
		t.Error("without any")
	}
	for _, h := range []string{"Bearer secret", "Basic !!!", "Basic", "basic"} {
		r.Header.Set("Authorization", h)
		if c.Valid(r) {
			t.Errorf("%s", h)
		}
	}
	w := httptest.NewRecorder()
	Refuse(w)
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != `Basic realm="Restricted"` || w.Body.String() != "invalid credentials" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}
