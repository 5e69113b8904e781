// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Pack makes a command ready for the socket: a body too large for one message goes into a memfd, which is then returned
// and has to be sent as the last descriptor and closed.
func Pack(b []byte, m Message) (packet []byte, spill int, err error) {
	packet = Encode(b, m)
	if len(packet) <= MaxInline {
		return packet, -1, nil
	}
	if len(packet) > MaxBody {
		return nil, -1, fmt.Errorf("command of %d bytes for a tender, at most %d: shorten arguments and environment", len(packet), MaxBody)
	}
	fd, err := MemFD("command", packet)
	if err != nil {
		return nil, -1, err
	}
	return []byte{m.wireType(), flagInFD, Version, 0}, fd, nil
}

// Unpack is the opposite: it takes the memfd from the descriptors again.
func Unpack(packet []byte, fds []int) (Message, []int, error) {
	if len(packet) != headerSize || packet[1] != flagInFD {
		m, err := Decode(packet)
		return m, fds, err
	}
	if len(fds) == 0 {
		return nil, fds, malformed("no descriptor for the body")
	}
	last := len(fds) - 1
	var st unix.Stat_t
	if err := unix.Fstat(fds[last], &st); err != nil {
		return nil, fds, fmt.Errorf("read command body: %w", err)
	}
	if st.Size < headerSize || st.Size > MaxBody {
		return nil, fds, malformed("body of %d bytes", st.Size)
	}
	body := make([]byte, st.Size)
	if err := ReadFull(fds[last], body); err != nil {
		return nil, fds, fmt.Errorf("read command body: %w", err)
	}
	unix.Close(fds[last])
	fds = fds[:last]
	if body[0] != packet[0] {
		return nil, fds, malformed("body of type %d in a message of type %d", body[0], packet[0])
	}
	m, err := Decode(body)
	return m, fds, err
}

// MemFD is a sealed anonymous file that holds data.
func MemFD(name string, data []byte) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("make a memory file: %w", err)
	}
	for rest := data; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("fill a memory file with %d bytes: %w", len(data), err)
		}
		rest = rest[n:]
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("seal a memory file: %w", err)
	}
	return fd, nil
}

// ReadFull reads len(p) bytes from the start of a file.
func ReadFull(fd int, p []byte) error {
	for off := 0; off < len(p); {
		n, err := unix.Pread(fd, p[off:], int64(off))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		off += n
	}
	return nil
}

// ErrShort comes with a message whose descriptors this process had no room for. All of them are gone.
var ErrShort = errors.New("no room for descriptors")

// Receive reads one message with blocking calls. io.EOF: the other side is gone. Whatever the error, no descriptor is left open.
func Receive(fd int, buf []byte) (Message, []int, error) {
	oob := make([]byte, unix.CmsgSpace(4*(MaxFDs+1)))
	for {
		n, oobn, flags, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ECONNRESET {
			return nil, nil, io.EOF
		}
		if err != nil {
			return nil, nil, fmt.Errorf("receive a message: %w", err)
		}
		if n == 0 && oobn == 0 {
			return nil, nil, io.EOF
		}
		return Parse(buf[:n], oob[:oobn], flags)
	}
}

// Parse makes a message of what recvmsg returned.
func Parse(packet, oob []byte, flags int) (Message, []int, error) {
	fds, err := rights(oob)
	if err == nil && flags&unix.MSG_TRUNC != 0 {
		err = malformed("larger than %d bytes", MaxInline)
	}
	var m Message
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		CloseAll(fds)
		if len(fds) > MaxFDs {
			return nil, nil, malformed("more than %d descriptors", MaxFDs+1)
		}
		if m, _, err = Unpack(packet, nil); err == nil {
			err = ErrShort
		}
		return m, nil, err
	}
	if err == nil {
		m, fds, err = Unpack(packet, fds)
	}
	if err == nil && len(fds) > MaxFDs {
		err = malformed("%d descriptors", len(fds))
	}
	if err != nil {
		CloseAll(fds)
		return nil, nil, err
	}
	return m, fds, nil
}

func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	var fds []int
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, malformed("control data: %v", err)
	}
	for i := range cmsgs {
		got, err := unix.ParseUnixRights(&cmsgs[i])
		if err != nil {
			return fds, malformed("control message of type %d", cmsgs[i].Header.Type)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// CloseAll closes descriptors that nobody wants.
func CloseAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// Send writes one packet. Without block it returns false when the socket is full.
func Send(fd int, packet []byte, fds []int, block bool) (bool, error) {
	flags := unix.MSG_NOSIGNAL
	if !block {
		flags |= unix.MSG_DONTWAIT
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(fd, packet, oob, nil, flags)
		switch {
		case err == nil:
			return true, nil
		case err == unix.EINTR:
		case err == unix.EAGAIN && !block:
			return false, nil
		case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
			return false, io.EOF
		default:
			return false, fmt.Errorf("send a message: %w", err)
		}
	}
}
