package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// asJSON prints v, indented.
func (a *app) asJSON(v any) error {
	out, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", out)
	return err
}

// asText prints text from elsewhere, with a line break at its end.
func (a *app) asText(s string) error {
	_, err := io.WriteString(a.stdout, strings.TrimSuffix(printable(s), "\n")+"\n")
	return err
}

// columns prints rows as a table. Cells are shown on one line each.
func (a *app) columns(rows [][]string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(strings.ReplaceAll(firstLine(cell), "\t", " "))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func firstLine(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if more {
		line = strings.TrimSpace(line) + " ..."
	}
	return line
}

// blocks prints content for people. What is not text is named, not shown.
func (a *app) blocks(content []mcp.Content) error {
	for _, c := range content {
		var err error
		switch c := c.(type) {
		case *mcp.TextContent:
			err = a.asText(c.Text)
		case *mcp.ImageContent:
			err = a.asText(fmt.Sprintf("[image %s, %d bytes; --json prints it]", c.MIMEType, len(c.Data)))
		case *mcp.AudioContent:
			err = a.asText(fmt.Sprintf("[audio %s, %d bytes; --json prints it]", c.MIMEType, len(c.Data)))
		case *mcp.ResourceLink:
			err = a.asText(fmt.Sprintf("[resource %s; read it with: fairlead read %s]", c.URI, c.URI))
		case *mcp.EmbeddedResource:
			err = a.contents(&c.Resource)
		default:
			err = a.asText("[content of a kind that this version does not know; --json prints it]")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) contents(c *mcp.ResourceContents) error {
	if c.Blob == nil {
		return a.asText(c.Text)
	}
	return a.asText(fmt.Sprintf("[%s %s, %d bytes; --json prints it]", c.URI, c.MIMEType, len(c.Blob)))
}

// count names a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
