package gateway

// This file sees inside because which URIs a template matches shows outside only as
// who is asked, one server per template.

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
)

func TestTemplates(t *testing.T) {
	for _, tt := range []struct {
		template, uri string
		want          bool
	}{
		{"file:///{path}", "file:///a", true},
		{"file:///{path}", "file:///a/b", false},
		{"file:///{+path}", "file:///a/b?c#d", true},
		{"x://h{/seg*}", "x://h/a/b", true},
		{"x://h{/seg}", "x://h", true},
		{"x://h/{a}{?q,r}", "x://h/1?q=2&r=3", true},
		{"x://h/{a}{?q}", "x://h/1", true},
		{"x://h/{a}{?q}", "x://h/1#f", false},
		{"x://h/{a}{#f}", "x://h/1#f", true},
		{"x://h/{a}{.ext}", "x://h/1.txt", true},
		{"x://h/{a}{;p}", "x://h/1;p=2", true},
		{"x://h?fixed=1{&q}", "x://h?fixed=1&q=2", true},
		{"x://h/{a}-{b}", "x://h/1-2", true},
		{"x://h/(a)+[b]", "x://h/(a)+[b]", true}, // literals are not patterns
		{"x://h/(a)+[b]", "x://h/aab", false},
	} {
		c := compileTemplate(tt.template)
		if c == nil {
			t.Errorf("%s does not compile", tt.template)
			continue
		}
		if got := c.match(tt.uri); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.template, tt.uri, got)
		}
	}
	for _, bad := range []string{"x://{", "x://{}", "x://{a", strings.Repeat("x", maxTemplate+1)} {
		if compileTemplate(bad) != nil {
			t.Errorf("%.20s compiles", bad)
		}
	}
}

func TestTemplateIsLinear(t *testing.T) {
	c := compileTemplate("x://" + strings.Repeat("{+a}", 50))
	done := make(chan bool, 1)
	go func() { done <- c.match("y://" + strings.Repeat("a", 100_000)) }() // ends with the match
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("a hostile template takes for ever")
	}
}

func FuzzOpen(f *testing.F) {
	g := &Gateway{sealer: mcp.NewSealer()}
	f.Add("")
	f.Add("AQA")
	f.Fuzz(func(t *testing.T, sealed string) {
		if _, state, err := g.openState(&mcp.Request{Method: mcp.MethodCallTool}, sealed); err == nil {
			t.Errorf("%q opens to %q", sealed, state)
		}
	})
}
