package sandbox_test

import (
	"os/exec"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/sandbox"
)

// BenchmarkStart is from the start of a small program to its end.
func BenchmarkStart(b *testing.B) {
	s := sandbox.New(b.TempDir(), nil)
	if err := s.Open(); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for name, start := range map[string]func(*exec.Cmd) error{
		"plain":    (*exec.Cmd).Start,
		"launcher": s.Child("true", sandbox.Limits{}, nil).Start,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("/bin/true")
				cmd.Env = []string{}
				if err := start(cmd); err != nil {
					b.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
