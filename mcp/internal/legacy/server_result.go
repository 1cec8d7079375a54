package legacy

import (
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// downgrade shapes a result for the session's revision.
func (s *Session) downgrade(method string, res mcp.Result) ([]byte, *mcp.Error) {
	switch {
	case res.Type != "" && res.Type != mcp.ResultComplete:
		return nil, mcp.Errorf(jsonrpc.CodeInternalError, "The server gave a result of a type that this session does not know")
	case res.Stream:
		return nil, mcp.Errorf(jsonrpc.CodeInternalError, "The server keeps the request open, which this session cannot")
	}
	switch method {
	case mcp.MethodCallTool:
		return s.downgradeCall(res.Body), nil
	case mcp.MethodListTools:
		return replaceElements(res.Body, "tools", s.downgradeTool), nil
	case mcp.MethodGetPrompt:
		return s.downgradeMessages(res.Body), nil
	}
	return res.Body, nil
}

// downgradeCall replaces content that the revision does not know, and drops
// structured content that it does not know. The text content beside it says the same
// (MCP 2025-11-25, server/tools, Structured Content).
func (s *Session) downgradeCall(body []byte) []byte {
	body = s.downgradeContent(body)
	content := jsonrpc.Get(body, "structuredContent")
	if content == nil || s.hasStructured(isObject(content)) {
		return body
	}
	return jsonrpc.Splice(make([]byte, 0, len(body)), body, jsonrpc.Member{Key: "structuredContent"})
}

func (s *Session) hasStructured(object bool) bool {
	if object {
		return s.version.Has(mcp.FeatureStructuredContent)
	}
	return s.version.Has(mcp.FeatureAnyStructured)
}

// downgradeTool gives a tool the schemas that the revision knows; nil for one that has them.
func (s *Session) downgradeTool(_ int, tool []byte) []byte {
	if !isObject(tool) {
		return nil
	}
	var edits []jsonrpc.Member
	if input := plainProperties(jsonrpc.Get(tool, "inputSchema")); input != nil {
		edits = append(edits, jsonrpc.Member{Key: "inputSchema", Value: input})
	}
	if !s.knowsOutput(tool) {
		edits = append(edits, jsonrpc.Member{Key: "outputSchema"})
	} else if output := plainProperties(jsonrpc.Get(tool, "outputSchema")); output != nil {
		edits = append(edits, jsonrpc.Member{Key: "outputSchema", Value: output})
	}
	if edits == nil {
		return nil
	}
	return jsonrpc.Splice(nil, tool, edits...)
}

// knowsOutput reports whether the revision knows the tool's output schema, if it has one.
func (s *Session) knowsOutput(tool []byte) bool {
	schema := jsonrpc.Get(tool, "outputSchema")
	if schema == nil {
		return true
	}
	return isObject(schema) && s.hasStructured(string(jsonrpc.Get(schema, "type")) == `"object"`)
}

// downgradeError gives an error the code that it has in the session's revision.
func (s *Session) downgradeError(method string, err *mcp.Error) *mcp.Error {
	if method == mcp.MethodReadResource && err.Code == jsonrpc.CodeInvalidParams &&
		s.version.Has(mcp.FeatureNotFound32002) && isObject(err.Data) && jsonrpc.Get(err.Data, "uri") != nil {
		return &mcp.Error{Code: codeResourceNotFound, Message: err.Message, Data: err.Data}
	}
	return err
}

// plainProgress is a Sink whose progress has no message, which 2024-11-05 does not know.
type plainProgress struct{ mcp.Sink }

func (p plainProgress) Notify(n *mcp.Notification) error {
	if n.Method == mcp.NotificationProgress && jsonrpc.Get(n.Params, "message") != nil {
		n = mcp.NewNotification(n.Method, jsonrpc.Splice(nil, n.Params, jsonrpc.Member{Key: "message"}))
	}
	return p.Sink.Notify(n)
}
