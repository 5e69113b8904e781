// SPDX-License-Identifier: Apache-2.0

// Package lambda has the forms of AWS Lambda: events of HTTP requests, what functions answer to them, errors, names. It
// converts; it knows neither functions nor instances.
package lambda

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxPayload is the size of the largest event, and of the largest answer that is not streamed, in bytes: as in AWS.
const MaxPayload = 6291556

// Headers between a node and the bridge in an instance, and of the Runtime API.
const (
	HeaderRequestID     = "Lambda-Runtime-Aws-Request-Id"
	HeaderDeadline      = "Lambda-Runtime-Deadline-Ms"
	HeaderARN           = "Lambda-Runtime-Invoked-Function-Arn"
	HeaderTrace         = "Lambda-Runtime-Trace-Id"
	HeaderClientContext = "Lambda-Runtime-Client-Context"
	HeaderErrorType     = "Lambda-Runtime-Function-Error-Type"
	HeaderErrorBody     = "Lambda-Runtime-Function-Error-Body"
	HeaderMode          = "Lambda-Runtime-Function-Response-Mode"
	HeaderFunctionError = "X-Amz-Function-Error"
	HeaderUnseen        = "Unifaas-Unseen"   // of the bridge's 503: its runtime has ended without the event
	HeaderTail          = "Unifaas-Log-Tail" // the end of the invocation is to be seen in the log
)

// Unhandled is the value of HeaderFunctionError.
const Unhandled = "Unhandled"

// httpEvent is a request as API Gateway (version 2.0) and function URLs pass it to functions.
type httpEvent struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQuery        string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	Context         requestContext    `json:"requestContext"`
	Body            *string           `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// HTTPEvent makes the event of a request. function is the id of the API that it belongs to.
func HTTPEvent(r *http.Request, body []byte, function, requestID string, at time.Time) ([]byte, error) {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	domain := r.Host
	if h, _, err := net.SplitHostPort(domain); err == nil {
		domain = h
	}
	prefix, _, _ := strings.Cut(domain, ".")
	e := httpEvent{
		Version: "2.0", RouteKey: "$default", RawPath: path, RawQuery: r.URL.RawQuery, Headers: map[string]string{},
		Context: requestContext{
			AccountID: "anonymous", APIID: function, DomainName: domain, DomainPrefix: prefix, RequestID: requestID, RouteKey: "$default", Stage: "$default",
			Time: at.UTC().Format("02/Jan/2006:15:04:05 +0000"), TimeEpoch: at.UnixMilli(),
			HTTP: httpContext{Method: r.Method, Path: path, Protocol: "HTTP/1.1", SourceIP: source(r), UserAgent: r.UserAgent()},
		},
	}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		sep := ","
		if name == "cookie" {
			sep = "; "
			for _, v := range values {
				for c := range strings.SplitSeq(v, ";") {
					if c = strings.TrimSpace(c); c != "" {
						e.Cookies = append(e.Cookies, c)
					}
				}
			}
		}
		e.Headers[name] = strings.Join(values, sep)
	}
	e.Headers["host"] = r.Host
	if q, _ := url.ParseQuery(r.URL.RawQuery); len(q) > 0 {
		e.Query = map[string]string{}
		for k, v := range q {
			e.Query[k] = strings.Join(v, ",")
		}
	}
	if len(body) > 0 {
		text := string(body)
		if e.IsBase64Encoded = !isText(r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), body); e.IsBase64Encoded {
			text = base64.StdEncoding.EncodeToString(body)
		}
		e.Body = &text
	}
	return json.Marshal(e)
}

// source is the address of the caller as the gateway saw it: the last one of the list, which callers cannot choose.
func source(r *http.Request) string {
	list := r.Header.Values("X-Forwarded-For")
	if len(list) == 0 {
		return ""
	}
	all := strings.Split(list[len(list)-1], ",")
	return strings.TrimSpace(all[len(all)-1])
}

// isText tells bodies that go into an event as they are from those that go in as base64.
func isText(kind, encoding string, body []byte) bool {
	if encoding != "" && encoding != "identity" || !utf8.Valid(body) {
		return false
	}
	t, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return kind == ""
	}
	switch t {
	case "application/json", "application/xml", "application/javascript", "application/graphql":
		return true
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}
