package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// cacheServer answers everything and counts. Each result is new.
type cacheServer struct {
	ttl    time.Duration
	scope  mcp.CacheScope
	size   int // of a resource
	next   bool
	fail   *mcp.Error
	asks   bool // resources ask first
	during func()
	count  int
	sink   mcp.Sink
}

func (s *cacheServer) Handle(_ context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	if req.Method == mcp.MethodListen {
		s.sink = sink
		_ = sink.Notify(mcp.NewNotification(mcp.NotificationAcknowledged, []byte(`{"notifications":{}}`)))
		return mcp.Result{Stream: true}, nil
	}
	s.count++
	if s.fail != nil {
		return mcp.Result{}, s.fail
	}
	if s.during != nil {
		s.during()
	}
	res := mcp.Result{Cache: mcp.Cache{TTL: s.ttl, Scope: s.scope}}
	switch req.Method {
	case mcp.MethodReadResource:
		if s.asks && jsonrpc.Get(req.Params, "requestState") == nil {
			return mcp.Result{Type: mcp.ResultInputRequired, Body: []byte(`{"requestState":"s"}`)}, nil
		}
		res.Body = fmt.Appendf(nil, `{"contents":[{"uri":"x://","text":"%s%d"}]}`, strings.Repeat("-", s.size), s.count)
	case mcp.MethodListTools:
		res.Body = fmt.Appendf(nil, `{"tools":[{"name":"t%d","inputSchema":{"type":"object"}}]`, s.count)
		if s.next && jsonrpc.Get(req.Params, "cursor") == nil {
			res.Body = append(res.Body, `,"nextCursor":"2"`...)
		}
		res.Body = append(res.Body, '}')
	default:
		res.Body = []byte(`{"prompts":[],"resources":[],"resourceTemplates":[],"content":[],"supportedVersions":[],"capabilities":{},"serverInfo":{"name":"s","version":"1"}}`)
	}
	return res, nil
}

// asked calls and says how many requests came of it.
func (s *cacheServer) asked(t *testing.T, call func() error) int {
	t.Helper()
	before := s.count
	if err := call(); err != nil {
		t.Errorf("call: %v", err)
	}
	return s.count - before
}

