// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"unifaas.dev/internal/engine"
)

// A message is on the disk when the engine has acknowledged it, at the cost of an fsync each. Those that come at the same time are stored in one
// atomic batch, which has a handful of them however many messages there are.
const (
	leastBatch   = 6 // fewer are stored one by one
	mostBatch    = 500
	mostBatchLen = 4 << 20
)

// committer stores messages.
type committer struct {
	js    jetstream.JetStream
	atoms bool // batches are possible
	todo  chan *commitment
	done  sync.WaitGroup

	mu     sync.RWMutex // held for reading while something is put into todo
	closed bool
}

type commitment struct {
	msg    *nats.Msg
	result chan error
}

func newCommitter(js jetstream.JetStream, atoms bool) *committer {
	c := &committer{js: js, atoms: atoms, todo: make(chan *commitment, mostBatch)}
	c.done.Go(c.run)
	return c
}

// close waits for what was begun.
func (c *committer) close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.todo)
	}
	c.mu.Unlock()
	c.done.Wait()
}

// store returns when a message is on the disk. If ctx ends first it may get there all the same.
func (c *committer) store(ctx context.Context, m *nats.Msg) error {
	one := &commitment{m, make(chan error, 1)}
	c.mu.RLock()
	if c.closed {
		c.mu.RUnlock()
		return ErrClosing
	}
	select {
	case c.todo <- one:
		c.mu.RUnlock()
	case <-ctx.Done():
		c.mu.RUnlock()
		return ctx.Err()
	}
	select {
	case err := <-one.result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *committer) run() {
	for one := range c.todo {
		list, size := []*commitment{one}, one.msg.Size()
	more:
		for len(list) < mostBatch && size < mostBatchLen {
			select {
			case next, ok := <-c.todo:
				if !ok {
					break more
				}
				list, size = append(list, next), size+next.msg.Size()
			default:
				break more
			}
		}
		if !c.atoms || len(list) < leastBatch {
			c.each(list)
			continue
		}
		err := c.batch(list)
		var refused *jetstream.APIError
		if errors.As(err, &refused) {
			c.each(list) // one of them may not be possible: the others are
			continue
		}
		for _, o := range list {
			o.result <- err // if there was no answer some may have been stored: whoever asks again has them done twice
		}
	}
}

// batch stores all or none.
func (c *committer) batch(list []*commitment) error {
	conn, id := c.js.Conn(), NewID()
	for n, o := range list {
		m := nats.NewMsg(o.msg.Subject)
		m.Data = o.msg.Data
		for k, v := range o.msg.Header {
			m.Header[k] = v
		}
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(n+1))
		if n < len(list)-1 {
			if err := conn.PublishMsg(m); err != nil {
				return err
			}
			continue
		}
		m.Header.Set("Nats-Batch-Commit", "1")
		ack, err := conn.RequestMsg(m, apiLimit)
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		var r struct {
			Error *jetstream.APIError `json:"error"`
			Count int                 `json:"count"`
		}
		if err := json.Unmarshal(ack.Data, &r); err != nil {
			return err
		}
		if r.Error != nil {
			return r.Error
		}
		if r.Count != len(list) {
			return fmt.Errorf("%d messages of %d were stored", r.Count, len(list))
		}
	}
	return nil
}

// each stores one by one, without waiting for the last before the next is sent.
func (c *committer) each(list []*commitment) {
	ctx, cancel := context.WithTimeout(context.Background(), apiLimit)
	defer cancel()
	futures := make([]jetstream.PubAckFuture, len(list))
	for n, o := range list {
		var err error
		if futures[n], err = c.js.PublishMsgAsync(o.msg); err != nil {
			o.result <- explain(err)
		}
	}
	for n, o := range list {
		if futures[n] == nil {
			continue
		}
		select {
		case <-futures[n].Ok():
			o.result <- nil
		case err := <-futures[n].Err():
			o.result <- explain(err)
		case <-ctx.Done():
			o.result <- fmt.Errorf("the engine did not answer within %v", apiLimit)
		}
	}
}

// explain tells a queue that is full from a disk that is.
func explain(err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && strings.Contains(api.Description, "maximum messages") {
		return ErrFull
	}
	return engine.Cause(err)
}
