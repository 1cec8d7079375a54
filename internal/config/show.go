package config

import (
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

// Shown is the config under the names of the file, ready to be encoded: what a node
// runs with, defaults filled in. It is made from the tables of keys, so that no key
// can be missing. Values that may be secret are redacted.
func (c *Config) Shown() map[string]any {
	return shown(keys, &target{config: c})
}

// shown has a value for each key of a table.
func shown(table []key, t *target) map[string]any {
	out := map[string]any{}
	for i := range table {
		k := &table[i]
		at, name := out, k.path
		for {
			head, rest, nested := strings.Cut(name, ".")
			if !nested {
				break
			}
			if at[head] == nil {
				at[head] = map[string]any{}
			}
			at, name = at[head].(map[string]any), rest
		}
		at[name] = shownValue(reflect.ValueOf(k.field(t)).Elem())
	}
	return out
}

// shownValue is a value as one would write it.
func shownValue(v reflect.Value) any {
	switch v := v.Interface().(type) {
	case time.Duration:
		return v.String()
	case ByteSize:
		return v.String()
	case Hash:
		if v == (Hash{}) {
			return ""
		}
		return v.String()
	case slog.Level:
		return strings.ToLower(v.String())
	case secret.Text:
		return v // which encodes as what it is
	case []Token:
		return shownList(v, func(t *Token) map[string]any { return shown(tokenKeys, &target{token: t}) })
	case []Upstream:
		return shownNamed(v, func(u *Upstream) (string, map[string]any) { return u.Name, shown(upstreamKeys, &target{upstream: u}) })
	case []Virtual:
		return shownNamed(v, func(s *Virtual) (string, map[string]any) { return s.Name, shown(virtualKeys, &target{virtual: s}) })
	case []Pick:
		return shownList(v, func(p *Pick) map[string]any { return shown(pickKeys, &target{pick: p}) })
	case []Timeout:
		out := map[string]any{}
		for _, t := range v {
			out[t.For] = t.Limit.String()
		}
		return out
	}
	switch v.Kind() {
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = shownValue(v.Index(i))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for name, value := range v.Seq2() {
			out[name.String()] = shownValue(value)
		}
		return out
	}
	return v.Interface()
}

func shownList[T any](list []T, show func(*T) map[string]any) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = show(&list[i])
	}
	return out
}

func shownNamed[T any](list []T, show func(*T) (string, map[string]any)) map[string]any {
	out := map[string]any{}
	for i := range list {
		name, value := show(&list[i])
		out[name] = value
	}
	return out
}
