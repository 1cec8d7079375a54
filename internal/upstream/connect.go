package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// startChild starts the upstream's program and finds out what it speaks.
func (u *Upstream) startChild(ctx context.Context, whose Whose) (*Conn, error) {
	if u.opts.Permit != nil {
		if err := u.opts.Permit(); err != nil {
			return nil, fmt.Errorf("start: %w", err)
		}
	}
	cmd := exec.Command(u.spec.Command, u.spec.Args...)
	if cmd.Err != nil {
		return nil, fmt.Errorf("start: %w", cmd.Err)
	}
	cmd.Env, cmd.Dir = u.spec.Env, u.spec.Dir
	era := stdio.Era(u.spec.Era)
	if u.spec.Era == EraAuto {
		// What an earlier start found out holds: it is the same program.
		if era = stdio.EraAuto; u.Status().Version != "" {
			era = stdio.Era(u.Status().Era)
		}
	}
	child := u.newChild()
	c, err := stdio.Start(ctx, cmd, &stdio.ClientOptions{
		Launch:       child.start,
		Era:          era,
		ClientInfo:   mcp.Implementation{Name: u.opts.ClientName, Version: u.opts.ClientVersion},
		StopWait:     u.spec.StopTimeout,
		Capabilities: u.offered(whose),
		OneCaller:    whose.single(),
		OnFault:      u.faulted,
		Stderr:       child.said.stderr,
	})
	if err != nil {
		child.said.lastWords()
		err = child.explain(err)
		child.release()
		return nil, err
	}
	if len(u.spec.Roots) > 0 {
		c.OnAsk(u.roots)
	}
	return &Conn{
		Handler: c,
		Done:    c.Done(),
		Err:     func() error { return child.explain(c.Err()) },
		Close: func() error {
			defer child.release()
			if c.Err() != nil { // it has ended, and not because of this
				defer child.said.lastWords()
			}
			// Two waits of StopTimeout, before SIGTERM and before SIGKILL, and a moment for the end itself.
			return closeWithin(2*u.spec.StopTimeout+time.Second, c.Close)
		},
		Version: c.Version,
		PID:     c.PID(),
	}, nil
}

// dialRemote makes a client of the remote server. It is asked for the first time by fetch.
func (u *Upstream) dialRemote(_ context.Context, whose Whose) (*Conn, error) {
	era := streamhttp.Era(u.spec.Era)
	if u.spec.Era == EraAuto {
		era = streamhttp.EraAuto
	}
	c := streamhttp.NewClient(u.spec.URL, &streamhttp.ClientOptions{
		Header:       http.Header(u.spec.Header),
		Era:          era,
		Timeout:      u.spec.longest(),
		ClientInfo:   u.clientInfo,
		Capabilities: u.offered(whose),
		OneCaller:    whose.single(),
		MaxIdleConns: u.spec.MaxConcurrent, // as many as calls can use
		OnInvalidTool: func(tool string, err error) {
			u.log.Warn("tool left out", "tool", tool, "err", err)
		},
	})
	return &Conn{Handler: c, Version: c.Version, Ends: true, Close: func() error { return closeWithin(5*time.Second, c.Close) }}, nil
}

// offered is what a server of an old revision may ask the owner of a connection. The
// connection of everybody asks nobody; but some servers list a tool that asks only
// to those who could be asked, and where callers have connections of their own
// that is decided there.
func (u *Upstream) offered(w Whose) []byte {
	caps := u.offeredBy(w)
	if len(u.spec.Roots) > 0 {
		caps = jsonrpc.Splice(nil, caps, jsonrpc.Member{Key: "roots", Value: []byte(`{}`)})
	}
	return caps
}

// roots answers a program that asks for the roots of its client, whatever call is in
// flight. It asks nobody for anything else.
func (u *Upstream) roots(_ context.Context, q mcp.InputRequest) (mcp.Raw, error) {
	if q.Method != mcp.MethodListRoots {
		return nil, mcp.Errorf(jsonrpc.CodeInternalError, "The request belongs to no call that could be asked %s", q.Method)
	}
	list := []byte(`{"roots":[`)
	for i, uri := range u.spec.Roots {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(jsonrpc.AppendString(append(list, `{"uri":`...), uri), '}')
	}
	return append(list, "]}"...), nil
}

func (u *Upstream) offeredBy(w Whose) []byte {
	switch {
	case w.Capabilities != "":
		return []byte(w.Capabilities)
	case w == Whose{} && (u.spec.Instances == InstancesPrincipal || u.spec.Instances == InstancesSession || u.spec.Instances == InstancesAuto && u.spec.URL != ""):
		return []byte(`{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}`)
	}
	return []byte(`{}`)
}

// closeWithin closes a connection after the end of the context that it was used
// with, so it needs a deadline of its own.
func closeWithin(d time.Duration, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return end(ctx)
}

// invalidAnswer reports whether err is about what the peer said, as opposed to the
// connection to it.
func invalidAnswer(err error) bool {
	if _, ok := errors.AsType[*streamhttp.StatusError](err); ok {
		return false
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return false
	}
	return !errors.Is(err, mcp.ErrClosed) && !errors.Is(err, context.Canceled)
}
