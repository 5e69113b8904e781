// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/gateway/api"
	"unifaas.dev/internal/units"
)

// toControl refuses what a function would wrongly believe to have.
func toControl(q *api.FunctionDeployment) (control.Deployment, error) {
	d := control.Deployment{Name: control.JoinName(q.Service, q.Namespace), Image: q.Image, Env: q.EnvVars, Labels: q.Labels, Annotations: q.Annotations, Secrets: q.Secrets, ReadOnly: &q.ReadOnlyRoot}
	switch {
	case q.Image == "":
		return d, fmt.Errorf("image is missing")
	case q.Limits != nil && q.Limits.GPU != "", q.Requests != nil && q.Requests.GPU != "":
		return d, fmt.Errorf("GPUs are not supported in this version")
	}
	for _, c := range q.Constraints {
		if err := honoured(c); err != nil {
			return d, err
		}
	}
	d.Constraints = q.Constraints
	if d.Env == nil {
		d.Env = map[string]string{}
	}
	if q.EnvProcess != "" {
		d.Env[envProcess] = q.EnvProcess
	}
	if q.Requests != nil {
		d.Requests = map[string]string{}
		for name, text := range map[string]string{"memory": q.Requests.Memory, "cpu": q.Requests.CPU} {
			if text != "" {
				d.Requests[name] = text
			}
		}
		if _, err := units.ParseBytes(cmp.Or(q.Requests.Memory, "1M")); err != nil {
			return d, fmt.Errorf("requests.memory: %w", err)
		}
	}
	if q.Limits != nil && q.Limits.Memory != "" {
		n, err := units.ParseBytes(q.Limits.Memory)
		if err != nil {
			return d, fmt.Errorf("limits.memory: %w", err)
		}
		d.Memory = &n
	}
	if q.Limits != nil && q.Limits.CPU != "" {
		n, err := control.ParseCPU(q.Limits.CPU)
		if err != nil {
			return d, fmt.Errorf("limits.cpu: %w", err)
		}
		d.CPU = &n
	}
	if s := q.Annotations[annotationTimeout]; s != "" {
		t, err := units.ParseDuration(s)
		if err != nil {
			return d, fmt.Errorf("%s: %w", annotationTimeout, err)
		}
		d.Timeout = &t
	}
	var err error
	if d.Serving, err = control.ServingOf(q.Annotations); err != nil {
		return d, err
	}
	d.Isolation, d.Contract, d.Pull = q.Annotations[annotationIsolation], q.Annotations[annotationContract], q.Annotations[annotationPull]
	if s, ok := q.Annotations[annotationEgress]; ok {
		d.Egress = strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	}
	if s := q.Annotations[annotationConcurrency]; s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return d, fmt.Errorf("%s %.40q is not a number", annotationConcurrency, s)
		}
		d.Concurrency = &n
	}
	return d, nil // the labels for scaling are the control plane's affair
}

// honoured refuses a constraint that this node does not meet, or that nobody can know of: KEY=VALUE as with Kubernetes, KEY == VALUE or
// KEY != VALUE as with Swarm.
func honoured(constraint string) error {
	key, value, want := "", "", true
	if k, v, ok := strings.Cut(constraint, "!="); ok {
		key, value, want = k, v, false
	} else if k, v, ok := strings.Cut(constraint, "=="); ok {
		key, value = k, v
	} else if k, v, ok := strings.Cut(constraint, "="); ok {
		key, value = k, v
	}
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	here, known := map[string][]string{
		"kubernetes.io/os": {"linux"}, "beta.kubernetes.io/os": {"linux"}, "node.platform.os": {"linux"},
		"kubernetes.io/arch": {"amd64"}, "beta.kubernetes.io/arch": {"amd64"}, "node.platform.arch": {"amd64", "x86_64"},
	}[key]
	switch {
	case !known:
		return fmt.Errorf("constraint %.80q: this platform knows kubernetes.io/os, kubernetes.io/arch, node.platform.os and node.platform.arch only: take it out", constraint)
	case slices.Contains(here, value) != want:
		return fmt.Errorf("constraint %.80q: this node is %s %s", constraint, key, here[0])
	}
	return nil
}
