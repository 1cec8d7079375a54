package faults

import (
	"os"
	"path/filepath"
	"testing"

	// Go keeps the result of a test until a package that it imports changes. The node
	// is built by the test, so it is imported too.
	_ "github.com/fairlead-mcp/fairlead/internal/cli"
)

// readChild reads the program that the tests build, for the same reason: it cannot be
// imported, and files that a test opens count as well.
func readChild(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob("child/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("child/*.go: %v, %v", files, err)
	}
	for _, path := range files {
		if _, err := os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
}
