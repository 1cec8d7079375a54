package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
	"github.com/fairlead-mcp/fairlead/test/faults/proxy"
	"github.com/fairlead-mcp/fairlead/test/internal/peers"
)

// httpFaults are what a remote server, and the network to it, can do.
var httpFaults = []fault{
	{"F12", "network goes silent", "connections to a remote server that carry nothing any more, and new ones that do not answer", silent},
	{"F12b", "network loses and delays", "a share of what is sent comes late; connections are reset", lossy},
	{"F32", "remote server fails", "5xx, 429, pages, half answers and resets", failing},
	{"F33", "redirects and false certificates", "307 to another server; certificates that have expired, are of another host, are unknown", diverted},
	{"F34", "no such host", "a name that DNS does not know", nameless},
}

// through starts the child as a remote server of each era, behind a proxy each.
func (w *world) through(options string) (ups []up, proxies map[string]*proxy.Proxy) {
	w.Helper()
	proxies = map[string]*proxy.Proxy{}
	for _, era := range []string{"modern", "legacy"} {
		p, err := proxy.Listen("127.0.0.1:0", w.remote(era, "-era", era), w.rand.Uint64())
		if err != nil {
			w.Fatal(err)
		}
		w.Cleanup(p.Close)
		proxies[era] = p
		ups = append(ups, up{name: era, url: "http://" + p.Addr() + "/mcp", options: options})
	}
	return ups, proxies
}

func silent(w *world) {
	const timeout = 400 * time.Millisecond
	ups, proxies := w.through("timeout: 400ms")
	w.start("", ups...)
	callers := w.several(3) // fewer than open a breaker
	for name, p := range proxies {
		for range w.rounds(1, 10) {
			w.ready(name)
			w.served(callers[0], name)
			for _, kind := range []proxy.Kind{proxy.HalfOpen, proxy.Blackhole} {
				w.act(name, "close") // the breaker has its own test
				if kind == proxy.Blackhole {
					p.Cut()
				}
				p.Set(proxy.Fault{Kind: kind})
				outs := w.together(callers, name, "echo", nil, nil)
				w.want("over a silent network", outs, "timeout", unavailable)
				for _, o := range outs {
					if o.Class == "timeout" {
						w.detection = append(w.detection, o.Took-timeout)
					}
				}
				p.Set(proxy.Fault{})
				at := time.Now()
				w.recovery = append(w.recovery, w.served(callers[0], name).Sub(at))
			}
		}
	}
	w.note("detection is how much later than its timeout of %v a call ended", timeout)
}

func lossy(w *world) {
	ups, proxies := w.through("")
	w.start("", ups...)
	callers := w.several(4)
	for name, p := range proxies {
		w.ready(name)
		w.act(name, "close")
		p.Set(proxy.Fault{Kind: proxy.Delay, Wait: 20 * time.Millisecond})
		w.want("over a slow network", w.together(callers, name, "progress", map[string]any{"n": 3}, nil))
		p.Set(proxy.Fault{Kind: proxy.Loss, Share: 0.3, Wait: 200 * time.Millisecond})
		for range w.rounds(2, 50) {
			w.want("over a network that loses", w.together(callers, name, "progress", map[string]any{"n": 3}, nil))
		}
		p.Set(proxy.Fault{})
		// Connections that are reset in mid-call: one end for each call, and on.
		for range w.rounds(2, 50) {
			at := time.Now()
			outs := w.together(callers, name, "echo", map[string]any{"ms": 30_000}, func() { at = time.Now(); p.Cut() })
			w.want("reset in mid-call", outs, unavailable)
			for _, o := range outs {
				w.detection = append(w.detection, o.At.Sub(at))
			}
			w.recovery = append(w.recovery, w.served(callers[0], name).Sub(at))
		}
	}
}

const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

func failing(w *world) {
	ups, proxies := w.through("timeout: 2s")
	w.start("", ups...)
	c := w.caller()
	for name, p := range proxies {
		w.ready(name)
		// 429 is no failure of the server: it never opens a breaker.
		for range w.rounds(8, 50) {
			o := c.Call(w.Context(), name+"__status", map[string]any{"n": http.StatusTooManyRequests})
			if o.End != history.Error {
				w.Errorf("429: %s %q", o.End, o.Text)
			}
		}
		w.served(c, name)
		if b := w.of(name).Breaker; b.State != "closed" || b.Opened != 0 {
			w.Errorf("429 opened the breaker of %s: %+v", name, b)
		}
		w.act(name, "close")
		for _, tool := range []string{"status", "html", "half", "reset"} {
			for range w.rounds(1, 10) {
				at := time.Now()
				o := c.Call(w.Context(), name+"__"+tool, map[string]any{"n": 500})
				w.want(tool, []history.Outcome{o}, unavailable, "upstream_protocol_error")
				w.detection = append(w.detection, o.At.Sub(at))
				w.recovery = append(w.recovery, w.served(c, name).Sub(at))
			}
		}
		w.amplified(name, p)
		w.act(name, "close") // forgets what was, of the tools too
		w.act(name, "auto")
		w.opens(c, name, p)
	}
}

