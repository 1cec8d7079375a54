package oauth

// These tests see inside: the table of addresses and what the guard learns from a
// request are not exported.

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// TestGuardAddresses holds each special range to the three ways in which a guard
// can be open.
func TestGuardAddresses(t *testing.T) {
	closed, local, private := newGuard(nil), newGuard(&GuardOptions{AllowLoopback: true}), newGuard(&GuardOptions{AllowPrivate: true})
	tests := []struct {
		addresses              string
		closed, local, private bool // reached
	}{
		{"8.8.8.8 1.1.1.1 2606:4700::1111 ::ffff:8.8.8.8 172.15.255.255 172.32.0.0 192.169.0.1 100.63.255.255 100.128.0.1", true, true, true},
		{"127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1", false, true, false},
		{"10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fdff::1 ::ffff:10.0.0.1", false, false, true},
		{"169.254.169.254 ::ffff:169.254.169.254 fd00:ec2::254 fd20:ce::254 100.100.100.200 168.63.129.16 192.0.0.192", false, false, false},
		{"0.0.0.0 0.1.2.3 :: 169.254.1.1 fe80::1 fe80::1%eth0 fec0::1 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1", false, false, false},
		{"224.0.0.1 240.0.0.1 255.255.255.255 ff02::1 2001::1 2001:db8::1 2002:7f00:1:: 3fff::1 ::7f00:1", false, false, false},
		{"64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::a00:1", false, false, false}, // NAT64 hides any IPv4 address
	}
	for _, tt := range tests {
		for text := range strings.FieldsSeq(tt.addresses) {
			a := netip.MustParseAddr(text)
			for _, g := range []struct {
				name string
				*guard
				want bool
			}{{"closed", closed, tt.closed}, {"local", local, tt.local}, {"private", private, tt.private}} {
				if err := g.check(a); (err == nil) != g.want || err != nil && !errors.Is(err, ErrUnsafeURL) {
					t.Errorf("check(%s), %s: got %v, want reached %t", text, g.name, err, g.want)
				}
			}
		}
	}
}

// TestGuardRefusesAtDialTime asks by every writing for a server that listens on
// this machine. None may reach it, and all that can name it do once it is allowed.
func TestGuardRefusesAtDialTime(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())

	loopback := netip.MustParseAddr("127.0.0.1")
	names := map[string]func(query int) []netip.Addr{
		"example.com.":     func(int) []netip.Addr { return []netip.Addr{loopback} }, // in the certificate of httptest
		"www.example.com.": func(int) []netip.Addr { return []netip.Addr{netip.MustParseAddr("198.51.100.7"), loopback} },
		"rebind.example.com.": func(query int) []netip.Addr {
			if query == 0 {
				return []netip.Addr{netip.MustParseAddr("8.8.8.8")}
			}
			return []netip.Addr{loopback}
		},
	}
	resolver := testResolver(t, names)
	// Who looks before leaping sees a public address, and dials another.
	if got, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example.com"); err != nil || len(got) != 1 || got[0] != netip.MustParseAddr("8.8.8.8") {
		t.Fatalf("first lookup: got %v, %v, want 8.8.8.8", got, err)
	}

	closed := NewGuardedClient(&GuardOptions{RootCAs: roots, Resolver: resolver})
	open := NewGuardedClient(&GuardOptions{RootCAs: roots, Resolver: resolver, AllowLoopback: true})
	tests := []struct {
		url     string
		reached bool // by the open client
	}{
		{"https://127.0.0.1:" + port, true},
		{"https://example.com:" + port, true},
		{"https://www.example.com:" + port, true},
		{"https://rebind.example.com:" + port, true},
		{"https://[::ffff:127.0.0.1]:" + port, false},
		{"https://user@127.0.0.1:" + port, false},
		{"http://example.com:" + port, false},
		{"http://169.254.169.254/", false},
		{"https://0.0.0.0:" + port, false},
		{"https://2130706433:" + port, false},
		{"https://0x7f.1:" + port, false},
		{"https://017700000001:" + port, false},
		{"https://127.1:" + port, false},
		{"file:///etc/passwd", false},
		{"gopher://127.0.0.1:" + port, false},
	}
	for _, tt := range tests {
		if err := get(t, closed, tt.url); err == nil || hits.Load() != 0 {
			t.Errorf("closed guard: GET %s: got %v and %d hits, want an error and none", tt.url, err, hits.Swap(0))
		}
		err := get(t, open, tt.url)
		if n := hits.Swap(0); (err == nil) != tt.reached || (n > 0) != tt.reached {
			t.Errorf("open guard: GET %s: got %v and %d hits, want reached %t", tt.url, err, n, tt.reached)
		}
	}
	// A name that does not resolve is refused too, but for another reason; these are by the guard.
	for _, u := range []string{"https://127.0.0.1:" + port, "https://rebind.example.com:" + port, "http://example.com"} {
		if err := get(t, closed, u); !errors.Is(err, ErrUnsafeURL) {
			t.Errorf("closed guard: GET %s: got %v, want ErrUnsafeURL", u, err)
		}
	}
}

