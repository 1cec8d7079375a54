package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Sample returns a file in which every key stands with its meaning and its
// default or an example, commented out. It loads as it is, and with any of its
// keys uncommented.
func Sample() string {
	var b strings.Builder
	b.WriteString(`# Configuration of Fairlead. Every key is shown with its default or an example;
# remove the # in front of a key to set it. "fairlead check" says what is wrong
# with this file. In texts, ${VAR}, ${VAR:-default}, ${env:VAR} and ${file:PATH}
# are filled in; $${ is a plain ${.
`)
	writeKeys(&b, "", "", keys[:len(keys)-1])
	up := keys[len(keys)-1]
	b.WriteString("\n")
	writeDoc(&b, "", &up)
	b.WriteString("upstreams:\n  #files:\n")
	var program, remote, registry, bundled []key
	for _, k := range upstreamKeys {
		switch {
		case k.form == formURL || k.form == formHeaders:
			remote = append(remote, k)
		case k.path == "server_json" || k.path == "server_from" || k.path == "inputs":
			registry = append(registry, k)
		case k.path == "bundle" || k.path == "bundle_hash":
			bundled = append(bundled, k)
		default:
			program = append(program, k)
		}
	}
	writeKeys(&b, "    ", "", program)
	b.WriteString("\n  #remote:\n")
	writeKeys(&b, "    ", "", remote)
	b.WriteString("\n  #registry:\n")
	writeKeys(&b, "    ", "", registry)
	b.WriteString("\n  #bundled:\n")
	writeKeys(&b, "    ", "", bundled)
	return b.String()
}

// writeKeys writes the rows; those with a common first part stand below it.
func writeKeys(b *strings.Builder, indent, section string, table []key) {
	for i := range table {
		k := table[i]
		deeper := indent
		name := k.path
		if first, rest, ok := strings.Cut(k.path, "."); ok {
			if first != section {
				section = first
				fmt.Fprintf(b, "\n%s%s%s:\n", indent, hash(indent), first)
			} else {
				b.WriteString("\n")
			}
			name, deeper = rest, indent+"  "
		} else if section = ""; i > 0 || indent == "" {
			b.WriteString("\n")
		}
		writeDoc(b, deeper, &k)
		fmt.Fprintf(b, "%s#%s: %s\n", deeper, name, orElse(k.def, k.example))
	}
}

// hash comments a section out where what is above it is commented out.
func hash(indent string) string {
	if indent == "" {
		return ""
	}
	return "#"
}

