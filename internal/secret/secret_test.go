package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/secret"
)

const value = "hunter2-5f1e"

type holder struct {
	Name   string
	Public secret.Text
	Map    map[string]secret.Text
	hidden secret.Text
}

func TestNeverPrints(t *testing.T) {
	s := secret.New(value)
	h := holder{Name: "n", Public: s, Map: map[string]secret.Text{"k": s}, hidden: s}
	marshal := func(b []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	logged := func(handler func(*bytes.Buffer) slog.Handler) string {
		var out bytes.Buffer
		slog.New(handler(&out)).Info("m", "s", s, "h", h, "p", &s)
		return out.String()
	}
	v2 := func(v any) string { b, err := jsonv2.Marshal(v); return marshal(b, err) }
	tests := map[string]string{
		"String":       s.String(),
		"GoString":     s.GoString(),
		"%v":           fmt.Sprintf("%v", s),
		"%+v":          fmt.Sprintf("%+v", s),
		"%#v":          fmt.Sprintf("%#v", s),
		"%s":           fmt.Sprintf("%s", s),
		"%q":           fmt.Sprintf("%q", s),
		"%x":           fmt.Sprintf("%x", s),
		"%d":           fmt.Sprintf("%d", s),
		"pointer":      fmt.Sprintf("%v", &s),
		"slice":        fmt.Sprint([]secret.Text{s}),
		"error":        fmt.Errorf("with %v: %w", s, errors.New("x")).Error(),
		"json":         marshal(json.Marshal(s)),
		"json v2":      v2(s),
		"json map key": marshal(json.Marshal(map[secret.Text]int{s: 1})),
		"yaml":         marshal(yaml.Marshal(s)),
		"xml":          marshal(xml.Marshal(s)),
		"slog text":    logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }),
		"slog json":    logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }),
		"struct %v":    fmt.Sprintf("%v", h),
		"struct %+v":   fmt.Sprintf("%+v", h),
		"struct %#v":   fmt.Sprintf("%#v", h),
		"struct json":  marshal(json.Marshal(h)),
		"struct yaml":  marshal(yaml.Marshal(h)),
	}
	for name, got := range tests {
		if strings.Contains(got, value) || strings.Contains(got, fmt.Sprintf("%x", value)) {
			t.Errorf("%s: the value is in %q", name, got)
		}
		if !strings.Contains(got, "[redacted]") {
			t.Errorf("%s: got %q, want it to say [redacted]", name, got)
		}
	}
}

func TestRevealAndEqual(t *testing.T) {
	var zero secret.Text
	s := secret.New(value)
	if s.Reveal() != value || zero.Reveal() != "" {
		t.Errorf("Reveal: got %q and %q", s.Reveal(), zero.Reveal())
	}
	if !zero.IsZero() || s.IsZero() || !secret.New("").IsZero() {
		t.Error("IsZero: wrong answer")
	}
	if !s.Equal(secret.New(value)) || s.Equal(zero) || s.Equal(secret.New(value+"x")) {
		t.Error("Equal: wrong answer")
	}
	if diff := cmp.Diff(map[string]secret.Text{"a": s}, map[string]secret.Text{"a": secret.New(value)}); diff != "" {
		t.Errorf("cmp uses Equal (-want +got):\n%s", diff)
	}
}
