package stdio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// ServeOptions adjusts Serve. A nil *ServeOptions means the defaults.
type ServeOptions struct {
	// Limits bounds the client's messages. Nil means the defaults.
	Limits *jsonrpc.Limits
	// MaxInFlight is how many requests are handled at once; then reading stops
	// until one has ended. Open streams do not count. Zero means 256.
	MaxInFlight int
	// MaxStreams bounds open subscriptions/listen streams. Zero means 256.
	MaxStreams int
	// Grace is how long requests in flight may go on after the end of the input or
	// of ctx, before they are cancelled, and how long cancelled ones are waited
	// for. Zero means 5 seconds.
	Grace time.Duration
	// Principal is who the client is, if the caller knows.
	Principal mcp.Principal
	// OnPanic is told of a panic in the handler, which the client sees as an
	// internal error. Nil ignores it.
	OnPanic func(method string, value any, stack []byte)
}

func (o *ServeOptions) withDefaults() ServeOptions {
	var c ServeOptions
	if o != nil {
		c = *o
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 256
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 256
	}
	orElse(&c.Grace, 5*time.Second)
	return c
}

// Serve serves h to the client at the program's standard input and output, in
// whatever revision the client speaks. Nothing else may write to standard output.
// See ServeConn.
func Serve(ctx context.Context, h mcp.Handler, opts *ServeOptions) error {
	in := pollable(os.Stdin)
	if in != os.Stdin {
		defer in.Close()
	}
	return ServeConn(ctx, h, in, os.Stdout, opts)
}

// ServeConn serves h over a pair of pipes. It returns nil when the input has
// ended and the calls in flight have, ctx's error when that has ended, or the
// error of a pipe. Each request is served in its own era: one that carries the
// metadata of 2026-07-28 statelessly, others in the session that initialize opens.
//
// When ctx ends, a read is interrupted by in's SetReadDeadline or Close; an in
// with neither keeps its goroutine until it returns.
func ServeConn(ctx context.Context, h mcp.Handler, in io.Reader, out io.Writer, opts *ServeOptions) error {
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	c := &conn{
		handler: h,
		opts:    opts.withDefaults(),
		ctx:     base,
		cancel:  cancel,
		w:       jsonrpc.NewWriter(out),
		jobs:    make(chan *job),
		stop:    make(chan struct{}),
		quit:    make(chan struct{}),
		calls:   make(map[string]*exchange),
	}
	c.free.New = func() any { return new(job) }
	c.idle.L = &c.mu

	read := make(chan error, 1)
	go func() { // ends with the input, or when that is interrupted
		err := c.read(in)
		close(c.jobs) // ends the workers
		read <- err
	}()
	var err error
	select {
	case err = <-read:
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.stop:
		err = c.failure
	}
	interrupt(in)
	close(c.quit)
	c.drain()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failure != nil:
		return fmt.Errorf("stdio: write: %w", c.failure)
	case errors.Is(err, io.EOF):
		return nil
	case err == ctx.Err():
		return err
	}
	return fmt.Errorf("stdio: read: %w", err)
}

// interrupt ends a read that waits.
func interrupt(in io.Reader) {
	if d, ok := in.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Unix(1, 0)) == nil {
		return
	}
	if c, ok := in.(io.Closer); ok && in != io.Reader(os.Stdin) {
		c.Close()
	}
}

// conn is one client.
type conn struct {
	handler mcp.Handler
	opts    ServeOptions
	ctx     context.Context // of all requests; ends after the grace
	cancel  context.CancelCauseFunc
	w       *jsonrpc.Writer
	jobs    chan *job       // to idle workers
	workers int             // owned by read
	session *legacy.Session // written by read under mu
	busy    atomic.Int64    // requests being handled
	stop    chan struct{}   // closed when writing has failed
	quit    chan struct{}   // closed when nothing more is to be handled
	free    sync.Pool       // *job

	mu      sync.Mutex
	idle    sync.Cond // signalled when running falls to 0
	running int       // workers, the stream pump and attaching sessions
	calls   map[string]*exchange
	streams int
	// draining ends streams that open after the others have been ended.
	draining bool
	frames   []frame // for streams, not yet written
	pumping  bool
	failure  error
}

// job is one request on its way to a worker. Its bytes live as long as Handle runs.
type job struct {
	line    []byte
	out     []byte
	msg     jsonrpc.Message
	session *legacy.Session // nil for a stateless request
	ex      *exchange
	batch   *batch // nil outside a batch
}

