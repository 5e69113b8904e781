// SPDX-License-Identifier: Apache-2.0

package units

import (
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	good := map[string]int64{
		"0": 0, "1048576": MiB, "256M": 256 * MiB, "128Mi": 128 * MiB, "128mib": 128 * MiB, "64 MB": 64 * MiB,
		"16G": 16 * GiB, "1.5G": 3 * GiB / 2, "1t": TiB, "7k": 7 * KiB, "12b": 12,
	}
	for in, want := range good {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "M", "-1", "1X", "1..2M", "99999999999G", "9223372036854775807K", "1e400", "0x10", "1.0e30G"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", in, got)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 1000: "1000", KiB: "1K", 1536 * KiB: "1536K", 256 * MiB: "256M", GiB: "1G"} {
		if got := FormatBytes(in); got != want {
			t.Errorf("FormatBytes(%d) = %q, want %q", in, got, want)
		}
		if back, err := ParseBytes(want); err != nil || back != in {
			t.Errorf("ParseBytes(FormatBytes(%d)) = %d, %v", in, back, err)
		}
	}
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1.0K", 5 * MiB: "5.0M", 300 * MiB: "300M"} {
		if got := HumanBytes(in); got != want {
			t.Errorf("HumanBytes(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"30": 30 * time.Second, "500ms": 500 * time.Millisecond, "1m30s": 90 * time.Second} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-1", "-1s", "x", "99999999999999"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
	for in, want := range map[time.Duration]string{time.Minute: "1m", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", 500 * time.Millisecond: "500ms", 0: "0s", 10 * time.Second: "10s"} {
		if got := FormatDuration(in); got != want {
			t.Errorf("FormatDuration(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{-time.Second: "0s", 90 * time.Second: "90s", 5 * time.Minute: "5m", 3 * time.Hour: "3h", 72 * time.Hour: "3d"} {
		if got := Since(in); got != want {
			t.Errorf("Since(%v) = %q, want %q", in, got, want)
		}
	}
}
