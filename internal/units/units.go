// SPDX-License-Identifier: Apache-2.0

// Package units reads and writes sizes and times as people type them: 256M, 90s. It knows no limits: who asks checks those.
package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Sizes. K, M and G are powers of 1024 wherever this project reads or prints them.
const (
	KiB = int64(1) << 10
	MiB = int64(1) << 20
	GiB = int64(1) << 30
	TiB = int64(1) << 40
)

// ParseBytes reads 1048576, 256M, 256Mi, 256MB, 256MiB, 1.5G; case does not matter. Memory limits of Kubernetes and
// OpenFaaS files (128Mi) read the same.
func ParseBytes(s string) (int64, error) {
	text := strings.TrimSpace(s)
	cut := len(text)
	for i := 0; i < len(text); i++ {
		if c := text[i]; (c < '0' || c > '9') && c != '.' {
			cut = i
			break
		}
	}
	unit, ok := unitOf(text[cut:])
	if cut == 0 || !ok {
		return 0, fmt.Errorf("size %q is not a number with a unit such as 256M or 1G", s)
	}
	if whole, err := strconv.ParseInt(text[:cut], 10, 64); err == nil {
		if whole > math.MaxInt64/unit {
			return 0, fmt.Errorf("size %q is too large", s)
		}
		return whole * unit, nil
	}
	f, err := strconv.ParseFloat(text[:cut], 64)
	if err != nil {
		return 0, fmt.Errorf("size %q is not a number with a unit such as 256M or 1G", s)
	}
	if f *= float64(unit); f >= math.MaxInt64 {
		return 0, fmt.Errorf("size %q is too large", s)
	}
	return int64(f), nil
}

func unitOf(s string) (int64, bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "b":
		return 1, true
	case "k", "kb", "ki", "kib":
		return KiB, true
	case "m", "mb", "mi", "mib":
		return MiB, true
	case "g", "gb", "gi", "gib":
		return GiB, true
	case "t", "tb", "ti", "tib":
		return TiB, true
	}
	return 0, false
}

// FormatBytes prints the shortest exact form: 256M, 1G, 1536K, 1000.
func FormatBytes(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{GiB, "G"}, {MiB, "M"}, {KiB, "K"}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// HumanBytes prints a rounded form for listings: 12.3M.
func HumanBytes(n int64) string {
	f, unit := float64(n), ""
	for _, u := range []string{"K", "M", "G", "T"} {
		if f < 1000 {
			break
		}
		f, unit = f/1024, u
	}
	if unit == "" || f >= 100 {
		return fmt.Sprintf("%.0f%s", f, unit)
	}
	return fmt.Sprintf("%.1f%s", f, unit)
}

// ParseDuration reads 500ms, 10s, 2m; a bare number counts seconds.
func ParseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < 0 || n > int64(math.MaxInt64/time.Second) {
			return 0, fmt.Errorf("time %q is out of range", s)
		}
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("time %q is not a duration such as 500ms, 10s or 2m", s)
	}
	return d, nil
}

// FormatDuration prints 30s, 1m30s, 500ms without the zero parts that time.Duration adds.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Since prints an age for listings: 5s, 12m, 3h, 8d.
func Since(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
