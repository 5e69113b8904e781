// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestRestart keeps a value over the end of the embedded server.
func TestRestart(t *testing.T) {
	dir, want := t.TempDir(), "value"
	for round := range 2 {
		e, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		kv, err := e.JS.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			_, err = kv.PutString(t.Context(), "k", want)
		} else if v, e := kv.Get(t.Context(), "k"); e != nil || string(v.Value()) != want {
			t.Errorf("after a restart: %v, %v", v, e)
		}
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
	}
}

func TestNoServer(t *testing.T) {
	_, err := Open(t.Context(), Options{URL: "nats://127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "--nats") {
		t.Errorf("%v", err)
	}
}
