package cli

import (
	"maps"
	"slices"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

// shown is a config as "config show" prints it, under the names of the file's
// keys. Values that may be secret are left out: their names are enough to see
// what is set.
func shown(c *config.Config) map[string]any {
	tokens := []map[string]any{}
	for _, t := range c.Auth.Tokens {
		tokens = append(tokens, map[string]any{"name": t.Name, "hash": t.Hash.String()})
	}
	upstreams := map[string]any{}
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		m := map[string]any{
			"era": u.Era, "timeout": u.Timeout.String(), "start_timeout": u.StartTimeout.String(),
			"tools": map[string]any{"allow": list(u.Tools.Allow), "deny": list(u.Tools.Deny), "max_result": sizes(u.Tools.MaxResult)}, "max_result": u.MaxResult.String(), "uris": u.URIs, "server_json": u.ServerJSON, "bundle": u.Bundle, "inputs": hidden(slices.Sorted(maps.Keys(u.Inputs))), "labels": list(u.Labels),
		}
		if u.URL != "" {
			m["url"], m["headers"] = u.URL, hidden(slices.Sorted(maps.Keys(u.Headers)))
		} else {
			m["command"], m["args"], m["env"] = u.Command, list(u.Args), hidden(slices.Sorted(maps.Keys(u.Env)))
			m["env_pass"], m["cwd"] = list(u.EnvPass), u.Dir
			m["limits"] = map[string]any{
				"memory": u.Limits.Memory.String(), "processes": u.Limits.Processes, "cpu": u.Limits.CPU, "open_files": u.Limits.OpenFiles,
				"file_size": u.Limits.FileSize.String(), "core": u.Limits.Core.String(),
			}
			m["setuid"], m["restart_after"] = u.Setuid, u.RestartAfter
		}
		upstreams[u.Name] = m
	}
	return map[string]any{
		"listen": c.Listen, "admin": c.Admin, "admin_socket": c.AdminSocket, "data": c.Data,
		"log":             map[string]any{"level": c.Log.Level.String(), "format": c.Log.Format},
		"tls":             map[string]any{"cert": c.TLS.Cert, "key": c.TLS.Key},
		"auth":            map[string]any{"tokens": tokens},
		"allowed_origins": list(c.AllowedOrigins),
		"limits": map[string]any{
			"body": c.Limits.Body.String(), "sessions": c.Limits.Sessions, "session_idle": c.Limits.SessionIdle.String(),
			"call_timeout": c.Limits.CallTimeout.String(), "max_calls": c.Limits.MaxCalls, "cache": c.Limits.Cache.String(),
		},
		"shutdown_grace": c.ShutdownGrace.String(),
		"config_watch":   c.Watch,
		"upstreams":      upstreams,
		"tool_search":    c.ToolSearch,
		"virtual":        virtual(c.Virtual),
	}
}

func virtual(servers []config.Virtual) map[string]any {
	picks := func(list []config.Pick) []map[string]any {
		out := []map[string]any{}
		for _, p := range list {
			m := map[string]any{"from": p.From}
			for key, text := range map[string]string{"as": p.As, "prefix": p.Prefix, "title": p.Title, "description": p.Description} {
				if text != "" {
					m[key] = text
				}
			}
			if len(p.Names) > 0 {
				m["names"] = p.Names
			}
			if len(p.Defaults) > 0 {
				m["defaults"] = p.Defaults
			}
			if len(p.Fixed) > 0 {
				m["fixed"] = hidden(slices.Sorted(maps.Keys(p.Fixed)))
			}
			out = append(out, m)
		}
		return out
	}
	out := map[string]any{}
	for _, v := range servers {
		out[v.Name] = map[string]any{"instructions": v.Instructions, "tool_search": v.ToolSearch, "tools": picks(v.Tools), "prompts": picks(v.Prompts), "resources": picks(v.Resources)}
	}
	return out
}

func sizes(m map[string]config.ByteSize) map[string]string {
	out := map[string]string{}
	for pattern, size := range m {
		out[pattern] = size.String()
	}
	return out
}

func list(s []string) []string { return append([]string{}, s...) }

func hidden(names []string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		out[name] = "[redacted]"
	}
	return out
}
