// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// PreludeType is the type of a streamed answer that begins with status and headers.
const PreludeType = "application/vnd.awslambda.http-integration-response"

// Head is what a function says of its HTTP answer.
type Head struct {
	Status int
	Header http.Header
}

// fields are those of an answer of version 2.0. Values of headers are taken as functions write them: also as numbers.
type fields struct {
	StatusCode *json.Number               `json:"statusCode"`
	Headers    map[string]json.RawMessage `json:"headers"`
	Multi      map[string][]string        `json:"multiValueHeaders"`
	Cookies    []string                   `json:"cookies"`
	Body       json.RawMessage            `json:"body"`
	Base64     bool                       `json:"isBase64Encoded"`
}

// HTTPAnswer makes a status, headers and a body of what a function returned: an object with statusCode, or anything, which is the body then.
func HTTPAnswer(result []byte) (Head, []byte, error) {
	plain := Head{http.StatusOK, http.Header{"Content-Type": {"application/json"}}}
	if trimmed := bytes.TrimSpace(result); len(trimmed) == 0 || trimmed[0] != '{' {
		return plain, result, nil
	}
	var f fields
	if err := decode(result, &f); err != nil {
		if f.StatusCode == nil && json.Valid(result) {
			return plain, result, nil // an object with names like ours, and other things in them
		}
		return Head{}, nil, fmt.Errorf("the function's answer is no HTTP answer of version 2.0: %w", err)
	}
	if f.StatusCode == nil {
		return plain, result, nil
	}
	h, err := f.head()
	if err != nil {
		return Head{}, nil, err
	}
	var body []byte
	if len(f.Body) > 0 && string(f.Body) != "null" {
		var text string
		if err := json.Unmarshal(f.Body, &text); err != nil {
			text = string(f.Body) // an object, as some functions write it
		}
		body = []byte(text)
		if f.Base64 {
			if body, err = base64.StdEncoding.DecodeString(text); err != nil {
				return Head{}, nil, errors.New("the body of the function's answer is not in base64, as it says")
			}
		}
	}
	if h.Header.Get("Content-Type") == "" && len(body) > 0 {
		h.Header.Set("Content-Type", "application/json")
	}
	return h, body, nil
}

func decode(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(to)
}

func (f *fields) head() (Head, error) {
	h := Head{http.StatusOK, http.Header{}}
	if f.StatusCode != nil {
		n, err := strconv.Atoi(f.StatusCode.String())
		if err != nil || n < 200 || n > 599 {
			return Head{}, fmt.Errorf("the function's answer has status %.20s, not one from 200 to 599", *f.StatusCode)
		}
		h.Status = n
	}
	set := func(name, value string, add bool) error {
		if !token(name) || strings.ContainsAny(value, "\r\n\x00") {
			return fmt.Errorf("the function's answer has a header %.40q that cannot be", name)
		}
		if ours(name) {
			return nil
		}
		if add {
			h.Header.Add(name, value)
		} else {
			h.Header.Set(name, value)
		}
		return nil
	}
	for name, raw := range f.Headers {
		value := string(raw)
		var text string
		if json.Unmarshal(raw, &text) == nil {
			value = text
		}
		if err := set(name, value, false); err != nil {
			return Head{}, err
		}
	}
	for name, values := range f.Multi {
		for _, v := range values {
			if err := set(name, v, true); err != nil {
				return Head{}, err
			}
		}
	}
	for _, c := range f.Cookies {
		if err := set("Set-Cookie", c, true); err != nil {
			return Head{}, err
		}
	}
	return h, nil
}

// ours are headers about the connection, which only the server can know.
func ours(name string) bool {
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding", "connection", "keep-alive", "trailer", "upgrade":
		return true
	}
	return false
}

func token(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 127 || strings.IndexByte("()<>@,;:\\\"/[]?={}", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// MaxPrelude is the longest beginning of a streamed answer that is looked at for its end.
const MaxPrelude = 64 << 10

// Prelude takes status and headers off the beginning of a streamed answer: JSON, then eight NUL bytes. rest is where the body begins;
// 0: the end has not come yet.
func Prelude(start []byte) (h Head, rest int, err error) {
	at := bytes.Index(start, make([]byte, 8))
	if at < 0 {
		if len(start) >= MaxPrelude {
			return Head{}, 0, errors.New("the function's streamed answer has no end of its head")
		}
		return Head{}, 0, nil
	}
	var f fields
	if err := decode(start[:at], &f); err != nil {
		return Head{}, 0, fmt.Errorf("the head of the function's streamed answer: %w", err)
	}
	if h, err = f.head(); err != nil {
		return Head{}, 0, err
	}
	if h.Header.Get("Content-Type") == "" {
		h.Header.Set("Content-Type", "application/octet-stream")
	}
	return h, at + 8, nil
}
