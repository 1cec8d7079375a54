package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// asker shows what a server asks on a terminal.
type asker struct {
	server string // who asks: the user must see it

	mu sync.Mutex // one question at a time
	in *bufio.Reader
}

// form asks for a line for each field. An empty line takes the field's default, or
// leaves it out; the end of the input turns away. Texts are quoted: they are a
// stranger's.
func (a *asker) form(_ context.Context, p *mcp.ElicitParams) (*mcp.ElicitResult, error) {
	fields, err := p.Fields()
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(os.Stderr, "%s asks: %q\n", a.server, p.Message)
	content := map[string]any{}
	for _, f := range fields {
		fmt.Fprintf(os.Stderr, "%q (%s)%s: ", f.Name, f.Type, choices(f))
		line, err := a.in.ReadString('\n')
		if err == io.EOF {
			return &mcp.ElicitResult{Action: mcp.ElicitCancel}, nil
		}
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSpace(line); line != "" {
			content[f.Name] = value(f, line)
		}
	}
	raw, err := json.Marshal(content)
	return &mcp.ElicitResult{Action: mcp.ElicitAccept, Content: raw}, err
}

func choices(f mcp.FormField) string {
	var texts []string
	for _, c := range f.Choices() {
		texts = append(texts, strconv.Quote(c.Value))
	}
	if texts == nil {
		return ""
	}
	return " " + strings.Join(texts, ", ")
}

// value is what the user has typed, as the field wants it. What does not fit is
// found when the answer is checked.
func value(f mcp.FormField, line string) any {
	switch f.Type {
	case "array":
		return strings.Fields(strings.ReplaceAll(line, ",", " "))
	case "string":
		return line
	}
	var v any
	if json.Unmarshal([]byte(line), &v) != nil {
		return line
	}
	return v
}
