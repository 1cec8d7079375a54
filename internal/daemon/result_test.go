package daemon_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// A large result comes cut over HTTP, and its rest can be read, by clients of both eras.
func TestLargeResult(t *testing.T) {
	cfg := settings(t)
	cfg.Upstreams[0].MaxResult = 1 << 10
	n := start(t, cfg)
	long := strings.Repeat("0123456789abcde\n", 1000)
	link := regexp.MustCompile(`fairlead://result/[A-Za-z0-9_-]+\?page=\d+`)
	for _, era := range []streamhttp.Era{streamhttp.EraModern, streamhttp.EraLegacy} {
		for path, tool := range map[string]string{"": "one__echo", "/one": "echo"} {
			c := n.client(t, path, era)
			res, err := c.CallTool(t.Context(), tool, text{long}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			got.WriteString(res.Content[0].(*mcp.TextContent).Text)
			for uri := link.FindString(res.Text()); uri != ""; {
				page, err := c.ReadResource(t.Context(), uri, nil)
				if err != nil {
					t.Fatal(err)
				}
				uri = ""
				for i, content := range page.Contents {
					if i == 0 {
						got.WriteString(content.Text)
					} else {
						uri = content.URI
					}
				}
			}
			if got.String() != long {
				t.Errorf("%s%s: %d bytes, want %d", era, path, len(got.String()), len(long))
			}
		}
	}
}
