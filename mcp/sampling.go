package mcp

import (
	"errors"
	"fmt"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// SampleParams are the params of sampling/createMessage: a server asks the client's
// model (MCP 2026-07-28, client/sampling).
//
// Deprecated in the protocol since 2026-07-28.
type SampleParams struct {
	Messages         []SamplingMessage `json:"messages"`
	ModelPreferences *ModelPreferences `json:"modelPreferences,omitzero"`
	SystemPrompt     string            `json:"systemPrompt,omitzero"`
	IncludeContext   IncludeContext    `json:"includeContext,omitzero"`
	Temperature      *float64          `json:"temperature,omitzero"`
	MaxTokens        int64             `json:"maxTokens"`
	StopSequences    []string          `json:"stopSequences,omitempty"`
	Metadata         Raw               `json:"metadata,omitzero"` // object for the model's provider
	Tools            []Tool            `json:"tools,omitempty"`
	ToolChoice       *ToolChoice       `json:"toolChoice,omitzero"`
	Meta             Raw               `json:"_meta,omitzero"`
}

// IncludeContext says whose context the client should add to the messages.
type IncludeContext string

// The contexts. Those besides none need the capability sampling.context.
const (
	IncludeNone       IncludeContext = "none"
	IncludeThisServer IncludeContext = "thisServer"
	IncludeAllServers IncludeContext = "allServers"
)

// ModelPreferences say what kind of model the server would like.
type ModelPreferences struct {
	Hints                []ModelHint `json:"hints,omitempty"` // names to try, in order
	CostPriority         *float64    `json:"costPriority,omitzero"`
	SpeedPriority        *float64    `json:"speedPriority,omitzero"`
	IntelligencePriority *float64    `json:"intelligencePriority,omitzero"` // each 0 to 1
}

// ModelHint is a part of a model's name.
type ModelHint struct {
	Name string `json:"name,omitzero"`
}

// ToolChoice says whether the model may or must use tools: auto, required or none.
type ToolChoice struct {
	Mode string `json:"mode,omitzero"`
}

// SamplingMessage is a message to or from a model. Its content is text, images,
// sound, [ToolUseContent] and [ToolResultContent]; on the wire one block stands for itself.
type SamplingMessage struct {
	Role    Role
	Content []Content
	Meta    Raw

	list bool // a single block came as an array
}

// SampleResult is the answer of a model.
//
// Deprecated in the protocol since 2026-07-28.
type SampleResult struct {
	SamplingMessage
	Model string
	// StopReason is endTurn, stopSequence, maxTokens, toolUse or the provider's own; empty if unknown.
	StopReason string
}

// Text returns the text of all text blocks, joined by line breaks.
func (m *SamplingMessage) Text() string { return textOf(m.Content) }

// ToolUseContent is a call that a model wants to make (MCP 2026-07-28, client/sampling, Sampling with Tools).
type ToolUseContent struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Input Raw    `json:"input"` // object
	Meta  Raw    `json:"_meta,omitzero"`
}

// ToolResultContent is what came of a call that a model wanted.
type ToolResultContent struct {
	ToolUseID  string
	Content    []Content
	Structured Raw // any JSON value; nil means none
	IsError    bool
	Meta       Raw
}

func (c *ToolUseContent) appendTo(dst []byte) ([]byte, error) {
	type plain ToolUseContent
	return appendTyped(dst, "tool_use", (*plain)(c))
}

// MarshalJSON returns the block as it is sent.
func (c *ToolUseContent) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

func (c *ToolResultContent) appendTo(dst []byte) ([]byte, error) {
	dst = jsonrpc.AppendString(append(dst, `{"type":"tool_result","toolUseId":`...), c.ToolUseID)
	r := ToolResult{Content: c.Content, Structured: c.Structured, IsError: c.IsError}
	dst, err := r.appendMembers(append(dst, ','))
	if err != nil {
		return dst, err
	}
	if c.Meta != nil {
		dst = append(append(dst, `,"_meta":`...), c.Meta...)
	}
	return append(dst, '}'), nil
}

// MarshalJSON returns the block as it is sent.
func (c *ToolResultContent) MarshalJSON() ([]byte, error) { return c.appendTo(nil) }

