package daemon_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
)

// TestStreamsAreParked: idle streams hold no goroutine of the node.
func TestStreamsAreParked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("streams are parked on Linux")
	}
	n := start(t, settings(t))
	n.pid(t, 0)
	host := strings.TrimSuffix(strings.TrimPrefix(n.Endpoint, "http://"), "/mcp")
	const body = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	const streams = 50
	before := runtime.NumGoroutine()
	for range streams {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, "acknowledged") {
				break
			}
		}
	}
	eventually(t, "the goroutines of the requests to end", func() bool { return runtime.NumGoroutine() < before+streams/2 })
}
