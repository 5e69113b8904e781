// SPDX-License-Identifier: Apache-2.0

package control

import (
	"strings"
	"testing"
	"time"

	"unifaas.dev/internal/node"
)

func TestScaleLabels(t *testing.T) {
	was := node.Scale{Max: DefaultMax}
	for _, c := range []struct {
		name   string
		labels string
		want   node.Scale
		err    string
	}{
		{"none", "", was, ""},
		{"bounds", "scale.min=2 scale.max=8", node.Scale{Min: 2, Max: 8}, ""},
		{"max grows with min", "scale.min=7", node.Scale{Min: 7, Max: 7}, ""},
		{"steps", "scale.factor=25", node.Scale{Max: 4, Step: 25}, ""},
		{"factor 0 is no scaling", "scale.factor=0", node.Scale{Max: 4, Fixed: true}, ""},
		{"to zero", "scale.zero=true scale.zero-duration=90s", node.Scale{Max: 4, Zero: true, Idle: 90 * time.Second}, ""},
		{"not to zero", "scale.zero=false", node.Scale{Max: 4, Live: true}, ""},
		{"by load", "scale.type=rps scale.target=20 scale.target-proportion=0.5", node.Scale{Max: 4, Metric: node.MetricRPS, Target: 10}, ""},
		{"by load, as usual", "scale.type=capacity", node.Scale{Max: 4, Metric: node.MetricCapacity, Target: 45}, ""},
		{"no number", "scale.min=many", was, `com.openfaas.scale.min is "many", not a number`},
		{"no percentage", "scale.factor=101", was, "not a percentage from 0 to 100"},
		{"no truth", "scale.zero=perhaps", was, "neither true nor false"},
		{"no time", "scale.zero-duration=soon", was, "label com.openfaas.scale.zero-duration"},
		{"no metric", "scale.type=moon", was, `"moon": use capacity, rps, cpu or queue`},
		{"no target", "scale.type=rps scale.target=-1", was, "not a number above 0"},
		{"not a number", "scale.type=rps scale.target=NaN", was, "not a number above 0"},
		{"target of nothing", "scale.target=10", was, "say what it is of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Deployment{Labels: map[string]string{"mine": "x"}}
			for _, kv := range strings.Fields(c.labels) {
				k, v, _ := strings.Cut(kv, "=")
				d.Labels["com.openfaas."+k] = v
			}
			got, err := d.scaleOf(was)
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, not %q", err, c.err)
				}
			case err != nil || got != c.want:
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestScaleOrder: what is said outright counts more than annotations, these more than labels, and what is not named stays.
func TestScaleOrder(t *testing.T) {
	five, cpu := 5, int64(250)
	d := Deployment{Max: &five, CPU: &cpu, Labels: map[string]string{LabelScaleMax: "9", LabelScaleMin: "3"},
		Annotations: map[string]string{AnnotationWeight: "300", AnnotationQueue: "20", AnnotationCPU: "700m"}}
	got, err := d.scaleOf(node.Scale{Max: 4, Idle: time.Minute})
	if want := (node.Scale{Min: 3, Max: 5, Weight: 300, Queue: 20, CPU: 250, Idle: time.Minute}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := (&Deployment{Annotations: map[string]string{AnnotationCPU: "lots"}}).scaleOf(node.Scale{}); err == nil {
		t.Error("lots of CPU")
	}
}

func TestParseCPU(t *testing.T) {
	for text, want := range map[string]int64{"1": 1000, "0.5": 500, "250m": 250, "2": 2000, "10m": 10, ".25": 250} {
		if got, err := ParseCPU(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "m", "-1", "0", "1m", "NaN", "inf", "1e9", "2 CPUs"} {
		if n, err := ParseCPU(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
}

func TestCheckScale(t *testing.T) {
	for _, s := range []node.Scale{{Min: -1, Max: 1}, {Max: 0}, {Min: 2, Max: 1}, {Max: MaxInstances + 1}, {Max: 1, Queue: -1}, {Max: 1, Weight: MaxWeight + 1},
		{Max: 1, CPU: 1}, {Max: 1, CPU: MaxCPU + 1}, {Max: 1, Idle: time.Millisecond}, {Max: 1, Idle: -1}, {Max: 1, Step: 101}, {Max: 1, Metric: "rps"}} {
		if checkScale(s) == nil {
			t.Errorf("%+v passes", s)
		}
	}
	if err := checkScale(node.Scale{Min: 1, Max: 4, Queue: 10, Weight: 5, CPU: 500, Idle: time.Minute, Step: 20, Metric: "rps", Target: 4.5}); err != nil {
		t.Error(err)
	}
}
