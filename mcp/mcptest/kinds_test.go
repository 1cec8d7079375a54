package mcptest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// neverSent are the kinds of messages that a revision has and that neither our
// client nor our server sends to the other, by "side what method".
var neverSent = map[string]string{
	"client request ping":                                    "nobody needs to ask: a connection that is gone shows at the next call",
	"server result ping":                                     "our client sends no ping; mcp/stdio TestServeAnswers answers one",
	"server request ping":                                    "nobody needs to ask",
	"client result ping":                                     "our server sends no ping; mcp/stdio TestLegacyTranslation answers one",
	"client notification notifications/progress":             "our client says nothing about how far an answer is",
	"server notification notifications/cancelled":            "a question is taken back only when its call ends before; mcp/internal/legacy shows it",
	"client notification notifications/tasks/status":         "tasks of the client are refused",
	"server request tasks/get":                               "tasks of the client are refused",
	"server request tasks/result":                            "tasks of the client are refused",
	"server request tasks/cancel":                            "tasks of the client are refused",
	"server request tasks/list":                              "tasks of the client are refused",
	"client result tasks/get":                                "tasks of the client are refused",
	"client result tasks/result":                             "tasks of the client are refused",
	"client result tasks/cancel":                             "tasks of the client are refused",
	"client result tasks/list":                               "tasks of the client are refused",
	"client request tasks/get":                               "our client has the tasks of 2026-07-28",
	"client request tasks/result":                            "our client has the tasks of 2026-07-28",
	"client request tasks/cancel":                            "our client has the tasks of 2026-07-28",
	"client request tasks/list":                              "our client has the tasks of 2026-07-28",
	"server result tasks/get":                                "our client has the tasks of 2026-07-28; mcp/internal/legacy shows those of 2025-11-25",
	"server result tasks/result":                             "our client has the tasks of 2026-07-28; mcp/internal/legacy shows those of 2025-11-25",
	"server result tasks/cancel":                             "our client has the tasks of 2026-07-28; mcp/internal/legacy shows those of 2025-11-25",
	"server result tasks/list":                               "our client has the tasks of 2026-07-28; mcp/internal/legacy shows those of 2025-11-25",
	"server notification notifications/tasks/status":         "our client has the tasks of 2026-07-28; mcp/internal/legacy shows those of 2025-11-25",
	"server notification notifications/elicitation/complete": "what came of a page the server's own site tells",
}

// kindsOf lists what a revision's schema lets the two sides send.
func kindsOf(s *wirecheck.Schema) (kinds []wirecheck.Kind) {
	methods := func(union string, of map[string]string) (all []string) {
		names := s.Members(union)
		for method, name := range of {
			if slices.Contains(names, name) || names == nil && s.Has(union) && union == "ClientNotification" && method == "notifications/cancelled" {
				all = append(all, method)
			}
		}
		return all
	}
	for _, side := range []wirecheck.Side{wirecheck.Client, wirecheck.Server} {
		title := strings.ToUpper(string(side[:1])) + string(side[1:])
		other := wirecheck.Server
		if side == wirecheck.Server {
			other = wirecheck.Client
		}
		for _, method := range methods(title+"Request", s.Requests) {
			kinds = append(kinds, wirecheck.Kind{Revision: s.Revision, From: side, What: "request", Method: method},
				wirecheck.Kind{Revision: s.Revision, From: other, What: "result", Method: method})
		}
		for _, method := range methods(title+"Notification", s.Notifications) {
			kinds = append(kinds, wirecheck.Kind{Revision: s.Revision, From: side, What: "notification", Method: method})
		}
	}
	return kinds
}

// TestEveryKindOfMessage has our client and our server say all that they can, in
// each revision, and holds every message against its schema. A kind that the schema
// has and that did not come is an error.
func TestEveryKindOfMessage(t *testing.T) {
	seen := wirecheck.New()
	for _, version := range mcp.Versions() {
		t.Run("pipe "+string(version), func(t *testing.T) {
			tap := wirecheck.New()
			t.Cleanup(func() { seen.Add(tap) }) // when both ends are closed
			s := talkative()
			talk(t, s, mcptest.PairOn(t, s, version, tap), tap, version.Modern())
		})
	}
	for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		t.Run("HTTP "+string(era), func(t *testing.T) {
			tap := wirecheck.New()
			t.Cleanup(func() { seen.Add(tap) })
			s := talkative()
			web := httptest.NewServer(streamhttp.NewHandler(s, nil))
			t.Cleanup(web.Close)
			c := streamhttp.NewClient(web.URL, &streamhttp.ClientOptions{
				Era: era, HTTPClient: &http.Client{Transport: &http.Transport{DialContext: tap.Dial}},
				Capabilities: []byte(`{"roots":{"listChanged":true},"sampling":{},"elicitation":{"form":{},"url":{}}}`),
			})
			t.Cleanup(func() { _ = c.Close(context.Background()) })
			talk(t, s, c, tap, era == streamhttp.EraModern)
		})
	}
	report := seen.Check(wirecheck.Client, wirecheck.Server)
	for _, problem := range report.Problems {
		t.Error(problem)
	}
	used := map[string]bool{}
	for _, revision := range wirecheck.Revisions() {
		for _, kind := range kindsOf(wirecheck.Of(revision)) {
			key := string(kind.From) + " " + kind.What + " " + kind.Method
			why := neverSent[key]
			used[key] = true
			switch came := report.Seen[kind] > 0; {
			case !came && why == "":
				t.Errorf("%s never came", kind)
			case came && why != "":
				t.Errorf("%s came, but the table says: %s", kind, why)
			}
		}
	}
	for key := range neverSent {
		if !used[key] {
			t.Errorf("no revision has %s", key)
		}
	}
	t.Logf("seen:\n%s", report)
}

