// SPDX-License-Identifier: Apache-2.0

package async

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// orphanAge is how old a body is before it is looked whether anything needs it: it is stored before its message is.
const orphanAge = time.Hour

// readBody reads what comes: into memory if it is short, else to where large bodies are, under a name.
func (q *Queue) readBody(ctx context.Context, name string, from io.Reader) (inline []byte, object string, size int64, err error) {
	head, err := io.ReadAll(io.LimitReader(from, maxInline+1))
	if err != nil {
		return nil, "", 0, err
	}
	if len(head) <= maxInline {
		return head, "", int64(len(head)), nil
	}
	if err := q.o.Engine.Room(MaxBody); err != nil {
		return nil, "", 0, err
	}
	size, err = q.putBody(ctx, name, io.MultiReader(bytes.NewReader(head), from))
	return nil, name, size, err
}

// putBody stores a large body.
func (q *Queue) putBody(ctx context.Context, name string, from io.Reader) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, bodyLimit)
	defer cancel()
	in := &bounded{from: from}
	info, err := q.bodies.Put(ctx, jetstream.ObjectMeta{Name: name}, in)
	if in.err != nil { // what was wrong with the source, not what the library makes of it
		return 0, in.err
	}
	if err != nil {
		return 0, explain(err)
	}
	return int64(info.Size), nil
}

// bounded fills each buffer, because each becomes a message, and stops at MaxBody.
type bounded struct {
	from io.Reader
	n    int64
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := io.ReadFull(b.from, p)
	if b.n += int64(n); b.n > MaxBody {
		err = ErrTooLarge
	}
	switch err {
	case nil, io.EOF:
		return n, err
	case io.ErrUnexpectedEOF:
		return n, io.EOF
	}
	b.err = err
	return n, err
}

// body is the body of a record, to be read as often as needed. Close gives back what it takes.
type body struct {
	io.ReaderAt
	size int64
	file *os.File // nil: in memory
}

func (b *body) reader() io.ReadCloser { return io.NopCloser(io.NewSectionReader(b, 0, b.size)) }

func (b *body) Close() {
	if b.file != nil {
		b.file.Close()
	}
}

// openBody gets the body of a record. A large one becomes a file without a name first: whoever is to read it may take his time.
func (q *Queue) openBody(ctx context.Context, r *record, inline []byte) (*body, error) {
	if r.Object == "" {
		return &body{ReaderAt: bytes.NewReader(inline), size: int64(len(inline))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, bodyLimit)
	defer cancel()
	o, err := q.bodies.Get(ctx, r.Object)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, errLost
	}
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	defer o.Close()
	f, err := os.CreateTemp(q.o.TempDir, "async-")
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	b := &body{ReaderAt: f, file: f}
	if err = os.Remove(f.Name()); err == nil {
		b.size, err = io.Copy(f, o)
	}
	if err == nil && b.size != r.Size {
		err = fmt.Errorf("%d bytes of %d", b.size, r.Size)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("body: %w", err)
	}
	return b, nil
}

var errLost = errors.New("its body is lost")

// dropBody forgets a large body that nothing needs any more. One that stays is found by collectBodies.
func (q *Queue) dropBody(name string) {
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), apiLimit)
	defer cancel()
	if err := q.bodies.Delete(ctx, name); err != nil {
		return
	}
	q.purgeMark(ctx, name)
}

// purgeMark removes what the bucket keeps of an object that was deleted.
func (q *Queue) purgeMark(ctx context.Context, name string) {
	if s, err := q.js.Stream(ctx, "OBJ_"+bucketBodies); err == nil {
		s.Purge(ctx, jetstream.WithPurgeSubject("$O."+bucketBodies+".M."+base64.URLEncoding.EncodeToString([]byte(name))))
	}
}

// collectBodies removes, once, the bodies whose message was never stored because the node ended in between.
func (q *Queue) collectBodies() { q.orphans(orphanAge) }

// orphans removes bodies of an age that nothing needs.
func (q *Queue) orphans(age time.Duration) {
	list, err := q.bodies.List(q.begin, jetstream.ListObjectsShowDeleted())
	if err != nil {
		return // there are none, or the engine will be asked again by the next start
	}
	for _, o := range list {
		select {
		case <-q.stop:
			return
		default:
		}
		switch needed, err := q.needed(o.Name); {
		case err != nil || needed || time.Since(o.ModTime) < age:
		case o.Deleted:
			q.purgeMark(q.ctx, o.Name)
		default:
			q.dropBody(o.Name)
		}
	}
}

// needed reports whether a message names a body.
func (q *Queue) needed(name string) (bool, error) {
	if !validID(name) {
		return false, nil
	}
	_, err := q.queue.GetLastMsgForSubject(q.begin, subjectQueue+".*.*."+name)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		_, err = q.dead.GetLastMsgForSubject(q.begin, subjectDead+".*."+name)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// spool takes the body of an answer for a callback: in memory while it is short, else it becomes a large body while it comes.
type spool struct {
	q    *Queue
	name string

	buf  []byte
	size int64
	pipe *io.PipeWriter
	put  chan error
}

func (s *spool) Write(p []byte) (int, error) {
	if s.size += int64(len(p)); s.size > MaxBody {
		return 0, fmt.Errorf("the answer is longer than %d bytes: no callback takes it", MaxBody)
	}
	if s.pipe == nil && len(s.buf)+len(p) <= maxInline {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if s.pipe == nil {
		r, w := io.Pipe()
		s.pipe, s.put = w, make(chan error, 1)
		head := s.buf
		go func() {
			_, err := s.q.putBody(s.q.ctx, s.name, io.MultiReader(bytes.NewReader(head), r))
			r.CloseWithError(err)
			s.put <- err
		}()
	}
	return s.pipe.Write(p)
}

// finish gives the body, or throws it away if the answer came to nothing. It has to be called.
func (s *spool) finish(failed error) (inline []byte, object string, err error) {
	if s.pipe == nil {
		return s.buf, "", failed
	}
	if failed == nil {
		s.pipe.Close()
		err = <-s.put
		return nil, s.name, err
	}
	s.pipe.CloseWithError(failed)
	if <-s.put == nil {
		s.q.dropBody(s.name)
	}
	return nil, "", failed
}
