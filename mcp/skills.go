package mcp

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// ExtensionSkills is the identifier of the skills extension (SEP-2640).
const ExtensionSkills = "io.modelcontextprotocol/skills"

// The limits of a skill that every host supports (SEP-2640, Limits).
const (
	MaxSkillFiles = 512
	MaxSkillBytes = 16 << 20
)

const (
	skillFile     = "SKILL.md"
	skillScheme   = "skill://"
	directoryType = "inode/directory"
	markdownType  = "text/markdown"
	dynamicSkill  = `"dynamic"`
)

// Skill is the entry of a skill: what it says of itself and which files it has
// (SEP-2640, Skill Entries). A skill is a directory with instructions for an agent
// in its SKILL.md. Its identity is its server and its URI; names need not be unique.
type Skill struct {
	// URI is the resource of the skill's SKILL.md.
	URI string
	// Frontmatter is the YAML at the top of SKILL.md as a JSON object. It has name
	// and description.
	Frontmatter Raw
	// Files are all files of the skill, SKILL.md included. Nil for a dynamic skill.
	Files []SkillFile
	// Dynamic says that the content is generated and so cannot be verified.
	Dynamic bool
}

// SkillFile is a file of a skill with the digest and size of its bytes.
type SkillFile struct {
	URI    string `json:"uri"`
	Digest string `json:"digest"` // sha256: and 64 lower-case hexadecimal digits
	Size   int64  `json:"size"`   // bytes
}

type wireSkill struct {
	URI         string `json:"uri"`
	Frontmatter Raw    `json:"frontmatter"`
	Resources   Raw    `json:"resources"`
}

// MarshalJSON encodes the entry as skills/list has it.
func (s *Skill) MarshalJSON() ([]byte, error) {
	w := wireSkill{URI: s.URI, Frontmatter: s.Frontmatter, Resources: Raw(dynamicSkill)}
	if !s.Dynamic {
		var err error
		if w.Resources, err = json.Marshal(s.Files); err != nil {
			return nil, err
		}
	}
	return json.Marshal(&w)
}

// UnmarshalJSON decodes an entry. One whose files are in neither of the two forms
// has none and is not Dynamic; see [Skill.Check].
func (s *Skill) UnmarshalJSON(b []byte) error {
	var w wireSkill
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*s = Skill{URI: w.URI, Frontmatter: w.Frontmatter, Dynamic: string(w.Resources) == dynamicSkill}
	if isArray(w.Resources) {
		return json.Unmarshal(w.Resources, &s.Files)
	}
	return nil
}

// Name is the name in the frontmatter: a label, not an identifier.
func (s *Skill) Name() string { return s.field("name") }

// Description is the description in the frontmatter, by which a model chooses.
func (s *Skill) Description() string { return s.field("description") }

func (s *Skill) field(name string) string {
	text, _ := jsonrpc.Unquote(jsonrpc.Get(s.Frontmatter, name))
	return text
}

// Root is the URI of the skill's directory, without a slash at the end.
func (s *Skill) Root() string { return strings.TrimSuffix(s.URI, "/"+skillFile) }

