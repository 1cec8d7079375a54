package mcp_test

import (
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/go-json-experiment/json"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

func content(b []byte) ([]byte, error) {
	c, err := mcp.UnmarshalContent(b)
	if err != nil {
		return nil, err
	}
	return json.Marshal(c)
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
