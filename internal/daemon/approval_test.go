package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// TestRestartAsksForApproval kills a child whose program was approved. The same
// program is started again; one that was replaced meanwhile is not.
func TestRestartAsksForApproval(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		t.Run(fmt.Sprintf("replaced %v", replaced), func(t *testing.T) {
			cfg := settings(t)
			script := func(comment string) string {
				return "#!/bin/sh\n# " + comment + "\nexec '" + os.Args[0] + "'\n"
			}
			program := filepath.Join(t.TempDir(), "server")
			if err := os.WriteFile(program, []byte(script("as approved")), 0o700); err != nil {
				t.Fatal(err)
			}
			cfg.Upstreams[0].Command = program
			store, err := approval.Open(cfg.Data, nil)
			if err != nil {
				t.Fatal(err)
			}
			pending, err := store.Pending(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Approve(pending...); err != nil {
				t.Fatal(err)
			}
			n := startWith(t, cfg, &daemon.Options{Approvals: store})
			c := n.client(t, "", streamhttp.EraModern)
			if _, err := c.CallTool(t.Context(), "one__echo", text{"first"}, nil); err != nil {
				t.Fatal(err)
			}
			pid := n.pid(t, 0)
			if replaced {
				// A file that is running cannot be written to, but it can be replaced.
				next := program + ".next"
				if err := os.WriteFile(next, []byte(script("not as approved")), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(next, program); err != nil {
					t.Fatal(err)
				}
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if !replaced {
				n.pid(t, pid)
				if _, err = c.CallTool(t.Context(), "one__echo", text{"second"}, nil); err != nil {
					t.Errorf("the approved program is not started again: %v", err)
				}
				return
			}
			eventually(t, "a refused start", func() bool {
				st, err := n.admin.Status(t.Context())
				return err == nil && strings.Contains(st.Upstreams[0].LastError, "not approved")
			})
			if _, err = c.CallTool(t.Context(), "one__echo", text{"second"}, &mcp.CallOptions{Timeout: time.Second}); err == nil {
				t.Error("a program that was replaced after its approval has been run")
			}
		})
	}
}

// A command that a server.json names runs only when it is approved; those of the config run as they stand.
func TestForeignCommandIsApproved(t *testing.T) {
	for _, tt := range []struct {
		name              string
		foreign, approved bool
		runs              bool
	}{{"of the config", false, false, true}, {"of another file", true, false, false}, {"of another file, approved", true, true, true}} {
		for _, store := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, store %v", tt.name, store), func(t *testing.T) {
				cfg := settings(t)
				if tt.foreign {
					cfg.Upstreams[0].Foreign = "server.json"
				}
				opts := &daemon.Options{ForeignOnly: true}
				if store {
					approvals, err := approval.Open(cfg.Data, nil)
					if err != nil {
						t.Fatal(err)
					}
					opts.Approvals = approvals
					if tt.approved {
						pending, err := approvals.Pending(cfg)
						if err == nil {
							err = approvals.Approve(pending...)
						}
						if err != nil {
							t.Fatal(err)
						}
					}
				}
				n := startWith(t, cfg, opts)
				if tt.runs && (store || !tt.foreign) {
					n.pid(t, 0)
					return
				}
				eventually(t, "a refused start", func() bool {
					st, err := n.admin.Status(t.Context())
					return err == nil && strings.Contains(st.Upstreams[0].LastError, "not approved")
				})
			})
		}
	}
}
