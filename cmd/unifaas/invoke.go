// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"unifaas.dev/internal/client"
	"unifaas.dev/internal/gateway/api"
)

// stdinHead is what is read of standard input before a request is sent.
const stdinHead = 1 << 20

type invokeFlags struct {
	gatewayFlag
	data, method, path, contentType string
	headers                         []string
	async, timing                   bool
}

func newInvokeCmd() *cobra.Command {
	var o invokeFlags
	cmd := &cobra.Command{
		Use:   "invoke NAME [flags]",
		Short: "Call a function",
		Long: `Call a function and print the body of its answer. An answer of 400 and above is a failure: exit code 1, with the reason on
standard error.

With --async the node stores the request and answers at once; it is executed at least once, even if the node crashes meanwhile. The answer is
sent to the address in the header X-Callback-Url, if there is one ('unifaas async --help').`,
		Example: `  unifaas invoke hello
  unifaas invoke hello --data 'some text' --timing
  unifaas invoke thumbnail -d @photo.jpg --path '/?w=120' > small.jpg
  unifaas invoke report --async -H 'X-Callback-Url: https://example.com/done'
  tar c . | unifaas invoke archive -d -`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.complete(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.async && o.timing {
				return usagef("--timing is of the answer, for which --async does not wait: leave one of them out")
			}
			v, err := o.invocation(args[0], cmd.Flags().Changed("data"))
			if err != nil {
				return err
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			r, err := c.Invoke(cmd.Context(), v)
			if err != nil {
				return err
			}
			defer r.Body.Close()
			return o.print(cmd, args[0], r)
		},
	}
	o.gatewayFlag.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.data, "data", "d", "", "body of the request: `TEXT`, @FILE, or - for standard input")
	f.StringVarP(&o.method, "method", "X", "", "method (default POST with a body, GET without)")
	f.StringVar(&o.path, "path", "/", "path that the function sees, with query")
	f.StringVar(&o.contentType, "content-type", "", "type of the body (default by the name of a file, else text/plain)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header `NAME: VALUE` of the request; may be repeated")
	f.BoolVar(&o.timing, "timing", false, "print on standard error where the time went")
	f.BoolVar(&o.async, "async", false, "have it stored and executed later; print its id")
	return cmd
}

// invocation makes a request of the options.
func (o *invokeFlags) invocation(function string, withData bool) (client.Invocation, error) {
	if o.async {
		o.method = cmp.Or(o.method, http.MethodPost)
	}
	v := client.Invocation{Async: o.async, Function: function, Method: strings.ToUpper(o.method), Path: o.path, ContentType: o.contentType, Timing: o.timing, Header: http.Header{}}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return v, usagef("--header %q is not of the form NAME: VALUE", h)
		}
		v.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	v.Method = cmp.Or(v.Method, http.MethodGet)
	if !withData {
		return v, nil
	}
	v.Method = cmp.Or(strings.ToUpper(o.method), http.MethodPost)
	file, isFile := strings.CutPrefix(o.data, "@")
	switch {
	case o.data == "-":
		// Not every program takes a body of unknown length: what is short enough gets one.
		head, err := io.ReadAll(io.LimitReader(os.Stdin, stdinHead))
		if err != nil {
			return v, fmt.Errorf("standard input: %w", err)
		}
		v.Body, v.Length = bytes.NewReader(head), int64(len(head))
		if len(head) == stdinHead {
			v.Body, v.Length = io.MultiReader(v.Body, os.Stdin), -1
		}
		v.ContentType = cmp.Or(v.ContentType, "application/octet-stream")
	case isFile:
		f, err := os.Open(file) // closed by the transport
		if err != nil {
			return v, err
		}
		info, err := f.Stat()
		if err != nil {
			return v, err
		}
		if v.Body, v.Length = f, -1; info.Mode().IsRegular() {
			v.Length = info.Size()
		}
		v.ContentType = cmp.Or(v.ContentType, mime.TypeByExtension(filepath.Ext(file)), "application/octet-stream")
	default:
		v.Body, v.Length = strings.NewReader(o.data), int64(len(o.data))
		v.ContentType = cmp.Or(v.ContentType, "text/plain")
	}
	if v.Length == 0 {
		v.Body = http.NoBody
	}
	return v, nil
}

// print passes the answer on.
func (o *invokeFlags) print(cmd *cobra.Command, function string, r *client.Result) error {
	if r.Own {
		text, _ := io.ReadAll(io.LimitReader(r.Body, 4096))
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			text = []byte("no reason given")
		}
		return fmt.Errorf("%s (%d %s)", printable(string(text)), r.Status, http.StatusText(r.Status))
	}
	if o.async && r.Status == http.StatusAccepted {
		fmt.Fprintln(cmd.OutOrStdout(), printable(r.Header.Get(api.HeaderCallID)))
		return nil
	}
	_, err := io.Copy(cmd.OutOrStdout(), r.Body)
	if o.timing && r.Timing != nil {
		printTiming(cmd.ErrOrStderr(), r.Timing, r.Took)
	}
	if err != nil {
		return fmt.Errorf("function %s: the answer broke off: %w", function, err)
	}
	if r.Status >= 400 {
		return fmt.Errorf("function %s answered %d %s", function, r.Status, http.StatusText(r.Status))
	}
	return nil
}

// printTiming shows where the time of an invocation went.
func printTiming(w io.Writer, t *api.Timing, took time.Duration) {
	ms := func(us int64) string { return fmt.Sprintf("%8.2f ms", float64(us)/1000) }
	kind := map[string]string{"": "warm start", "boot": "cold start", "snapshot": "cold start from a snapshot", "parked": "woken"}[t.Origin]
	if kind == "" {
		kind = "cold start" // of a kind that a newer node has
	}
	fmt.Fprintf(w, "%s, instance %s\n", kind, printable(t.Instance))
	line := func(what string, us int64) { fmt.Fprintf(w, "  %-14s %s\n", what, ms(us)) }
	line("queue", t.Queue)
	switch t.Origin {
	case "":
	case "boot":
		line("tender", t.Tender)
		line("VM", t.VM)
		line("libos boot", t.Libos)
		line("program start", t.Program)
	default:
		line("tender", t.Tender)
		line("VM", t.VM)
		line("state", t.State)
	}
	line("first byte", t.FirstByte)
	line("total", t.Total)
	line("at the caller", took.Microseconds())
}
