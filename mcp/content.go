package mcp

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Raw is JSON text that is carried as it is. The nil Raw is an absent member.
type Raw []byte

// MarshalJSON returns r itself.
func (r Raw) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps a copy of b.
func (r *Raw) UnmarshalJSON(b []byte) error {
	*r = bytes.Clone(b)
	return nil
}

// Content is one block of a tool's result or a prompt's message: *[TextContent],
// *[ImageContent], *[AudioContent], *[ResourceLink], *[EmbeddedResource], in
// sampling also *[ToolUseContent] and *[ToolResultContent], or, from a peer that knows more than this library, *[UnknownContent].
type Content interface {
	appendTo(dst []byte) ([]byte, error)
}

// TextContent is text (MCP 2026-07-28, server/tools, Text Content).
type TextContent struct {
	Text        string       `json:"text"`
	Annotations *Annotations `json:"annotations,omitzero"`
	Meta        Raw          `json:"_meta,omitzero"`
}

// ImageContent is an image (MCP 2026-07-28, server/tools, Image Content).
type ImageContent struct {
	Data        []byte       `json:"data"` // base64 on the wire
	MIMEType    string       `json:"mimeType"`
	Annotations *Annotations `json:"annotations,omitzero"`
	Meta        Raw          `json:"_meta,omitzero"`
}

// AudioContent is sound (MCP 2026-07-28, server/tools, Audio Content).
type AudioContent struct {
	Data        []byte       `json:"data"` // base64 on the wire
	MIMEType    string       `json:"mimeType"`
	Annotations *Annotations `json:"annotations,omitzero"`
	Meta        Raw          `json:"_meta,omitzero"`
}

// ResourceLink points to a resource, which need not be in resources/list
// (MCP 2026-07-28, server/tools, Resource Links).
type ResourceLink Resource

// EmbeddedResource is a resource with its contents (MCP 2026-07-28, server/tools, Embedded Resources).
type EmbeddedResource struct {
	Resource    ResourceContents `json:"resource"`
	Annotations *Annotations     `json:"annotations,omitzero"`
	Meta        Raw              `json:"_meta,omitzero"`
}

// UnknownContent is a block of a type that this library does not know, kept as it came.
type UnknownContent struct {
	Type string
	Raw  Raw // the whole block
}

// Annotations tell a client how to use a block or a resource (MCP 2026-07-28, server/resources, Annotations).
type Annotations struct {
	Audience     []Role   `json:"audience,omitempty"`
	Priority     *float64 `json:"priority,omitzero"` // 0 to 1
	LastModified string   `json:"lastModified,omitzero"`
}

// Role is who speaks or is spoken to.
type Role string

// The roles.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)

// Text returns a block of text.
func Text(s string) Content { return &TextContent{Text: s} }

func (c *TextContent) appendTo(dst []byte) ([]byte, error) {
	if c.Annotations == nil && c.Meta == nil {
		return append(appendText(dst, c.Text), '}'), nil
	}
	type plain TextContent
	return appendTyped(dst, "text", (*plain)(c))
}

// appendText appends a text block without its closing brace.
func appendText[T ~string | ~[]byte](dst []byte, text T) []byte {
	return jsonrpc.AppendString(append(dst, `{"type":"text","text":`...), text)
}

func (c *ImageContent) appendTo(dst []byte) ([]byte, error) {
	type plain ImageContent
	return appendTyped(dst, "image", (*plain)(c))
}

func (c *AudioContent) appendTo(dst []byte) ([]byte, error) {
	type plain AudioContent
	return appendTyped(dst, "audio", (*plain)(c))
}

func (c *ResourceLink) appendTo(dst []byte) ([]byte, error) {
	return appendTyped(dst, "resource_link", (*Resource)(c))
}

func (c *EmbeddedResource) appendTo(dst []byte) ([]byte, error) {
	type plain EmbeddedResource
	return appendTyped(dst, "resource", (*plain)(c))
}

func (c *UnknownContent) appendTo(dst []byte) ([]byte, error) { return append(dst, c.Raw...), nil }

// lenient writes invalid UTF-8 as U+FFFD: a stray byte in a file that a tool reads
// is no reason to lose the whole result.
var lenient = jsontext.AllowInvalidUTF8(true)

// appendTyped appends v, which marshals to an object, with a type member in front.
func appendTyped(dst []byte, typ string, v any) ([]byte, error) {
	b, err := json.Marshal(v, lenient)
	if err != nil {
		return dst, err
	}
	dst = append(append(append(dst, `{"type":"`...), typ...), '"')
	if rest, ok := objectRest(b); ok {
		return append(append(dst, ','), rest...), nil
	}
	return append(dst, '}'), nil
}

