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

	got           samples
	steps, counts parts
	skip          string
}

// sample is one measurement.
type sample struct {
	us     float64
	origin string // what the instance was made from
	steps  []Step // P50 is the value
}

// parts collects values by their names.
type parts struct {
	names  []string // in the order in which they came
	values map[string]samples
}

func (p *parts) add(steps []Step) {
	for _, s := range steps {
		if p.values == nil {
			p.values = map[string]samples{}
		}
		if p.values[s.Name] == nil {
			p.names = append(p.names, s.Name)
		}
		p.values[s.Name] = append(p.values[s.Name], s.P50)
	}
}

// medians leaves out what is 0.
func (p *parts) medians() (steps []Step) {
	for _, name := range p.names {
		if v := round(p.values[name].quantile(0.5)); v != 0 {
			steps = append(steps, Step{name, v})
		}
	}
	return steps
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
	if counts {
		l.got = append(l.got, s.us)
		l.steps.add(s.steps)
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
	r.Steps, r.Counts = l.steps.medians(), l.counts.medians()
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
