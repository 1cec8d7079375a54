package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// Virtual is a server made of chosen things of the upstreams.
type Virtual struct {
	Name         string
	Instructions string
	Tools        []Pick // in the order of the file, which decides collisions
	Prompts      []Pick
	Resources    []Pick // and resource templates
	ToolSearch   bool
}

// Pick chooses things of upstreams. The first pick that names a thing has it: a
// pattern of a later one leaves it out.
type Pick struct {
	From        []string               // names of upstreams, patterns of such names, label:NAME
	Names       []string               // patterns of names or URIs; empty for all
	As          string                 // new name of the one thing that is chosen
	Prefix      string                 // before each name
	Title       string                 // empty for the upstream's own
	Description string                 // empty for the upstream's own
	Defaults    map[string]string      // argument -> JSON, used when a caller gives none
	Fixed       map[string]secret.Text // argument -> JSON, used in every call and not shown
}

// labelPrefix marks a label in Pick.From.
const labelPrefix = "label:"

// Chooses reports whether the pick is from u.
func (p *Pick) Chooses(u *Upstream) bool {
	return slices.ContainsFunc(p.From, func(from string) bool {
		if label, ok := strings.CutPrefix(from, labelPrefix); ok {
			return slices.Contains(u.Labels, label)
		}
		return matchName(from, u.Name)
	})
}

// plain reports whether a pattern stands for itself alone.
func plain(pattern string) bool { return !strings.ContainsAny(pattern, "*?") }

// matchName reports whether a pattern matches the name of an upstream.
func matchName(pattern, name string) bool {
	if plain(pattern) {
		return pattern == name
	}
	quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	ok, err := regexp.MatchString(`\A`+quoted+`\z`, name)
	return ok && err == nil
}

func (d *decoder) virtuals(k *key, path string, n *node) (out []Virtual) {
	if n.kind != object {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	for _, f := range n.fields {
		at := join(path, f.key)
		d.places[at] = f.place
		v := Virtual{Name: f.key}
		d.section(f.value, at, "", virtualKeys, &target{virtual: &v})
		out = append(out, v)
	}
	return out
}

func (d *decoder) picks(k *key, path string, n *node) (out []Pick) {
	if n.kind != list {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return nil
	}
	table := pickKeys
	if k.form == formResourcePicks {
		table = resourcePickKeys
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = item.place
		if item.kind != object {
			d.wrong(k, at, item, fmt.Sprintf("this is %s", item.kind))
			continue
		}
		var p Pick
		d.section(item, at, "", table, &target{pick: &p})
		if v := item.get("from"); v == nil || v.kind == null {
			d.add(item.place, at, "add from: NAME, the upstream to choose from", "from is missing")
		}
		out = append(out, p)
	}
	return out
}

// values reads arguments: any value that JSON can say, as JSON.
func (d *decoder) values(k *key, path string, n *node, set func(name, value string)) {
	if n.kind != object {
		d.wrong(k, path, n, fmt.Sprintf("this is %s", n.kind))
		return
	}
	for _, f := range n.fields {
		at := join(path, f.key)
		d.places[at] = f.place
		var out bytes.Buffer
		if d.json(&out, k, at, f.value) {
			set(f.key, out.String())
		}
	}
}

// json writes n as JSON, with the ${...} of its texts filled in.
func (d *decoder) json(out *bytes.Buffer, k *key, path string, n *node) bool {
	switch n.kind {
	case null:
		out.WriteString("null")
	case list:
		out.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				out.WriteByte(',')
			}
			if !d.json(out, k, fmt.Sprintf("%s[%d]", path, i), item) {
				return false
			}
		}
		out.WriteByte(']')
	case object:
		out.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				out.WriteByte(',')
			}
			writeJSON(out, f.key)
			out.WriteByte(':')
			if !d.json(out, k, join(path, f.key), f.value) {
				return false
			}
		}
		out.WriteByte('}')
	case text:
		s, ok := d.scalar(k, path, n)
		if !ok {
			return false
		}
		if _, what := checkText(d, s); what != "" {
			d.add(n.place, path, "", "%s", what)
			return false
		}
		writeJSON(out, s)
	default: // a number or boolean; YAML has some that JSON has not, such as .inf and 0x10
		if !json.Valid([]byte(n.text)) {
			d.add(n.place, path, "write it as JSON does, or put it in quotes if it is a text", "%s has no form in JSON", shorten(n.text))
			return false
		}
		out.WriteString(n.text)
	}
	return true
}

