package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// older makes an initialize request ask for an older revision.
func older(body []byte, v mcp.Version) []byte {
	if !bytes.Contains(body, []byte(`"method":"initialize"`)) {
		return body
	}
	return bytes.Replace(body, []byte(mcp.LatestLegacyVersion), []byte(v), 1)
}

// serverOf serves s as a server of one revision.
func serverOf(t *testing.T, s *mcp.Server, v mcp.Version) string {
	t.Helper()
	h := streamhttp.NewHandler(s, nil)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if !v.Modern() && bytes.Contains(body, []byte(`"server/discover"`)) {
			http.Error(w, "Bad Request: no session", http.StatusBadRequest)
			return
		}
		body = older(body, v)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	return web.URL
}

// speaking is a way to a server in one revision.
type speaking struct {
	version mcp.Version
	base    http.RoundTripper
}

func (s speaking) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && !s.version.Modern() {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = older(body, s.version)
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return s.base.RoundTrip(r)
}

// TestPairs is the short form of the matrix in test/peers: every revision of clients
// with every revision of upstreams, with our library on both sides.
func TestPairs(t *testing.T) {
	cfg := settings(t)
	cfg.Upstreams = nil
	for _, v := range mcp.Versions() {
		s, err := gossip()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Upstreams = append(cfg.Upstreams, config.Upstream{Name: "v" + string(v), URL: serverOf(t, s, v), Era: config.EraAuto, Timeout: time.Minute})
	}
	cfg.Auth.Tokens = []config.Token{{Name: "ann", Hash: config.HashToken("ann")}}
	n := start(t, cfg)
	t.Cleanup(n.Kill)
	for _, client := range mcp.Versions() {
		for _, up := range mcp.Versions() {
			t.Run(fmt.Sprint(client, " to ", up), func(t *testing.T) { pair(t, n, client, up) })
		}
	}
}

func pair(t *testing.T, n *node, client, up mcp.Version) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	p := newPersonBy(t, n, "ann", "/v"+string(up), &streamhttp.ClientOptions{HTTPClient: &http.Client{Transport: speaking{client, transport}}}, client.Modern())
	if _, err := p.c.ListTools(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.h.Version(); got != client {
		t.Fatalf("the client speaks %s", got)
	}
	st, err := n.admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range st.Upstreams {
		if u.Name == "v"+string(up) && u.Version != string(up) {
			t.Fatalf("the upstream speaks %s", u.Version)
		}
	}
	asks := map[string]bool{"sample": true, "roots": true, "form": client.Has(mcp.FeatureElicitation) && up.Has(mcp.FeatureElicitation)}
	for tool, can := range asks {
		res, err := p.c.CallTool(t.Context(), tool, text{"ann"}, nil)
		if can && (err != nil || res.Text() != "accept ann") {
			t.Errorf("%s: %v, %v", tool, res, err)
		}
		if !can && err == nil && !res.IsError {
			t.Errorf("%s: %v, though a side has no such question", tool, res)
		}
	}
	var got []string
	res, err := p.c.CallTool(t.Context(), "count", text{"ann"}, &mcp.CallOptions{Progress: func(p mcp.Progress) { got = append(got, p.Message) }})
	message := "ann"
	if !client.Has(mcp.FeatureProgressMessage) || !up.Has(mcp.FeatureProgressMessage) {
		message = ""
	}
	if err != nil || res.Text() != "ann" || len(got) != 1 || got[0] != message {
		t.Errorf("count: %v, %v; progress %q", res, err, got)
	}
	got = nil
	_, err = p.c.CallTool(t.Context(), "log", text{"ann"}, &mcp.CallOptions{LogLevel: mcp.LogInfo, Log: func(m mcp.LogMessage) { got = append(got, string(m.Data)) }})
	if err != nil || strings.Join(got, " ") != `"ann"` {
		t.Errorf("log: %v; heard %q", err, got)
	}
	task, err := p.c.StartTool(t.Context(), "job", text{"ann"}, nil)
	if tasks := func(v mcp.Version) bool { return v.Modern() || v.Has(mcp.FeatureTaskParam) }; !tasks(client) || !tasks(up) {
		if err == nil && task.ID() != "" {
			t.Errorf("job: a task %s, though a side has none", task.ID())
		}
	} else if err != nil || task.ID() == "" {
		t.Errorf("job: %+v, %v", task, err)
	} else if res, err := task.Wait(t.Context()); err != nil || res.Text() != "ann" {
		t.Errorf("job: %v, %v", res, err)
	}
	events := make(chan mcp.Event, 8)
	sub, err := p.c.Listen(t.Context(), mcp.NotificationFilter{ResourceSubscriptions: []string{"test://ann"}}, func(e mcp.Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if _, err := p.c.CallTool(t.Context(), "touch", text{"ann"}, nil); err != nil {
		t.Error(err)
	}
	if e := <-events; e.URI != "test://ann" {
		t.Errorf("told of %+v", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := p.c.CallTool(ctx, "hold", text{}, &mcp.CallOptions{Progress: func(mcp.Progress) { cancel() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("hold: %v", err)
	}
	if _, err := p.c.CallTool(t.Context(), "nothing", nil, nil); !errors.Is(err, &mcp.Error{Code: jsonrpc.CodeInvalidParams}) {
		t.Errorf("an unknown tool: %v", err)
	}
}
