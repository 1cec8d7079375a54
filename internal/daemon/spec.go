package daemon

import (
	"maps"
	"slices"
	"strconv"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/sandbox"
	"github.com/fairlead-mcp/fairlead/internal/upstream"
)

// passed are the variables that every child gets from the node's environment;
// docs/config.md names them at env_pass.
var passed = [...]string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}

// spec turns what the config says of an upstream into what runs.
func (d *Daemon) spec(u *config.Upstream) upstream.Spec {
	s := upstream.Spec{
		Command: u.Command, Args: u.Args, Dir: u.Dir, URL: u.URL, Era: upstream.Era(u.Era),
		Allow: u.Tools.Allow, Deny: u.Tools.Deny,
		PrefixURIs: u.URIs == "prefixed",
		MaxResult:  int(u.MaxResult), MaxResults: map[string]int{},
		CallTimeout: u.Timeout, MaxTimeout: u.TimeoutMax, StartTimeout: u.StartTimeout,
		MaxConcurrent: u.Concurrent, Queue: u.QueueLength, QueueWait: u.QueueWait,
		Instances: upstream.Instances(u.Instances), Priority: upstream.Priority(u.Priority), Lazy: u.Start == "lazy", IdleStop: u.IdleStop,
	}
	if n, err := strconv.Atoi(u.Instances); err == nil {
		s.Instances, s.Size = upstream.InstancesShared, n
	}
	for _, t := range u.Timeouts {
		s.Timeouts = append(s.Timeouts, upstream.TimeoutRule{For: t.For, Limit: t.Limit})
	}
	for pattern, size := range u.Tools.MaxResult {
		s.MaxResults[pattern] = int(size)
	}
	for _, root := range u.Roots {
		if uri, ok := config.RootURI(root); ok { // the config is checked
			s.Roots = append(s.Roots, uri)
		}
	}
	if u.URL != "" {
		s.Header = map[string][]string{}
		for name, value := range u.Headers {
			s.Header[name] = []string{value.Reveal()}
		}
		return s
	}
	s.RestartAfter = u.RestartAfter
	s.Limits = sandbox.Limits{
		Memory: uint64(u.Limits.Memory), Processes: u.Limits.Processes, CPU: u.Limits.CPU, OpenFiles: uint64(u.Limits.OpenFiles),
		FileSize: uint64(u.Limits.FileSize), Core: uint64(u.Limits.Core), Setuid: u.Setuid,
	}
	env := map[string]string{}
	for _, name := range slices.Concat(passed[:], u.EnvPass) {
		if value, ok := d.opts.Lookup(name); ok {
			env[name] = value
		}
	}
	for name, value := range u.Env {
		env[name] = value.Reveal()
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		s.Env = append(s.Env, name+"="+env[name])
	}
	return s
}
