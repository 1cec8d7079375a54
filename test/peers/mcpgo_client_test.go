//lint:file-ignore SA1019 what is deprecated has to work too

package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	mcpgo "github.com/mark3labs/mcp-go/mcp"
)

// mcpGoUser answers what a server asks.
type mcpGoUser struct{}

func (mcpGoUser) Elicit(_ context.Context, req mcpgo.ElicitationRequest) (*mcpgo.ElicitationResult, error) {
	r := &mcpgo.ElicitationResult{ElicitationResponse: mcpgo.ElicitationResponse{Action: mcpgo.ElicitationResponseActionAccept}}
	if req.Params.Mode == "url" {
		return r, want(req.Params.URL, "https://example.com/sign-in")
	}
	r.Content = map[string]any{"name": "Ada"}
	return r, nil
}

func (mcpGoUser) CreateMessage(context.Context, mcpgo.CreateMessageRequest) (*mcpgo.CreateMessageResult, error) {
	return &mcpgo.CreateMessageResult{
		SamplingMessage: mcpgo.SamplingMessage{Role: mcpgo.RoleAssistant, Content: mcpgo.NewTextContent("word")}, Model: "none",
	}, nil
}

func (mcpGoUser) ListRoots(context.Context, mcpgo.ListRootsRequest) (*mcpgo.ListRootsResult, error) {
	return &mcpgo.ListRootsResult{Roots: []mcpgo.Root{{URI: "file:///world"}}}, nil
}

func connectMCPGo(t *testing.T, command []string, url, revision string) map[feature]func(context.Context) error {
	t.Helper()
	th := newTheirs(revision)
	var tr transport.Interface
	switch {
	case url == "":
		tr = transport.NewStdio(command[0], nil, command[1:]...)
	case strings.Contains(url, "/sse"):
		var err error
		if tr, err = transport.NewSSE(url); err != nil {
			t.Fatal(err)
		}
	default:
		th.cut = new(atomic.Bool)
		httpClient := &http.Client{Transport: &interferer{base: &http.Transport{}, cut: th.cut}}
		opts := []transport.StreamableHTTPCOption{transport.WithHTTPBasicClient(httpClient)}
		if revision < "2026-07-28" {
			opts = append(opts, transport.WithContinuousListening())
		}
		var err error
		if tr, err = transport.NewStreamableHTTP(url, opts...); err != nil {
			t.Fatal(err)
		}
	}
	c := client.NewClient(tr,
		client.WithProtocolVersion(revision), client.WithElicitationHandler(mcpGoUser{}), client.WithSamplingHandler(mcpGoUser{}), client.WithRootsHandler(mcpGoUser{}),
		client.WithClientCapabilities(mcpgo.ClientCapabilities{Elicitation: &mcpgo.ElicitationCapability{Form: &struct{}{}, URL: &struct{}{}}}))
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.OnNotification(func(n mcpgo.JSONRPCNotification) {
		params := n.Params.AdditionalFields
		switch n.Method {
		case "notifications/progress":
			th.progress <- fmt.Sprint(params["progress"])
		case "notifications/message":
			th.logs <- fmt.Sprint(params["level"], " ", params["logger"], " ", params["data"])
		case "notifications/resources/updated":
			th.updates <- fmt.Sprint(params["uri"])
		case "notifications/tools/list_changed":
			th.changes <- "tools"
		}
	})
	var init mcpgo.InitializeRequest
	init.Params.ProtocolVersion = revision
	init.Params.ClientInfo = mcpgo.Implementation{Name: "mcp-go", Version: "1"}
	init.Params.Capabilities = mcpgo.ClientCapabilities{Elicitation: &mcpgo.ElicitationCapability{Form: &struct{}{}, URL: &struct{}{}}}
	found, err := c.Initialize(t.Context(), init)
	if err != nil {
		t.Fatalf("initialize in %s: %v", revision, err)
	}
	if got := c.ProtocolVersion(); got != revision {
		t.Fatalf("mcp-go speaks %s, want %s", got, revision)
	}
	th.do = func(ctx context.Context, method string, params map[string]any) (json.RawMessage, error) {
		if method == "initialize" {
			return json.Marshal(found)
		}
		res, err := doMCPGo(ctx, c, method, params)
		if err != nil {
			return nil, err
		}
		return json.Marshal(res)
	}
	th.follow = func(ctx context.Context, what mcp.NotificationFilter) error {
		if revision >= "2026-07-28" {
			stop, err := c.ListenAsync(t.Context(), mcpgo.SubscriptionFilter{ToolsListChanged: what.ToolsListChanged, ResourceSubscriptions: what.ResourceSubscriptions}, nil)
			if err == nil {
				t.Cleanup(stop)
			}
			return err
		}
		for _, uri := range what.ResourceSubscriptions {
			var req mcpgo.SubscribeRequest
			req.Params.URI = uri
			if err := c.Subscribe(ctx, req); err != nil {
				return err
			}
		}
		return nil
	}
	return th.features()
}

// doMCPGo makes a request with the call that mcp-go has for it.
func doMCPGo(ctx context.Context, c *client.Client, method string, params map[string]any) (_ any, err error) {
	defer func() { // version 1.2.1 does, when a stream ends without a response
		if p := recover(); p != nil {
			err = fmt.Errorf("mcp-go panics: %v", p)
		}
	}()
	into := func(req any) error {
		b, err := json.Marshal(params)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, req)
	}
	text := func(key string) string { s, _ := params[key].(string); return s }
	switch method {
	case "tools/list":
		var req mcpgo.ListToolsRequest
		req.Params.Cursor = mcpgo.Cursor(text("cursor"))
		return c.ListToolsByPage(ctx, req)
	case "tools/call":
		var req mcpgo.CallToolRequest
		req.Params.Name = text("name")
		if params["progress"] != nil {
			req.Params.Meta = &mcpgo.Meta{ProgressToken: req.Params.Name}
		}
		if level := text("logLevel"); level != "" {
			req.Params.Meta = &mcpgo.Meta{AdditionalFields: map[string]any{"io.modelcontextprotocol/logLevel": level}}
		}
		return c.CallTool(ctx, req)
	case "tools/task":
		var req mcpgo.CallToolRequest
		req.Params.Name = text("name")
		req.Params.Task = &mcpgo.TaskParams{}
		return c.CallTool(ctx, req) // its other calls need the id that this one should bring
	case "resources/list":
		return c.ListResources(ctx, mcpgo.ListResourcesRequest{})
	case "resources/templates/list":
		return c.ListResourceTemplates(ctx, mcpgo.ListResourceTemplatesRequest{})
	case "resources/read":
		var req mcpgo.ReadResourceRequest
		req.Params.URI = text("uri")
		return c.ReadResource(ctx, req)
	case "prompts/list":
		return c.ListPrompts(ctx, mcpgo.ListPromptsRequest{})
	case "prompts/get":
		var req mcpgo.GetPromptRequest
		err := into(&req.Params)
		if err != nil {
			return nil, err
		}
		return c.GetPrompt(ctx, req)
	case "completion/complete":
		var req mcpgo.CompleteRequest
		if err := into(&req.Params); err != nil {
			return nil, err
		}
		return c.Complete(ctx, req)
	case "logging/setLevel":
		var req mcpgo.SetLevelRequest
		req.Params.Level = mcpgo.LoggingLevel(text("level"))
		return struct{}{}, c.SetLevel(ctx, req)
	case "ping":
		return struct{}{}, c.Ping(ctx)
	}
	return nil, fmt.Errorf("no call for %s", method)
}
