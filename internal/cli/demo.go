package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

type demoCmd struct{}

// Run serves the demo on standard input and output.
func (*demoCmd) Run(ctx context.Context, a *app) error {
	ctx, cancel := context.WithCancel(ctx)
	s, err := newDemo()
	if err != nil {
		cancel()
		return err
	}
	ticking := make(chan struct{})
	go func() { // ends with ctx
		defer close(ticking)
		tick(ctx, s)
	}()
	err = a.serveStdio(ctx, s)
	cancel()
	<-ticking
	return err
}

const clockURI = "demo://clock"

// tick tells every second who watches the clock that it has changed.
func tick(ctx context.Context, s *mcp.Server) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.ResourceUpdated(clockURI)
		}
	}
}

type demoText struct {
	Text string `json:"text" jsonschema:"what to say"`
}

type demoSlow struct {
	Steps   int     `json:"steps,omitempty" jsonschema:"how many steps to take; 5 when left out"`
	Seconds float64 `json:"seconds,omitempty" jsonschema:"how long they take together; 2 when left out, at most 600"`
}

func newDemo() (*mcp.Server, error) {
	s := mcp.NewServer("fairlead-demo", version(), &mcp.ServerOptions{Title: "Fairlead demo", Instructions: "A server to try a node with."})
	return s, errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo", Description: "Say the text again"},
			func(_ context.Context, _ *mcp.Call, in demoText) (string, error) { return in.Text, nil }),
		mcp.AddTool(s, mcp.Tool{Name: "slow", Description: "Take some steps, with progress"}, slow),
		s.AddResource(mcp.Resource{URI: clockURI, Name: "clock", Description: "The time, which changes every second", MIMEType: "text/plain"},
			func(context.Context, *mcp.Call, string) ([]mcp.ResourceContents, error) {
				now := time.Now().UTC().Format(time.RFC3339)
				return []mcp.ResourceContents{{URI: clockURI, MIMEType: "text/plain", Text: now}}, nil
			}),
		s.AddPrompt(mcp.Prompt{Name: "greeting", Description: "Greet somebody", Arguments: []mcp.PromptArgument{{Name: "name", Description: "who to greet", Required: true}}},
			func(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
				return &mcp.PromptResult{Messages: []mcp.PromptMessage{{Role: mcp.RoleUser, Content: mcp.Text("Write a warm greeting to " + args["name"] + ".")}}}, nil
			}),
	)
}

func slow(ctx context.Context, call *mcp.Call, in demoSlow) (string, error) {
	if in.Steps == 0 {
		in.Steps = 5
	}
	if in.Seconds == 0 {
		in.Seconds = 2
	}
	if in.Steps < 1 || in.Steps > 1000 || in.Seconds < 0 || in.Seconds > 600 {
		return "", errors.New("steps go from 1 to 1000, seconds from 0 to 600")
	}
	t := time.NewTicker(max(time.Microsecond, time.Duration(in.Seconds*float64(time.Second))/time.Duration(in.Steps)))
	defer t.Stop()
	for i := range in.Steps {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-t.C:
		}
		if err := call.Progress(float64(i+1), float64(in.Steps), fmt.Sprintf("step %d of %d", i+1, in.Steps)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("took %d steps", in.Steps), nil
}
