package upstream_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/upstream"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write generated files")

// TestErrorsDoc holds docs/errors.md to the table of classes.
func TestErrorsDoc(t *testing.T) {
	const file = "../../docs/errors.md"
	var b strings.Builder
	b.WriteString(`# Errors

Errors that an upstream sends reach the caller as they are. What the node itself answers in the place of an upstream has a class. The code lies outside the range that
JSON-RPC reserves; ` + "`data.class`" + ` names the class, ` + "`data.upstream`" + ` the upstream if one is concerned, ` + "`data.reason`" + ` where present why, ` + "`data.retrySafe`" + ` whether the call cannot have had an effect or may be
repeated, and ` + "`data.retryAfterMs`" + `, where present, when to ask again. This page is generated from the table in internal/upstream/errors.go.

| class | code | when | worth asking again |
| --- | --- | --- | --- |
`)
	for _, c := range upstream.Classes() {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", c.Class, c.Code, c.When, c.Retryable)
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(got)); diff != "" {
		t.Errorf("%s is stale, run go test ./internal/upstream -update (-want +got):\n%s", file, diff)
	}
}

func TestClasses(t *testing.T) {
	seen := make(map[int]bool)
	for _, c := range upstream.Classes() {
		if c.Code > -31001 || c.Code < -31999 || seen[c.Code] || c.When == "" || c.Retryable == "" {
			t.Errorf("class %q: code %d is used twice or out of range, or a text is missing", c.Class, c.Code)
		}
		seen[c.Code] = true
	}
}

func TestFailureTellsAStrangerNothing(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.1: refused")
	err := fmt.Errorf("call: %w", &upstream.Failure{Class: upstream.Unavailable, Upstream: "files", RetryAfter: 1500 * time.Microsecond, Err: cause})
	e := mcp.ErrorOf(err)
	if e.Code != -31001 || e.Message != "Upstream files is unavailable" {
		t.Errorf("wire error = %v", e)
	}
	if diff := cmp.Diff(`{"class":"upstream_unavailable","upstream":"files","retrySafe":false,"retryAfterMs":2}`, string(e.Data)); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if !errors.Is(err, cause) || mcp.IsWireError(err) {
		t.Error("the cause is lost, or the failure passes for the peer's")
	}
}