// UnmarshalJSON decodes a block of type tool_result.
func (c *ToolResultContent) UnmarshalJSON(b []byte) error {
	var w struct {
		ToolUseID string `json:"toolUseId"`
	}
	var r ToolResult
	if err := errors.Join(json.Unmarshal(b, &w), json.Unmarshal(b, &r)); err != nil {
		return err
	}
	*c = ToolResultContent{ToolUseID: w.ToolUseID, Content: r.Content, Structured: r.Structured, IsError: r.IsError, Meta: r.Meta}
	return nil
}

// MarshalJSON encodes m.
func (m *SamplingMessage) MarshalJSON() ([]byte, error) {
	dst, err := m.appendMembers([]byte{'{'})
	if err != nil {
		return nil, err
	}
	return append(dst, '}'), nil
}

func (m *SamplingMessage) appendMembers(dst []byte) ([]byte, error) {
	dst = jsonrpc.AppendString(append(dst, `"role":`...), m.Role)
	dst = append(dst, `,"content":`...)
	var err error
	if len(m.Content) == 1 && !m.list && m.Content[0] != nil {
		dst, err = m.Content[0].appendTo(dst)
	} else {
		dst, err = appendContents(dst, m.Content)
	}
	if err != nil {
		return nil, err
	}
	if m.Meta != nil {
		dst = append(append(dst, `,"_meta":`...), m.Meta...)
	}
	return dst, nil
}

// UnmarshalJSON decodes m.
func (m *SamplingMessage) UnmarshalJSON(b []byte) error {
	var w struct {
		Role    Role `json:"role"`
		Content Raw  `json:"content"`
		Meta    Raw  `json:"_meta"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	if w.Role != RoleUser && w.Role != RoleAssistant {
		return fmt.Errorf("unknown role %q", w.Role)
	}
	blocks := []Raw{w.Content}
	list := len(w.Content) > 0 && w.Content[0] == '['
	if list {
		if err := json.Unmarshal(w.Content, &blocks); err != nil {
			return err
		}
	}
	content, err := unmarshalContents(blocks)
	if err != nil {
		return err
	}
	*m = SamplingMessage{Role: w.Role, Content: content, Meta: w.Meta, list: list && len(content) == 1}
	return nil
}

// MarshalJSON encodes r as the result object of sampling/createMessage.
func (r *SampleResult) MarshalJSON() ([]byte, error) {
	dst, err := r.appendMembers([]byte{'{'})
	if err != nil {
		return nil, err
	}
	dst = jsonrpc.AppendString(append(dst, `,"model":`...), r.Model)
	if r.StopReason != "" {
		dst = jsonrpc.AppendString(append(dst, `,"stopReason":`...), r.StopReason)
	}
	return append(dst, '}'), nil
}

// UnmarshalJSON decodes the result object of sampling/createMessage.
func (r *SampleResult) UnmarshalJSON(b []byte) error {
	var w struct {
		Model      *string `json:"model"`
		StopReason string  `json:"stopReason"`
	}
	var m SamplingMessage
	if err := errors.Join(json.Unmarshal(b, &w), m.UnmarshalJSON(b)); err != nil {
		return err
	}
	if w.Model == nil {
		return errors.New("no model")
	}
	*r = SampleResult{SamplingMessage: m, Model: *w.Model, StopReason: w.StopReason}
	return nil
}

// check says what is wrong with the params before they are sent (MCP 2026-07-28,
// client/sampling, Message Content Constraints).
func (p *SampleParams) check() error {
	switch {
	case len(p.Messages) == 0:
		return errors.New("no messages")
	case p.MaxTokens <= 0:
		return errors.New("MaxTokens is not positive")
	}
	open := map[string]bool{} // calls of the message before that wait for their result
	for i, m := range p.Messages {
		results := 0
		for _, block := range m.Content {
			if r, ok := block.(*ToolResultContent); ok {
				results++
				if m.Role != RoleUser || !open[r.ToolUseID] {
					return fmt.Errorf("message %d: a result of the call %q, which the message before did not make", i, r.ToolUseID)
				}
				delete(open, r.ToolUseID)
			}
		}
		switch {
		case results > 0 && results < len(m.Content):
			return fmt.Errorf("message %d: results of tools beside other content", i)
		case len(open) > 0:
			return fmt.Errorf("message %d: %d calls of the message before have no result", i, len(open))
		}
		for _, block := range m.Content {
			if u, ok := block.(*ToolUseContent); ok {
				if m.Role != RoleAssistant {
					return fmt.Errorf("message %d: only the assistant calls tools", i)
				}
				open[u.ID] = true
			}
		}
	}
	if len(open) > 0 {
		return errors.New("the last message calls tools that have no result")
	}
	return nil
}
