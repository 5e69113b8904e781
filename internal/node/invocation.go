// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"
)

// Invocation is one request on its way to one instance. It is an http.RoundTripper for that one request; End has to be
// called when the answer was passed on.
type Invocation struct {
	// OnLimit, if set, is called when the time limit passes while the invocation still runs: what only the caller's
	// side can interrupt is to end.
	OnLimit func()
	// OnInformed, if set, is called for each answer before the answer (1xx).
	OnInformed func(code int, header textproto.MIMEHeader) error
	// ID, if set, names it in logs.
	ID string
	// Instance, if set, is the id of the only instance that may have it.
	Instance string
	// Event, if set, says that the request's body is an event for a Lambda function, as it is. Functions of other contracts get it as a body.
	Event *Event

	n        *Node
	function string
	arrived  time.Time

	pool     *pool
	inst     *instance
	cancel   context.CancelFunc
	limit    context.Context // ends at deadline, with the caller, or at the end of the invocation
	deadline time.Time
	retire   bool
	admitted bool // it counts among those in flight
	over     bool // its limit has passed, and that was noted
	caller   context.Context
	orphan   chan struct{} // closed when the program is done with it, though nobody waits; nil: it ends with its caller
	untell   func()        // OnLimit is not called from then on
	failed   bool
	timing   Timing
}

// Timing says where the time of an invocation went, in microseconds. The parts from Tender to Program are those of the
// instance's boot and zero unless this invocation waited for it.
type Timing struct {
	Cold      bool   `json:"cold"`
	Origin    string `json:"origin,omitempty"` // of an instance that was made for it: boot, snapshot, parked
	Instance  string `json:"instance"`
	Queue     int64  `json:"queue_us"`      // waited for an instance, beside its boot
	Tender    int64  `json:"tender_us"`     // start of the tender process
	VM        int64  `json:"vm_us"`         // sandbox made
	State     int64  `json:"state_us"`      // snapshot and what differs from it put in
	Libos     int64  `json:"libos_us"`      // library OS ready
	Program   int64  `json:"program_us"`    // program loaded and listening
	FirstByte int64  `json:"first_byte_us"` // request sent until the head of the answer
	Total     int64  `json:"total_us"`      // arrival until the head of the answer
}

// Invoke starts an invocation of a function that arrived at a time.
func (n *Node) Invoke(function string, arrived time.Time) *Invocation {
	return &Invocation{n: n, function: function, arrived: arrived}
}

// RoundTrip waits for an instance and passes the request to it. Once it has one the function's time limit runs, until
// End. A request that cannot have reached any program is given to another instance.
func (v *Invocation) RoundTrip(req *http.Request) (*http.Response, error) {
	caller := req.Context()
	v.caller = caller
	if !v.admitted {
		if err := v.n.admit(); err != nil {
			return nil, err
		}
		v.admitted = true
	}
	held := int64(0)
	if req.GetBody != nil {
		held = max(req.ContentLength, 0)
	}
	for n := 1; ; n++ {
		if err := v.acquire(caller, held); err != nil {
			return nil, err
		}
		sent := time.Now()
		var try attempt
		out := req.WithContext(httptrace.WithClientTrace(v.limit, try.trace(v.OnInformed)))
		body, err := guardBody(out)
		if err != nil {
			return nil, err
		}
		resp, err := v.send(out)
		if err == nil {
			if resp.StatusCode == http.StatusSwitchingProtocols {
				upgraded := resp.Body
				context.AfterFunc(v.limit, func() { upgraded.Close() }) // the transport has let go of it
			}
			v.measure(sent)
			return resp, nil
		}
		if v.orphan != nil { // before try is looked at: it is not ours any more
			v.failed = true
			return nil, caller.Err()
		}
		if errors.Is(err, errUnseen) && n < maxAttempts && v.limit.Err() == nil {
			v.retire = true
			v.letGo(false)
			continue
		}
		if try.stream == nil && scarce(err) { // another instance has no better chance, and this one is well
			v.failed = true
			return nil, &ScarceError{err}
		}
		err = v.explain(caller, body, err)
		if v.limit.Err() != nil || n == maxAttempts || body.touched.Load() || !try.unseen() {
			return nil, err
		}
		var guest *GuestError
		if !errors.As(err, &guest) || try.stream == nil {
			v.retire = true // it is gone, or takes no streams
		}
		v.letGo(false)
		v.failed = false
	}
}

// acquire gets an instance, of the revision that is served now.
func (v *Invocation) acquire(ctx context.Context, held int64) error {
	for {
		p, err := v.n.pool(v.function)
		if err != nil {
			return err
		}
		i, err := p.acquire(ctx, v.Instance, held)
		if errors.Is(err, errReplaced) {
			continue
		}
		if err != nil {
			return err
		}
		v.pool, v.inst, v.retire, v.over = p, i, false, false
		i.calls.begin(v.ID)
		v.deadline = time.Now().Add(p.spec.Timeout)
		base := ctx
		if p.spec.staysBusy() {
			base = context.WithoutCancel(ctx)
		}
		limit, cancel := context.WithCancelCause(base)
		var deaf atomic.Bool
		v.untell = func() { deaf.Store(true) }
		timer := time.AfterFunc(p.spec.Timeout, func() {
			if limit.Err() != nil {
				return // it is over
			}
			cancel(context.DeadlineExceeded)
			if v.OnLimit != nil && !deaf.Load() {
				v.OnLimit()
			}
		})
		v.limit, v.cancel = limit, func() {
			timer.Stop()
			cancel(nil)
		}
		return nil
	}
}

