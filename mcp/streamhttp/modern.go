package streamhttp

import (
	"fmt"
	"net/http"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// postModern answers a message of the stateless form (MCP 2026-07-28,
// basic/transports/streamable-http). Mcp-Session-Id and Last-Event-ID mean nothing to it.
func (s *Handler) postModern(w http.ResponseWriter, r *http.Request, who mcp.Principal, sl *slot, msg *jsonrpc.Message) {
	switch msg.Kind {
	case jsonrpc.Request:
	case jsonrpc.Notification: // no client notification means anything on HTTP
		accepted(w)
		return
	default:
		refuse(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "A client sends requests and notifications only")
		return
	}
	req, problem := mcp.DecodeRequest(msg)
	if problem == nil || problem.Code == mcp.CodeUnsupportedVersion {
		// A revision that is not ours is best told so, unless header and body disagree about it.
		if p := checkHeaders(r.Header, msg, req); p != nil && (problem == nil || p.version) {
			problem = p.Error
		}
	}
	if problem != nil {
		answerError(w, http.StatusBadRequest, msg.ID, problem)
		return
	}
	req.Principal = who
	req.Header = r.Header

	if req.Method == mcp.MethodListen {
		s.listen(w, r, req)
		return
	}
	e := &reply{h: s, w: w}
	e.start(sl)
	defer e.end()
	res, err := s.next.Handle(r.Context(), req, e)
	answer := mcp.ErrorOf(err)
	if answer == nil && res.Stream {
		answer = mcp.Errorf(jsonrpc.CodeInternalError, "internal error")
	}
	sl.out = mcp.AppendResponse(sl.out, msg.ID, msg.Method, res, answer)
	e.finish(statusOf(answer), sl.out)
}

// statusOf is the HTTP status of a response that is not a stream.
func statusOf(err *mcp.Error) int {
	if err == nil {
		return http.StatusOK
	}
	switch err.Code {
	case jsonrpc.CodeMethodNotFound:
		return http.StatusNotFound
	case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability, mcp.CodeUnsupportedVersion:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

type headerProblem struct {
	*mcp.Error
	version bool // it is about MCP-Protocol-Version
}

// checkHeaders checks that the headers say what the body says (MCP 2026-07-28,
// basic/transports/streamable-http, Server Validation). req is nil if the body's
// revision is not ours; then only that is compared.
func checkHeaders(h http.Header, msg *jsonrpc.Message, req *mcp.Request) *headerProblem {
	var version mcp.Version
	if req != nil {
		version = req.Meta.Version
	} else {
		version = mcp.PeekMeta(msg.Meta).Version
	}
	if p := checkHeader(h[headerVersion], "MCP-Protocol-Version", string(version), false); p != nil {
		return &headerProblem{Error: p, version: true}
	}
	if p := checkHeader(h[headerMethod], headerMethod, msg.Method, false); p != nil {
		return &headerProblem{Error: p}
	}
	if req == nil {
		return nil
	}
	switch msg.Method {
	case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource,
		mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask:
		if p := checkHeader(h[headerName], headerName, req.Name, true); p != nil {
			return &headerProblem{Error: p}
		}
	}
	return nil
}

func checkHeader(values []string, name, want string, encoded bool) *mcp.Error {
	switch len(values) {
	case 0:
		return mcp.Errorf(mcp.CodeHeaderMismatch, "Header mismatch: %s is missing", name)
	case 1:
	default:
		return mcp.Errorf(mcp.CodeHeaderMismatch, "Header mismatch: %s occurs more than once", name)
	}
	got, ok := values[0], true
	if encoded {
		if got, ok = mcp.DecodeHeaderValue(got); !ok {
			return mcp.Errorf(mcp.CodeHeaderMismatch, "Header mismatch: %s has invalid characters or encoding", name)
		}
	}
	if got != want {
		return mcp.Errorf(mcp.CodeHeaderMismatch, "Header mismatch: %s header value %s does not match body value %s", name, quoted(got), quoted(want))
	}
	return nil
}

// quoted repeats a caller's text in a message, bounded.
func quoted(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	return fmt.Sprintf("'%s'", s)
}

// listen answers subscriptions/listen (MCP 2026-07-28, basic/patterns/subscriptions).
func (s *Handler) listen(w http.ResponseWriter, r *http.Request, req *mcp.Request) {
	st := newStream(s, r, req.ID)
	if !s.open(w, st) {
		return
	}
	kept := false
	defer func() {
		if !kept {
			st.finish()
		}
	}()
	res, err := s.next.Handle(&st.ctx, req, st)
	if err != nil || !res.Stream {
		if answer := mcp.ErrorOf(err); answer != nil && st.unused() {
			answerError(w, statusOf(answer), req.ID, answer)
			return
		}
		st.End(res, err) // what came before it goes first
	}
	kept = true
	st.run(w, r)
}
