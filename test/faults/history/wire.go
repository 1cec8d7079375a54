package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// maxMessage bounds one message of a node.
const maxMessage = 64 << 20

// message is what a node writes.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Token    json.RawMessage `json:"progressToken"`
		Progress float64         `json:"progress"`
		Message  string          `json:"message"`
		Meta     struct {
			Subscription json.RawMessage `json:"io.modelcontextprotocol/subscriptionId"`
		} `json:"_meta"`
	} `json:"params"`
	Result *struct {
		Type    string `json:"resultType"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Meta struct {
			Subscription json.RawMessage `json:"io.modelcontextprotocol/subscriptionId"`
		} `json:"_meta"`
	} `json:"result"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    struct {
			Class        string `json:"class"`
			RetrySafe    bool   `json:"retrySafe"`
			RetryAfterMS int    `json:"retryAfterMs"`
		} `json:"data"`
	} `json:"error"`
}

// read takes everything that comes as an answer to sent, to the end of the body. The
// outcome is that of the first answer, or zero if there was none.
func (c *Caller) read(res *http.Response, sent Event, opened func()) (first Outcome) {
	take := func(raw []byte) {
		if out := c.take(raw, sent, opened); first.End == "" {
			first = out
		}
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		raw, err := io.ReadAll(io.LimitReader(res.Body, maxMessage))
		if err == nil && len(bytes.TrimSpace(raw)) > 0 && json.Valid(raw) {
			take(raw)
		}
		return first
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 64<<10), maxMessage)
	for lines.Scan() {
		if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:")); ok && len(bytes.TrimSpace(data)) > 0 {
			take(bytes.TrimSpace(data))
		}
	}
	return first
}

// take notes one message. It returns the outcome if it is an answer.
func (c *Caller) take(raw []byte, sent Event, opened func()) Outcome {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		c.add(Event{ID: sent.ID, Op: Notification, Nonce: "not JSON: " + err.Error()})
		return Outcome{}
	}
	id := string(m.ID)
	if m.Error != nil && (id == "null" || id == "") {
		id = sent.ID // of a request that could not be read
	}
	switch {
	case m.Method == "notifications/subscriptions/acknowledged":
		c.add(Event{ID: sent.ID, Op: Opened, Nonce: string(m.Params.Meta.Subscription)})
		opened()
	case m.Method != "":
		e := Event{ID: sent.ID, Op: Notification, Method: m.Method, Nonce: m.Params.Message, Progress: m.Params.Progress}
		if sent.Stream && c.era == Modern {
			e.Nonce = string(m.Params.Meta.Subscription)
		}
		c.add(e) // a request of the node too: these callers have offered to answer none
	case m.Error != nil:
		out := Outcome{End: Error, Class: m.Error.Data.Class, RetrySafe: m.Error.Data.RetrySafe, RetryMS: m.Error.Data.RetryAfterMS, Text: m.Error.Message}
		if out.Class == "" {
			out.Class = m.Error.Message
		}
		c.add(Event{ID: id, Op: Error, Class: out.Class})
		return out
	case m.Result != nil:
		out := Outcome{End: Reply}
		e := Event{ID: id, Op: Reply}
		switch {
		case sent.Stream:
			e.Nonce = string(m.Result.Meta.Subscription)
		case sent.Nonce == "": // asked for no nonce
		case m.Result.Type == "input_required":
			e.Nonce, out.Text = sent.Nonce, m.Result.Type
		case len(m.Result.Content) > 0:
			e.Nonce = m.Result.Content[0].Text
			out.Text = e.Nonce
		}
		if sent.Nonce == "" {
			out.Text = string(raw)
		}
		c.add(e)
		return out
	}
	return Outcome{}
}
