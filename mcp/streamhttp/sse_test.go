package streamhttp

// These tests look inside: the reader of server-sent events is not exported, and
// through a client only half of its format can be seen.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readAll returns the events of a stream as "name|data".
func readAll(r *eventReader) (events []string, err error) {
	for {
		e, err := r.next()
		if err != nil {
			return events, err
		}
		events = append(events, e.name+"|"+string(e.data))
	}
}

func TestEventReader(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"one", "data: a\n\n", []string{"|a"}},
		{"no space", "data:a\n\n", []string{"|a"}},
		{"only one space goes", "data:  a\n\n", []string{"| a"}},
		{"several lines", "data: a\ndata:\ndata: b\n\n", []string{"|a\n\nb"}},
		{"CRLF", "event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []string{"x|a", "|b"}},
		{"CR", "event: x\rdata: a\r\rdata: b\r\r", []string{"x|a", "|b"}},
		{"mixed", "data: a\r\ndata: b\n\rdata: c\r\r\n", []string{"|a\nb", "|c"}},
		{"BOM", "\uFEFFdata: a\n\n", []string{"|a"}},
		{"BOM only first", "data: a\n\n\uFEFFdata: b\n\n", []string{"|a"}},
		{"comments", ": hello\n:\ndata: a\n: in between\ndata: b\n\n: end\n\n", []string{"|a\nb"}},
		{"field without colon", "data\n\n", []string{"|"}},
		{"empty data", "data:\n\n", []string{"|"}},
		{"no data", "event: x\n\ndata: a\n\n", []string{"|a"}},
		{"unknown fields", "foo: bar\nDATA: x\ndata: a\n\n", []string{"|a"}},
		{"cut", "data: a\n\ndata: b\n", []string{"|a"}},
		{"cut in a line", "data: a\n\ndata: b", []string{"|a"}},
		{"colons in data", "data: {\"a\":1}\n\n", []string{`|{"a":1}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.stream), iotest.OneByteReader(strings.NewReader(tt.stream))} {
				got, err := readAll(newEventReader(r, 1000))
				if !errors.Is(err, io.EOF) {
					t.Errorf("error %v, want EOF", err)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("events of %q (-want +got):\n%s", tt.stream, diff)
				}
			}
		})
	}
}

func TestEventReaderFields(t *testing.T) {
	r := newEventReader(strings.NewReader("id: 1\nretry: 250\ndata: a\n\nid: b\x00\nretry: x\ndata: b\n\nid\ndata: c\n\n"), 100)
	for _, want := range []struct {
		id    string
		retry time.Duration
	}{{"1", 250 * time.Millisecond}, {"1", 250 * time.Millisecond}, {"", 250 * time.Millisecond}} {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
		if r.lastID != want.id || r.retry != want.retry {
			t.Errorf("id %q, retry %v, want %q, %v", r.lastID, r.retry, want.id, want.retry)
		}
	}
}

func TestEventReaderLimits(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, stream := range map[string]string{
		"line":  "data: " + long + "\n\n",
		"lines": strings.Repeat("data: xxxxxxxxx\n", 20) + "\n",
		"field": long + ": a\n\n",
		"empty": strings.Repeat("data\n", 200) + "\n",
	} {
		if _, err := readAll(newEventReader(strings.NewReader(stream), 100)); !errors.Is(err, errEventTooLong) {
			t.Errorf("%s: %v, want %v", name, err, errEventTooLong)
		}
	}
	// A comment of any length is no event.
	got, err := readAll(newEventReader(strings.NewReader(":"+strings.Repeat(long, 100)+"\ndata: a\n\n"), 100))
	if !errors.Is(err, io.EOF) || len(got) != 1 {
		t.Errorf("long comment: %q, %v", got, err)
	}
}

// TestEventReaderDoesNotWait asks for an event whose last line ends with CR: the LF
// that may follow comes with the next event.
func TestEventReaderDoesNotWait(t *testing.T) {
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() { _, _ = pw.Write([]byte("data: a\r\r")) }() // ends with the read
	e, err := newEventReader(pr, 100).next()
	if err != nil || string(e.data) != "a" {
		t.Errorf("next = %q, %v", e.data, err)
	}
}

func FuzzEventReader(f *testing.F) {
	for _, s := range []string{"data: a\n\n", "\uFEFF: c\r\nevent: x\rdata: a\r\n\r\n", "id: 1\nretry: 5\ndata\n\n", "data: a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 64
		whole, err := readAll(newEventReader(bytes.NewReader(stream), limit))
		if err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, errEventTooLong) {
			t.Fatalf("error %v", err)
		}
		var again bytes.Buffer
		for _, e := range whole {
			name, data, _ := strings.Cut(e, "|")
			if len(data) > limit {
				t.Fatalf("event of %d bytes over the limit", len(data))
			}
			if strings.ContainsAny(name+data, "\r") {
				t.Fatalf("line end in %q", e)
			}
			fmt.Fprintf(&again, "event: %s\ndata: %s\n\n", name, strings.ReplaceAll(data, "\n", "\ndata: "))
		}
		// What was read can be written, and reads the same.
		if got, _ := readAll(newEventReader(&again, 10*limit)); !cmp.Equal(got, whole) {
			t.Fatalf("read %q, wrote and read %q", whole, got)
		}
		// How the bytes arrive makes no difference.
		if got, _ := readAll(newEventReader(iotest.OneByteReader(bytes.NewReader(stream)), limit)); !cmp.Equal(got, whole) {
			t.Fatalf("at once %q, byte by byte %q", whole, got)
		}
	})
}
