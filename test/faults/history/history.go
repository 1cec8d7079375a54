// Package history records what clients of a node send and get, and proves of a
// whole record that every request ended once, with its own answer.
//
//	rec := history.New()
//	c := history.NewCaller(rec, "a", url, history.Modern)
//	c.Call(ctx, "up__echo", nil)
//	report := history.Check(rec.Events())
package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Op is what happened.
type Op string

// The operations. A request ends with Reply, Error or Closed.
const (
	Sent         Op = "sent"
	Opened       Op = "opened" // a subscription was acknowledged
	Notification Op = "notification"
	Cancelled    Op = "cancelled" // from here on the caller must get no answer
	Reply        Op = "reply"
	Error        Op = "error"
	Closed       Op = "closed" // the exchange ended without an answer
)

func (o Op) ends() bool { return o == Reply || o == Error || o == Closed }

// Event is one line of a history.
type Event struct {
	T        time.Duration `json:"t"` // since the history began
	Client   string        `json:"client"`
	ID       string        `json:"id"` // of the request, as raw JSON
	Op       Op            `json:"op"`
	Method   string        `json:"method,omitempty"`   // of Sent and Notification
	Name     string        `json:"name,omitempty"`     // of Sent: the tool
	Stream   bool          `json:"stream,omitempty"`   // of Sent: the request opens a subscription
	Nonce    string        `json:"nonce,omitempty"`    // of Sent: what is asked; else what has come
	Class    string        `json:"class,omitempty"`    // of Error and Closed
	Progress float64       `json:"progress,omitempty"` // of Notification
}

func (e Event) String() string {
	return fmt.Sprintf("%v %s %s %s %s%s %s", e.T, e.Client, e.ID, e.Op, e.Method, e.Class, e.Nonce)
}

// Recorder keeps a history. It is safe for concurrent use.
type Recorder struct {
	began time.Time

	mu     sync.Mutex
	events []Event
}

// New starts a history.
func New() *Recorder { return &Recorder{began: time.Now()} }

// Add notes an event at this moment.
func (r *Recorder) Add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.T = time.Since(r.began)
	r.events = append(r.events, e)
}

// Events returns the history so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// Write writes a history as JSON lines.
func Write(w io.Writer, events []Event) error {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return buf.Flush()
}
