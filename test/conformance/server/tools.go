package main

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func after() <-chan time.Time { return time.After(50 * time.Millisecond) }

// png is a red pixel, wav a header without samples.
var (
	png = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82")
	wav = []byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
)

type none struct{}

type toolFunc = func(context.Context, *mcp.Call, none) (*mcp.ToolResult, error)

func content(blocks ...mcp.Content) toolFunc {
	return func(context.Context, *mcp.Call, none) (*mcp.ToolResult, error) {
		return &mcp.ToolResult{Content: blocks}, nil
	}
}

func embedded(uri, mimeType, text string) mcp.Content {
	return &mcp.EmbeddedResource{Resource: mcp.ResourceContents{URI: uri, MIMEType: mimeType, Text: text}}
}

func addTools(s *mcp.Server) error {
	tools := []struct {
		name, description string
		fn                toolFunc
	}{
		{"test_simple_text", "Returns text", content(mcp.Text("This is a simple text response for testing."))},
		{"test_image_content", "Returns an image", content(&mcp.ImageContent{Data: png, MIMEType: "image/png"})},
		{"test_audio_content", "Returns sound", content(&mcp.AudioContent{Data: wav, MIMEType: "audio/wav"})},
		{"test_embedded_resource", "Returns an embedded resource", content(embedded("test://embedded-resource", "text/plain", "This is an embedded resource content."))},
		{"test_multiple_content_types", "Returns content of several types", content(
			mcp.Text("Multiple content types test:"),
			&mcp.ImageContent{Data: png, MIMEType: "image/png"},
			embedded("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`),
		)},
		{"test_error_handling", "Fails", func(context.Context, *mcp.Call, none) (*mcp.ToolResult, error) {
			return nil, errors.New("This tool intentionally returns an error for testing") //lint:ignore ST1005 the suite asks for this text
		}},
		{"test_tool_with_logging", "Logs three times", func(ctx context.Context, call *mcp.Call, _ none) (*mcp.ToolResult, error) {
			for i, text := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
				if i > 0 {
					if err := pause(ctx); err != nil {
						return nil, err
					}
				}
				if err := call.Log(mcp.LogInfo, "conformance", text); err != nil {
					return nil, err
				}
			}
			return &mcp.ToolResult{Content: []mcp.Content{mcp.Text("Logged three messages.")}}, nil
		}},
		{"test_tool_with_progress", "Reports progress", progress},
		{"test_streaming_elicitation", "Streams progress and asks nothing", progress},
	}
	var errs []error
	for _, t := range tools {
		errs = append(errs, mcp.AddTool(s, mcp.Tool{Name: t.name, Description: t.description}, t.fn))
	}
	errs = append(errs, s.AddRawTool(mcp.Tool{
		Name:        "json_schema_2020_12_tool",
		Description: "Has a schema with many keywords of JSON Schema 2020-12",
		InputSchema: mcp.Raw(schema202012),
	}, func(context.Context, *mcp.Call, []byte) (*mcp.ToolResult, error) {
		return &mcp.ToolResult{Content: []mcp.Content{mcp.Text("valid")}}, nil
	}))
	return errors.Join(errs...)
}

func progress(ctx context.Context, call *mcp.Call, _ none) (*mcp.ToolResult, error) {
	for i, done := range []float64{0, 50, 100} {
		if i > 0 {
			if err := pause(ctx); err != nil {
				return nil, err
			}
		}
		if err := call.Progress(done, 100, ""); err != nil {
			return nil, err
		}
	}
	return &mcp.ToolResult{Content: []mcp.Content{mcp.Text("Reported progress.")}}, nil
}

const schema202012 = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "$defs": {
    "address": {
      "$anchor": "addressDef",
      "type": "object",
      "properties": {"street": {"type": "string"}, "city": {"type": "string"}}
    }
  },
  "properties": {
    "name": {"type": "string"},
    "address": {"$ref": "#/$defs/address"},
    "contactMethod": {"type": "string", "enum": ["phone", "email"]},
    "phone": {"type": "string"},
    "email": {"type": "string"}
  },
  "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
  "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
  "then": {"required": ["phone"]},
  "else": {"required": ["email"]},
  "additionalProperties": false
}`
