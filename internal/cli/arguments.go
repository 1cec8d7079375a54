package cli

import (
	"fmt"
	"io"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/jsonrpc"
)

// parameter is what the command line needs to know of one property of a tool's
// input: the types that its schema allows. Other keywords are the server's business.
type parameter struct {
	Type  any            `json:"type"` // a name or a list of names
	Items jsontext.Value `json:"items"`
}

func (p parameter) types() []string {
	switch t := p.Type.(type) {
	case string:
		return []string{t}
	case []any:
		var names []string
		for _, v := range t {
			if s, ok := v.(string); ok {
				names = append(names, s)
			}
		}
		return names
	}
	return nil
}

// arguments makes the JSON object of --arg flags, typed by the tool's input schema.
func arguments(tool *mcp.Tool, flags []string) (mcp.Raw, error) {
	var schema struct {
		Properties map[string]jsontext.Value `json:"properties"`
		Additional jsontext.Value            `json:"additionalProperties"`
	}
	if err := json.Unmarshal(tool.InputSchema, &schema); err != nil {
		return nil, fmt.Errorf("input schema of %s: %w", tool.Name, err)
	}
	values := map[string][]string{}
	var order []string
	for _, flag := range flags {
		key, value, ok := strings.Cut(flag, "=")
		if !ok || key == "" {
			return nil, misused("write it as --arg name=value", "--arg %s has no name or no value", flag)
		}
		if _, known := schema.Properties[key]; !known && string(schema.Additional) == "false" {
			names := slices.Sorted(maps.Keys(schema.Properties))
			return nil, misused("the parameters are: "+strings.Join(names, ", "), "%s has no parameter %q%s", tool.Name, key, didYouMean(key, names))
		}
		if values[key] == nil {
			order = append(order, key)
		}
		values[key] = append(values[key], value)
	}
	var members []jsonrpc.Member
	for _, key := range order {
		var p parameter
		if raw := schema.Properties[key]; len(raw) > 0 && raw[0] == '{' {
			if err := json.Unmarshal(raw, &p); err != nil {
				p = parameter{} // an odd schema: the value decides, and the server checks
			}
		}
		value, err := typed(p, values[key])
		if err != nil {
			return nil, misused("write it as --arg "+key+"=VALUE", "--arg %s: %w", key, err)
		}
		members = append(members, jsonrpc.Member{Key: key, Value: value})
	}
	return jsonrpc.Splice(nil, nil, members...), nil
}

// typed turns the values of one flag into JSON. A repeated flag makes an array.
func typed(p parameter, values []string) ([]byte, error) {
	types := p.types()
	if slices.Contains(types, "array") && (len(values) > 1 || !strings.HasPrefix(strings.TrimSpace(values[0]), "[")) {
		var item parameter
		if len(p.Items) > 0 && p.Items[0] == '{' {
			if err := json.Unmarshal(p.Items, &item); err != nil {
				item = parameter{}
			}
		}
		out := []byte{'['}
		for i, v := range values {
			if i > 0 {
				out = append(out, ',')
			}
			raw, err := scalar(item.types(), v)
			if err != nil {
				return nil, err
			}
			out = append(out, raw...)
		}
		return append(out, ']'), nil
	}
	if len(values) > 1 {
		return nil, fmt.Errorf("given %d times, but it is not a list", len(values))
	}
	return scalar(types, values[0])
}

func scalar(types []string, value string) ([]byte, error) {
	whole := jsonrpc.Valid([]byte(value), nil) == nil
	kind := byte('x')
	if whole {
		kind = strings.TrimSpace(value)[0]
	}
	for _, t := range types {
		fits := false
		switch t {
		case "integer":
			f, ok := new(big.Float).SetString(value)
			fits = whole && ok && f.IsInt()
		case "number":
			fits = kind == '-' || kind >= '0' && kind <= '9'
		case "boolean":
			fits = value == "true" || value == "false"
		case "null":
			fits = value == "null" && !slices.Contains(types, "string")
		case "object":
			fits = kind == '{'
		case "array":
			fits = kind == '['
		case "string":
			return jsonrpc.AppendString(nil, value), nil
		}
		if fits {
			return []byte(value), nil
		}
	}
	switch {
	case len(types) > 0:
		return nil, fmt.Errorf("%q is not of type %s", value, strings.Join(types, " or "))
	case whole:
		return []byte(value), nil
	default:
		return jsonrpc.AppendString(nil, value), nil
	}
}

// maxInput bounds arguments read from a file or standard input, in bytes.
const maxInput = 16 << 20

// input reads the arguments object from a file, or from standard input for "-".
func (a *app) input(name string) (mcp.Raw, error) {
	r := a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, failed("--input names a file with a JSON object", "read the arguments: %w", err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxInput))
	if err != nil {
		return nil, failed("pipe a JSON object into the command", "read the arguments: %w", err)
	}
	data = []byte(strings.TrimSpace(string(data)))
	if err := jsonrpc.Valid(data, nil); err != nil {
		return nil, failed(`write a JSON object, as in {"text": "hello"}`, "the arguments are not valid JSON: %w", err)
	}
	if data[0] != '{' {
		return nil, failed(`write a JSON object, as in {"text": "hello"}`, "the arguments are not a JSON object")
	}
	return data, nil
}

// didYouMean names the known word nearest to got, if one is near.
func didYouMean(got string, known []string) string {
	best, least := "", 1+len(got)/3
	for _, k := range known {
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d <= least {
			best, least = k, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is the number of bytes to insert, delete or replace to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
