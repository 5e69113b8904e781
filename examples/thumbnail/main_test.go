// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func picture(w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.NRGBA{uint8(x * 255 / w), uint8(y * 255 / h), 128, 255})
		}
	}
	return m
}

func post(t *testing.T, query string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	handle(rec, httptest.NewRequest(http.MethodPost, "/"+query, bytes.NewReader(body)))
	return rec
}

func TestThumbnail(t *testing.T) {
	var pngFile, jpegFile bytes.Buffer
	if err := png.Encode(&pngFile, picture(640, 480)); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&jpegFile, picture(333, 1000), nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query string
		body  []byte
		w, h  int
	}{
		{"", pngFile.Bytes(), 160, 120},
		{"?w=64", pngFile.Bytes(), 64, 48},
		{"?w=100", jpegFile.Bytes(), 100, 300},
		{"?w=1", jpegFile.Bytes(), 1, 3},
		{"?w=2000", pngFile.Bytes(), 640, 480},
	} {
		rec := post(t, c.query, c.body)
		if rec.Code != http.StatusOK {
			t.Errorf("%q: %d %s", c.query, rec.Code, rec.Body)
			continue
		}
		m, format, err := image.Decode(rec.Body)
		if err != nil || format != "jpeg" || m.Bounds().Dx() != c.w || m.Bounds().Dy() != c.h {
			t.Errorf("%q: %v %s %v, want jpeg %d x %d", c.query, err, format, m, c.w, c.h)
			continue
		}
		// The colours stay where they were.
		if r, _, _, _ := m.At(c.w-1, 0).RGBA(); c.w > 2 && r>>8 < 230 {
			t.Errorf("%q: red on the right is %d", c.query, r>>8)
		}
	}
}

func TestBadRequests(t *testing.T) {
	huge := "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x0f\xff\xff\x00\x0f\xff\xff\x08\x02\x00\x00\x00\xcc\xcc\xcc\xcc"
	for _, c := range []struct {
		query, body string
		want        int
	}{
		{"?w=0", "", http.StatusBadRequest},
		{"?w=abc", "", http.StatusBadRequest},
		{"?w=99999", "", http.StatusBadRequest},
		{"", "", http.StatusUnsupportedMediaType},
		{"", "no picture", http.StatusUnsupportedMediaType},
		{"", huge, http.StatusUnsupportedMediaType}, // its checksum is wrong
	} {
		if rec := post(t, c.query, []byte(c.body)); rec.Code != c.want {
			t.Errorf("%q %.20q: %d %s, want %d", c.query, c.body, rec.Code, strings.TrimSpace(rec.Body.String()), c.want)
		}
	}
}
