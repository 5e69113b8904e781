// SPDX-License-Identifier: Apache-2.0

// Package sigv4 checks signatures of AWS, version 4, as its SDKs make them: the access key is the node's user name, the
// secret key its password. It signs the request again with AWS's own signer, and compares.
package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// skew is how much the clocks of caller and node may differ.
const skew = 5 * time.Minute

const (
	scheme     = "AWS4-HMAC-SHA256 "
	dateHeader = "X-Amz-Date"
	dateForm   = "20060102T150405Z"
	maxHeader  = 8 << 10
)

// Signature is what a request says of its signature.
type Signature struct {
	user, region, service, signature string
	signed                           []string
	at                               time.Time
}

// Claimed reports whether a request says that it is signed.
func Claimed(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Authorization"), scheme) }

// Parse reads the signature of a request; false: it has none that could be valid now.
func Parse(r *http.Request, now time.Time) (*Signature, bool) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), scheme)
	if !ok || len(text) > maxHeader {
		return nil, false
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[k] = v
	}
	// The user's name may have a '/' in it.
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) < 5 {
		return nil, false
	}
	n := len(scope) - 4
	s := &Signature{user: strings.Join(scope[:n], "/"), region: scope[n+1], service: scope[n+2], signature: fields["Signature"], signed: strings.Split(fields["SignedHeaders"], ";")}
	at, err := time.Parse(dateForm, r.Header.Get(dateHeader))
	if err != nil || scope[n] != at.Format("20060102") || scope[n+3] != "aws4_request" || at.Sub(now).Abs() > skew {
		return nil, false
	}
	s.at = at
	has := map[string]bool{}
	for _, h := range s.signed {
		has[h] = true
	}
	return s, has["host"] && has["x-amz-date"]
}

// Valid reports whether a request with this body was signed by a user with a password.
func (s *Signature) Valid(r *http.Request, body []byte, user, password string) bool {
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	if err != nil {
		return false
	}
	again.Host = r.Host
	for _, name := range s.signed {
		switch name {
		case "host":
		case "content-length":
			n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64)
			if r.Header.Get("Content-Length") == "" {
				n, err = r.ContentLength, nil
			}
			if err != nil || n != int64(len(body)) {
				return false
			}
			again.ContentLength = n
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	key := aws.Credentials{AccessKeyID: user, SecretAccessKey: password}
	if err := v4.NewSigner().SignHTTP(context.Background(), key, again, hash, s.service, s.region, s.at); err != nil {
		return false
	}
	want := again.Header.Get("Authorization")
	got := scheme + "Credential=" + s.user + "/" + s.at.Format("20060102") + "/" + s.region + "/" + s.service + "/aws4_request, SignedHeaders=" +
		strings.Join(s.signed, ";") + ", Signature=" + s.signature
	return hmac.Equal([]byte(want), []byte(got))
}