func writeDoc(b *strings.Builder, indent string, k *key) {
	words := strings.Fields(k.doc + k.choice() + k.life())
	line := indent + "#"
	for _, w := range words {
		if len(line)+1+len(w) > 96 {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + w
	}
	b.WriteString(line + "\n")
	switch {
	case k.defNote != "":
		fmt.Fprintf(b, "%s# Default: %s.\n", indent, k.defNote)
	case k.def != "":
		fmt.Fprintf(b, "%s# Default: %s.\n", indent, k.def)
	}
}

func (k *key) life() string {
	if !k.restart {
		return ""
	}
	return " Takes effect at the next start."
}

func (k *key) choice() string {
	if len(k.words) == 0 {
		return ""
	}
	return " One of " + strings.Join(k.words, ", ") + "."
}

// Reference returns docs/config.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Generated from internal/config/keys.go by "make generate". -->

Fairlead reads one YAML file: ` + "`fairlead serve --config fairlead.yaml`" + `. ` + "`fairlead config init`" + ` writes a
commented one, ` + "`fairlead check`" + ` says what is wrong with it, and ` + "`fairlead config schema`" + ` prints a JSON
schema for editors. The file is read strictly: unknown keys, keys that stand twice and values
that do not fit are errors with line and column, all reported at once. Anchors, aliases,
merge keys and tags are not read. A key without a value counts as not set.

## Values from outside

| in a text | becomes |
| --- | --- |
| ` + "`${VAR}`, `${env:VAR}`" + ` | the environment variable; an error when it is not set |
| ` + "`${VAR:-default}`" + ` | the environment variable, or the default when it is not set or empty |
| ` + "`${file:PATH}`" + ` | the content of the file, up to 64 KiB, without the newline at its end |
| ` + "`$${`" + ` | ` + "`${`" + ` |

` + "`$VAR` without braces stays as it is. Inside `[ ]` and `{ }` a text with `${...}` needs quotes." + `
What is filled in is not searched again. Values of ` + "`env` and `headers`" + ` are kept as secrets: they
appear in no log, message or answer. Relative paths start at the directory of the file, and
` + "`~`" + ` is the home directory. Durations are written ` + "`500ms`, `30s`, `5m`, `1h30m`; sizes `512KiB`, `4MiB`, `1GiB`" + `,
or as a number of bytes.

## Keys

`)
	b.WriteString(table("", keys))
	b.WriteString("\n## Keys of `auth.tokens[]`\n\n" + table("", tokenKeys))
	b.WriteString("\n## Keys of `upstreams.NAME`\n\n" + table("", upstreamKeys))
	b.WriteString("\n## Keys of `virtual.NAME`\n\n" + table("", virtualKeys))
	b.WriteString("\n## Keys of `virtual.NAME.tools[]` and `virtual.NAME.prompts[]`\n\n" + table("", pickKeys))
	b.WriteString("\nEntries of `virtual.NAME.resources[]` have `from` and `names`.\n")
	b.WriteString(`
## Files of MCP clients

` + "`fairlead serve --mcp-servers FILE`" + ` reads the file of a client instead: JSON with comments and
trailing commas, with ` + "`mcpServers` (Claude, Cursor and most others) or `servers`" + ` (VS Code) at its top.

| key | meaning |
| --- | --- |
` + "| `command`, `args`, `env`, `cwd`, `url`, `headers` | as above |\n" +
		"| `type` | `stdio`, or `http` (also `streamable-http`); `sse` is not supported yet, and such a server is left out with a message |\n" +
		"| `envFile` | a file of `NAME=value` lines; `env` wins |\n" +
		"| `timeout` | of one call: milliseconds from 1000 on, seconds below, or a text such as `\"30s\"` |\n" +
		"| `disabled` | `true` leaves the server out |\n" + `
Other keys are left out with a warning. Besides the forms above, ` + "`${workspaceFolder}`, `${workspaceFolderBasename}`, `${userHome}` and `${pathSeparator}`" + `
are filled in. ` + "`${input:...}`" + ` is an error, since nobody is there to ask. Relative paths start at the
directory of the file, or above it when that is ` + "`.vscode` or `.cursor`" + `. Names that cannot be the name of an
upstream are changed with a warning.

## Sample

` + "```yaml\n" + Sample() + "```\n")
	return b.String()
}

func table(prefix string, rows []key) string {
	var b strings.Builder
	b.WriteString("| key | value | default | meaning |\n| --- | --- | --- | --- |\n")
	for i := range rows {
		k := &rows[i]
		def := k.defNote
		if k.def != "" {
			def = "`" + k.def + "`"
		}
		form := k.form.name
		if len(k.words) > 0 {
			form = "`" + strings.Join(k.words, "`, `") + "`"
		}
		cell := strings.NewReplacer("|", "\\|")
		fmt.Fprintf(&b, "| `%s%s` | %s | %s | %s |\n", prefix, k.path, form, cell.Replace(def), cell.Replace(k.doc+k.life()))
	}
	return b.String()
}

// Schema returns a JSON schema (2020-12) of the file, for editors. Load checks more.
func Schema() string {
	root := objectSchema(keys)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Fairlead configuration"
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // maps, strings and numbers always encode
	}
	return string(out) + "\n"
}

