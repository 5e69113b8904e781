// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"unifaas.dev/internal/node"
	"unifaas.dev/internal/units"
)

// Labels of OpenFaaS about scaling, and annotations for what it has no label for.
const (
	LabelScaleMin        = "com.openfaas.scale.min"
	LabelScaleMax        = "com.openfaas.scale.max"
	LabelScaleFactor     = "com.openfaas.scale.factor"
	LabelScaleZero       = "com.openfaas.scale.zero"
	LabelScaleZeroAfter  = "com.openfaas.scale.zero-duration"
	LabelScaleType       = "com.openfaas.scale.type"
	LabelScaleTarget     = "com.openfaas.scale.target"
	LabelScaleProportion = "com.openfaas.scale.target-proportion"

	AnnotationWeight = "unifaas.dev/weight"
	AnnotationQueue  = "unifaas.dev/queue"
	AnnotationCPU    = "unifaas.dev/cpu"
)

// What OpenFaaS takes where a label does not say.
const (
	defaultTarget     = 50
	defaultProportion = 0.9
)

// Limits.
const (
	MaxWeight = 10000
	MaxQueue  = 100000
	MinCPU    = 10 // thousandths
	MaxCPU    = 1000
	minIdle   = time.Second
	maxIdle   = 24 * time.Hour
)

// ParseCPU reads a number of CPUs as Kubernetes writes it, 0.5 or 500m, in thousandths.
func ParseCPU(text string) (int64, error) {
	number, unit := text, 1000.0
	if m, ok := strings.CutSuffix(text, "m"); ok {
		number, unit = m, 1
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v*unit < MinCPU || v*unit > 1e6 {
		return 0, fmt.Errorf("%q is no number of CPUs: give one like 0.5 or 500m", clip(text))
	}
	return int64(math.Round(v * unit)), nil
}

// scaleOf applies what a deployment says about scaling to what is there: labels, then annotations, then its own fields.
func (d *Deployment) scaleOf(s node.Scale) (node.Scale, error) {
	if d.Labels != nil {
		if err := scaleLabels(d.Labels, &s); err != nil {
			return s, err
		}
	}
	for _, n := range []struct {
		key string
		to  *int
	}{{AnnotationWeight, &s.Weight}, {AnnotationQueue, &s.Queue}} {
		if err := number(d.Annotations, n.key, n.to); err != nil {
			return s, err
		}
	}
	if text, ok := d.Annotations[AnnotationCPU]; ok {
		n, err := ParseCPU(text)
		if err != nil {
			return s, invalid("annotation %s: %v", AnnotationCPU, err)
		}
		s.CPU = n
	}
	if d.Max == nil && d.Min != nil {
		s.Max = max(s.Max, *d.Min)
	}
	set(&s.Min, d.Min)
	set(&s.Max, d.Max)
	set(&s.Queue, d.Queue)
	set(&s.Weight, d.Weight)
	set(&s.CPU, d.CPU)
	set(&s.Idle, d.Idle)
	if s.CPU >= MaxCPU { // an instance has one virtual CPU
		s.CPU = 0
	}
	return s, nil
}

// scaleLabels reads the labels of OpenFaaS. What they do not name stays as it is.
func scaleLabels(labels map[string]string, s *node.Scale) error {
	least, most := s.Min, s.Max
	if err := number(labels, LabelScaleMin, &least); err != nil {
		return err
	}
	if err := number(labels, LabelScaleMax, &most); err != nil {
		return err
	}
	if _, ok := labels[LabelScaleMax]; !ok {
		most = max(most, least)
	}
	s.Min, s.Max = least, most
	if text, ok := labels[LabelScaleFactor]; ok {
		factor, err := strconv.Atoi(text)
		if err != nil || factor < 0 || factor > 100 {
			return invalid("label %s is %q, not a percentage from 0 to 100", LabelScaleFactor, clip(text))
		}
		s.Step, s.Fixed = factor, factor == 0
	}
	if text, ok := labels[LabelScaleZero]; ok {
		zero, err := strconv.ParseBool(text)
		if err != nil {
			return invalid("label %s is %q, neither true nor false", LabelScaleZero, clip(text))
		}
		s.Zero, s.Live = zero, !zero
	}
	if text, ok := labels[LabelScaleZeroAfter]; ok {
		t, err := units.ParseDuration(text)
		if err != nil {
			return invalid("label %s: %v", LabelScaleZeroAfter, err)
		}
		s.Idle = t
	}
	return targetLabels(labels, s)
}

func targetLabels(labels map[string]string, s *node.Scale) error {
	kind, ok := labels[LabelScaleType]
	if !ok {
		for _, key := range []string{LabelScaleTarget, LabelScaleProportion} {
			if _, ok := labels[key]; ok && s.Metric == "" {
				return invalid("label %s without %s: say what it is of", key, LabelScaleType)
			}
		}
		return nil
	}
	switch kind {
	case node.MetricCapacity, node.MetricRPS, node.MetricCPU, node.MetricQueue:
	default:
		return invalid("label %s is %q: use %s, %s, %s or %s", LabelScaleType, clip(kind), node.MetricCapacity, node.MetricRPS, node.MetricCPU, node.MetricQueue)
	}
	target, proportion := float64(defaultTarget), defaultProportion
	for _, n := range []struct {
		key  string
		to   *float64
		most float64
	}{{LabelScaleTarget, &target, 1e9}, {LabelScaleProportion, &proportion, 1}} {
		text, ok := labels[n.key]
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0 && v <= n.most) {
			return invalid("label %s is %q, not a number above 0 and up to %v", n.key, clip(text), n.most)
		}
		*n.to = v
	}
	s.Metric, s.Target = kind, target*proportion
	return nil
}

func number(from map[string]string, key string, to *int) error {
	text, ok := from[key]
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return invalid("%s is %q, not a number", key, clip(text))
	}
	*to = n
	return nil
}

func checkScale(s node.Scale) error {
	switch {
	case s.Min < 0 || s.Min > MaxInstances:
		return invalid("min %d: choose from 0 to %d", s.Min, MaxInstances)
	case s.Max < 1 || s.Max > MaxInstances:
		return invalid("max %d: choose from 1 to %d", s.Max, MaxInstances)
	case s.Min > s.Max:
		return invalid("min %d is more than max %d", s.Min, s.Max)
	case s.Queue < 0 || s.Queue > MaxQueue:
		return invalid("queue %d: choose from 1 to %d, or 0 for the node's own", s.Queue, MaxQueue)
	case s.Weight < 0 || s.Weight > MaxWeight:
		return invalid("weight %d: choose from 1 to %d, or 0 for %d", s.Weight, MaxWeight, node.DefaultWeight)
	case s.CPU != 0 && (s.CPU < MinCPU || s.CPU > MaxCPU):
		return invalid("%d thousandths of a CPU: choose from %d to %d", s.CPU, MinCPU, MaxCPU)
	case s.Idle != 0 && (s.Idle < minIdle || s.Idle > maxIdle):
		return invalid("idle time %s: choose from %s to %s", units.FormatDuration(s.Idle), units.FormatDuration(minIdle), units.FormatDuration(maxIdle))
	case s.Step < 0 || s.Step > 100 || s.Target < 0 || s.Metric != "" && !(s.Target > 0):
		return invalid("scaling by %q with target %v, step %d: out of bounds", clip(s.Metric), s.Target, s.Step)
	}
	return nil
}
