package wirecheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Report is what came of a check.
type Report struct {
	// Problems says of each wrong message what is wrong.
	Problems []string
	// Seen counts the messages of the sides that were checked.
	Seen map[Kind]int
}

// Kind is a kind of message.
type Kind struct {
	Revision string
	From     Side
	What     string // request, result, error or notification
	Method   string // of the request, or of the notification
}

func (k Kind) String() string {
	return fmt.Sprintf("%s %s: %s %s", k.Revision, k.From, k.What, k.Method)
}

// String lists what was seen, one kind a line.
func (r *Report) String() string {
	var b strings.Builder
	kinds := slices.Collect(maps.Keys(r.Seen))
	slices.SortFunc(kinds, func(a, b Kind) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range kinds {
		fmt.Fprintf(&b, "%6d %s\n", r.Seen[k], k)
	}
	return b.String()
}

// parsed is a message with what it says of itself.
type parsed struct {
	message
	id     string // raw
	method string
	body   []byte // of the message: one of a batch is one

	params, result, err json.RawMessage

	revision string
	answers  *parsed // the request, for results and errors
}

// kind says what the message is, as JSON-RPC has it.
func (p *parsed) kind() string {
	switch {
	case p.method != "" && p.id != "":
		return "request"
	case p.method != "":
		return "notification"
	case p.err != nil:
		return "error"
	}
	return "result"
}

// conversation is what is known of a connection or session.
type conversation struct {
	revision string             // what initialize came to; "" without one
	asked    map[string]*parsed // side and id -> the newest request
}

// Check holds the messages that these sides have sent against the schema of their revision.
func (t *Tap) Check(sides ...Side) *Report {
	r := &Report{Seen: map[Kind]int{}}
	var all []*parsed
	for _, m := range t.messages() {
		ours := slices.Contains(sides, m.from)
		batch := []json.RawMessage{m.text}
		if m.text[0] == '[' {
			if err := json.Unmarshal(m.text, &batch); err != nil {
				batch = []json.RawMessage{m.text}
			}
		}
		for _, text := range batch {
			p, err := parse(m, text)
			switch {
			case err == nil:
				all = append(all, p)
			case ours:
				r.Problems = append(r.Problems, fmt.Sprintf("%s sent %s: %v", m.from, clip(text), err))
			}
		}
		if len(batch) > 1 && ours && m.header > "2025-03-26" {
			r.Problems = append(r.Problems, fmt.Sprintf("%s sent a batch in %s", m.from, m.header))
		}
	}
	relate(all)
	for _, p := range all {
		if !slices.Contains(sides, p.from) {
			continue
		}
		if err := p.check(); err != nil {
			r.Problems = append(r.Problems, fmt.Sprintf("%s sent %s: %v", p.from, clip(p.body), err))
		}
		k := Kind{Revision: p.revision, From: p.from, What: p.kind(), Method: p.method}
		if p.answers != nil {
			k.Method = p.answers.method
		}
		r.Seen[k]++
	}
	return r
}

func clip(text []byte) string {
	if len(text) > 600 {
		return string(text[:600]) + "..."
	}
	return string(text)
}

func parse(m message, text []byte) (*parsed, error) {
	var w struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, fmt.Errorf("not a message: %w", err)
	}
	return &parsed{message: m, id: string(w.ID), method: w.Method, body: text, params: w.Params, result: w.Result, err: w.Error}, nil
}

// relate finds the revision of each message, and the request of each answer.
func relate(all []*parsed) {
	conversations := map[string]*conversation{}
	of := func(p *parsed) *conversation {
		c := conversations[p.conversation]
		if c == nil {
			c = &conversation{asked: map[string]*parsed{}}
			conversations[p.conversation] = c
		}
		return c
	}
	inExchange := func(p *parsed) string { return fmt.Sprint(p.exchange, p.from, p.id) }
	exchanged := map[string]*parsed{}
	find := func(p *parsed) *parsed {
		q := *p
		q.from = p.from.other()
		if found := exchanged[inExchange(&q)]; p.exchange > 0 && found != nil {
			return found
		}
		return of(p).asked[string(q.from)+p.id]
	}
	// On pipes an id may come again, so answers find the request before them. Of
	// HTTP the connections are not in order, so requests are all known first.
	for _, p := range all {
		switch p.kind() {
		case "request":
			of(p).asked[string(p.from)+p.id] = p
			exchanged[inExchange(p)] = p
		case "result", "error":
			if p.exchange == 0 {
				p.answers = find(p)
			}
		}
	}
	for _, p := range all {
		if p.answers == nil && p.exchange > 0 && p.method == "" {
			p.answers = find(p)
		}
		if p.answers != nil && p.answers.method == "initialize" && p.result != nil {
			var init struct {
				ProtocolVersion string `json:"protocolVersion"`
			}
			if json.Unmarshal(p.result, &init) == nil && Of(init.ProtocolVersion) != nil {
				of(p).revision = init.ProtocolVersion
			}
		}
	}
	for _, p := range all {
		p.revision = p.speaks(of(p))
	}
	for _, p := range all { // what answers or is about a request is of its revision
		about := p.answers
		if p.kind() == "notification" {
			about = p.about(of(p))
		}
		if about != nil && about.method != "initialize" {
			p.revision = about.revision
		}
	}
}

