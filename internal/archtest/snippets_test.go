package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// snippet is a code block of a page that stands in a source file, so that it is
// compiled and tested there:
//
//	<!-- go: examples/tour/server.go Order order -->
//	```go
//	...
//	```
//
// Without names it is the whole file.
var snippet = regexp.MustCompile("(?ms)^<!-- go: (\\S+)((?: [\\w.]+)*) -->\n```go\n(.*?)^```$")

// goBlock is any code block in Go.
var goBlock = regexp.MustCompile("(?m)^```go$")

// TestGeneratedSnippets holds the code in the pages to the code in the files.
func TestGeneratedSnippets(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../../README.md") {
		old, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if blocks, held := len(goBlock.FindAll(old, -1)), len(snippet.FindAll(old, -1)); blocks != held {
			t.Errorf("%s: %d code blocks in Go, %d of them from a file: put <!-- go: FILE NAME... --> before each", page, blocks, held)
		}
		fresh := snippet.ReplaceAllFunc(old, func(block []byte) []byte {
			m := snippet.FindSubmatch(block)
			code, err := extract("../../"+string(m[1]), strings.Fields(string(m[2])))
			if err != nil {
				t.Errorf("%s: %v", page, err)
				return block
			}
			return fmt.Appendf(nil, "<!-- go: %s%s -->\n```go\n%s```", m[1], m[2], code)
		})
		if bytes.Equal(old, fresh) {
			continue
		}
		if !*update {
			t.Errorf("%s: its code is not that of the files (run: make generate)", page)
		} else if err := os.WriteFile(page, fresh, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// extract returns the declarations of a file with the names given, without the
// comments above them, or the whole file.
func extract(path string, names []string) (string, error) {
	source, err := os.ReadFile(path)
	if err != nil || len(names) == 0 {
		return string(source), err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.ParseComments)
	if err != nil {
		return "", err
	}
	var parts []string
	for _, name := range names {
		decl := find(file, name)
		if decl == nil {
			return "", fmt.Errorf("%s has no %s", path, name)
		}
		var b bytes.Buffer
		config := printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}
		if err := config.Fprint(&b, fset, &printer.CommentedNode{Node: decl, Comments: file.Comments}); err != nil {
			return "", err
		}
		parts = append(parts, b.String()+"\n")
	}
	return strings.Join(parts, "\n"), nil
}

// find returns the declaration of a function or type; a method is Type.Name.
func find(file *ast.File, name string) ast.Decl {
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			full := d.Name.Name
			if d.Recv != nil {
				full = receiver(d) + "." + full
			}
			if full == name {
				d.Doc = nil
				return d
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.Name == name {
					d.Doc = nil
					return d
				}
			}
		}
	}
	return nil
}

func receiver(d *ast.FuncDecl) string {
	typ := d.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}