// TestGuardHTTPOnlyOnLoopback: a host that says localhost and leads elsewhere gets
// nothing in clear text, wherever the guard is open to. What localhost leads to is
// for the system to say, so the address is dialled here as if it had been found.
func TestGuardHTTPOnlyOnLoopback(t *testing.T) {
	g := newGuard(&GuardOptions{AllowLoopback: true, AllowPrivate: true})
	if _, err := g.plain.DialContext(t.Context(), "tcp", "192.168.7.7:80"); !errors.Is(err, ErrUnsafeURL) || !strings.Contains(err.Error(), "it needs https") {
		t.Errorf("http to 192.168.7.7: got %v, want ErrUnsafeURL", err)
	}
}

func TestGuardFollowsNoRedirect(t *testing.T) {
	var hits atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.RedirectHandler(other.URL, status))
		c := NewGuardedClient(&GuardOptions{AllowLoopback: true})
		res, err := c.Get(srv.URL)
		if err != nil || res.StatusCode != status {
			t.Fatalf("GET: got %v, %v, want the redirect itself", res, err)
		}
		_ = res.Body.Close()
		srv.Close()
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the other origin was asked %d times, want none", n)
	}
}

func TestGuardBoundsBodies(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := maxGuarded
		if r.URL.Path == "/over" {
			n++
		}
		_, _ = io.CopyN(w, zeros{}, int64(n))
	}))
	t.Cleanup(srv.Close)
	c := NewGuardedClient(&GuardOptions{AllowLoopback: true})
	for path, wantErr := range map[string]bool{"/full": false, "/over": true} {
		res, err := c.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if (err != nil) != wantErr || n != maxGuarded {
			t.Errorf("GET %s: got %d bytes, %v; want %d and an error %t", path, n, err, maxGuarded, wantErr)
		}
	}
}

// TestGuardKeepsNoConnection: there is nobody who would close it.
func TestGuardKeepsNoConnection(t *testing.T) {
	var connections atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := NewGuardedClient(&GuardOptions{AllowLoopback: true})
	for range 3 {
		if err := get(t, c, srv.URL); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("3 requests on %d connections", n)
	}
}

// TestGuardLearnsWhereTheServerIs: a local server opens the guard for local ones, a
// private one for private ones; a proxy's address opens nothing.
func TestGuardLearnsWhereTheServerIs(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(srv.Close)
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, srv.Listener.Addr().String())
	}
	proxy := func(*http.Request) (*url.URL, error) { return url.Parse(srv.URL) }
	tests := []struct {
		name              string
		url               string
		via               *http.Transport
		loopback, private bool
	}{
		{"by address", "http://127.0.0.1:" + port, &http.Transport{}, true, true},
		{"by a name that leads here", "http://mcp.example.com", &http.Transport{DialContext: dial}, true, true},
		{"through a proxy that is here", "http://mcp.example.com", &http.Transport{Proxy: proxy}, false, false},
		{"at a private address", "http://10.1.2.3", &http.Transport{Proxy: proxy}, false, true},
		{"at a metadata service", "http://169.254.169.254", &http.Transport{Proxy: proxy}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuard(nil)
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.url, nil)
			res, err := tt.via.RoundTrip(g.observe(req))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			tt.via.CloseIdleConnections()
			if got := g.loopback.Load(); got != tt.loopback {
				t.Errorf("loopback allowed: got %t, want %t", got, tt.loopback)
			}
			if got := g.private.Load(); got != tt.private {
				t.Errorf("private allowed: got %t, want %t", got, tt.private)
			}
		})
	}
}

func get(t *testing.T, c *http.Client, u string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// testResolver asks a DNS server on this machine that answers from names: for each
// name the addresses, given how often it was asked for them before.
func testResolver(t *testing.T, names map[string]func(query int) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends when the connection is closed
		defer close(done)
		asked := map[string]int{}
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answer(buf[:n], names, asked), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// answer is a DNS response (RFC 1035, section 4.1) with A records only.
func answer(query []byte, names map[string]func(int) []netip.Addr, asked map[string]int) []byte {
	var name strings.Builder
	i := 12
	for query[i] != 0 {
		n := int(query[i])
		name.Write(query[i+1 : i+1+n])
		name.WriteByte('.')
		i += n + 1
	}
	isA := binary.BigEndian.Uint16(query[i+1:]) == 1
	out := append([]byte(nil), query[:i+5]...)
	lookup := names[strings.ToLower(name.String())]
	flags, count := uint16(0x8180), 0
	if lookup == nil {
		flags |= 3 // no such name
	} else if isA {
		for _, a := range lookup(asked[name.String()]) {
			v4 := a.As4()
			out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the name above, A, IN, TTL 0, 4 bytes
			out = append(out, v4[:]...)
			count++
		}
		asked[name.String()]++
	}
	binary.BigEndian.PutUint16(out[2:], flags)
	binary.BigEndian.PutUint16(out[6:], uint16(count))
	binary.BigEndian.PutUint32(out[8:], 0)
	return out
}
