package mcp_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

func markdown(name, more string) string {
	return "---\nname: " + name + "\ndescription: How to " + name + "\n" + more + "---\n\n# " + name + "\n"
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// library is a tree with two skills, one of them below a prefix and with another skill in it.
func library() fstest.MapFS {
	return fstest.MapFS{
		"README.md":                     file("not of a skill"),
		"notes/x.txt":                   file("neither"),
		"pdf/SKILL.md":                  file(markdown("pdf", "license: MIT\nmetadata:\n  version: \"1.0\"\n")),
		"pdf/.env":                      file("SECRET=1"),
		"pdf/references/FORMS guide.md": file("# Forms\n"),
		"pdf/scripts/run.py":            file("print(1)\n"),
		"pdf/logo.png":                  file("\x89PNG\xff"),
		"pdf/empty":                     file(""),
		"acme/billing/refunds/SKILL.md": file(markdown("refunds", "")),
		"acme/billing/refunds/nested/partial/SKILL.md": file(markdown("partial", "")),
		"acme/billing/refunds/nested/partial/note.txt": file("n"),
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func newSkillServer(t testing.TB, fsys fs.FS) *mcp.Server {
	t.Helper()
	s := mcp.NewServer("s", "1", &mcp.ServerOptions{PageSize: 2})
	if err := s.SetSkills(fsys); err != nil {
		t.Fatal(err)
	}
	return s
}

func openSkills(t testing.TB, h mcp.Handler) *mcp.Skills {
	t.Helper()
	skills, err := mcp.NewClient("c", "1", h, nil).Skills(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return skills
}

func TestSkillsOverEachRevision(t *testing.T) {
	for _, version := range mcp.Versions() {
		t.Run(string(version), func(t *testing.T) {
			skills := openSkills(t, mcptest.Pair(t, newSkillServer(t, library()), version))
			list, err := skills.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, skill := range list {
				got = append(got, skill.URI+" "+skill.Name())
				if err := skill.Check(); err != nil {
					t.Error(err)
				}
			}
			want := []string{
				"skill://acme/billing/refunds/SKILL.md refunds",
				"skill://acme/billing/refunds/nested/partial/SKILL.md partial",
				"skill://pdf/SKILL.md pdf",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("skills (-want +got):\n%s", diff)
			}
			pdf := list[2]
			if want := `{"name":"pdf","description":"How to pdf","license":"MIT","metadata":{"version":"1.0"}}`; string(pdf.Frontmatter) != want {
				t.Errorf("frontmatter = %s, want %s", pdf.Frontmatter, want)
			}
			again, err := skills.Get(t.Context(), pdf.URI)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&pdf, again); diff != "" {
				t.Errorf("skills/get (-list +get):\n%s", diff)
			}
			loaded, err := skills.Load(t.Context(), &pdf)
			if err != nil || !strings.HasSuffix(loaded.Text, "# pdf\n") {
				t.Fatalf("Load = %+v, %v", loaded, err)
			}
			for ref, want := range map[string]string{
				"scripts/run.py": "print(1)\n", "./references/../logo.png": "\x89PNG\xff", "empty": "",
				"references/FORMS%20guide.md": "# Forms\n", "references/FORMS guide.md": "# Forms\n", "skill://pdf/scripts/run.py": "print(1)\n",
			} {
				if b, err := loaded.Read(t.Context(), ref); err != nil || string(b) != want {
					t.Errorf("Read(%q) = %q, %v", ref, b, err)
				}
			}
			for _, ref := range []string{".env", "../acme/billing/refunds/SKILL.md", "skill://acme/billing/refunds/SKILL.md", "nothing", "", "scripts", "file:///etc/passwd"} {
				var e *mcp.SkillError
				if b, err := loaded.Read(t.Context(), ref); !errors.As(err, &e) {
					t.Errorf("Read(%q) = %q, %v; want a SkillError", ref, b, err)
				}
			}
		})
	}
}

func TestSkillEntry(t *testing.T) {
	skills := openSkills(t, newSkillServer(t, library()))
	refunds, err := skills.Get(t.Context(), "skill://acme/billing/refunds/SKILL.md")
	if err != nil {
		t.Fatal(err)
	}
	head, nested := markdown("refunds", ""), markdown("partial", "")
	const root = "skill://acme/billing/refunds"
	want := []mcp.SkillFile{
		{URI: root + "/SKILL.md", Digest: digest(head), Size: int64(len(head))},
		{URI: root + "/nested/partial/SKILL.md", Digest: digest(nested), Size: int64(len(nested))},
		{URI: root + "/nested/partial/note.txt", Digest: digest("n"), Size: 1},
	}
	if diff := cmp.Diff(want, refunds.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := refunds.Root(); got != root {
		t.Errorf("root = %s", got)
	}
	if got := refunds.Description(); got != "How to refunds" {
		t.Errorf("description = %s", got)
	}
}

func TestSkillDirectories(t *testing.T) {
	s := newSkillServer(t, library())
	skills := openSkills(t, s)
	for uri, want := range map[string][]string{
		"skill://pdf": {
			"skill://pdf/SKILL.md text/markdown pdf", "skill://pdf/empty text/plain empty", "skill://pdf/logo.png image/png logo.png",
			"skill://pdf/references inode/directory references", "skill://pdf/scripts inode/directory scripts",
		},
		"skill://pdf/references":              {"skill://pdf/references/FORMS%20guide.md text/markdown FORMS guide.md"},
		"skill://acme":                        {"skill://acme/billing inode/directory billing"},
		"skill://acme/billing/refunds/nested": {"skill://acme/billing/refunds/nested/partial inode/directory partial"},
	} {
		children, err := skills.Directory(t.Context(), uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		var got []string
		for _, c := range children {
			got = append(got, c.URI+" "+c.MIMEType+" "+c.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", uri, diff)
		}
	}
	for method, params := range map[string][]string{
		mcp.MethodReadDirectory: {`{"uri":"skill://pdf/SKILL.md"}`, `{"uri":"skill://pdf/"}`, `{"uri":"skill://"}`, `{"uri":"skill://notes"}`, `{}`, `{"uri":"skill://pdf","cursor":"x"}`},
		mcp.MethodGetSkill:      {`{"uri":"skill://pdf"}`, `{"uri":"skill://pdf/scripts/run.py"}`, `{"uri":1}`, `{}`},
		mcp.MethodListSkills:    {`{"cursor":"x"}`},
		mcp.MethodReadResource:  {`{"uri":"skill://pdf/.env"}`, `{"uri":"skill://pdf/scripts"}`, `{"uri":"skill://README.md"}`},
	} {
		for _, p := range params {
			if got := handle(t, s, method, p); !strings.Contains(got, `"code":-32602`) {
				t.Errorf("%s %s = %s; want -32602", method, p, got)
			}
		}
	}
}

func TestSkillsAsResources(t *testing.T) {
	s := newSkillServer(t, library())
	c := mcp.NewClient("c", "1", s, nil)
	resources, err := c.ListResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(resources, func(r mcp.Resource) bool { return r.URI == "skill://pdf/SKILL.md" })
	if len(resources) != 3 || i < 0 {
		t.Fatalf("resources = %+v", resources)
	}
	if r := resources[i]; r.Name != "pdf" || r.Description != "How to pdf" || r.MIMEType != "text/markdown" || *r.Size == 0 {
		t.Errorf("resource = %+v", r)
	}
	res, err := c.ReadResource(t.Context(), "skill://pdf/logo.png", nil)
	if err != nil || string(res.Contents[0].Blob) != "\x89PNG\xff" || res.Contents[0].MIMEType != "image/png" {
		t.Errorf("logo = %+v, %v", res, err)
	}
	d, err := c.Discover(t.Context())
	if err != nil || string(d.Capabilities.Extensions[mcp.ExtensionSkills]) != `{"directoryRead":true}` || d.Capabilities.Resources == nil {
		t.Errorf("capabilities = %+v, %v", d.Capabilities, err)
	}
	raw, err := s.Handle(t.Context(), request(t, mcp.MethodListSkills, `{}`), mcp.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(mcp.AppendResponse(nil, []byte("1"), mcp.MethodListSkills, raw, nil)); !strings.Contains(got, `"ttlMs":0,"cacheScope":"public"`) {
		t.Errorf("skills/list = %s; want caching hints", got)
	}
}

// A page has as many entries as fit into a message.
func TestPagesOfLargeSkills(t *testing.T) {
	fsys := fstest.MapFS{}
	const count = 30
	for i := range count {
		name := fmt.Sprintf("s%d", i)
		fsys[name+"/SKILL.md"] = file(markdown(name, ""))
		for j := range mcp.MaxSkillFiles - 1 {
			fsys[fmt.Sprintf("%s/%d-%s", name, j, strings.Repeat("x", 40))] = file("")
		}
	}
	s := mcp.NewServer("s", "1", nil)
	if err := s.SetSkills(fsys); err != nil {
		t.Fatal(err)
	}
	res, err := s.Handle(t.Context(), request(t, mcp.MethodListSkills, `{}`), mcp.Discard)
	if err != nil || len(res.Body) > 2<<20+1<<10 || jsonrpc.Get(res.Body, "nextCursor") == nil {
		t.Errorf("a page of %d bytes, %v", len(res.Body), err)
	}
	if list, err := openSkills(t, s).List(t.Context()); err != nil || len(list) != count {
		t.Errorf("%d skills, %v", len(list), err)
	}
}

func TestNoSkills(t *testing.T) {
	s := mcp.NewServer("s", "1", nil)
	if _, err := mcp.NewClient("c", "1", s, nil).Skills(t.Context()); !errors.Is(err, mcp.ErrNoSkills) {
		t.Errorf("Skills = %v, want ErrNoSkills", err)
	}
	if got := handleError(t, s, mcp.MethodListSkills, `{}`); got.Code != jsonrpc.CodeMethodNotFound {
		t.Errorf("skills/list = %v", got)
	}
	// Once declared, the extension stays, with an empty list.
	if err := s.SetSkills(nil); err != nil {
		t.Fatal(err)
	}
	if list, err := openSkills(t, s).List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("List = %v, %v", list, err)
	}
}

func handleError(t testing.TB, h mcp.Handler, method, params string) *mcp.Error {
	t.Helper()
	res, err := h.Handle(t.Context(), request(t, method, params), mcp.Discard)
	if err == nil {
		t.Fatalf("%s = %s; want an error", method, res.Body)
	}
	return mcp.ErrorOf(err)
}

func TestSetSkillsAgain(t *testing.T) {
	s := newSkillServer(t, library())
	var notes recorder
	listen := request(t, mcp.MethodListen, `{"notifications":{"resourcesListChanged":true,"resourceSubscriptions":["skill://pdf/scripts/run.py","skill://pdf/empty","skill://acme/billing/refunds/SKILL.md"]}}`)
	if _, err := s.Handle(t.Context(), listen, &notes); err != nil {
		t.Fatal(err)
	}
	notes.take()
	if err := s.SetSkills(library()); err != nil || len(notes.take()) != 0 {
		t.Errorf("the same again: %v, or somebody was told of it", err)
	}
	next := library()
	next["pdf/scripts/run.py"] = file("print(2)\n")
	delete(next, "acme/billing/refunds/SKILL.md")
	if err := s.SetSkills(next); err != nil {
		t.Fatal(err)
	}
	got := notes.take()
	slices.Sort(got)
	if len(got) != 3 || !strings.Contains(got[0], "list_changed") || !strings.Contains(got[1], "refunds/SKILL.md") || !strings.Contains(got[2], "run.py") {
		t.Errorf("notifications = %q", got)
	}
	skills := openSkills(t, s)
	if list, err := skills.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("List = %v, %v", list, err)
	}
	if got := handleError(t, s, mcp.MethodReadResource, `{"uri":"skill://acme/billing/refunds/SKILL.md"}`); got.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("a skill that is gone: %v", got)
	}
	// What cannot be served changes nothing.
	next["pdf/SKILL.md"] = file("no frontmatter")
	if err := s.SetSkills(next); err == nil {
		t.Error("a skill without frontmatter was accepted")
	}
	if _, err := skills.Get(t.Context(), "skill://pdf/SKILL.md"); err != nil || len(notes.take()) != 0 {
		t.Errorf("after a failure: %v, or somebody was told", err)
	}
}

func TestSetSkillsRefuses(t *testing.T) {
	many := fstest.MapFS{"x/SKILL.md": file(markdown("x", ""))}
	for i := range mcp.MaxSkillFiles {
		many[fmt.Sprintf("x/%d", i)] = file("")
	}
	deep := "x/" + strings.Repeat("d/", 40) + "f"
	big := fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), "x/a": file(strings.Repeat("a", mcp.MaxSkillBytes-10)), "x/b": file(strings.Repeat("b", 11))}
	for _, tt := range []struct {
		name string
		fsys fstest.MapFS
		want string
	}{
		{"no frontmatter", fstest.MapFS{"x/SKILL.md": file("# x")}, "does not begin with frontmatter"},
		{"broken YAML", fstest.MapFS{"x/SKILL.md": file("---\nname: x\ndescription: a: b\n---\n")}, "line 3"},
		{"another name", fstest.MapFS{"x/SKILL.md": file(markdown("y", ""))}, `not called "y"`},
		{"a name with capitals", fstest.MapFS{"X/SKILL.md": file(markdown("X", ""))}, "lower-case"},
		{"a name with two hyphens", fstest.MapFS{"a--b/SKILL.md": file(markdown("a--b", ""))}, "single hyphens"},
		{"no description", fstest.MapFS{"x/SKILL.md": file("---\nname: x\n---\n")}, "description"},
		{"a long description", fstest.MapFS{"x/SKILL.md": file("---\nname: x\ndescription: " + strings.Repeat("d", 1025) + "\n---\n")}, "1024"},
		{"a reserved name in metadata", fstest.MapFS{"x/SKILL.md": file(markdown("x", "metadata:\n  io.modelcontextprotocol/y: 1\n"))}, "reserved"},
		{"a skill at the top", fstest.MapFS{"SKILL.md": file(markdown("x", ""))}, "directory of its own name"},
		{"a prefix that is no host name", fstest.MapFS{"A b/x/SKILL.md": file(markdown("x", ""))}, "directory above or of a skill"},
		{"a symbolic link", fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), "x/l": {Data: []byte("y"), Mode: fs.ModeSymlink}}, "symbolic link"},
		{"a link above skills", fstest.MapFS{"l": {Data: []byte("y"), Mode: fs.ModeSymlink}}, "symbolic link"},
		{"a device", fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), "x/d": {Mode: fs.ModeDevice}}, "not a regular file"},
		{"a SKILL.md that is a directory", fstest.MapFS{"x/SKILL.md/y": file("")}, "does not begin with frontmatter"},
		{"a name with a line break", fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), "x/a\nb": file("")}, "control characters"},
		{"a name with a backslash", fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), `x/a\b`: file("")}, "backslashes"},
		{"too many files", many, "at most 512"},
		{"too many bytes", big, "more than 16777216 bytes"},
		{"a file that is too large", fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), "x/a": file(strings.Repeat("a", mcp.MaxSkillBytes+1))}, "more than 16777216 bytes"},
		{"too deep", fstest.MapFS{"x/SKILL.md": file(markdown("x", "")), deep: file("")}, "nested more than"},
	} {
		err := mcp.NewServer("s", "1", nil).SetSkills(tt.fsys)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want an error with %q", tt.name, err, tt.want)
		}
	}
}

