// Client lists the tools of an MCP server and calls one. What the server asks meanwhile
// it asks the user.
//
//	client -call echo -args '{"text":"hi"}' http://127.0.0.1:8080/mcp
//	client -call echo -args '{"text":"hi"}' ./echo
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/stdio"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func main() {
	tool := flag.String("call", "", "call this `tool`")
	args := flag.String("args", "{}", "its arguments, a `JSON` object")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, flag.Args(), *tool, *args); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, target []string, tool, args string) error {
	if len(target) == 0 {
		return errors.New("usage: client [-call TOOL] [-args JSON] {URL | COMMAND ARG...}")
	}
	h, closeAll, err := connect(ctx, target)
	if err != nil {
		return err
	}
	defer closeAll()
	user := asker{server: target[0], in: bufio.NewReader(os.Stdin)}
	c := mcp.NewClient("example-client", "1.0.0", h, &mcp.ClientOptions{OnElicit: user.form})
	tools, err := c.ListTools(ctx)
	if err != nil {
		return err
	}
	for _, t := range tools {
		fmt.Printf("%s\t%s\n", t.Name, t.Description)
	}
	if tool == "" {
		return nil
	}
	res, err := c.CallTool(ctx, tool, mcp.Raw(args), nil)
	if err != nil {
		return err
	}
	fmt.Println(res.Text())
	return nil
}

// connect gives a Handler that calls the server, and what closes it.
func connect(ctx context.Context, target []string) (mcp.Handler, func(), error) {
	if strings.Contains(target[0], "://") {
		remote := streamhttp.NewClient(target[0], nil)
		return remote, func() { _ = remote.Close(ctx) }, nil
	}
	child, err := stdio.Start(ctx, exec.Command(target[0], target[1:]...), nil)
	if err != nil {
		return nil, nil, err
	}
	return child, func() { _ = child.Close(ctx) }, nil
}
