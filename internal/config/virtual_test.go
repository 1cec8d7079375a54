package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/secret"
)

func TestVirtual(t *testing.T) {
	got, err := config.Parse("f", []byte(`
upstreams:
  files: {command: x, labels: [storage]}
  github: {url: "https://example.com/mcp", labels: [code, team-a]}
virtual:
  review:
    instructions: Read first.
    tools:
      - from: github
        names: search_*
      - from: [files, "label:code"]
        names: [read_file]
        as: read
        title: Read
        description: Reads.
        defaults: {encoding: utf-8, limit: 20, deep: {a: [1, null, true]}}
        fixed: {token: "${TOKEN}", n: 1.50}
    prompts: [{from: "*", prefix: p_}]
    resources: [{from: files, names: "file:///srv/*"}]
`), environment(map[string]string{"TOKEN": `s"3`}))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Virtual{{
		Name: "review", Instructions: "Read first.",
		Tools: []config.Pick{
			{From: []string{"github"}, Names: []string{"search_*"}},
			{
				From: []string{"files", "label:code"}, Names: []string{"read_file"}, As: "read", Title: "Read", Description: "Reads.",
				Defaults: map[string]string{"encoding": `"utf-8"`, "limit": "20", "deep": `{"a":[1,null,true]}`},
				Fixed:    map[string]secret.Text{"token": secret.New(`"s\"3"`), "n": secret.New("1.50")},
			},
		},
		Prompts:   []config.Pick{{From: []string{"*"}, Prefix: "p_"}},
		Resources: []config.Pick{{From: []string{"files"}, Names: []string{"file:///srv/*"}}},
	}}
	if diff := cmp.Diff(want, got.Virtual); diff != "" {
		t.Errorf("virtual (-want +got):\n%s", diff)
	}
	for _, tt := range []struct {
		from string
		want string
	}{{"files", "files"}, {"label:code", "github"}, {"label:team-a", "github"}, {"*", "files github"}, {"?ithub", "github"}, {"git*", "github"}, {"it", ""}, {"label:cod", ""}} {
		var chosen []string
		for i := range got.Upstreams {
			if (&config.Pick{From: []string{tt.from}}).Chooses(&got.Upstreams[i]) {
				chosen = append(chosen, got.Upstreams[i].Name)
			}
		}
		if strings.Join(chosen, " ") != tt.want {
			t.Errorf("from %s chooses %q, want %q", tt.from, chosen, tt.want)
		}
	}
}