var (
	skillName   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	skillDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

const (
	maxSkillName        = 64
	maxSkillDescription = 1024
)

// Check says what is wrong with an entry by the rules of the extension, its limits
// included. A skill that fails is not to be loaded.
func (s *Skill) Check() error {
	root, ok := strings.CutSuffix(s.URI, "/"+skillFile)
	if scheme, path, split := strings.Cut(root, "://"); !ok || !split || scheme == "" || !cleanPath(path) {
		return fmt.Errorf("skill %q: the URI is not that of a %s", clip(s.URI), skillFile)
	}
	if err := checkFrontmatter(s.Frontmatter); err != nil {
		return fmt.Errorf("skill %q: %w", clip(s.URI), err)
	}
	if name := s.Name(); !strings.HasSuffix(root, "/"+name) {
		return fmt.Errorf("skill %q: its directory is not called %q as its name", clip(s.URI), name)
	}
	if s.Dynamic {
		return nil
	}
	if len(s.Files) > MaxSkillFiles {
		return fmt.Errorf("skill %q: more than %d files", clip(s.URI), MaxSkillFiles)
	}
	seen := make(map[string]bool, len(s.Files))
	var total int64
	for _, f := range s.Files {
		path, ok := strings.CutPrefix(f.URI, root+"/")
		switch {
		case !ok || !cleanPath(path):
			return fmt.Errorf("skill %q: %q is not within its directory", clip(s.URI), clip(f.URI))
		case seen[f.URI]:
			return fmt.Errorf("skill %q: %q is listed twice", clip(s.URI), clip(f.URI))
		case !skillDigest.MatchString(f.Digest):
			return fmt.Errorf("skill %q: the digest of %q is not sha256: and 64 hexadecimal digits", clip(s.URI), clip(f.URI))
		case f.Size < 0 || f.Size > MaxSkillBytes:
			return fmt.Errorf("skill %q: the size of %q is not from 0 to %d bytes", clip(s.URI), clip(f.URI), MaxSkillBytes)
		}
		seen[f.URI] = true
		total += f.Size
	}
	switch {
	case !seen[s.URI]:
		return fmt.Errorf("skill %q: the list of its files is missing or without its own %s", clip(s.URI), skillFile)
	case total > MaxSkillBytes:
		return fmt.Errorf("skill %q: more than %d bytes in all", clip(s.URI), MaxSkillBytes)
	}
	return nil
}

// cleanPath reports whether each segment of a path names something: an empty one or
// a dot, also one that is escaped, could lead elsewhere.
func cleanPath(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		plain := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
		if plain == "" || plain == "." || plain == ".." || strings.Contains(plain, "%2f") || strings.ContainsAny(plain, "\\?#") {
			return false
		}
	}
	return true
}

// checkFrontmatter applies the rules of the Agent Skills specification for names and
// descriptions, and keeps the names that are reserved for extensions of MCP.
func checkFrontmatter(object Raw) error {
	name, ok := jsonrpc.Unquote(jsonrpc.Get(object, "name"))
	if !ok || len(name) > maxSkillName || !skillName.MatchString(name) {
		return fmt.Errorf("frontmatter: the name is not 1 to %d lower-case letters and digits in words joined by single hyphens", maxSkillName)
	}
	description, ok := jsonrpc.Unquote(jsonrpc.Get(object, "description"))
	if n := len([]rune(description)); !ok || strings.TrimSpace(description) == "" || n > maxSkillDescription {
		return fmt.Errorf("frontmatter: the description is not a text of 1 to %d characters", maxSkillDescription)
	}
	return nil
}

// ListSkillsResult is a page of skills (SEP-2640, Listing Skills).
type ListSkillsResult struct {
	Skills     []Skill `json:"skills"`
	NextCursor *string `json:"nextCursor,omitzero"` // nil on the last page; empty is a cursor
	Meta       Raw     `json:"_meta,omitzero"`
}

// SetSkills serves the skills of a directory, instead of those that it served
// before (SEP-2640). Each directory in fsys with a SKILL.md is a skill, called as its
// frontmatter says; directories above it become a prefix of its URI:
// acme/billing/refunds is skill://acme/billing/refunds/SKILL.md. Names that begin
// with a dot, and files outside of skills, are left out.
//
// Everything is read and digested now and kept in memory, at most 64 MiB. What is not
// as the extension wants it, beyond its limits, or a symbolic link is an error, and
// then nothing changes. Clients are told of what has changed: call SetSkills again
// when the directory has. A nil fsys serves no skills.
//
//	err := s.SetSkills(os.DirFS("skills"))
//
// os.Root.FS instead of os.DirFS keeps the reading inside the directory even while
// somebody changes it.
func (s *Server) SetSkills(fsys fs.FS) error {
	var now skillTree
	if fsys != nil {
		var err error
		if now, err = readSkills(fsys); err != nil {
			return err
		}
	}
	entries := make(map[string]entry[Skill], len(now.skills))
	var order []string
	for _, skill := range now.skills {
		encoded, err := skill.MarshalJSON()
		if err != nil {
			return fmt.Errorf("skill %q: %w", skill.URI, err)
		}
		order = append(order, skill.URI)
		entries[skill.URI] = entry[Skill]{skill, encoded}
	}
	s.skillsMu.Lock()
	defer s.skillsMu.Unlock()
	before := s.skillTree.Swap(&now)
	s.skills.replace(order, entries)
	s.resources.declared.Store(true) // skills are read as resources

	if before == nil {
		before = &skillTree{}
	}
	s.announceSkills(before, &now)
	return nil
}

