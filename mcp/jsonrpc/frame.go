package jsonrpc

import (
	"bytes"
	"io"
	"strconv"
	"sync"
)

const (
	// A Reader starts with a buffer of this size and returns to it after longer lines.
	readerBytes = 32 << 10
	// A Writer keeps buffers up to this size, and WriteLater writes at it.
	writerBytes = 64 << 10
	// A source that returns nothing this often in a row is broken.
	maxEmptyReads = 100
)

// A Reader reads messages framed by newlines (MCP 2026-07-28, basic/transports, stdio). It
// skips blank lines, accepts CRLF, and goes on at the next line after one that is too long.
// It is for one goroutine.
type Reader struct {
	r     io.Reader
	limit int
	err   error // of r; returned when the buffer is used up

	buf        []byte
	start, end int  // buf[start:end] is read ahead
	skipping   bool // the rest of an over-long line
}

// NewReader bounds the length of a line by lim.MaxBytes. The buffer grows on demand up to
// about that and shrinks again.
func NewReader(r io.Reader, lim *Limits) *Reader {
	limit := DefaultMaxBytes
	if lim != nil && lim.MaxBytes > 0 {
		limit = lim.MaxBytes
	}
	return &Reader{r: r, limit: limit}
}

// A LineError reports a line over the limit. The Reader goes on after that line.
type LineError struct{ Limit int }

// Error says what the limit is.
func (e *LineError) Error() string {
	return "jsonrpc: line is longer than " + strconv.Itoa(e.Limit) + " bytes"
}

// Next returns the next line without its line break. It is valid until the following call.
// An over-long line gives a *LineError as soon as it is over the limit. At the end, after a
// last line that may lack its newline, the error is io.EOF.
func (r *Reader) Next() ([]byte, error) {
	r.shrink()
	searched := 0 // bytes after start without a newline
	for {
		if i := bytes.IndexByte(r.buf[r.start+searched:r.end], '\n'); i >= 0 {
			line := r.buf[r.start : r.start+searched+i]
			r.start += searched + i + 1
			searched = 0
			if r.skipping {
				r.skipping = false
				continue
			}
			if line, err := r.check(line); line != nil || err != nil {
				return line, err
			}
			continue
		}
		searched = r.end - r.start
		if r.skipping {
			r.start, r.end, searched = 0, 0, 0
		} else if searched > r.limit+1 { // one more, which may be the CR
			r.skipping = true
			r.start, r.end = 0, 0
			return nil, &LineError{Limit: r.limit}
		}
		if r.err != nil {
			return r.last()
		}
		r.fill()
	}
}

// last returns what is left when the source has ended.
func (r *Reader) last() ([]byte, error) {
	line := r.buf[r.start:r.end]
	r.start, r.end = 0, 0
	if r.err != io.EOF {
		return nil, r.err // a line that was cut off is no message
	}
	if line, err := r.check(line); line != nil || err != nil {
		return line, err
	}
	return nil, r.err
}

// check removes a CR at the end. A blank line is nil.
func (r *Reader) check(line []byte) ([]byte, error) {
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) > r.limit {
		return nil, &LineError{Limit: r.limit}
	}
	if skipSpace(line, 0) == len(line) {
		return nil, nil
	}
	return line, nil
}

// shrink gives back the memory of a long line.
func (r *Reader) shrink() {
	if len(r.buf) > 8*readerBytes && r.end-r.start <= readerBytes {
		buf := make([]byte, readerBytes)
		r.end = copy(buf, r.buf[r.start:r.end])
		r.start, r.buf = 0, buf
	}
}

func (r *Reader) fill() {
	switch {
	case r.start == r.end:
		r.start, r.end = 0, 0
	case r.end == len(r.buf) && r.start > 0:
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		size := max(2*len(r.buf), readerBytes)
		if size > r.limit+2 {
			size = max(r.limit+2, len(r.buf)+1)
		}
		buf := make([]byte, size)
		copy(buf, r.buf[:r.end])
		r.buf = buf
	}
	for range maxEmptyReads {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// Buffered reports how many bytes of whole lines are read ahead. Zero means that the next
// call of Next may block, so that answers that wait to be flushed should go out first.
func (r *Reader) Buffered() int {
	ahead := r.buf[r.start:r.end]
	if r.skipping {
		ahead = ahead[bytes.IndexByte(ahead, '\n')+1:]
	}
	ahead = ahead[:bytes.LastIndexByte(ahead, '\n')+1]
	if skipSpace(ahead, 0) == len(ahead) {
		return 0
	}
	return len(ahead)
}

// A Writer writes messages framed by newlines from many goroutines. Line breaks inside a
// message are removed (see [Compact]).
//
// It has no goroutine of its own. Whoever finds nobody writing writes all that is queued, so
// messages that arrive during a slow Write are joined into the next one. The queue is bounded
// by its callers: each waits until its message has left.
type Writer struct {
	w io.Writer

	mu      sync.Mutex
	turn    sync.Cond // signalled when a Write has returned
	writing bool
	queue   []byte // frames that no Write has taken
	spare   []byte // the buffer that queue and Write exchange
	queued  uint64 // messages ever put into queue
	written uint64 // messages whose Write has returned
	err     error  // the first error; sticky
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	wr := &Writer{w: w}
	wr.turn.L = &wr.mu
	return wr
}

// WriteMessage writes one message. It returns when the underlying writer has taken it, or its
// error; after an error nothing more is written and every call returns it.
func (w *Writer) WriteMessage(msg []byte) error {
	msg = Compact(msg)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	return w.flushLocked(w.enqueueLocked(msg))
}

// WriteLater queues one message for a following WriteMessage or Flush. It writes only when the
// queue is long.
func (w *Writer) WriteLater(msg []byte) error {
	msg = Compact(msg)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	mine := w.enqueueLocked(msg)
	if len(w.queue) < writerBytes {
		return nil
	}
	return w.flushLocked(mine)
}

// Flush writes what is queued. It returns when all that was queued before has been written.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flushLocked(w.queued)
}

func (w *Writer) enqueueLocked(msg []byte) uint64 {
	w.queue = append(w.queue, msg...)
	w.queue = append(w.queue, '\n')
	w.queued++
	return w.queued
}

// flushLocked returns when message number mine has been written. It releases the mutex while it
// writes or waits.
func (w *Writer) flushLocked(mine uint64) error {
	for w.written < mine && w.err == nil {
		if w.writing {
			w.turn.Wait()
			continue
		}
		batch, upTo := w.queue, w.queued
		w.queue, w.spare = w.spare[:0], nil
		w.writing = true
		err := w.writeUnlocked(batch)
		w.writing = false
		if err != nil {
			w.err, w.queue = err, nil
		} else {
			w.written = upTo
			if cap(batch) <= writerBytes {
				w.spare = batch
			}
		}
		w.turn.Broadcast()
	}
	if w.written < mine {
		return w.err
	}
	return nil // also if a later message has failed since
}

func (w *Writer) writeUnlocked(batch []byte) error {
	w.mu.Unlock()
	defer w.mu.Lock()
	n, err := w.w.Write(batch)
	if err == nil && n < len(batch) {
		err = io.ErrShortWrite
	}
	return err
}
