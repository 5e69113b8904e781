// SPDX-License-Identifier: Apache-2.0

// Command thumbnail is an HTTP server on $PORT that makes small pictures of large ones: POST a JPEG or PNG, get a JPEG back.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	_ "image/png"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

const (
	maxUpload = 32 << 20 // bytes
	maxPixels = 64 << 20
)

func main() {
	http.HandleFunc("POST /", handle)
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "POST a JPEG or PNG to get its thumbnail; ?w=WIDTH, 160 by default")
	})
	log.Fatal(http.ListenAndServe(":"+cmp.Or(os.Getenv("PORT"), "8080"), nil))
}

func handle(w http.ResponseWriter, r *http.Request) {
	width, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("w"), "160"))
	if err != nil || width < 1 || width > 4096 {
		http.Error(w, "w must be a width of 1 to 4096 pixels", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUpload))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(w, fmt.Sprintf("picture has more than %d MiB", maxUpload>>20), http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "cannot read the picture: "+err.Error(), http.StatusBadRequest)
		return
	}
	// The size first: a few bytes can claim a picture of gigabytes.
	conf, _, err := image.DecodeConfig(bytes.NewReader(body))
	if err != nil {
		http.Error(w, "send a JPEG or PNG: "+err.Error(), http.StatusUnsupportedMediaType)
		return
	}
	if conf.Width < 1 || conf.Height < 1 || conf.Width > maxPixels/conf.Height {
		http.Error(w, fmt.Sprintf("picture of %d x %d pixels is too large", conf.Width, conf.Height), http.StatusRequestEntityTooLarge)
		return
	}
	src, _, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		http.Error(w, "cannot decode the picture: "+err.Error(), http.StatusBadRequest)
		return
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, shrink(src, width), &jpeg.Options{Quality: 85}); err != nil {
		http.Error(w, "cannot encode the thumbnail: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "image/jpeg")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	w.Write(out.Bytes())
}
