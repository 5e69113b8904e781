// SPDX-License-Identifier: Apache-2.0

package server

import "time"

// For how long a stream that the guest asked for counts as in the middle of something. No state is taken meanwhile: whoever starts from it would
// find the stream reset where an answer was expected. One that rests is reset, too, which is what programs with idle connections are used to.
const (
	freshWait  = time.Second            // connected, and nothing was said: in many protocols the server begins
	answerWait = 30 * time.Second       // something was sent, and nothing came; after that it is no answer that is waited for
	dgramWait  = 5 * time.Second        // the same of a datagram, which may be lost
	dripWait   = 100 * time.Millisecond // something came: the rest may follow
)

// uses notes that something went over an outbound stream that has it count as in use for some time.
func (t *table) uses(s *stream, d time.Duration) { s.out.until = t.clock.now() + int64(d) }

// sends is what the guest sent on it.
func (t *table) sends(s *stream) {
	if s.out.udp {
		t.uses(s, dgramWait)
	} else {
		t.uses(s, answerWait)
	}
}

// awaited is for how long at least some outbound stream is in use from now on; 0: none is.
func (t *table) awaited() (d time.Duration) {
	now := t.clock.now()
	for _, s := range t.streams {
		switch {
		case s.out == nil:
		case !s.out.udp && s.credit == 0 && !s.ended:
			d = max(d, dripWait) // the guest leaves what came
		default:
			d = max(d, time.Duration(s.out.until-now))
		}
	}
	return d
}
