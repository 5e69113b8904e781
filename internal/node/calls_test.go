// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"testing"
	"time"
)

func TestCalls(t *testing.T) {
	moment := func() time.Time {
		for now := time.Now(); ; {
			if later := time.Now(); later.After(now) {
				return later
			}
		}
	}
	is := func(c *calls, at time.Time, want string) {
		t.Helper()
		if got := c.at(at); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	c := &calls{}
	before := moment()
	c.begin("a")
	first := moment()
	c.begin("b")
	both := moment()
	c.end("a")
	second := moment()
	c.end("b")
	after := moment()
	for at, want := range map[time.Time]string{before: "", first: "a", both: "", second: "b", after: ""} {
		is(c, at, want) // read when all is over
	}
	for n := range keptCalls {
		c.begin(fmt.Sprint(n))
		moment()
		c.end(fmt.Sprint(n))
	}
	is(c, first, "") // who knows what else ran then
	c = &calls{alone: true}
	before = moment()
	c.begin("a")
	c.end("a")
	between := moment()
	c.begin("b")
	is(c, before, "")
	is(c, between, "a")
	is(c, moment(), "b")
}
