package adminapi

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// PathConfig/reload, by POST, reads the config of the node again.
const PathConfig = "/admin/v1/config"

// Config is what a node knows of its config.
type Config struct {
	File     string    `json:"file"`
	Watched  bool      `json:"watched"` // changes of the file are taken over by themselves
	Loaded   time.Time `json:"loaded"`  // when what is served was taken over
	By       string    `json:"by"`
	Hash     string    `json:"sha256,omitzero"`  // of the text that is served
	Changing []string  `json:"changing"`         // upstreams whose replacement is being started
	Refused  *Refusal  `json:"refused,omitzero"` // the last change, if it was refused
}

// Refusal is a change of the config that was refused.
type Refusal struct {
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Findings []Finding `json:"findings"`
}

// Finding is one thing that is wrong with a config.
type Finding struct {
	File   string `json:"file,omitzero"`
	Line   int    `json:"line,omitzero"`
	Column int    `json:"column,omitzero"`
	Key    string `json:"key,omitzero"`
	What   string `json:"what"`
	Hint   string `json:"hint,omitzero"`
}

// ConfigChange is what a change of the config has done, by upstream.
type ConfigChange struct {
	Added   []string  `json:"added"`
	Changed []string  `json:"changed"` // served by the old one until the new one is ready
	Removed []string  `json:"removed"`
	Same    int       `json:"same"`  // upstreams that were not touched
	Notes   []Finding `json:"notes"` // what was left out
}

// Refused is the answer to a change that changed nothing, and the error that a client gets.
type Refused struct {
	Findings []Finding `json:"findings"`
}

func (r *Refused) Error() string {
	lines := make([]string, len(r.Findings))
	for i, f := range r.Findings {
		lines[i] = f.What
	}
	return strings.Join(lines, "\n")
}

// Reload has the node read its config again. A config that it refuses is a *Refused.
func (c *Client) Reload(ctx context.Context) (*ConfigChange, error) {
	change := new(ConfigChange)
	if err := c.do(ctx, http.MethodPost, PathConfig+"/reload", change); err != nil {
		return nil, err
	}
	return change, nil
}
