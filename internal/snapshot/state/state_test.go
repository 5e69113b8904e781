// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"unifaas.dev/abi"
	"unifaas.dev/internal/snapshot"
)

// captured is a sandbox in some state and its image.
func captured(t testing.TB, r *rand.Rand) (*fake, *Image) {
	t.Helper()
	f := newFake(t, testMemory)
	f.scribble(t, r, 300)
	l := link(f, r)
	sink := memfd(t)
	info, err := Capture(sink, f, nil, snapshot.Meta{Key: testKey(), Link: l, Mono: 77})
	if err != nil {
		t.Fatal(err)
	}
	k, info2, err := snapshot.Check(sink)
	if err != nil || k.Differs(testKey()) != "" || info != info2 {
		t.Fatalf("check: %v, %q; %+v, %+v", err, k.Differs(testKey()), info, info2)
	}
	im, err := Open(sink, testKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return f, im
}

// link gives a sandbox empty rings somewhere.
func link(f *fake, r *rand.Rand) snapshot.Link {
	l := snapshot.Link{RxHead: r.Uint64N(1<<40) * abi.MsgAlign, TxTail: r.Uint64N(1<<40) * abi.MsgAlign, Next: 99, Ports: []uint16{8080, 1}, Stdin: 5, Window: [2]uint32{6, 7}, Closed: 1}
	f.shared.Store64(abi.CtlRxHead, l.RxHead)
	f.shared.Store64(abi.CtlRxTail, l.RxHead)
	f.shared.Store64(abi.CtlTxHead, l.TxTail)
	f.shared.Store64(abi.CtlTxTail, l.TxTail)
	return l
}

func same(t testing.TB, what string, a, b []byte) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d and %d bytes", what, len(a), len(b))
	}
	if bytes.Equal(a, b) {
		return
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("%s differs at 0x%x: %d and %d", what, i, a[i], b[i])
		}
	}
}

func TestFill(t *testing.T) {
	for seed := range uint64(5) {
		f, im := captured(t, rand.New(rand.NewPCG(seed, 1)))
		g := newFake(t, testMemory)
		if err := im.Fill(g); err != nil {
			t.Fatal(err)
		}
		same(t, "filled", f.state(t), g.state(t))
	}
}

func TestDelta(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 2))
		f, im := captured(t, r)
		f.scribble(t, r, 200)
		l := link(f, r)
		sink := memfd(t)
		n, err := im.Delta(f, l, sink)
		if err != nil {
			t.Fatal(err)
		}
		g := newFake(t, testMemory)
		if err := im.Fill(g); err != nil {
			t.Fatal(err)
		}
		m, err := im.Apply(g, sink, 0, n)
		if err != nil {
			t.Fatal(err)
		}
		if m.Link.RxHead != l.RxHead || m.Link.Next != l.Next || m.Mono < 1<<40 {
			t.Errorf("meta %+v", m)
		}
		same(t, "woken", f.state(t), g.state(t))
	}
}

func TestRewind(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 3))
		f, im := captured(t, r)
		want := f.state(t)
		rw, err := NewRewinder(im, f)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			f.scribble(t, r, 50)
			secret := bytes.Repeat([]byte("secret"), 1000)
			if err := f.shared.WriteAt(secret, abi.TxOff); err != nil {
				t.Fatal(err)
			}
			f.shared.Store64(abi.CtlTxHead, im.meta.Link.TxTail+abi.TxSize)
			res, err := rw.Rewind()
			if err != nil {
				t.Fatal(err)
			}
			f.store(t, res.Entries)
			same(t, "rewound", want, f.state(t))
			if bytes.Contains(all(t, f.shared), []byte("secret")) {
				t.Error("the ring keeps what was in it")
			}
		}
	}
}
