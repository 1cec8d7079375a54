package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

type connectCmd struct {
	Client    string `arg:"" enum:"claude,claude-code,cursor,vscode" help:"claude (the desktop program), claude-code, cursor or vscode."`
	URL       string `placeholder:"URL" help:"Endpoint that the client is to use; the local node's when left out."`
	Name      string `default:"fairlead" help:"Name of the entry."`
	TokenFile string `placeholder:"FILE" help:"File with the bearer token of the client. The token itself is not copied."`
	File      string `placeholder:"PATH" help:"Config file to write instead of the client's usual one."`
	Print     bool   `help:"Print what would be written, and write nothing."`
}

func (*connectCmd) Help() string {
	return "The client's other entries stay as they are, and its file is copied to FILE.bak first.\n\nExamples:\n  fairlead connect cursor\n  fairlead connect claude --print"
}

// entry is one server in a client's config.
type entry struct {
	Type    string   `json:"type,omitzero"`
	URL     string   `json:"url,omitzero"`
	Command string   `json:"command,omitzero"`
	Args    []string `json:"args,omitempty"`
}

// clientConfig says where a client keeps its servers.
type clientConfig struct {
	path   string // from the home directory
	key    string // the member that holds the servers
	speaks string // the type of an entry with a URL; empty for none
	starts bool   // knows programs only
}

func clientConfigs(goos string) map[string]clientConfig {
	programs := ".config"
	if goos == "darwin" {
		programs = "Library/Application Support"
	}
	return map[string]clientConfig{
		"claude":      {path: programs + "/Claude/claude_desktop_config.json", key: "mcpServers", starts: true},
		"claude-code": {path: ".claude.json", key: "mcpServers", speaks: "http"},
		"cursor":      {path: ".cursor/mcp.json", key: "mcpServers"},
		"vscode":      {path: programs + "/Code/User/mcp.json", key: "servers", speaks: "http"},
	}
}

// Run adds the node to the client's config.
func (cmd *connectCmd) Run(a *app) error {
	client := clientConfigs(runtime.GOOS)[cmd.Client]
	path := cmd.File
	if path == "" {
		home, _ := a.lookup("HOME")
		if !filepath.IsAbs(home) {
			return failed("name the file with --file", "HOME is not set, so the config of %s cannot be found", cmd.Client)
		}
		path = filepath.Join(home, client.path)
	}
	address := cmd.URL
	if address == "" {
		address = "http://" + config.Default(a.lookup).Listen + "/mcp"
	}
	e, err := cmd.entry(client, address)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if cmd.Print {
		added := jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: client.key, Value: jsonrpc.Splice(nil, nil, jsonrpc.Member{Key: cmd.Name, Value: raw})})
		fmt.Fprintf(a.stderr, "add this to %s:\n", path)
		return a.asJSON(jsontext.Value(added))
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed("check its permissions, or name another file with --file", "read the config of %s: %w", cmd.Client, err)
	}
	after, err := merge(before, client.key, cmd.Name, raw)
	if err != nil {
		return failed("fairlead connect "+cmd.Client+" --print shows what to add by hand", "%s cannot be changed safely: %w", path, err)
	}
	if bytes.Equal(before, after) {
		return a.asText(path + " already has this entry")
	}
	backup, err := replaceFile(path, before, after)
	if err != nil {
		return failed("check its permissions, or name another file with --file", "write the config of %s: %w", cmd.Client, err)
	}
	if backup != "" {
		fmt.Fprintf(a.stdout, "copied the old file to %s\n", backup)
	}
	_, err = fmt.Fprintf(a.stdout, "wrote %s; restart %s to use it\n", path, cmd.Client)
	return err
}

// entry is what the client needs to know of the node. A client that only starts
// programs, or one that needs a token, gets the bridge: so no token is copied.
func (cmd *connectCmd) entry(client clientConfig, address string) (entry, error) {
	if !client.starts && cmd.TokenFile == "" {
		return entry{Type: client.speaks, URL: address}, nil
	}
	self, err := os.Executable()
	if err != nil {
		return entry{}, err
	}
	e := entry{Command: self, Args: []string{"bridge", address}}
	if cmd.TokenFile != "" {
		token, err := filepath.Abs(cmd.TokenFile)
		if err != nil {
			return entry{}, err
		}
		e.Args = append(e.Args, "--token-file", token)
	}
	return e, nil
}

// merge puts an entry into the object at key, and leaves everything else as it is.
func merge(doc []byte, key, name string, value []byte) ([]byte, error) {
	doc = bytes.TrimSpace(doc)
	if len(doc) == 0 {
		doc = []byte("{}")
	}
	if err := jsonrpc.Valid(doc, nil); err != nil {
		return nil, fmt.Errorf("it is not plain JSON, it may have comments: %w", err)
	}
	servers := jsonrpc.Get(doc, key)
	if doc[0] != '{' || servers != nil && servers[0] != '{' {
		return nil, fmt.Errorf("it does not have the form of this client's config")
	}
	servers = jsonrpc.Splice(nil, servers, jsonrpc.Member{Key: name, Value: value})
	out := jsontext.Value(jsonrpc.Splice(nil, doc, jsonrpc.Member{Key: key, Value: servers}))
	if err := out.Indent(jsontext.WithIndent("  ")); err != nil {
		return nil, err
	}
	return append(out, '\n'), nil
}

// replaceFile writes after in place of before, at once or not at all, and keeps
// before in a file of its own, whose name it returns.
func replaceFile(path string, before, after []byte) (backup string, err error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // dotfiles are often links, which are to stay
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
		if backup, err = keep(path+".bak", before, mode); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".fairlead-*")
	if err != nil {
		return "", err
	}
	_, err = tmp.Write(after)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(tmp.Name()))
	}
	return backup, nil
}

// keep writes data to the first free name of base, base.1, base.2 and so on.
func keep(base string, data []byte, mode fs.FileMode) (string, error) {
	name := base
	for i := 1; ; i++ {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if errors.Is(err, fs.ErrExist) {
			name = fmt.Sprintf("%s.%d", base, i)
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = f.Write(data)
		return name, errors.Join(err, f.Close())
	}
}
