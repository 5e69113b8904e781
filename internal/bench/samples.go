// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"slices"
)

// samples are the single measurements of one figure.
type samples []float64

// quantile is the smallest sample that at least the part q of all does not exceed. Preconditions: there is one.
func (s samples) quantile(q float64) float64 { return s.sorted().at(q) }

func (s samples) sorted() samples { return slices.Sorted(slices.Values(s)) }

// at is quantile of samples that are in order.
func (s samples) at(q float64) float64 {
	i := int(math.Ceil(q*float64(len(s)))) - 1
	return s[max(0, min(i, len(s)-1))]
}

// row makes the figure.
func (s samples) row(c, system, metric, unit string) Row {
	if len(s) == 0 {
		return Row{Case: c, System: system, Metric: metric, Skipped: "no measurement succeeded"}
	}
	t := s.sorted()
	return Row{Case: c, System: system, Metric: metric, Unit: unit, P50: t.at(0.5), P99: t.at(0.99), N: len(t), all: t}
}

// round keeps four digits: more would only look exact.
func round(x float64) float64 {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return 0
	}
	p := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(x))))
	if p < 1 {
		return math.Round(x)
	}
	return math.Round(x*p) / p
}