// A directory of the system, with a link that leads out of it.
func TestSkillsOfDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x", "SKILL.md"), []byte(markdown("x", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, fsys := range []fs.FS{os.DirFS(dir), root.FS()} {
		if list, err := openSkills(t, newSkillServer(t, fsys)).List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("List = %v, %v", list, err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "x", "passwd")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if err := mcp.NewServer("s", "1", nil).SetSkills(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "x/passwd: a symbolic link") {
		t.Errorf("SetSkills = %v", err)
	}
	if err := mcp.NewServer("s", "1", nil).SetSkills(os.DirFS(filepath.Join(dir, "missing"))); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// strange is a server whose answers a test changes.
type strange struct {
	mcp.Handler
	change map[string]string // old -> new, in what is read
	reads  []string
}

func (s *strange) Handle(ctx context.Context, req *mcp.Request, sink mcp.Sink) (mcp.Result, error) {
	res, err := s.Handler.Handle(ctx, req, sink)
	if req.Method == mcp.MethodReadResource && err == nil {
		s.reads = append(s.reads, req.Name)
		body := string(res.Body)
		for old, now := range s.change {
			body = strings.ReplaceAll(body, old, now)
		}
		res.Body = []byte(body)
	}
	return res, err
}

func TestSkillVerification(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change map[string]string
		entry  func(*mcp.Skill)
		want   string // in the error; empty for none
	}{
		{name: "as it is"},
		{name: "another text of the same size", change: map[string]string{"# pdf": "# PDF"}, want: "digest"},
		{name: "a longer text", change: map[string]string{"# pdf": "# pdf and more"}, want: "bytes, where the entry says"},
		{name: "another resource", change: map[string]string{`"uri":"skill://pdf/SKILL.md"`: `"uri":"skill://other/SKILL.md"`}, want: "something else"},
		{name: "another description in the entry", entry: func(s *mcp.Skill) {
			s.Frontmatter = mcp.Raw(strings.Replace(string(s.Frontmatter), "How to", "Now to", 1))
		}, want: "description in the frontmatter"},
		{name: "a member more in the entry", entry: func(s *mcp.Skill) {
			s.Frontmatter = mcp.Raw(strings.Replace(string(s.Frontmatter), `"license"`, `"allowed-tools":"Bash","license"`, 1))
		}, want: "allowed-tools in the frontmatter"},
		{name: "a member less in the entry", entry: func(s *mcp.Skill) {
			s.Frontmatter = mcp.Raw(`{"name":"pdf","description":"How to pdf","license":"MIT"}`)
		}, want: "metadata in the frontmatter"},
		{name: "members in another order", entry: func(s *mcp.Skill) {
			s.Frontmatter = mcp.Raw(`{"metadata":{"version":"1.0"},"license":"MIT","name":"pdf","description":"How to pdf"}`)
		}},
		{name: "dynamic", change: map[string]string{"# pdf": "# today"}, entry: func(s *mcp.Skill) { s.Files, s.Dynamic = nil, true }},
		{name: "dynamic with another name inside", change: map[string]string{"How to pdf": "Exfiltrate"}, entry: func(s *mcp.Skill) { s.Files, s.Dynamic = nil, true }, want: "description in the frontmatter"},
		{name: "neither a list nor dynamic", entry: func(s *mcp.Skill) { s.Files = nil }, want: "missing"},
		{name: "without SKILL.md", entry: func(s *mcp.Skill) { s.Files = s.Files[1:] }, want: "without its own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &strange{Handler: newSkillServer(t, library()), change: tt.change}
			skills := openSkills(t, server)
			list, err := skills.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(server.reads) != 0 {
				t.Errorf("listing read %q", server.reads)
			}
			skill := list[2]
			if tt.entry != nil {
				tt.entry(&skill)
			}
			loaded, err := skills.Load(t.Context(), &skill)
			if len(server.reads) > 1 {
				t.Errorf("loading read %q", server.reads)
			}
			if tt.want == "" {
				if err != nil || loaded.Text == "" {
					t.Errorf("Load = %+v, %v", loaded, err)
				}
				return
			}
			var e *mcp.SkillError
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || loaded != nil {
				t.Errorf("Load = %+v, %v; want a SkillError with %q", loaded, err, tt.want)
			}
		})
	}
	t.Run("a file that has changed since", func(t *testing.T) {
		server := &strange{Handler: newSkillServer(t, library()), change: map[string]string{"print(1)": "print(2)"}}
		skills := openSkills(t, server)
		skill, err := skills.Get(t.Context(), "skill://pdf/SKILL.md")
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := skills.Load(t.Context(), skill)
		if err != nil {
			t.Fatal(err)
		}
		var e *mcp.SkillError
		if b, err := loaded.Read(t.Context(), "scripts/run.py"); !errors.As(err, &e) {
			t.Errorf("Read = %q, %v; want a SkillError", b, err)
		}
	})
}

