package streamhttp

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A lot holds the connections of parked streams: taken from net/http, they cost
// neither a goroutine nor a buffer while nothing is written. One watcher notices
// clients that leave, one timer writes keep-alives and ends writes that take too
// long, and a few goroutines write what there is without ever waiting for a
// client. All three exist only while they are needed. The zero lot is ready.
type lot struct {
	keepAlive, writeTimeout time.Duration

	running sync.WaitGroup // the watcher and the writers

	mu      sync.Mutex
	closed  bool
	watch   *watcher // nil while the lot is empty
	timer   *time.Timer
	last    uint64             // the newest token
	byToken map[uint64]*parked // what the watcher calls it -> connection
	ready   []*parked          // to be written; each at most once
	writers int
}

// parked is the connection of a parked stream.
type parked struct {
	st    *stream
	conn  *net.TCPConn
	raw   syscall.RawConn
	token uint64

	// Only the writer that has the connection uses these.
	done bool   // nothing follows rest
	rest []byte // what the socket has not taken yet

	// Guarded by lot.mu.
	state  writeState
	silent bool  // a keep-alive is due
	gone   bool  // removed
	since  int64 // Unix nanoseconds of the last write, or of the first that stalls
	stuck  bool  // since is that of a write that stalls
}

type writeState uint8

const (
	resting writeState = iota
	waiting            // in lot.ready
	busy               // a writer has it
	again              // a writer has it, and there is more
)

type connKey struct{}

// ConnContext makes the streams of a server cost almost nothing while they are
// idle: it is for http.Server.ConnContext of servers that [NewServer] has not
// made. It marks plain TCP connections, which a [Handler] may then take over for
// a stream. It has an effect on Linux and HTTP/1.1; elsewhere an open stream
// keeps the goroutine of its request.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(*net.TCPConn); !ok || !canWatch {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, true)
}

