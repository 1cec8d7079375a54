package mcp

import "maps"

// DiscoverResult is what a server says about itself (MCP 2026-07-28, server/discover).
// The server's Implementation is in Meta under [MetaServerInfo].
type DiscoverResult struct {
	SupportedVersions []Version          `json:"supportedVersions"`
	Capabilities      ServerCapabilities `json:"capabilities"`
	Instructions      string             `json:"instructions,omitzero"`
	Meta              Raw                `json:"_meta,omitzero"`
}

// discover answers server/discover.
func (s *Server) discover() (Result, error) {
	res, err := s.encode(&DiscoverResult{
		SupportedVersions: Versions(),
		Capabilities:      s.capabilities(),
		Instructions:      s.opts.Instructions,
	}, nil)
	res.Cache = Cache{TTL: s.opts.ListTTL, Scope: CachePublic}
	return res, err
}

// capabilities are those of the options and those of what was ever registered:
// one that was declared once stays, so that no client sees it vanish.
func (s *Server) capabilities() ServerCapabilities {
	var c ServerCapabilities
	if s.opts.Capabilities != nil {
		c = *s.opts.Capabilities
	}
	if s.tools.declared.Load() {
		c.Tools = &ListCapability{ListChanged: true}
	}
	if s.offersResources() {
		c.Resources = &ResourcesCapability{Subscribe: true, ListChanged: true}
	}
	if s.prompts.declared.Load() {
		c.Prompts = &ListCapability{ListChanged: true}
	}
	if s.offersCompletion() {
		c.Completions = &struct{}{}
	}
	if s.opts.Logging {
		c.Logging = &struct{}{}
	}
	if s.tasks.declared.Load() {
		c.Extensions = withExtension(c.Extensions, ExtensionTasks, `{}`)
	}
	if s.skills.declared.Load() {
		c.Extensions = withExtension(c.Extensions, ExtensionSkills, `{"directoryRead":true}`)
	}
	if s.apps.Load() {
		c.Extensions = withExtension(c.Extensions, ExtensionApps, `{"mimeTypes":["`+AppMIMEType+`"]}`)
	}
	return c
}

// withExtension returns extensions with one more, unless it is there. The map is the user's and stays as it is.
func withExtension(extensions map[string]Raw, id, settings string) map[string]Raw {
	if _, ok := extensions[id]; ok {
		return extensions
	}
	out := make(map[string]Raw, len(extensions)+1)
	maps.Copy(out, extensions)
	out[id] = Raw(settings)
	return out
}
