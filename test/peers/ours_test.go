package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

const pageSize = 4

var bytesOf = []byte{0, 1, 254, 255}

// ours is our client on one connection.
type ours struct {
	c   *mcp.Client
	cut *atomic.Bool // the next stream breaks after its first event; nil on stdio
}

// ourFeatures says what our client does with a server.
var ourFeatures = map[feature]func(context.Context, *ours) error{
	discover: func(ctx context.Context, o *ours) error {
		d, err := o.c.Discover(ctx)
		if err != nil {
			return err
		}
		if d.Instructions != "Look around." || d.Capabilities.Tools == nil {
			return fmt.Errorf("discovered %+v", d)
		}
		return nil
	},
	pagination: func(ctx context.Context, o *ours) error {
		first, err := o.c.ListToolsPage(ctx, nil)
		if err != nil {
			return err
		}
		if len(first.Tools) != pageSize || first.NextCursor == nil {
			return fmt.Errorf("the first page has %d tools, cursor %v", len(first.Tools), first.NextCursor)
		}
		all, err := o.c.ListTools(ctx)
		if err != nil {
			return err
		}
		names := map[string]bool{}
		for _, tool := range all {
			names[tool.Name] = true
		}
		if len(all) < 12 || len(names) != len(all) {
			return fmt.Errorf("%d tools, %d names", len(all), len(names))
		}
		return nil
	},
	content: showed("content", "text, image/png true, a note"),
	audio:   showed("audio", "audio/wav true"),
	links:   showed("link", "test://note"),
	structured: func(ctx context.Context, o *ours) error {
		n, err := mcp.CallToolAs[struct {
			N int `json:"n"`
		}](ctx, o.c, "structured", nil, nil)
		if err != nil {
			return err
		}
		return want(n.N, 1)
	},
	failures: func(ctx context.Context, o *ours) error {
		res, err := o.c.CallTool(ctx, "fail", nil, nil)
		if err != nil || !res.IsError || !strings.Contains(res.Text(), "it failed") {
			return fmt.Errorf("a tool that fails: %+v, %v", res, err)
		}
		if res, err = o.c.CallTool(ctx, "nothing", nil, nil); err == nil && !res.IsError {
			return fmt.Errorf("an unknown tool: %+v", res)
		}
		return nil
	},
	progress: func(ctx context.Context, o *ours) error {
		var got []string
		res, err := o.c.CallTool(ctx, "count", nil, &mcp.CallOptions{Progress: func(p mcp.Progress) {
			got = append(got, fmt.Sprint(p.Progress))
		}})
		if err != nil || res.Text() != "counted" {
			return fmt.Errorf("%+v, %v", res, err)
		}
		return want(strings.Join(got, " "), "1 2 3")
	},
	logging: func(ctx context.Context, o *ours) error {
		var got []string
		_, err := o.c.CallTool(ctx, "log", nil, &mcp.CallOptions{LogLevel: mcp.LogWarning, Log: func(m mcp.LogMessage) {
			got = append(got, fmt.Sprintf("%s %s %s", m.Level, m.Logger, m.Data))
		}})
		if err != nil {
			return err
		}
		return want(strings.Join(got, ", "), `warning world "careful"`)
	},
	cancellation: func(ctx context.Context, o *ours) error {
		// changed waits until the tool ended says something else.
		changed := func(from string) (now string, err error) {
			return now, eventually(ctx, "the server notices", func() (bool, error) {
				res, err := o.c.CallTool(ctx, "ended", nil, nil)
				if err != nil {
					return false, err
				}
				now = res.Text()
				return now != from, nil
			})
		}
		before, err := changed("")
		if err != nil {
			return err
		}
		calling, cancel := context.WithCancel(ctx)
		defer cancel()
		hung := make(chan error, 1)
		go func() { // until it is cancelled
			_, err := o.c.CallTool(calling, "hang", nil, nil)
			hung <- err
		}()
		begun, err := changed(before)
		if err != nil {
			return err
		}
		cancel()
		if err := <-hung; !errors.Is(err, context.Canceled) {
			return fmt.Errorf("hang: %w", err)
		}
		_, err = changed(begun)
		return err
	},
	resources: func(ctx context.Context, o *ours) error {
		list, err := o.c.ListResources(ctx)
		if err != nil || len(list) != 2 {
			return fmt.Errorf("resources %+v, %v", list, err)
		}
		note, err := o.c.ReadResource(ctx, "test://note", nil)
		if err != nil || len(note.Contents) != 1 || note.Contents[0].Text != "a note" {
			return fmt.Errorf("note %+v, %v", note, err)
		}
		blob, err := o.c.ReadResource(ctx, "test://blob", nil)
		if err != nil || len(blob.Contents) != 1 || !bytes.Equal(blob.Contents[0].Blob, bytesOf) {
			return fmt.Errorf("blob %+v, %v", blob, err)
		}
		if none, err := o.c.ReadResource(ctx, "test://none", nil); !mcp.IsWireError(err) {
			return fmt.Errorf("a resource that does not exist: %+v, %w", none, err)
		}
		return nil
	},
	templates: func(ctx context.Context, o *ours) error {
		list, err := o.c.ListResourceTemplates(ctx)
		if err != nil || len(list) != 1 {
			return fmt.Errorf("templates %+v, %v", list, err)
		}
		item, err := o.c.ReadResource(ctx, "test://item/7", nil)
		if err != nil || len(item.Contents) != 1 {
			return fmt.Errorf("item %+v, %v", item, err)
		}
		return want(item.Contents[0].Text, "item 7")
	},
	subscribe: func(ctx context.Context, o *ours) error {
		return o.listen(ctx, mcp.NotificationFilter{ResourceSubscriptions: []string{"test://note"}}, "touch",
			mcp.Event{Method: mcp.NotificationResourceUpdated, URI: "test://note"})
	},
	listChanged: func(ctx context.Context, o *ours) error {
		return o.listen(ctx, mcp.NotificationFilter{ToolsListChanged: true}, "grow", mcp.Event{Method: mcp.NotificationToolsListChanged})
	},
	prompts: func(ctx context.Context, o *ours) error {
		list, err := o.c.ListPrompts(ctx)
		if err != nil || len(list) != 1 || len(list[0].Arguments) != 1 || !list[0].Arguments[0].Required {
			return fmt.Errorf("prompts %+v, %v", list, err)
		}
		p, err := o.c.GetPrompt(ctx, "greet", map[string]string{"who": "Ada"}, nil)
		if err != nil || len(p.Messages) != 1 {
			return fmt.Errorf("prompt %+v, %v", p, err)
		}
		text, ok := p.Messages[0].Content.(*mcp.TextContent)
		if !ok {
			return fmt.Errorf("content %T", p.Messages[0].Content)
		}
		return want(text.Text, "Hello Ada")
	},
	completion: func(ctx context.Context, o *ours) error {
		c, err := o.c.Complete(ctx, mcp.CompleteParams{Prompt: "greet", Argument: "who", Value: "a"})
		if err != nil {
			return err
		}
		return want(fmt.Sprint(c.Values), "[ada alan]")
	},
	ping:     asked("ping", "pong"),
	form:     asked("form", "Hello Ada"),
	page:     asked("page", "accept"),
	sampling: asked("sample", "word"),
	roots:    asked("roots", "file:///world"),
	tasks: func(ctx context.Context, o *ours) error {
		task, err := o.c.StartTool(ctx, "task", nil, nil)
		if err != nil {
			return err
		}
		if task.ID() == "" {
			return errors.New("answered at once")
		}
		res, err := task.Wait(ctx)
		if err != nil {
			return err
		}
		return want(res.Text(), "worked")
	},
	resumption: func(ctx context.Context, o *ours) error {
		o.cut.Store(true)
		res, err := o.c.CallTool(ctx, "count", nil, &mcp.CallOptions{Progress: func(mcp.Progress) {}})
		if o.cut.Load() {
			return errors.New("no stream was there to break")
		}
		if err != nil {
			return err
		}
		return want(res.Text(), "counted")
	},
}

