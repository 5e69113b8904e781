// SPDX-License-Identifier: Apache-2.0

// Package api has the JSON of the node's own management interface, /unifaas/v1, for the two sides of it. Keys are words joined by _; one whose
// number has a unit ends with it.
package api

import "time"

// Headers of invocations.
const (
	HeaderCallID   = "X-Call-Id"
	HeaderStart    = "X-Start-Time"
	HeaderServedBy = "X-Served-By"
	HeaderInternal = "X-OpenFaaS-Internal" // on errors of the gateway itself
	HeaderTiming   = "X-Unifaas-Timing"    // request: "1"; answer: a Timing
	HeaderEvent    = "X-Unifaas-Event"     // inside of the node only: the body is an event for a Lambda function; value: the client's context in base64, or -
	HeaderInstance = "X-Unifaas-Instance"  // answer: who gave it; request: who is to
)

// ManifestType is the Content-Type of a manifest, in POST /unifaas/v1/images.
const ManifestType = "application/vnd.unifaas.manifest+json"

// Error is the body of an answer other than 2xx.
type Error struct {
	Error string `json:"error"`
}

// Timing says where the time of an invocation went, in microseconds.
type Timing struct {
	Cold      bool   `json:"cold"`
	Origin    string `json:"origin,omitempty"` // of an instance that was made for it: boot, snapshot, parked
	Instance  string `json:"instance"`
	Queue     int64  `json:"queue_us"`
	Tender    int64  `json:"tender_us"`
	VM        int64  `json:"vm_us"`
	State     int64  `json:"state_us"`
	Libos     int64  `json:"libos_us"`
	Program   int64  `json:"program_us"`
	FirstByte int64  `json:"first_byte_us"`
	Total     int64  `json:"total_us"`
}

// Info is what GET /unifaas/v1/info answers.
type Info struct {
	Version   string `json:"version"`
	Runtime   string `json:"runtime"` // what instances run in: auto, kvm, process, process-plain
	PID       int    `json:"pid"`
	Functions int    `json:"functions"`
}

