// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"unifaas.dev/internal/monitor"
	"unifaas.dev/internal/snapshot"
)

var samples = []Message{
	&Load{Monitor: "kvm", Memory: 1, LibosSize: 2, Layers: []int64{3, 4}, Prepared: true, HasKVM: true, Shells: 5, Boot: monitor.Boot{Program: "/p",
		Args: []string{"a", ""}, Env: []string{"K=V"}, Cwd: "/", UID: 1, GID: 2, MaxFiles: 3, OverlayMax: 4, Flags: 5},
		Snapshot: Snapshot{Key: snapshot.Key{Libos: [32]byte{1, 31: 2}, ABI: 3, Features: "f", Memory: 4, Layers: [][32]byte{{5}, {31: 6}},
			Program: [32]byte{7, 31: 8}}, HasSink: true, Track: true}},
	&Start{Instance: 7, From: FromParked, Hostname: "h", Env: []string{"A=B"}, Stdio: StdinFD | StderrFD, Off: 4096, Len: 1 << 40},
	&Prepare{Monitor: "kvm", Memory: 1, LibosSize: 2, HasKVM: true},
	&Prepared{Error: "e"},
	&Snapshotted{Error: "e", Pages: 1, Shared: 2, Bytes: 3, Took: 4},
	&Restored{Instance: 7, VM: 1, State: 2},
	&Rewind{Instance: 7},
	&Rewind{Instance: 7, Port: 8080},
	&Rewound{Instance: 7, Error: "e", Pages: 1, Entries: 2, Took: 3},
	&Park{Instance: 7},
	&Parked{Instance: 7, Kind: ErrorBusy, Error: "e", Bytes: 8},
	&Keep{Shells: 65535},
	&Dial{Instance: 7, Port: 8080},
	&Kill{Instance: 7, Reason: "why"},
	&Signal{Instance: 7, Signo: 64},
	&Stats{Instance: 7, Token: 9},
	&Stop{},
	&FileRequest{Instance: 7, Tag: 8, Op: 6, Path: "usr/lib", Inode: 9, From: 10, Len: 11},
	&FileReply{Instance: 7, Tag: 8, Errno: 2, Data: []byte("data")},
	&Spawn{Instance: 7, Token: 9, Env: []string{"A=b"}},
	&Ended{Instance: 7, Token: 9, Status: 256},
	&Connect{Instance: 7, Token: 8, UDP: true, IPv6: true, Port: 53, Addr: [16]byte{0x20, 1, 15: 9}},
	&Abort{Instance: 7, Token: 8},
	&Connected{Instance: 7, Token: 8, Errno: 111},
	&Loaded{Monitor: "kvm", Error: "e", Features: "f", Refused: "r", Why: ErrorForeign},
	&Started{Instance: 7, Kind: ErrorDamaged, Error: "e", VM: -1},
	&Listening{Instance: 7, Port: 65535, Stamps: Stamps{1, 2, 3, 4, 5, 6, 7}},
	&Unlistening{Instance: 7, Port: 1},
	&Output{Instance: 7, Stream: 2, Time: 8, Data: []byte("line")},
	&Exited{Lost: [2]uint16{28, 5}, Instance: 7, Kind: KindKilled, Status: 9, Reason: "r", Report: "rep", Stamps: Stamps{1, 2, 3, 4, 5, 6, 7},
		Counters: Counters{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}},
	&StatsReply{Instance: 7, Token: 9, OK: true, Counters: Counters{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}},
}

func TestRoundTrip(t *testing.T) {
	seen := map[byte]bool{}
	for _, m := range samples {
		seen[m.wireType()] = true
		b := Encode(nil, m)
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%T: got %+v, %v", m, got, err)
		}
		for n := range b {
			if _, err := Decode(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%T cut to %d bytes: %v", m, n, err)
			}
		}
		if _, err := Decode(append(b, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%T with a byte too many: %v", m, err)
		}
	}
	for typ := range 256 {
		if m := newMessage(byte(typ)); m != nil && !seen[byte(typ)] {
			t.Errorf("no sample of %T", m)
		}
	}
}

func TestTextIsCut(t *testing.T) {
	m, err := Decode(Encode(nil, &Kill{Reason: strings.Repeat("x", 2*MaxText)}))
	if err != nil || len(m.(*Kill).Reason) != MaxText {
		t.Errorf("%v", err)
	}
}

func TestSocket(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	big := &Start{Instance: 1, Env: []string{"K=" + strings.Repeat("v", 200<<10)}}
	buf := make([]byte, MaxInline)
	for _, m := range []Message{big, samples[0]} {
		packet, spill, err := Pack(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		with := []int{0}
		if spill >= 0 {
			with = append(with, spill)
		}
		if _, err := Send(fds[0], packet, with, true); err != nil {
			t.Fatal(err)
		}
		if spill >= 0 {
			unix.Close(spill)
		}
		got, extra, err := Receive(fds[1], buf)
		if err != nil || !reflect.DeepEqual(got, m) || len(extra) != 1 {
			t.Errorf("%T: %v, descriptors %v", m, err, extra)
		}
		CloseAll(extra)
	}
	if _, _, err := Pack(nil, &Start{Env: []string{strings.Repeat("v", 600<<10)}}); err == nil {
		t.Error("a body of 600 KiB was taken")
	}

	before := countFDs(t)
	for _, bad := range [][]byte{{TypeStart, flagInFD, Version, 0}, {99, 0, Version, 0}, make([]byte, MaxInline+1)} {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Send(fds[0], bad, []int{int(null.Fd()), int(null.Fd())}, true); err != nil {
			t.Fatal(err)
		}
		null.Close()
		if _, _, err := Receive(fds[1], buf); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
	if after := countFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	unix.Close(fds[0])
	if _, _, err := Receive(fds[1], buf); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func countFDs(t *testing.T) int {
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// TestRefused: values that decode and mean nothing.
func TestRefused(t *testing.T) {
	for _, m := range []Message{
		&Start{From: FromParked + 1},
		&Start{Off: -1},
		&Start{Len: -1},
		&Started{Kind: errorEnd},
		&Loaded{Why: errorEnd},
		&Parked{Kind: errorEnd},
		&Parked{Bytes: -1},
		&Snapshotted{Bytes: -1},
		&Load{Snapshot: Snapshot{HasImage: true, HasSink: true}},
		&Load{Snapshot: Snapshot{Key: snapshot.Key{Layers: make([][32]byte, 9)}}},
	} {
		if got, err := Decode(Encode(nil, m)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v was taken as %+v", m, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples {
		f.Add(Encode(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(Encode(nil, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}
