package mcp

// Implementation names a program that speaks MCP (MCP 2026-07-28, schema,
// Implementation). It is for people and logs; decisions never depend on it.
type Implementation struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitzero"`
	Version     string `json:"version"`
	Description string `json:"description,omitzero"`
	WebsiteURL  string `json:"websiteUrl,omitzero"`
	Icons       []Icon `json:"icons,omitempty"`
}

// Icon is a picture for a user interface (MCP 2026-07-28, basic/index, icons).
type Icon struct {
	Src      string   `json:"src"` // https: or data: URI
	MIMEType string   `json:"mimeType,omitzero"`
	Sizes    []string `json:"sizes,omitempty"` // such as "48x48" or "any"
	Theme    string   `json:"theme,omitzero"`  // "light", "dark" or empty
}
