package mcptest

import (
	"testing"

	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
)

// Tap returns a recorder of messages that is checked at the end of the test, after
// the clean-ups that were registered later: a message of these sides that does not
// fit the JSON schema of its revision is an error of the test.
func Tap(t testing.TB, sides ...wirecheck.Side) *wirecheck.Tap {
	t.Helper()
	tap := wirecheck.New()
	t.Cleanup(func() {
		t.Helper()
		for _, problem := range tap.Check(sides...).Problems {
			t.Errorf("mcptest: %s", problem)
		}
	})
	return tap
}
