// SPDX-License-Identifier: Apache-2.0

// Package objects keeps large values in the engine: a bucket of named objects of any size, written and read as streams, whole
// or not at all, and checked when read. What they are is the business of those who use it.
package objects

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"unifaas.dev/internal/engine"
)

const (
	prefix = "unifaas-"
	// chunk is the size of a message: below what any server takes, and large enough that not much is lost to waiting for the disk.
	chunk = 512 << 10
	// partSize is how much may be on its way to the engine at once, which holds it in memory: an object is made of parts, and each
	// has arrived before the next is sent.
	partSize = 16 << 20
	// Time limits: of a part, and of a question.
	partLimit = 2 * time.Minute
	askLimit  = 10 * time.Second
)

// Errors of Get and Stat.
var (
	ErrNotFound = errors.New("there is no such object")
	ErrDamaged  = errors.New("the object is damaged")
)

// Metadata of an object that has parts. The object itself is empty, and written last.
const (
	metaParts  = "parts"  // how many
	metaSize   = "size"   // of all
	metaDigest = "sha256" // of all
	metaUpload = "upload" // what the names of its parts begin with, after the object's
	metaNote   = "note"   // whatever who wrote it wants to know without reading it
)

// Bucket is a set of objects.
type Bucket struct {
	e      *engine.Engine
	name   string
	o      jetstream.ObjectStore
	stream jetstream.Stream // that it is made of
}

// Info is what is known of an object without reading it.
type Info struct {
	Name string
	Size int64
	Time time.Time // when it was written
	Note string    // that PutNoted was given
}

// Open gives access to a bucket, made where it does not exist.
func Open(ctx context.Context, e *engine.Engine, name string) (*Bucket, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	b := &Bucket{e: e, name: prefix + name}
	var err error
	b.o, err = e.JS.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: b.name, Description: "UniFaaS: " + name, Storage: jetstream.FileStorage, Replicas: e.Replicas, Compression: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", e, name, engine.Cause(err))
	}
	if b.stream, err = e.JS.Stream(ctx, "OBJ_"+b.name); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", e, name, err)
	}
	return b, nil
}

// Room says whether there is room for something of a size, as engine.Room does.
func (b *Bucket) Room(size int64) error { return b.e.Room(size) }

func (b *Bucket) wrap(name string, err error) error {
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("%s in %s: %w", name, b.name, ErrNotFound)
	}
	if errors.Is(err, jetstream.ErrDigestMismatch) || errors.Is(err, jetstream.ErrBadObjectMeta) {
		return fmt.Errorf("%s in %s: %w", name, b.name, ErrDamaged)
	}
	return fmt.Errorf("%s: %s in %s: %w", b.e, name, b.name, engine.Cause(err))
}

// Put writes an object; one of that name is replaced when all has arrived. size is what r is thought to give.
func (b *Bucket) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	return b.PutNoted(ctx, name, "", size, r)
}

// PutNoted does the same with a short note, which List and Stat tell.
func (b *Bucket) PutNoted(ctx context.Context, name, note string, size int64, r io.Reader) (err error) {
	if strings.Contains(name, "/") {
		return fmt.Errorf("object name %q is not valid", name)
	}
	if err := b.e.Room(size); err != nil {
		return fmt.Errorf("%s in %s: %w", name, b.name, err)
	}
	old, _ := b.info(ctx, name)
	up := nuid.Next()
	parts := 0
	defer func() {
		if err != nil {
			b.dropParts(name, up, parts)
		}
	}()
	h := sha256.New()
	in := bufio.NewReaderSize(io.TeeReader(r, h), 64<<10)
	total := &counter{}
	for {
		if _, err := in.Peek(1); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if err := b.e.Room(partSize); err != nil {
			return fmt.Errorf("%s in %s: %w", name, b.name, err)
		}
		parts++
		if err := b.put(ctx, jetstream.ObjectMeta{Name: partName(name, up, parts-1)}, io.TeeReader(io.LimitReader(in, partSize), total)); err != nil {
			return err
		}
	}
	meta := map[string]string{metaParts: strconv.Itoa(parts), metaSize: strconv.FormatInt(total.n, 10), metaDigest: hex.EncodeToString(h.Sum(nil)), metaUpload: up, metaNote: note}
	if err := b.put(ctx, jetstream.ObjectMeta{Name: name, Metadata: meta}, strings.NewReader("")); err != nil {
		return err
	}
	if old != nil {
		if m, err := parseMeta(old); err == nil {
			b.dropParts(name, m.upload, m.parts)
		}
	}
	return nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func partName(name, upload string, n int) string { return fmt.Sprintf("%s/%s/%06d", name, upload, n) }

func (b *Bucket) put(ctx context.Context, m jetstream.ObjectMeta, r io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	m.Opts = &jetstream.ObjectMetaOptions{ChunkSize: chunk}
	// The library sends what one Read gives as a message: whole chunks, then.
	if _, err := b.o.Put(ctx, m, &full{r}); err != nil {
		return b.wrap(m.Name, err)
	}
	return nil
}

// full fills the caller's buffer with each Read.
type full struct{ r io.Reader }

func (f *full) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.r, p)
	if err == io.ErrUnexpectedEOF {
		err = nil // the next Read says io.EOF
	}
	return n, err
}