func TestClientCache(t *testing.T) {
	const size = 1 << 20
	ctx := context.Background() // the test's own is none of a synctest bubble
	tools := func(c *mcp.Client) func() error {
		return func() error { _, err := c.ListTools(ctx); return err }
	}
	read := func(c *mcp.Client, uri string) func() error {
		return func() error { _, err := c.ReadResource(ctx, uri, nil); return err }
	}
	open := func(t *testing.T, s *cacheServer, c *mcp.Client) {
		sub, err := c.Listen(ctx, mcp.NotificationFilter{}, func(mcp.Event) {})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sub.Close)
	}

	t.Run("as long as the server says", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &cacheServer{ttl: time.Minute, next: true}
			c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
			for i, want := range []int{2, 0, 0, 2} { // two pages
				if got := s.asked(t, tools(c)); got != want {
					t.Errorf("time %d: %d requests, want %d", i, got, want)
				}
				if i == 1 {
					time.Sleep(59 * time.Second)
				}
				if i == 2 {
					time.Sleep(time.Second)
				}
			}
		})
	})
	t.Run("a day at most", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &cacheServer{ttl: 1<<63 - 1}
			c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
			s.asked(t, tools(c))
			time.Sleep(24*time.Hour - time.Nanosecond)
			if got := s.asked(t, tools(c)); got != 0 {
				t.Errorf("%d requests within a day", got)
			}
			time.Sleep(time.Nanosecond)
			if got := s.asked(t, tools(c)); got != 1 {
				t.Errorf("%d requests after a day", got)
			}
		})
	})
	t.Run("what is not kept", func(t *testing.T) {
		for name, s := range map[string]*cacheServer{
			"no time": {}, "negative time": {ttl: -1}, "too large": {ttl: time.Hour, size: size}, "after a question": {ttl: time.Hour, asks: true},
		} {
			c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
			first := s.asked(t, read(c, "x://1"))
			if got := s.asked(t, read(c, "x://1")); got != first {
				t.Errorf("%s: %d requests, want %d", name, got, first)
			}
		}
		s := &cacheServer{ttl: time.Hour}
		c := mcp.NewClient("c", "1", s, nil)
		s.asked(t, tools(c))
		if got := s.asked(t, tools(c)); got != 1 {
			t.Errorf("without a cache: %d requests", got)
		}
		c = mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
		call := func() error { _, err := c.CallTool(ctx, "x", nil, nil); return err }
		s.asked(t, call)
		if got := s.asked(t, call); got != 1 {
			t.Errorf("calls of tools: %d requests", got)
		}
		meta := func() error {
			_, err := c.ReadResource(ctx, "x://1", &mcp.CallOptions{Meta: mcp.Raw(`{"a/b":1}`)})
			return err
		}
		s.asked(t, meta)
		if got := s.asked(t, meta); got != 1 {
			t.Errorf("with _meta: %d requests", got)
		}
	})
	t.Run("by the params", func(t *testing.T) {
		s := &cacheServer{ttl: time.Hour}
		c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
		for i, uri := range []string{"x://1", "x://2", "x://1", "x://2"} {
			if got, want := s.asked(t, read(c, uri)), 1-i/2; got != want {
				t.Errorf("read %d: %d requests, want %d", i, got, want)
			}
		}
	})
	t.Run("one client is not another", func(t *testing.T) {
		s := &cacheServer{ttl: time.Hour, scope: mcp.CachePublic}
		for range 2 {
			if got := s.asked(t, tools(mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size}))); got != 1 {
				t.Errorf("%d requests of a new client", got)
			}
		}
	})
	t.Run("on demand", func(t *testing.T) {
		s := &cacheServer{ttl: time.Hour}
		c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
		s.asked(t, read(c, "x://1"))
		fresh := func() error { _, err := c.ReadResource(ctx, "x://1", &mcp.CallOptions{Fresh: true}); return err }
		if got := s.asked(t, fresh); got != 1 {
			t.Errorf("Fresh: %d requests", got)
		}
		c.DropCache()
		if got := s.asked(t, read(c, "x://1")); got != 1 {
			t.Errorf("after DropCache: %d requests", got)
		}
	})
	t.Run("until it has changed", func(t *testing.T) {
		lists := map[string]func(*mcp.Client) error{
			"tools":     func(c *mcp.Client) error { _, err := c.ListTools(ctx); return err },
			"prompts":   func(c *mcp.Client) error { _, err := c.ListPrompts(ctx); return err },
			"resources": func(c *mcp.Client) error { _, err := c.ListResources(ctx); return err },
			"templates": func(c *mcp.Client) error { _, err := c.ListResourceTemplates(ctx); return err },
			"read":      func(c *mcp.Client) error { _, err := c.ReadResource(ctx, "x://dir", nil); return err },
			"other":     func(c *mcp.Client) error { _, err := c.ReadResource(ctx, "x://other", nil); return err },
			"discover":  func(c *mcp.Client) error { _, err := c.Discover(ctx); return err },
		}
		for _, tt := range []struct {
			event, params string
			stale         string
		}{
			{mcp.NotificationToolsListChanged, ``, "tools"},
			{mcp.NotificationPromptsListChanged, ``, "prompts"},
			{mcp.NotificationResourcesListChanged, ``, "resources templates"},
			{mcp.NotificationResourceUpdated, `{"uri":"x://dir"}`, "read"},
			{mcp.NotificationResourceUpdated, `{"uri":"x://dir/part"}`, "read"},
		} {
			s := &cacheServer{ttl: time.Hour}
			c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
			open(t, s, c)
			for _, list := range lists {
				s.asked(t, func() error { return list(c) })
			}
			var params []byte
			if tt.params != "" {
				params = []byte(tt.params)
			}
			if err := s.sink.Notify(mcp.NewNotification(tt.event, params)); err != nil {
				t.Fatal(err)
			}
			for name, list := range lists {
				want := 0
				if strings.Contains(tt.stale, name) {
					want = 1
				}
				if got := s.asked(t, func() error { return list(c) }); got != want {
					t.Errorf("%s %s: %d requests for %s, want %d", tt.event, tt.params, got, name, want)
				}
			}
		}
	})
	t.Run("not if it changes while it is asked for", func(t *testing.T) {
		s := &cacheServer{ttl: time.Hour}
		c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: size})
		open(t, s, c)
		s.during = func() { _ = s.sink.Notify(mcp.NewNotification(mcp.NotificationToolsListChanged, nil)) }
		s.asked(t, tools(c))
		s.during = nil
		if got := s.asked(t, tools(c)); got != 1 {
			t.Errorf("%d requests: an old list was kept", got)
		}
	})
	t.Run("not beyond a doubt", func(t *testing.T) {
		call := func(c *mcp.Client) error { _, err := c.CallTool(ctx, "x", nil, nil); return err }
		page := func(c *mcp.Client) error { cursor := "old"; _, err := c.ListToolsPage(ctx, &cursor); return err }
		for name, tt := range map[string]struct {
			call func(*mcp.Client) error
			err  *mcp.Error
			want int
		}{
			"an unknown tool":   {call, mcp.ErrInvalidParams("unknown tool"), 1},
			"an unknown cursor": {page, mcp.ErrInvalidParams("unknown cursor"), 1},
			"a failure":         {call, mcp.Errorf(jsonrpc.CodeInternalError, "x"), 0},
		} {
			s := &cacheServer{ttl: time.Hour}
			// The error has come over a wire.
			h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
				res, err := s.Handle(ctx, req, sink)
				var e *mcp.Error
				if errors.As(err, &e) {
					msg, scanErr := jsonrpc.Scan(jsonrpc.AppendError(nil, []byte("1"), e.Code, e.Message, nil), nil)
					if scanErr != nil {
						return res, scanErr
					}
					return mcp.DecodeResponse(&msg)
				}
				return res, err
			})
			c := mcp.NewClient("c", "1", h, &mcp.ClientOptions{CacheBytes: size})
			s.asked(t, tools(c))
			s.fail = tt.err
			if err := tt.call(c); err == nil {
				t.Error("no error")
			}
			s.fail = nil
			if got := s.asked(t, tools(c)); got != tt.want {
				t.Errorf("after %s: %d requests, want %d", name, got, tt.want)
			}
		}
	})
	t.Run("within its bytes", func(t *testing.T) {
		s := &cacheServer{ttl: time.Hour, size: 1000}
		c := mcp.NewClient("c", "1", s, &mcp.ClientOptions{CacheBytes: 10 * 1000}) // fewer than 8 of some 1400 bytes
		for i := range 20 {
			s.asked(t, read(c, "x://first")) // used again and again, it stays
			s.asked(t, read(c, fmt.Sprint("x://", i)))
		}
		if got := s.asked(t, read(c, "x://first")); got != 0 {
			t.Errorf("%d requests for what is used most", got)
		}
		kept := 0
		for i := 19; i >= 0; i-- {
			kept += 1 - s.asked(t, read(c, fmt.Sprint("x://", i)))
		}
		if kept < 4 || kept > 7 {
			t.Errorf("%d of 20 were kept", kept)
		}
	})
}
