package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// newServer is a book shop: every feature of a server once.
func newServer(shop *shop) (*mcp.Server, error) {
	s := mcp.NewServer("bookshop", "1.0.0", &mcp.ServerOptions{
		Instructions: "Search before you order.",
		Logging:      true,
	})
	err := errors.Join(
		mcp.AddTool(s, mcp.Tool{Name: "search", Description: "Find books by words of the title"}, shop.search),
		mcp.AddTool(s, mcp.Tool{Name: "order", Description: "Order a book"}, shop.order),
		mcp.AddTool(s, mcp.Tool{
			Name: "index", Description: "Index the shelves anew",
			Execution: &mcp.ToolExecution{TaskSupport: mcp.TaskOptional},
		}, shop.index),
		s.AddResource(mcp.Resource{URI: "shop:///hours", Name: "hours", MIMEType: "text/plain"}, shop.hours),
		s.AddResourceTemplate(mcp.ResourceTemplate{URITemplate: "book:///{isbn}", Name: "book", MIMEType: "text/plain"}, shop.book),
		s.AddPrompt(mcp.Prompt{
			Name: "review", Description: "Write a review",
			Arguments: []mcp.PromptArgument{{Name: "isbn", Required: true}},
		}, shop.review),
		s.CompletePrompt("review", "isbn", shop.completeISBN),
	)
	return s, err
}

// searchIn has the arguments of search. The schema comes from the type.
type searchIn struct {
	Words string `json:"words" jsonschema:"words of the title" minLength:"1"`
	Limit int    `json:"limit,omitempty" default:"10" minimum:"1" maximum:"100"`
}

type searchOut struct {
	Books []book `json:"books"`
}

type book struct {
	ISBN  string `json:"isbn"`
	Title string `json:"title"`
}

func (s *shop) search(_ context.Context, _ *mcp.Call, in searchIn) (searchOut, error) {
	var out searchOut
	for _, b := range s.books {
		if len(out.Books) < in.Limit && strings.Contains(strings.ToLower(b.Title), strings.ToLower(in.Words)) {
			out.Books = append(out.Books, b)
		}
	}
	if len(out.Books) == 0 {
		return out, fmt.Errorf("no book has %q in its title; try fewer words", in.Words)
	}
	return out, nil
}

type orderIn struct {
	ISBN string `json:"isbn"`
}

// delivery is a form: strings, numbers, booleans and choices.
type delivery struct {
	Address string `json:"address" minLength:"5"`
	Speed   string `json:"speed" enum:"normal,express"`
}

func (s *shop) order(ctx context.Context, call *mcp.Call, in orderIn) (string, error) {
	b, err := s.find(in.ISBN)
	if err != nil {
		return "", err
	}
	// Once: the handler is called again when the user has answered, and must not reserve twice.
	number, err := mcp.Once(ctx, call, "reserve", func(context.Context) (int, error) { return s.reserve(b) })
	if err != nil {
		return "", err
	}
	to, action, err := mcp.ElicitAs[delivery](ctx, call, "delivery", "Where shall we send "+b.Title+"?")
	if err != nil {
		return "", err // also when the question has yet to reach the user
	}
	if action != mcp.ElicitAccept {
		return "Order " + fmt.Sprint(number) + " is dropped.", s.release(number)
	}
	return fmt.Sprintf("Order %d: %s, %s delivery to %s.", number, b.Title, to.Speed, to.Address), nil
}

func (s *shop) index(ctx context.Context, call *mcp.Call, _ struct{}) (string, error) {
	for i, b := range s.books {
		if err := ctx.Err(); err != nil {
			return "", err // the caller has cancelled, or the deadline has passed
		}
		if err := call.Log(mcp.LogInfo, "index", b.Title); err != nil {
			return "", err
		}
		if err := call.Progress(float64(i+1), float64(len(s.books)), b.Title); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d books", len(s.books)), nil
}

func (s *shop) hours(_ context.Context, _ *mcp.Call, uri string) ([]mcp.ResourceContents, error) {
	return []mcp.ResourceContents{{URI: uri, Text: "9 to 18"}}, nil
}

func (s *shop) book(_ context.Context, _ *mcp.Call, uri string, vars map[string]string) ([]mcp.ResourceContents, error) {
	b, err := s.find(vars["isbn"])
	if err != nil {
		return nil, mcp.ErrResourceNotFound
	}
	return []mcp.ResourceContents{{URI: uri, Text: b.Title}}, nil
}

func (s *shop) review(_ context.Context, _ *mcp.Call, args map[string]string) (*mcp.PromptResult, error) {
	b, err := s.find(args["isbn"])
	if err != nil {
		return nil, mcp.ErrInvalidParams("%v", err)
	}
	return &mcp.PromptResult{Messages: []mcp.PromptMessage{
		{Role: mcp.RoleUser, Content: mcp.Text("Write a short review of " + b.Title + ".")},
	}}, nil
}

func (s *shop) completeISBN(_ context.Context, _ *mcp.Call, typed string, _ map[string]string) ([]string, error) {
	var list []string
	for _, b := range s.books {
		if strings.HasPrefix(b.ISBN, typed) {
			list = append(list, b.ISBN)
		}
	}
	return list, nil
}
