package gateway

import (
	"errors"
	"slices"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A task id of an upstream leaves the node sealed to the caller: it tells the node
// whom to ask, and nobody else can use it.
const (
	taskPurpose = "upstream task"
	taskLife    = 30 * 24 * time.Hour // longer than an upstream keeps a task
)

// tasks reports whether an upstream may answer a request with a task: both sides
// have tasks, of whatever revision.
func (c *call) tasks(u *upstream.Upstream) bool {
	return carriesTasks(c.req.Meta.Version) && c.knowsTasks() && (u.Status().Version.Modern() || makesTasks(u))
}

// carriesTasks reports whether a caller's revision has tasks: the extension, or those
// of 2025-11-25, which its session makes of the extension.
func carriesTasks(v mcp.Version) bool { return v.Modern() || v.Has(mcp.FeatureTaskParam) }

// tasksFor is what a caller of a revision is told of the extension; nil if nothing.
func tasksFor(v mcp.Version) []byte {
	switch {
	case v.Modern():
		return []byte(`{}`)
	case carriesTasks(v): // a list would need to know whose each task of an upstream is
		return []byte(`{"` + mcp.TasksUnlisted + `":true}`)
	}
	return nil
}

// makesTasks reports whether an upstream has the extension, or tasks that its
// transport makes those of the extension.
func makesTasks(u *upstream.Upstream) bool {
	c := u.Catalogue()
	return c != nil && jsonrpc.Get(jsonrpc.Get(c.Capabilities, "extensions"), tasksExt) != nil
}

// withExecution adds to a page of tools what sessions of 2025-11-25 are told of tasks:
// in later revisions the server decides, so of its tools each may be one.
func (s *scope) withExecution(body []byte) []byte {
	targets := s.current().targets[upstream.Tools]
	list, changed := []byte{'['}, false
	for raw := range jsonrpc.Elements(jsonrpc.Get(body, "tools")) {
		if len(list) > 1 {
			list = append(list, ',')
		}
		name, _ := jsonrpc.Unquote(jsonrpc.Get(raw, "name"))
		if t := targets[name]; t != nil && t.upstream.Status().Version.Modern() && makesTasks(t.upstream) && jsonrpc.Get(raw, "execution") == nil {
			list = jsonrpc.Splice(list, raw, jsonrpc.Member{Key: "execution", Value: []byte(`{"taskSupport":"optional"}`)})
			changed = true
			continue
		}
		list = append(list, raw...)
	}
	if !changed {
		return body
	}
	return jsonrpc.Splice(nil, body, jsonrpc.Member{Key: "tools", Value: append(list, ']')})
}

// knowsTasks reports whether the caller has declared the extension.
func (c *call) knowsTasks() bool {
	return jsonrpc.Get(jsonrpc.Get(c.req.Meta.Capabilities, "extensions"), mcp.ExtensionTasks) != nil
}

func isTaskMethod(method string) bool {
	return method == mcp.MethodGetTask || method == mcp.MethodUpdateTask || method == mcp.MethodCancelTask
}

// resolveTask finds the upstream of a task.
func (c *call) resolveTask() (rule string, err error) {
	c.unknown = func() error { return mcp.ErrInvalidParams("Unknown task") }
	if !c.knowsTasks() {
		return "the caller has not declared tasks", mcp.ErrMissingCapability(`{"extensions":{"` + mcp.ExtensionTasks + `":{}}}`)
	}
	plain, err := c.scope.g.sealer.Open(mcp.BindPrincipal(taskPurpose, c.req.Principal), c.req.Name)
	if err != nil {
		return "no task of this caller", c.unknown()
	}
	from, id, ok := splitSealed(plain)
	i := slices.IndexFunc(c.scope.upstreams, func(u *upstream.Upstream) bool { return ok && u.Name() == from })
	if i < 0 {
		return "no task of an upstream here", c.unknown()
	}
	c.target = &target{upstream: c.scope.upstreams[i], name: id, allowed: true, rule: "no rules for tasks"}
	c.name = func(t *target) {
		c.out.Name = t.name
		c.out.Params = jsonrpc.Splice(nil, c.out.Params, jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, t.name)})
	}
	return "sealed in the task id", nil
}

// ownTask puts the id that the caller knows into a result that has a task's.
func (c *call) ownTask(u *upstream.Upstream, res *mcp.Result) error {
	name := c.req.Name
	if res.Type == mcp.ResultTask {
		if !c.tasks(u) {
			return errors.New("answers with a task, which it was not offered")
		}
		id, ok := jsonrpc.Unquote(jsonrpc.Get(res.Body, "taskId"))
		if !ok {
			return errors.New("taskId is not a string")
		}
		c.scope.g.bound(u, taskLife)
		name = c.scope.g.sealer.Seal(mcp.BindPrincipal(taskPurpose, c.req.Principal), joinSealed(u.Name(), id), taskLife)
	}
	if jsonrpc.Get(res.Body, "taskId") != nil {
		res.Body = jsonrpc.Splice(nil, res.Body, jsonrpc.Member{Key: "taskId", Value: jsonrpc.AppendString(nil, name)})
	}
	return nil
}
