// Package proxy is a TCP proxy that breaks connections in the ways that networks,
// balancers and dying servers do.
//
//	p, err := proxy.Listen("127.0.0.1:0", target, seed)
//	p.Set(proxy.Fault{Kind: proxy.Reset})
package proxy

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a way to break a connection.
type Kind string

// The kinds. The zero Kind breaks nothing.
const (
	Pass      Kind = ""
	Delay     Kind = "delay"      // each piece comes Wait later
	Loss      Kind = "loss"       // a share of the pieces, Share, comes Wait later, as after a retransmission
	Reset     Kind = "reset"      // the connection is reset at the next piece from the target
	Half      Kind = "half"       // Bytes from the target, then a reset
	Blackhole Kind = "blackhole"  // new connections are taken, and nothing comes ever
	HalfOpen  Kind = "half-open"  // connections carry nothing any more, and are not closed
	Refuse    Kind = "refuse"     // new connections are closed at once
	Answer    Kind = "answer"     // each request is answered with Raw, and not passed on
	Rate      Kind = "rate"       // Bytes a second from the target
	AnswerOne Kind = "answer-one" // as Answer, for a share of the requests
)

// Fault is what a proxy does to its connections.
type Fault struct {
	Kind  Kind
	Wait  time.Duration
	Share float64
	Bytes int
	Raw   string // a whole HTTP response
}

// Proxy passes connections on to its target, or not. It is safe for concurrent use.
type Proxy struct {
	ln     net.Listener
	target string
	fault  atomic.Pointer[Fault]
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	rand  *rand.Rand
	conns map[net.Conn]bool
	taken int      // connections
	asked []string // the bodies of requests that Answer has answered
}

// Listen starts a proxy on addr; Close ends it.
func Listen(addr, target string, seed uint64) (*Proxy, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, target: target, rand: rand.New(rand.NewPCG(seed, 1)), conns: map[net.Conn]bool{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.fault.Store(&Fault{})
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Set changes what is done to connections, those that are open too.
func (p *Proxy) Set(f Fault) { p.fault.Store(&f) }

// Asked is how many requests with text in their body were answered in the place of the target.
func (p *Proxy) Asked(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, body := range p.asked {
		if strings.Contains(body, text) {
			n++
		}
	}
	return n
}

// Taken is how many connections have come.
func (p *Proxy) Taken() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// Cut resets the connections that are open.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
}

// Close ends all connections and waits for them.
func (p *Proxy) Close() {
	p.stop()
	_ = p.ln.Close()
	p.Cut()
	p.wg.Wait()
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.taken++
		p.mu.Unlock()
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) track(c net.Conn) (untrack func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		_ = c.Close()
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer p.track(client)()
	switch p.fault.Load().Kind {
	case Refuse:
		reset(client)
		return
	case Blackhole:
		p.hold(client)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	defer p.track(server)()
	both := make(chan struct{}, 2)
	p.wg.Go(func() { p.up(client, server); both <- struct{}{} })
	p.wg.Go(func() { p.down(server, client); both <- struct{}{} })
	<-both // one side is over: so is the connection
	if k := p.fault.Load().Kind; k == HalfOpen {
		p.hold(client)
	}
}

// hold keeps a connection open and silent until the proxy ends or the fault does.
func (p *Proxy) hold(client net.Conn) {
	for k := p.fault.Load().Kind; k == Blackhole || k == HalfOpen; k = p.fault.Load().Kind {
		if !p.sleep(20 * time.Millisecond) {
			return
		}
	}
	reset(client)
}

func (p *Proxy) sleep(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-p.ctx.Done():
		return false
	}
}

func (p *Proxy) chance(share float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rand.Float64() < share
}

// up carries what the client sends, or answers it.
func (p *Proxy) up(client, server net.Conn) {
	in := bufio.NewReader(client)
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		f := *p.fault.Load()
		if f.Kind == Answer || f.Kind == AnswerOne && p.chance(f.Share) {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.asked = append(p.asked, string(body))
			p.mu.Unlock()
			if _, err := io.WriteString(client, f.Raw); err != nil {
				return
			}
			continue
		}
		if f.Kind == HalfOpen {
			p.hold(client)
			return
		}
		if !p.late(f) {
			return
		}
		b, _ := in.Peek(in.Buffered())
		if _, err := server.Write(b); err != nil {
			return
		}
		_, _ = in.Discard(len(b))
	}
}

func (p *Proxy) late(f Fault) bool {
	if f.Kind == Delay || f.Kind == Loss && p.chance(f.Share) {
		return p.sleep(f.Wait)
	}
	return true
}

// down carries what the target sends.
func (p *Proxy) down(server, client net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		f := *p.fault.Load()
		b := buf[:n]
		switch {
		case f.Kind == HalfOpen:
			p.hold(client)
			return
		case err != nil && n == 0:
			return
		case f.Kind == Reset:
			reset(client)
			return
		case f.Kind == Half:
			_, _ = client.Write(b[:min(len(b), f.Bytes)])
			reset(client)
			return
		case f.Kind == Rate:
			for len(b) > 0 {
				if _, err := client.Write(b[:1]); err != nil || !p.sleep(time.Second/time.Duration(max(f.Bytes, 1))) {
					return
				}
				b = b[1:]
				if p.fault.Load().Kind != Rate {
					break
				}
			}
		case !p.late(f):
			return
		}
		if _, werr := client.Write(b); werr != nil || err != nil {
			return
		}
	}
}
