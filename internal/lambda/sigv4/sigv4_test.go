// SPDX-License-Identifier: Apache-2.0

package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signed is a request as a server gets it that AWS's signer has signed.
func signed(t *testing.T, body []byte, user, password string, at time.Time) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://node:8080/2015-03-31/functions/arn%3Aaws%3Af/invocations?Qualifier=%241", bytes.NewReader(body))
	r.Header.Set("X-Amz-Log-Type", "Tail")
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: user, SecretAccessKey: password}, r, hex.EncodeToString(sum[:]), "lambda", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestValid(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	body := []byte(`{"a":1}`)
	check := func(r *http.Request, body []byte) bool {
		s, ok := Parse(r, now)
		return ok && s.Valid(r, body, "ad/min", "secret")
	}
	if r := signed(t, body, "ad/min", "secret", now); !check(r, body) {
		t.Errorf("a good signature is refused: %s", r.Header.Get("Authorization"))
	}
	if r := signed(t, nil, "ad/min", "secret", now.Add(-4*time.Minute)); !check(r, nil) {
		t.Error("a signature of four minutes ago, without a body, is refused")
	}
	for name, spoil := range map[string]func(*http.Request) *http.Request{
		"another password": func(*http.Request) *http.Request { return signed(t, body, "ad/min", "secret2", now) },
		"another user":     func(*http.Request) *http.Request { return signed(t, body, "admin", "secret", now) },
		"an old one":       func(*http.Request) *http.Request { return signed(t, body, "ad/min", "secret", now.Add(-6*time.Minute)) },
		"a future one":     func(*http.Request) *http.Request { return signed(t, body, "ad/min", "secret", now.Add(6*time.Minute)) },
		"another path": func(r *http.Request) *http.Request {
			r.URL.Path, r.URL.RawPath = "/2015-03-31/functions/g/invocations", ""
			return r
		},
		"another query":  func(r *http.Request) *http.Request { r.URL.RawQuery = ""; return r },
		"another host":   func(r *http.Request) *http.Request { r.Host = "other"; return r },
		"another header": func(r *http.Request) *http.Request { r.Header.Set("X-Amz-Log-Type", "None"); return r },
		"another date": func(r *http.Request) *http.Request {
			r.Header.Set("X-Amz-Date", now.Add(time.Second).Format(dateForm))
			return r
		},
		"no signature":     func(r *http.Request) *http.Request { r.Header.Del("Authorization"); return r },
		"half a signature": func(r *http.Request) *http.Request { r.Header.Set("Authorization", scheme+"Credential=a/b"); return r },
		"headers left out": func(r *http.Request) *http.Request {
			r.Header.Set("Authorization", scheme+"Credential=ad/min/"+now.Format("20060102")+"/us-east-1/lambda/aws4_request, SignedHeaders=, Signature=00")
			return r
		},
	} {
		if check(spoil(signed(t, body, "ad/min", "secret", now)), body) {
			t.Errorf("%s: it counts as valid", name)
		}
	}
	if check(signed(t, body, "ad/min", "secret", now), []byte(`{"a":2}`)) {
		t.Error("another body counts as signed")
	}
}