// MarshalJSON returns the block as it is sent.
func (c *TextContent) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// MarshalJSON returns the block as it is sent.
func (c *ImageContent) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// MarshalJSON returns the block as it is sent.
func (c *AudioContent) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// MarshalJSON returns the block as it is sent.
func (c *ResourceLink) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// MarshalJSON returns the block as it is sent.
func (c *EmbeddedResource) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// MarshalJSON returns the block as it came.
func (c *UnknownContent) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// appendContents appends an array of blocks.
func appendContents(dst []byte, blocks []Content) ([]byte, error) {
	dst = append(dst, '[')
	for i, c := range blocks {
		if c == nil {
			return dst, fmt.Errorf("content block %d is nil", i)
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = c.appendTo(dst); err != nil {
			return dst, fmt.Errorf("content block %d: %w", i, err)
		}
	}
	return append(dst, ']'), nil
}

// UnmarshalContent decodes one content block.
func UnmarshalContent(b []byte) (Content, error) {
	if err := jsonrpc.Valid(b, nil); err != nil {
		return nil, fmt.Errorf("content block: %w", err)
	}
	b = bytes.TrimSpace(b)
	if !isObject(b) {
		return nil, errors.New("content block is not an object")
	}
	typ, ok := jsonrpc.Unquote(jsonrpc.Get(b, "type"))
	if !ok {
		return nil, errors.New("content block has no type")
	}
	var c Content
	var into any
	switch typ {
	case "text":
		t := new(TextContent)
		c, into = t, t
	case "image":
		t := new(ImageContent)
		c, into = t, t
	case "audio":
		t := new(AudioContent)
		c, into = t, t
	case "resource_link":
		t := new(ResourceLink)
		c, into = t, (*Resource)(t)
	case "resource":
		t := new(EmbeddedResource)
		c, into = t, t
	case "tool_use":
		t := new(ToolUseContent)
		c, into = t, t
	case "tool_result":
		t := new(ToolResultContent)
		c, into = t, t
	default:
		return &UnknownContent{Type: typ, Raw: bytes.Clone(b)}, nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return nil, fmt.Errorf("content block of type %q: %w", typ, err)
	}
	return c, nil
}

func unmarshalContents(blocks []Raw) ([]Content, error) {
	out := make([]Content, len(blocks))
	for i, b := range blocks {
		var err error
		if out[i], err = UnmarshalContent(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ToolResult is the result of a tool (MCP 2026-07-28, server/tools, Tool Result).
type ToolResult struct {
	Content []Content
	// Structured is the structuredContent, any JSON value; nil means none.
	Structured Raw
	// IsError says that the tool failed and that Content says why.
	IsError bool
	// Meta is the result's _meta object, or nil.
	Meta Raw
}

// ErrorResult is the result of a tool that failed with a message for the model.
func ErrorResult(text string) *ToolResult {
	return &ToolResult{Content: []Content{Text(text)}, IsError: true}
}

// Text returns the text of all text blocks, joined by line breaks.
func (r *ToolResult) Text() string { return textOf(r.Content) }

func textOf(blocks []Content) string {
	var b []byte
	for _, c := range blocks {
		if t, ok := c.(*TextContent); ok {
			if len(b) > 0 {
				b = append(b, '\n')
			}
			b = append(b, t.Text...)
		}
	}
	return string(b)
}

// Decode decodes the structured content into v.
func (r *ToolResult) Decode(v any) error {
	if r.Structured == nil {
		return errors.New("tool result has no structured content")
	}
	return json.Unmarshal(r.Structured, v)
}

// MarshalJSON encodes r as the result object of tools/call.
func (r *ToolResult) MarshalJSON() ([]byte, error) {
	b, err := r.appendMembers([]byte{'{'})
	if err != nil {
		return nil, err
	}
	if r.Meta != nil {
		b = append(append(b, `,"_meta":`...), r.Meta...)
	}
	return append(b, '}'), nil
}

// appendMembers appends the members of r without _meta.
func (r *ToolResult) appendMembers(dst []byte) ([]byte, error) {
	dst, err := appendContents(append(dst, `"content":`...), r.Content)
	if err != nil {
		return dst, err
	}
	if r.Structured != nil {
		dst = append(append(dst, `,"structuredContent":`...), r.Structured...)
	}
	if r.IsError {
		dst = append(dst, `,"isError":true`...)
	}
	return dst, nil
}

// UnmarshalJSON decodes the result object of tools/call.
func (r *ToolResult) UnmarshalJSON(b []byte) error {
	var w struct {
		Content    []Raw `json:"content"`
		Structured Raw   `json:"structuredContent"`
		IsError    bool  `json:"isError"`
		Meta       Raw   `json:"_meta"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	content, err := unmarshalContents(w.Content)
	if err != nil {
		return err
	}
	*r = ToolResult{Content: content, Structured: w.Structured, IsError: w.IsError, Meta: w.Meta}
	return nil
}
