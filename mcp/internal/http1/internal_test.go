package http1

// These tests are inside because a server of net/http cannot send what they read.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// script is a connection on which a server has sent something, in pieces.
type script struct {
	net.Conn
	text  []byte
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	n := min(len(p), len(s.text), max(1, s.piece))
	if n == 0 {
		return 0, io.EOF
	}
	copy(p, s.text[:n])
	s.text = s.text[n:]
	return n, nil
}
func (*script) Write(p []byte) (int, error)     { return len(p), nil }
func (*script) Close() error                    { return nil }
func (*script) SetReadDeadline(time.Time) error { return nil }

// answer reads the response to one request, and whether the connection is used again.
func answer(text []byte, piece, most int) (res *Response, body []byte, again bool, rest int, err error) {
	c := New("test:1", &Options{MaxHeaderBytes: 4096})
	s := &script{text: text, piece: piece}
	cn := &conn{c: c, raw: s, net: s}
	cn.cancel = cn.abort
	res, err = c.exchange(context.Background(), cn, &Request{Head: []byte("GET / HTTP/1.1\r\n")})
	if err != nil {
		return nil, nil, false, 0, err
	}
	body, err = res.ReadAll(most)
	// What is still on the wire is read only after it was sent; here all is sent at once.
	rest = len(s.text) + len(cn.buf) - cn.r
	_ = res.Close()
	_, idle := c.Conns()
	return res, body, idle == 1, rest, err
}

func TestResponses(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name, text, body string
		again            bool
	}{
		{"length", head + "Content-Length: 5\r\n\r\nhello", "hello", true},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
		{"no reason", "HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", "", true},
		{"chunks", head + "Transfer-Encoding: Chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "hello", true},
		{"trailers", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n", "hello", true},
		{"until the end", head + "\r\nhello", "hello", false},
		{"told to close", head + "Connection: Close\r\nContent-Length: 5\r\n\r\nhello", "hello", false},
		{"old", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", false},
		{"old and kept", "HTTP/1.0 200 OK\r\nConnection: x, keep-alive\r\nContent-Length: 5\r\n\r\nhello", "hello", true},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + head + "Content-Length: 5\r\n\r\nhello", "hello", true},
		{"more than was asked for", head + "Content-Length: 5\r\n\r\nhello" + head + "Content-Length: 4\r\n\r\nevil", "hello", false},
	} {
		for _, piece := range []int{1, 2, 7, 1 << 20} {
			_, body, again, _, err := answer([]byte(tt.text), piece, 1<<10)
			// One byte at a time, what is too much has not come yet; the next take finds it.
			if err != nil || string(body) != tt.body || again != tt.again && !(tt.name == "more than was asked for" && piece < 1<<20) {
				t.Errorf("%s in pieces of %d: %q, used again: %v, %v", tt.name, piece, body, again, err)
			}
		}
	}
}

func TestMalformedResponses(t *testing.T) {
	const head, sized = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
	const chunks = head + "Transfer-Encoding: chunked\r\n\r\n"
	for name, text := range map[string]string{
		"bare LF":                   "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"bare LF in fields":         head + "A: b\nContent-Length: 2\r\n\r\nok",
		"bare CR":                   head + "A: b\rContent-Length: 2\r\n\r\nok",
		"NUL":                       head + "A: b\x00\r\nContent-Length: 2\r\n\r\nok",
		"two lengths":               sized + "Content-Length: 5\r\n\r\nok",
		"two equal lengths":         sized + "Content-Length: 2\r\n\r\nok",
		"length with sign":          head + "Content-Length: +2\r\n\r\nok",
		"length as a list":          head + "Content-Length: 2, 2\r\n\r\nok",
		"length of nothing":         head + "Content-Length:\r\n\r\nok",
		"length too large":          head + "Content-Length: 99999999999999999999\r\n\r\nok",
		"length and chunks":         sized + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"other coding":              head + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"two codings":               chunks[:len(chunks)-2] + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"coding in HTTP/1.0":        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"space before colon":        head + "Content-Length : 2\r\n\r\nok",
		"folded":                    head + "A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
		"no colon":                  head + "Content-Length\r\n\r\nok",
		"no name":                   head + ": x\r\n\r\nok",
		"compressed":                sized + "Content-Encoding: gzip\r\n\r\nok",
		"two types":                 sized + "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\nok",
		"HTTP/2":                    "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"no status":                 "HTTP/1.1 2x0 OK\r\n\r\n",
		"status of four":            "HTTP/1.1 2000 OK\r\n\r\n",
		"empty line first":          "\r\n" + sized + "\r\nok",
		"switch":                    "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
		"body of no content":        "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
		"interim for ever":          strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20) + sized + "\r\nok",
		"huge header":               head + "A: " + strings.Repeat("x", 5000) + "\r\nContent-Length: 2\r\n\r\nok",
		"many fields":               head + strings.Repeat("A: b\r\n", 1000) + "Content-Length: 2\r\n\r\nok",
		"chunk size with sign":      chunks + "+2\r\nok\r\n0\r\n\r\n",
		"chunk size with 0x":        chunks + "0x2\r\nok\r\n0\r\n\r\n",
		"chunk size too large":      chunks + "fffffffffffffffff\r\nok\r\n0\r\n\r\n",
		"chunk without size":        chunks + "\r\nok\r\n0\r\n\r\n",
		"chunk longer than it says": chunks + "2\r\nokay\r\n0\r\n\r\n",
		"chunk with bare LF":        chunks + "2\nok\n0\n\n",
		"chunk extension for ever":  chunks + "2;" + strings.Repeat("x", 500) + "\r\nok\r\n0\r\n\r\n",
		"trailer that is none":      chunks + "2\r\nok\r\n0\r\nx y: z\r\n\r\n",
		"trailers for ever":         chunks + "2\r\nok\r\n0\r\n" + strings.Repeat("A: b\r\n", 2000) + "\r\n",
	} {
		for _, piece := range []int{1, 1 << 20} {
			_, body, again, _, err := answer([]byte(text), piece, 1<<10)
			if e := (*ErrMalformed)(nil); !errors.As(err, &e) || again {
				t.Errorf("%s: %q, used again: %v, %v; want ErrMalformed", name, body, again, err)
			}
		}
	}
}

