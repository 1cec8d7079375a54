package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/fairlead-mcp/fairlead/internal/config"
)

// Command is what would be run for one upstream, found on this machine and
// measured. A person approves exactly this and nothing else.
type Command struct {
	Upstream string   // for people; no part of what is approved
	Argv     []string // as it stands in the config, argv[0] included
	Env      []string // names only, sorted: set by the config or passed on
	Dir      string   // working directory; empty for the node's own
	Path     string   // the program itself, absolute, symbolic links followed
	Digest   string   // SHA-256 of the program or script at Path, in hex
}

// ErrChanged says that a command is no longer what it was when it was measured.
var ErrChanged = errors.New("the program has changed since it was checked")

// Measure finds the program of u, which has a command, and hashes it.
func Measure(u *config.Upstream) (*Command, error) {
	if u.Command == "" {
		return nil, fmt.Errorf("upstream %q: has no command", u.Name)
	}
	c := &Command{
		Upstream: u.Name,
		Argv:     append([]string{u.Command}, u.Args...),
		Env:      slices.Compact(slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(u.Env)), u.EnvPass)))),
		Dir:      u.Dir,
	}
	var err error
	if c.Path, c.Digest, err = find(u.Command); err != nil {
		return nil, fmt.Errorf("upstream %q: command %s: %w", u.Name, quote(u.Command), err)
	}
	return c, nil
}

func find(command string) (path, digest string, err error) {
	path, err = exec.LookPath(command)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = f.Close() }() // only read from
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", "", fmt.Errorf("read %s: %w", path, err)
	}
	return path, hex.EncodeToString(sum.Sum(nil)), nil
}

// Recheck measures the program again and returns ErrChanged when another file
// would run than the one measured before. Call it directly before the start, and start c.Path.
func (c *Command) Recheck() error {
	path, digest, err := find(c.Argv[0])
	if err != nil {
		return fmt.Errorf("command %s: %w", quote(c.Argv[0]), err)
	}
	if path != c.Path || digest != c.Digest {
		return fmt.Errorf("command %s: %w", quote(c.Argv[0]), ErrChanged)
	}
	return nil
}

// Key identifies what is approved: the SHA-256, in hex, of arguments, names of
// environment variables, directory, path and content of the program. Every part is
// preceded by its length, so no two commands are written the same.
func (c *Command) Key() string {
	sum := sha256.New()
	part := func(values ...string) {
		fmt.Fprintf(sum, "%d;", len(values)) // a hash never fails to be written to
		for _, v := range values {
			io.WriteString(sum, strconv.Itoa(len(v))+":"+v)
		}
	}
	part("fairlead command approval 1")
	part(c.Argv...)
	part(c.Env...)
	part(c.Dir)
	part(c.Path)
	part(c.Digest)
	return hex.EncodeToString(sum.Sum(nil))
}