// read takes messages until the input ends.
func (c *conn) read(in io.Reader) error {
	lines := jsonrpc.NewReader(in, c.opts.Limits)
	for {
		line, err := lines.Next()
		var long *jsonrpc.LineError
		switch {
		case errors.As(err, &long):
			c.refuse(nil, jsonrpc.CodeInvalidRequest, "The message is longer than %d bytes", long.Limit)
			continue
		case err != nil:
			return err
		}
		if line = bytes.TrimLeft(line, " \t"); line[0] == '[' && c.session != nil && c.session.Version().Has(mcp.FeatureBatch) {
			c.takeBatch(line)
			continue
		}
		c.take(line, nil)
	}
}

// take handles one message. It reports whether there will be a response.
func (c *conn) take(line []byte, b *batch) bool {
	j := c.free.Get().(*job)
	j.line = append(j.line[:0], line...)
	msg, err := jsonrpc.Scan(j.line, c.opts.Limits)
	if err != nil {
		code, id := jsonrpc.CodeParseError, []byte(nil)
		var se *jsonrpc.ScanError
		if errors.As(err, &se) {
			code, id = se.Code, se.ID
		}
		c.recycle(j)
		return c.refuse(id, code, "Invalid message: %v", err)
	}
	j.msg, j.batch = msg, b
	switch msg.Kind {
	case jsonrpc.Request:
		return c.request(j)
	case jsonrpc.Notification:
		c.notified(&j.msg)
	default: // an answer: only sessions ask
		if c.session != nil {
			c.session.Answered(&j.msg)
		}
	}
	c.recycle(j)
	return false
}

// refuse answers a message that goes no further.
func (c *conn) refuse(id []byte, code int, format string, args ...any) bool {
	e := mcp.Errorf(code, format, args...)
	c.write(jsonrpc.AppendError(nil, id, e.Code, e.Message, e.Data))
	return false
}

func (c *conn) recycle(j *job) {
	*j = job{line: keep(j.line), out: keep(j.out)}
	c.free.Put(j)
}

// keep returns b for another use if it is not large.
func keep(b []byte) []byte {
	if cap(b) > 64<<10 {
		return nil
	}
	return b[:0]
}

func (c *conn) notified(msg *jsonrpc.Message) {
	switch msg.Method {
	case mcp.NotificationCancelled:
		c.cancelCall(jsonrpc.Get(msg.Params, "requestId"))
	case "notifications/initialized":
		if c.session != nil {
			c.attach(c.session)
		}
	}
}

// request finds the era of a request and gives it to a worker.
func (c *conn) request(j *job) bool {
	modern := jsonrpc.Get(j.msg.Meta, mcp.MetaProtocolVersion) != nil
	switch {
	case modern:
	case c.session != nil:
		j.session = c.session
	case legacy.IsInitialize(&j.msg) && j.batch == nil:
		c.initialize(j)
		return false
	case j.msg.Method == "ping": // allowed before initialize (MCP 2025-11-25, basic/lifecycle)
		c.write(jsonrpc.AppendResult(nil, j.msg.ID, nil))
		c.recycle(j)
		return false
	}
	if !c.enter(j) {
		c.refuse(j.msg.ID, jsonrpc.CodeInvalidRequest, "The request id is in use by a request in flight")
		c.recycle(j)
		return false
	}
	select {
	case c.jobs <- j:
		return true
	default:
	}
	if c.workers < c.opts.MaxInFlight {
		c.workers++
		c.mu.Lock()
		c.running++
		c.mu.Unlock()
		go c.work(j) // ends when read closes jobs, or with quit
		return true
	}
	select {
	case c.jobs <- j:
		return true
	case <-c.quit:
		j.ex.finish()
		return false
	}
}

// initialize opens the session. It runs in the reader: what follows is of the session.
func (c *conn) initialize(j *job) {
	defer c.recycle(j)
	var session *legacy.Session
	var result []byte
	var problem *mcp.Error
	c.guard(j.msg.Method, &problem, func() {
		session, result, problem = legacy.New(c.ctx, c.handler, &j.msg, c.opts.Principal)
	})
	if problem != nil {
		c.write(jsonrpc.AppendError(nil, j.msg.ID, problem.Code, problem.Message, problem.Data))
		return
	}
	c.mu.Lock()
	c.session = session
	c.mu.Unlock()
	c.write(jsonrpc.AppendResult(nil, j.msg.ID, result))
}