// asked calls a tool that asks the client.
func asked(tool, answer string) func(context.Context, *ours) error {
	return func(ctx context.Context, o *ours) error {
		res, err := o.c.CallTool(ctx, tool, nil, nil)
		if err != nil {
			return err
		}
		return want(res.Text(), answer)
	}
}

// showed calls a tool and looks at its content.
func showed(tool, content string) func(context.Context, *ours) error {
	return func(ctx context.Context, o *ours) error {
		res, err := o.c.CallTool(ctx, tool, nil, nil)
		if err != nil {
			return err
		}
		return want(blocks(res.Content), content)
	}
}

func (o *ours) listen(ctx context.Context, filter mcp.NotificationFilter, tool string, expected mcp.Event) error {
	events := make(chan mcp.Event, 8)
	sub, err := o.c.Listen(ctx, filter, func(e mcp.Event) { events <- e })
	if err != nil {
		return err
	}
	defer sub.Close()
	if _, err := o.c.CallTool(ctx, tool, nil, nil); err != nil {
		return err
	}
	select {
	case e := <-events:
		return want(e, expected)
	case <-sub.Done():
		return fmt.Errorf("the subscription ended: %w", sub.Err())
	case <-ctx.Done():
		return errors.New("no event came")
	}
}

// blocks says what is in content blocks.
func blocks(content []mcp.Content) string {
	var got []string
	for _, block := range content {
		switch b := block.(type) {
		case *mcp.TextContent:
			got = append(got, b.Text)
		case *mcp.ImageContent:
			got = append(got, fmt.Sprint(b.MIMEType, " ", bytes.Equal(b.Data, bytesOf)))
		case *mcp.AudioContent:
			got = append(got, fmt.Sprint(b.MIMEType, " ", bytes.Equal(b.Data, bytesOf)))
		case *mcp.ResourceLink:
			got = append(got, b.URI)
		case *mcp.EmbeddedResource:
			got = append(got, b.Resource.Text)
		}
	}
	return strings.Join(got, ", ")
}

