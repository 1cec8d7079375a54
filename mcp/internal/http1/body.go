package http1

import (
	"bytes"
	"io"
)

// Response is the response to one request. It is used by one goroutine at a time and must be closed.
type Response struct {
	Status int

	conn   *conn
	beside bool
	fields []byte // the lines of the head
	body   body
	stop   func() bool // ends the watch of the context; nil without
	cut    bool        // the context has ended
	closed bool
}

// kind is how the end of a body is known.
type kind uint8

const (
	empty kind = iota
	measured
	chunked
	untilClose
)

// body is what has not been read yet.
type body struct {
	kind   kind
	left   int64 // of the body, or of the chunk at hand
	within bool  // in a chunk
	excess int   // bytes of framing beyond what honest chunks need
	done   bool
}

// Get returns the first field of a name in lower case; nil without one. It is valid until Close.
func (r *Response) Get(lower string) []byte {
	for name, value := range r.each {
		if is(name, lower) {
			return value
		}
	}
	return nil
}

// Values returns all fields of a name in lower case.
func (r *Response) Values(lower string) (all []string) {
	for name, value := range r.each {
		if is(name, lower) {
			all = append(all, string(value))
		}
	}
	return all
}

func (r *Response) each(yield func(name, value []byte) bool) {
	for rest := r.fields; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte{':'})
		if !yield(name, bytes.Trim(value, " \t")) {
			return
		}
	}
}

// Read reads the body.
func (r *Response) Read(p []byte) (n int, err error) {
	switch b := &r.body; {
	case r.closed:
		return 0, ErrClosed
	case b.done || b.kind == empty:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	case b.kind == untilClose:
		n, err = r.conn.read(p)
		b.done = err == io.EOF
		return n, err
	case b.kind == chunked && b.left == 0:
		if err := r.chunk(); err != nil {
			return 0, err
		}
		if b.done {
			return 0, io.EOF
		}
	case b.left == 0:
		b.done = true
		return 0, io.EOF
	}
	b := &r.body
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err = r.conn.read(p)
	if b.left -= int64(n); b.left == 0 && b.kind == measured {
		b.done = true
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

const (
	// maxChunkLine bounds the line before a chunk, extensions included.
	maxChunkLine = 256
	// maxExcess bounds what chunks of few bytes waste together.
	maxExcess = 64 << 10
)

// chunk reads up to the next chunk; after the last one, the trailers.
func (r *Response) chunk() error {
	b := &r.body
	if b.within {
		room := 2
		if end, err := r.conn.line(&room); err != nil {
			return atEnd(err)
		} else if len(end) > 0 {
			return malformed("a chunk is longer than it says")
		}
		b.within = false
	}
	room := maxChunkLine
	line, err := r.conn.line(&room)
	if err != nil {
		return atEnd(err)
	}
	size, ok := chunkSize(line)
	if !ok {
		return malformed("chunk size %.32q", line)
	}
	if size > 0 {
		b.left, b.within = size, true
		if b.excess = max(0, b.excess+len(line)-16-int(min(size, 1<<20))); b.excess > maxExcess {
			return malformed("its chunks are too small")
		}
		return nil
	}
	for room = r.conn.c.opts.MaxHeaderBytes; ; {
		line, err := r.conn.line(&room)
		if err != nil {
			return atEnd(err)
		}
		if len(line) == 0 {
			b.done = true
			return nil
		}
		if _, _, err := split(line); err != nil {
			return err
		}
	}
}

func atEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// chunkSize reads the hexadecimal size before a chunk. Extensions are skipped.
func chunkSize(line []byte) (size int64, ok bool) {
	digits, extension, _ := bytes.Cut(line, []byte{';'})
	if digits = bytes.TrimRight(digits, " \t"); len(digits) == 0 || len(digits) > 15 || !isValue(extension) {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		size = size<<4 | int64(c)
	}
	return size, true
}

// ReadAll returns the body, of which it reads no more than most bytes and one.
func (r *Response) ReadAll(most int) ([]byte, error) {
	size := int64(512)
	if r.body.kind == measured {
		size = min(r.body.left, 1<<20) // a claim is not yet a body
	}
	text := make([]byte, 0, size)
	for {
		if len(text) > most {
			return text, nil
		}
		if len(text) == cap(text) {
			if r.body.done || r.body.kind == empty {
				return text, nil
			}
			text = append(text, 0)[:len(text)]
		}
		n, err := r.Read(text[len(text):min(cap(text), most+1)])
		text = text[:len(text)+n]
		switch {
		case err == io.EOF:
			return text, nil
		case err != nil:
			return text, err
		}
	}
}

// AtEnd reports whether the body has been read to its end, or what is left of it
// has come already and is only the end.
func (r *Response) AtEnd() bool {
	b := &r.body
	rest := r.conn.buf[r.conn.r:]
	if b.kind == measured && b.left == 0 || b.kind == empty {
		b.done = true
	}
	if b.kind == chunked && !b.done && b.left == 0 {
		end := []byte("0\r\n\r\n")
		if b.within {
			end = []byte("\r\n0\r\n\r\n")
		}
		if bytes.Equal(rest, end) {
			r.conn.r += len(end)
			b.done = true
		}
	}
	return b.done
}

// Detach lets the exchange go on when its context has ended.
func (r *Response) Detach() {
	if r.stop != nil {
		r.cut = !r.stop()
		r.stop = nil
	}
}

// Abort breaks the connection; whoever reads gets an error. It may be called from elsewhere.
func (r *Response) Abort() { r.conn.abort() }

// Close ends the exchange. The connection is used again if the body was read to its
// end, and closed otherwise.
func (r *Response) Close() error {
	if r.closed {
		return nil
	}
	r.Detach()
	again := r.AtEnd() && !r.cut && !r.conn.final && r.conn.r == len(r.conn.buf)
	r.closed = true
	if again {
		r.conn.c.keep(r.conn)
	} else {
		r.conn.close()
	}
	r.conn.c.leave(r.beside)
	return nil
}
