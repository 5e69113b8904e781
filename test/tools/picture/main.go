// SPDX-License-Identifier: Apache-2.0

// Command picture makes the photo-like picture that demo and tests use, and checks thumbnails of it.
//
//	picture make WIDTH HEIGHT > photo.jpg
//	picture check WIDTH HEIGHT < thumbnail
package main

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	_ "image/png"
	"math"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: picture make|check WIDTH HEIGHT")
	}
	w, errW := strconv.Atoi(args[1])
	h, errH := strconv.Atoi(args[2])
	if errW != nil || errH != nil || w < 1 || h < 1 {
		return fmt.Errorf("bad size %s x %s", args[1], args[2])
	}
	if args[0] == "make" {
		out := bufio.NewWriter(os.Stdout)
		if err := jpeg.Encode(out, landscape(w, h), &jpeg.Options{Quality: 90}); err != nil {
			return err
		}
		return out.Flush()
	}
	m, format, err := image.Decode(bufio.NewReader(os.Stdin))
	if err != nil {
		return fmt.Errorf("the answer does not decode: %w", err)
	}
	if b := m.Bounds(); b.Dx() != w || b.Dy() != h {
		return fmt.Errorf("the answer is a picture of %d x %d, want %d x %d", b.Dx(), b.Dy(), w, h)
	}
	// The top is sky and the bottom grass: it is this picture made small, not any picture.
	_, _, sky, _ := m.At(w/2, h/10).RGBA()
	r, grass, _, _ := m.At(w/2, h-1-h/10).RGBA()
	if sky>>8 < 140 || grass <= r {
		return fmt.Errorf("the answer shows something else")
	}
	fmt.Printf("%s, %d x %d\n", format, w, h)
	return nil
}

// landscape is sky with a sun, hills and grass, with fine noise as photos have it.
func landscape(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	noise := uint32(1)
	for y := range h {
		for x := range w {
			fx, fy := float64(x)/float64(w), float64(y)/float64(h)
			r, g, b := 90+90*fy, 140+60*fy, 220.0
			if d := math.Hypot(fx-0.75, (fy-0.2)*float64(h)/float64(w)); d < 0.06 {
				r, g, b = 255, 240, 180
			}
			if hill := 0.55 - 0.12*math.Sin(fx*5) - 0.04*math.Sin(fx*17); fy > hill {
				s := (fy - hill) * 60
				r, g, b = 60+s, 110+s*0.8, 70+s*0.3
			}
			noise = noise*1664525 + 1013904223
			n := float64(noise>>28) - 8
			m.SetRGBA(x, y, color.RGBA{clamp(r + n), clamp(g + n), clamp(b + n), 255})
		}
	}
	return m
}

func clamp(v float64) uint8 { return uint8(max(0, min(255, v))) }
