package gateway

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A scope with tool search lists two tools in place of all: one that finds tools and
// one that calls what was found. A client that knows a tool's name may also call it by
// that, as ever; nothing else about the tools is different.
const (
	findTools = "find_tools"
	callTool  = "call_tool"

	maxFound      = 20
	defaultFound  = 5
	maxFoundBytes = 64 << 10
	maxQuery      = 1 << 10
)

const searchTools = `{"tools":[{"name":"` + findTools + `","title":"Find tools","description":"Finds the tools of this server for a task. Say in a few words what is to be done. The answer has the names and input schemas of the tools that fit best; call them with ` + callTool + `.",` +
	`"inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"what is to be done, in a few words","maxLength":1024},"limit":{"type":"integer","minimum":1,"maximum":20,"default":5}},"required":["query"],"additionalProperties":false},` +
	`"annotations":{"readOnlyHint":true,"openWorldHint":false}},` +
	`{"name":"` + callTool + `","title":"Call a tool","description":"Calls a tool that ` + findTools + ` has found.",` +
	`"inputSchema":{"type":"object","properties":{"name":{"type":"string","description":"the name of the tool"},"arguments":{"type":"object","description":"arguments as the input schema of the tool says"}},"required":["name"],"additionalProperties":false}}]}`

const searchInstructions = "The tools of this server are found with " + findTools + " and called with " + callTool + "."

// listSearch is the list of tools of a scope with tool search.
func (s *scope) listSearch(req *mcp.Request) (mcp.Result, error) {
	if jsonrpc.Get(req.Params, "cursor") != nil {
		return mcp.Result{}, mcp.ErrInvalidParams("Invalid cursor")
	}
	return s.ours([]byte(searchTools), nil, nil, mcp.Cache{TTL: maxTTL, Scope: mcp.CachePublic}), nil
}

// find answers a call of find_tools.
func find(ctx context.Context, c *call) (rule string, err error) {
	query, _ := jsonrpc.Unquote(jsonrpc.Get(c.req.Arguments, "query"))
	limit := defaultFound
	if raw := jsonrpc.Get(c.req.Arguments, "limit"); raw != nil {
		if limit, err = strconv.Atoi(string(raw)); err != nil || limit < 1 || limit > maxFound {
			return c.say("limit has to be a whole number from 1 to "+strconv.Itoa(maxFound)+".", true)
		}
	}
	switch {
	case strings.TrimSpace(query) == "":
		return c.say("query has to say in a few words what is to be done.", true)
	case len(query) > maxQuery:
		return c.say("query is too long: a few words are enough.", true)
	}
	c.scope.await(ctx)
	v := c.scope.current()
	found := v.search().find(query)
	if len(found) == 0 {
		return c.say("No tool fits. Try other words.", false)
	}
	var b strings.Builder
	n := 0
	for _, i := range found {
		if n == limit || n > 0 && b.Len()+len(v.tools[i]) > maxFoundBytes {
			break
		}
		if n++; n > 1 {
			b.WriteByte('\n')
		}
		b.Write(shown(v.tools[i]))
	}
	if more := len(found) - n; more > 0 {
		fmt.Fprintf(&b, "\n[%d more tools fit less well.]", more)
	}
	rule, err = c.say(b.String(), false)
	return fmt.Sprintf("%s, %d of %d tools", rule, n, len(v.tools)), err
}

// shown is what a model needs of a tool.
func shown(tool []byte) []byte {
	var members []jsonrpc.Member
	for _, key := range []string{"name", "title", "description", "inputSchema", "annotations"} {
		members = append(members, jsonrpc.Member{Key: key, Value: jsonrpc.Get(tool, key)})
	}
	return jsonrpc.Compact(jsonrpc.Splice(nil, nil, members...))
}

// say answers the call with a text.
func (c *call) say(text string, isError bool) (rule string, err error) {
	block := jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "type", Value: []byte(`"text"`)}, jsonrpc.Member{Key: "text", Value: jsonrpc.AppendString(nil, text)})
	members := []jsonrpc.Member{{Key: "content", Value: append(append([]byte{'['}, block...), ']')}}
	if isError {
		members = append(members, jsonrpc.Member{Key: "isError", Value: []byte("true")})
	}
	c.result = mcp.Result{Body: jsonrpc.Splice(nil, nil, members...)}
	c.answered = true
	return "tool search", nil
}

// unwrap makes of a call of call_tool the call of the tool that it names.
func (c *call) unwrap() error {
	name, ok := jsonrpc.Unquote(jsonrpc.Get(c.req.Arguments, "name"))
	if !ok || name == "" {
		return mcp.ErrInvalidParams("arguments.name of %s is missing or not a string", callTool)
	}
	args := jsonrpc.Get(c.req.Arguments, "arguments")
	if args != nil && !isObject(args) {
		return mcp.ErrInvalidParams("arguments.arguments of %s is not an object", callTool)
	}
	req := *c.req
	req.Name, req.Arguments = name, args
	req.Header = nil // call_tool has no mirrored parameters
	req.Params = jsonrpc.Splice(nil, req.Params,
		jsonrpc.Member{Key: "name", Value: jsonrpc.AppendString(nil, name)}, jsonrpc.Member{Key: "arguments", Value: args})
	c.req = &req
	return nil
}