// TestCutResponses holds that a response that ends too early is an error, wherever it ends.
func TestCutResponses(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n",
	} {
		for n := range len(text) {
			_, body, again, _, err := answer([]byte(text[:n]), 1<<20, 1<<10)
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if !errors.Is(err, want) || again {
				t.Errorf("%q: %q, used again: %v, %v; want %v", text[:n], body, again, err, want)
			}
		}
	}
}

// FuzzResponse reads arbitrary responses. What is accepted net/http reads the same
// way, to the same byte: else two readers of one connection could disagree about
// where a response ends.
func FuzzResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5, max=10\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
	} {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		const most = 1 << 16
		res, body, again, rest, err := answer(bytes.Clone(text), piece, most)
		whole, wholeBody, _, _, wholeErr := answer(bytes.Clone(text), 1<<20, most)
		if (err == nil) != (wholeErr == nil) || !bytes.Equal(body, wholeBody) && err == nil || err == nil && res.Status != whole.Status {
			t.Fatalf("in pieces %q, %v; at once %q, %v", body, err, wholeBody, wholeErr)
		}
		if err != nil || len(body) > most {
			if again {
				t.Fatal("a connection is used again after a broken response")
			}
			return
		}
		r := bufio.NewReader(bytes.NewReader(text))
		var theirs *http.Response
		for {
			if theirs, err = http.ReadResponse(r, nil); err != nil {
				t.Fatalf("accepted, but net/http says %v: %q", err, text)
			}
			if theirs.StatusCode >= 200 {
				break
			}
		}
		theirBody, err := io.ReadAll(theirs.Body)
		if err != nil || theirs.StatusCode != res.Status || !bytes.Equal(theirBody, body) {
			t.Fatalf("read as %d %q, by net/http as %d %q, %v", res.Status, body, theirs.StatusCode, theirBody, err)
		}
		left, _ := io.ReadAll(r)
		if again && (theirs.Close || len(left) != rest) {
			t.Fatalf("used again with %d bytes left, by net/http with %d, closed: %v", rest, len(left), theirs.Close)
		}
	})
}
