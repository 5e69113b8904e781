// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/lambda"
	"unifaas.dev/internal/logs"
	"unifaas.dev/internal/units"
)

const (
	logTail = 4 << 10         // bytes of log with an answer
	logWait = 2 * time.Second // for the last line: it comes another way than the answer
)

// log is the end of what the instance printed while it had the event. whole: it answered, so that its last line will come.
func (c *lambdaCall) log(whole bool) []byte {
	took := time.Since(c.arrived)
	q := logs.Query{Instance: c.inv.Timing().Instance, Since: c.arrived, Tail: -1}
	whole = whole && c.function.Current().Contract == control.ContractLambda && q.Instance != ""
	end := "END RequestId: " + c.id
	var lines []logs.Line
	if q.Instance == "" {
		whole = false
	}
	if whole {
		ctx, cancel := context.WithTimeout(c.r.Context(), logWait)
		defer cancel()
		over := errors.New("all is there")
		c.g.control.FollowLogs(ctx, c.function.Name, q, func(more []logs.Line) error {
			for _, l := range more {
				if l.Text == end {
					return over
				}
				lines = append(lines, l)
			}
			return nil
		})
	} else if q.Instance != "" {
		lines = c.g.control.Logs(c.function.Name, q)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "START RequestId: %s Version: %s\n", c.id, lambda.Latest)
	for _, l := range lines {
		if l.Stream != logs.System {
			b.WriteString(l.Text)
			b.WriteByte('\n')
		}
	}
	ms := float64(took.Microseconds()) / 1000
	fmt.Fprintf(&b, "%s\nREPORT RequestId: %s\tDuration: %.2f ms\tMemory Size: %d MB\n", end, c.id, ms, c.function.Current().Memory/units.MiB)
	text := b.String()
	return []byte(text[max(0, len(text)-logTail):])
}
