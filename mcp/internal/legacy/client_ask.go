package legacy

import (
	"bytes"
	"net/url"
	"strconv"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// metaRelatedTask names the task that a message of 2025-11-25 is about. Nobody has
// any here.
const metaRelatedTask = "io.modelcontextprotocol/related-task"

// maxKey bounds an elicitationId that is used as the key of its question.
const maxKey = 128

// offer returns what a session is opened with: capabilities without tasks, which no
// client hosts here, and without what no revision with sessions knows.
func offer(caps []byte) []byte {
	if caps == nil {
		return []byte(`{}`)
	}
	return jsonrpc.Splice(nil, caps, jsonrpc.Member{Key: "tasks"}, extensions(caps))
}

// asks reports whether a server may ask in the middle of a method (MCP 2026-07-28,
// basic/patterns/mrtr, Supported Requests).
func asks(method string) bool {
	return method == mcp.MethodCallTool || method == mcp.MethodGetPrompt || method == mcp.MethodReadResource
}

// canAsk reports whether capabilities allow any question.
func canAsk(caps []byte) bool {
	for group, value := range jsonrpc.Members(caps) {
		if (group == "elicitation" || group == "sampling" || group == "roots") && isObject(value) {
			return true
		}
	}
	return false
}

// refusal says why a client with these capabilities refuses a request in a
// revision, or nil (MCP 2025-11-25, client/elicitation, client/sampling, client/roots).
func refusal(v mcp.Version, caps []byte, method string, params []byte) *mcp.Error {
	has := func(group, mode string) bool {
		g := jsonrpc.Get(caps, group)
		return isObject(g) && (mode == "" || isObject(jsonrpc.Get(g, mode)))
	}
	switch {
	case method == mcp.MethodElicit && v.Has(mcp.FeatureElicitation) && has("elicitation", ""):
		return refuseElicitation(v, has, params)
	case method == mcp.MethodSample && has("sampling", ""):
		if raw := jsonrpc.Get(params, "messages"); len(raw) == 0 || raw[0] != '[' {
			return mcp.ErrInvalidParams("params.messages is not an array")
		}
		tools := jsonrpc.Get(params, "tools") != nil || jsonrpc.Get(params, "toolChoice") != nil
		if tools && !(has("sampling", "tools") && v.Has(mcp.FeatureSamplingTools)) {
			return mcp.ErrInvalidParams("The client has not declared sampling with tools")
		}
		return nil
	case method == mcp.MethodListRoots && has("roots", ""):
		return nil
	}
	return mcp.ErrMethodNotFound(method)
}

func refuseElicitation(v mcp.Version, has func(group, mode string) bool, params []byte) *mcp.Error {
	mode := "form"
	if raw := jsonrpc.Get(params, "mode"); raw != nil {
		mode, _ = jsonrpc.Unquote(raw)
	}
	if raw := jsonrpc.Get(params, "message"); len(raw) == 0 || raw[0] != '"' {
		return mcp.ErrInvalidParams("params.message is not a string")
	}
	switch mode {
	case "form":
		if !has("elicitation", "form") && has("elicitation", "url") {
			return mcp.ErrInvalidParams("The client has not declared elicitation in mode form")
		}
		if !isObject(jsonrpc.Get(params, "requestedSchema")) {
			return mcp.ErrInvalidParams("params.requestedSchema is not an object")
		}
		return nil
	case "url":
		if !v.Has(mcp.FeatureElicitMode) || !has("elicitation", "url") {
			return mcp.ErrInvalidParams("The client has not declared elicitation in mode url")
		}
		if !isPage(jsonrpc.Get(params, "url")) {
			return mcp.ErrInvalidParams("params.url is not an http or https URL")
		}
		return nil
	}
	return mcp.ErrInvalidParams("params.mode is none that the client has declared")
}

// isPage reports whether raw is the URL of a page that a user may be shown.
func isPage(raw []byte) bool {
	s, _ := jsonrpc.Unquote(raw)
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// newInquiry copies a request that is not refused, in the form of the latest revision.
func newInquiry(msg *jsonrpc.Message) *inquiry {
	q := &inquiry{id: bytes.Clone(msg.ID), method: msg.Method}
	if msg.Params == nil {
		return q
	}
	edits := []jsonrpc.Member{{Key: "task"}}
	if msg.Meta != nil {
		meta := jsonrpc.Splice(nil, msg.Meta, jsonrpc.Member{Key: mcp.MetaProgressToken}, jsonrpc.Member{Key: metaRelatedTask})
		if string(meta) == "{}" {
			meta = nil
		}
		edits = append(edits, jsonrpc.Member{Key: "_meta", Value: meta})
	}
	if msg.Method == mcp.MethodElicit {
		q.url = string(jsonrpc.Get(msg.Params, "mode")) == `"url"`
		q.key = elicitationKey(msg.Params)
		edits = append(edits, jsonrpc.Member{Key: "elicitationId"})
	}
	q.params = jsonrpc.Splice(nil, msg.Params, edits...)
	if msg.Method == mcp.MethodListRoots && string(q.params) == "{}" {
		q.params = nil
	}
	return q
}

// elicitationKey is the elicitationId of 2025-11-25, which the latest revision has
// not; as the key of the question it comes back, and an old caller behind it sees it again.
func elicitationKey(params []byte) string {
	if id, ok := jsonrpc.Unquote(jsonrpc.Get(params, "elicitationId")); ok && len(id) <= maxKey {
		return id
	}
	return ""
}

// inputRequired makes the result that asks. An empty handle is left out.
func inputRequired(asked []*inquiry, handle string) mcp.Result {
	body := []byte(`{"inputRequests":{`)
	for i, q := range asked {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(jsonrpc.AppendString(body, q.key), `:{"method":`...)
		body = jsonrpc.AppendString(body, q.method)
		params := q.params
		if params == nil {
			params = []byte(`{}`) // may be left out, but go-sdk 1.8.0's client then reads what is not there
		}
		body = append(append(append(body, `,"params":`...), params...), '}')
	}
	body = append(body, '}')
	if handle != "" {
		body = jsonrpc.AppendString(append(body, `,"requestState":`...), handle)
	}
	return mcp.Result{Body: append(body, '}'), Type: mcp.ResultInputRequired}
}

// result makes the answer of a client to q the result of the server's request, or
// says what is wrong with it.
func (q *inquiry) result(v mcp.Version, raw []byte) (result []byte, wrong string) {
	if !isObject(raw) {
		return nil, "it is not an object"
	}
	edits := []jsonrpc.Member{{Key: "resultType"}}
	switch q.method {
	case mcp.MethodElicit:
		action, _ := jsonrpc.Unquote(jsonrpc.Get(raw, "action"))
		switch mcp.ElicitAction(action) {
		case mcp.ElicitAccept:
			if content := jsonrpc.Get(raw, "content"); content != nil && !isObject(content) {
				return nil, "content is not an object"
			}
			if q.url {
				edits = append(edits, jsonrpc.Member{Key: "content"})
			}
		case mcp.ElicitDecline, mcp.ElicitCancel:
			edits = append(edits, jsonrpc.Member{Key: "content"})
		default:
			return nil, "action is not accept, decline or cancel"
		}
	case mcp.MethodSample:
		for _, member := range []string{"role", "model"} {
			if value := jsonrpc.Get(raw, member); len(value) == 0 || value[0] != '"' {
				return nil, member + " is not a string"
			}
		}
		content := jsonrpc.Get(raw, "content")
		switch {
		case len(content) > 0 && content[0] == '[' && !v.Has(mcp.FeatureSamplingTools):
			if content = onlyElement(content); !isObject(content) {
				return nil, "the server's revision takes one block of content"
			}
			edits = append(edits, jsonrpc.Member{Key: "content", Value: content})
		case len(content) == 0 || content[0] != '[' && content[0] != '{':
			return nil, "content is neither a block nor an array of blocks"
		}
	case mcp.MethodListRoots:
		if roots := jsonrpc.Get(raw, "roots"); len(roots) == 0 || roots[0] != '[' {
			return nil, "roots is not an array"
		}
	}
	return jsonrpc.Splice(nil, raw, edits...), ""
}

// onlyElement returns the element of an array of one, or nil.
func onlyElement(array []byte) []byte {
	var only []byte
	for element := range jsonrpc.Elements(array) {
		if only != nil {
			return nil
		}
		only = element
	}
	return only
}

// opensPages reports whether capabilities allow elicitation by a page.
func opensPages(caps []byte) bool {
	return isObject(jsonrpc.Get(jsonrpc.Get(caps, "elicitation"), "url"))
}

// pages makes the questions of an error that asks the user to open pages first (MCP
// 2025-11-25, client/elicitation, URL Elicitation Required). It returns nil for one
// that does not say which.
func pages(e *mcp.Error) []*inquiry {
	var asked []*inquiry
	keys := map[string]bool{}
	for raw := range jsonrpc.Elements(jsonrpc.Get(e.Data, "elicitations")) {
		message := jsonrpc.Get(raw, "message")
		if len(asked) == maxAsked || !isPage(jsonrpc.Get(raw, "url")) || len(message) == 0 || message[0] != '"' {
			return nil
		}
		q := &inquiry{method: mcp.MethodElicit, key: elicitationKey(raw)}
		for n := len(asked) + 1; q.key == "" || keys[q.key]; n++ {
			q.key = "q" + strconv.Itoa(n)
		}
		keys[q.key] = true
		q.params = jsonrpc.Splice(nil, nil,
			jsonrpc.Member{Key: "mode", Value: []byte(`"url"`)},
			jsonrpc.Member{Key: "message", Value: message},
			jsonrpc.Member{Key: "url", Value: jsonrpc.Get(raw, "url")})
		asked = append(asked, q)
	}
	return asked
}

// declined reports whether answers to pages say that the user did not open one: to
// repeat the call would only ask again.
func declined(responses []byte) bool {
	for _, raw := range jsonrpc.Members(responses) {
		if action, ok := jsonrpc.Unquote(jsonrpc.Get(raw, "action")); ok && mcp.ElicitAction(action) != mcp.ElicitAccept {
			return true
		}
	}
	return false
}

// declinedResult tells a model that the user has not opened a page.
func declinedResult(method string) (mcp.Result, error) {
	const text = "The user has not opened the page that the server needs"
	if method != mcp.MethodCallTool {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternalError, text)
	}
	return complete([]byte(`{"content":[{"type":"text","text":"` + text + `"}],"isError":true}`)), nil
}
