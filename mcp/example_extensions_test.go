package mcp_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/fairlead-mcp/fairlead/mcp"
)

// A server with a skill, and a host that lists it and loads it when it is needed.
func ExampleServer_SetSkills() {
	s := mcp.NewServer("docs", "1.0.0", nil)
	err := s.SetSkills(fstest.MapFS{ // mostly os.DirFS("skills")
		"pdf-forms/SKILL.md":             {Data: []byte("---\nname: pdf-forms\ndescription: Fill in PDF forms\n---\n\nSee references/FIELDS.md.\n")},
		"pdf-forms/references/FIELDS.md": {Data: []byte("Ask for what is empty.\n")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	skills, err := mcp.NewClient("host", "1.0.0", s, nil).Skills(ctx)
	if err != nil {
		fmt.Println(err) // mcp.ErrNoSkills, if the server has none
		return
	}
	list, err := skills.List(ctx) // reads no file
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, skill := range list {
		fmt.Println(skill.Name()+":", skill.Description())
	}
	loaded, err := skills.Load(ctx, &list[0]) // what the user has agreed to
	if err != nil {
		fmt.Println(err) // a *mcp.SkillError, if it is not what the entry says
		return
	}
	text, err := loaded.Read(ctx, "references/FIELDS.md")
	fmt.Print(string(text), err)
	// Output:
	// pdf-forms: Fill in PDF forms
	// Ask for what is empty.
	// <nil>
}

// A tool whose results a host shows in a page, and as text where it cannot.
func ExampleServer_AddApp() {
	s := mcp.NewServer("weather", "1.0.0", nil)
	err := s.AddApp(mcp.App{
		URI:  "ui://weather/dashboard",
		HTML: "<!DOCTYPE html><html><title>Weather</title><body id=app></body></html>",
		Settings: mcp.AppSettings{
			CSP: &mcp.AppCSP{ConnectDomains: []string{"https://api.example.com"}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	type report struct {
		Degrees int `json:"degrees"`
	}
	err = mcp.AddTool(s, mcp.Tool{Name: "weather", Meta: mcp.ToolUI{ResourceURI: "ui://weather/dashboard"}.Meta()},
		func(context.Context, *mcp.Call, struct{}) (report, error) {
			return report{Degrees: 21}, nil
		})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := mcp.NewClient("host", "1.0.0", s, nil).CallTool(context.Background(), "weather", nil, nil)
	fmt.Println(res.Text(), err)
	// Output: {"degrees":21} <nil>
}

// A tool that calls another server hands the trace of its caller on.
func ExampleContextWithTrace() {
	other := mcp.NewServer("other", "1.0.0", nil)
	err := mcp.AddTool(other, mcp.Tool{Name: "t"}, func(_ context.Context, call *mcp.Call, _ struct{}) (string, error) {
		return call.Trace().Parent, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := mcp.NewClient("client", "1.0.0", other, nil)

	ctx := mcp.ContextWithTrace(context.Background(), mcp.Trace{Parent: "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"})
	res, err := c.CallTool(ctx, "t", nil, nil)
	fmt.Println(res.Text(), err)
	// Output: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01 <nil>
}
