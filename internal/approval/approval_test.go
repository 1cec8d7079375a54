package approval_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// program writes an executable file and returns its path without symbolic links.
func program(t *testing.T, name, content string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, dir string) *approval.Store {
	t.Helper()
	s, err := approval.Open(dir, &approval.Options{Now: func() time.Time { return time.Unix(1_700_000_000, 5) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func measure(t *testing.T, u *config.Upstream) *approval.Command {
	t.Helper()
	c, err := approval.Measure(u)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func approved(t *testing.T, s *approval.Store, c *approval.Command) bool {
	t.Helper()
	ok, err := s.Approved(c)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestApproveIsOfTheWholeCommand(t *testing.T) {
	bin := program(t, "server", "#!/bin/sh\n")
	base := config.Upstream{Name: "a", Command: bin, Args: []string{"-x", "y"}, Env: map[string]secret.Text{"B": secret.New("1")}, EnvPass: []string{"A"}, Dir: "/"}
	s := open(t, filepath.Join(t.TempDir(), "data"))
	if err := s.Approve(measure(t, &base)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*config.Upstream)
		want   bool
	}{
		"nothing":              {func(*config.Upstream) {}, true},
		"name of the upstream": {func(u *config.Upstream) { u.Name = "b" }, true},
		"value of a variable":  {func(u *config.Upstream) { u.Env = map[string]secret.Text{"B": secret.New("2")} }, true},
		"an argument":          {func(u *config.Upstream) { u.Args = []string{"-x", "z"} }, false},
		"one argument more":    {func(u *config.Upstream) { u.Args = []string{"-x", "y", ""} }, false},
		"arguments joined":     {func(u *config.Upstream) { u.Args = []string{"-xy"} }, false},
		"a variable more":      {func(u *config.Upstream) { u.EnvPass = []string{"A", "LD_PRELOAD"} }, false},
		"a variable less":      {func(u *config.Upstream) { u.EnvPass = nil }, false},
		"directory":            {func(u *config.Upstream) { u.Dir = "/tmp" }, false},
		"another program":      {func(u *config.Upstream) { u.Command = program(t, "server", "#!/bin/sh\n") }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			u := base
			tt.change(&u)
			if got := approved(t, s, measure(t, &u)); got != tt.want {
				t.Errorf("Approved after a change of %s: got %v, want %v", name, got, tt.want)
			}
		})
	}
}

func TestProgramReplaced(t *testing.T) {
	bin := program(t, "server", "#!/bin/sh\necho good\n")
	u := config.Upstream{Name: "a", Command: bin}
	s := open(t, t.TempDir())
	c := measure(t, &u)
	if err := s.Approve(c); err != nil {
		t.Fatal(err)
	}
	if err := c.Recheck(); err != nil {
		t.Fatalf("Recheck: %v", err)
	}
	if got, err := s.Allow(&u); err != nil || got.Key() != c.Key() {
		t.Fatalf("Allow: got %v, %v", got, err)
	}
	if err := os.WriteFile(bin, []byte("#!/bin/sh\necho evil\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Recheck(); !errors.Is(err, approval.ErrChanged) {
		t.Errorf("Recheck of a replaced program: got %v, want ErrChanged", err)
	}
	if _, err := s.Allow(&u); !errors.Is(err, approval.ErrNotApproved) {
		t.Errorf("Allow of a replaced program: got %v, want ErrNotApproved", err)
	}
	if approved(t, s, measure(t, &u)) {
		t.Error("Approved: a replaced program is approved")
	}
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	if err := c.Recheck(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Recheck of a removed program: got %v, want ErrNotExist", err)
	}
}

func TestSymbolicLinkMoved(t *testing.T) {
	link := filepath.Join(t.TempDir(), "server")
	first, second := program(t, "one", "same"), program(t, "two", "same")
	if err := os.Symlink(first, link); err != nil {
		t.Fatal(err)
	}
	c := measure(t, &config.Upstream{Name: "a", Command: link})
	if c.Path != first {
		t.Errorf("Path: got %s, want %s", c.Path, first)
	}
	if err := errors.Join(os.Remove(link), os.Symlink(second, link)); err != nil {
		t.Fatal(err)
	}
	if err := c.Recheck(); !errors.Is(err, approval.ErrChanged) {
		t.Errorf("Recheck of a moved link: got %v, want ErrChanged", err)
	}
}

func TestPending(t *testing.T) {
	one, two := program(t, "one", "1"), program(t, "two", "2")
	cfg := &config.Config{Upstreams: []config.Upstream{
		{Name: "one", Command: one}, {Name: "remote", URL: "https://x"}, {Name: "two", Command: two}, {Name: "gone", Command: "/does/not/exist"},
	}}
	s := open(t, t.TempDir())
	names := func() (got []string) {
		pending, err := s.Pending(cfg)
		if err == nil || !strings.Contains(err.Error(), `upstream "gone": command /does/not/exist: `) {
			t.Errorf("Pending: got %v, want an error about gone", err)
		}
		for _, c := range pending {
			got = append(got, c.Upstream)
		}
		return got
	}
	if diff := cmp.Diff([]string{"one", "two"}, names()); diff != "" {
		t.Errorf("Pending (-want +got):\n%s", diff)
	}
	if err := s.Approve(measure(t, &cfg.Upstreams[0])); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"two"}, names()); diff != "" {
		t.Errorf("Pending after Approve (-want +got):\n%s", diff)
	}
	entries, err := s.List()
	if err != nil || len(entries) != 1 || entries[0].Approved.Unix() != 1_700_000_000 {
		t.Fatalf("List: got %v, %v", entries, err)
	}
	if removed, err := s.Revoke(entries[0].Key[:8]); err != nil || len(removed) != 1 {
		t.Errorf("Revoke: got %v, %v", removed, err)
	}
	if _, err := s.Revoke(""); err == nil {
		t.Error("Revoke of everything: no error")
	}
	if diff := cmp.Diff([]string{"one", "two"}, names()); diff != "" {
		t.Errorf("Pending after Revoke (-want +got):\n%s", diff)
	}
}

func TestFileIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	if err := s.Approve(measure(t, &config.Upstream{Name: "a", Command: program(t, "x", "")})); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, dir + "/approvals.json": 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s: got %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	if left, err := filepath.Glob(dir + "/*.tmp"); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	if err := os.Chmod(dir+"/approvals.json", 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := approval.Open(dir, nil); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("Open of a file others can write: got %v", err)
	}
}

// TestDamagedStore cuts the file at every length and flips bytes of it: the
// answer is the content or an error, never an empty store.
func TestDamagedStore(t *testing.T) {
	dir := t.TempDir()
	c := measure(t, &config.Upstream{Name: "a", Command: program(t, "x", ""), Args: []string{"y"}})
	if err := open(t, dir).Approve(c); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "approvals.json")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := approval.Open(dir, nil)
		if err != nil {
			if !strings.Contains(err.Error(), path+" is damaged: ") {
				t.Errorf("%s: error %q does not say so", what, err)
			}
			return
		}
		if ok, err := s.Approved(c); err == nil && !ok {
			t.Errorf("%s: the store reads as one without the command", what)
		}
	}
	for i := range good {
		check(fmt.Sprintf("cut at %d", i), good[:i])
	}
	for _, extra := range []string{"x", "{}", "}", `{"version":1,"commands":[]}`} {
		check("followed by "+extra, append(good[:len(good):len(good)], extra...))
	}
	for _, r := range [][2]string{{`"y"`, `"z"`}, {`"version": 1`, `"version": 2`}, {`"dir"`, `"dirr"`}} {
		changed := strings.Replace(string(good), r[0], r[1], 1)
		if changed == string(good) {
			t.Fatalf("nothing to change: %s", r[0])
		}
		check("with "+r[1], []byte(changed))
		if _, err := approval.Open(dir, nil); err == nil {
			t.Errorf("with %s: no error", r[1])
		}
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestApproveFromManySides(t *testing.T) {
	dir := t.TempDir()
	bin := program(t, "x", "")
	var wg sync.WaitGroup
	for i := range 8 {
		s, c := open(t, dir), measure(t, &config.Upstream{Name: "a", Command: bin, Args: []string{fmt.Sprint(i)}})
		wg.Go(func() {
			if err := s.Approve(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if entries, err := open(t, dir).List(); err != nil || len(entries) != 8 {
		t.Errorf("List: got %d entries, %v, want 8", len(entries), err)
	}
}