func objectSchema(rows []key) map[string]any {
	root := emptyObject()
	for i := range rows {
		k, in := &rows[i], root
		name := k.path
		if first, rest, ok := strings.Cut(k.path, "."); ok {
			props := root["properties"].(map[string]any)
			if props[first] == nil {
				props[first] = emptyObject()
			}
			in, name = props[first].(map[string]any), rest
		}
		s := k.schema()
		s["description"] = k.doc
		if k.def != "" {
			s["default"] = k.def
		}
		in["properties"].(map[string]any)[name] = s
	}
	return root
}

func emptyObject() map[string]any {
	return map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": map[string]any{}}
}

func (k *key) schema() map[string]any {
	const filled = `\$\{` // a text that is filled in may become anything
	pattern := func(types any, p string) map[string]any {
		return map[string]any{"type": types, "pattern": p + "|" + filled}
	}
	scalar := []string{"string", "number", "boolean", "null"}
	list := func(items any) map[string]any {
		return map[string]any{"type": []string{"array", "null"}, "items": items}
	}
	byName := func(names string, values any) map[string]any {
		return map[string]any{"type": []string{"object", "null"}, "propertyNames": map[string]any{"pattern": names}, "additionalProperties": values}
	}
	switch k.form {
	case formWord:
		return pattern([]string{"string", "null"}, "^("+strings.Join(k.words, "|")+")$")
	case formDuration:
		return pattern([]string{"string", "null"}, `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`)
	case formSize:
		return pattern([]string{"string", "integer", "null"}, `^[0-9]+ *([KMG]i?B|B)?$`)
	case formCount:
		return pattern([]string{"string", "integer", "null"}, `^[0-9]+$`)
	case formCPU:
		return pattern([]string{"string", "number", "null"}, `^[0-9]*[.]?[0-9]+$`)
	case formBool:
		return pattern([]string{"boolean", "string", "null"}, `^(true|false)$`)
	case formHash:
		return pattern("string", `^sha256:[0-9A-Fa-f]{64}$`)
	case formFrom, formNamePatterns:
		return map[string]any{"type": []string{"array", "string", "null"}, "items": map[string]any{"type": scalar[:3]}}
	case formInstances:
		return pattern([]string{"string", "integer", "null"}, "^(auto|shared|principal|session|[1-9][0-9]?)$")
	case formTimeouts:
		return byName(`^[^\[\]{}\\ ]+$`, pattern("string", `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`))
	case formValues:
		return map[string]any{"type": []string{"object", "null"}}
	case formInputs:
		return byName("^.+$", map[string]any{"type": scalar[:3]})
	case formSizes:
		return byName("^[^\\s\\[\\]{}]+$", pattern([]string{"string", "integer"}, `^[0-9]+ *([KMG]i?B|B)?$`))
	case formPicks, formResourcePicks:
		item := objectSchema(pickKeys)
		if k.form == formResourcePicks {
			item = objectSchema(resourcePickKeys)
		}
		item["type"], item["required"] = "object", []string{"from"}
		return list(item)
	case formVirtual:
		item := objectSchema(virtualKeys)
		item["type"] = "object"
		return byName(upstreamName.String(), item)
	case formTexts, formNames, formGlobs, formOrigins, formLabels:
		return list(map[string]any{"type": scalar[:3]})
	case formEnv:
		return byName(envName.String(), map[string]any{"type": scalar[:3]})
	case formHeaders:
		return byName(headerName.String(), map[string]any{"type": scalar[:3]})
	case formTokens:
		item := objectSchema(tokenKeys)
		item["type"], item["required"] = "object", []string{"name", "hash"}
		return list(item)
	case formUpstreams:
		item := objectSchema(upstreamKeys)
		item["type"] = "object"
		item["oneOf"] = []any{map[string]any{"required": []string{"command"}}, map[string]any{"required": []string{"url"}}, map[string]any{"required": []string{"server_json"}}, map[string]any{"required": []string{"bundle", "bundle_hash"}}}
		return byName(upstreamName.String(), item)
	}
	return map[string]any{"type": scalar}
}
