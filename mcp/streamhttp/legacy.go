package streamhttp

import (
	"context"
	"net/http"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/internal/legacy"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// postLegacy answers a message of a revision with sessions (MCP 2025-11-25, basic/transports).
func (s *Handler) postLegacy(w http.ResponseWriter, r *http.Request, who mcp.Principal, sl *slot, msg *jsonrpc.Message) {
	if !checkLegacyVersion(w, r, msg.ID) {
		return
	}
	if legacy.IsInitialize(msg) && len(r.Header[headerSession]) == 0 {
		s.initialize(w, r, who, sl, msg)
		return
	}
	ss := s.session(w, r, who, msg.ID)
	if ss == nil {
		return
	}
	defer s.sessions.release(ss)
	switch msg.Kind {
	case jsonrpc.Request:
	case jsonrpc.Notification:
		ss.Notified(msg)
		accepted(w)
		return
	default:
		ss.Answered(msg)
		accepted(w)
		return
	}
	e := &reply{h: s, w: w, ss: ss, http1: r.ProtoMajor == 1 && r.ProtoMinor > 0}
	began := e.start(sl)
	defer e.end()
	var answered bool
	if sl.out, answered = ss.Handle(detached(r), began.Add(s.opts.CallTimeout), msg, sl.out, e); answered {
		e.finish(http.StatusOK, sl.out)
	} else {
		e.abandon()
	}
}

// detached is the context of a call that goes on when the client's connection
// drops: in these revisions that is not a cancellation.
func detached(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) }

// checkLegacyVersion refuses a version header that no session can have. Without
// the header the session's version counts.
func checkLegacyVersion(w http.ResponseWriter, r *http.Request, id []byte) bool {
	switch values := r.Header[headerVersion]; {
	case len(values) == 0:
		return true
	case len(values) > 1:
		answerError(w, http.StatusBadRequest, id, mcp.Errorf(jsonrpc.CodeInvalidRequest, "MCP-Protocol-Version occurs more than once"))
		return false
	case !mcp.Version(values[0]).Known():
		data := []byte(`{"supported":[`)
		for i, v := range mcp.Versions() {
			if i > 0 {
				data = append(data, ',')
			}
			data = jsonrpc.AppendString(data, v)
		}
		data = append(data, `],"requested":`...)
		data = append(jsonrpc.AppendString(data, values[0][:min(len(values[0]), 64)]), '}')
		answerError(w, http.StatusBadRequest, id, &mcp.Error{Code: mcp.CodeUnsupportedVersion, Message: "Unsupported protocol version", Data: data})
		return false
	}
	return true
}

// session finds the session that a request names. It answers by itself if there is none.
func (s *Handler) session(w http.ResponseWriter, r *http.Request, who mcp.Principal, id []byte) *session {
	name := header(r.Header, headerSession)
	if name == "" {
		answerError(w, http.StatusBadRequest, id, mcp.Errorf(jsonrpc.CodeInvalidRequest, "Missing Mcp-Session-Id: send initialize first, or MCP-Protocol-Version and _meta of a revision without sessions"))
		return nil
	}
	ss, busy := s.sessions.use(name, who)
	switch {
	case busy:
		unavailable(w, "Too many requests of the session are open")
	case ss == nil:
		answerError(w, http.StatusNotFound, id, mcp.Errorf(jsonrpc.CodeInvalidRequest, "Session not found"))
	}
	return ss
}

// initialize opens a session (MCP 2025-11-25, basic/lifecycle).
func (s *Handler) initialize(w http.ResponseWriter, r *http.Request, who mcp.Principal, sl *slot, msg *jsonrpc.Message) {
	if s.sessions.full(who) {
		unavailable(w, "Too many sessions")
		return
	}
	ls, result, problem := legacy.New(r.Context(), s.next, msg, who)
	if problem != nil {
		answerError(w, http.StatusOK, msg.ID, problem)
		return
	}
	id, ok := s.sessions.add(ls, who)
	if !ok { // others were faster
		ls.Close()
		unavailable(w, "Too many sessions")
		return
	}
	w.Header()[headerSession] = []string{id}
	sl.out = jsonrpc.AppendResult(sl.out, msg.ID, result)
	writeJSON(w, http.StatusOK, sl.out)
}

