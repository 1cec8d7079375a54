package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/oauth"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// serveMCP puts a real MCP server behind the authorization of the world. Calls of
// the tool "write" need a scope of their own.
func (w *world) serveMCP(t *testing.T) {
	t.Helper()
	s := mcp.NewServer("notes", "1.0.0", nil)
	for _, name := range []string{"read", "write"} {
		err := mcp.AddTool(s, mcp.Tool{Name: name}, func(_ context.Context, call *mcp.Call, _ struct{}) (string, error) {
			return name + " done", call.Progress(1, 1, "half way") // makes the answer a stream
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.mcp.inner = streamhttp.NewHandler(s, nil)
	w.mcp.scopes = []string{"read"}
	w.mcp.need = func(body string) string {
		if strings.Contains(body, `"tools/call"`) && strings.Contains(body, `"name":"write"`) {
			return "write"
		}
		return ""
	}
}

func (w *world) dial(t *testing.T, era streamhttp.Era, rt http.RoundTripper) *mcp.Client {
	t.Helper()
	h := streamhttp.NewClient(w.mcp.url+"/mcp", &streamhttp.ClientOptions{Era: era, HTTPClient: &http.Client{Transport: rt}})
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return mcp.NewClient("test", "1.0.0", h, nil)
}

// TestMCPClient is what users do: the client of streamhttp over a transport of this
// package, in both eras.
func TestMCPClient(t *testing.T) {
	for _, era := range []streamhttp.Era{streamhttp.EraAuto, streamhttp.EraModern, streamhttp.EraLegacy} {
		t.Run("era "+string(era), func(t *testing.T) {
			w := newWorld(t)
			w.serveMCP(t)
			c := w.dial(t, era, w.transport(nil))
			var wg sync.WaitGroup
			for range 10 { // a burst, before anybody has a token
				wg.Go(func() {
					told := false
					res, err := c.CallTool(t.Context(), "read", struct{}{}, &mcp.CallOptions{Progress: func(mcp.Progress) { told = true }})
					if err != nil || res.Text() != "read done" || !told {
						t.Errorf("read: %v, %v, progress %v", res, err, told)
					}
				})
			}
			wg.Wait()
			w.as.revoke()
			if res, err := c.CallTool(t.Context(), "write", struct{}{}, nil); err != nil || res.Text() != "write done" {
				t.Errorf("write: %v, %v", res, err)
			}
			if got := w.scopesAsked(); len(got) != 2 || got[1] != "read write" {
				t.Errorf("logins for %q, want one, and one for more", got)
			}
		})
	}
}

// TestMCPClientErrors: what this package says reaches the caller of the MCP client.
func TestMCPClientErrors(t *testing.T) {
	for _, era := range []streamhttp.Era{streamhttp.EraAuto, streamhttp.EraLegacy} {
		w := newWorld(t)
		w.serveMCP(t)
		if _, err := w.dial(t, era, w.transport(func(o *oauth.Options) { o.Authorize = nil })).ListTools(t.Context()); !errors.Is(err, oauth.ErrLoginRequired) {
			t.Errorf("era %q: %v, want ErrLoginRequired", era, err)
		}
		w.as.grants = func([]string) []string { return []string{"read"} }
		var missing *oauth.ScopeError
		if _, err := w.dial(t, era, w.transport(nil)).CallTool(t.Context(), "write", struct{}{}, nil); !errors.As(err, &missing) {
			t.Errorf("era %q: %v, want a ScopeError", era, err)
		}
	}
}

func ExampleNewTransport() {
	w := &world{mcp: &resource{}, as: newIssuer()} // an MCP server and its authorization server
	as, server := httptest.NewTLSServer(w.as), httptest.NewTLSServer(w.mcp)
	defer as.Close()
	defer server.Close()
	w.as.url, w.mcp.url, w.mcp.as, w.client = as.URL, server.URL, w.as, as.Client()

	t := oauth.NewTransport(server.URL+"/mcp", &oauth.Options{
		RedirectURI: "http://127.0.0.1:3000/callback",
		Authorize: func(ctx context.Context, authorizationURL string) (string, error) {
			fmt.Println("log in at", strings.TrimPrefix(authorizationURL, as.URL)[:len("/authorize")])
			return w.authorize(ctx, authorizationURL) // waits for the browser
		},
		Store:      &oauth.MemoryStore{},
		HTTPClient: as.Client(), // trusts the test's certificate; leave both out
		Base:       as.Client().Transport,
	})
	// streamhttp.NewClient takes it as &streamhttp.ClientOptions{HTTPClient: client}.
	client := &http.Client{Transport: t}
	for range 2 {
		res, err := client.Get(server.URL + "/mcp")
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = res.Body.Close()
		fmt.Println(res.Status)
	}
	// Output:
	// log in at /authorize
	// 200 OK
	// 200 OK
}
