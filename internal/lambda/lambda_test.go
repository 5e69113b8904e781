// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHTTPEvent(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "http://f.example.com:80/a%2Fb?x=1&x=2&y", nil)
	r.Header = http.Header{"Cookie": {"a=1; b=2"}, "X-Two": {"1", "2"}, "X-Forwarded-For": {"6.6.6.6, 10.0.0.1"}, "Content-Type": {"text/plain; charset=utf-8"}}
	text, err := HTTPEvent(r, []byte("ü"), "f", "id-1", time.UnixMilli(0))
	if err != nil {
		t.Fatal(err)
	}
	var e httpEvent
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	if e.Version != "2.0" || e.RawPath != "/a%2Fb" || e.RawQuery != "x=1&x=2&y" || e.Query["x"] != "1,2" || e.Headers["x-two"] != "1,2" || len(e.Cookies) != 2 || e.Cookies[1] != "b=2" ||
		*e.Body != "ü" || e.IsBase64Encoded || e.Context.HTTP.SourceIP != "10.0.0.1" || e.Context.HTTP.Method != "POST" || e.Context.DomainName != "f.example.com" ||
		e.Context.RequestID != "id-1" || e.Context.Time != "01/Jan/1970:00:00:00 +0000" || e.Headers["host"] != "f.example.com:80" {
		t.Errorf("%s", text)
	}
	for _, c := range []struct {
		kind, encoding, body string
		base64               bool
	}{
		{"application/json", "", "{}", false}, {"application/problem+json", "", "{}", false}, {"", "", "x", false}, {"image/png", "", "x", true},
		{"text/plain", "", "\xff", true}, {"text/plain", "gzip", "x", true}, {"application/x-www-form-urlencoded", "", "a=b", true}, {"///", "", "x", true},
	} {
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("Content-Encoding", c.encoding)
		text, err := HTTPEvent(r, []byte(c.body), "f", "id", time.Now())
		if err != nil || json.Unmarshal(text, &e) != nil || e.IsBase64Encoded != c.base64 {
			t.Errorf("%+v: %s %v", c, text, err)
		}
	}
}

func TestHTTPAnswer(t *testing.T) {
	for text, want := range map[string]struct {
		status       int
		header, body string // header: name=value
	}{
		`{"statusCode":201,"headers":{"X-A":"b"},"body":"hi"}`:                    {201, "X-A=b", "hi"},
		`{"statusCode":"404","body":null}`:                                        {404, "", ""},
		`{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`:                 {200, "Content-Type=application/json", "hi"},
		`{"statusCode":200,"headers":{"X-N":7},"cookies":["a=1"],"body":{"a":1}}`: {200, "X-N=7", `{"a":1}`},
		`{"statusCode":200,"headers":{"Content-Length":"99"},"body":"x"}`:         {200, "Content-Length=", "x"},
		`{"name":"x"}`:       {200, "Content-Type=application/json", `{"name":"x"}`},
		`{"headers":"mine"}`: {200, "Content-Type=application/json", `{"headers":"mine"}`},
		`"text"`:             {200, "Content-Type=application/json", `"text"`},
		``:                   {200, "", ""},
	} {
		h, body, err := HTTPAnswer([]byte(text))
		name, value, _ := strings.Cut(want.header, "=")
		if err != nil || h.Status != want.status || string(body) != want.body || name != "" && h.Header.Get(name) != value {
			t.Errorf("%s: %+v %q %v", text, h, body, err)
		}
	}
	for _, text := range []string{`{"statusCode":99}`, `{"statusCode":100}`, `{"statusCode":1000}`, `{"statusCode":200,"headers":{"a b":"c"}}`,
		`{"statusCode":200,"headers":{"a":"b\r\nc: d"}}`, `{"statusCode":200,"cookies":["a\nb"]}`, `{"statusCode":200,"body":"!","isBase64Encoded":true}`, `{"statusCode":200`} {
		if h, body, err := HTTPAnswer([]byte(text)); err == nil {
			t.Errorf("%s counts as an answer: %+v %q", text, h, body)
		}
	}
}

func TestPrelude(t *testing.T) {
	whole := "{\"statusCode\":201,\"cookies\":[\"a=1\"]}\x00\x00\x00\x00\x00\x00\x00\x00body"
	if h, rest, err := Prelude([]byte(whole)); err != nil || h.Status != 201 || whole[rest:] != "body" || h.Header.Get("Set-Cookie") != "a=1" {
		t.Errorf("%+v %d %v", h, rest, err)
	}
	if _, rest, err := Prelude([]byte(whole[:20])); err != nil || rest != 0 {
		t.Errorf("half of it: %d %v", rest, err)
	}
	if _, _, err := Prelude(make([]byte, 0)); err != nil {
		t.Error(err)
	}
	if _, _, err := Prelude([]byte(strings.Repeat("x", MaxPrelude))); err == nil {
		t.Error("a head without end is taken")
	}
	if _, _, err := Prelude(append([]byte("{"), make([]byte, 8)...)); err == nil {
		t.Error("a head that is no JSON is taken")
	}
}

func TestNames(t *testing.T) {
	for ref, want := range map[string][2]string{
		"f": {"f", ""}, "f:$LATEST": {"f", "$LATEST"}, "f.ns:3": {"f.ns", "3"}, ARN("f"): {"f", ""}, ARN("f") + ":7": {"f", "7"}, "123456789012:function:f": {"f", ""}, "function:f": {"f", ""},
	} {
		if f, q, ok := ParseName(ref); !ok || f != want[0] || q != want[1] {
			t.Errorf("%s: %q %q %v", ref, f, q, ok)
		}
	}
	for _, ref := range []string{"", ":", "a/b", "../x", "arn:aws:s3:::b", strings.Repeat("x", 301), "f:a:b:c"} {
		if f, q, ok := ParseName(ref); ok {
			t.Errorf("%q is taken: %q %q", ref, f, q)
		}
	}
	if got := InitFailure("i", `{"errorType":"T","errorMessage":"m","x":1}`, "r"); string(got) != `{"errorType":"T","errorMessage":"m","x":1}` {
		t.Errorf("%s", got)
	}
	if got := InitFailure("i", `{"a":1}`, "exit status 1"); !strings.Contains(string(got), "Runtime.ExitError") {
		t.Errorf("%s", got)
	}
}
