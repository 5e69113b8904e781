// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/control"
	"unifaas.dev/internal/image"
)

const (
	partTimeout = 30 * time.Second // for each piece of what is sent
	maxField    = 256 << 10
	maxParts    = 50
)

// deployPage is the form that makes a function.
type deployPage struct {
	fields
	Images []image.Entry
}

func (d *Dashboard) deployForm(w http.ResponseWriter, r *http.Request) {
	d.showDeploy(w, r, http.StatusOK, fields{Image: r.URL.Query().Get("image")}, "")
}

func (d *Dashboard) showDeploy(w http.ResponseWriter, r *http.Request, status int, f fields, problem string) {
	p := deployPage{fields: f}
	if entries, err := d.opts.Images.List(); err == nil {
		for _, e := range entries {
			if e.Name != "" {
				p.Images = append(p.Images, e)
			}
		}
	}
	d.render(w, r, status, "deploy", page{Title: "Deploy a function", Section: "deploy", Error: problem, Body: p})
}

func (d *Dashboard) deploy(w http.ResponseWriter, r *http.Request) {
	dir, err := os.MkdirTemp(d.opts.TempDir, "upload-")
	if err != nil {
		d.fail(w, r, http.StatusInsufficientStorage, "The upload cannot be stored: "+err.Error()+".")
		return
	}
	defer os.RemoveAll(dir)
	f, file, err := receive(w, r, dir)
	fail := func(status int, err error) {
		// What is left of the upload would have to be read first, however much it is.
		if status != http.StatusOK && file == "" && r.ContentLength > maxForm {
			w.Header().Set("Connection", "close")
		}
		d.showDeploy(w, r, status, f, strings.ReplaceAll(err.Error(), dir+"/", ""))
	}
	if err != nil {
		fail(uploadStatus(err), err)
		return
	}
	if err := control.CheckName(f.Name); err != nil {
		fail(http.StatusBadRequest, err)
		return
	}
	switch {
	case file == "" && f.Image == "":
		fail(http.StatusBadRequest, errors.New("choose a file or name an image"))
		return
	case file != "" && f.Image != "":
		fail(http.StatusBadRequest, errors.New("choose a file or name an image, not both"))
		return
	}
	q, err := f.deployment()
	if err != nil {
		fail(http.StatusBadRequest, err)
		return
	}
	q.Image = f.Image
	if file != "" {
		name := f.Name
		if image.CheckName(name) != nil {
			name = ""
		}
		m, err := d.opts.Upload(r.Context(), file, name)
		if err != nil {
			fail(uploadStatus(err), err)
			return
		}
		q.Image, q.ImageName = m.Digest, name
	}
	made, _, err := d.opts.Control.Deploy(r.Context(), q)
	if err != nil {
		fail(statusOf(err), err)
		return
	}
	redirect(w, r, functionPath(made.Name)+"?done=deployed") // which says how it gets on
}

func uploadStatus(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return http.StatusInsufficientStorage
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// receive reads the form as it comes; a file goes into dir. It may keep coming for as long as it keeps coming.
func receive(w http.ResponseWriter, r *http.Request, dir string) (f fields, file string, err error) {
	rc := http.NewResponseController(w)
	defer rc.SetReadDeadline(time.Time{})
	r.Body = &patient{r.Body, rc}
	parts, err := r.MultipartReader()
	if err != nil {
		return f, "", errors.New("the form did not arrive as it should")
	}
	values := url.Values{}
	for n := 0; ; n++ {
		p, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err == nil && n == maxParts {
			err = errors.New("there are too many fields")
		}
		if err == nil && p.FileName() != "" && p.FormName() == "file" && file == "" {
			file, err = store(p, dir)
		} else if err == nil && p.FileName() == "" && p.FormName() != "file" {
			var b []byte
			if b, err = io.ReadAll(io.LimitReader(p, maxField+1)); err == nil && len(b) > maxField {
				err = fmt.Errorf("field %s is longer than %d bytes", clip(p.FormName()), maxField)
			}
			values.Add(p.FormName(), string(b))
		}
		if err != nil {
			return fieldsOf(values), "", fmt.Errorf("the form did not arrive: %w", err)
		}
	}
	return fieldsOf(values), file, nil
}

// store writes a file that was sent, under the name that it has.
func store(p *multipart.Part, dir string) (string, error) {
	name := filepath.Base(p.FileName())
	if name == "." || name == "/" || name == ".." || len(name) > 200 || strings.ContainsRune(name, 0) {
		name = "program"
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return "", err
	}
	n, err := io.Copy(f, p)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && n == 0 {
		err = fmt.Errorf("%s is empty", name)
	}
	return filepath.Join(dir, name), err
}

// patient is a body that keeps coming: each piece has partTimeout.
type patient struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	p.rc.SetReadDeadline(time.Now().Add(partTimeout))
	return p.ReadCloser.Read(b)
}
