package mcp

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fairlead-mcp/fairlead/mcp/internal/frontmatter"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

const (
	// maxSkillTreeBytes and maxSkillTreeEntries bound what a server keeps: four skills
	// of the greatest size, or hundreds of usual ones.
	maxSkillTreeBytes   = 64 << 20
	maxSkillTreeEntries = 16 << 10
	maxSkillTreeDepth   = 32
)

// skillTree is a set of skills as it was read. It is immutable.
type skillTree struct {
	skills      []Skill               // by URI
	files       map[string]skillBytes // URI -> file
	directories map[string][]Resource // URI -> children, by name
}

// skillBytes is a file: its text if it is UTF-8, else its bytes.
type skillBytes struct {
	entry    SkillFile
	mimeType string
	text     string
	blob     []byte
}

// skillReader reads a tree of directories.
type skillReader struct {
	fsys    fs.FS
	tree    skillTree
	entries int
	bytes   int64
}

// readSkills reads the skills in a directory.
func readSkills(fsys fs.FS) (skillTree, error) {
	r := &skillReader{fsys: fsys, tree: skillTree{files: make(map[string]skillBytes), directories: make(map[string][]Resource)}}
	if _, err := r.directory(".", "", nil); err != nil {
		return skillTree{}, fmt.Errorf("skills: %w", err)
	}
	slices.SortFunc(r.tree.skills, func(a, b Skill) int { return cmp.Compare(a.URI, b.URI) })
	return r.tree, nil
}

// prefixSegment is a directory above skills. The first of them is the authority of
// the URI, where clients may treat upper-case letters as lower-case ones.
var prefixSegment = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// directory reads a directory of the tree. within are the skills that it lies in,
// whose files include those of the directory. It reports whether there is anything
// in it that is served.
func (r *skillReader) directory(name, uri string, within []*Skill) (served bool, err error) {
	if strings.Count(name, "/") >= maxSkillTreeDepth {
		return false, fmt.Errorf("%s: directories are nested more than %d deep", name, maxSkillTreeDepth)
	}
	list, err := fs.ReadDir(r.fsys, name)
	if err != nil {
		return false, fmt.Errorf("%s: %w", name, reason(err))
	}
	var own *Skill
	if slices.ContainsFunc(list, func(d fs.DirEntry) bool { return d.Name() == skillFile }) {
		if uri == "" {
			return false, fmt.Errorf("%s: a skill is a directory of its own name; serve the directory above it", skillFile)
		}
		own = &Skill{URI: uri + "/" + skillFile}
		within = append(slices.Clip(within), own)
	}
	children := []Resource{}
	for _, d := range list {
		if strings.HasPrefix(d.Name(), ".") {
			continue
		}
		if r.entries++; r.entries > maxSkillTreeEntries {
			return false, fmt.Errorf("more than %d files and directories", maxSkillTreeEntries)
		}
		child, err := r.child(path.Join(name, d.Name()), uri, d, within)
		if err != nil {
			return false, err
		}
		if child != nil {
			children = append(children, *child)
		}
	}
	if own != nil {
		if err := r.finish(own, name); err != nil {
			return false, err
		}
		i := slices.IndexFunc(children, func(c Resource) bool { return c.URI == own.URI })
		children[i].Name, children[i].Description = own.Name(), own.Description()
	}
	if served = len(within) > 0 || len(children) > 0; served && uri != "" {
		r.tree.directories[uri] = children
	}
	return served, nil
}

