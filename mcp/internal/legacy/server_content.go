package legacy

import (
	"fmt"
	"strconv"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// A client ignores members that it does not know, but a block of an unknown type
// makes a strict one refuse the whole result. So blocks that came after the session's
// revision are replaced by what it knows. The types are those of the latest revision
// since 2025-06-18; until then each block is looked at.

// downgradeMessages replaces the content of a prompt's messages.
func (s *Session) downgradeMessages(body []byte) []byte {
	if s.version.Has(mcp.FeatureResourceLink) {
		return body
	}
	return replaceElements(body, "messages", func(i int, message []byte) []byte {
		block := jsonrpc.Get(message, "content")
		if now := s.block(i, block, true); now != nil {
			return jsonrpc.Splice(nil, message, jsonrpc.Member{Key: "content", Value: now})
		}
		return nil
	})
}

// downgradeContent replaces the blocks of a tool's result.
func (s *Session) downgradeContent(body []byte) []byte {
	if s.version.Has(mcp.FeatureResourceLink) {
		return body
	}
	return replaceElements(body, "content", func(i int, block []byte) []byte { return s.block(i, block, true) })
}

// replaceElements replaces elements of a list in an object by what change returns; nil
// keeps one. Mostly all are kept, and then nothing is copied.
func replaceElements(body []byte, member string, change func(i int, element []byte) []byte) []byte {
	elements := jsonrpc.Get(body, member)
	i, kept := 0, true
	for element := range jsonrpc.Elements(elements) {
		if kept = change(i, element) == nil; !kept {
			break
		}
		i++
	}
	if kept {
		return body
	}
	list := append(make([]byte, 0, len(elements)+64), '[')
	i = 0
	for element := range jsonrpc.Elements(elements) {
		if i > 0 {
			list = append(list, ',')
		}
		if now := change(i, element); now != nil {
			element = now
		}
		list = append(list, element...)
		i++
	}
	return jsonrpc.Splice(make([]byte, 0, len(body)+64), body, jsonrpc.Member{Key: member, Value: append(list, ']')})
}

// block returns what stands for a content block that the revision does not know; nil
// for one that it knows. i is its number, embed whether resources may be embedded.
func (s *Session) block(i int, block []byte, embed bool) []byte {
	typ, _ := jsonrpc.Unquote(jsonrpc.Get(block, "type"))
	switch typ {
	case "text", "image":
		return nil
	case "resource":
		if embed {
			return nil
		}
	case "audio":
		if s.version.Has(mcp.FeatureAudio) {
			return nil
		}
		if embed {
			return embedded(i, block)
		}
	case "resource_link":
		return asText(block, linkText(block))
	}
	return asText(block, "[Content of the type "+strconv.Quote(fmt.Sprintf("%.64s", typ))+" is left out: the client's revision of the protocol does not know it.]")
}

// asText makes a text of a block, with the block's annotations and metadata.
func asText(block []byte, text string) []byte {
	return jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "type", Value: []byte(`"text"`)},
		jsonrpc.Member{Key: "text", Value: jsonrpc.AppendString(nil, text)},
		jsonrpc.Member{Key: "annotations", Value: jsonrpc.Get(block, "annotations")},
		jsonrpc.Member{Key: "_meta", Value: jsonrpc.Get(block, "_meta")},
	)
}

// embedded makes an embedded resource of a sound, which 2024-11-05 has no block for.
func embedded(i int, block []byte) []byte {
	resource := jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "uri", Value: jsonrpc.AppendString(nil, "embedded://audio/"+strconv.Itoa(i))},
		jsonrpc.Member{Key: "mimeType", Value: jsonrpc.Get(block, "mimeType")},
		jsonrpc.Member{Key: "blob", Value: jsonrpc.Get(block, "data")},
	)
	return jsonrpc.Splice(nil, nil,
		jsonrpc.Member{Key: "type", Value: []byte(`"resource"`)},
		jsonrpc.Member{Key: "resource", Value: resource},
		jsonrpc.Member{Key: "annotations", Value: jsonrpc.Get(block, "annotations")},
		jsonrpc.Member{Key: "_meta", Value: jsonrpc.Get(block, "_meta")},
	)
}

// linkText says in words what a resource link says: its name, address, type and description.
func linkText(block []byte) string {
	member := func(name string) string {
		text, _ := jsonrpc.Unquote(jsonrpc.Get(block, name))
		return text
	}
	text := member("title")
	if text == "" {
		text = member("name")
	}
	text = "Resource " + text + ": " + member("uri")
	if typ := member("mimeType"); typ != "" {
		text += " (" + typ + ")"
	}
	if description := member("description"); description != "" {
		text += "\n" + description
	}
	return text
}

// plainProperties returns a schema whose properties are objects, which the revisions
// with sessions require of them: true is {}, and false is {"not":{}}. It is nil for a
// schema that needs no change.
func plainProperties(schema []byte) []byte {
	properties := jsonrpc.Get(schema, "properties")
	var edits []jsonrpc.Member
	for name, property := range jsonrpc.Members(properties) {
		switch string(property) {
		case "true":
			edits = append(edits, jsonrpc.Member{Key: name, Value: []byte(`{}`)})
		case "false":
			edits = append(edits, jsonrpc.Member{Key: name, Value: []byte(`{"not":{}}`)})
		}
	}
	if edits == nil {
		return nil
	}
	return jsonrpc.Splice(nil, schema, jsonrpc.Member{Key: "properties", Value: jsonrpc.Splice(nil, properties, edits...)})
}
