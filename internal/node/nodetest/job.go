// SPDX-License-Identifier: Apache-2.0

package nodetest

import (
	"context"
	"io"
	"net"

	"unifaas.dev/internal/node"
)

// job is a run of a program that is a function of this process.
type job struct {
	*net.UnixConn
	ended chan int
}

// Spawn runs a program of contract stdio; what it returns is its exit status. Its input ends when it returns, read or not.
func Spawn(program func(stdin io.Reader, stdout io.Writer) int) (node.Job, error) {
	a, b, err := socketPair()
	if err != nil {
		return nil, err
	}
	j := &job{a.(*net.UnixConn), make(chan int, 1)}
	go func() {
		status := program(b, b)
		j.ended <- status
		b.Close()
	}()
	return j, nil
}

func (j *job) Wait(ctx context.Context) (int, error) {
	select {
	case s := <-j.ended:
		return s, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
