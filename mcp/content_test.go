package mcp_test

import (
	"bytes"
	stdjson "encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

// roundTrip decodes into a T and encodes it again.
func roundTrip[T any](b []byte) ([]byte, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(&v)
}

func content(b []byte) ([]byte, error) {
	c, err := mcp.UnmarshalContent(b)
	if err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// TestSpecExamples decodes and encodes every example of the specification that is
// of one of our types, and scans every one that is a message.
func TestSpecExamples(t *testing.T) {
	types := map[string]func([]byte) ([]byte, error){
		"TextContent": content, "ImageContent": content, "AudioContent": content, "ResourceLink": content, "EmbeddedResource": content,
		"ToolUseContent": content, "ToolResultContent": content,
		"TextResourceContents":        roundTrip[mcp.ResourceContents],
		"BlobResourceContents":        roundTrip[mcp.ResourceContents],
		"Resource":                    roundTrip[mcp.Resource],
		"Tool":                        roundTrip[mcp.Tool],
		"ServerCapabilities":          roundTrip[mcp.ServerCapabilities],
		"ClientCapabilities":          roundTrip[mcp.ClientCapabilities],
		"CallToolResult":              roundTrip[mcp.ToolResult],
		"GetPromptResult":             roundTrip[mcp.PromptResult],
		"CompleteResult":              roundTrip[mcp.CompleteResult],
		"DiscoverResult":              roundTrip[mcp.DiscoverResult],
		"ListToolsResult":             roundTrip[mcp.ListToolsResult],
		"ListPromptsResult":           roundTrip[mcp.ListPromptsResult],
		"ListResourcesResult":         roundTrip[mcp.ListResourcesResult],
		"ListResourceTemplatesResult": roundTrip[mcp.ListResourceTemplatesResult],
		"ReadResourceResult":          roundTrip[mcp.ReadResourceResult],
	}
	files, err := filepath.Glob("testdata/spec/2026-07-28/examples/*/*.json")
	if err != nil || len(files) < 80 {
		t.Fatalf("found %d examples, %v", len(files), err)
	}
	for _, file := range files {
		typ := filepath.Base(filepath.Dir(file))
		t.Run(typ+"/"+filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := jsonrpc.Valid(b, nil); err != nil {
				t.Fatalf("Valid: %v", err)
			}
			if jsonrpc.Get(bytes.TrimSpace(b), "jsonrpc") != nil {
				exampleMessage(t, typ, b)
			}
			if try := types[typ]; try != nil {
				again, err := try(b)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(meaning(t, b), meaning(t, again)); diff != "" {
					t.Errorf("round trip (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// exampleMessage sends an example through the codec.
func exampleMessage(t *testing.T, typ string, b []byte) {
	t.Helper()
	msg, err := jsonrpc.Scan(b, nil)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	switch msg.Kind {
	case jsonrpc.Request:
		req, werr := mcp.DecodeRequest(&msg)
		if werr != nil {
			t.Fatalf("DecodeRequest: %v", werr)
		}
		again := mcp.AppendRequest(nil, msg.ID, req, req.Meta.ProgressToken)
		if diff := cmp.Diff(meaning(t, b), meaning(t, again)); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	case jsonrpc.Response:
		method := map[string]string{
			"CallToolResultResponse": "tools/call", "CompleteResultResponse": "completion/complete", "GetPromptResultResponse": "prompts/get",
			"DiscoverResultResponse": "server/discover", "ListToolsResultResponse": "tools/list", "ListPromptsResultResponse": "prompts/list",
			"ListResourcesResultResponse": "resources/list", "ListResourceTemplatesResultResponse": "resources/templates/list",
			"ReadResourceResultResponse": "resources/read", "SubscriptionsListenResultResponse": "subscriptions/listen",
		}[typ]
		res, err := mcp.DecodeResponse(&msg)
		if err != nil {
			t.Fatalf("DecodeResponse: %v", err)
		}
		want := meaning(t, b)
		if method == "resources/read" && jsonrpc.Get(msg.Result, "ttlMs") == nil {
			return // the example shows what is allowed to come; we always send a hint
		}
		if diff := cmp.Diff(want, meaning(t, mcp.AppendResponse(nil, msg.ID, method, res, nil))); diff != "" {
			t.Errorf("response (-want +got):\n%s", diff)
		}
	}
}

// meaning decodes JSON for comparison. What says the default is taken out, and
// what the edge writes too.
func meaning(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := stdjson.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if m, ok := v.(map[string]any); ok {
		if m["isError"] == false {
			delete(m, "isError")
		}
		if c, ok := m["completion"].(map[string]any); ok && c["hasMore"] == false {
			delete(c, "hasMore")
		}
		if _, envelope := m["jsonrpc"]; !envelope {
			for _, key := range []string{"resultType", "ttlMs", "cacheScope"} {
				delete(m, key)
			}
		}
	}
	return v
}

func TestUnmarshalContentRefuses(t *testing.T) {
	for _, text := range []string{``, `1`, `{`, `{}`, `{"type":1}`, `{"type":"text","text":1}`, `{"type":"image","data":"*","mimeType":"a/b"}`} {
		if c, err := mcp.UnmarshalContent([]byte(text)); err == nil {
			t.Errorf("UnmarshalContent(%s): got %#v", text, c)
		}
	}
}

func TestUnknownContentIsKept(t *testing.T) {
	const text = `{"type":"hologram","x":[1]}`
	got, err := content([]byte(text))
	if err != nil || string(got) != text {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestToolResultText(t *testing.T) {
	r := &mcp.ToolResult{Content: []mcp.Content{mcp.Text("a"), &mcp.AudioContent{}, mcp.Text("b")}, Structured: mcp.Raw(`{"n":1}`)}
	if got := r.Text(); got != "a\nb" {
		t.Errorf("Text: got %q", got)
	}
	var v struct {
		N int `json:"n"`
	}
	if err := r.Decode(&v); err != nil || v.N != 1 {
		t.Errorf("Decode: got %+v, %v", v, err)
	}
	if err := (&mcp.ToolResult{}).Decode(&v); err == nil || !strings.Contains(err.Error(), "no structured content") {
		t.Errorf("Decode of nothing: got %v", err)
	}
}
