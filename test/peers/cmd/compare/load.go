package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"load","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	echoArgs   = `"name":"echo","arguments":{"text":"hello, fairlead"}`
)

func post(body string, headers ...string) []byte {
	var h strings.Builder
	h.WriteString("POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n")
	for _, line := range headers {
		h.WriteString(line + "\r\n")
	}
	return []byte(h.String() + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// loadHTTP makes calls calls over conns kept connections and returns their latencies.
func loadHTTP(s *server, conns, calls int, isModern bool) ([]time.Duration, error) {
	headers := []string{"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: echo"}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + echoArgs + `,` + modernMeta + `}}`
	if !isModern {
		session, err := openSession(s.addr)
		if err != nil {
			return nil, err
		}
		headers = []string{"MCP-Protocol-Version: 2025-11-25", "Mcp-Session-Id: " + session}
	}
	var (
		left atomic.Int64
		mu   sync.Mutex
		all  []time.Duration
		errs []error
		wg   sync.WaitGroup
	)
	left.Store(int64(calls))
	for i := range conns {
		if !isModern { // ids in flight are unique within a session
			body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{%s}}`, i+1, echoArgs)
		}
		request := post(body, headers...)
		wg.Go(func() {
			lat, err := loadConn(s.addr, request, &left)
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, lat...), append(errs, err)
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func loadConn(addr string, request []byte, left *atomic.Int64) (lat []time.Duration, err error) {
	c, r, err := dialLoad(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for left.Add(-1) >= 0 {
		t := time.Now()
		if _, err := c.Write(request); err != nil {
			return nil, err
		}
		status, _, body, err := readResponse(r)
		if err != nil {
			return nil, err
		}
		lat = append(lat, time.Since(t))
		if status != 200 || !bytes.Contains(body, []byte("hello, fairlead")) || bytes.Contains(body, []byte(`"isError":true`)) {
			return nil, fmt.Errorf("status %d: %s", status, body)
		}
	}
	return lat, nil
}

func dialLoad(addr string) (net.Conn, *bufio.Reader, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	return c, bufio.NewReaderSize(c, 16<<10), nil
}

// readResponse reads one HTTP/1.1 response, with a length or in chunks.
func readResponse(r *bufio.Reader) (status int, header textproto.MIMEHeader, body []byte, err error) {
	tp := textproto.NewReader(r)
	line, err := tp.ReadLine()
	if err != nil {
		return 0, nil, nil, err
	}
	if _, err = fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		return 0, nil, nil, fmt.Errorf("%w in %q", err, line)
	}
	if header, err = tp.ReadMIMEHeader(); err != nil {
		return 0, nil, nil, err
	}
	if !strings.EqualFold(header.Get("Transfer-Encoding"), "chunked") {
		n, _ := strconv.Atoi(header.Get("Content-Length"))
		body = make([]byte, n)
		_, err = io.ReadFull(r, body)
		return status, header, body, err
	}
	for {
		line, err := tp.ReadLine()
		if err != nil {
			return 0, nil, nil, err
		}
		n, err := strconv.ParseInt(line, 16, 32)
		if err != nil {
			return 0, nil, nil, err
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return 0, nil, nil, err
		}
		if n == 0 {
			return status, header, body, nil
		}
		body = append(body, chunk[:n]...)
	}
}

// openSession makes a session of 2025-11-25 on a connection of its own and returns its id.
func openSession(addr string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}`
	if _, err := c.Write(post(initialize)); err != nil {
		return "", err
	}
	status, header, body, err := readResponse(r)
	if err != nil || status != 200 {
		return "", fmt.Errorf("initialize: status %d, %w: %s", status, err, body)
	}
	session := header.Get("Mcp-Session-Id")
	if _, err := c.Write(post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "MCP-Protocol-Version: 2025-11-25", "Mcp-Session-Id: "+session)); err != nil {
		return "", err
	}
	status, _, body, err = readResponse(r)
	if err != nil || status/100 != 2 {
		return "", fmt.Errorf("initialized: status %d, %w: %s", status, err, body)
	}
	return session, nil
}

// loadStdio keeps inFlight calls open on the pipe until calls are answered.
func loadStdio(s *server, inFlight, calls int) ([]time.Duration, error) {
	sent := make([]time.Time, calls)
	lat := make([]time.Duration, 0, calls)
	var batch []byte
	next := 0
	send := func(n int) error {
		batch = batch[:0]
		for ; n > 0 && next < calls; n-- {
			batch = fmt.Appendf(batch, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{%s,%s}}`+"\n", next, echoArgs, modernMeta)
			sent[next] = time.Now()
			next++
		}
		_, err := s.stdin.Write(batch)
		return err
	}
	if err := send(inFlight); err != nil {
		return nil, err
	}
	for len(lat) < calls {
		answered := 0
		for {
			line, err := s.stdout.ReadSlice('\n')
			if err != nil {
				return nil, err
			}
			id, err := idOf(line)
			if err != nil {
				return nil, err
			}
			lat = append(lat, time.Since(sent[id]))
			answered++
			if s.stdout.Buffered() == 0 || len(lat) == calls {
				break
			}
		}
		if err := send(answered); err != nil {
			return nil, err
		}
	}
	return lat, nil
}

func idOf(line []byte) (int, error) {
	_, rest, ok := bytes.Cut(line, []byte(`"id":`))
	if !ok || !bytes.Contains(line, []byte("hello, fairlead")) {
		return 0, fmt.Errorf("unexpected line %s", line)
	}
	end := bytes.IndexAny(rest, ",}")
	return strconv.Atoi(string(rest[:end]))
}
