package upstream

import (
	"strconv"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// Of several children the one that has asked something, or runs a task, is the one that
// understands the answer: what it calls them is a word of its own. So the names get the
// number of the connection in front, and what carries one back goes there. A number
// that is gone sends the call to any child, which says that it does not know the word.

// pinned puts the number of a connection before a word of its child.
func pinned(no uint64, word string) string { return strconv.FormatUint(no, 36) + ":" + word }

func unpinned(s string) (no uint64, word string) {
	head, word, ok := strings.Cut(s, ":")
	no, err := strconv.ParseUint(head, 36, 64)
	if !ok || err != nil {
		return 0, s
	}
	return no, word
}

// unpin returns the number of the connection that a request is for, 0 if any, and the
// request as the child gets it.
func (u *Upstream) unpin(req *mcp.Request) (uint64, *mcp.Request) {
	if len(u.members) == 1 {
		return 0, req
	}
	switch req.Method {
	case mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask:
		no, id := unpinned(req.Name)
		out := *req
		out.Name = id
		out.Params = jsonrpc.Splice(nil, req.Params, jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, id)})
		return no, &out
	}
	sealed, ok := jsonrpc.Unquote(jsonrpc.Get(req.Params, "requestState"))
	if !ok {
		return 0, req
	}
	no, state := unpinned(sealed)
	out := *req
	out.Params = jsonrpc.Splice(nil, req.Params, jsonrpc.Member{Key: "requestState", Value: jsonrpc.AppendString(nil, state)})
	return no, &out
}

// pin marks what a result names with the connection that it is of.
func (u *Upstream) pin(l *link, res mcp.Result) mcp.Result {
	key := "requestState"
	switch {
	case len(u.members) == 1 || l.no == 0:
		return res
	case res.Type == mcp.ResultTask:
		key = "taskId"
	case res.Type != mcp.ResultInputRequired:
		return res
	}
	if word, ok := jsonrpc.Unquote(jsonrpc.Get(res.Body, key)); ok {
		res.Body = jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: key, Value: jsonrpc.AppendString(nil, pinned(l.no, word))})
	}
	return res
}
