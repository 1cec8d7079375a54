package streamhttp

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	allowedMethods = "POST, GET, DELETE, OPTIONS"
	allowedHeaders = "Content-Type, Accept, Authorization, Last-Event-ID, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name"
	exposedHeaders = "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After"
)

// admitOrigin keeps out requests that a web page makes without leave, and those
// that reach us under a name that is not ours: a page can make its own name point
// at a loopback address (MCP 2026-07-28, basic/transports/streamable-http,
// Security & Endpoint). It answers by itself and returns false.
func (s *Handler) admitOrigin(w http.ResponseWriter, r *http.Request) bool {
	local := onLoopback(r)
	if !s.answersTo(r.Host, local) {
		refuse(w, http.StatusForbidden, jsonrpc.CodeInvalidRequest, "Host not allowed")
		return false
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if len(origins) > 1 || !s.mayCall(origins[0], local) {
		refuse(w, http.StatusForbidden, jsonrpc.CodeInvalidRequest, "Origin not allowed")
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Access-Control-Expose-Headers", exposedHeaders)
	return true
}

// onLoopback reports whether the request came in on a loopback address.
func onLoopback(r *http.Request) bool {
	switch addr := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	case *net.UnixAddr:
		return false // no name leads a browser there
	default:
		return false
	}
}

func (s *Handler) answersTo(hostport string, local bool) bool {
	if !local && len(s.hosts) == 0 {
		return true
	}
	host := hostOf(hostport)
	return local && isLoopbackName(host) || s.hosts[lower(host)]
}

func (s *Handler) mayCall(origin string, local bool) bool {
	if s.origins[lower(origin)] {
		return true
	}
	if !local {
		return false
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" && isLoopbackName(u.Hostname())
}

// hostOf takes the port and the brackets off a Host header.
func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

func isLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// preflight answers OPTIONS: what pages whose origin was admitted may send.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Allow", allowedMethods)
	if header(r.Header, "Origin") != "" && header(r.Header, "Access-Control-Request-Method") != "" {
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", allowedMethods)
		h.Set("Access-Control-Allow-Headers", allowedHeaders+mirroredHeaders(r.Header["Access-Control-Request-Headers"]))
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// mirroredHeaders repeats the Mcp-Param headers that a page asks to send: their
// names depend on tools, and the header that allows them takes no patterns.
func mirroredHeaders(requested []string) string {
	var b strings.Builder
	for _, value := range requested {
		for name := range strings.SplitSeq(value, ",") {
			name = strings.TrimSpace(name)
			if len(name) <= 128 && strings.HasPrefix(lower(name), "mcp-param-") && isToken(name) && b.Len() < 4<<10 {
				b.WriteString(", " + name)
			}
		}
	}
	return b.String()
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
