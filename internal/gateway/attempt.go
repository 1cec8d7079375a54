package gateway

import (
	"context"
	"errors"

	"github.com/fairlead-mcp/fairlead/internal/limit"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// attempt asks the upstream. It is the last stage.
func attempt(ctx context.Context, c *call) (rule string, err error) {
	if c.target != nil {
		c.scope.g.retries.Earn()
		rule, err = c.ask(ctx, c.target)
		if err == nil || !c.mayRetry(ctx, err) {
			return rule, err
		}
		if !c.scope.g.retries.Spend() {
			return rule + ", not again: retries are over their share", err
		}
		rule, err = c.ask(ctx, c.target)
		return rule + ", the second time", err
	}
	for _, t := range c.try {
		if rule, err = c.enterAndAsk(ctx, t); err == nil || !notFound(err) {
			return rule, err
		}
	}
	return rule, c.unknown()
}

// enterAndAsk is ask after a wait for a place, for calls that guard has let pass.
func (c *call) enterAndAsk(ctx context.Context, t *target) (rule string, err error) {
	leave, waited, err := t.upstream.Enter(ctx, c.req.Principal)
	if err != nil {
		return waiting(t.upstream, waited, "no place"), err
	}
	defer leave()
	return c.ask(ctx, t)
}

// mayRetry reports whether a failed call may be sent a second time: the connection
// went away under it, the caller has seen nothing of it, and to do it twice is to do
// it once.
func (c *call) mayRetry(ctx context.Context, err error) bool {
	f, ok := errors.AsType[*upstream.Failure](err)
	return ok && f.Class == upstream.Unavailable && f.Sent && !f.Refused && ctx.Err() == nil && !c.told.Load() &&
		(f.RetrySafe || c.target.repeatable)
}

// Notify passes a notification on and remembers that the caller has seen something.
func (c *call) Notify(n *mcp.Notification) error {
	if n.Method == mcp.NotificationMessage {
		if _, shed := c.scope.g.shed(limit.LogMessages); shed {
			return nil
		}
	}
	c.told.Store(true)
	if c.progressed != nil && n.Method == mcp.NotificationProgress {
		c.progressed()
	}
	return c.sink.Notify(n)
}

// End implements [mcp.Sink].
func (c *call) End(res mcp.Result, err error) { c.sink.End(res, err) }

// notFound reports whether an upstream said that it does not have a resource.
func notFound(err error) bool {
	const legacyNotFound = -32002
	e, ok := errors.AsType[*mcp.Error](err)
	return ok && (e.Code == jsonrpc.CodeInvalidParams || e.Code == legacyNotFound || e.Code == jsonrpc.CodeMethodNotFound)
}

// ask sends the request to one upstream and makes its result the gateway's.
func (c *call) ask(ctx context.Context, t *target) (rule string, err error) {
	u := t.upstream
	c.asked = u
	c.name(t)
	asks := u.MayAsk(c.req) // whatever the caller speaks: its session asks on its behalf
	c.out.Meta.Capabilities = passed(c.req.Meta.Capabilities, asks, c.tasks(u))
	c.out.Meta.Version = mcp.LatestVersion // what the caller speaks is the edge's business, what the upstream speaks its transport's
	rule = "by " + u.Name()

	res, err := u.Handle(ctx, c.out, c)
	if err != nil {
		return rule, c.scope.exposeError(u, err)
	}
	if res.Type == "" || res.Type == mcp.ResultComplete {
		res.Body = c.scope.exposeResult(u, c.req.Method, res.Body)
	}
	if res.Type == mcp.ResultTask || isTaskMethod(c.req.Method) {
		if err := c.ownTask(u, &res); err != nil {
			return rule, &upstream.Failure{Class: upstream.ProtocolError, Upstream: u.Name(), Err: err}
		}
	}
	if res.Type == mcp.ResultInputRequired {
		if !asks {
			return rule, &upstream.Failure{
				Class: upstream.ProtocolError, Upstream: u.Name(),
				Err: errors.New("asks for input that the caller has not offered"),
			}
		}
		if raw := jsonrpc.Get(res.Body, "requestState"); raw != nil {
			state, ok := jsonrpc.Unquote(raw)
			if !ok {
				return rule, &upstream.Failure{
					Class: upstream.ProtocolError, Upstream: u.Name(),
					Err: errors.New("requestState is not a string"),
				}
			}
			sealed := c.scope.g.sealState(c.req, u, state)
			res.Body = jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "requestState", Value: jsonrpc.AppendString(nil, sealed)})
		}
	}
	if c.req.Method == mcp.MethodCallTool {
		rule += c.trim(t, &res)
	}
	if !c.scope.alone() {
		meta := jsonrpc.Splice(nil, jsonrpc.Get(res.Body, "_meta"), jsonrpc.Member{Key: metaServerInfo, Value: c.scope.g.serverInfo})
		res.Body = jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "_meta", Value: meta})
	}
	c.result = res
	return rule, nil
}

// passed returns the caller's capabilities as an upstream gets them. For one whose
// questions could not say whom they are for, what answers questions is left out.
// Tasks of revisions with sessions are not carried, those of the extension where
// both sides have it.
func passed(raw []byte, asks, tasks bool) []byte {
	if raw == nil {
		return []byte(`{}`)
	}
	if len(raw) == len(`{}`) { // nothing to leave out
		return raw
	}
	edits := []jsonrpc.Member{{Key: "tasks"}}
	if !asks {
		edits = append(edits, jsonrpc.Member{Key: "elicitation"}, jsonrpc.Member{Key: "sampling"}, jsonrpc.Member{Key: "roots"})
	}
	if ext := jsonrpc.Get(raw, "extensions"); !tasks && jsonrpc.Get(ext, tasksExt) != nil {
		edits = append(edits, jsonrpc.Member{Key: "extensions", Value: jsonrpc.Splice(nil, ext, jsonrpc.Member{Key: tasksExt})})
	}
	return jsonrpc.Splice(nil, raw, edits...)
}