// speaks finds the revision by what the message says of itself, and else by that of its conversation.
func (p *parsed) speaks(c *conversation) string {
	var params struct {
		ProtocolVersion string                     `json:"protocolVersion"`
		Meta            map[string]json.RawMessage `json:"_meta"`
	}
	if json.Unmarshal(p.params, &params) == nil {
		var version string
		switch raw, ok := params.Meta["io.modelcontextprotocol/protocolVersion"]; {
		case p.method == "initialize":
			// The offer is in the form of the revision that it names.
			if Of(params.ProtocolVersion) != nil {
				return params.ProtocolVersion
			}
		case ok && json.Unmarshal(raw, &version) == nil && Of(version) != nil:
			return version
		case ok, p.method == "server/discover", params.Meta["io.modelcontextprotocol/subscriptionId"] != nil:
			return Latest
		}
	}
	switch {
	case c.revision != "":
		return c.revision
	case Of(p.header) != nil:
		return p.header
	case p.kind() == "request" && Of(Latest).Requests[p.method] == "" && Of(lastOfSessions).Requests[p.method] != "":
		return lastOfSessions // such as a ping before anything else
	}
	return Latest
}

// about is the request that a notification of progress or of a cancellation names.
func (p *parsed) about(c *conversation) *parsed {
	var params struct {
		RequestID json.RawMessage `json:"requestId"`
		Token     json.RawMessage `json:"progressToken"`
	}
	if json.Unmarshal(p.params, &params) != nil {
		return nil
	}
	if params.RequestID != nil {
		if q := c.asked[string(p.from)+string(params.RequestID)]; q != nil {
			return q
		}
		return c.asked[string(p.from.other())+string(params.RequestID)]
	}
	for _, q := range c.asked {
		var asked struct {
			Meta struct {
				Token json.RawMessage `json:"progressToken"`
			} `json:"_meta"`
		}
		if q.from != p.from && params.Token != nil && json.Unmarshal(q.params, &asked) == nil && bytes.Equal(asked.Meta.Token, params.Token) {
			return q
		}
	}
	return nil
}

// check holds a message against the definitions that it has to fit.
func (p *parsed) check() error {
	s := Of(p.revision)
	switch p.kind() {
	case "request":
		return p.checkMethod(s, s.Requests, "JSONRPCRequest", "Request")
	case "notification":
		return p.checkMethod(s, s.Notifications, "JSONRPCNotification", "Notification")
	case "error":
		return p.checkError(s)
	}
	return p.checkResult(s)
}

// checkMethod checks a request or a notification.
func (p *parsed) checkMethod(s *Schema, methods map[string]string, envelope, what string) error {
	if err := s.Validate(envelope, p.body); err != nil {
		return err
	}
	name := methods[p.method]
	if name == "" {
		return p.unlisted(s)
	}
	side := "Client"
	if p.from == Server {
		side = "Server"
	}
	union := side + what
	if members := s.Members(union); !s.Has(union) || len(members) > 0 && !slices.Contains(members, name) {
		return fmt.Errorf("in %s a %s does not send %s", s.Revision, p.from, p.method)
	}
	if err := s.Validate(name, p.body); err != nil {
		return err
	}
	return s.Validate(union, p.body) // which may be one definition
}

// unlisted says whether a method that the revision does not have may be sent.
func (p *parsed) unlisted(s *Schema) error {
	// The extension has methods of the names that 2025-11-25 had.
	if s.Revision == Latest && (strings.HasPrefix(p.method, "tasks/") || strings.HasPrefix(p.method, "notifications/tasks")) {
		return nil
	}
	for _, revision := range Revisions() {
		other := Of(revision)
		if other.Requests[p.method] != "" || other.Notifications[p.method] != "" {
			return fmt.Errorf("%s is of revision %s, not of %s", p.method, revision, s.Revision)
		}
	}
	return nil // an extension's, or the test's own
}

func (p *parsed) checkError(s *Schema) error {
	envelope := "JSONRPCErrorResponse"
	if !s.Has(envelope) {
		envelope = "JSONRPCError"
	}
	body := p.body
	if s.Revision < "2025-11-25" && (p.id == "" || p.id == "null") {
		// These schemas want an id even of an answer to what has none that can be
		// read; JSON-RPC 2.0, which they build on, says null.
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			return err
		}
		members["id"] = json.RawMessage("0")
		body, _ = json.Marshal(members)
	}
	if err := s.Validate(envelope, body); err != nil {
		return err
	}
	var e struct {
		Code int `json:"code"`
	}
	if err := json.Unmarshal(p.err, &e); err != nil {
		return err
	}
	for code, name := range map[int]string{
		-32020: "HeaderMismatchError", -32021: "MissingRequiredClientCapabilityError", -32022: "UnsupportedProtocolVersionError",
		-32042: "URLElicitationRequiredError",
	} {
		if e.Code == code && s.Has(name) {
			return s.Validate(name, body)
		}
	}
	return nil
}

func (p *parsed) checkResult(s *Schema) error {
	envelope := "JSONRPCResultResponse"
	if !s.Has(envelope) {
		envelope = "JSONRPCResponse"
	}
	if err := s.Validate(envelope, p.body); err != nil {
		return err
	}
	if p.answers == nil {
		return fmt.Errorf("answers the id %s, which nobody has used", p.id)
	}
	var res struct {
		Type string          `json:"resultType"`
		Task json.RawMessage `json:"task"`
	}
	if err := json.Unmarshal(p.result, &res); err != nil {
		return err
	}
	name := s.Result(p.answers.method)
	switch {
	case s.Requests[p.answers.method] == "":
		return nil // an extension's, or the test's own
	case s.Revision == Latest && res.Type == "input_required":
		if m := p.answers.method; m != "tools/call" && m != "prompts/get" && m != "resources/read" {
			return fmt.Errorf("%s cannot ask for input", m)
		}
		name = "InputRequiredResult"
	case s.Revision == Latest && res.Type == "task": // extension io.modelcontextprotocol/tasks
		return nil
	case res.Task != nil && s.Has("CreateTaskResult"):
		name = "CreateTaskResult"
	}
	return s.Validate(name, p.result)
}
