package config

import (
	"bytes"
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads one document of plain YAML: no anchors, aliases, merge keys
// or tags, which hide what a file says and which no config needs. It returns
// nil for an empty file and when problems were added.
func (p *problems) parseYAML(data []byte) (root *node) {
	if !p.legible(data, maxYAML) {
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	// The parser is not ours: what it does not survive is a message about the
	// file and not the end of the process.
	defer func() {
		if recover() != nil {
			p.add(place{}, "", "", "this is not YAML")
			root = nil
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if !p.plain(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		p.syntax(err, data)
		return nil
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		next := p.fromYAML(doc.Body)
		if root != nil {
			p.add(next.place, "", "keep one document, without --- between", "a second document")
			return nil
		}
		root = next
	}
	return root
}

// plain looks at the tokens before the parser does, whose time grows with the
// square of their number and of their depth.
func (p *problems) plain(tokens token.Tokens) bool {
	if len(tokens) > maxParts {
		p.add(placeOfToken(tokens[maxParts]), "", "", "the file has more than %d words and signs", maxParts)
		return false
	}
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		at := placeOfToken(t)
		if at.line != line {
			line, entries = at.line, 0
		}
		unplain := ""
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			entries++
		case token.AnchorType, token.AliasType:
			unplain = "anchors and aliases (& and *) are not read here"
		case token.MergeKeyType:
			unplain = "merge keys (<<) are not read here"
		case token.TagType:
			unplain = "tags (!) are not read here"
		case token.MappingKeyType:
			unplain = "complex keys (?) are not read here"
		case token.DirectiveType:
			unplain = "directives (%) are not read here"
		}
		if unplain != "" {
			p.add(at, "", "write the value out, or quote it if it is a text", "%s", unplain)
			return false
		}
		// Inside [ ] and { } many colons on a line are siblings, not depth.
		if flow > maxDepth || flow == 0 && entries > maxDepth {
			p.add(at, "", "", "more than %d values inside each other", maxDepth)
			return false
		}
	}
	return true
}

func (p *problems) syntax(err error, data []byte) {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		p.add(place{}, "", "", "this is not YAML: %v", err)
		return
	}
	at, hint := placeOfToken(e.GetToken()), ""
	lines := strings.Split(string(data), "\n")
	line := lines[min(max(at.line-1, 0), len(lines)-1)]
	switch {
	case strings.Contains(line, "${") && strings.ContainsAny(line, "[{"):
		hint = `put quotes around "${...}" inside [ ] and { }`
	case strings.Contains(line, "\t"):
		hint = "indent with spaces, not with tabs"
	case strings.Count(line, ": ") > 1:
		hint = "put quotes around a value that has a colon in it"
	}
	p.add(at, "", hint, "this is not YAML: %s", e.GetMessage())
}

func (p *problems) fromYAML(n ast.Node) *node {
	out := &node{place: placeOfToken(n.GetToken())}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		out.kind, out.text = text, n.Value
	case *ast.LiteralNode:
		out.kind, out.text = text, n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind, out.text = number, n.GetToken().Value
	case *ast.BoolNode:
		out.kind, out.text = boolean, n.GetToken().Value
	case *ast.SequenceNode:
		out.kind = list
		for _, v := range n.Values {
			out.items = append(out.items, p.fromYAML(v))
		}
	case *ast.MappingNode:
		out.kind = object
		for _, v := range n.Values {
			out.fields = append(out.fields, p.fieldFromYAML(v))
		}
	case *ast.MappingValueNode:
		out.kind, out.fields = object, []field{p.fieldFromYAML(n)}
	default:
		p.add(out.place, "", "write a plain value", "this kind of YAML is not read here")
	}
	if len(out.fields) > 0 {
		out.place = out.fields[0].place
	}
	return out
}

func (p *problems) fieldFromYAML(v *ast.MappingValueNode) field {
	key := v.Key.GetToken()
	f := field{place: placeOfToken(key), key: key.Value, value: &node{place: placeOfToken(key)}}
	if v.Value != nil {
		f.value = p.fromYAML(v.Value)
	}
	return f
}

func placeOfToken(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, t.Position.Column}
}
