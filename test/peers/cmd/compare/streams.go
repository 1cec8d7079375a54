package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
)

// idleStreams opens many streams of subscriptions/listen and leaves them alone.
// Resident memory is what the kernel says of the server's process, after it gave
// back what it does not use.
func idleStreams(o options, streams int) (string, error) {
	body := `{"jsonrpc":"2.0","id":"idle","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` + modernMeta + `}}`
	request := post(body, "MCP-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen")
	s, err := start(o.bin, "fairlead", false)
	if err != nil {
		return "", err
	}
	defer s.stop()
	conns := make([]net.Conn, 0, streams)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	open := func(n int) error {
		for range n {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				return err
			}
			conns = append(conns, c)
			if _, err := c.Write(request); err != nil {
				return err
			}
			resp, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
			if err != nil {
				return err
			}
			if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || resp.StatusCode != 200 {
				return fmt.Errorf("status %d, %q, %w", resp.StatusCode, line, err)
			}
		}
		return nil
	}
	// A warm-up, so that what the server allocates once does not count.
	if err := open(100); err != nil {
		return "", err
	}
	before, err := s.resident()
	if err == nil {
		err = open(streams)
	}
	if err != nil {
		return "", fmt.Errorf("after %d streams: %w", len(conns), err)
	}
	after, err := s.resident()
	if err != nil {
		return "", err
	}
	m, err := s.memory()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("\n## %d idle streams, 2026-07-28\n\n| server | resident memory per stream | goroutines in all |\n| --- | --- | --- |\n| fairlead | %d B | %d |\n",
		streams, (after-before)/streams, m.goroutines), nil
}

// resident is the resident memory of the process in bytes, after it was asked to give back what it can.
func (s *server) resident() (int, error) {
	if err := s.free(); err != nil {
		return 0, err
	}
	return s.rss()
}

// rss is the resident memory of the process in bytes.
func (s *server) rss() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kb int
	_, err = fmt.Sscan(rest, &kb)
	return kb << 10, err
}
