// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
)

// appendFile adds lines to a log file, one JSON object a line. A full file becomes path.1 and the older path.1 goes.
func appendFile(path string, lines []Line) error {
	if len(lines) == 0 {
		return nil
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	if info, err := os.Stat(path); err == nil && info.Size()+int64(text.Len()) > fileSize {
		if err := os.Rename(path, path+".1"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(text.Bytes()); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// readTail gives the last lines of path and path.1, about size bytes of them. Lines that are not whole are skipped:
// a power cut may leave one.
func readTail(path string, size int64) []Line {
	text := tail(path, size)
	if rest := size - int64(len(text)); rest > 0 {
		text = append(tail(path+".1", rest), text...)
	}
	var lines []Line
	for line := range bytes.Lines(text) {
		var l Line
		if json.Unmarshal(line, &l) == nil && !l.Time.IsZero() {
			lines = append(lines, l)
		}
	}
	return lines
}

func tail(path string, size int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end <= size {
		size = end
	}
	if _, err := f.Seek(-size, io.SeekEnd); err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(f, size))
	return text
}
