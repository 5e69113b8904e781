// SPDX-License-Identifier: Apache-2.0

package tender_test

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/snapshot"
	"unifaas.dev/internal/tender"
)

// TestAhead: the first stream of whatever is restored is the one that the program had accepted before the snapshot; one that did not simply wait
// for its bytes is not in it.
func TestAhead(t *testing.T) {
	for _, c := range []struct {
		mode     string
		ahead    bool
		greeting string
		first    int // connections accepted when the first one speaks
	}{
		{"", true, "", 1},
		{"one", true, "", 1},
		{"greets", false, "hello", 2},
		{"leaves", false, "", 2},
	} {
		t.Run("mode "+c.mode, func(t *testing.T) {
			t.Parallel()
			tn, taker, sink := captured(t, compile(t, "ahead"), func(o *tender.StartOptions) {
				o.Snapshots.Port, o.Snapshots.Rewind = 8080, c.mode != "one"
				o.Boot.Args = append(slices.Clone(o.Boot.Args), c.mode)
			})
			m, err := snapshot.ReadMeta(sink)
			if err != nil {
				t.Fatal(err)
			}
			if (m.Link.Ahead != 0) != c.ahead {
				t.Errorf("stream %d of port %d is in the snapshot", m.Link.Ahead, m.Link.AheadPort)
			}
			talk := func(i *tender.Instance, want int) {
				t.Helper()
				s, err := i.Dial(t.Context(), 8080)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				counts(t, s, c.greeting, want)
			}
			talk(taker, c.first)
			talk(taker, c.first+1)
			i := clone(t, tn, "clone")
			talk(i, c.first)
			talk(i, c.first+1)
			if c.mode == "one" { // park is for instances that are not rewound
				i = clone(t, tn, "parked")
				f, n := parked(t, i)
				i = woken(t, tn, "parked", f, n)
				talk(i, c.first)
				f, n = parked(t, i)
				talk(woken(t, tn, "parked", f, n), c.first+1)
				return
			}
			for range 3 {
				rewound(t, i)
				talk(i, c.first)
			}
			done := make(chan error, 1)
			s := i.Renew(8080, func(_ tender.Rewound, err error) { done <- err })
			defer s.Close()
			counts(t, s, c.greeting, c.first)
			if err := <-done; err != nil {
				t.Error(err)
			}
			talk(i, c.first+1) // beside the other
			rewound(t, i)
			rewound(t, i)
			talk(i, c.first)
		})
	}
}

// counts asks on a stream how many connections were accepted.
func counts(t *testing.T, s net.Conn, greeting string, want int) {
	t.Helper()
	s.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(s)
	if greeting != "" {
		if got, err := r.ReadString('\n'); strings.TrimSpace(got) != greeting {
			t.Errorf("greeting %q, %v", got, err)
		}
	}
	fmt.Fprintln(s, "?")
	if got, err := r.ReadString('\n'); strings.TrimSpace(got) != fmt.Sprint(want) {
		t.Errorf("%q connections, %v, expected %d", strings.TrimSpace(got), err, want)
	}
}
