// SPDX-License-Identifier: Apache-2.0

// Package lambda tests functions of contract lambda from outside: a real node, real virtual machines, aws-lambda-go in them and AWS's
// SDK before them.
package lambda

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"unifaas.dev/internal/childnode"
	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/image/build"
	"unifaas.dev/internal/testkit"
)

func start(t *testing.T) *childnode.Node {
	t.Helper()
	testkit.NeedKVM(t)
	n, err := childnode.Start(context.Background(), testkit.Unifaas(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Stop() })
	return n
}

func sdk(n *childnode.Node) *lambda.Client {
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String("http://" + n.Addr), Region: "us-east-1", RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "anybody", SecretAccessKey: "anything"}, nil
		}),
	})
}

func deploy(t *testing.T, n *childnode.Node, name, source string, o build.Options, q api.DeployRequest) {
	t.Helper()
	if err := n.DeployWith(t.Context(), name, source, o, q); err != nil {
		t.Fatal(err)
	}
}

func ptr[T any](v T) *T { return &v }

// invoke calls a function, which may fail.
func invoke(t *testing.T, c *lambda.Client, in lambda.InvokeInput, payload any) *lambda.InvokeOutput {
	t.Helper()
	var err error
	if in.Payload, err = json.Marshal(payload); err != nil {
		t.Fatal(err)
	}
	out, err := c.Invoke(t.Context(), &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type order map[string]any

// failure is the error of an invocation that has to have one.
func failure(t *testing.T, out *lambda.InvokeOutput) (message, kind string) {
	t.Helper()
	var e struct {
		Message string `json:"errorMessage"`
		Type    string `json:"errorType"`
	}
	if aws.ToString(out.FunctionError) != "Unhandled" || out.StatusCode != 200 {
		t.Fatalf("status %d, error %q, payload %.300s, want an error of the function", out.StatusCode, aws.ToString(out.FunctionError), out.Payload)
	}
	if err := json.Unmarshal(out.Payload, &e); err != nil {
		t.Fatalf("%v: %.300s", err, out.Payload)
	}
	return e.Message, e.Type
}

type report struct {
	Calls, Length, Memory, Parallel int
	ID, ARN, Name, App              string
	LeftMS                          int64
}

func reported(t *testing.T, out *lambda.InvokeOutput) (r report) {
	t.Helper()
	if out.FunctionError != nil {
		t.Fatalf("%s: %.300s", *out.FunctionError, out.Payload)
	}
	if err := json.Unmarshal(out.Payload, &r); err != nil {
		t.Fatalf("%v: %.300s", err, out.Payload)
	}
	return r
}

// TestGo: a program with aws-lambda-go, as it is, whatever happens to it.
func TestGo(t *testing.T) {
	n := start(t)
	c := sdk(n)
	program := testkit.Built(t, "build/e2e/lambda", "e2e-programs")
	options := build.Options{Contract: "lambda"}
	deploy(t, n, "f", program, options, api.DeployRequest{Memory: ptr(int64(192 << 20)), TimeoutMS: ptr(int64(20000)), Max: ptr(1)})
	in := lambda.InvokeInput{FunctionName: aws.String("f")}

	r := reported(t, invoke(t, c, in, order{}))
	if r.Calls != 1 || r.ID == "" || r.ARN != "arn:aws:lambda:us-east-1:000000000000:function:f" || r.Name != "f" || r.Memory != 192 || r.LeftMS <= 0 || r.LeftMS > 20000 || r.Parallel != 1 {
		t.Errorf("the first call: %+v", r)
	}
	if r = reported(t, invoke(t, c, in, order{})); r.Calls != 2 {
		t.Errorf("the second call of the same instance: %+v", r)
	}
	byARN := in
	byARN.FunctionName = aws.String(r.ARN)
	byARN.ClientContext = aws.String(base64.StdEncoding.EncodeToString([]byte("{\n\"client\": {\"app_title\": \"tests\"}}")))
	if r = reported(t, invoke(t, c, byARN, order{})); r.App != "tests" {
		t.Errorf("client context: %+v", r)
	}

	t.Run("log", func(t *testing.T) {
		tail := in
		tail.LogType = types.LogTypeTail
		out := invoke(t, c, tail, order{"do": "talk"})
		text, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
		if err != nil || !strings.Contains(string(text), "\nit is to talk\nEND RequestId: "+reported(t, out).ID+"\nREPORT") || aws.ToString(out.ExecutedVersion) != "$LATEST" {
			t.Errorf("log %q, version %s, %v", text, aws.ToString(out.ExecutedVersion), err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		calls := reported(t, invoke(t, c, in, order{})).Calls
		if m, k := failure(t, invoke(t, c, in, order{"do": "fail"})); m != "it is no good" || k != "errorString" {
			t.Errorf("%s: %s", k, m)
		}
		if m, k := failure(t, invoke(t, c, in, order{"do": "break"})); m != "it is no good" || k != "errorString" {
			t.Errorf("an answer that fails in the middle: %s: %s", k, m)
		}
		if r := reported(t, invoke(t, c, in, order{})); r.Calls != calls+3 {
			t.Errorf("%d calls, want %d: errors end no instance", r.Calls, calls+3)
		}
		if m, k := failure(t, invoke(t, c, in, order{"do": "panic"})); m != "at the disco" || k != "string" {
			t.Errorf("%s: %s", k, m)
		}
		if r := reported(t, invoke(t, c, in, order{})); r.Calls != 1 {
			t.Errorf("%d calls after a panic, want another instance", r.Calls)
		}
		m, k := failure(t, invoke(t, c, in, order{"do": "exit"}))
		if k != "Runtime.ExitError" || !strings.HasSuffix(m, "Error: Runtime exited with error: exit status 3") {
			t.Errorf("%s: %s", k, m)
		}
		if r := reported(t, invoke(t, c, in, order{})); r.Calls != 1 {
			t.Errorf("%d calls after an exit, want another instance", r.Calls)
		}
	})
	t.Run("payloads", func(t *testing.T) {
		if r := reported(t, invoke(t, c, in, order{"text": strings.Repeat("t", 6_000_000)})); r.Length != 6_000_000 {
			t.Errorf("%d bytes came", r.Length)
		}
		if out := invoke(t, c, in, order{"do": "large", "bytes": 6_291_556}); out.FunctionError != nil || len(out.Payload) != 6_291_556 {
			t.Errorf("%s, %d bytes came back", aws.ToString(out.FunctionError), len(out.Payload))
		}
		if _, k := failure(t, invoke(t, c, in, order{"do": "large", "bytes": 6_291_557})); k != "Function.ResponseSizeTooLarge" {
			t.Errorf("one byte too much: %s", k)
		}
		too := in
		too.Payload = []byte(`"` + strings.Repeat("t", 6_291_556) + `"`)
		var large *types.RequestTooLargeException
		if _, err := c.Invoke(t.Context(), &too); !errors.As(err, &large) {
			t.Errorf("an event that is too large: %v", err)
		}
		if r := reported(t, invoke(t, c, in, order{})); r.Calls < 1 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("HTTP", func(t *testing.T) {
		resp, err := http.Post(n.URL("f"), "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(text), `"name":"f"`) {
			t.Errorf("%s %s %s", resp.Status, resp.Header, text)
		}
	})
	t.Run("event", func(t *testing.T) {
		later := in
		later.InvocationType, later.Payload = types.InvocationTypeEvent, []byte(`{"do":"come later"}`)
		if out, err := c.Invoke(t.Context(), &later); err != nil || out.StatusCode != 202 || len(out.Payload) > 0 {
			t.Errorf("%+v %v", out, err)
		}
		awaitLog(t, n, "f", "it is to come later")
		later.InvocationType = types.InvocationTypeDryRun
		if out, err := c.Invoke(t.Context(), &later); err != nil || out.StatusCode != 204 {
			t.Errorf("%+v %v", out, err)
		}
		// Who calls the function over HTTP does not choose the event.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL("f"), strings.NewReader(`{"do":"fail"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Unifaas-Event", "-")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: the body was taken for the event", resp.Status)
		}
	})
	t.Run("parked", func(t *testing.T) {
		calls := reported(t, invoke(t, c, in, order{})).Calls
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			running, err := n.Client.Park(t.Context(), "f")
			if err != nil {
				t.Fatal(err)
			}
			if running == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d instances are not parked", running)
			}
		}
		if r := reported(t, invoke(t, c, in, order{})); r.Calls != calls+1 {
			t.Errorf("%d calls after it was parked, want %d", r.Calls, calls+1)
		}
	})
	t.Run("cold from the snapshot", func(t *testing.T) {
		if err := n.Empty(t.Context(), "f"); err != nil {
			t.Fatal(err)
		}
		if r := reported(t, invoke(t, c, in, order{})); r.Calls != 1 {
			t.Errorf("%+v", r)
		}
		awaitLog(t, n, "f", "started from its snapshot")
	})
	t.Run("deadline", func(t *testing.T) {
		if _, err := n.Client.Deploy(t.Context(), "f", api.DeployRequest{TimeoutMS: ptr(int64(700))}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Client.AwaitServed(t.Context(), "f", 2); err != nil {
			t.Fatal(err)
		}
		if m, k := failure(t, invoke(t, c, in, order{"do": "sleep"})); k != "Sandbox.Timedout" || !strings.HasSuffix(m, "Error: Task timed out after 0.70 seconds") {
			t.Errorf("%s: %s", k, m)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		none := lambda.InvokeInput{FunctionName: aws.String("nix")}
		var missing *types.ResourceNotFoundException
		if _, err := c.Invoke(t.Context(), &none); !errors.As(err, &missing) {
			t.Errorf("%v", err)
		}
	})
	t.Run("init error", func(t *testing.T) {
		deploy(t, n, "bad", program, options, api.DeployRequest{Env: map[string]string{"FAIL_INIT": "1"}})
		_, err := n.Client.AwaitServed(t.Context(), "bad", 1)
		if err == nil || !strings.Contains(err.Error(), "Runtime exited with error: exit status 7") {
			t.Errorf("its deployment: %v", err)
		}
		m, k := failure(t, invoke(t, c, lambda.InvokeInput{FunctionName: aws.String("bad")}, order{}))
		if k != "Runtime.ExitError" || m != "Runtime exited with error: exit status 7" {
			t.Errorf("%s: %s", k, m)
		}
	})
}

func awaitLog(t *testing.T, n *childnode.Node, name, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	found := errors.New("found")
	err := n.Client.Logs(ctx, client.LogQuery{Function: name, Tail: -1, Follow: true}, func(l api.LogLine) error {
		if strings.Contains(l.Text, text) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		t.Errorf("the log of %s has no %q: %v", name, text, err)
	}
}

// TestConcurrent: an instance takes as many events at once as its runtime is told, and no more.
func TestConcurrent(t *testing.T) {
	n := start(t)
	c := sdk(n)
	deploy(t, n, "f", testkit.Built(t, "build/e2e/lambda", "e2e-programs"), build.Options{Contract: "lambda"},
		api.DeployRequest{Max: ptr(1), Concurrency: ptr(8), TimeoutMS: ptr(int64(60000))})
	in := lambda.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"text":"abc"}`)}
	errs := make(chan error)
	for range 100 {
		go func() {
			out, err := c.Invoke(t.Context(), &in)
			if err == nil && (out.FunctionError != nil || !strings.Contains(string(out.Payload), `"length":3`) || !strings.Contains(string(out.Payload), `"parallel":8`)) {
				err = fmt.Errorf("%s", out.Payload)
			}
			errs <- err
		}()
	}
	for range 100 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// zipped makes a zip file of a folder, as AWS takes it.
func zipped(t *testing.T, dir string, names ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "function.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for _, n := range names {
		text, err := os.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		h := &zip.FileHeader{Name: n, Method: zip.Deflate}
		h.SetMode(0o644)
		e, err := w.CreateHeader(h)
		if err == nil {
			_, err = e.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestExamples: the three examples, deployed as their READMEs say, behind HTTP; one of them is rewound after each call.
func TestExamples(t *testing.T) {
	n := start(t)
	root := testkit.Root(t)
	deploy(t, n, "go", testkit.Built(t, "build/examples/lambda-go", "examples"), build.Options{Contract: "lambda"}, api.DeployRequest{})
	deploy(t, n, "python", filepath.Join(root, "examples/lambda-python"), build.Options{}, api.DeployRequest{Isolation: "rewind"})
	deploy(t, n, "zip", zipped(t, filepath.Join(root, "examples/lambda-python"), "app.py"), build.Options{Handler: "app.handler", Runtime: "python3.11"}, api.DeployRequest{})
	deploy(t, n, "node", filepath.Join(root, "examples/lambda-node"), build.Options{}, api.DeployRequest{TimeoutMS: ptr(int64(5000))})
	call := func(function, path, body string) (*http.Response, string) {
		t.Helper()
		resp, err := http.Post(n.URL(function)+path, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %s %s %v", function, resp.Status, text, err)
		}
		return resp, string(text)
	}
	resp, text := call("go", "a/b?name=Ada", "")
	if !strings.Contains(text, `"greeting":"Hello, Ada","path":"/a/b"`) || resp.Header.Get("Set-Cookie") != "seen=1" {
		t.Errorf("%s %s", resp.Header, text)
	}
	for i := range 5 {
		if _, text = call("python", "?top=2", "b a b c b a"); !strings.Contains(text, `"words": [["b", 3], ["a", 2]]`) || !strings.Contains(text, `"calls": 1`) {
			t.Errorf("call %d of a function that is rewound: %s", i, text)
		}
		if _, text = call("zip", "", "ü ü x"); !strings.Contains(text, `[["\u00fc", 2], ["x", 1]]`) || !strings.Contains(text, fmt.Sprintf(`"calls": %d}`, i+1)) {
			t.Errorf("call %d of a zip file: %s", i, text)
		}
	}
	if resp, text = call("node", "?count=5", ""); !strings.HasSuffix(text, "4: 2\n5: 3\n") || resp.Header.Get("X-Request") == "" || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("%s %s", resp.Header, text)
	}

	// The answer comes as it is made: its end would come after the time limit.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.URL("node")+"?count=1000&pause=100", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	start := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, start); err != nil || string(start) != "1: 0\n" {
		t.Errorf("%q %v", start, err)
	}
	resp.Body.Close()

	stream(t, sdk(n))
}

// stream is InvokeWithResponseStream of the SDK.
func stream(t *testing.T, c *lambda.Client) {
	out, err := c.InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("node"), LogType: types.LogTypeTail,
		Payload: []byte(`{"queryStringParameters":{"count":"2"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	s := out.GetStream()
	defer s.Close()
	var body bytes.Buffer
	var last *types.InvokeWithResponseStreamCompleteEvent
	for e := range s.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			body.Write(e.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			last = &e.Value
		}
	}
	if err := s.Err(); err != nil || last == nil || last.ErrorCode != nil || aws.ToString(last.LogResult) == "" {
		t.Errorf("%v, %+v", err, last)
	}
	if !strings.HasSuffix(body.String(), "\x001: 0\n2: 1\n") || !strings.HasPrefix(body.String(), `{"statusCode":200`) {
		t.Errorf("%q", body.String())
	}
}
