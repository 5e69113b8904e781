// SPDX-License-Identifier: Apache-2.0

// Command lambda-go is an AWS Lambda function as its own tools make them: behind HTTP it gets a request as an event of API Gateway's version 2.0.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// answer is what the caller gets.
type answer struct {
	Greeting  string `json:"greeting"`
	Path      string `json:"path"`
	RequestID string `json:"requestId"`
	Calls     int    `json:"calls"` // of this instance
	LeftMS    int64  `json:"leftMs"`
}

// greeter counts what it is asked.
type greeter struct{ calls int }

func (g *greeter) handle(ctx context.Context, e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	g.calls++
	name := e.QueryStringParameters["name"]
	if name == "" {
		name = "world"
	}
	a := answer{Greeting: "Hello, " + name, Path: e.RawPath, Calls: g.calls}
	if c, ok := lambdacontext.FromContext(ctx); ok {
		a.RequestID = c.AwsRequestID
	}
	if end, ok := ctx.Deadline(); ok {
		a.LeftMS = time.Until(end).Milliseconds()
	}
	body, err := json.Marshal(a)
	if err != nil {
		return events.APIGatewayV2HTTPResponse{}, fmt.Errorf("answer: %w", err)
	}
	return events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusOK,
		Headers:    map[string]string{"content-type": "application/json"},
		Cookies:    []string{"seen=1"},
		Body:       string(body),
	}, nil
}

func main() {
	lambda.Start((&greeter{}).handle)
}