// amplified counts how often a server that fails everything is asked for calls that
// may be repeated.
func (w *world) amplified(name string, p *proxy.Proxy) {
	w.Helper()
	callers := w.several(4)
	p.Set(proxy.Fault{Kind: proxy.Answer, Raw: busy})
	before, calls := p.Asked(`"tools/call"`), 0
	for range w.rounds(5, 40) {
		w.want("a server that fails everything", w.together(callers, name, "read", nil, nil), unavailable, "circuit_open")
		calls += len(callers)
		w.act(name, "close") // or the breaker of the tool opens
	}
	asked := p.Asked(`"tools/call"`) - before
	p.Set(proxy.Fault{})
	w.served(callers[0], name)
	w.note("%s: %d calls that may be repeated were sent %d times to a server that fails", name, calls, asked)
	// A tenth of all calls, and what a node may spend before it has earned anything.
	if asked > calls+calls/10+10 {
		w.Errorf("%d calls became %d", calls, asked)
	}
}

// opens has the breaker open by failures.
func (w *world) opens(c *history.Caller, name string, p *proxy.Proxy) {
	w.Helper()
	opened := w.of(name).Breaker.Opened
	for range 40 {
		o := c.Call(w.Context(), name+"__status", map[string]any{"n": 500})
		if o.Class == "circuit_open" {
			if !o.RetrySafe || o.RetryMS == 0 {
				w.Errorf("refused by the breaker: %+v", o)
			}
			break
		}
	}
	b := w.of(name).Breaker
	if len(w.status().Upstreams) == 0 || b.State != "open" || b.Opened == opened {
		w.Errorf("the breaker of %s after failures alone: %+v", name, b)
	}
	already := len(w.noted(name, "call"))
	w.want("behind an open breaker", []history.Outcome{c.Call(w.Context(), name+"__echo", nil)}, "circuit_open")
	if len(w.noted(name, "call")) != already {
		w.Error("a call passed an open breaker")
	}
	w.act(name, "close")
	w.served(c, name)
}

func diverted(w *world) {
	other := w.remote("other")
	ups := []up{{name: "redirects", url: "http://" + w.remote("redirects") + "/mcp", options: `headers: {Authorization: "Bearer for-one-server"}`}}
	for _, kind := range []string{"expired", "elsewhere", "unknown"} {
		addr := w.remote(kind, "-cert", w.certificate(kind))
		ups = append(ups, up{name: kind, url: "https://" + addr + "/mcp", options: `headers: {Authorization: "Bearer for-one-server"}`})
	}
	w.start("", ups...)
	c := w.caller()
	w.ready("redirects")
	for range w.rounds(2, 20) {
		o := c.Call(w.Context(), "redirects__redirect", map[string]any{"kind": "http://" + other + "/mcp"})
		w.want("a redirect", []history.Outcome{o}, unavailable, "upstream_protocol_error")
		w.served(c, "redirects")
	}
	if n := len(w.noted("other", "http")); n != 0 {
		w.Errorf("the redirect was followed: %v", w.noted("other", "http"))
	}
	for _, u := range ups[1:] {
		st := w.until(u.name, "to be refused", func(u upstream) bool { return u.LastError != "" })
		if !strings.Contains(st.LastError, "certificate") {
			w.Errorf("%s: the reason is %q", u.name, st.LastError)
		}
		w.note("%s: %s", u.name, st.LastError[strings.Index(st.LastError, "tls"):])
		direct := w.callerAt(w.url+"/mcp/"+u.name, history.Modern)
		w.want("a server with a false certificate", []history.Outcome{direct.Call(w.Context(), "echo", nil)}, unavailable)
		if got := w.noted(u.name, "http"); len(got) != 0 {
			w.Errorf("%s was sent %v", u.name, got)
		}
	}
}

// certificate makes one that no client should take. Returns the file with it and its key.
func (w *world) certificate(kind string) string {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: kind}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	switch kind {
	case "expired":
		t.NotAfter = time.Now().Add(-24 * time.Hour)
	case "elsewhere":
		t.IPAddresses, t.DNSNames = nil, []string{"elsewhere.example"}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		w.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...)
	path := filepath.Join(w.dir, kind+".pem")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.Fatal(err)
	}
	return path
}

func nameless(w *world) {
	w.start("", up{name: "nameless", url: "http://nobody.invalid/mcp"})
	c := w.callerAt(w.url+"/mcp/nameless", history.Modern)
	for range w.rounds(2, 5) {
		at := time.Now()
		o := c.Call(w.Context(), "echo", nil)
		w.want("a name that nobody has", []history.Outcome{o}, unavailable)
		w.detection = append(w.detection, o.At.Sub(at))
	}
	u := w.of("nameless")
	if u.LastError == "" || u.Restarts > 10 {
		w.Errorf("a name that nobody has: %+v", u)
	}
	peers.Wait(w.T, "the list without it", func() bool {
		return strings.Contains(w.callers[0].List(w.Context()).Text, fmt.Sprintf("%q", "steady__echo"))
	})
}
