package jsonrpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/google/go-cmp/cmp"
)

const overLong = "<over-long>"

// readAll returns the lines until io.EOF, with overLong for each *LineError.
func readAll(t testing.TB, r *jsonrpc.Reader) []string {
	t.Helper()
	var lines []string
	for {
		line, err := r.Next()
		if err != nil && line != nil {
			t.Fatalf("line %q beside error %v", line, err)
		}
		if _, ok := errors.AsType[*jsonrpc.LineError](err); ok {
			lines = append(lines, overLong)
			continue
		}
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
}

func TestReader(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	tests := map[string]struct {
		in    string
		limit int
		want  []string
	}{
		"nothing":                    {"", 10, nil},
		"blank lines":                {"\n\r\n \t\n\n", 10, nil},
		"lines":                      {"a\nb\r\n\n c \nd\n", 10, []string{"a", "b", " c ", "d"}},
		"no newline at the end":      {"a\nb", 10, []string{"a", "b"}},
		"CR at the end":              {"a\r", 10, []string{"a"}},
		"at the limit":               {x(10) + "\n" + x(10) + "\r\n" + x(10), 10, []string{x(10), x(10), x(10)}},
		"over the limit":             {x(11) + "\n{}\n", 10, []string{overLong, "{}"}},
		"over the limit with a CR":   {x(11) + "\r\n{}\n", 10, []string{overLong, "{}"}},
		"far over the limit":         {x(1000) + "\n{}\n" + x(500) + "\n{}", 10, []string{overLong, "{}", overLong, "{}"}},
		"over the limit at the end":  {"{}\n" + x(11), 10, []string{"{}", overLong}},
		"cut off far over the limit": {"{}\n" + x(100), 10, []string{"{}", overLong}},
		"long lines":                 {x(100_000) + "\n" + x(300_000) + "\na\n" + x(300_001) + "\nb\n", 300_000, []string{x(100_000), x(300_000), "a", overLong, "b"}},
	}
	sources := map[string]func(io.Reader) io.Reader{
		"whole":       func(r io.Reader) io.Reader { return r },
		"byte":        iotest.OneByteReader,
		"half":        iotest.HalfReader,
		"EOF at once": iotest.DataErrReader,
	}
	for name, test := range tests {
		for how, source := range sources {
			t.Run(name+"/"+how, func(t *testing.T) {
				r := jsonrpc.NewReader(source(strings.NewReader(test.in)), &jsonrpc.Limits{MaxBytes: test.limit})
				if diff := cmp.Diff(test.want, readAll(t, r)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if _, err := r.Next(); err != io.EOF {
					t.Errorf("Next after the end: %v", err)
				}
			})
		}
	}
}

func TestReaderError(t *testing.T) {
	broken := errors.New("broken")
	r := jsonrpc.NewReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), nil)
	if line, err := r.Next(); err != nil || string(line) != "a" {
		t.Fatalf("Next: got %q, %v", line, err)
	}
	for range 2 { // "b" was cut off: it is not a line
		if line, err := r.Next(); line != nil || !errors.Is(err, broken) {
			t.Fatalf("Next: got %q, %v, want %v", line, err, broken)
		}
	}
	r = jsonrpc.NewReader(readFunc(func([]byte) (int, error) { return 0, nil }), nil)
	if _, err := r.Next(); err != io.ErrNoProgress {
		t.Fatalf("Next on a source that returns nothing: %v", err)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A peer that never ends its line is told so at once, and costs no more than the limit.
func TestReaderEndlessLine(t *testing.T) {
	const limit = 100_000
	total, largest := 0, 0
	r := jsonrpc.NewReader(readFunc(func(p []byte) (int, error) {
		total, largest = total+len(p), max(largest, len(p))
		for i := range p {
			p[i] = 'x'
		}
		if total > 100*limit {
			p[len(p)-1] = '\n'
			return len(p), io.EOF
		}
		return len(p), nil
	}), &jsonrpc.Limits{MaxBytes: limit})
	if _, err := r.Next(); err == nil || err.Error() != "jsonrpc: line is longer than 100000 bytes" {
		t.Fatalf("Next: %v", err)
	}
	if total > 2*limit {
		t.Errorf("%d bytes were read before the error", total)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatalf("Next: %v, want io.EOF", err)
	}
	if largest > limit+2 {
		t.Errorf("a buffer of %d bytes", largest)
	}
}

func TestReaderBuffered(t *testing.T) {
	pr, pw := io.Pipe()
	defer pr.Close()
	r := jsonrpc.NewReader(pr, &jsonrpc.Limits{MaxBytes: 20})
	write := func(s string) {
		go func() { // ends when Next has read s, or with the pipe
			_, _ = io.WriteString(pw, s)
		}()
	}
	next := func(want string, buffered int) {
		t.Helper()
		line, err := r.Next()
		if err != nil || string(line) != want || r.Buffered() != buffered {
			t.Fatalf("Next: got %q, %v, %d buffered, want %q, %d", line, err, r.Buffered(), want, buffered)
		}
	}
	if n := r.Buffered(); n != 0 {
		t.Fatalf("%d buffered at the start", n)
	}
	write("a\nbc\nd\n\n")
	next("a", 6)
	next("bc", 3)
	next("d", 0) // the rest is blank: Next would block
	write("e\nfg")
	next("e", 0) // half a line does not count
	write("h\n")
	next("fgh", 0)
	write(strings.Repeat("x", 30))
	if _, err := r.Next(); err == nil || r.Buffered() != 0 {
		t.Fatalf("Next: %v, %d buffered, want a LineError", err, r.Buffered())
	}
	write("xxx\ni\n")
	next("i", 0)
}

// recorder keeps each Write.
type recorder struct {
	mu     sync.Mutex
	writes []string
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes = append(r.writes, string(p))
	return len(p), nil
}

func TestWriter(t *testing.T) {
	var rec recorder
	w := jsonrpc.NewWriter(&rec)
	steps := []error{
		w.WriteMessage([]byte("{\n\"a\":1\r\n}")),
		w.WriteLater([]byte("1")),
		w.WriteLater([]byte("2\n")),
		w.Flush(),
		w.Flush(),
		w.WriteLater([]byte("3")),
		w.WriteMessage([]byte("4")),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"{\"a\":1}\n", "1\n2\n", "3\n4\n"}, rec.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	long := bytes.Repeat([]byte("x"), 1<<20)
	if err := w.WriteLater(long); err != nil || len(rec.writes) != 4 {
		t.Errorf("WriteLater of a long message: %v, %d writes, want 4", err, len(rec.writes))
	}
}

func TestWriterConcurrent(t *testing.T) {
	const writers, each = 20, 100
	var rec recorder
	w := jsonrpc.NewWriter(&rec)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				msg := fmt.Appendf(nil, "%d %d", i, j)
				var err error
				if j%3 == 0 {
					err = w.WriteLater(msg)
				} else {
					err = w.WriteMessage(msg)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	next := [writers]int{} // each writer's messages are whole and in order
	for line := range strings.Lines(strings.Join(rec.writes, "")) {
		var i, j int
		if _, err := fmt.Sscanf(line, "%d %d\n", &i, &j); err != nil || j != next[i] {
			t.Fatalf("line %q: %v, want message %d of it", line, err, next[i])
		}
		next[i]++
	}
	for i, n := range next {
		if n != each {
			t.Errorf("writer %d: %d messages arrived, want %d", i, n, each)
		}
	}
}

// gate holds each Write until it is let through.
type gate struct {
	recorder
	pass chan error
}

func (g *gate) Write(p []byte) (int, error) {
	if err := <-g.pass; err != nil {
		return 0, err
	}
	return g.recorder.Write(p)
}

func TestWriterJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{pass: make(chan error)}
		w := jsonrpc.NewWriter(g)
		var wg sync.WaitGroup
		write := func(s string) {
			wg.Go(func() {
				if err := w.WriteMessage([]byte(s)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		write("first")
		for i := range 10 {
			write(fmt.Sprint(i))
		}
		g.pass <- nil
		g.pass <- nil
		wg.Wait()
		if diff := cmp.Diff([]string{"first\n", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"}, g.writes); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

func TestWriterError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		g := &gate{pass: make(chan error)}
		w := jsonrpc.NewWriter(g)
		errs := make(chan error, 4)
		go func() { errs <- w.WriteMessage([]byte("a")) }()
		synctest.Wait()
		for range 3 {
			go func() { errs <- w.WriteMessage([]byte("b")) }()
		}
		synctest.Wait()
		g.pass <- nil
		g.pass <- broken
		synctest.Wait()
		got := []error{<-errs, <-errs, <-errs, <-errs}
		failed := slices.DeleteFunc(got, func(err error) bool { return err == nil })
		if len(failed) != 3 {
			t.Errorf("%d of 4 writes failed (%v), want 3: the first was through", len(failed), failed)
		}
		for _, err := range append(failed, w.WriteMessage([]byte("c")), w.WriteLater([]byte("c")), w.Flush()) {
			if !errors.Is(err, broken) {
				t.Errorf("got %v, want %v", err, broken)
			}
		}
		if diff := cmp.Diff([]string{"a\n"}, g.writes); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
	})
}

func TestWriterShortWrite(t *testing.T) {
	w := jsonrpc.NewWriter(writeFunc(func(p []byte) (int, error) { return len(p) - 1, nil }))
	if err := w.WriteMessage([]byte("a")); err != io.ErrShortWrite {
		t.Errorf("got %v, want io.ErrShortWrite", err)
	}
}

type writeFunc func([]byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

func BenchmarkReader(b *testing.B) {
	line := []byte(typicalCall + "\n")
	at := 0 // in line, where the next read goes on
	r := jsonrpc.NewReader(readFunc(func(p []byte) (int, error) {
		for n := 0; n < len(p); {
			k := copy(p[n:], line[at:])
			n, at = n+k, (at+k)%len(line)
		}
		return len(p), nil
	}), nil)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	w := jsonrpc.NewWriter(io.Discard)
	msg := []byte(typicalCall)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.WriteMessage(msg); err != nil {
			b.Fatal(err)
		}
	}
}
