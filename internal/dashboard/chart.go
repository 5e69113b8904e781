// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/recent"
)

// Sizes of charts in units of their own; the page scales them.
const (
	chartWidth  = 640.0
	chartHeight = 180.0
	chartLeft   = 56.0 // of what is drawn: labels stand left and below
	chartTop    = 10.0
	chartBottom = 156.0
)

// tick is a labelled line of a chart.
type tick struct {
	At    string // x or y
	Label string
}

// bar is a rectangle.
type bar struct {
	X, Y, W, H, Class, Title string
}

// latencyChart shows the median and the slowest twentieth of each step on a logarithmic scale.
type latencyChart struct {
	Empty    bool
	P50, P95 []string // runs of steps with calls, as points
	Ticks    []tick   // times
	Marks    []tick   // latencies
	Summary  string
}

// callsChart shows how many calls there were in each step, and what became of them.
type callsChart struct {
	Empty   bool
	Bars    []bar
	Ticks   []tick
	Marks   []tick
	Summary string
}

func chartX(n int) float64 {
	return chartLeft + (chartWidth-chartLeft-8)*float64(n)/float64(recent.Steps-1)
}

func timeTicks() (l []tick) {
	for minutes := 15; minutes >= 0; minutes -= 5 {
		n := recent.Steps - 1 - minutes*int(time.Minute/recent.StepLength)
		label := fmt.Sprintf("%d min ago", minutes)
		if minutes == 0 {
			label = "now"
		}
		l = append(l, tick{number(chartX(max(n, 0))), label})
	}
	return l
}

func newLatencyChart(s []recent.Step) latencyChart {
	c := latencyChart{Ticks: timeTicks(), Empty: true}
	low, high, worst := math.Inf(1), 0.0, time.Duration(0)
	for _, p := range s {
		if p.Calls > 0 {
			low, high, worst = min(low, seconds(p.P50)), max(high, seconds(p.P95)), max(worst, p.P95)
		}
	}
	if high == 0 {
		return c
	}
	c.Empty = false
	from := math.Floor(math.Log10(low))
	to := max(math.Ceil(math.Log10(high)), from+1)
	y := func(d time.Duration) float64 {
		return chartBottom - (chartBottom-chartTop)*max(0, min(1, (math.Log10(seconds(d))-from)/(to-from)))
	}
	for e := from; e <= to; e++ {
		d := time.Duration(math.Pow(10, e) * float64(time.Second))
		c.Marks = append(c.Marks, tick{number(y(d)), strings.NewReplacer(".00", "", ".0", "").Replace(scale(d))})
	}
	line := func(of func(recent.Step) time.Duration) (runs []string) {
		var b strings.Builder
		points := 0
		end := func() {
			if points == 1 { // alone: a short line, to be seen
				x, y, _ := strings.Cut(strings.TrimSpace(b.String()), ",")
				at, _ := strconv.ParseFloat(x, 64)
				b.Reset()
				b.WriteString(number(at-3) + "," + y + " " + number(at+3) + "," + y)
			}
			if points > 0 {
				runs = append(runs, b.String())
			}
			b.Reset()
			points = 0
		}
		for n, p := range s {
			if p.Calls == 0 {
				end()
				continue
			}
			points++
			b.WriteString(number(chartX(n)) + "," + number(y(of(p))) + " ")
		}
		end()
		return runs
	}
	c.P50 = line(func(p recent.Step) time.Duration { return p.P50 })
	c.P95 = line(func(p recent.Step) time.Duration { return p.P95 })
	c.Summary = fmt.Sprintf("Latency of the last 15 minutes, by 10 seconds: median and 95th percentile on a logarithmic scale. The highest 95th percentile is %s.", latency(worst))
	return c
}

// scale is a label of a power of ten.
func scale(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", int64(math.Round(float64(d)/1000)))
	case d < time.Second:
		return fmt.Sprintf("%d ms", int64(math.Round(float64(d)/1e6)))
	}
	return fmt.Sprintf("%d s", int64(math.Round(seconds(d))))
}

