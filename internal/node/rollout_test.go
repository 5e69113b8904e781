// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/node/nodetest"
)

// says answers with the name of its revision.
func says(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	io.WriteString(w, nodetest.Self(r).Tender().Config.Name)
}

func revision(name string, change ...func(*node.Spec)) node.Spec {
	s := spec(change...)
	s.Revision = name
	return s
}

// update makes revision next of f take over, and gives what becomes of it.
func (g *rig) update(serve, next node.Spec) <-chan error {
	done := make(chan error, 1)
	g.Update(serve, &next, func(err error) { done <- err })
	return done
}

func (g *rig) wantAnswer(want string) {
	g.Helper()
	if got, _, err := g.call("GET", "/", ""); err != nil || got != want {
		g.Errorf("%q answers, want %q: %v", got, want, err)
	}
}

// TestRollout: a revision has no traffic before one of its instances listens.
func TestRollout(t *testing.T) {
	listen := make(chan struct{})
	run := &nodetest.Runtime{Handler: http.HandlerFunc(says), OnBoot: func(ctx context.Context, g *nodetest.Guest) error {
		if g.Tender().Config.Name == "f-2" {
			select {
			case <-listen:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	g := newRig(t, run, node.Options{})
	one, two := revision("f-1"), revision("f-2", func(s *node.Spec) { s.Scale.Min = 2 })
	if err := <-g.update(one, one); err != nil {
		t.Fatal(err)
	}
	if n := run.Boots.Load(); n != 1 {
		t.Errorf("%d instances for the first revision, want one", n)
	}
	done := g.update(one, two)
	eventually(t, "the second revision boots", func() bool { return run.Boots.Load() == 2 })
	g.wantAnswer("f-1")
	again := g.update(one, two) // goes on as it is
	close(listen)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	g.wantAnswer("f-2")
	g.Apply(two)
	eventually(t, "there are two instances, all of the second revision", func() bool {
		list := g.Instances(t.Context(), "f", false)
		return len(list) == 2 && list[0].Revision == "f-2" && list[1].Revision == "f-2"
	})
	select {
	case err := <-again:
		t.Errorf("told twice: %v", err)
	default:
	}
	// Whoever has not heard of it yet changes nothing.
	g.Update(one, &two, nil)
	g.wantAnswer("f-2")
}

// TestRolloutFails: the one before goes on, and everything of the other is gone.
func TestRolloutFails(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(says), OnBoot: func(_ context.Context, g *nodetest.Guest) error {
		if g.Tender().Config.Name == "f-2" {
			g.End(node.Exit{Kind: node.ExitNormal, Status: 3, Reason: "exit status 3"})
		}
		return nil
	}}
	g := newRig(t, run, node.Options{})
	one, two := revision("f-1"), revision("f-2", func(s *node.Spec) { s.Scale.Min = 1 })
	if err := <-g.update(one, one); err != nil {
		t.Fatal(err)
	}
	err := <-g.update(one, two)
	var exit *node.ExitError
	if !errors.As(err, &exit) || exit.Exit.Status != 3 {
		t.Errorf("second revision: %v", err)
	}
	g.wantAnswer("f-1")
	eventually(t, "one tender is left", func() bool { return run.Running.Load() == 1 })
}

// TestFirstRevisionFails: it is told, and calls find out for themselves.
func TestFirstRevisionFails(t *testing.T) {
	var good atomic.Bool
	run := &nodetest.Runtime{Handler: http.HandlerFunc(says), OnBoot: func(_ context.Context, g *nodetest.Guest) error {
		if !good.Load() {
			return errors.New("no such program")
		}
		return nil
	}}
	g := newRig(t, run, node.Options{})
	one := revision("f-1")
	if err := <-g.update(one, one); err == nil || !strings.Contains(err.Error(), "no such program") {
		t.Errorf("first revision: %v", err)
	}
	if _, _, err := g.call("GET", "/", ""); err == nil {
		t.Error("it answers")
	}
	good.Store(true)
	g.wantAnswer("f-1")
}

// TestRolloutReplaced: what is not wanted any more is given up, whatever it does.
func TestRolloutReplaced(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(says), OnBoot: func(ctx context.Context, g *nodetest.Guest) error {
		if g.Tender().Config.Name == "f-2" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	g := newRig(t, run, node.Options{})
	one := revision("f-1")
	if err := <-g.update(one, one); err != nil {
		t.Fatal(err)
	}
	second := g.update(one, revision("f-2"))
	eventually(t, "the second revision boots", func() bool { return run.Boots.Load() == 2 })
	third := g.update(one, revision("f-3"))
	if err := <-second; !errors.Is(err, node.ErrReplaced) {
		t.Errorf("second revision: %v", err)
	}
	if err := <-third; err != nil {
		t.Errorf("third revision: %v", err)
	}
	g.wantAnswer("f-3")
	// Going back to what serves ends what is under way.
	second = g.update(revision("f-3"), revision("f-2"))
	eventually(t, "the second revision boots again", func() bool { return run.Boots.Load() == 4 })
	g.Apply(revision("f-3"))
	if err := <-second; !errors.Is(err, node.ErrReplaced) {
		t.Errorf("second revision again: %v", err)
	}
	g.wantAnswer("f-3")
	// And so does removing.
	second = g.update(revision("f-3"), revision("f-2"))
	eventually(t, "the second revision boots once more", func() bool { return run.Boots.Load() == 5 })
	g.Remove("f", nil)
	if err := <-second; !errors.Is(err, node.ErrReplaced) {
		t.Errorf("second revision of a removed function: %v", err)
	}
}

// TestRolloutWhileClosing: nothing is said to have failed.
func TestRolloutWhileClosing(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(says), OnBoot: func(ctx context.Context, g *nodetest.Guest) error {
		if g.Tender().Config.Name != "f-1" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	g := newRig(t, run, node.Options{})
	one := revision("f-1")
	if err := <-g.update(one, one); err != nil {
		t.Fatal(err)
	}
	done := g.update(one, revision("f-2"))
	eventually(t, "the second revision boots", func() bool { return run.Boots.Load() == 2 })
	g.Close(t.Context())
	if err := <-done; !errors.Is(err, node.ErrClosing) {
		t.Errorf("second revision: %v", err)
	}
}

// TestNoRequestLost: requests of many callers, short and long ones, while one revision follows the other, some of which are of no use.
func TestNoRequestLost(t *testing.T) {
	run := &nodetest.Runtime{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			time.Sleep(20 * time.Millisecond)
		}
		says(w, r)
	}), OnBoot: func(_ context.Context, g *nodetest.Guest) error {
		if strings.HasPrefix(g.Tender().Config.Name, "bad") {
			g.End(node.Exit{Kind: node.ExitNormal, Status: 1, Reason: "exit status 1"})
		}
		return nil
	}}
	g := newRig(t, run, node.Options{})
	serving := revision("f-0", func(s *node.Spec) { s.Scale.Max = 4 })
	if err := <-g.update(serving, serving); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var all sync.WaitGroup
	var calls atomic.Int64
	for n := range 12 {
		all.Go(func() {
			path := "/"
			if n%4 == 0 {
				path = "/long"
			}
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, _, err := g.call("POST", path, "x")
				if calls.Add(1); err != nil || !strings.HasPrefix(got, "f-") {
					t.Errorf("%q %v", got, err)
					return
				}
			}
		})
	}
	for n := range 20 {
		next := serving
		next.Revision = "f-" + string(rune('a'+n))
		if n%4 == 3 {
			next.Revision = "bad-" + next.Revision
		}
		before := calls.Load()
		err := <-g.update(serving, next)
		if bad := strings.HasPrefix(next.Revision, "bad"); bad != (err != nil) {
			t.Errorf("%s: %v", next.Revision, err)
		} else if !bad {
			serving = next
			g.Apply(serving)
		}
		eventually(t, "calls go on", func() bool { return calls.Load() > before+20 || t.Failed() })
	}
	close(stop)
	all.Wait()
}
