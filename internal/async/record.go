// SPDX-License-Identifier: Apache-2.0

package async

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Kinds of work.
const (
	kindCall     = "call"     // a function is to be called
	kindCallback = "callback" // what it answered is to be delivered
)

// record is all about one piece of work but its body. It travels in a header of the message, so that listings need not read bodies.
type record struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Function string    `json:"function"`
	CallID   text      `json:"call_id"`
	Callback text      `json:"callback,omitempty"`
	Accepted time.Time `json:"accepted"`

	Header map[string][]text `json:"header,omitempty"` // of the request, or of the function's answer
	Object string            `json:"object,omitempty"` // name of the body among the large ones, the ID; empty: it is in the message
	Size   int64             `json:"size"`

	// Of a call.
	Method string `json:"method,omitempty"`
	Path   text   `json:"path,omitempty"` // escaped
	Query  text   `json:"query,omitempty"`
	Host   text   `json:"host,omitempty"`
	Remote string `json:"remote,omitempty"`

	// Of a callback.
	Status int           `json:"status,omitempty"`
	Took   time.Duration `json:"took,omitempty"`

	// Of a dead letter.
	Reason   text      `json:"reason,omitempty"`
	Attempts int       `json:"attempts,omitempty"`
	Died     time.Time `json:"died,omitzero"`
}

// text is a string of any bytes, as headers may have them: in JSON each byte is a character.
type text string

func (t text) MarshalText() ([]byte, error) {
	b := make([]byte, 0, len(t))
	for _, c := range []byte(t) {
		b = append(b, string(rune(c))...)
	}
	return b, nil
}

func (t *text) UnmarshalText(b []byte) error {
	s := make([]byte, 0, len(b))
	for _, r := range string(b) {
		if r > 255 {
			return fmt.Errorf("character %U is no byte", r)
		}
		s = append(s, byte(r))
	}
	*t = text(s)
	return nil
}

func texts(h http.Header) map[string][]text {
	m := make(map[string][]text, len(h))
	for k, l := range h {
		for _, v := range l {
			m[k] = append(m[k], text(v))
		}
	}
	return m
}

func (r *record) header() http.Header {
	h := make(http.Header, len(r.Header))
	for k, l := range r.Header {
		for _, v := range l {
			h[k] = append(h[k], string(v))
		}
	}
	return h
}

// headerRecord is the header that a record is in.
const headerRecord = "Unifaas-Record"

// message makes the message of a record on a subject.
func (r *record) message(subject string, body []byte) (*nats.Msg, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	m := nats.NewMsg(subject)
	m.Header.Set(headerRecord, strings.TrimSuffix(b.String(), "\n"))
	m.Data = body
	return m, nil
}

func parseRecord(h nats.Header) (*record, error) {
	r := new(record)
	if err := json.Unmarshal([]byte(h.Get(headerRecord)), r); err != nil {
		return nil, fmt.Errorf("damaged record: %w", err)
	}
	if r.Kind != kindCall && r.Kind != kindCallback || !validID(r.ID) || r.Function == "" {
		return nil, fmt.Errorf("damaged record: kind %.20q, id %.40q", r.Kind, r.ID)
	}
	return r, nil
}

// validID reports whether a text has the form of an id, which is a UUID: it becomes part of subjects.
func validID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// subject is where a record waits. Each large body makes one of its own, so that it can be found whether something still needs the body.
func (r *record) subject() string {
	last := "inline"
	if r.Object != "" {
		last = r.Object
	}
	return subjectQueue + "." + r.Kind + "." + token(r.Function) + "." + last
}

func (r *record) deadSubject() string {
	return subjectDead + "." + token(r.Function) + "." + r.ID
}

// token is the name of a function as part of a subject and of a consumer's name.
func token(function string) string {
	return strings.NewReplacer("%", "%25", ".", "%2E").Replace(function)
}

func untoken(s string) string {
	return strings.NewReplacer("%25", "%", "%2E", ".").Replace(s)
}
