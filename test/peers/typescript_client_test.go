package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
)

const npmDir = "../npm"

func node() string { return filepath.Join(npmDir, "node_modules", "node", "bin", "node") }

// nodeClient is a client on the TypeScript SDK in a process of its own, driven by JSON lines.
type nodeClient struct {
	in io.WriteCloser

	mu      sync.Mutex
	last    int
	waiting map[int]chan nodeMessage // id -> who waits for it; nil when the process has ended
}

type nodeMessage struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
	Event  string          `json:"event"`
	Value  string          `json:"value"`
}

// connectTypeScript returns how to connect the client of a major version.
func connectTypeScript(sdk string) func(*testing.T, []string, string, string) map[feature]func(context.Context) error {
	return func(t *testing.T, command []string, url, revision string) map[feature]func(context.Context) error {
		t.Helper()
		th := newTheirs(revision)
		args := []string{filepath.Join(npmDir, "client.mjs"), sdk, revision}
		if url == "" {
			args = append(args, command...)
		} else {
			args = append(args, "--url", url)
			th.cut = new(atomic.Bool)
		}
		cmd := exec.Command(node(), args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		n := &nodeClient{in: in, waiting: map[int]chan nodeMessage{}}
		ready := make(chan struct{})
		var gone sync.WaitGroup
		gone.Go(func() { n.read(out, th, ready) }) // until the process ends
		t.Cleanup(func() {
			_ = in.Close()
			gone.Wait()
			_ = cmd.Wait()
			if t.Failed() {
				t.Log(stderr.String())
			}
		})
		<-ready
		th.do = n.do
		th.follow = func(ctx context.Context, what mcp.NotificationFilter) error {
			filter := map[string]any{"toolsListChanged": what.ToolsListChanged}
			if what.ResourceSubscriptions != nil {
				filter["resourceSubscriptions"] = what.ResourceSubscriptions
			}
			_, err := n.do(ctx, "follow", filter)
			return err
		}
		all := th.features()
		if th.cut != nil {
			all[resumption] = func(ctx context.Context) error {
				th.cut.Store(true)
				if _, err := n.do(ctx, "cut", nil); err != nil {
					return err
				}
				res, err := ask[mcp.ToolResult](ctx, th, "tools/call", map[string]any{"name": "count", "progress": true})
				if err != nil {
					return err
				}
				if th.cut.Load() {
					return errors.New("no stream was there to break")
				}
				return want(res.Text(), "counted")
			}
		}
		return all
	}
}

func (n *nodeClient) read(out io.Reader, th *theirs, ready chan struct{}) {
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, c := range n.waiting {
			close(c)
		}
		n.waiting = nil
		select {
		case <-ready:
		default:
			close(ready)
		}
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var m nodeMessage
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			continue // something that the SDK prints
		}
		switch m.Event {
		case "ready":
			close(ready)
		case "progress":
			th.progress <- m.Value
		case "log":
			th.logs <- m.Value
		case "updated":
			th.updates <- m.Value
		case "changed":
			th.changes <- m.Value
		case "cut":
			th.cut.Store(false)
		default:
			n.mu.Lock()
			if c := n.waiting[m.ID]; c != nil {
				delete(n.waiting, m.ID)
				c <- m
			}
			n.mu.Unlock()
		}
	}
}

func (n *nodeClient) do(ctx context.Context, method string, params map[string]any) (json.RawMessage, error) {
	answer := make(chan nodeMessage, 1)
	n.mu.Lock()
	if n.waiting == nil {
		n.mu.Unlock()
		return nil, errors.New("the client has ended")
	}
	n.last++
	id := n.last
	n.waiting[id] = answer
	n.mu.Unlock()
	if err := n.write(map[string]any{"id": id, "method": method, "params": params}); err != nil {
		return nil, err
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return nil, errors.New("the client has ended")
		case m.Error != "":
			return nil, errors.New(m.Error)
		}
		return m.Result, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), n.write(map[string]any{"cancel": id}))
	}
}

func (n *nodeClient) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err = n.in.Write(append(b, '\n'))
	return err
}

func needNode(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(node()); err != nil {
		t.Fatal(fmt.Errorf("the npm peers are not installed; run: make peers (%w)", err))
	}
}
