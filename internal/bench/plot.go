// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
)

// Measures of plots, in units of the picture.
const (
	plotWidth  = 960.0
	plotLeft   = 250.0 // room for names
	plotRight  = 870.0 // and for values
	laneHeight = 30.0
	laneDots   = 300 // more would only be a blot
)

// plot is the distributions of all figures of a case that have the same unit, one lane each.
type plot struct {
	Label                       string
	Width, Height, Bottom, Text float64
	Ticks                       []tick
	Lanes                       []plotLane
}

type tick struct {
	X    float64
	Text string
}

type plotLane struct {
	System, Metric, Value    string
	Top, Mid, End, Tall      float64
	TickTop, TickEnd         float64
	Q1, Q3, Box, Median, P99 float64
	Dots                     []point
}

type point struct{ X, Y float64 }

// scale is logarithmic, from lo to hi.
type scale struct{ lo, hi float64 }

func (s scale) x(v float64) float64 {
	return tenth(plotLeft + (plotRight-plotLeft-30)*math.Log(v/s.lo)/math.Log(s.hi/s.lo))
}

func tenth(x float64) float64 { return math.Round(x*10) / 10 }

// plots draws what varies; one figure beside another of the same unit is drawn, too.
func plots(rows []Row) (out []plot) {
	var units []string
	of := map[string][]Row{}
	for _, r := range rows {
		if r.Skipped != "" || r.P50 <= 0 {
			continue
		}
		if of[r.Unit] == nil {
			units = append(units, r.Unit)
		}
		of[r.Unit] = append(of[r.Unit], r)
	}
	for _, u := range units {
		if rs := of[u]; len(rs) > 1 || rs[0].N > 1 {
			out = append(out, draw(u, rs))
		}
	}
	return out
}

func draw(unit string, rows []Row) plot {
	s := scale{math.Inf(1), 0}
	for _, r := range rows {
		lo, hi := r.P50, max(r.P50, r.P99)
		if len(r.all) > 0 {
			lo, hi = r.all[0], r.all[len(r.all)-1]
		}
		if lo > 0 {
			s.lo = min(s.lo, lo)
		}
		s.lo, s.hi = min(s.lo, r.P50), max(s.hi, hi)
	}
	s.lo, s.hi = s.lo/1.15, s.hi*1.15
	p := plot{Label: "distributions of " + rows[0].Case + " in " + unit, Width: plotWidth, Bottom: laneHeight*float64(len(rows)) + 4}
	p.Text, p.Height = p.Bottom+14, p.Bottom+20
	p.Ticks = s.ticks(unit)
	for i, r := range rows {
		p.Lanes = append(p.Lanes, s.lane(r, laneHeight*float64(i)))
	}
	return p
}

// ticks are at 1, 2 and 5 times the powers of ten; the ones that would run into each other have no text.
func (s scale) ticks(unit string) (out []tick) {
	last := math.Inf(-1)
	for e := math.Floor(math.Log10(s.lo)); e <= math.Ceil(math.Log10(s.hi)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < s.lo || v > s.hi {
				continue
			}
			t := tick{X: s.x(v)}
			if t.X-last > 58 {
				t.Text, last = figure(v, unit), t.X
			}
			out = append(out, t)
		}
	}
	return out
}

func (s scale) lane(r Row, top float64) plotLane {
	l := plotLane{System: r.System, Metric: r.Metric, Value: figure(r.P50, r.Unit), Top: top + 6, Mid: top + laneHeight/2, End: top + laneHeight - 6, Tall: laneHeight - 12,
		TickTop: top + 11, TickEnd: top + laneHeight - 11, Median: s.x(r.P50)}
	if len(r.all) < 2 {
		return l
	}
	l.Q1, l.Q3, l.P99 = s.x(max(r.all.at(0.25), s.lo)), s.x(max(r.all.at(0.75), s.lo)), s.x(max(r.P99, s.lo))
	l.Box = tenth(max(l.Q3-l.Q1, 1))
	step := max(1, len(r.all)/laneDots)
	for i := 0; i < len(r.all); i += step {
		// Up and down by the golden ratio: neighbours are never at one height, and the picture is the same each time.
		y := math.Mod(float64(i/step)*0.6180339887, 1)
		l.Dots = append(l.Dots, point{s.x(max(r.all[i], s.lo)), tenth(l.Top + 1 + y*(l.Tall-2))})
	}
	return l
}
