package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"reflect"
	"strings"
	"sync"

	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
	"github.com/go-json-experiment/json"
)

// ErrNoSkills reports a server that has not declared the skills extension.
var ErrNoSkills = errors.New("mcp: the server serves no skills")

// SkillError reports a skill that is not to be used: its entry breaks the rules of
// the extension, or a file is not what the entry says (SEP-2640, Integrity and
// Verification). If the skill has changed since, a new entry from [Skills.Get] helps;
// the user then approves it anew.
type SkillError struct {
	URI     string // of the skill or of its file
	Problem string
}

func (e *SkillError) Error() string { return fmt.Sprintf("skill %q: %s", clip(e.URI), e.Problem) }

// Skills are the skills of one server, as a host sees them (SEP-2640). It is safe
// for concurrent use.
//
// What a skill says is input of a stranger: a digest that fits shows that entry and
// file belong together, not that either is good. The user decides which skills are
// loaded, and [Skill].Files is what that decision is bound to.
type Skills struct {
	client      *Client
	directories bool
}

// Skills asks whether the server has skills. The error is [ErrNoSkills] if it has not.
func (c *Client) Skills(ctx context.Context) (*Skills, error) {
	d, err := c.Discover(ctx)
	if err != nil {
		return nil, fmt.Errorf("skills: %w", err)
	}
	settings := d.Capabilities.Extensions[ExtensionSkills]
	if !isObject(settings) {
		return nil, ErrNoSkills
	}
	return &Skills{client: c, directories: string(jsonrpc.Get(settings, "directoryRead")) == "true"}, nil
}

// List returns the entries of the skills that the server lists, of which it may have
// more. No file is read. An entry that breaks the rules is among them; [Skill.Check]
// says why, and Load refuses it.
func (s *Skills) List(ctx context.Context) ([]Skill, error) {
	return all(s.client, ctx, MethodListSkills, func(cursor *string) ([]Skill, *string, error) {
		page := new(ListSkillsResult)
		if err := s.client.call(ctx, MethodListSkills, pageParams{cursor}, page, nil); err != nil {
			return nil, nil, err
		}
		return page.Skills, page.NextCursor, nil
	})
}

// Get returns the entry of a skill, listed or not, by the URI of its SKILL.md.
func (s *Skills) Get(ctx context.Context, uri string) (*Skill, error) {
	var out struct {
		Skill *Skill `json:"skill"`
	}
	params := struct {
		URI string `json:"uri"`
	}{uri}
	if err := s.client.call(ctx, MethodGetSkill, params, &out, nil); err != nil {
		return nil, fmt.Errorf("skill %q: %w", clip(uri), err)
	}
	if out.Skill == nil || out.Skill.URI != uri {
		return nil, &SkillError{uri, "the server answered with the entry of another skill"}
	}
	return out.Skill, nil
}

// Directory returns what is directly in a directory of the server, such as
// [Skill.Root]. It says nothing of what a loaded skill may read: its entry does.
func (s *Skills) Directory(ctx context.Context, uri string) ([]Resource, error) {
	if !s.directories {
		return nil, fmt.Errorf("directory %q: the server does not read directories", clip(uri))
	}
	return all(s.client, ctx, MethodReadDirectory, func(cursor *string) ([]Resource, *string, error) {
		params := struct {
			URI    string  `json:"uri"`
			Cursor *string `json:"cursor,omitzero"`
		}{uri, cursor}
		page := new(ListResourcesResult)
		if err := s.client.call(ctx, MethodReadDirectory, params, page, nil); err != nil {
			return nil, nil, err
		}
		return page.Resources, page.NextCursor, nil
	})
}

// LoadedSkill is a skill whose SKILL.md was read and verified. It holds the entry by
// which all its files are verified. It is safe for concurrent use.
type LoadedSkill struct {
	Skill Skill
	// Text is the SKILL.md.
	Text string

	client *Client
	files  map[string]SkillFile // URI -> what the entry says; nil if dynamic

	mu   sync.Mutex
	left int64 // bytes that a dynamic skill may still read
}

