package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrUnsafeURL says that a request for metadata, registration or a token would go
// where a stranger must not send it: without TLS, or to an address that is not
// public.
var ErrUnsafeURL = errors.New("oauth: refused to connect")

// GuardOptions changes the defaults of [NewGuardedClient].
type GuardOptions struct {
	// AllowLoopback allows addresses of this machine, with http too.
	AllowLoopback bool
	// AllowPrivate allows the addresses of private networks: those of RFC 1918, of
	// carriers (RFC 6598) and unique local ones (RFC 4193). Link-local addresses and
	// metadata services of clouds stay refused.
	AllowPrivate bool
	// RootCAs is whom to trust. Nil means the system's.
	RootCAs *x509.CertPool
	// Resolver looks names up. Nil means [net.DefaultResolver].
	Resolver *net.Resolver
}

// NewGuardedClient returns a client for URLs that strangers choose, such as those in
// metadata (MCP 2026-07-28, security best practices, server-side request forgery).
// It connects to public addresses only, and looks at each address that it connects
// to, not at names: a name that changes its address in between changes nothing. It
// wants https except on loopback, uses no proxy, follows no redirect, keeps no
// connection open, and gives up after 30 seconds or one mebibyte of body. Refusals
// are [ErrUnsafeURL]. A nil opts means the defaults.
func NewGuardedClient(opts *GuardOptions) *http.Client { return newGuard(opts).client() }

const (
	guardTimeout = 30 * time.Second
	maxGuarded   = 1 << 20 // the largest documents in use are some 20 KiB
)

// guard decides where requests may go. It is an [http.RoundTripper].
type guard struct {
	loopback, private atomic.Bool // allowed

	tls, plain *http.Transport
}

func newGuard(opts *GuardOptions) *guard {
	if opts == nil {
		opts = &GuardOptions{}
	}
	g := &guard{}
	g.loopback.Store(opts.AllowLoopback)
	g.private.Store(opts.AllowPrivate)
	transport := func(check func(netip.Addr) error) *http.Transport {
		dialer := net.Dialer{Timeout: 10 * time.Second, Resolver: opts.Resolver, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: %q is no address", ErrUnsafeURL, address)
			}
			return check(to.Addr())
		}}
		return &http.Transport{
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true, // nobody closes this client
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opts.RootCAs},
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	g.tls = transport(g.check)
	g.plain = transport(func(a netip.Addr) error {
		if !a.Unmap().IsLoopback() {
			return fmt.Errorf("%w: http to %s, which is not this machine; it needs https", ErrUnsafeURL, a)
		}
		return g.check(a)
	})
	return g
}

func (g *guard) client() *http.Client {
	return &http.Client{
		Transport: g, Timeout: guardTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements [http.RoundTripper].
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	via := g.tls
	switch host := req.URL.Hostname(); {
	case req.URL.User != nil:
		return nil, fmt.Errorf("%w: the URL of %s has a user name", ErrUnsafeURL, host)
	case isMapped(host):
		return nil, fmt.Errorf("%w: %s is an IPv4 address in IPv6 clothes", ErrUnsafeURL, host)
	case req.URL.Scheme == "https":
	case req.URL.Scheme == "http" && isLoopback(host):
		via = g.plain
	default:
		return nil, fmt.Errorf("%w: %s://%s: it needs https", ErrUnsafeURL, req.URL.Scheme, req.URL.Host)
	}
	res, err := via.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	res.Body = &boundedBody{ReadCloser: res.Body, left: maxGuarded}
	return res, nil
}

// observe learns from a request to the MCP server where that server is. One on this
// machine may name authorization servers on this machine and in private networks,
// one in a private network others there: it could reach them itself. What counts
// is the address that answered; a server's owner chooses what its name resolves to.
func (g *guard) observe(req *http.Request) *http.Request {
	host := req.URL.Hostname()
	if isLoopback(host) {
		g.allow(netip.IPv6Loopback())
	} else if a, err := netip.ParseAddr(host); err == nil {
		g.allow(a)
	}
	direct := false // not through a proxy, whose address says nothing
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn: func(hostPort string) {
			to, _, err := net.SplitHostPort(hostPort)
			direct = err == nil && strings.EqualFold(to, host)
		},
		GotConn: func(info httptrace.GotConnInfo) {
			if a, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil && direct {
				g.allow(a.Addr())
			}
		},
	}))
}