// Timing is known once RoundTrip has returned an answer.
func (v *Invocation) Timing() Timing { return v.timing }

func (v *Invocation) measure(sent time.Time) {
	now := time.Now()
	us := func(d time.Duration) int64 { return max(d.Microseconds(), 0) }
	t := Timing{Instance: v.inst.id, FirstByte: us(now.Sub(sent)), Total: us(now.Sub(v.arrived)), Queue: us(sent.Sub(v.arrived))}
	if first, own := v.pool.claimBoot(v.inst, v.arrived); first {
		b := v.inst.boot
		if v.inst.origin != FromBoot { // it was said to listen before its state was there; now it has answered
			if again, err := v.inst.guest.WaitListen(v.limit); err == nil {
				b.BootTiming = again
			}
			b.Total = max(b.Total, b.Tender+b.VM+b.State+b.Libos+b.Program)
			v.n.opts.Observer.Made(v.function, v.inst.origin.short(), b)
		}
		if !own {
			v.timing = t
			return
		}
		t.Cold = v.inst.origin != FromParked
		t.Tender, t.VM, t.State, t.Libos, t.Program = us(b.Tender), us(b.VM), us(b.State), us(b.Libos), us(b.Program)
		made := t.VM + t.State + t.Libos + t.Program
		if v.inst.origin == FromSnapshot { // while the request was under way
			t.FirstByte, made = max(t.FirstByte-made, 0), 0
		}
		t.Queue = max(t.Queue-t.Tender-made, 0)
		t.Origin = v.inst.origin.short()
	}
	v.timing = t
}

// claimBoot lets the first invocation of an instance report its boot. own says that it waited for that.
func (p *pool) claimBoot(i *instance, arrived time.Time) (first, own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.claimed {
		return false, false
	}
	i.claimed = true
	if arrived.After(i.begun) {
		return true, false // it was made for somebody else, or for Scale.Min
	}
	if i.origin == FromParked {
		p.stats.Wakes++
	} else {
		p.stats.Cold++
	}
	return true, true
}

// explain finds out why an instance gave no answer.
func (v *Invocation) explain(ctx context.Context, sent *body, err error) error {
	v.failed = true
	if v.late() { // first: the caller's context may end for the very same reason
		v.expired()
		return &TimeoutError{v.pool.spec.Timeout}
	}
	if ctx.Err() != nil {
		return ctx.Err() // the caller is gone
	}
	if bad := sent.failure.Load(); bad != nil {
		return &RequestError{*bad}
	}
	// A stream that breaks is often the first sign that the instance ends.
	t := time.NewTimer(explainWait)
	defer t.Stop()
	select {
	case <-v.inst.guest.Done():
		return &CrashError{v.inst.guest.Exit()}
	case <-v.limit.Done():
		return v.explain(ctx, sent, err)
	case <-t.C:
		return &GuestError{err}
	}
}

// expired notes that the invocation ran past its limit: whatever the program still does, it is not to go on.
func (v *Invocation) expired() {
	if v.retire || v.over {
		return
	}
	v.over = true
	v.retire = !v.pool.spec.Rewind // which ends whatever it does
	v.pool.timedOut(v.inst)
}

func (p *pool) timedOut(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Timeouts++
	if p.spec.Rewind {
		p.n.line(p.spec.Function, i.id, (&TimeoutError{p.spec.Timeout}).Error()+": it is rewound")
		return
	}
	p.instances.set(i, retired)
	reason := (&TimeoutError{p.spec.Timeout}).Error()
	if i.inflight == 1 {
		p.end(i, 0, reason)
		p.n.line(p.spec.Function, i.id, "ended: "+reason)
	} else {
		p.n.line(p.spec.Function, i.id, reason+"; ends when its other invocations are over")
	}
}

// End gives the instance back. failed says that the answer broke off after its head.
func (v *Invocation) End(failed bool) {
	if v.admitted {
		v.admitted = false
		v.n.admission.inflight.Add(-1)
	}
	if v.inst == nil {
		return
	}
	v.failed = v.failed || failed
	if v.failed && v.late() {
		v.expired()
	}
	v.letGo(true)
}

// late reports whether it was the time limit that ended the invocation.
func (v *Invocation) late() bool { return v.limit.Err() != nil && !time.Now().Before(v.deadline) }

func (v *Invocation) letGo(counts bool) {
	if v.orphan != nil {
		v.letGoLater(counts)
		return
	}
	if v.failed && !v.retire && v.limit.Err() != nil && !v.pool.spec.Rewind {
		v.pool.watch(v.inst, v.deadline)
	}
	v.cancel()
	v.inst.calls.end(v.ID)
	v.pool.release(v.inst, outcome{counts: counts, answered: !v.failed, retire: v.retire, tried: true})
	v.inst = nil
}

// body is the body of one attempt. One that is in memory (it has GetBody) is given to the transport as it is, which
// then sends it together with the head; another one can be sent again as long as nobody has read from it.
type body struct {
	io.ReadCloser
	touched atomic.Bool
	failure atomic.Pointer[error] // of reading it from the caller
}

func guardBody(req *http.Request) (*body, error) {
	b := &body{ReadCloser: req.Body}
	var err error
	switch {
	case req.GetBody != nil:
		req.Body, err = req.GetBody()
	case req.Body != nil && req.Body != http.NoBody:
		req.Body = b
	}
	return b, err
}

func (b *body) Read(p []byte) (int, error) {
	b.touched.Store(true)
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close leaves the body open for another attempt; the HTTP server closes it after the request.
func (b *body) Close() error { return nil }