// Load reads the SKILL.md of a skill that the user has agreed to, and nothing else.
// A text that is not what the entry says, in size, digest or frontmatter, is a
// *[SkillError]. A dynamic skill cannot be verified but for its frontmatter; who wants
// none checks [Skill].Dynamic before.
func (s *Skills) Load(ctx context.Context, skill *Skill) (*LoadedSkill, error) {
	if err := skill.Check(); err != nil {
		return nil, &SkillError{skill.URI, err.Error()}
	}
	l := &LoadedSkill{Skill: *skill, client: s.client, left: MaxSkillBytes}
	if !skill.Dynamic {
		l.files = make(map[string]SkillFile, len(skill.Files))
		for _, f := range skill.Files {
			l.files[f.URI] = f
		}
	}
	b, err := l.read(ctx, skill.URI)
	if err != nil {
		return nil, err
	}
	head, err := parseFrontmatter(b)
	if err != nil {
		return nil, &SkillError{skill.URI, err.Error()}
	}
	if name, ok := differs(skill.Frontmatter, head); ok {
		return nil, &SkillError{skill.URI, fmt.Sprintf("%s in the frontmatter is not what the entry says", clip(name))}
	}
	l.Text = string(b)
	return l, nil
}

// Read reads a file of the skill, by its URI or by its path from the skill's
// directory, as the skill refers to it. A file that the entry does not list, or
// whose bytes are not what it says, is a *[SkillError].
func (l *LoadedSkill) Read(ctx context.Context, ref string) ([]byte, error) {
	root := l.Skill.Root() + "/"
	if strings.HasPrefix(ref, root) {
		return l.read(ctx, ref)
	}
	ref = path.Clean(ref)
	if _, listed := l.files[root+ref]; !listed {
		// In a text it stands as in a file system, in a URI escaped.
		segments := strings.Split(ref, "/")
		for i, s := range segments {
			segments[i] = url.PathEscape(s)
		}
		if escaped := strings.Join(segments, "/"); l.files == nil || l.files[root+escaped].URI != "" {
			ref = escaped
		}
	}
	return l.read(ctx, root+ref)
}

func (l *LoadedSkill) read(ctx context.Context, uri string) ([]byte, error) {
	want, listed := l.files[uri]
	relative, within := strings.CutPrefix(uri, l.Skill.Root()+"/")
	if !within || !cleanPath(relative) || l.files != nil && !listed {
		return nil, &SkillError{uri, "not a file that the skill's entry lists"}
	}
	res, err := l.client.ReadResource(ctx, uri, nil)
	if err != nil {
		return nil, err
	}
	if len(res.Contents) != 1 || res.Contents[0].URI != uri {
		return nil, &SkillError{uri, "the server answered with something else"}
	}
	b := res.Contents[0].Blob
	if b == nil {
		b = []byte(res.Contents[0].Text)
	}
	if l.files == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.left -= int64(len(b)); l.left < 0 {
			return nil, &SkillError{uri, fmt.Sprintf("the skill has more than %d bytes", MaxSkillBytes)}
		}
		return b, nil
	}
	if size := int64(len(b)); size != want.Size {
		return nil, &SkillError{uri, fmt.Sprintf("%d bytes, where the entry says %d", size, want.Size)}
	}
	if sum := sha256.Sum256(b); want.Digest != "sha256:"+hex.EncodeToString(sum[:]) {
		return nil, &SkillError{uri, "the digest is not what the entry says"}
	}
	return b, nil
}

// differs returns the name of a member in which two objects are not the same.
func differs(a, b Raw) (name string, differ bool) {
	var x, y map[string]any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return "something", true
	}
	for _, pair := range [][2]map[string]any{{x, y}, {y, x}} {
		for name, value := range pair[0] {
			if other, ok := pair[1][name]; !ok || !reflect.DeepEqual(value, other) {
				return name, true
			}
		}
	}
	return "", false
}