// allow opens the guard for servers like one at a.
func (g *guard) allow(a netip.Addr) {
	switch _, class := classify(a); class {
	case onMachine:
		g.loopback.Store(true)
		g.private.Store(true)
	case onPrivate:
		g.private.Store(true)
	}
}

// check returns why nothing may connect to a, if so.
func (g *guard) check(a netip.Addr) error {
	what, class := classify(a)
	switch {
	case class == onInternet, class == onMachine && g.loopback.Load(), class == onPrivate && g.private.Load():
		return nil
	case class == onNowhere:
		return fmt.Errorf("%w: %s is a %s address", ErrUnsafeURL, a, what)
	}
	return fmt.Errorf("%w: %s is a %s address, and the MCP server is at none; if it is the right one, use an HTTP client that allows it", ErrUnsafeURL, a, what)
}

// class is where an address leads.
type class int

const (
	onInternet class = iota
	onPrivate        // allowed for MCP servers that are there
	onMachine        // likewise
	onNowhere        // never allowed
)

// special is each range that is not the public internet, more specific ones first.
var special = []struct {
	prefix netip.Prefix
	what   string
	class  class
}{
	{netip.MustParsePrefix("169.254.169.254/32"), "metadata service", onNowhere},
	{netip.MustParsePrefix("100.100.100.200/32"), "metadata service", onNowhere}, // Alibaba
	{netip.MustParsePrefix("168.63.129.16/32"), "metadata service", onNowhere},   // Azure
	{netip.MustParsePrefix("fd00:ec2::/32"), "metadata service", onNowhere},      // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), "metadata service", onNowhere},   // Google
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback", onMachine},
	{netip.MustParsePrefix("::1/128"), "loopback", onMachine},
	{netip.MustParsePrefix("10.0.0.0/8"), "private", onPrivate},
	{netip.MustParsePrefix("172.16.0.0/12"), "private", onPrivate},
	{netip.MustParsePrefix("192.168.0.0/16"), "private", onPrivate},
	{netip.MustParsePrefix("100.64.0.0/10"), "private", onPrivate},
	{netip.MustParsePrefix("fc00::/7"), "private", onPrivate},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified", onNowhere},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local", onNowhere},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol", onNowhere},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation", onNowhere},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay", onNowhere},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark", onNowhere},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation", onNowhere},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation", onNowhere},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast", onNowhere},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved", onNowhere},
	{netip.MustParsePrefix("2001::/23"), "protocol", onNowhere}, // Teredo, ORCHID, benchmarks
	{netip.MustParsePrefix("2001:db8::/32"), "documentation", onNowhere},
	{netip.MustParsePrefix("2002::/16"), "6to4", onNowhere},
	{netip.MustParsePrefix("3fff::/20"), "documentation", onNowhere},
	// Global unicast is 2000::/3. The rest is unspecified, NAT64 (64:ff9b::/96,
	// 64:ff9b:1::/48), mapped or compatible IPv4, link- and site-local, multicast,
	// or not assigned.
	{netip.MustParsePrefix("2000::/3"), "public", onInternet},
	{netip.MustParsePrefix("::/0"), "special-purpose", onNowhere},
}

func classify(a netip.Addr) (what string, where class) {
	a = a.Unmap().WithZone("")
	for _, s := range special {
		if s.prefix.Contains(a) {
			return s.what, s.class
		}
	}
	return "public", onInternet
}

func isMapped(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is4In6()
}

// boundedBody ends with an error, not with EOF, where a body is too long.
type boundedBody struct {
	io.ReadCloser
	left int64 // bytes that may still come
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("oauth: the response is larger than %d bytes", maxGuarded)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n + int(b.left), fmt.Errorf("oauth: the response is larger than %d bytes", maxGuarded)
	}
	return n, err
}
