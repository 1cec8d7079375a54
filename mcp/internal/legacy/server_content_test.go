package legacy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/google/go-cmp/cmp"
)

// resultIn is what a session of a revision makes of a result.
func resultIn(t *testing.T, version mcp.Version, method, params, result string) string {
	t.Helper()
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request, _ mcp.Sink) (mcp.Result, error) {
		if req.Method == mcp.MethodDiscover {
			return mcp.Result{Body: []byte(`{"supportedVersions":["2026-07-28"],"capabilities":{}}`)}, nil
		}
		return mcp.Result{Body: []byte(result)}, nil
	})
	s, _, werr := legacy.New(t.Context(), h, scan(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`, version)), mcp.Principal{})
	if werr != nil {
		t.Fatal(werr)
	}
	defer s.Close()
	answer, ok := s.Handle(t.Context(), time.Time{}, scan(t, fmt.Sprintf(`{"jsonrpc":"2.0","id":2,"method":%q,"params":%s}`, method, params)), nil, plainStream{mcp.Discard})
	if !ok {
		t.Fatal("no answer")
	}
	return string(jsonrpc.Get(answer, "result"))
}

// plainStream is a Stream of a client that is asked nothing.
type plainStream struct{ mcp.Sink }

func (plainStream) Send([]byte) error { return mcp.ErrSinkClosed }

func TestContentOfEachRevision(t *testing.T) {
	const (
		meta   = `"annotations":{"audience":["user"],"priority":0.5,"lastModified":"2025-01-12T15:00:58Z"},"_meta":{"a/b":1}`
		text   = `{"type":"text","text":"t",` + meta + `}`
		image  = `{"type":"image","data":"aQ==","mimeType":"image/png"}`
		res    = `{"type":"resource","resource":{"uri":"x:y","text":"r"}}`
		audio  = `{"type":"audio","data":"YQ==","mimeType":"audio/wav",` + meta + `}`
		link   = `{"type":"resource_link","uri":"file:///r.csv","name":"r","title":"The R","mimeType":"text/csv","description":"Rows","icons":[{"src":"https://x/i.png"}],"size":3,` + meta + `}`
		bare   = `{"type":"resource_link","uri":"file:///r","name":"r"}`
		future = `{"type":"hologram","data":"aA=="}`

		audioEmbedded = `{"type":"resource","resource":{"uri":"embedded://audio/3","mimeType":"audio/wav","blob":"YQ=="},` + meta + `}`
		linkText      = `{"type":"text","text":"Resource The R: file:///r.csv (text/csv)\nRows",` + meta + `}`
		bareText      = `{"type":"text","text":"Resource r: file:///r"}`
		futureText    = `{"type":"text","text":"[Content of the type \"hologram\" is left out: the client's revision of the protocol does not know it.]"}`
	)
	all := text + "," + image + "," + res + "," + audio + "," + link + "," + bare + "," + future
	for version, want := range map[mcp.Version]string{
		mcp.Version20241105: text + "," + image + "," + res + "," + audioEmbedded + "," + linkText + "," + bareText + "," + futureText,
		mcp.Version20250326: text + "," + image + "," + res + "," + audio + "," + linkText + "," + bareText + "," + futureText,
		mcp.Version20250618: all,
		mcp.Version20251125: all,
	} {
		got := resultIn(t, version, mcp.MethodCallTool, `{"name":"x"}`, `{"content":[`+all+`],"isError":false,"_meta":{"m":1}}`)
		if diff := cmp.Diff(`{"content":[`+want+`],"isError":false,"_meta":{"m":1}}`, got); diff != "" {
			t.Errorf("%s: tool (-want +got):\n%s", version, diff)
		}
	}
	for version, want := range map[mcp.Version]string{mcp.Version20241105: bareText, mcp.Version20250326: bareText, mcp.Version20250618: bare} {
		got := resultIn(t, version, mcp.MethodGetPrompt, `{"name":"x"}`, `{"messages":[{"role":"user","content":`+text+`},{"role":"assistant","content":`+bare+`}]}`)
		if diff := cmp.Diff(`{"messages":[{"role":"user","content":`+text+`},{"role":"assistant","content":`+want+`}]}`, got); diff != "" {
			t.Errorf("%s: prompt (-want +got):\n%s", version, diff)
		}
	}
	// What a revision knows is not even copied.
	const known = `{"content":[` + text + `,` + image + `,` + res + `]}`
	for _, version := range mcp.Versions()[1:] {
		if got := resultIn(t, version, mcp.MethodCallTool, `{"name":"x"}`, known); got != known {
			t.Errorf("%s: %s", version, got)
		}
	}
}

func TestSchemasOfEachRevision(t *testing.T) {
	const (
		free   = `{"type":"object","properties":{"a":true,"b":false,"c":{"type":"string"}},"required":["c"]}`
		plain  = `{"type":"object","properties":{"a":{},"b":{"not":{}},"c":{"type":"string"}},"required":["c"]}`
		others = `{"name":"y","inputSchema":{"type":"object"},"icons":[{"src":"https://x/i.png","theme":"dark"}],"title":"Y"}`
	)
	for version, want := range map[mcp.Version]string{
		mcp.Version20241105: `{"name":"x","inputSchema":` + plain + `}`,
		mcp.Version20250326: `{"name":"x","inputSchema":` + plain + `}`,
		mcp.Version20250618: `{"name":"x","inputSchema":` + plain + `,"outputSchema":` + plain + `}`,
		mcp.Version20251125: `{"name":"x","inputSchema":` + plain + `,"outputSchema":` + plain + `}`,
	} {
		got := resultIn(t, version, mcp.MethodListTools, `{}`, `{"tools":[{"name":"x","inputSchema":`+free+`,"outputSchema":`+free+`},`+others+`]}`)
		if diff := cmp.Diff(`{"tools":[`+want+`,`+others+`]}`, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", version, diff)
		}
	}
}

// Everything that a server can say at once. Pair holds each message against the
// schema of its revision.
func TestEverythingFitsTheSchemas(t *testing.T) {
	priority, size := 1.0, int64(3)
	annotations := &mcp.Annotations{Audience: []mcp.Role{mcp.RoleUser}, Priority: &priority, LastModified: "2025-01-12T15:00:58Z"}
	icons := []mcp.Icon{{Src: "https://example.com/icon.png", MIMEType: "image/png", Sizes: []string{"48x48"}}}
	meta := mcp.Raw(`{"com.example/x":1}`)
	link := &mcp.ResourceLink{URI: "file:///r.csv", Name: "r", Title: "The R", Description: "Rows", MIMEType: "text/csv", Size: &size, Annotations: annotations, Icons: icons, Meta: meta}
	blocks := []mcp.Content{
		&mcp.TextContent{Text: "t", Annotations: annotations, Meta: meta},
		&mcp.ImageContent{Data: []byte("i"), MIMEType: "image/png", Annotations: annotations, Meta: meta},
		&mcp.AudioContent{Data: []byte("a"), MIMEType: "audio/wav", Annotations: annotations, Meta: meta},
		link,
		&mcp.EmbeddedResource{Resource: mcp.ResourceContents{URI: "x:y", MIMEType: "text/plain", Text: "e", Meta: meta}, Annotations: annotations, Meta: meta},
		&mcp.EmbeddedResource{Resource: mcp.ResourceContents{URI: "x:z", Blob: []byte("b")}},
	}
	s := mcp.NewServer("s", "1", &mcp.ServerOptions{Title: "S", Description: "d", WebsiteURL: "https://example.com", Icons: icons, Instructions: "i"})
	destructive := true
	for _, err := range []error{
		s.AddRawTool(mcp.Tool{
			Name: "all", Title: "All", Description: "d", Icons: icons, Meta: meta, Annotations: &mcp.ToolAnnotations{Title: "A", DestructiveHint: &destructive},
			InputSchema:  mcp.Raw(`{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"a":true}}`),
			OutputSchema: mcp.Raw(`{"type":["object","array"]}`),
		}, func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) {
			return &mcp.ToolResult{Content: blocks, Structured: mcp.Raw(`[1]`), Meta: meta}, nil
		}),
		s.AddPrompt(mcp.Prompt{Name: "p", Title: "P", Icons: icons, Meta: meta, Arguments: []mcp.PromptArgument{{Name: "a", Title: "A"}}}, func(context.Context, *mcp.Call, map[string]string) (*mcp.PromptResult, error) {
			r := &mcp.PromptResult{Meta: meta}
			for _, b := range blocks {
				r.Messages = append(r.Messages, mcp.PromptMessage{Role: mcp.RoleUser, Content: b})
			}
			return r, nil
		}),
		s.AddResource(mcp.Resource(*link), func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) {
			return []mcp.ResourceContents{{Text: "r", Meta: meta}}, nil
		}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			c := mcp.NewClient("c", "1", mcptest.Pair(t, s, version), nil)
			if _, err := c.ListTools(t.Context()); err != nil {
				t.Error(err)
			}
			if r, err := c.CallTool(t.Context(), "all", nil, nil); err != nil || len(r.Content) != len(blocks) {
				t.Errorf("CallTool = %+v, %v", r, err)
			}
			if r, err := c.GetPrompt(t.Context(), "p", map[string]string{"a": "1"}, nil); err != nil || len(r.Messages) != len(blocks) {
				t.Errorf("GetPrompt = %+v, %v", r, err)
			}
			if _, err := c.ListPrompts(t.Context()); err != nil {
				t.Error(err)
			}
			if list, err := c.ListResources(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("ListResources = %+v, %v", list, err)
			}
			if _, err := c.ReadResource(t.Context(), link.URI, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a client's model is asked has only content that the client's revision knows.
func TestSamplingContentOfEachRevision(t *testing.T) {
	const (
		audio = `{"role":"user","content":{"type":"audio","data":"YQ==","mimeType":"audio/wav"}}`
		text  = `{"role":"user","content":{"type":"text","text":"t"}}`
		left  = `{"role":"user","content":{"type":"text","text":"[Content of the type \"audio\" is left out: the client's revision of the protocol does not know it.]"}}`
	)
	sound := &mcp.AudioContent{Data: []byte("a"), MIMEType: "audio/wav"}
	for version, want := range map[string]string{
		"2024-11-05": left + "," + text + "," + left,
		"2025-03-26": audio + "," + text + "," + audio,
		"2025-06-18": audio + "," + text + "," + audio,
		"2025-11-25": audio + `,{"role":"user","content":[{"type":"text","text":"t"},{"type":"audio","data":"YQ==","mimeType":"audio/wav"}]}`,
	} {
		s := with(t, version, `{"sampling":{}}`, func(ctx context.Context, call *mcp.Call) (string, error) {
			r, err := call.Sample(ctx, "m", &mcp.SampleParams{MaxTokens: 9, Messages: []mcp.SamplingMessage{
				{Role: mcp.RoleUser, Content: []mcp.Content{sound}},
				{Role: mcp.RoleUser, Content: []mcp.Content{mcp.Text("t"), sound}},
			}})
			if err != nil {
				return "", err
			}
			return r.Text(), nil
		})
		p := &person{t: t, session: s, reply: func(string, string) string {
			return `"result":{"role":"assistant","content":{"type":"text","text":"heard"},"model":"m"}`
		}}
		if got := ask(t, s, p, callTool); !strings.Contains(got, "heard") {
			t.Errorf("%s: got %s", version, got)
		}
		if diff := cmp.Diff(`sampling/createMessage {"messages":[`+want+`],"maxTokens":9}`, p.took()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", version, diff)
		}
	}
}
