package history

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is a way in which a history can be wrong.
type Kind string

// The kinds.
const (
	Lost         Kind = "lost"               // a request without an end
	Duplicated   Kind = "duplicated"         // a request with two ends, or one that was carried out twice
	Misdelivered Kind = "misdelivered"       // what belongs to another request, or to none
	AfterCancel  Kind = "after cancel"       // an answer to who wants none
	Grammar      Kind = "grammar"            // what does not come at this place of a stream
	OutOfOrder   Kind = "out of order"       // progress that does not go forward
	Reused       Kind = "reused by the test" // the same id sent twice: a mistake of the test
)

// Violation is one thing that is wrong with a history.
type Violation struct {
	Kind  Kind
	Event Event
	Why   string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Kind, v.Why, v.Event) }

// Report is what a history says.
type Report struct {
	Requests, Replies, Closed int
	Errors                    map[string]int // class -> requests that ended so
	Violations                []Violation
}

// Count is how many violations are of a kind.
func (r *Report) Count(k Kind) int {
	n := 0
	for _, v := range r.Violations {
		if v.Kind == k {
			n++
		}
	}
	return n
}

// Failed is how many requests ended with an error.
func (r *Report) Failed() int {
	n := 0
	for _, k := range r.Errors {
		n += k
	}
	return n
}

func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests: %d answered, %d failed %v, %d closed; %d violations", r.Requests, r.Replies, r.Failed(), r.Errors, r.Closed, len(r.Violations))
	for _, v := range r.Violations[:min(len(r.Violations), 20)] {
		fmt.Fprintf(&b, "\n\t%s", v)
	}
	return b.String()
}

// request is one request as the checker has followed it.
type request struct {
	sent      Event
	opened    bool
	cancelled bool
	ended     bool
	progress  float64
}

// Check reads a history that has come to its end. For each request:
//
//	sent ── notification* ── reply | error | closed                 a call
//	sent ── opened ── notification* ── reply | error | closed       a subscription
//	   └── error | closed
//
// and after cancelled nothing but closed.
func Check(events []Event) *Report {
	r := &Report{Errors: map[string]int{}}
	requests := map[string]*request{} // client and id -> what is known of it
	wrong := func(k Kind, e Event, why string) { r.Violations = append(r.Violations, Violation{k, e, why}) }
	for _, e := range events {
		key := e.Client + " " + e.ID
		q := requests[key]
		switch {
		case e.Op == Sent && q != nil:
			wrong(Reused, e, "this id was sent before")
			continue
		case e.Op == Sent:
			requests[key] = &request{sent: e}
			r.Requests++
			continue
		case q == nil:
			wrong(Misdelivered, e, "no such request was sent")
			continue
		case e.Op == Cancelled:
			q.cancelled = true
			continue
		case q.ended && e.Op.ends():
			wrong(Duplicated, e, "the request has ended before")
			continue
		case q.ended:
			wrong(Grammar, e, "the request has ended before")
			continue
		case q.cancelled && e.Op != Closed:
			wrong(AfterCancel, e, "the caller has been told that it was cancelled")
		}
		if e.Nonce != "" && e.Nonce != q.sent.Nonce || e.Op == Reply && e.Nonce != q.sent.Nonce {
			wrong(Misdelivered, e, "it belongs to "+q.sent.Nonce)
		}
		q.follow(e, wrong)
		switch e.Op {
		case Reply:
			r.Replies++
		case Error:
			r.Errors[e.Class]++
		case Closed:
			r.Closed++
		}
	}
	for _, q := range requests {
		if !q.ended {
			wrong(Lost, q.sent, "it has no end")
		}
	}
	slices.SortStableFunc(r.Violations, func(a, b Violation) int { return int(a.Event.T - b.Event.T) })
	return r
}

// follow holds an event against the grammar of its stream.
func (q *request) follow(e Event, wrong func(Kind, Event, string)) {
	switch {
	case e.Op == Opened && (!q.sent.Stream || q.opened):
		wrong(Grammar, e, "an acknowledgement that is not the first message of a subscription")
	case e.Op == Notification && q.sent.Stream && !q.opened:
		wrong(Grammar, e, "a notification before the acknowledgement")
	case e.Op == Reply && q.sent.Stream && !q.opened:
		wrong(Grammar, e, "a result without an acknowledgement")
	}
	if e.Op == Notification && e.Progress != 0 {
		if e.Progress <= q.progress {
			wrong(OutOfOrder, e, fmt.Sprintf("progress was at %v", q.progress))
		}
		q.progress = e.Progress
	}
	q.opened = q.opened || e.Op == Opened
	q.ended = e.Op.ends()
}

// Acted holds what upstreams have carried out against what was sent: nothing that
// nobody asked for, and nothing twice but what may be repeated. Each of done is the
// nonce of a call that an upstream has begun.
func (r *Report) Acted(events []Event, done []string, repeatable func(sent Event) bool) {
	sent := map[string]Event{}
	for _, e := range events {
		if e.Op == Sent {
			sent[e.Nonce] = e
		}
	}
	times := map[string]int{}
	for _, nonce := range done {
		e, ok := sent[nonce]
		times[nonce]++
		switch {
		case !ok:
			r.Violations = append(r.Violations, Violation{Misdelivered, Event{Nonce: nonce}, "an upstream got a call that nobody sent"})
		case times[nonce] == 2 && !repeatable(e):
			r.Violations = append(r.Violations, Violation{Duplicated, e, "an upstream got the call twice"})
		}
	}
}
