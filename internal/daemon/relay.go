package daemon

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// A relay passes requests on to the other process of an upgrade, over its socket.
// Which ones it takes depends on the side: the new process passes on what belongs to
// the old one, the old one everything that does not belong to itself.
type relay struct {
	front     *front
	maxBody   int64
	key       byte // of the handles that belong to the old process
	old       bool // this is the old process
	log       *slog.Logger
	transport *http.Transport
}

// newRelay makes a relay to the process that listens on socket.
func newRelay(f *front, maxBody int64, socket string, key byte, old bool, log *slog.Logger) *relay {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &relay{
		front: f, maxBody: maxBody, key: key, old: old, log: log,
		transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
}

// principalHeader carries who makes a request from the new process, which has
// verified it, to the old one. It counts on the relay's socket only, which nobody
// else can open, and is never passed on.
const principalHeader = "Fairlead-Principal"

// divert passes a request on and answers it, or returns false: then it is for this
// process. A request whose caller is not known is, too: it is told so here.
func (x *relay) divert(w http.ResponseWriter, r *http.Request) bool {
	who, err := x.front.authenticate(r)
	if err != nil {
		return false
	}
	body, whole := x.read(w, r)
	if !whole {
		return false // it is refused in the usual way
	}
	if x.ours(r, body) {
		return false
	}
	x.pass(w, r, body, who)
	return true
}

// read reads the body of a POST and puts it back, so that whoever answers finds the
// request whole. It reports whether there was not too much of it.
func (x *relay) read(w http.ResponseWriter, r *http.Request) (body []byte, whole bool) {
	if r.Method != http.MethodPost {
		return nil, true
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(30 * time.Second)) // as the endpoint has it
	body, err := io.ReadAll(io.LimitReader(r.Body, x.maxBody+1))
	if err != nil || int64(len(body)) > x.maxBody {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err, r.Body}))
		return nil, false
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, true
}

// ours reports whether a request is for this process.
func (x *relay) ours(r *http.Request, body []byte) bool {
	session := r.Header.Get("Mcp-Session-Id")
	e, sse, there := x.front.find(r.URL.Path)
	if sse {
		session = r.URL.Query().Get("sessionId")
	}
	known := there && session != "" && e.HasSession(session)
	key, handle := handleIn(body)
	handle = handle && key == x.key // of the old process
	if x.old {
		return known || handle
	}
	return known || session == "" && !handle
}

// broken is the rest of a body, or why there is none.
type broken struct {
	err  error
	rest io.Reader
}

func (b broken) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return b.rest.Read(p)
}

// handleIn finds the handle that a message carries: the state of a call that was
// interrupted by a question, or the id of a task.
func handleIn(body []byte) (key byte, ok bool) {
	if !bytes.Contains(body, []byte(`requestState`)) && !bytes.Contains(body, []byte(`taskId`)) {
		return 0, false
	}
	msg, err := jsonrpc.Scan(body, nil)
	if err != nil {
		return 0, false
	}
	member := "requestState"
	switch msg.Method {
	case mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask:
		member = "taskId"
	}
	sealed, ok := jsonrpc.Unquote(jsonrpc.Get(msg.Params, member))
	if !ok {
		return 0, false
	}
	return mcp.SealedBy(sealed)
}

// pass passes the request on. When the other process has gone before it took it,
// this one answers after all, honestly: it does not know the session, or what the
// handle stood for.
func (x *relay) pass(w http.ResponseWriter, r *http.Request, body []byte, who mcp.Principal) {
	proxy := &httputil.ReverseProxy{
		Transport: x.transport, FlushInterval: -1, ErrorLog: slog.NewLogLogger(x.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "http", Host: "relay", Path: p.In.URL.Path, RawQuery: p.In.URL.RawQuery}
			p.Out.Host = p.In.Host
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values := p.In.Header.Values(name); len(values) > 0 {
					p.Out.Header[name] = values // of a proxy in front of the node; we are none
				}
			}
			p.Out.Header.Del(principalHeader)
			if !x.old {
				p.Out.Header.Set(principalHeader, encodePrincipal(who))
			}
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client has gone
			}
			x.log.Warn("request not passed on", "component", "upgrade", "method", r.Method, "path", r.URL.Path, "err", err)
			if body != nil {
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			x.front.local(w, r)
		},
	}
	proxy.ServeHTTP(w, r)
}

func encodePrincipal(p mcp.Principal) string {
	b, _ := json.Marshal(&p) // three texts
	return base64.StdEncoding.EncodeToString(b)
}

func decodePrincipal(s string) (p mcp.Principal, err error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	return p, err
}

// relayed marks a request that came over the socket of a relay.
type relayed struct{}

// relayServer serves what the other process passes on: requests of callers whom that
// process has verified, if trusted, else to be verified here again.
func (d *Daemon) relayServer(trusted bool) *http.Server {
	srv := streamhttp.NewServer("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.front.running.Add(1)
		defer d.front.running.Add(-1)
		d.front.local(w, r)
	}))
	srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, relayed{}, trusted)
	}
	return srv
}

var errRelay = errors.New("the relay has not said who calls")

// relayedPrincipal is who makes a request that another process has passed on and
// verified; ok is false for any other.
func relayedPrincipal(r *http.Request) (who mcp.Principal, ok bool, err error) {
	if trusted, _ := r.Context().Value(relayed{}).(bool); !trusted {
		return who, false, nil
	}
	values := r.Header[principalHeader]
	if len(values) != 1 {
		return who, true, errRelay
	}
	who, err = decodePrincipal(values[0])
	return who, true, err
}

// shown is a listener whose connections look as if they had come in at another
// address: what a request may do depends on that (Host, Origin).
type shown struct {
	net.Listener
	addr net.Addr
}

func (s shown) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return shownConn{c, s.addr}, nil
}

type shownConn struct {
	net.Conn
	addr net.Addr
}

func (c shownConn) LocalAddr() net.Addr { return c.addr }
