package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/internal/adminapi"
	"github.com/fairlead-mcp/fairlead/internal/gateway"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// openAdmin serves the admin API on its listener and its socket, and returns the
// listener's address.
func (d *Daemon) openAdmin(ctx context.Context, down *teardown, broken chan<- error) (net.Addr, error) {
	socket, err := d.listenOnSocket(ctx)
	if err != nil {
		return nil, err
	}
	// Closed after everything else: an operator can watch the node drain.
	d.startAdmin("admin socket", d.adminRoutes(true), socket, down, broken)
	ln, err := d.listenOn(ctx, nameAdmin, "admin", d.cfg.Admin)
	if err != nil {
		return nil, err
	}
	d.startAdmin("admin", d.guardAdmin(d.adminRoutes(false), ln.Addr()), ln, down, broken)
	return ln.Addr(), nil
}

func (d *Daemon) startAdmin(name string, h http.Handler, ln net.Listener, down *teardown, broken chan<- error) {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	limit := newLimited(ln, 256, d.gate)
	s := d.startServer(name, srv, limit, limit, down, broken)
	d.servers = append(d.servers, s)
	down.push(name+" requests", func(grace context.Context) error {
		nothing := make(chan error, 1)
		nothing <- nil
		s.shutdown(grace, nothing)
		return nil
	})
}

