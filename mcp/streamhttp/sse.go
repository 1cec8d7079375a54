package streamhttp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"
)

// errEventTooLong reports an event or a line over the limit.
var errEventTooLong = errors.New("server-sent event is too long")

// event is one server-sent event. Its data is valid until the next one is read.
type event struct {
	name string
	data []byte
}

// eventReader reads the events of a text/event-stream body
// (https://html.spec.whatwg.org/multipage/server-sent-events.html). It buffers no
// more than one event, and of comments nothing.
type eventReader struct {
	r       *bufio.Reader
	max     int // bytes of one line, and of the data of one event
	started bool
	skipLF  bool // the line before ended with CR, whose LF may still come

	line []byte
	data []byte

	lastID   string        // id of the last event that had one
	retry    time.Duration // what the server asks for before a reconnect
	asksBack bool          // whether it asks for that
}

func newEventReader(r io.Reader, maxBytes int) *eventReader {
	return &eventReader{r: bufio.NewReader(r), max: maxBytes}
}

// next returns the next event that has data. At the end of the body the error is
// io.EOF, and an event that the end has cut is dropped, as the format asks.
func (r *eventReader) next() (event, error) {
	r.data = r.data[:0]
	e, hasData := event{}, false
	for {
		line, err := r.readLine()
		if err != nil {
			return event{}, err
		}
		if len(line) == 0 {
			if !hasData {
				e.name = ""
				continue
			}
			e.data = r.data
			return e, nil
		}
		field, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		switch string(field) {
		case "data":
			if len(r.data)+len(value)+1 > r.max {
				return event{}, errEventTooLong
			}
			if hasData {
				r.data = append(r.data, '\n')
			}
			r.data = append(r.data, value...)
			hasData = true
		case "event":
			e.name = string(value)
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				r.lastID = string(value)
			}
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				r.retry, r.asksBack = time.Duration(ms)*time.Millisecond, true
			}
		}
	}
}

// readLine returns the next line without its end, which is LF, CR or CRLF. Of a
// comment it returns only the colon. A line that the end of the body cuts is not one.
func (r *eventReader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if _, err := r.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := r.r.Peek(r.r.Buffered())
		if r.skipLF {
			r.skipLF = false
			if chunk[0] == '\n' {
				_, _ = r.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		part := chunk
		if end >= 0 {
			part = chunk[:end]
		}
		if len(r.line)+len(part) > r.max+len("data: ") && !isComment(r.line, part) {
			return nil, errEventTooLong
		}
		if isComment(r.line, part) {
			r.line = append(r.line[:0], ':')
		} else {
			r.line = append(r.line, part...)
		}
		if end < 0 {
			_, _ = r.r.Discard(len(chunk))
			continue
		}
		r.skipLF = chunk[end] == '\r' // reading on for the LF could wait for the next event
		_, _ = r.r.Discard(end + 1)
		if !r.started {
			r.started = true
			return bytes.TrimPrefix(r.line, []byte("\uFEFF")), nil
		}
		return r.line, nil
	}
}

func isComment(line, part []byte) bool {
	if len(line) > 0 {
		return line[0] == ':'
	}
	return len(part) > 0 && part[0] == ':'
}
