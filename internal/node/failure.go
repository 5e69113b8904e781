// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/units"
)

// What an invocation can come to beside an answer of the function. The gateway turns each into a status.
var (
	ErrNoFunction = errors.New("no such function")
	ErrBusy       = errors.New("too many invocations are waiting")
	ErrWait       = errors.New("no instance was free in time")
	ErrNoInstance = errors.New("there is no such instance")
	ErrClosing    = errors.New("the node is shutting down")

	errReplaced = errors.New("revision was replaced") // look the function up again
)

// TimeoutError is an invocation that ran past its limit.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string {
	return "time limit " + units.FormatDuration(e.Limit) + " reached"
}

// ScarceError is a machine that has run out of descriptors or memory: neither the function's doing nor its instance's.
type ScarceError struct{ Err error }

func (e *ScarceError) Error() string { return "the node is short of resources: " + e.Err.Error() }
func (e *ScarceError) Unwrap() error { return e.Err }

// scarce reports whether an error of this process is about what the machine or its limits give out.
func scarce(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, unix.ETOOMANYREFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// StartError is an instance that could not be made.
type StartError struct{ Err error }

func (e *StartError) Error() string { return "cannot start: " + e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// CrashError is an instance that ended in the middle of an invocation.
type CrashError struct{ Exit Exit }

func (e *CrashError) Error() string { return e.Exit.Reason }

// GuestError is a program that lives on but gave no proper answer.
type GuestError struct{ Err error }

func (e *GuestError) Error() string { return "no proper answer: " + e.Err.Error() }
func (e *GuestError) Unwrap() error { return e.Err }

// RequestError is a request whose body could not be read to its end.
type RequestError struct{ Err error }

func (e *RequestError) Error() string { return "request body: " + e.Err.Error() }
func (e *RequestError) Unwrap() error { return e.Err }
