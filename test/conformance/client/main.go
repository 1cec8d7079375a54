// Command client is the fixture with which the official conformance suite tests
// our client. The suite appends its server's URL and names the scenario in
// MCP_CONFORMANCE_SCENARIO, its revision in MCP_CONFORMANCE_PROTOCOL_VERSION.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/mcp"
	"github.com/fairlead-mcp/fairlead/mcp/mcptest/wirecheck"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

func main() {
	if err := run(os.Getenv("MCP_CONFORMANCE_SCENARIO"), os.Args[len(os.Args)-1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// scenarios maps a scenario's name to what the client does in it.
var scenarios = map[string]func(context.Context, *mcp.Client) error{
	"initialize":                         list,
	"tools_call":                         addNumbers,
	"request-metadata":                   list,
	"http-standard-headers":              touchEverything,
	"http-custom-headers":                callsOfContext,
	"http-invalid-tool-headers":          callAll,
	"json-schema-ref-no-deref":           list,
	"json-schema-2020-12-preservation":   echoSchema,
	"sep-2640-client-no-prefetch":        listSkills,
	"sep-2640-client-verify-digest":      useSkills,
	"sep-2640-client-verify-size":        useSkills,
	"sep-2640-client-verify-frontmatter": useSkills,

	"elicitation-sep1034-client-defaults": heard(tools("test_client_elicitation_defaults")),
	"sse-retry":                           tools("test_reconnection"),
	"sep-2322-client-request-state": tools(
		"test_mrtr_echo_state", "test_mrtr_no_state", "test_mrtr_unrelated", "test_mrtr_no_result_type"),
}

// options are those of the client in all scenarios.
var options = mcp.ClientOptions{
	// The library fills in the defaults.
	OnElicit: func(context.Context, *mcp.ElicitParams) (*mcp.ElicitResult, error) {
		return &mcp.ElicitResult{Action: mcp.ElicitAccept}, nil
	},
}

func run(name, url string) error {
	transport, err := recorded()
	if err != nil {
		return err
	}
	authorization, err := authorized(name, url, transport)
	if err != nil {
		return err
	}
	client := authorization
	if client == nil {
		client = &http.Client{Transport: transport}
	}
	scenario, ok := scenarios[name]
	switch {
	case authorization != nil:
		scenario = callTestTool
	case !ok:
		return fmt.Errorf("scenario %q is not covered", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	era := streamhttp.EraAuto
	if v := mcp.Version(os.Getenv("MCP_CONFORMANCE_PROTOCOL_VERSION")); !v.Modern() {
		era = streamhttp.EraLegacy
	}
	h := streamhttp.NewClient(url, &streamhttp.ClientOptions{Era: era, HTTPClient: client})
	defer h.Close(context.WithoutCancel(ctx))
	opts := options
	opts.Capabilities = declared(name)
	return scenario(ctx, mcp.NewClient("fairlead-conformance", "1.0.0", h, &opts))
}

// recorded is the transport of all connections. They are recorded to the file that
// FAIRLEAD_WIRE names, for the test to hold what the client sends against the schemas.
func recorded() (*http.Transport, error) {
	path := os.Getenv("FAIRLEAD_WIRE")
	if path == "" {
		return &http.Transport{}, nil
	}
	tap, err := wirecheck.ToFile(path)
	if err != nil {
		return nil, err
	}
	return &http.Transport{DialContext: tap.Dial}, nil
}

func list(ctx context.Context, c *mcp.Client) error {
	_, err := c.ListTools(ctx)
	return err
}

func addNumbers(ctx context.Context, c *mcp.Client) error {
	if err := list(ctx, c); err != nil {
		return err
	}
	_, err := c.CallTool(ctx, "add_numbers", map[string]any{"a": 5, "b": 3}, nil)
	return err
}

// tools lists the tools, and calls those named, at the same time.
func tools(names ...string) func(context.Context, *mcp.Client) error {
	return func(ctx context.Context, c *mcp.Client) error {
		if err := list(ctx, c); err != nil {
			return err
		}
		errs := make([]error, len(names))
		var running sync.WaitGroup
		for i, name := range names {
			running.Go(func() { _, errs[i] = c.CallTool(ctx, name, map[string]any{}, nil) })
		}
		running.Wait()
		return errors.Join(errs...)
	}
}

// heard opens the stream on which a server of an old revision asks before the scenario:
// what the suite's server asks without one is lost.
func heard(scenario func(context.Context, *mcp.Client) error) func(context.Context, *mcp.Client) error {
	return func(ctx context.Context, c *mcp.Client) error {
		sub, err := c.Listen(ctx, mcp.NotificationFilter{ToolsListChanged: true}, func(mcp.Event) {})
		if err != nil {
			return err
		}
		defer sub.Close()
		return scenario(ctx, c)
	}
}

func touchEverything(ctx context.Context, c *mcp.Client) error {
	tools, err := c.ListTools(ctx)
	if err != nil {
		return err
	}
	if len(tools) > 0 {
		_, err = c.CallTool(ctx, tools[0].Name, map[string]any{}, nil)
	}
	resources, err2 := c.ListResources(ctx)
	if len(resources) > 0 {
		_, err3 := c.ReadResource(ctx, resources[0].URI, nil)
		err2 = errors.Join(err2, err3)
	}
	prompts, err4 := c.ListPrompts(ctx)
	if len(prompts) > 0 {
		_, err5 := c.GetPrompt(ctx, prompts[0].Name, nil, nil)
		err4 = errors.Join(err4, err5)
	}
	return errors.Join(err, err2, err4)
}

func callsOfContext(ctx context.Context, c *mcp.Client) error {
	var input struct {
		ToolCalls []struct {
			Name      string  `json:"name"`
			Arguments mcp.Raw `json:"arguments"`
		} `json:"toolCalls"`
	}
	if err := json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &input); err != nil {
		return fmt.Errorf("MCP_CONFORMANCE_CONTEXT: %w", err)
	}
	if err := list(ctx, c); err != nil {
		return err
	}
	for _, call := range input.ToolCalls {
		if _, err := c.CallTool(ctx, call.Name, call.Arguments, nil); err != nil {
			return err
		}
	}
	return nil
}

func callAll(ctx context.Context, c *mcp.Client) error {
	tools, err := c.ListTools(ctx)
	if err != nil {
		return err
	}
	for _, t := range tools {
		if _, err := c.CallTool(ctx, t.Name, arguments(t), nil); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// arguments makes up a value for each property of a tool's schema.
func arguments(t mcp.Tool) map[string]any {
	var schema struct {
		Properties map[string]struct {
			Type string `json:"type"`
		} `json:"properties"`
	}
	args := map[string]any{}
	if err := json.Unmarshal(t.InputSchema, &schema); err != nil {
		return args
	}
	for name, p := range schema.Properties {
		switch p.Type {
		case "string":
			args[name] = "value"
		case "integer", "number":
			args[name] = 1
		case "boolean":
			args[name] = true
		}
	}
	return args
}

func echoSchema(ctx context.Context, c *mcp.Client) error {
	tools, err := c.ListTools(ctx)
	if err != nil {
		return err
	}
	for _, t := range tools {
		if t.Name == "json_schema_2020_12_tool" {
			_, err := c.CallTool(ctx, "json_schema_echo", map[string]any{"schema": t.InputSchema}, nil)
			return err
		}
	}
	return errors.New("json_schema_2020_12_tool is not listed")
}