// adminRoutes are the requests that the admin listener and the admin socket take;
// some are for the socket alone, which only the user that runs the node can open.
func (d *Daemon) adminRoutes(socket bool) http.Handler {
	mux := http.NewServeMux()
	if socket {
		mux.HandleFunc("POST "+adminapi.PathUpgrade, d.serveUpgrade)
	}
	mux.HandleFunc("GET "+adminapi.PathLive, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, &adminapi.Health{Status: adminapi.OK, Components: []adminapi.Component{}})
	})
	mux.HandleFunc("GET "+adminapi.PathReady, func(w http.ResponseWriter, _ *http.Request) {
		h := d.readiness()
		answer(w, statusOf(h), h)
	})
	mux.HandleFunc("GET "+adminapi.PathStartup, func(w http.ResponseWriter, _ *http.Request) {
		h := d.startup()
		answer(w, statusOf(h), h)
	})
	mux.HandleFunc("GET "+adminapi.PathHealth, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, d.healthAll()) // what it says is its verdict; the probes are the others
	})
	mux.HandleFunc("GET "+adminapi.PathStatus, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, d.status())
	})
	mux.HandleFunc("GET "+adminapi.PathCalls, func(w http.ResponseWriter, _ *http.Request) {
		list := []adminapi.Call{}
		for _, t := range d.gateway.Recent(200) {
			list = append(list, callOf(t))
		}
		answer(w, http.StatusOK, list)
	})
	mux.HandleFunc("GET "+adminapi.PathCalls+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		t, ok := d.gateway.Find(r.PathValue("id"))
		if !ok {
			http.Error(w, "no such call", http.StatusNotFound)
			return
		}
		answer(w, http.StatusOK, callOf(t))
	})
	d.configRoutes(mux)
	d.upstreamRoutes(mux)
	mux.HandleFunc("POST "+adminapi.PathUpstreams+"/{name}/{action}", d.act)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next := d.adminElsewhere.Load(); next != nil { // a connection from before the upgrade
			next.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// guardAdmin refuses what did not come to the admin listener on purpose: pages
// of other sites, and names that were made to point here (DNS rebinding). Where
// the node has tokens, everything but the probes wants one.
func (d *Daemon) guardAdmin(next http.Handler, addr net.Addr) http.Handler {
	tcp, _ := addr.(*net.TCPAddr)
	local := tcp == nil || tcp.IP.IsLoopback()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site":
			http.Error(w, "Forbidden: not for web pages", http.StatusForbidden)
		case local && !loopbackHost(r.Host):
			http.Error(w, "Forbidden: unknown Host", http.StatusForbidden)
		case changesConfig(r) && !d.auth.needed():
			// Texts of a config may hold secrets, and every user of the machine can come here.
			http.Error(w, "Forbidden: use the admin socket, or set auth.tokens", http.StatusForbidden)
		case strings.HasPrefix(r.URL.Path, "/admin/"):
			if _, err := d.auth.authenticate(r); err != nil {
				w.Header().Set("WWW-Authenticate", "Bearer")
				http.Error(w, "Unauthorized", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// changesConfig reports whether a request is for the config, or for which upstreams there are.
func changesConfig(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, adminapi.PathConfig) || r.URL.Path == adminapi.PathUpstreams || r.Method == http.MethodDelete
}

func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (d *Daemon) status() *adminapi.Status {
	st := &adminapi.Status{
		Version: d.opts.Version, PID: os.Getpid(), Started: d.started,
		Data: d.cfg.Data, Ready: d.ready.Load(), Draining: d.draining.Load(), Calls: int(d.front.running.Load()), Goroutines: runtime.NumGoroutine(),
		Health: string(d.monitor.Verdict()), Shed: map[string]uint64{}, Hidden: []string{}, Upstreams: []adminapi.Upstream{}, Components: d.components(true),
	}
	if where := d.where.Load(); where != nil {
		st.Endpoint, st.Admin = where.Endpoint, where.Admin
	}
	for work, n := range d.gateway.Shed() {
		st.Shed[work.String()] = n
	}
	st.Replaces = d.replaces.Load()
	for _, h := range d.gateway.Hidden() {
		where := ""
		if h.Virtual != "" {
			where = "/mcp/" + h.Virtual + ": "
		}
		st.Hidden = append(st.Hidden, fmt.Sprintf("%s%v %q of %s: %s", where, h.Kind, h.Name, h.Upstream, h.Reason))
	}
	st.Config = d.configStatus()
	for _, u := range d.now.Load().upstreams() {
		st.Upstreams = append(st.Upstreams, d.upstream(u))
	}
	return st
}

func (d *Daemon) upstream(u *upstream.Upstream) adminapi.Upstream {
	s, b, l := u.Status(), u.Breaker(), u.Load()
	out := adminapi.Upstream{
		Name: s.Name, State: string(s.State), Since: s.Since, LastError: s.LastError, Restarts: s.Restarts,
		PID: s.PID, Era: string(s.Era), Version: string(s.Version), Tools: s.Tools, Instances: s.Instances, Drained: s.Drained,
		Load:    adminapi.Load{Running: l.Running, Max: l.Max, Queued: l.Queued, Queue: l.Queue, Refused: l.Refused},
		Breaker: adminapi.Breaker{State: string(b.State), Since: b.Since, Forced: b.Forced, Opened: b.Opened, OpenTools: b.OpenTools},
	}
	for _, c := range u.Connections() {
		out.Connections = append(out.Connections, adminapi.Connection{Owner: c.Owner, Own: c.Own, State: string(c.State), PID: c.PID, Calls: c.Calls, Restarts: c.Restarts})
	}
	for _, b := range s.Bounds {
		out.Limits = append(out.Limits, adminapi.Limit{Limit: b.Limit, Value: b.Value, By: b.By})
	}
	out.LimitHits, out.StderrDropped = s.Hits, s.Dropped
	for fault, n := range u.Faults() {
		if out.Faults == nil {
			out.Faults = make(map[string]uint64)
		}
		out.Faults[string(fault)] = n
	}
	if where := d.where.Load(); where != nil {
		out.Endpoint = where.Endpoint + "/" + s.Name
	}
	return out
}

// act does what an operator wants done to an upstream.
func (d *Daemon) act(w http.ResponseWriter, r *http.Request) {
	m := d.now.Load().find(r.PathValue("name"))
	if m == nil {
		http.Error(w, "no such upstream", http.StatusNotFound)
		return
	}
	u := m.up
	action := adminapi.Action(r.PathValue("action"))
	switch action {
	case adminapi.ActionRestart:
		u.Restart()
	case adminapi.ActionOpen:
		u.OpenBreaker()
	case adminapi.ActionClose:
		u.CloseBreaker()
	case adminapi.ActionAuto:
		u.ReleaseBreaker()
	case adminapi.ActionDrain:
		u.Drain()
	case adminapi.ActionUndrain:
		u.Undrain()
	default:
		http.Error(w, "no such action", http.StatusNotFound)
		return
	}
	d.log.Info("operator acts", "component", "admin", "action", string(action), "upstream", u.Name())
	answer(w, http.StatusOK, d.upstream(u))
}

func callOf(t gateway.Trace) adminapi.Call {
	c := adminapi.Call{
		ID: t.ID, Began: t.Began, Method: t.Method, Name: t.Name, Upstream: t.Upstream, Principal: t.Principal.Subject,
		TookMicros: t.Took.Microseconds(), Decisions: []adminapi.Decision{},
	}
	if t.Err != nil {
		c.Error = t.Err.Error()
	}
	for _, s := range t.Decisions {
		c.Decisions = append(c.Decisions, adminapi.Decision{Stage: s.Stage, Rule: s.Rule, OK: s.OK, TookMicros: s.Took.Microseconds()})
	}
	return c
}

func answer(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // who asked may have gone
}
