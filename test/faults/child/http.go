package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// post is the answer to one POST as server-sent events.
type post struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	began bool
}

func (p *post) begin() {
	if !p.began {
		p.began = true
		p.w.Header().Set("Content-Type", "text/event-stream")
		p.w.WriteHeader(http.StatusOK)
	}
}

func (p *post) send(msg string) { p.raw([]byte("data: " + msg + "\n\n")) }

func (p *post) raw(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin()
	_, _ = p.w.Write(b)
	_ = http.NewResponseController(p.w).Flush()
}

func (p *post) drip(b []byte, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin()
	for _, c := range append(append([]byte("data: "), b...), '\n') {
		if _, err := p.w.Write([]byte{c}); err != nil {
			return
		}
		_ = http.NewResponseController(p.w).Flush()
		time.Sleep(pause)
	}
}

// serveHTTP serves Streamable HTTP of both eras. A session of the old one is given
// out and not asked for.
func (s *server) serveHTTP(addr, cert string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(s.post), ReadHeaderTimeout: time.Minute}
	if cert == "" {
		return srv.Serve(ln)
	}
	pair, err := tls.LoadX509KeyPair(cert, cert)
	if err != nil {
		return err
	}
	return srv.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}}))
}

func (s *server) post(w http.ResponseWriter, r *http.Request) {
	s.note("http %s %q", r.Method, r.Header.Get("Authorization"))
	if r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	var m message
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	args := m.Params.Arguments
	if m.Method == "tools/call" && s.wrong(w, r, m.Params.Name, args) {
		s.note("call %s", args.Nonce)
		return
	}
	if m.ID == nil {
		s.answer(&m, nil)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if m.Method == "initialize" && s.era != "modern" {
		w.Header().Set("Mcp-Session-Id", fmt.Sprintf("session-%d", time.Now().UnixNano()))
	}
	done := make(chan struct{})
	out := &post{w: w}
	s.take(&m, out, func() { close(done) })
	<-done
	if m.Method == "subscriptions/listen" {
		<-r.Context().Done()
	}
}

// wrong answers as no MCP server should. It reports false for tools that are not about HTTP.
func (s *server) wrong(w http.ResponseWriter, r *http.Request, name string, args arguments) bool {
	switch name {
	case "status":
		if args.Kind != "" {
			w.Header().Set("Retry-After", args.Kind)
		}
		w.WriteHeader(args.N)
	case "redirect":
		http.Redirect(w, r, args.Kind, http.StatusTemporaryRedirect)
	case "html":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>Please log in</html>"))
	case "half", "reset":
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		if name == "half" {
			_, _ = buf.WriteString("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"jsonrpc\":\"2.0\",")
			_ = buf.Flush()
		} else if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	default:
		return false
	}
	return true
}
