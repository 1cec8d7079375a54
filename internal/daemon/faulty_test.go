package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
)

// faultyChild has tools that misbehave.
func faultyChild() error {
	s := mcp.NewServer("faulty", "1", nil)
	err := errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.Call, in text) (string, error) { return in.Text, nil }),
		mcp.AddTool(s, mcp.Tool{Name: "eat"}, func(context.Context, *mcp.Call, text) (string, error) {
			var eaten [][]byte
			for len(eaten) < 500 { // 2 GB, if nobody stops it
				chunk := make([]byte, 4<<20)
				for i := range chunk {
					chunk[i] = byte(i)
				}
				eaten = append(eaten, chunk)
				time.Sleep(5 * time.Millisecond)
			}
			return "full", nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "garbage"}, func(_ context.Context, _ *mcp.Call, in struct {
			Lines int `json:"lines"`
		},
		) (string, error) {
			for range in.Lines {
				fmt.Println("Welcome to \x1b[31mgarbage\x1b[0m!")
			}
			return "done", nil
		}),
		mcp.AddTool(s, mcp.Tool{Name: "mute"}, func(context.Context, *mcp.Call, text) (string, error) {
			return "", mute()
		}),
		mcp.AddTool(s, mcp.Tool{Name: "slow"}, func(ctx context.Context, _ *mcp.Call, in text) (string, error) {
			for ; ; time.Sleep(5 * time.Millisecond) {
				if _, err := os.Stat(in.Text); err == nil || ctx.Err() != nil {
					return "done", ctx.Err()
				}
			}
		}),
	)
	if err != nil {
		return err
	}
	return stdio.Serve(context.Background(), s, nil)
}