func writeJSON(out *bytes.Buffer, s string) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	out.Truncate(out.Len() - 1)
}

var thingName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// virtualProblems holds the virtual servers against the upstreams and each other.
func (c *Config) virtualProblems() (out []problem) {
	for i := range c.Virtual {
		v := &c.Virtual[i]
		base := join("virtual", v.Name)
		switch {
		case !validName(v.Name):
			out = append(out, problem{base, "this cannot be the name of a virtual server", fmt.Sprintf("write %q: up to 32 lower-case letters, digits, - and _, no __ and no _ at the end", cleanName(v.Name))})
		case slices.ContainsFunc(c.Upstreams, func(u Upstream) bool { return u.Name == v.Name }):
			out = append(out, problem{base, "an upstream has this name, and both would be at /mcp/" + v.Name, "write another name"})
		case len(v.Tools)+len(v.Prompts)+len(v.Resources) == 0:
			out = append(out, problem{base, "nothing is chosen", "add tools: [{from: NAME}], or prompts or resources"})
		}
		for _, group := range []struct {
			key   string
			picks []Pick
		}{{"tools", v.Tools}, {"prompts", v.Prompts}, {"resources", v.Resources}} {
			names := map[string]string{} // name -> what has it
			for j := range group.picks {
				p, at := &group.picks[j], fmt.Sprintf("%s.%s[%d]", base, group.key, j)
				out = append(out, c.pickProblems(p, at)...)
				if group.key == "resources" || len(p.From) != 1 || !plain(p.From[0]) {
					continue
				}
				for _, own := range p.Names {
					name, thing := orElse(p.As, p.Prefix+own), p.From[0]+" "+own
					if !plain(own) {
						continue
					}
					if had, taken := names[name]; taken {
						what := "another entry has this name already"
						if had == thing {
							what = "another entry has the same under the same name"
						}
						out = append(out, problem{at, fmt.Sprintf("%q: %s", name, what), "write as: NAME with another name, or remove it"})
						continue
					}
					names[name] = thing
				}
			}
		}
	}
	return out
}

func (c *Config) pickProblems(p *Pick, at string) (out []problem) {
	for i, from := range p.From {
		label, isLabel := strings.CutPrefix(from, labelPrefix)
		one := Pick{From: []string{from}}
		switch {
		case from == "*" || slices.ContainsFunc(c.Upstreams, func(u Upstream) bool { return one.Chooses(&u) }):
			continue
		case isLabel:
			out = append(out, problem{fmt.Sprintf("%s.from[%d]", at, i), fmt.Sprintf("no upstream has the label %q", label), "write labels: [" + label + "] at an upstream, or another label"})
		case plain(from):
			var names []string
			for j := range c.Upstreams {
				names = append(names, c.Upstreams[j].Name)
			}
			hint := "the upstreams are " + strings.Join(names, ", ")
			if near := nearest(from, names); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			} else if len(names) == 0 {
				hint = "add it to upstreams"
			}
			out = append(out, problem{fmt.Sprintf("%s.from[%d]", at, i), fmt.Sprintf("there is no upstream %q", from), hint})
		default:
			out = append(out, problem{fmt.Sprintf("%s.from[%d]", at, i), fmt.Sprintf("no upstream has a name like %q", from), "write the name of an upstream, a pattern, or label:NAME"})
		}
	}
	one := len(p.Names) == 1 && plain(p.Names[0])
	for _, odd := range []struct {
		key   string
		isSet bool
	}{{"as", p.As != ""}, {"title", p.Title != ""}, {"description", p.Description != ""}} {
		if odd.isSet && !one {
			out = append(out, problem{at + "." + odd.key, "this is for one thing, and names is not one plain name", "write names: [NAME], with one name and no * or ?"})
		}
	}
	switch {
	case p.As != "" && p.Prefix != "":
		out = append(out, problem{at + ".prefix", "both as and prefix", "write one of them"})
	case p.As != "" && !thingName.MatchString(p.As):
		out = append(out, problem{at + ".as", "not a name that every client takes", "write up to 64 letters, digits, _, - and ."})
	case p.Prefix != "" && !thingName.MatchString(p.Prefix):
		out = append(out, problem{at + ".prefix", "not a part of a name that every client takes", "write letters, digits, _, - and ."})
	}
	for name := range p.Fixed {
		if _, both := p.Defaults[name]; both {
			out = append(out, problem{join(at+".defaults", name), "this argument is fixed, so its default is never used", "remove it from one of them"})
		}
	}
	return out
}
