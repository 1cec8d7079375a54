package streamhttp

import (
	"net/http"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// get opens the stream of a session, or goes on with one whose connection broke
// (MCP 2025-11-25, basic/transports, Listening for Messages from the Server).
func (s *Handler) get(w http.ResponseWriter, r *http.Request, who mcp.Principal) {
	ss := s.sessionWithoutBody(w, r, who)
	if ss == nil {
		return
	}
	kept := false
	st := newStream(s, r, nil)
	st.over = func() { s.sessions.release(ss) }
	defer func() {
		if !kept {
			st.finish()
		}
	}()
	if _, sse := accepts(r.Header["Accept"]); !sse {
		refuse(w, http.StatusNotAcceptable, jsonrpc.CodeInvalidRequest, "Accept must list text/event-stream")
		return
	}
	if !s.open(w, st) {
		return
	}
	// The header comes after that, so that a client who has it misses nothing.
	goesOn, ok := s.resume(w, r, ss, st)
	if !ok || !goesOn && !s.carry(w, ss, st) {
		return
	}
	kept = true
	st.run(w, r)
}

// carry has st carry a new stream of the session. It answers by itself if it
// cannot, and returns false.
func (s *Handler) carry(w http.ResponseWriter, ss *session, st *stream) bool {
	t, ok := s.sessions.attach(ss, st)
	if !ok {
		refuse(w, http.StatusConflict, jsonrpc.CodeInvalidRequest, "The session has a stream already")
		return false
	}
	st.over = func() {
		t.lost(st)
		if t.store == nil { // nobody can come back to it
			s.sessions.detach(ss, t)
		}
		s.sessions.release(ss)
	}
	if ss.Version().Has(mcp.FeaturePolling) {
		st.put(t.appendPriming(nil), true)
	}
	ss.Attach(&st.ctx, t)
	return true
}

// resume has st carry the stream that Last-Event-ID names. The stream of a call
// of which something was forgotten is refused, as its client would wait for ever;
// for that of a GET, and for an id that is none of ours, there is a new one. It
// answers by itself if it is not ok.
func (s *Handler) resume(w http.ResponseWriter, r *http.Request, ss *session, st *stream) (goesOn, ok bool) {
	id, ok := parseEventID(header(r.Header, headerLastEvent))
	if !ok || !ss.Version().Has(mcp.FeatureResume) {
		return false, true
	}
	t := s.sessions.find(ss, id)
	if t != nil && t.resume(st, id.seq) {
		st.over = func() {
			t.lost(st)
			s.sessions.release(ss)
		}
		return true, true
	}
	if !id.isCall {
		return false, true
	}
	if t == nil { // it has ended
		t = &track{store: s.sessions.store, id: ss.id, no: id.no, isCall: true}
		events, complete := t.store.After(t.id, t.no, id.seq)
		if complete && len(events) > 0 && events[len(events)-1].Last {
			t.replay(st, events)
			st.End(mcp.Result{}, nil)
			return true, true
		}
	}
	refuse(w, http.StatusBadRequest, jsonrpc.CodeInvalidRequest, "The events after this Last-Event-ID are not kept any more: send the request again")
	return false, false
}
