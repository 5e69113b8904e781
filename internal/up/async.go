// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"time"

	"unifaas.dev/internal/async"
	"unifaas.dev/internal/egress"
	"unifaas.dev/internal/logs"
)

// openAsync makes the queue of asynchronous invocations. It is started when there is a gateway to call functions through.
func (p *parts) openAsync(ctx context.Context, callbackAllow []string, temp string, warn func(string)) (*async.Queue, error) {
	rules, err := egress.Parse(callbackAllow)
	if err != nil {
		return nil, err
	}
	return async.Open(ctx, async.Options{
		Engine: p.engine,
		Settings: func(function string) (async.Settings, bool) {
			f, err := p.control.Get(function)
			if err != nil {
				return async.DefaultSettings(), false
			}
			return async.Settings{Retries: f.AsyncRetries(), Concurrency: f.AsyncConcurrency()}, true
		},
		TempDir:   temp,
		Callbacks: egress.NewGuard(rules),
		Log:       func(function, text string) { lines{p.book}.Line(function, "", logs.System, text, time.Now()) },
		Warn:      warn,
	})
}