func newCallsChart(s []recent.Step) callsChart {
	c := callsChart{Ticks: timeTicks(), Empty: true}
	most, all, failed := 0, 0, 0
	for _, p := range s {
		most, all, failed = max(most, p.Calls), all+p.Calls, failed+p.Failed
	}
	if most == 0 {
		return c
	}
	c.Empty = false
	top := niceTop(most)
	height := func(n int) float64 { return (chartBottom - chartTop) * float64(n) / float64(top) }
	width := (chartWidth - chartLeft - 8) / recent.Steps
	for n, p := range s {
		if p.Calls == 0 {
			continue
		}
		title := fmt.Sprintf("%s: %d calls, %d failed, %d cold, %d woken", p.At.Local().Format("15:04:05"), p.Calls, p.Failed, p.Cold, p.Woken)
		base := chartBottom
		for _, part := range []struct {
			n     int
			class string
		}{{p.Failed, "bad"}, {p.Cold, "cold"}, {p.Calls - p.Failed - p.Cold, "good"}} {
			if part.n <= 0 {
				continue
			}
			h := height(part.n)
			base -= h
			c.Bars = append(c.Bars, bar{X: number(chartX(n) - width/2 + 0.5), Y: number(base), W: number(width - 1), H: number(max(h, 0.5)), Class: part.class, Title: title})
		}
	}
	for n := 0; n <= 2; n++ {
		c.Marks = append(c.Marks, tick{number(chartBottom - (chartBottom-chartTop)*float64(n)/2), count(fmt.Sprint(top * n / 2))})
	}
	c.Summary = fmt.Sprintf("Invocations of the last 15 minutes, by 10 seconds: %d in all, %d failed, at most %d in one step.", all, failed, most)
	return c
}

// niceTop is an even number with one digit that is not 0, or 1.5 of one, not below n.
func niceTop(n int) int {
	for p := 1; ; p *= 10 {
		for _, m := range []int{2, 4, 6, 10} {
			if m*p >= n {
				return m * p
			}
		}
	}
}

// startPart is a part of a start.
type startPart struct {
	Name, Class string
	Took        int64 // µs
}

// startRow is one start of an instance for an invocation, as a bar.
type startRow struct {
	At     time.Time
	Origin string
	Total  int64
	Y      string
	Bars   []bar
	Parts  []startPart
}

// startsChart shows where the time of starts went.
type startsChart struct {
	Rows    []startRow
	Height  string
	Marks   []tick
	Legend  []startPart
	Summary string
}

func partsOf(t *recent.Call) []startPart {
	return []startPart{
		{"waiting", "queue", t.Timing.Queue}, {"tender", "tender", t.Timing.Tender}, {"virtual machine", "vm", t.Timing.VM}, {"state", "state", t.Timing.State},
		{"library OS", "libos", t.Timing.Libos}, {"program", "program", t.Timing.Program}, {"first byte", "byte", t.Timing.FirstByte},
	}
}

const (
	startLine   = 22.0
	startsWidth = 1000.0
)

func newStartsChart(calls []recent.Call) startsChart {
	const most = 12
	calls = calls[:min(len(calls), most)]
	c := startsChart{Height: number(startLine * float64(max(len(calls), 1)))}
	longest := int64(1)
	for _, s := range calls {
		sum := int64(0)
		for _, p := range partsOf(&s) {
			sum += p.Took
		}
		longest = max(longest, sum)
	}
	const left = 150.0
	room := startsWidth - left - 80
	for n, s := range calls {
		r := startRow{At: s.At, Origin: s.Timing.Origin, Y: number(startLine*float64(n) + 15), Parts: partsOf(&s)}
		x := left
		for _, p := range r.Parts {
			r.Total += p.Took
			w := room * float64(p.Took) / float64(longest)
			if w < 0.3 {
				continue
			}
			r.Bars = append(r.Bars, bar{X: number(x), Y: number(startLine*float64(n) + 4), W: number(w), H: "14", Class: "part-" + p.Class, Title: p.Name + ": " + latency(time.Duration(p.Took)*time.Microsecond)})
			x += w
		}
		c.Rows = append(c.Rows, r)
	}
	c.Legend = partsOf(&recent.Call{})
	if len(calls) > 0 {
		c.Summary = fmt.Sprintf("Where the time of the last %d starts went; the longest took %s.", len(calls), latency(time.Duration(longest)*time.Microsecond))
	}
	return c
}

// originWord is what an instance was made of.
func originWord(origin string) string {
	return cmp.Or(map[string]string{"boot": "boot", "snapshot": "snapshot", "parked": "woken"}[origin], origin)
}
