// SPDX-License-Identifier: Apache-2.0

// Command program is a Lambda function that does what its event says: well or badly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type order struct {
	Do    string `json:"do"`
	Bytes int    `json:"bytes"`
	Text  string `json:"text"`
}

type report struct {
	Calls    int    `json:"calls"`
	Length   int    `json:"length"`
	ID       string `json:"id"`
	ARN      string `json:"arn"`
	Name     string `json:"name"`
	Memory   int    `json:"memory"`
	LeftMS   int64  `json:"leftMs"`
	App      string `json:"app"`
	Text     string `json:"text,omitempty"`
	Parallel int    `json:"parallel"`
}

var errNoGood = errors.New("it is no good")

type state struct{ calls int }

// broken is an answer that fails in the middle.
type broken struct{ n int }

func (b *broken) Read(p []byte) (int, error) {
	if b.n++; b.n > 3 {
		return 0, errNoGood
	}
	return copy(p, "part"), nil
}

func (s *state) handle(ctx context.Context, o order) (any, error) {
	s.calls++
	fmt.Println("it is to", o.Do)
	switch o.Do {
	case "fail":
		return nil, errNoGood
	case "panic":
		panic("at the disco")
	case "exit":
		os.Exit(3)
	case "sleep":
		time.Sleep(time.Hour)
	case "large":
		return strings.NewReader(strings.Repeat("x", o.Bytes)), nil
	case "break":
		return &broken{}, nil
	case "stream":
		r, w := io.Pipe()
		go func() {
			for range 3 {
				io.WriteString(w, strings.Repeat("y", o.Bytes/3))
			}
			w.Close()
		}()
		return r, nil
	}
	r := report{Calls: s.calls, Length: len(o.Text), Name: lambdacontext.FunctionName, Memory: lambdacontext.MemoryLimitInMB, Parallel: lambdacontext.MaxConcurrency()}
	if c, ok := lambdacontext.FromContext(ctx); ok {
		r.ID, r.ARN, r.App = c.AwsRequestID, c.InvokedFunctionArn, c.ClientContext.Client.AppTitle
	}
	if end, ok := ctx.Deadline(); ok {
		r.LeftMS = time.Until(end).Milliseconds()
	}
	return r, nil
}

func main() {
	if os.Getenv("FAIL_INIT") != "" {
		fmt.Fprintln(os.Stderr, "nothing works")
		os.Exit(7)
	}
	lambda.Start((&state{}).handle)
}
