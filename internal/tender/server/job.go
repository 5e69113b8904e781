// SPDX-License-Identifier: Apache-2.0

package server

import (
	"strings"

	"golang.org/x/sys/unix"

	"unifaas.dev/abi"
	"unifaas.dev/internal/tender/wire"
)

// spawnPort is the port that a guest listens on once it takes SPAWN.
const spawnPort = 0

// job is a program started for one request; its stream is the program's standard input and output.
type job struct {
	token uint32
	env   []byte // NUL-terminated strings
	over  bool   // the program has ended: what is pending is the last
}

type waitingJob struct {
	*job
	fd int
}

// spawn does one command. It owns the descriptor.
func (s *Server) spawn(m *wire.Spawn, fd int) {
	env := ""
	if len(m.Env) > 0 {
		env = strings.Join(m.Env, "\x00") + "\x00"
	}
	ok := s.with(m.Instance, func(in *instance) {
		if in.ended || len(env) > abi.MsgMax || !in.spawns || in.table.full() {
			in.jobRefused(m.Token)
			unix.Close(fd)
			return
		}
		err := in.table.spawn(&job{token: m.Token, env: []byte(env)}, fd)
		if err == nil {
			err = in.captureDue()
		}
		if err == nil {
			_, err = in.table.readAll()
		}
		in.command(err)
	})
	if !ok {
		unix.Close(fd)
	}
}

// spawn starts a job, or lets it wait until the guest takes any.
func (t *table) spawn(j *job, fd int) error {
	if !t.listening[spawnPort] || t.held {
		t.jobs = append(t.jobs, waitingJob{j, fd})
		return nil
	}
	return t.open(spawnPort, fd, j)
}

func (t *table) full() bool { return len(t.streams)+t.nwaiting+len(t.jobs) >= maxStreams }

// startJobs starts those that have waited.
func (t *table) startJobs() error {
	jobs := t.jobs
	t.jobs = nil
	for i, j := range jobs {
		if err := t.open(spawnPort, j.fd, j.job); err != nil {
			for _, rest := range jobs[i+1:] {
				unix.Close(rest.fd)
			}
			return err
		}
	}
	return nil
}

// notStarted is the status of a program that could not be started, as shells have it.
const notStarted = 126 << 8

func (in *instance) jobRefused(token uint32) {
	in.host.out.offer(&wire.Ended{Instance: in.id, Token: token, Status: notStarted}, maxPortsQueued)
}

// jobEnded is the guest's ENDED. What the program wrote goes out first; the stream ends with it.
func (in *instance) jobEnded(s *stream, status uint32) error {
	if s.job == nil || s.job.over {
		return violated("end of a program on stream %d, which has none", s.id)
	}
	s.job.over, s.silent, s.guestEnd = true, true, true
	if !in.host.out.offer(&wire.Ended{Instance: in.id, Token: s.job.token, Status: status}, maxPortsQueued) {
		return violated("programs end faster than anyone can follow")
	}
	in.table.wantFlush(s)
	return nil
}
