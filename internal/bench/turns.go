// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
)

// lane is one thing that is measured turn by turn with others: A B C A B C. What drifts on the machine drifts for all of them.
type lane struct {
	system, metric string
	// ready brings the system to where a measurement begins; that takes time which does not count.
	ready func(context.Context) error
	once  func(context.Context) (sample, error)

	got   samples
	steps map[string]samples
	names []string // of steps, in their order
	skip  string
}

// sample is one measurement.
type sample struct {
	us     float64
	steps  []Step // P50 is the value
	origin string // what the instance was made from
}

// unableError is why something cannot be measured here: its row says so, and the others go on.
type unableError struct{ why string }

func (e *unableError) Error() string { return e.why }

func unable(format string, args ...any) error { return &unableError{fmt.Sprintf(format, args...)} }

// take does one turn of the lane.
func (l *lane) take(ctx context.Context, counts bool) error {
	if l.skip != "" {
		return nil
	}
	if l.ready != nil {
		if err := l.ready(ctx); err != nil {
			return l.failed(err)
		}
	}
	s, err := l.once(ctx)
	if err != nil {
		return l.failed(err)
	}
	if !counts {
		return nil
	}
	l.got = append(l.got, s.us)
	for _, p := range s.steps {
		if l.steps == nil {
			l.steps = map[string]samples{}
		}
		if l.steps[p.Name] == nil {
			l.names = append(l.names, p.Name)
		}
		l.steps[p.Name] = append(l.steps[p.Name], p.P50)
	}
	return nil
}

func (l *lane) failed(err error) error {
	var cannot *unableError
	if errors.As(err, &cannot) {
		l.skip = errorLine(err)
		return nil
	}
	return fmt.Errorf("%s %s: %w", l.system, l.metric, err)
}

func (l *lane) row(c string) Row {
	if l.skip != "" {
		return skipped(c, l.system, l.metric, l.skip)
	}
	r := l.got.row(c, l.system, l.metric, "us")
	for _, name := range l.names {
		if v := round(l.steps[name].quantile(0.5)); v != 0 {
			r.Steps = append(r.Steps, Step{name, v})
		}
	}
	return r
}

// turns measures lanes by turns. The first round, which warms caches up, does not count.
func turns(ctx context.Context, o *Options, name string, rounds int, lanes []*lane) error {
	for i := range rounds + 1 {
		o.Progress("%s: round %d of %d", name, i, rounds)
		for _, l := range lanes {
			if err := l.take(ctx, i > 0); err != nil {
				return err
			}
		}
	}
	return nil
}
