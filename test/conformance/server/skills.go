package main

import (
	"embed"
	"io/fs"

	"github.com/fairlead-mcp/fairlead/mcp"
)

//go:embed skills
var skillFiles embed.FS

// addSkills serves the skills that the sep-2640 scenarios find by listing them.
func addSkills(s *mcp.Server) error {
	skills, err := fs.Sub(skillFiles, "skills")
	if err != nil {
		return err
	}
	return s.SetSkills(skills)
}