// delete ends a session.
func (s *Handler) delete(w http.ResponseWriter, r *http.Request, who mcp.Principal) {
	ss := s.sessionWithoutBody(w, r, who)
	if ss == nil {
		return
	}
	defer s.sessions.release(ss)
	s.sessions.end(ss)
	w.WriteHeader(http.StatusNoContent)
}

// sessionWithoutBody finds the session of a GET or DELETE, which exist in revisions with sessions only.
func (s *Handler) sessionWithoutBody(w http.ResponseWriter, r *http.Request, who mcp.Principal) *session {
	if mcp.Version(header(r.Header, headerVersion)).Modern() {
		notAllowed(w)
		return nil
	}
	if r.ContentLength != 0 {
		refuse(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, r.Method+" has no body")
		return nil
	}
	if !checkLegacyVersion(w, r, nil) {
		return nil
	}
	return s.session(w, r, who, nil)
}

// maxBatch bounds the messages of one batch. They are answered one after the other.
const maxBatch = 50

// isBatch reports whether a body is an array.
func isBatch(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '['
		}
	}
	return false
}

// postBatch answers a batch, which one revision has (MCP 2025-03-26, basic/transports).
func (s *Handler) postBatch(w http.ResponseWriter, r *http.Request, who mcp.Principal, sl *slot) {
	if !checkLegacyVersion(w, r, nil) {
		return
	}
	ss := s.session(w, r, who, nil)
	if ss == nil {
		return
	}
	defer s.sessions.release(ss)
	msgs, problem := splitBatch(sl.in, ss.Version(), &s.opts.Limits)
	if problem != "" {
		refuse(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, problem)
		return
	}
	e := &reply{h: s, w: w, ss: ss, http1: r.ProtoMajor == 1 && r.ProtoMinor > 0}
	began := e.start(sl)
	defer e.end()

	ctx, deadline := detached(r), began.Add(s.opts.CallTimeout)
	requests := 0
	for i := range msgs {
		switch msgs[i].Kind {
		case jsonrpc.Notification:
			ss.Notified(&msgs[i])
		case jsonrpc.Response, jsonrpc.ErrorReply:
			ss.Answered(&msgs[i])
		case jsonrpc.Request:
			requests++
			separator := byte(',')
			if len(sl.out) == 0 {
				separator = '['
			}
			if out, answered := ss.Handle(ctx, deadline, &msgs[i], append(sl.out, separator), e); answered {
				sl.out = out
			}
		}
	}
	switch {
	case requests == 0:
		e.accept()
	case len(sl.out) == 0:
		e.abandon()
	default:
		sl.out = append(sl.out, ']')
		e.finish(http.StatusOK, sl.out)
	}
}

// splitBatch scans the messages of a batch.
func splitBatch(body []byte, v mcp.Version, lim *jsonrpc.Limits) (msgs []jsonrpc.Message, problem string) {
	switch {
	case !v.Has(mcp.FeatureBatch):
		return nil, "batches are not supported"
	case jsonrpc.Valid(body, lim) != nil:
		return nil, "the batch is not valid JSON"
	}
	for raw := range jsonrpc.Elements(body) {
		msg, err := jsonrpc.Scan(raw, lim)
		switch {
		case err != nil:
			return nil, "the batch has an element that is not a message"
		case legacy.IsInitialize(&msg):
			return nil, "initialize cannot be part of a batch"
		case len(msgs) == maxBatch:
			return nil, "the batch has too many messages"
		}
		msgs = append(msgs, msg)
	}
	if len(msgs) == 0 {
		return nil, "the batch is empty"
	}
	return msgs, ""
}
