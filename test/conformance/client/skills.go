package main

import (
	"context"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// listSkills lists the skills and reads none of them.
func listSkills(ctx context.Context, c *mcp.Client) error {
	skills, err := c.Skills(ctx)
	if err != nil {
		return err
	}
	_, err = skills.List(ctx)
	return err
}

// useSkills loads each skill and reads all its files, as far as they are what its entry says.
func useSkills(ctx context.Context, c *mcp.Client) error {
	skills, err := c.Skills(ctx)
	if err != nil {
		return err
	}
	list, err := skills.List(ctx)
	if err != nil {
		return err
	}
	for _, skill := range list {
		loaded, err := skills.Load(ctx, &skill)
		if err != nil {
			return err
		}
		for _, f := range skill.Files {
			if _, err := loaded.Read(ctx, f.URI); err != nil {
				return err
			}
		}
	}
	return nil
}