// attach lets the session listen for changes. It runs in the reader, as initialize
// does: of what later requests change nothing may be missed.
func (c *conn) attach(session *legacy.Session) {
	out := &exchange{conn: c, ctx: c.ctx, cancel: func(error) {}, state: streaming}
	var problem *mcp.Error // of nobody's request
	c.guard(mcp.MethodListen, &problem, func() { session.Attach(c.ctx, out) })
}

func (c *conn) goLocked(f func()) {
	c.running++
	go func() { // drain waits for running to fall to 0
		f()
		c.ended()
	}()
}

func (c *conn) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running--; c.running == 0 {
		c.idle.Broadcast()
	}
}

// work handles requests, one after the other.
func (c *conn) work(j *job) {
	defer c.ended()
	for j != nil {
		c.busy.Add(1)
		out, answer := c.handle(j)
		switch {
		case j.batch != nil:
			if done := j.batch.answer(out, answer); done != nil {
				c.write(done)
			}
		case answer:
			c.respond(out)
		}
		c.busy.Add(-1)
		j.out = out
		c.recycle(j)
		select {
		case j = <-c.jobs: // nil when closed
		case <-c.quit:
			j = nil
		}
	}
}

// respond writes a response. If others are about to, they get the chance to have
// theirs in the same write.
func (c *conn) respond(out []byte) {
	err := c.w.WriteLater(out)
	if c.busy.Load() > 1 {
		runtime.Gosched()
	}
	if err == nil {
		err = c.w.Flush()
	}
	c.check(err)
}

func (c *conn) write(msg []byte) { c.check(c.w.WriteMessage(msg)) }

// check ends the connection if writing has failed.
func (c *conn) check(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
		c.cancel(err)
		close(c.stop)
	}
}

// handle runs one request and encodes the answer, if there is to be one.
func (c *conn) handle(j *job) (out []byte, answer bool) {
	ex := j.ex
	if j.session != nil {
		var problem *mcp.Error
		out = j.out
		c.guard(j.msg.Method, &problem, func() { out, answer = j.session.Handle(ex.ctx, time.Time{}, &j.msg, j.out, ex) })
		if problem != nil {
			out, answer = jsonrpc.AppendError(j.out, j.msg.ID, problem.Code, problem.Message, nil), true
		}
		return out, ex.finish() && answer
	}
	var res mcp.Result
	req, problem := mcp.DecodeRequest(&j.msg)
	if problem == nil {
		req.Principal = c.opts.Principal
		c.guard(j.msg.Method, &problem, func() {
			var err error
			if res, err = c.handler.Handle(ex.ctx, req, ex); err != nil {
				problem = mcp.ErrorOf(err)
			}
		})
	}
	if problem == nil && res.Stream {
		if problem = ex.stream(); problem == nil {
			return j.out, false
		}
	}
	if !ex.finish() {
		return j.out, false
	}
	return mcp.AppendResponse(j.out, j.msg.ID, j.msg.Method, res, problem), true
}

// guard turns a panic of the handler into an internal error for one caller.
func (c *conn) guard(method string, problem **mcp.Error, f func()) {
	defer func() {
		if v := recover(); v != nil {
			*problem = mcp.Errorf(jsonrpc.CodeInternalError, "internal error")
			if c.opts.OnPanic != nil {
				c.opts.OnPanic(method, v, debug.Stack())
			}
		}
	}()
	f()
}

// drain ends what is open: streams at once, calls by the grace, and after that by
// cancelling them. A handler that ignores even that is left behind.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	for _, ex := range c.calls {
		if ex.state == streaming {
			ex.endLocked(mcp.Result{}, nil)
		}
	}
	c.mu.Unlock()

	done := make(chan struct{})
	go func() { // ends with the last call
		c.mu.Lock()
		for c.running > 0 {
			c.idle.Wait()
		}
		c.mu.Unlock()
		close(done)
	}()
	timer := time.NewTimer(c.opts.Grace)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		c.cancel(errShutdown)
		timer.Reset(c.opts.Grace)
		select {
		case <-done:
		case <-timer.C:
		}
	}
	c.cancel(errShutdown)
	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	if session != nil {
		session.Close()
	}
}

var errShutdown = errors.New("stdio: shutting down")
