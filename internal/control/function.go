// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"unifaas.dev/internal/node"
)

// keepRevisions is how many revisions of a function are remembered.
const keepRevisions = 10

// Function is what a user deployed.
type Function struct {
	Name        string            `json:"name"`
	Created     time.Time         `json:"created"`
	Scale       node.Scale        `json:"scale"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Requests    map[string]string `json:"requests,omitempty"`    // memory and cpu as they were asked for; nobody looks at them
	Constraints []string          `json:"constraints,omitempty"` // that this node meets
	Revisions   []Revision        `json:"revisions"`             // oldest first
	Target      int               `json:"target,omitempty"`      // number of the revision that is to be served
	Serving     int               `json:"serving,omitempty"`     // and of the one that is, once one has answered; 0: none has
}

// Current is the revision that is served: the last wanted one that has answered, or as long as none has the one that is wanted.
func (f *Function) Current() *Revision {
	if r := f.Revision(f.Serving); r != nil {
		return r
	}
	return f.Wanted()
}

// Wanted is the revision that is to be served.
func (f *Function) Wanted() *Revision {
	if r := f.Revision(f.Target); r != nil {
		return r
	}
	return &f.Revisions[len(f.Revisions)-1]
}

// Revision is the one with a number; nil: it is not remembered.
func (f *Function) Revision(number int) *Revision {
	for i := range f.Revisions {
		if f.Revisions[i].Number == number {
			return &f.Revisions[i]
		}
	}
	return nil
}

// clone is a copy whose revisions can be changed.
func (f *Function) clone() *Function {
	c := *f
	c.Revisions = slices.Clone(f.Revisions)
	return &c
}

// normal fills in what records of earlier versions do not say: the last revision was served at once.
func (f *Function) normal() {
	if last := &f.Revisions[len(f.Revisions)-1]; f.Target == 0 && f.Serving == 0 && last.State == "" {
		f.Target, f.Serving, last.State = last.Number, last.Number, Ready
	}
}

// Revision is one immutable version of a function.
type Revision struct {
	Number  int       `json:"number"`
	Created time.Time `json:"created"`
	State   string    `json:"state,omitempty"`  // pending, ready, failed, replaced; of old records empty
	Reason  string    `json:"reason,omitempty"` // why it failed
	After   int       `json:"after,omitempty"`  // the one that it took over from
	Config
}

// Config is what a revision consists of.
type Config struct {
	Image       string            `json:"image"`     // digest
	ImageName   string            `json:"imageName"` // what it was called at deploy
	Contract    string            `json:"contract"`
	Isolation   string            `json:"isolation"`
	Memory      int64             `json:"memory"`
	Timeout     time.Duration     `json:"timeout"` // ns
	Concurrency int               `json:"concurrency"`
	Env         map[string]string `json:"env,omitempty"`
	Egress      []string          `json:"egress,omitempty"`  // rules: where the program may connect to
	Secrets     []string          `json:"secrets,omitempty"` // names, sorted
	Serving     node.Serving      `json:"serving,omitzero"`
	ReadOnly    bool              `json:"readOnly,omitempty"` // programs write below /tmp only
	Port        int               `json:"port,omitempty"`     // where the image's program listens; 0: the default
}

func (c Config) equal(o Config) bool {
	return c.Image == o.Image && c.ImageName == o.ImageName && c.Contract == o.Contract && c.Isolation == o.Isolation &&
		c.Memory == o.Memory && c.Timeout == o.Timeout && c.Concurrency == o.Concurrency && c.Port == o.Port && c.ReadOnly == o.ReadOnly && c.Serving == o.Serving && maps.Equal(c.Env, o.Env) &&
		slices.Equal(c.Egress, o.Egress) && slices.Equal(c.Secrets, o.Secrets)
}

// RevisionName is what a revision is called in listings and in its own environment.
func RevisionName(function string, number int) string {
	return fmt.Sprintf("%s-%05d", function, number)
}

// spec is what a node has to know to serve a revision of the function.
func (f *Function) spec(r *Revision) node.Spec {
	port := defaultPort
	if r.Port != 0 {
		port = r.Port
	}
	if p, err := strconv.Atoi(r.Env["PORT"]); err == nil {
		port = p
	}
	if r.Contract == ContractStdio {
		port = 0
	}
	return node.Spec{
		Function: f.Name, Revision: RevisionName(f.Name, r.Number), Image: r.Image, Memory: r.Memory, Timeout: r.Timeout,
		Concurrency: r.Concurrency, Env: r.Env, Port: port, Stdio: r.Contract == ContractStdio, ReadOnly: r.ReadOnly, Lambda: r.Contract == ContractLambda,
		Fresh:  r.Isolation == IsolationFresh,
		Rewind: r.Isolation == IsolationRewind, Serving: r.Config.Serving, Egress: r.Egress, Scale: f.Scale,
	}
}

// check refuses a stored record that could not be served. Preconditions: none: it comes from a file.
func (f *Function) check(name string) error {
	if f.Name != name {
		return fmt.Errorf("it is the record of %q", f.Name)
	}
	if len(f.Revisions) == 0 {
		return fmt.Errorf("it has no revision")
	}
	for _, r := range []*Revision{f.Current(), f.Wanted()} {
		if err := check(name, r.Config, f.Scale); err != nil {
			return err
		}
	}
	return nil
}
