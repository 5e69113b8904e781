// SPDX-License-Identifier: Apache-2.0

package main

import (
	"image"
	"image/color"
	"image/draw"
)

// shrink scales src to the given width, keeping its shape. Each new pixel is the average of the old ones below it, so
// fine patterns turn into their mean colour. A picture that is small enough keeps its size.
func shrink(src image.Image, width int) image.Image {
	b := src.Bounds()
	if width >= b.Dx() {
		return src
	}
	height := max(1, (b.Dy()*width+b.Dx()/2)/b.Dx())
	// One kind of pixel to read, whatever the file had; transparent parts become white.
	flat := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(flat, flat.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(flat, flat.Bounds(), src, b.Min, draw.Over)

	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		y0, y1 := span(y, height, b.Dy())
		for x := range width {
			x0, x1 := span(x, width, b.Dx())
			var sum [3]int
			for sy := y0; sy < y1; sy++ {
				row := flat.Pix[flat.PixOffset(x0, sy) : flat.PixOffset(x1-1, sy)+4]
				for i := 0; i < len(row); i += 4 {
					sum[0] += int(row[i])
					sum[1] += int(row[i+1])
					sum[2] += int(row[i+2])
				}
			}
			n := (x1 - x0) * (y1 - y0)
			o := dst.PixOffset(x, y)
			for i := range sum {
				dst.Pix[o+i] = uint8((sum[i] + n/2) / n)
			}
			dst.Pix[o+3] = 255
		}
	}
	return dst
}

// span is the half-open range of old pixels under new pixel i, never empty.
func span(i, n, old int) (int, int) {
	lo, hi := i*old/n, (i+1)*old/n
	return lo, max(hi, lo+1)
}