// announceSkills lists each SKILL.md as a resource and tells who wants to know what has changed.
func (s *Server) announceSkills(before, now *skillTree) {
	changed := false
	var gone []string
	for _, skill := range before.skills {
		if _, ok := now.files[skill.URI]; !ok {
			gone = append(gone, skill.URI)
		}
	}
	if s.resources.remove(gone) {
		changed = true
	}
	for _, skill := range now.skills {
		f := now.files[skill.URI]
		if old, ok := before.files[skill.URI]; ok && old.entry == f.entry {
			continue
		}
		changed = true
		r := Resource{URI: skill.URI, Name: skill.Name(), Description: skill.Description(), MIMEType: markdownType, Size: &f.entry.Size}
		encoded, err := json.Marshal(&r, lenient)
		if err != nil {
			panic(fmt.Sprintf("skill %q: %v", skill.URI, err)) // nothing in it can fail
		}
		s.resources.put(r.URI, &resource{markdownType, func(context.Context, *Call, string) ([]ResourceContents, error) {
			return nil, ErrResourceNotFound // it has gone between the look-up of skills and of resources
		}}, encoded)
	}
	if changed {
		s.resourcesChanged()
	}
	for uri, old := range before.files {
		if f, ok := now.files[uri]; !ok || f.entry != old.entry {
			s.ResourceUpdated(uri)
		}
	}
}

// skillContents returns the file of a skill. Files are resources whether they are listed or not.
func (s *Server) skillContents(uri string) ([]ResourceContents, bool) {
	tree := s.skillTree.Load()
	if tree == nil {
		return nil, false
	}
	f, ok := tree.files[uri]
	if !ok {
		return nil, false
	}
	c := ResourceContents{URI: uri, MIMEType: f.mimeType, Text: f.text}
	if f.text == "" && len(f.blob) > 0 {
		c.Blob = f.blob
	}
	return []ResourceContents{c}, true
}

// answerSkills answers a request of the extension.
func (s *Server) answerSkills(req *Request) (Result, error) {
	switch req.Method {
	case MethodGetSkill:
		return s.getSkill(req)
	case MethodReadDirectory:
		return s.readDirectory(req)
	}
	return s.list(req, s.skills.page)
}

// getSkill answers skills/get.
func (s *Server) getSkill(req *Request) (Result, error) {
	uri, ok := jsonrpc.Unquote(jsonrpc.Get(req.Params, "uri"))
	if !ok {
		return Result{}, ErrInvalidParams("Missing params.uri")
	}
	skill, ok := s.skills.get(uri)
	if !ok {
		return Result{}, ErrInvalidParams("No skill is served at %s", clip(uri))
	}
	res, err := s.encode(&struct {
		Skill *Skill `json:"skill"`
	}{&skill}, nil)
	res.Cache = Cache{TTL: s.opts.ListTTL, Scope: CachePublic}
	return res, err
}

// readDirectory answers resources/directory/read: one page, since a directory of a
// skill has at most as many entries as a skill.
func (s *Server) readDirectory(req *Request) (Result, error) {
	uri, ok := jsonrpc.Unquote(jsonrpc.Get(req.Params, "uri"))
	if !ok {
		return Result{}, ErrInvalidParams("Missing params.uri")
	}
	if jsonrpc.Get(req.Params, "cursor") != nil {
		return Result{}, ErrInvalidParams("Invalid cursor")
	}
	children, ok := []Resource(nil), false
	if tree := s.skillTree.Load(); tree != nil {
		children, ok = tree.directories[uri]
	}
	if !ok {
		return Result{}, ErrInvalidParams("%s is not a directory resource", clip(uri))
	}
	return s.encode(&ListResourcesResult{Resources: children}, nil)
}