// talkative is world with tools that ask and change things.
func talkative() *mcp.Server {
	s := world()
	add := func(name string, fn func(context.Context, *mcp.Call) error) {
		err := mcp.AddTool(s, mcp.Tool{Name: name}, func(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
			return "done", fn(ctx, call)
		})
		if err != nil {
			panic(err)
		}
	}
	add("form", func(ctx context.Context, call *mcp.Call) error {
		_, err := call.Elicit(ctx, "q", mcp.FormOf[struct {
			Name string `json:"name"`
		}]("Who?"))
		return err
	})
	add("sample", func(ctx context.Context, call *mcp.Call) error {
		_, err := call.Sample(ctx, "q", &mcp.SampleParams{
			Messages: []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("Say a word")}}}, MaxTokens: 10,
		})
		return err
	})
	add("roots", func(ctx context.Context, call *mcp.Call) error {
		_, err := call.Roots(ctx, "q")
		return err
	})
	return s
}

// talk has a client do everything.
func talk(t *testing.T, s *mcp.Server, h mcp.Handler, tap *wirecheck.Tap, modern bool) {
	t.Helper()
	ctx, cancelAll := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancelAll()
	c := mcp.NewClient("test", "1", h, &mcp.ClientOptions{
		OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"name":"Ada"}`)}, nil
		},
		OnSample: func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) {
			return &mcp.SampleResult{SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: []mcp.Content{mcp.Text("word")}}, Model: "m"}, nil
		},
		OnListRoots: func(context.Context) ([]mcp.Root, error) { return []mcp.Root{{URI: "file:///a"}}, nil },
	})
	if _, err := c.Discover(ctx); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"list tools":     func() error { _, err := c.ListTools(ctx); return err },
		"list resources": func() error { _, err := c.ListResources(ctx); return err },
		"list templates": func() error { _, err := c.ListResourceTemplates(ctx); return err },
		"list prompts":   func() error { _, err := c.ListPrompts(ctx); return err },
		"read":           func() error { _, err := c.ReadResource(ctx, "city://Ulm", nil); return err },
		"prompt":         func() error { _, err := c.GetPrompt(ctx, "greet", map[string]string{"who": "Ada"}, nil); return err },
		"complete": func() error {
			_, err := c.Complete(ctx, mcp.CompleteParams{Prompt: "greet", Argument: "who", Value: "a"})
			return err
		},
		"count": func() error {
			_, err := c.CallTool(ctx, "count", map[string]int{"steps": 2}, &mcp.CallOptions{
				Progress: func(mcp.Progress) {}, LogLevel: mcp.LogInfo, Log: func(mcp.LogMessage) {},
			})
			return err
		},
		"sample": func() error { _, err := c.CallTool(ctx, "sample", nil, nil); return err },
		"roots":  func() error { _, err := c.CallTool(ctx, "roots", nil, nil); return err },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Before 2025-06-18 there are no forms, and the tool fails.
	if _, err := c.CallTool(ctx, "form", nil, nil); err != nil && !mcp.IsWireError(err) {
		t.Errorf("form: %v", err)
	}
	calling, cancel := context.WithCancel(ctx)
	if _, err := c.CallTool(calling, "hang", nil, &mcp.CallOptions{Progress: func(mcp.Progress) { cancel() }}); err == nil {
		t.Error("hang returned")
	}
	cancel()
	if err := c.RootsChanged(ctx); err != nil {
		t.Errorf("RootsChanged: %v", err)
	}

	events := make(chan mcp.Event, 8)
	filter := mcp.NotificationFilter{
		ToolsListChanged: true, PromptsListChanged: true, ResourcesListChanged: true, ResourceSubscriptions: []string{"world://ü"},
	}
	sub, err := c.Listen(ctx, filter, func(e mcp.Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	s.RemoveTools("panic")
	s.RemovePrompts("greet")
	s.RemoveResourceTemplates("city://{name}")
	s.ResourceUpdated("world://ü")
	for range 4 {
		select {
		case <-events:
		case <-ctx.Done():
			t.Fatal("events did not come")
		}
	}
	sub.Close()
	if !modern {
		// What ends a subscription to a resource is sent later.
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for !unsubscribed(tap) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal("the subscription did not end")
			}
		}
		return
	}
	// A server that stops ends a subscription with its result.
	if sub, err = c.Listen(ctx, filter, func(mcp.Event) {}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	select {
	case <-sub.Done():
	case <-ctx.Done():
		t.Fatal("the server's end of the subscription did not come")
	}
}

// unsubscribed reports whether the server has answered what ends a subscription to a resource.
func unsubscribed(tap *wirecheck.Tap) bool {
	for kind := range tap.Check(wirecheck.Server).Seen {
		if kind.Method == "resources/unsubscribe" {
			return true
		}
	}
	return false
}
