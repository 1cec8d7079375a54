package mcp

// Method names of requests.
const (
	MethodDiscover      = "server/discover"
	MethodListTools     = "tools/list"
	MethodCallTool      = "tools/call"
	MethodListResources = "resources/list"
	MethodListTemplates = "resources/templates/list"
	MethodReadResource  = "resources/read"
	MethodListPrompts   = "prompts/list"
	MethodGetPrompt     = "prompts/get"
	MethodComplete      = "completion/complete"
	MethodListen        = "subscriptions/listen"
)

// Method names of the skills extension (SEP-2640).
const (
	MethodListSkills    = "skills/list"
	MethodGetSkill      = "skills/get"
	MethodReadDirectory = "resources/directory/read"
)

// Method names of what a server asks a client: in the InputRequests of a result
// (MCP 2026-07-28, basic/patterns/mrtr), as requests until 2025-11-25.
const (
	MethodElicit    = "elicitation/create"
	MethodSample    = "sampling/createMessage"
	MethodListRoots = "roots/list"
)

// Method names of notifications.
const (
	NotificationProgress             = "notifications/progress"
	NotificationMessage              = "notifications/message"
	NotificationCancelled            = "notifications/cancelled"
	NotificationToolsListChanged     = "notifications/tools/list_changed"
	NotificationPromptsListChanged   = "notifications/prompts/list_changed"
	NotificationResourcesListChanged = "notifications/resources/list_changed"
	NotificationResourceUpdated      = "notifications/resources/updated"
	NotificationAcknowledged         = "notifications/subscriptions/acknowledged"
)

// cacheable reports whether complete results of method carry caching hints.
func cacheable(method string) bool {
	switch method {
	case MethodDiscover, MethodListTools, MethodListPrompts, MethodListResources, MethodListTemplates, MethodReadResource,
		MethodListSkills, MethodGetSkill:
		return true
	}
	return false
}

// namedBy says which member of params names the target of method: "name", "uri", "taskId" or "".
func namedBy(method string) string {
	switch method {
	case MethodCallTool, MethodGetPrompt:
		return "name"
	case MethodReadResource:
		return "uri"
	case MethodGetTask, MethodUpdateTask, MethodCancelTask:
		return "taskId"
	}
	return ""
}