// remove takes an object of the library away, with what it would leave to say that there was one: names of parts are never used again, and
// what is left of them would pile up.
func (b *Bucket) remove(ctx context.Context, i *jetstream.ObjectInfo) error {
	subject := "$O." + b.name
	err := b.stream.Purge(ctx, jetstream.WithPurgeSubject(subject+".M."+base64.URLEncoding.EncodeToString([]byte(i.Name))))
	if err == nil && i.NUID != "" {
		err = b.stream.Purge(ctx, jetstream.WithPurgeSubject(subject+".C."+i.NUID))
	}
	if err != nil {
		return b.wrap(i.Name, err)
	}
	return nil
}

// dropParts: what stays because the engine is gone is for Sweep.
func (b *Bucket) dropParts(name, upload string, parts int) {
	ctx, cancel := context.WithTimeout(context.Background(), partLimit)
	defer cancel()
	for n := range parts {
		i, err := b.info(ctx, partName(name, upload, n))
		if err == nil {
			err = b.remove(ctx, i)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return
		}
	}
}

// meta is what an object's metadata say.
type meta struct {
	parts  int
	size   int64
	digest string
	upload string
}

func parseMeta(i *jetstream.ObjectInfo) (m meta, err error) {
	m.digest, m.upload = i.Metadata[metaDigest], i.Metadata[metaUpload]
	if m.parts, err = strconv.Atoi(i.Metadata[metaParts]); err == nil {
		m.size, err = strconv.ParseInt(i.Metadata[metaSize], 10, 64)
	}
	if err != nil || m.size < 0 || m.parts != int((m.size+partSize-1)/partSize) || len(m.digest) != 2*sha256.Size || m.upload == "" {
		return meta{}, ErrDamaged
	}
	return m, nil
}

func (b *Bucket) info(ctx context.Context, name string) (*jetstream.ObjectInfo, error) {
	if err := b.e.Reached(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	i, err := b.o.GetInfo(ctx, name)
	if err != nil {
		return nil, b.wrap(name, err)
	}
	return i, nil
}

// Stat says whether there is an object of a name.
func (b *Bucket) Stat(ctx context.Context, name string) (Info, error) {
	i, err := b.info(ctx, name)
	if err != nil {
		return Info{}, err
	}
	m, err := parseMeta(i)
	if err != nil {
		return Info{}, fmt.Errorf("%s in %s: %w", name, b.name, err)
	}
	return Info{name, m.size, i.ModTime, i.Metadata[metaNote]}, nil
}

// Get writes an object's bytes to w. Only if there is no error they are the right ones, and all.
func (b *Bucket) Get(ctx context.Context, name string, w io.Writer) (int64, error) {
	i, err := b.info(ctx, name)
	if err != nil {
		return 0, err
	}
	m, err := parseMeta(i)
	if err != nil {
		return 0, fmt.Errorf("%s in %s: %w", name, b.name, err)
	}
	h := sha256.New()
	left := m.size
	for n := range m.parts {
		got, err := b.part(ctx, partName(name, m.upload, n), min(left, partSize), h, w)
		left -= got
		if err != nil {
			return m.size - left, err
		}
	}
	if hex.EncodeToString(h.Sum(nil)) != m.digest {
		return m.size - left, fmt.Errorf("%s in %s: %w", name, b.name, ErrDamaged)
	}
	return m.size, nil
}

// part copies one part, of exactly size bytes.
func (b *Bucket) part(ctx context.Context, name string, size int64, h hash.Hash, w io.Writer) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	r, err := b.o.Get(ctx, name)
	if err != nil {
		return 0, b.wrap(name, err)
	}
	defer r.Close()
	out := &sink{w: w}
	n, err := io.Copy(io.MultiWriter(h, out), io.LimitReader(r, size+1))
	switch {
	case out.err != nil:
		return n, out.err
	case err != nil:
		return n, b.wrap(name, err)
	case n != size:
		return n, fmt.Errorf("%s in %s: %w: %d bytes, not %d", name, b.name, ErrDamaged, n, size)
	}
	return n, nil
}

// sink tells errors of the writer from those of the reader.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	n, err = s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// Delete removes an object; one that is not there is no error.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	i, err := b.info(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if err := b.remove(ctx, i); err != nil {
		return err
	}
	if m, err := parseMeta(i); err == nil {
		b.dropParts(name, m.upload, m.parts)
	}
	return nil
}
