package adminapi

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// PathConfig/reload and PathConfig/rollback?to=N, by POST, change the config of the
// node. PathConfig/generations lists what it has served, PathConfig/generations/N is
// one of them with its text, 0 that which is served, and PathConfig/file is the file
// as it stands. On the admin listener they need a token: texts may hold secrets.
const PathConfig = "/admin/v1/config"

// Config is what a node knows of its config.
type Config struct {
	File    string    `json:"file"`
	Watched bool      `json:"watched"` // changes of the file are taken over by themselves
	Loaded  time.Time `json:"loaded"`  // when what is served was taken over
	By      string    `json:"by"`
	Hash    string    `json:"sha256,omitzero"` // of the text that is served
	// Generation is the number of what is served. RolledBack is the one to which an
	// operator has gone back: the file does not count until it changes, or a reload is asked for.
	Generation uint64   `json:"generation,omitzero"`
	RolledBack uint64   `json:"rolledBack,omitzero"`
	Changing   []string `json:"changing"`         // upstreams whose replacement is being started
	Refused    *Refusal `json:"refused,omitzero"` // the last change, if it was refused
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
	Generation uint64    `json:"generation,omitzero"` // that is served now
	Added      []string  `json:"added"`
	Changed    []string  `json:"changed"` // served by the old one until the new one is ready
	Removed    []string  `json:"removed"`
	Same       int       `json:"same"`  // upstreams that were not touched
	Notes      []Finding `json:"notes"` // what was left out
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

// Generation is a text that a node has served.
type Generation struct {
	Number uint64    `json:"number"` // 0 for a file that is not served
	At     time.Time `json:"at,omitzero"`
	By     string    `json:"by,omitzero"`
	Hash   string    `json:"sha256"`
	File   string    `json:"file"`
	Served bool      `json:"served"`
	Text   string    `json:"text,omitzero"` // as it stands in the file; only of a single one
}

// Rollback has the node serve a generation again; 0 is the one before that which is served.
func (c *Client) Rollback(ctx context.Context, to uint64) (*ConfigChange, error) {
	change := new(ConfigChange)
	if err := c.do(ctx, http.MethodPost, PathConfig+"/rollback?to="+strconv.FormatUint(to, 10), change); err != nil {
		return nil, err
	}
	return change, nil
}

// Generations lists what the node has served, newest first.
func (c *Client) Generations(ctx context.Context) ([]Generation, error) {
	var list []Generation
	return list, c.get(ctx, PathConfig+"/generations", &list)
}

// Generation is one of them with its text; 0 is the one that is served.
func (c *Client) Generation(ctx context.Context, n uint64) (*Generation, error) {
	g := new(Generation)
	return g, c.get(ctx, PathConfig+"/generations/"+strconv.FormatUint(n, 10), g)
}

// ConfigFile is the file of the node as it stands.
func (c *Client) ConfigFile(ctx context.Context) (*Generation, error) {
	g := new(Generation)
	return g, c.get(ctx, PathConfig+"/file", g)
}

// NewUpstream is the body of a request that adds an upstream.
type NewUpstream struct {
	Name string         `json:"name"`
	Keys jsontext.Value `json:"keys"` // as in the config; relative paths start at the data directory
}

// Add has the node serve one more upstream, over restarts too. One that it refuses is a *Refused.
func (c *Client) Add(ctx context.Context, add NewUpstream) (*Upstream, error) {
	body, err := json.Marshal(add)
	if err != nil {
		return nil, err
	}
	u := new(Upstream)
	if err := c.send(ctx, http.MethodPost, PathUpstreams, bytes.NewReader(body), u); err != nil {
		return nil, err
	}
	return u, nil
}

// Remove has the node end an upstream that was added. One that there is not is ErrNotFound.
func (c *Client) Remove(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, PathUpstreams+"/"+url.PathEscape(name), new(ConfigChange))
}
