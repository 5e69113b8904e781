// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"unifaas.dev/internal/lambda"
)

const streamPart = 32 << 10

// lambdaStream is InvokeWithResponseStream of the Lambda API: what the function answers comes in messages as it comes.
func (g *Gateway) lambdaStream(w http.ResponseWriter, r *http.Request) {
	c := g.newLambdaCall(w, r)
	if c == nil {
		return
	}
	switch t := r.Header.Get("X-Amz-Invocation-Type"); t {
	case "", "RequestResponse":
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		c.fail(http.StatusBadRequest, "InvalidParameterValueException", "invocation type %.40q: RequestResponse or DryRun", t)
		return
	}
	defer c.count()()
	rc := http.NewResponseController(w)
	resp, err := c.send(func() { rc.SetWriteDeadline(time.Now().Add(time.Second)) })
	if err != nil {
		o, ok := c.failure(err)
		if !ok {
			return
		}
		c.inv.End(true)
		c.begin()
		c.end(lambda.Unhandled, o.payload, false)
		return
	}
	done := false
	defer func() {
		resp.Body.Close()
		c.inv.End(!done)
	}()
	kind, failed := "", false
	var payload []byte
	if resp.Header.Get(lambda.HeaderFunctionError) != "" {
		o, err := c.collect(resp)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		kind, payload, failed = lambda.Unhandled, o.payload, true
	}
	c.begin()
	part := make([]byte, streamPart)
	for !failed {
		n, err := resp.Body.Read(part)
		if n > 0 && c.message("PayloadChunk", "application/octet-stream", part[:n]) != nil {
			panic(http.ErrAbortHandler) // the caller is gone
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			if c.r.Context().Err() != nil || errors.Is(err, context.Canceled) {
				panic(http.ErrAbortHandler)
			}
			kind, payload, failed = lambda.Unhandled, lambda.Exited(c.id, err.Error()).JSON(), true
		}
	}
	if t := resp.Trailer.Get(lambda.HeaderErrorType); t != "" {
		kind, payload = lambda.Unhandled, lambda.TrailerError(t, resp.Trailer.Get(lambda.HeaderErrorBody))
	}
	c.end(kind, payload, true)
	done = true
}

// begin sends the head of the answer.
func (c *lambdaCall) begin() {
	h := c.w.Header()
	h.Set("Content-Type", "application/vnd.amazon.eventstream")
	h.Set("X-Amz-Executed-Version", lambda.Latest)
	c.status = http.StatusOK
	c.w.WriteHeader(http.StatusOK)
}

// end sends the last message: how it went. whole: the instance has answered.
func (c *lambdaCall) end(kind string, details []byte, whole bool) {
	last := map[string]string{}
	if kind != "" {
		last["ErrorCode"], last["ErrorDetails"] = kind, string(details)
	}
	if c.tail {
		last["LogResult"] = base64.StdEncoding.EncodeToString(c.log(whole))
	}
	text, err := json.Marshal(last)
	if err == nil {
		c.message("InvokeComplete", "application/json", text)
	}
}

func (c *lambdaCall) message(event, kind string, payload []byte) error {
	m := eventstream.Message{Payload: payload}
	m.Headers.Set(":message-type", eventstream.StringValue("event"))
	m.Headers.Set(":event-type", eventstream.StringValue(event))
	m.Headers.Set(":content-type", eventstream.StringValue(kind))
	if err := eventstream.NewEncoder().Encode(c.w, m); err != nil {
		return err
	}
	return http.NewResponseController(c.w).Flush()
}
