// SPDX-License-Identifier: Apache-2.0

package tender

import (
	"context"
	"fmt"
	"net"

	"unifaas.dev/internal/tender/wire"
)

// Job is one run of the program in an instance whose Boot has abi.BootSpawn. The connection is its standard input and output: CloseWrite
// ends its input, Close before its end kills it.
type Job struct {
	*net.UnixConn
	i     *Instance
	token uint32
	ended chan uint32 // buffered; its wait status
}

// Spawn starts the program once more, with env (K=V) beside and instead of its environment. It returns at once; if the program
// cannot be started the connection ends without a byte and Wait returns 126.
func (i *Instance) Spawn(ctx context.Context, env []string) (*Job, error) {
	c, theirs, err := i.newStream(ctx)
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	j := &Job{UnixConn: c, i: i, ended: make(chan uint32, 1)}
	i.mu.Lock()
	i.token++
	j.token = i.token
	if i.jobs == nil {
		i.jobs = map[uint32]*Job{}
	}
	i.jobs[j.token] = j
	i.mu.Unlock()
	if err := i.t.send(&wire.Spawn{Instance: i.num, Token: j.token, Env: env}, int(theirs.Fd())); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// Wait returns the exit status as a shell gives it (128+N for signal N). Preconditions: the connection was read to its end.
func (j *Job) Wait(ctx context.Context) (int, error) {
	select {
	case st := <-j.ended:
		if sig := st & 0x7f; sig != 0 {
			return 128 + int(sig), nil
		}
		return int(st >> 8 & 0xff), nil
	case <-j.i.done:
		return 0, &ExitError{j.i.exit}
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the end of the program: %w", ctx.Err())
	}
}

// Close gives the job up.
func (j *Job) Close() error {
	j.i.mu.Lock()
	delete(j.i.jobs, j.token)
	j.i.mu.Unlock()
	return j.UnixConn.Close()
}

// onEnded: a job that was given up is not there any more.
func (i *Instance) onEnded(m *wire.Ended) {
	i.mu.Lock()
	j := i.jobs[m.Token]
	delete(i.jobs, m.Token)
	i.mu.Unlock()
	if j != nil {
		j.ended <- m.Status
	}
}
