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
		return s.downgradeTools(res.Body), nil
	}
	return res.Body, nil
}

// downgradeCall drops structured content that the revision does not know. The
// text content beside it says the same (MCP 2025-11-25, server/tools, Structured Content).
func (s *Session) downgradeCall(body []byte) []byte {
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

// downgradeTools drops the output schemas that the revision does not know.
func (s *Session) downgradeTools(body []byte) []byte {
	tools := jsonrpc.Get(body, "tools")
	known := true
	for tool := range jsonrpc.Elements(tools) {
		known = known && s.knowsOutput(tool)
	}
	if known {
		return body
	}
	list := append(make([]byte, 0, len(tools)), '[')
	for tool := range jsonrpc.Elements(tools) {
		if len(list) > 1 {
			list = append(list, ',')
		}
		if s.knowsOutput(tool) {
			list = append(list, tool...)
		} else {
			list = jsonrpc.Splice(list, tool, jsonrpc.Member{Key: "outputSchema"})
		}
	}
	list = append(list, ']')
	return jsonrpc.Splice(make([]byte, 0, len(body)), body, jsonrpc.Member{Key: "tools", Value: list})
}

// knowsOutput reports whether the revision knows the tool's output schema, if it has one.
func (s *Session) knowsOutput(tool []byte) bool {
	if !isObject(tool) {
		return true
	}
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