func TestSkillCheck(t *testing.T) {
	valid := func() mcp.Skill {
		return mcp.Skill{
			URI: "skill://a/x/SKILL.md", Frontmatter: mcp.Raw(`{"name":"x","description":"d"}`),
			Files: []mcp.SkillFile{{URI: "skill://a/x/SKILL.md", Digest: digest(""), Size: 0}, {URI: "skill://a/x/f", Digest: digest("f"), Size: 1}},
		}
	}
	ok := valid()
	if err := ok.Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*mcp.Skill){
		"no URI":                    func(s *mcp.Skill) { s.URI = "" },
		"another file":              func(s *mcp.Skill) { s.URI = "skill://a/x/README.md" },
		"no directory":              func(s *mcp.Skill) { s.URI = "skill://SKILL.md" },
		"no scheme":                 func(s *mcp.Skill) { s.URI = "a/x/SKILL.md" },
		"a dot in the URI":          func(s *mcp.Skill) { s.URI = "skill://a/../x/SKILL.md" },
		"another name":              func(s *mcp.Skill) { s.Frontmatter = mcp.Raw(`{"name":"y","description":"d"}`) },
		"part of the name":          func(s *mcp.Skill) { s.URI = "skill://a/xx/SKILL.md" },
		"no frontmatter":            func(s *mcp.Skill) { s.Frontmatter = nil },
		"a file elsewhere":          func(s *mcp.Skill) { s.Files[1].URI = "skill://a/y/f" },
		"a file above":              func(s *mcp.Skill) { s.Files[1].URI = "skill://a/x/../y" },
		"a file above, escaped":     func(s *mcp.Skill) { s.Files[1].URI = "skill://a/x/%2E%2e/y" },
		"an escaped slash":          func(s *mcp.Skill) { s.Files[1].URI = "skill://a/x/..%2Fy" },
		"a query":                   func(s *mcp.Skill) { s.Files[1].URI = "skill://a/x/f?y" },
		"a file twice":              func(s *mcp.Skill) { s.Files[1] = s.Files[0] },
		"a digest in capitals":      func(s *mcp.Skill) { s.Files[1].Digest = strings.ToUpper(digest("f")) },
		"another digest":            func(s *mcp.Skill) { s.Files[1].Digest = "md5:00" },
		"a negative size":           func(s *mcp.Skill) { s.Files[1].Size = -1 },
		"a size beyond the limit":   func(s *mcp.Skill) { s.Files[1].Size = mcp.MaxSkillBytes + 1 },
		"sizes beyond the limit":    func(s *mcp.Skill) { s.Files[0].Size, s.Files[1].Size = mcp.MaxSkillBytes, 1 },
		"more files than the limit": func(s *mcp.Skill) { s.Files = make([]mcp.SkillFile, mcp.MaxSkillFiles+1) },
	} {
		s := valid()
		if change(&s); s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// An entry that passes the check is the same after a round trip, and stays within its directory.
func FuzzSkill(f *testing.F) {
	f.Add([]byte(`{"uri":"skill://a/x/SKILL.md","frontmatter":{"name":"x","description":"d"},"resources":[{"uri":"skill://a/x/SKILL.md","digest":"` + digest("") + `","size":0}]}`))
	f.Add([]byte(`{"uri":"skill://x/SKILL.md","frontmatter":{"name":"x","description":"d"},"resources":"dynamic"}`))
	f.Add([]byte(`{"uri":"skill://x/SKILL.md","frontmatter":{"name":"x","description":"d"},"resources":[{"uri":"skill://x/%2e%2e/y","digest":"","size":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s, again mcp.Skill
		if json.Unmarshal(text, &s) != nil || s.Check() != nil {
			return
		}
		b, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalJSON(b); err != nil || again.Check() != nil {
			t.Fatalf("%s: %v, %v", b, err, again.Check())
		}
		for _, file := range s.Files {
			if !strings.HasPrefix(file.URI, s.Root()+"/") || strings.Contains(file.URI, "/../") {
				t.Errorf("%q is not within %q", file.URI, s.Root())
			}
		}
	})
}
