// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// What ARNs of functions here have in the places of a region and an account.
const (
	Region  = "us-east-1"
	Account = "000000000000"
	Latest  = "$LATEST"
)

// ARN names a function as AWS does.
func ARN(function string) string {
	return "arn:aws:lambda:" + Region + ":" + Account + ":function:" + function
}

var reference = regexp.MustCompile(`^(?:arn:aws[a-z-]*:lambda:[a-z0-9-]*:(?:\d{12})?:function:|(?:\d{12}):function:|function:)?([-a-zA-Z_0-9.]+)(?::(\$LATEST|[-a-zA-Z_0-9.]+))?$`)

// ParseName takes a function's name, ARN or partial ARN apart, with the qualifier that may follow.
func ParseName(ref string) (function, qualifier string, ok bool) {
	m := reference.FindStringSubmatch(ref)
	if m == nil || len(ref) > 300 {
		return "", "", false
	}
	return m[1], m[2], true
}

var idForm = regexp.MustCompile(`^[-a-zA-Z0-9_]{1,128}$`)

// ValidID reports whether a request id can stand in the paths of the Runtime API.
func ValidID(id string) bool { return idForm.MatchString(id) }

// Error is a failure of a function as callers get it.
type Error struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType,omitempty"`
}

// JSON is the error's payload.
func (e Error) JSON() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		return []byte(`{"errorMessage":"an error"}`)
	}
	return b
}

// TimedOut is the error of a function that ran past its limit.
func TimedOut(requestID string, limit time.Duration) Error {
	return Error{fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", requestID, limit.Seconds()), "Sandbox.Timedout"}
}

// Exited is the error of a function whose instance ended.
func Exited(requestID, reason string) Error {
	return Error{fmt.Sprintf("RequestId: %s Error: Runtime exited with error: %s", requestID, reason), "Runtime.ExitError"}
}

// ParseError takes what a runtime said for an error, if it is one.
func ParseError(text string) (Error, bool) {
	var e struct {
		Type    *string `json:"errorType"`
		Message *string `json:"errorMessage"`
	}
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &e) != nil || e.Type == nil || e.Message == nil {
		return Error{}, false
	}
	return Error{*e.Message, *e.Type}, true
}

// InitFailure is the payload for a function that could not be initialised: what its runtime said last, if that is an error,
// else the reason.
func InitFailure(requestID, last, reason string) []byte {
	if _, ok := ParseError(last); ok {
		return []byte(last)
	}
	return Exited(requestID, reason).JSON()
}

// TooLarge is the error of a function whose answer is.
func TooLarge() Error {
	return Error{fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxPayload), "Function.ResponseSizeTooLarge"}
}

// TrailerError is the payload of a failure amid an answer: the runtime's own words, in base64, if they are JSON.
func TrailerError(kind, body string) []byte {
	if text, err := base64.StdEncoding.DecodeString(body); err == nil && json.Valid(text) {
		return text
	}
	return Error{"the function failed amid its answer", kind}.JSON()
}