func want[T comparable](got, want T) error {
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// eventually polls: another process has no event to wait for.
func eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// answers answer what a server asks.
var answers = &mcp.ClientOptions{
	OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
		return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: mcp.Raw(`{"name":"Ada"}`)}, nil
	},
	OnPage: func(_ context.Context, p mcp.Page) (mcp.ElicitAction, error) {
		return mcp.ElicitAccept, want(p.URL, "https://example.com/sign-in")
	},
	OnSample: func(context.Context, *mcp.SampleParams) (*mcp.SampleResult, error) {
		return &mcp.SampleResult{
			SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: []mcp.Content{mcp.Text("word")}}, Model: "none",
		}, nil
	},
	Roots: []mcp.Root{{URI: "file:///world"}},
}

// connectOurs opens a connection of our client to a server, which is a command or a URL.
func connectOurs(t *testing.T, command []string, url, revision string) *ours {
	t.Helper()
	o := new(ours)
	var h mcp.Handler
	var stop func(context.Context) error
	tap := mcptest.Tap(t, wirecheck.Client)
	modern := revision == string(mcp.LatestVersion)
	if url != "" {
		o.cut = new(atomic.Bool)
		opts := &streamhttp.ClientOptions{Era: streamhttp.EraModern, HTTPClient: &http.Client{
			Transport: &interferer{base: &http.Transport{DialContext: tap.Dial}, version: revision, cut: o.cut},
		}}
		if !modern {
			opts.Era, opts.Capabilities = streamhttp.EraLegacy, offered(t)
		}
		c := streamhttp.NewClient(url, opts)
		h, stop = c, c.Close
	} else {
		cmd := exec.Command(command[0], command[1:]...)
		in, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Log(stderr.String())
			}
		})
		opts := &stdio.ClientOptions{Era: stdio.EraModern, OneCaller: true}
		tappedIn, tappedOut := tap.Pipes(wirecheck.Client, in, out)
		if !modern {
			opts.Era, opts.Capabilities = stdio.EraLegacy, offered(t)
			tappedOut = &offer{tappedOut, revision}
		}
		c, err := stdio.NewClient(t.Context(), tappedIn, tappedOut, opts)
		if err != nil {
			t.Fatal(err)
		}
		h, stop = c, c.Close
	}
	t.Cleanup(func() { _ = stop(context.Background()) })
	o.c = mcp.NewClient("ours", "1", h, answers)
	return o
}

// offered is what a session is opened with, so that the server may ask.
func offered(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(answers.Offer())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// offer makes initialize offer an older revision than our client does by itself.
type offer struct {
	io.WriteCloser
	version string
}

func (o *offer) Write(p []byte) (int, error) {
	if _, err := o.WriteCloser.Write(offering(p, o.version)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func offering(message []byte, version string) []byte {
	if !bytes.Contains(message, []byte(`"method":"initialize"`)) {
		return message
	}
	return bytes.Replace(message, []byte(mcp.LatestLegacyVersion), []byte(version), 1)
}

// interferer is a network that offers an older revision, and breaks streams on demand.
type interferer struct {
	base    http.RoundTripper
	version string
	cut     *atomic.Bool
}

func (i *interferer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		if i.version != "" && i.version != string(mcp.LatestVersion) {
			body = offering(body, i.version)
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	res, err := i.base.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") && i.cut.CompareAndSwap(true, false) {
		res.Body = &broken{ReadCloser: res.Body}
	}
	return res, err
}

// broken is a stream that breaks after its first event.
type broken struct {
	io.ReadCloser
	over bool
	tail string // of what was read
}

func (b *broken) Read(p []byte) (int, error) {
	if b.over {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:1])
	if n > 0 {
		b.tail += string(p[:1])
		b.over = strings.HasSuffix(b.tail, "\n\n") && strings.Contains(b.tail, "id:")
	}
	return n, err
}
