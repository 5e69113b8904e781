// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"time"

	"unifaas.dev/internal/units"
)

// What an invocation can come to beside an answer of the function. The gateway turns each into a status.
var (
	ErrNoFunction = errors.New("no such function")
	ErrBusy       = errors.New("too many invocations are waiting")
	ErrWait       = errors.New("no instance was free in time")
	ErrClosing    = errors.New("the node is shutting down")

	errReplaced = errors.New("revision was replaced") // look the function up again
)

// TimeoutError is an invocation that ran past its limit.
type TimeoutError struct{ Limit time.Duration }

func (e *TimeoutError) Error() string {
	return "time limit " + units.FormatDuration(e.Limit) + " reached"
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
