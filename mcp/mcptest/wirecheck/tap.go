package wirecheck

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Side is who sends.
type Side string

// The sides.
const (
	Client Side = "client"
	Server Side = "server"
)

func (s Side) other() Side {
	if s == Client {
		return Server
	}
	return Client
}

// piece is some bytes of a connection.
type piece struct {
	Conn int    `json:"conn"`
	HTTP bool   `json:"http,omitempty"` // HTTP/1.1, or else a message a line
	From Side   `json:"from"`
	Text []byte `json:"text"`
}

// Tap records what passes on connections without touching it. It is safe for
// concurrent use.
type Tap struct {
	mu     sync.Mutex
	conns  int
	pieces []piece
	file   *os.File
	err    error // of the file
}

// New returns a Tap that records to memory.
func New() *Tap { return new(Tap) }

// ToFile returns a Tap that appends to a file as it records, so that a program
// that is killed leaves what it has seen.
func ToFile(path string) (*Tap, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	// Programs that share the file tell their connections apart by this.
	return &Tap{file: f, conns: os.Getpid() << 20}, nil
}

// FromFile returns a Tap with what programs have recorded to a file.
func FromFile(path string) (*Tap, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := New()
	d := json.NewDecoder(bufio.NewReader(f))
	for {
		var p piece
		switch err := d.Decode(&p); err {
		case nil:
			t.pieces = append(t.pieces, p)
		case io.EOF, io.ErrUnexpectedEOF: // the last write of a program that was killed
			return t, nil
		default:
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
}

// Add adds what another Tap has recorded.
func (t *Tap) Add(other *Tap) {
	other.mu.Lock()
	pieces := other.pieces
	other.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	first, ids := t.conns, map[int]int{} // connection of other -> of t
	for _, p := range pieces {
		if ids[p.Conn] == 0 {
			t.conns++
			ids[p.Conn] = t.conns
		}
		p.Conn = ids[p.Conn]
		t.pieces = append(t.pieces, p)
	}
	t.conns = max(t.conns, first)
}

func (t *Tap) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns++
	return t.conns
}

func (t *Tap) record(conn int, http bool, from Side, text []byte) {
	if len(text) == 0 {
		return
	}
	p := piece{conn, http, from, append([]byte(nil), text...)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		t.pieces = append(t.pieces, p)
		return
	}
	line, err := json.Marshal(p)
	if err == nil {
		_, err = t.file.Write(append(line, '\n'))
	}
	if t.err == nil {
		t.err = err
	}
}

// Err returns why the file of a Tap lacks something, or nil.
func (t *Tap) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Dial opens a connection on which a client speaks HTTP; it is for http.Transport.
func (t *Tap) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return t.Conn(c, Client), nil
}

// Conn records an HTTP connection at one of its ends.
func (t *Tap) Conn(c net.Conn, end Side) net.Conn {
	return &tappedConn{Conn: c, tap: t, id: t.open(), end: end}
}

// Listener records the connections of an HTTP server.
func (t *Tap) Listener(l net.Listener) net.Listener { return &tappedListener{l, t} }

type tappedListener struct {
	net.Listener
	tap *Tap
}

func (l *tappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.tap.Conn(c, Server), nil
}

type tappedConn struct {
	net.Conn
	tap *Tap
	id  int
	end Side
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap.record(c.id, true, c.end.other(), b[:n])
	return n, err
}

// Write records first: the other side may answer before Write returns.
func (c *tappedConn) Write(b []byte) (int, error) {
	c.tap.record(c.id, true, c.end, b)
	return c.Conn.Write(b)
}

// Pipes records the two pipes of one end of a connection of package stdio. What it
// returns can be closed and has read deadlines if what it is given can and has.
func (t *Tap) Pipes(end Side, in io.Reader, out io.Writer) (io.ReadCloser, io.WriteCloser) {
	id := t.open()
	return &tappedReader{in, t, id, end.other()}, &tappedWriter{out, t, id, end}
}

type tappedReader struct {
	io.Reader
	tap  *Tap
	id   int
	from Side
}

func (r *tappedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.tap.record(r.id, false, r.from, b[:n])
	return n, err
}

func (r *tappedReader) Close() error { return closeOf(r.Reader) }

func (r *tappedReader) SetReadDeadline(t time.Time) error {
	if d, ok := r.Reader.(interface{ SetReadDeadline(time.Time) error }); ok {
		return d.SetReadDeadline(t)
	}
	return os.ErrNoDeadline
}

type tappedWriter struct {
	io.Writer
	tap  *Tap
	id   int
	from Side
}

func (w *tappedWriter) Write(b []byte) (int, error) {
	w.tap.record(w.id, false, w.from, b)
	return w.Writer.Write(b)
}

func (w *tappedWriter) Close() error { return closeOf(w.Writer) }

func (w *tappedWriter) SetWriteDeadline(t time.Time) error {
	if d, ok := w.Writer.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return d.SetWriteDeadline(t)
	}
	return os.ErrNoDeadline
}

func closeOf(v any) error {
	if c, ok := v.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Forward records the HTTP connections to l and passes them on to a server at addr,
// which keeps its plain TCP connections. It returns when l is closed and all that
// connected have gone.
func (t *Tap) Forward(l net.Listener, addr string) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", addr)
		if err != nil {
			_ = client.Close()
			continue
		}
		id := t.open()
		var halves sync.WaitGroup
		half := func(from Side, in, out net.Conn) {
			_, _ = io.Copy(&tappedConn{Conn: out, tap: t, id: id, end: from}, in)
			if tcp, ok := out.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // the other half goes on
			}
		}
		halves.Go(func() { half(Client, client, server) }) // until the client has sent all
		halves.Go(func() {                                 // until the server has sent all
			half(Server, server, client)
			_ = client.Close() // else a client that only sends would hold the first half
		})
		conns.Go(func() {
			halves.Wait()
			_ = client.Close()
			_ = server.Close()
		})
	}
}
