package http1

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

const (
	bufferSize = 4 << 10
	// bufferKeep is the largest buffer that an idle connection keeps.
	bufferKeep = 16 << 10
	// joined is the size up to which a body goes out in one write with its head.
	joined = 64 << 10
	// maxInterim bounds the 1xx responses before one that counts.
	maxInterim = 8
)

// conn is one connection. One exchange at a time has it; abort alone may come from elsewhere.
type conn struct {
	c   *Client
	raw net.Conn // TCP
	net net.Conn // raw, or TLS over it
	fd  syscall.RawConn

	until    time.Time     // when it is idle: when it is closed
	patience time.Duration // how long the server keeps it idle; 0 unless it has said
	gone     bool

	// Of the exchange at hand:
	out    bool // a byte of the request may have reached the server
	heard  bool // a byte has come
	final  bool // nothing comes after this response
	bodied bool // the head is there: what is read from now on may be dropped

	w    []byte
	buf  []byte // what has come; the head stays while the response is in use
	head int    // where the head ends
	r    int    // next byte to be read; buf ends with the last one that has come

	cancel func() // abort
	peek   func(fd uintptr) bool
	peeked bool // alive found what it looked for
}

// reset ends an exchange whose response was read to its end.
func (cn *conn) reset(until time.Time) {
	cn.until = until
	cn.out, cn.heard, cn.final, cn.bodied = false, false, false, false
	cn.head, cn.r = 0, 0
	if cap(cn.buf) > bufferKeep {
		cn.buf = nil
	}
	if cap(cn.w) > bufferKeep {
		cn.w = nil
	}
	cn.buf = cn.buf[:0]
}

// abort breaks what runs on the connection. A TLS connection is not told: that could block.
func (cn *conn) abort() { _ = cn.raw.Close() }

func (cn *conn) close() {
	if cn.gone {
		return
	}
	cn.gone = true
	_ = cn.raw.Close()
	cn.c.mu.Lock()
	defer cn.c.mu.Unlock()
	delete(cn.c.all, cn)
}

// silent reports whether nothing has come since the request was sent.
func (cn *conn) silent() bool { return !cn.heard }

// send writes a request.
func (cn *conn) send(req *Request) error {
	w := append(cn.w[:0], req.Head...)
	if req.Body != nil {
		w = append(w, "Content-Length: "...)
		w = strconv.AppendInt(w, int64(len(req.Body)), 10)
		w = append(w, "\r\n"...)
	}
	w = append(w, "\r\n"...)
	apart := len(req.Body) > joined
	if !apart {
		w = append(w, req.Body...)
	}
	cn.w = w
	n, err := cn.net.Write(w)
	cn.out = n > 0
	if err == nil && apart {
		_, err = cn.net.Write(req.Body)
	}
	return err
}

// fill reads more into the buffer, which grows as long as the head has not come whole.
func (cn *conn) fill() error {
	if cn.bodied && cn.r > cn.head { // what was read makes room
		cn.buf = append(cn.buf[:cn.head], cn.buf[cn.r:]...)
		cn.r = cn.head
	}
	if cap(cn.buf)-len(cn.buf) < bufferSize/4 {
		cn.buf = append(make([]byte, 0, max(bufferSize, 2*cap(cn.buf))), cn.buf...)
	}
	n, err := cn.net.Read(cn.buf[len(cn.buf):cap(cn.buf)])
	cn.buf = cn.buf[:len(cn.buf)+n]
	if n > 0 {
		cn.heard = true
		return nil
	}
	return err
}

// line reads a line and returns it without its CRLF. *budget is what it, and what
// follows it, may take.
func (cn *conn) line(budget *int) ([]byte, error) {
	for from := 0; ; {
		if i := bytes.IndexByte(cn.buf[cn.r+from:], '\n'); i >= 0 {
			end := cn.r + from + i
			if *budget -= end + 1 - cn.r; *budget < 0 {
				return nil, errTooLong
			}
			if end == cn.r || cn.buf[end-1] != '\r' {
				return nil, malformed("a line ends without CR")
			}
			text := cn.buf[cn.r : end-1]
			cn.r = end + 1
			return text, nil
		}
		from = len(cn.buf) - cn.r
		if from >= *budget {
			return nil, errTooLong
		}
		if err := cn.fill(); err != nil {
			if err == io.EOF && (cn.heard || from > 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// readHead reads the head of the response into res.
func (cn *conn) readHead(res *Response) error {
	budget := cn.c.opts.MaxHeaderBytes
	for interim := 0; ; interim++ {
		var h head
		line, err := cn.line(&budget)
		if err != nil {
			return err
		}
		if err := h.status(line); err != nil {
			return err
		}
		start := cn.r
		for {
			before := cn.r
			if line, err = cn.line(&budget); err != nil {
				return err
			}
			if len(line) == 0 {
				h.end = before
				break
			}
			if err := h.field(line); err != nil {
				return err
			}
		}
		switch {
		case h.code == 101:
			return malformed("the server changes to another protocol, which nobody asked for")
		case h.code < 200:
			if interim == maxInterim {
				return malformed("too many interim responses")
			}
			cn.buf = append(cn.buf[:0], cn.buf[cn.r:]...)
			cn.r = 0
			continue
		}
		if err := h.finish(); err != nil {
			return err
		}
		cn.head, cn.bodied = cn.r, true
		cn.patience = h.patience
		cn.final = cn.final || h.final
		res.Status, res.fields = h.code, cn.buf[start:h.end]
		res.body = h.body
		return nil
	}
}

// read reads what follows the head: from the buffer, or past it if that is empty.
func (cn *conn) read(p []byte) (int, error) {
	if cn.r < len(cn.buf) {
		n := copy(p, cn.buf[cn.r:])
		cn.r += n
		return n, nil
	}
	if len(p) >= bufferSize {
		return cn.net.Read(p)
	}
	if err := cn.fill(); err != nil {
		return 0, err
	}
	n := copy(p, cn.buf[cn.r:])
	cn.r += n
	return n, nil
}

// ErrMalformed is what a response that is not valid HTTP/1.1, or over a bound, is. The
// connection is closed, as nobody knows where the next response would begin.
type ErrMalformed struct{ Reason string }

func (e *ErrMalformed) Error() string { return "response is not valid HTTP/1.1: " + e.Reason }

func malformed(format string, args ...any) error {
	return &ErrMalformed{fmt.Sprintf(format, args...)}
}

var errTooLong = &ErrMalformed{"its header, or a line of its body, is too long"}
