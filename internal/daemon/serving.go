package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// flush is how long answers to calls that were ended may take to be written.
const flush = 2 * time.Second

// linger is how long the connections that are left open may be silent before the
// node closes them at its end: a client that has just been answered may be
// sending its next request, and would lose it.
const linger = 500 * time.Millisecond

// serving is a server of the node, which its clients can leave without losing a request.
type serving struct {
	name    string
	log     *slog.Logger
	srv     *http.Server
	ln      *limited
	done    chan struct{} // closed when nothing is accepted any more
	closing atomic.Bool   // the listener is closed on purpose
	leaving atomic.Bool   // every response asks its client to leave
	counts  bool          // its calls are those of MCP
	shared  bool          // somebody else has the listener too and goes on with it
	calls   atomic.Int64  // requests that are being answered, but those that only wait (GET)
	last    atomic.Int64  // Unix nanoseconds; when one has ended, while leaving
}

// startServer serves ln, whose connections limit counts, until it is taken down: its
// turn in the teardown is given by the caller, and cut off is what remains after everything else.
func (d *Daemon) startServer(name string, srv *http.Server, ln net.Listener, limit *limited, down *teardown, broken chan<- error) *serving {
	s := &serving{name: name, log: d.log, srv: srv, ln: limit, done: make(chan struct{}), counts: name == "mcp" || name == "relay"}
	next := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, next) })
	srv.ErrorLog = slog.NewLogLogger(d.log.With("component", name).Handler(), slog.LevelDebug)
	srv.ConnState = limit.connState
	go func() { // ends when srv or ln is closed
		defer close(s.done)
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) && !s.closing.Load() {
			broken <- fmt.Errorf("%s listener: %w", name, err)
		}
	}()
	down.pushLate(name+" connections", func(context.Context) error {
		// The calls have ended by now, the last ones with an error that is just being written.
		writing, cancel := context.WithTimeout(context.Background(), flush)
		defer cancel()
		err := srv.Shutdown(writing)
		if err != nil {
			err = srv.Close()
		}
		<-s.done
		return err
	})
	return s
}

func (s *serving) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if s.leaving.Load() {
		w.Header()["Connection"] = []string{"close"} // in HTTP/2 it becomes a GOAWAY
	}
	if r.Method != http.MethodGet {
		s.calls.Add(1)
		defer s.ended()
	}
	next.ServeHTTP(w, r)
}

func (s *serving) ended() {
	if s.leaving.Load() {
		s.last.Store(time.Now().UnixNano())
	}
	s.calls.Add(-1)
}

// leave closes the listener and waits until the clients have left: until no call
// runs and no connection is open or, since clients keep connections that they do
// not use, none has been used for a while. What still comes is answered, with the
// wish to leave. It returns when grace ends, if that is sooner.
func (s *serving) leave(grace context.Context) {
	s.last.Store(time.Now().UnixNano())
	if !s.shared {
		s.emptyBacklog(grace)
	}
	s.closeListener()
	// Only now: who is asked earlier comes back just when the listener closes, and a
	// connection that nobody has accepted by then is reset.
	s.leaving.Store(true)
	tick := time.NewTicker(5 * time.Millisecond) // the end of a connection has no event to wait for here
	defer tick.Stop()
	for s.ln.open() > 0 {
		if s.calls.Load() == 0 && time.Since(time.Unix(0, s.last.Load())) >= linger {
			return
		}
		select {
		case <-tick.C:
		case <-grace.Done():
			return
		}
	}
}

// emptyBacklog waits until everything that has connected is accepted.
func (s *serving) emptyBacklog(grace context.Context) {
	tick := time.NewTicker(time.Millisecond) // an empty queue has no event
	defer tick.Stop()
	late := time.After(linger) // more connections wait than the node takes
	emptyBacklog(s.ln.Listener, func() bool {
		select {
		case <-tick.C:
			return true
		case <-late:
		case <-grace.Done():
		}
		return false
	})
}

// closeListener closes the listener and nothing else.
func (s *serving) closeListener() {
	s.closing.Store(true)
	_ = s.ln.Close()
	<-s.done
}

// shutdown waits for the calls that run, and for also, until grace ends.
func (s *serving) shutdown(grace context.Context, also <-chan error) {
	if err := errors.Join(s.srv.Shutdown(grace), <-also); err != nil {
		// Not an error of the node: the calls that remain are ended next.
		s.log.Warn("calls are ended", "listener", s.name, "reason", "the shutdown grace is over")
	}
}
