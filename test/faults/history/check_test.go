package history_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/test/faults/history"
)

// good is a history with every kind of request in it and nothing wrong: two clients
// that use the same ids, as clients do.
func good() []history.Event {
	list := []history.Event{
		{Client: "a", ID: "1", Op: history.Sent, Nonce: "a1"},
		{Client: "b", ID: "1", Op: history.Sent, Nonce: "b1"},
		{Client: "a", ID: "2", Op: history.Sent, Nonce: "2", Stream: true},
		{Client: "b", ID: "1", Op: history.Notification, Nonce: "b1", Progress: 1},
		{Client: "a", ID: "2", Op: history.Opened, Nonce: "2"},
		{Client: "b", ID: "1", Op: history.Notification, Nonce: "b1", Progress: 2},
		{Client: "a", ID: "1", Op: history.Reply, Nonce: "a1"},
		{Client: "b", ID: "1", Op: history.Reply, Nonce: "b1"},
		{Client: "a", ID: "2", Op: history.Notification, Nonce: "2"},
		{Client: "b", ID: "2", Op: history.Sent, Nonce: "b2"},
		{Client: "b", ID: "3", Op: history.Sent, Nonce: "b3"},
		{Client: "b", ID: "2", Op: history.Cancelled},
		{Client: "b", ID: "2", Op: history.Closed},
		{Client: "b", ID: "3", Op: history.Error, Class: "timeout"},
		{Client: "a", ID: "2", Op: history.Reply, Nonce: "2"},
	}
	for i := range list {
		list[i].T = time.Duration(i)
	}
	return list
}

func TestGoodHistory(t *testing.T) {
	r := history.Check(good())
	if len(r.Violations) > 0 || r.Requests != 5 || r.Replies != 3 || r.Failed() != 1 || r.Closed != 1 {
		t.Fatalf("Check: %v", r)
	}
}

// TestBrokenHistories are the broken twins: one change to a good history, and what
// the checker says of it.
func TestBrokenHistories(t *testing.T) {
	insert := func(at int, e history.Event) func([]history.Event) []history.Event {
		return func(l []history.Event) []history.Event { return slices.Insert(l, at, e) }
	}
	for _, tc := range []struct {
		name   string
		broken func([]history.Event) []history.Event
		want   history.Kind
	}{
		{"an end is lost", func(l []history.Event) []history.Event { return slices.Delete(l, 6, 7) }, history.Lost},
		{"a cancelled request has no end", func(l []history.Event) []history.Event { return slices.Delete(l, 12, 13) }, history.Lost},
		{"a stream has no end", func(l []history.Event) []history.Event { return l[:14] }, history.Lost},
		{"two replies", insert(8, history.Event{Client: "a", ID: "1", Op: history.Reply, Nonce: "a1"}), history.Duplicated},
		{"an error after the reply", insert(8, history.Event{Client: "a", ID: "1", Op: history.Error, Class: "timeout"}), history.Duplicated},
		{"the reply of another caller", func(l []history.Event) []history.Event { l[6].Nonce = "b1"; return l }, history.Misdelivered},
		{"a reply without a nonce", func(l []history.Event) []history.Event { l[6].Nonce = ""; return l }, history.Misdelivered},
		{"the progress of another caller", func(l []history.Event) []history.Event { l[3].Nonce = "a1"; return l }, history.Misdelivered},
		{"a reply to nothing", insert(8, history.Event{Client: "a", ID: "77", Op: history.Reply}), history.Misdelivered},
		{"a reply after cancel", func(l []history.Event) []history.Event {
			l[12].Op, l[12].Nonce = history.Reply, "b2"
			return l
		}, history.AfterCancel},
		{"an error after cancel", func(l []history.Event) []history.Event { l[12].Op = history.Error; return l }, history.AfterCancel},
		{"a notification after cancel", insert(12, history.Event{Client: "b", ID: "2", Op: history.Notification}), history.AfterCancel},
		{"a notification after the reply", insert(8, history.Event{Client: "a", ID: "1", Op: history.Notification}), history.Grammar},
		{"a notification before the acknowledgement", insert(4, history.Event{Client: "a", ID: "2", Op: history.Notification}), history.Grammar},
		{"a stream is acknowledged twice", insert(5, history.Event{Client: "a", ID: "2", Op: history.Opened}), history.Grammar},
		{"a call is acknowledged", insert(3, history.Event{Client: "a", ID: "1", Op: history.Opened}), history.Grammar},
		{"a stream ends unacknowledged", func(l []history.Event) []history.Event { return slices.Delete(slices.Delete(l, 8, 9), 4, 5) }, history.Grammar},
		{"a subscription id of another stream", func(l []history.Event) []history.Event { l[8].Nonce = "9"; return l }, history.Misdelivered},
		{"progress goes back", func(l []history.Event) []history.Event { l[5].Progress = 1; return l }, history.OutOfOrder},
		{"an id is sent twice", insert(8, history.Event{Client: "a", ID: "1", Op: history.Sent}), history.Reused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := history.Check(tc.broken(good()))
			if len(r.Violations) != 1 || r.Violations[0].Kind != tc.want {
				t.Errorf("Check: want one violation, %q, got %v", tc.want, r)
			}
		})
	}
}

func TestActed(t *testing.T) {
	repeatable := func(e history.Event) bool { return e.Nonce == "b1" }
	for _, tc := range []struct {
		name string
		done []string
		want history.Kind // empty: nothing is wrong
	}{
		{"each once", []string{"a1", "b1", "b2", "b3"}, ""},
		{"a repeatable one twice", []string{"a1", "b1", "b1"}, ""},
		{"one twice", []string{"a1", "a1", "b1"}, history.Duplicated},
		{"one that nobody sent", []string{"a1", "x"}, history.Misdelivered},
	} {
		r := history.Check(good())
		r.Acted(good(), tc.done, repeatable)
		if tc.want == "" && len(r.Violations) > 0 || tc.want != "" && (len(r.Violations) != 1 || r.Violations[0].Kind != tc.want) {
			t.Errorf("%s: %v", tc.name, r)
		}
	}
}

func TestWrite(t *testing.T) {
	var out bytes.Buffer
	if err := history.Write(&out, good()); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out)
	var got []history.Event
	for dec.More() {
		var e history.Event
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if !slices.Equal(got, good()) {
		t.Errorf("read back: %v", got)
	}
}
