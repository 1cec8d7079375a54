package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// TimeoutRule is a deadline for some calls: those of a method, or of the tools whose own
// names match a pattern.
type TimeoutRule struct {
	For   string // a method such as "resources/read", or a pattern over tools
	Limit time.Duration
}

// Deadline is how long one call may take, from its arrival to its result.
type Deadline struct {
	// Limit bounds the call, or where progress counts the time from one progress
	// notification to the next.
	Limit time.Duration
	// Hard bounds the call whatever its progress. It is Limit where progress does not count.
	Hard time.Duration
	Rule string // what decided
}

// Deadline returns the deadline of a call, by the first of Spec.Timeouts that fits:
// those for tools before those for methods.
func (u *Upstream) Deadline(method, tool string) Deadline {
	d := Deadline{Limit: u.spec.CallTimeout, Rule: "timeout"}
	found := false
	for _, t := range u.spec.Timeouts {
		ofMethod := IsMethod(t.For)
		if method == mcp.MethodCallTool && !ofMethod && Match(t.For, tool) {
			d.Limit, d.Rule = t.Limit, "timeouts "+t.For
			break
		}
		if ofMethod && t.For == method && !found {
			found = true
			d.Limit, d.Rule = t.Limit, "timeouts "+t.For
		}
	}
	d.Hard = max(d.Limit, u.spec.MaxTimeout)
	return d
}

// IsMethod reports whether a key of Spec.Timeouts names a method, and not tools.
func IsMethod(s string) bool {
	switch s {
	case mcp.MethodCallTool, mcp.MethodGetPrompt, mcp.MethodReadResource, mcp.MethodComplete,
		mcp.MethodGetTask, mcp.MethodUpdateTask, mcp.MethodCancelTask,
		mcp.MethodListSkills, mcp.MethodGetSkill, mcp.MethodReadDirectory:
		return true
	}
	return false
}

// longest is the longest that a call may take.
func (s *Spec) longest() time.Duration {
	d := max(s.CallTimeout, s.MaxTimeout)
	for _, t := range s.Timeouts {
		d = max(d, t.Limit)
	}
	return d
}

// timedOut reports whether a context has ended because its time was over. The
// deadline of a call that progress moves is no deadline of its context, but a cause.
func timedOut(ctx context.Context) bool {
	return ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}