// park takes the connection of the stream from the HTTP server, if it can be
// watched. It returns false, and has done nothing, if it cannot.
func (s *stream) park(w http.ResponseWriter, r *http.Request) bool {
	if r.Context().Value(connKey{}) == nil || r.ProtoMajor != 1 || r.ProtoMinor == 0 {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || buffered.Reader.Buffered() > 0 { // it sends on although the response is to come
		_ = conn.Close()
		s.finish()
		return true
	}
	p := &parked{st: s, conn: tcp, rest: responseHead(w.Header())}
	if p.raw, err = tcp.SyscallConn(); err != nil || !s.h.lot.enter(p) {
		_ = tcp.Close()
		s.finish()
		return true
	}
	s.mu.Lock()
	s.parked = p
	s.mu.Unlock()
	s.h.lot.schedule(p)
	return true
}

// responseHead is the head of a response of events (RFC 9112). The connection
// ends with it: what a client sends after the request is not read.
func responseHead(h http.Header) []byte {
	eventHeaders(h)
	b := headBuffer("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n")
	if h.Get("Date") == "" {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	_ = h.Write(&b) // into memory
	return append(b, "\r\n"...)
}

type headBuffer []byte

func (b *headBuffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// enter adds a connection. It returns false if it cannot be watched.
func (l *lot) enter(p *parked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.watch == nil {
		watch, err := newWatcher()
		if err != nil {
			return false
		}
		l.watch = watch
		l.byToken = make(map[uint64]*parked)
		l.running.Go(func() { watch.run(l.noticed) }) // ends when the lot is empty
		l.timer = time.AfterFunc(l.sweepEvery(), l.sweep)
	}
	l.last++
	p.token = l.last
	p.since = time.Now().UnixNano()
	l.byToken[p.token] = p
	if l.watch.add(p.raw, p.token, l.writeTimeout) != nil {
		l.removeLocked(p)
		return false
	}
	return true
}

// removeLocked reports whether the connection was there.
func (l *lot) removeLocked(p *parked) bool {
	if p.gone {
		return false
	}
	p.gone = true
	delete(l.byToken, p.token)
	if len(l.byToken) == 0 {
		l.watch.close()
		l.timer.Stop()
		l.watch, l.timer, l.byToken = nil, nil, nil // the memory of a crowd goes with them
	}
	return true
}

// end closes a connection, and ends its stream.
func (l *lot) end(p *parked) {
	l.mu.Lock()
	there := l.removeLocked(p)
	l.mu.Unlock()
	if there {
		_ = p.conn.Close()
		p.st.finish()
	}
}

// endAll closes the lot and all connections, and waits until nothing runs.
func (l *lot) endAll() {
	l.mu.Lock()
	l.closed = true
	all := make([]*parked, 0, len(l.byToken))
	for _, p := range l.byToken {
		all = append(all, p)
	}
	l.mu.Unlock()
	for _, p := range all {
		l.end(p)
	}
	l.running.Wait()
}

// noticed is what the watcher tells: the client has left or sends what nobody
// asked for, or the socket takes more.
func (l *lot) noticed(token uint64, left bool) {
	l.mu.Lock()
	p := l.byToken[token]
	l.mu.Unlock()
	switch {
	case p == nil: // ended meanwhile
	case left:
		l.end(p)
	default:
		l.schedule(p)
	}
}

// schedule has the queue of a connection written.
func (l *lot) schedule(p *parked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scheduleLocked(p)
}

func (l *lot) scheduleLocked(p *parked) {
	switch {
	case p.gone, p.state == waiting, p.state == again:
		return
	case p.state == busy:
		p.state = again
		return
	}
	p.state = waiting
	l.ready = append(l.ready, p)
	if l.writers < runtime.GOMAXPROCS(0) { // they never wait, so that more would not help
		l.writers++
		l.running.Go(l.write) // ends when nothing is ready
	}
}

// write writes what is ready until nothing is.
func (l *lot) write() {
	var buf []byte
	l.mu.Lock()
	for len(l.ready) > 0 {
		p := l.ready[len(l.ready)-1]
		l.ready = l.ready[:len(l.ready)-1]
		p.state = busy
		silent := p.silent
		p.silent = false
		l.mu.Unlock()

		var wrote, alive bool
		buf, wrote, alive = p.write(buf, silent)
		if !alive {
			l.end(p)
		}
		l.mu.Lock()
		if stuck := len(p.rest) > 0; stuck != p.stuck || !stuck && wrote {
			p.since, p.stuck = time.Now().UnixNano(), stuck
		}
		if p.state == again {
			p.state = resting
			l.scheduleLocked(p)
		} else {
			p.state = resting
		}
	}
	l.ready = nil
	l.writers--
	l.mu.Unlock()
}

// write gives the socket what it takes, and reports whether that is something. It
// is not alive when nothing more is to be written, because all is or because the
// connection is broken.
func (p *parked) write(buf []byte, silent bool) (_ []byte, wrote, alive bool) {
	for {
		if len(p.rest) == 0 {
			if p.done {
				return buf, wrote, false
			}
			var events int
			buf, events, p.done = p.drain(buf[:0], silent)
			silent = false
			switch {
			case p.done && p.st.cut():
				// The missing end tells the client that something is.
			case p.done:
				buf = append(buf, "0\r\n\r\n"...)
			case events == 0:
				return buf, wrote, true
			}
			n, err := writeNow(p.raw, buf)
			if err != nil {
				return buf, wrote, false
			}
			p.rest = append(p.rest, buf[n:]...)
		} else {
			n, err := writeNow(p.raw, p.rest)
			if err != nil {
				return buf, wrote, false
			}
			p.rest = p.rest[n:]
		}
		if len(p.rest) > 0 {
			return buf, wrote, true // the watcher tells when it goes on
		}
		wrote = true
		p.rest = nil
		p.st.written()
		if cap(buf) > slotKeep {
			buf = nil
		}
	}
}

// chunkHead is room for the size of a chunk, which is known when its content is.
const chunkHead = len("00000000\r\n")

// drain appends a chunk of what is queued; a keep-alive if nothing is and one is due.
func (p *parked) drain(dst []byte, silent bool) (chunk []byte, events int, done bool) {
	start := len(dst)
	dst = append(dst, "00000000\r\n"...)
	dst, done = p.st.drain(dst)
	events = len(dst) - start - chunkHead
	if events == 0 && silent && !done {
		dst = append(dst, keepAlive...)
		events = len(keepAlive)
	}
	if events == 0 {
		return dst[:start], 0, done
	}
	size := strconv.AppendUint(nil, uint64(events), 16) // leading zeros are allowed (RFC 9112, section 7.1)
	copy(dst[start+8-len(size):], size)
	return append(dst, "\r\n"...), events, done
}

// sweepEvery makes a keep-alive come at most an eighth too early.
func (l *lot) sweepEvery() time.Duration {
	return max(min(l.keepAlive, l.writeTimeout)/8, time.Millisecond)
}

// sweep has keep-alives written where there was silence, and ends the
// connections whose clients do not read.
func (l *lot) sweep() {
	var slow []*parked
	l.mu.Lock()
	now := time.Now()
	for _, p := range l.byToken {
		switch quiet := time.Duration(now.UnixNano() - p.since); {
		case p.stuck && quiet >= l.writeTimeout:
			slow = append(slow, p)
		case !p.stuck && quiet >= l.keepAlive-l.sweepEvery():
			p.silent = true
			l.scheduleLocked(p)
		}
	}
	if l.timer != nil {
		l.timer.Reset(l.sweepEvery())
	}
	l.mu.Unlock()
	for _, p := range slow {
		l.end(p)
	}
}