// child reads an entry of a directory; nil for one that is not served.
func (r *skillReader) child(name, parent string, d fs.DirEntry, within []*Skill) (*Resource, error) {
	base := d.Name()
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%s: a symbolic link; put what it points to there", name)
	case !d.IsDir() && len(within) == 0:
		return nil, nil
	case !d.IsDir() && !d.Type().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", name)
	}
	if !utf8.ValidString(base) || strings.ContainsFunc(base, unicode.IsControl) || strings.Contains(base, `\`) {
		return nil, fmt.Errorf("%q: a name with control characters, backslashes or bytes that are not UTF-8", name)
	}
	uri := parent + "/" + url.PathEscape(base)
	if parent == "" {
		uri = skillScheme + base
	}
	if d.IsDir() {
		served, err := r.directory(name, uri, within)
		switch {
		case err != nil || !served:
			return nil, err
		case len(within) == 0 && !prefixSegment.MatchString(base):
			return nil, fmt.Errorf("%s: a directory above or of a skill has a name of lower-case letters, digits, dots, hyphens and underscores", name)
		}
		return &Resource{URI: uri, Name: base, MIMEType: directoryType}, nil
	}
	f, err := r.file(name, uri)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, skill := range within {
		if len(skill.Files) == MaxSkillFiles {
			return nil, fmt.Errorf("%s: a skill has at most %d files", name, MaxSkillFiles)
		}
		skill.Files = append(skill.Files, f.entry)
	}
	return &Resource{URI: uri, Name: base, MIMEType: f.mimeType, Size: &f.entry.Size}, nil
}

// file reads and digests a file.
func (r *skillReader) file(name, uri string) (skillBytes, error) {
	f, err := r.fsys.Open(name)
	if err != nil {
		return skillBytes{}, reason(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return skillBytes{}, errors.New("not a regular file")
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSkillBytes+1))
	if err != nil {
		return skillBytes{}, reason(err)
	}
	if r.bytes += int64(len(b)); len(b) > MaxSkillBytes || r.bytes > maxSkillTreeBytes {
		return skillBytes{}, fmt.Errorf("more than %d bytes in a file, or %d in all", MaxSkillBytes, maxSkillTreeBytes)
	}
	sum := sha256.Sum256(b)
	file := skillBytes{entry: SkillFile{URI: uri, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: int64(len(b))}}
	if text := utf8.Valid(b); text {
		file.text, file.mimeType = string(b), typeOf(name, "text/plain")
	} else {
		file.blob, file.mimeType = b, typeOf(name, "application/octet-stream")
	}
	r.tree.files[uri] = file
	return file, nil
}

// finish reads the frontmatter of a skill whose files are all there, and checks the skill.
func (r *skillReader) finish(skill *Skill, name string) error {
	head, err := parseFrontmatter([]byte(r.tree.files[skill.URI].text))
	if err != nil {
		return fmt.Errorf("%s/%s: %w", name, skillFile, err)
	}
	skill.Frontmatter = head
	for key := range jsonrpc.Members(jsonrpc.Get(head, "metadata")) {
		if strings.HasPrefix(key, "io.modelcontextprotocol/") {
			return fmt.Errorf("%s/%s: metadata %s: this prefix is reserved for extensions of MCP", name, skillFile, key)
		}
	}
	if err := skill.Check(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.tree.skills = append(r.tree.skills, *skill)
	return nil
}

// parseFrontmatter returns the frontmatter of a SKILL.md as a JSON object.
func parseFrontmatter(file []byte) (Raw, error) {
	head, err := frontmatter.Parse(file)
	if err != nil {
		return nil, err
	}
	if err := jsonrpc.Valid(head, nil); err != nil {
		return nil, fmt.Errorf("frontmatter: %w", err)
	}
	return head, nil
}

// reason is the cause of an error of a file system, without the path that the caller adds.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// contentTypes are the types of files that skills have. The system's own table would
// differ between machines.
var contentTypes = map[string]string{
	".md": markdownType, ".markdown": markdownType, ".txt": "text/plain", ".json": "application/json", ".jsonl": "application/jsonl",
	".yaml": "application/yaml", ".yml": "application/yaml", ".toml": "application/toml", ".xml": "application/xml", ".csv": "text/csv",
	".html": "text/html", ".htm": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".ts": "text/x-typescript",
	".py": "text/x-python", ".sh": "text/x-shellscript", ".go": "text/x-go", ".rb": "text/x-ruby", ".sql": "application/sql",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp", ".svg": "image/svg+xml",
	".pdf": "application/pdf", ".zip": "application/zip", ".wasm": "application/wasm",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

// typeOf returns the MIME type of a file by its name, or fallback.
func typeOf(name, fallback string) string {
	return cmp.Or(contentTypes[string(bytes.ToLower([]byte(path.Ext(name))))], fallback)
}
