// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"os"
	"sync"
	"time"

	"unifaas.dev/internal/image"
	"unifaas.dev/internal/node"
)

// doctorFor is how long what doctor said is shown again: it makes a virtual machine to find out.
const doctorFor = 30 * time.Second

// doctorCache asks doctor once for all who want to know at a time.
type doctorCache struct {
	mu     sync.Mutex
	checks []Check
	at     time.Time
}

func (c *doctorCache) get(look func() []Check) ([]Check, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) > doctorFor && look != nil {
		c.checks, c.at = look(), time.Now()
	}
	return c.checks, c.at
}

// machine is what there is to say about the node and the machine that it runs on.
type machine struct {
	Checks  []Check
	At      time.Time
	Works   bool
	Memory  node.MemoryStatus
	Runtime string
	Host    string
	PID     int
	Known   bool // doctor was asked
}

func (d *Dashboard) node(w http.ResponseWriter, r *http.Request) {
	m := machine{Runtime: d.opts.Control.Runtime(), PID: os.Getpid(), Works: true, Known: d.opts.Doctor != nil, Memory: d.opts.Control.Memory(r.Context())}
	m.Host, _ = os.Hostname()
	m.Checks, m.At = d.doctor.get(d.opts.Doctor)
	for _, c := range m.Checks {
		m.Works = m.Works && c.Status != "fail"
	}
	d.render(w, r, http.StatusOK, "node", page{Title: "Node", Section: "node", Body: m})
}

// images is what is in the store.
func (d *Dashboard) images(w http.ResponseWriter, r *http.Request) {
	entries, err := d.opts.Images.List()
	if err != nil {
		d.fail(w, r, http.StatusInternalServerError, err.Error())
		return
	}
	d.render(w, r, http.StatusOK, "images", page{Title: "Images", Section: "images", Body: struct{ Images []image.Entry }{entries}})
}
