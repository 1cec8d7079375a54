package mcp

// ServerCapabilities is what a server offers (MCP 2026-07-28, schema, ServerCapabilities).
type ServerCapabilities struct {
	Tools        *ListCapability      `json:"tools,omitzero"`
	Resources    *ResourcesCapability `json:"resources,omitzero"`
	Prompts      *ListCapability      `json:"prompts,omitzero"`
	Completions  *struct{}            `json:"completions,omitzero"`
	Logging      *struct{}            `json:"logging,omitzero"`
	Extensions   map[string]Raw       `json:"extensions,omitempty"`   // extension id -> settings object
	Experimental map[string]Raw       `json:"experimental,omitempty"` // name -> settings object
}

// ListCapability is the capability of something that is listed.
type ListCapability struct {
	ListChanged bool `json:"listChanged,omitzero"`
}

// ResourcesCapability is the capability of resources.
type ResourcesCapability struct {
	Subscribe   bool `json:"subscribe,omitzero"`
	ListChanged bool `json:"listChanged,omitzero"`
}

// ClientCapabilities is what a client offers (MCP 2026-07-28, schema, ClientCapabilities).
type ClientCapabilities struct {
	Roots        *ListCapability        `json:"roots,omitzero"` // listChanged until 2025-11-25
	Sampling     *SamplingCapability    `json:"sampling,omitzero"`
	Elicitation  *ElicitationCapability `json:"elicitation,omitzero"`
	Extensions   map[string]Raw         `json:"extensions,omitempty"`   // extension id -> settings object
	Experimental map[string]Raw         `json:"experimental,omitempty"` // name -> settings object
}

// SamplingCapability is the capability of sampling.
type SamplingCapability struct {
	Context *struct{} `json:"context,omitzero"`
	Tools   *struct{} `json:"tools,omitzero"`
}

// ElicitationCapability is the capability of elicitation. Without any mode it means form.
type ElicitationCapability struct {
	Form *struct{} `json:"form,omitzero"`
	URL  *struct{} `json:"url,omitzero"`
}
