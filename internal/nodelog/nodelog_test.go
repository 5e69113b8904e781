// SPDX-License-Identifier: Apache-2.0

package nodelog

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestForms(t *testing.T) {
	var b bytes.Buffer
	l, err := New(&b, Text)
	if err != nil {
		t.Fatal(err)
	}
	l.Info("stopping:\n what runs has 30s")
	l.With("function", "f").Warn("odd", "why", "a\nb")
	if want := "unifaas: stopping: what runs has 30s\nunifaas: warning: odd function=\"f\" why=\"a\\nb\"\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	b.Reset()
	if l, err = New(&b, JSON); err != nil {
		t.Fatal(err)
	}
	l.Error("a\nb", "n", 1)
	var got struct {
		Level, Msg string
		N          int
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got.Level != "ERROR" || got.Msg != "a\nb" || got.N != 1 || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
		t.Errorf("%s %v", b.String(), err)
	}
	if _, err := New(&b, "xml"); err == nil {
		t.Error("any form is one")
	}
}