// DeployRequest is the body of PUT /unifaas/v1/functions/NAME. What is not there gets its default if there is an image,
// else it stays as it is.
type DeployRequest struct {
	Image       string            `json:"image,omitempty"`
	ImageName   string            `json:"image_name,omitempty"` // shown instead of Image
	Pull        string            `json:"pull,omitempty"`       // when a registry is asked: always, missing, never; else if a tag was pulled before
	Contract    string            `json:"contract,omitempty"`
	Isolation   string            `json:"isolation,omitempty"`
	Memory      *int64            `json:"memory,omitempty"`
	TimeoutMS   *int64            `json:"timeout_ms,omitempty"`
	Concurrency *int              `json:"concurrency,omitempty"` // 0: no limit
	Protocol    *string           `json:"protocol,omitempty"`    // http1, h2c; empty: HTTP/1.1, and h2c for gRPC
	Readiness   *string           `json:"readiness,omitempty"`   // path of the probe; empty: none
	Liveness    *string           `json:"liveness,omitempty"`    // path of the probe; empty: none
	StartupMS   *int64            `json:"startup_ms,omitempty"`  // until it is ready
	GraceMS     *int64            `json:"grace_ms,omitempty"`    // between SIGTERM and the end
	Min         *int              `json:"min,omitempty"`
	Max         *int              `json:"max,omitempty"`
	Queue       *int              `json:"queue,omitempty"`     // invocations that may wait; 0: the node's default
	Weight      *int              `json:"weight,omitempty"`    // share of a full node
	CPU         *int64            `json:"cpu_milli,omitempty"` // thousandths of a CPU for an instance
	Env         map[string]string `json:"env,omitempty"`
	Egress      []string          `json:"egress,omitempty"` // rules; ["public"] is the default
	Secrets     []string          `json:"secrets,omitempty"`
	ReadOnly    *bool             `json:"read_only,omitempty"` // root file system
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// DeployReply answers it.
type DeployReply struct {
	Created  bool     `json:"created"`
	Changed  bool     `json:"changed"` // there is a new revision
	Function Function `json:"function"`
	Wanted   Revision `json:"wanted"` // the revision that is to be served; pending: it takes over when it answers
}

// RollbackRequest is the body of POST /unifaas/v1/functions/NAME/rollback, which a DeployReply answers.
type RollbackRequest struct {
	To int `json:"to,omitempty"` // number of the revision; 0: the one before the current one
}

// ScaleRequest is the body of POST /unifaas/v1/functions/NAME/scale.
type ScaleRequest struct {
	Instances int `json:"instances"`
}

// Function is a function in listings.
type Function struct {
	Name         string            `json:"name"` // with its namespace, unless that is default: NAME.NAMESPACE
	Namespace    string            `json:"namespace"`
	URL          string            `json:"url"` // path on the gateway
	Created      time.Time         `json:"created"`
	Min          int               `json:"min"`
	Max          int               `json:"max"`
	Queue        int               `json:"queue,omitempty"`     // invocations that may wait; 0: the node's default
	Weight       int               `json:"weight"`              // share of a full node
	CPU          int64             `json:"cpu_milli,omitempty"` // thousandths of a CPU for an instance; 0: a whole one
	Labels       map[string]string `json:"labels,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Revision     Revision          `json:"revision"`       // the one that is served
	Next         *Revision         `json:"next,omitempty"` // the one that is to take over
	Ready        int               `json:"ready"`
	Booting      int               `json:"booting"` // or being woken
	Parked       int               `json:"parked"`
	Waiting      int               `json:"waiting"`
	Running      int               `json:"running"`     // invocations that have an instance
	Wanted       int               `json:"wanted"`      // instances that are to run by what is measured, whoever waits
	Invocations  int64             `json:"invocations"` // since the node started, like what follows
	Cold         int64             `json:"cold"`
	Crashes      int64             `json:"crashes"`
	Timeouts     int64             `json:"timeouts"`
	Refused      int64             `json:"refused"`
	Parks        int64             `json:"parks"`
	Wakes        int64             `json:"wakes"` // invocations that waited for one
	Rewinds      int64             `json:"rewinds"`
	RewindPages  int64             `json:"rewind_pages"`    // copied back in all of them
	RewindUS     int64             `json:"rewind_us"`       // that they took in all
	Snapshot     int64             `json:"snapshot_memory"` // bytes that the revision's snapshot takes; 0: there is none
	ParkedMemory int64             `json:"parked_memory"`   // and what is kept of parked instances
}

// Description is a function with all there is to say.
type Description struct {
	Function
	Revisions []Revision `json:"revisions"` // newest first
	Instances []Instance `json:"instances"`
}

// Revision is one immutable version of a function.
type Revision struct {
	Name        string            `json:"name"`
	Number      int               `json:"number"`
	State       string            `json:"state"`            // pending, ready, failed, replaced
	Reason      string            `json:"reason,omitempty"` // why it failed
	Served      bool              `json:"served"`
	Created     time.Time         `json:"created"`
	Image       string            `json:"image"`
	Digest      string            `json:"digest"`
	Contract    string            `json:"contract"`
	Isolation   string            `json:"isolation"`
	Memory      int64             `json:"memory"`
	TimeoutMS   int64             `json:"timeout_ms"`
	Concurrency int               `json:"concurrency"` // 0: no limit
	Protocol    string            `json:"protocol,omitempty"`
	Readiness   string            `json:"readiness,omitempty"`
	Liveness    string            `json:"liveness,omitempty"`
	StartupMS   int64             `json:"startup_ms"`
	GraceMS     int64             `json:"grace_ms"`
	Env         map[string]string `json:"env,omitempty"`
	Egress      []string          `json:"egress"` // rules: where the program may connect to
	Secrets     []string          `json:"secrets,omitempty"`
	ReadOnly    bool              `json:"read_only,omitempty"`
}

// Instance is an instance in listings.
type Instance struct {
	ID          string    `json:"id"`
	Function    string    `json:"function"`
	Revision    string    `json:"revision"`
	State       string    `json:"state"`
	Inflight    int       `json:"inflight"`
	Invocations int64     `json:"invocations"`
	Created     time.Time `json:"created"`
	BootUS      int64     `json:"boot_us"`
	TenderPID   int       `json:"tender_pid"`
	Memory      int64     `json:"memory"`       // bytes of host memory behind it
	Guest       int64     `json:"guest_memory"` // bytes of guest RAM handed out
	Libos       int64     `json:"libos_memory"` // of these, the library OS's own
	CPUMS       int64     `json:"cpu_ms"`
	Private     int64     `json:"private_memory"` // bytes of host memory that only this instance has; of a parked one all that is kept
}

// Image is an image in listings.
type Image struct {
	Name    string    `json:"name"`
	Digest  string    `json:"digest"`
	Size    int64     `json:"size"`
	Program string    `json:"program"`
	Created time.Time `json:"created"`
}

// Memory is what GET /unifaas/v1/memory answers, in bytes.
type Memory struct {
	Budget    int64          `json:"budget"` // 0: none
	Used      int64          `json:"used"`
	Short     bool           `json:"short"` // something is being given back
	Snapshots int            `json:"snapshots"`
	Disk      int64          `json:"snapshots_on_disk"`
	Tenders   []TenderMemory `json:"tenders"`
}

// TenderMemory is what one revision takes, in bytes but for the numbers.
type TenderMemory struct {
	Function     string `json:"function"`
	Revision     string `json:"revision"`
	TenderPID    int    `json:"tender_pid"` // 0: there is none
	Proportional int64  `json:"tender_proportional"`
	Private      int64  `json:"tender_private"`
	Running      int    `json:"running"`
	Instances    int64  `json:"instances_private"`
	Shells       int    `json:"shells"`
	Parked       int    `json:"parked"`
	ParkedMemory int64  `json:"parked_memory"`
	Snapshot     int64  `json:"snapshot_memory"`
}

// ParkReply answers POST /unifaas/v1/functions/NAME/park.
type ParkReply struct {
	Running int `json:"running"` // instances that are not parked
}

// LogLine is a line of a log; the first five are OpenFaaS's.
type LogLine struct {
	Name      string    `json:"name"`
	Namespace string    `json:"namespace"`
	Instance  string    `json:"instance"`
	Request   string    `json:"request,omitempty"` // X-Call-Id, where it is certain
	Timestamp time.Time `json:"timestamp"`
	Text      string    `json:"text"`
	Stream    string    `json:"stream"`
}
