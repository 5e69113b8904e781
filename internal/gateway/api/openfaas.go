// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// FunctionDeployment is OpenFaaS's; with Name for Service and the numbers of FunctionStatus, that.
type FunctionDeployment struct {
	Service      string             `json:"service,omitempty"`
	Name         string             `json:"name,omitempty"`
	Image        string             `json:"image"`
	Namespace    string             `json:"namespace,omitempty"`
	EnvProcess   string             `json:"envProcess,omitempty"`
	EnvVars      map[string]string  `json:"envVars,omitempty"`
	Constraints  []string           `json:"constraints,omitempty"`
	Secrets      []string           `json:"secrets,omitempty"`
	Labels       map[string]string  `json:"labels,omitempty"`
	Annotations  map[string]string  `json:"annotations,omitempty"`
	Limits       *FunctionResources `json:"limits,omitempty"`
	Requests     *FunctionResources `json:"requests,omitempty"`
	ReadOnlyRoot bool               `json:"readOnlyRootFilesystem,omitempty"`
}

// FunctionResources are OpenFaaS's, as texts.
type FunctionResources struct {
	Memory string `json:"memory,omitempty" yaml:"memory"`
	CPU    string `json:"cpu,omitempty" yaml:"cpu"`
	GPU    string `json:"nvidia.com/gpu,omitempty" yaml:"nvidia.com/gpu"`
}

// FunctionStatus is OpenFaaS's.
type FunctionStatus struct {
	FunctionDeployment
	InvocationCount   float64        `json:"invocationCount"`
	Replicas          int            `json:"replicas"`
	AvailableReplicas int            `json:"availableReplicas"`
	CreatedAt         time.Time      `json:"createdAt"`
	Usage             *FunctionUsage `json:"usage,omitempty"`
}

// FunctionUsage is OpenFaaS's.
type FunctionUsage struct {
	CPU         float64 `json:"cpu"` // seconds
	TotalMemory float64 `json:"totalMemoryBytes"`
}

// FunctionNamespace is OpenFaaS's.
type FunctionNamespace struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// FunctionSecret is OpenFaaS's.
type FunctionSecret struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
	Value     string `json:"value,omitempty"`
	RawValue  []byte `json:"rawValue,omitempty"` // base64 on the wire
}
