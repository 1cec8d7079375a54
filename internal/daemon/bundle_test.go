package daemon_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/approval"
	"github.com/fairlead-mcp/fairlead/internal/config"
	"github.com/fairlead-mcp/fairlead/internal/daemon"
	"github.com/fairlead-mcp/fairlead/mcp/streamhttp"
)

// A server from a bundle is unpacked, approved and run.
func TestBundle(t *testing.T) {
	cfg := settings(t)
	name := filepath.Join(t.TempDir(), "x.mcpb")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for file, text := range map[string]string{
		"manifest.json": `{"server": {"type": "binary", "mcp_config": {"command": "${__dirname}/server/run", "env": {"` + childEnv + `": "${user_config.child}", "GORACE": "atexit_sleep_ms=0"}}}, "user_config": {"child": {"type": "string", "required": true}}}`,
		"server/run":    "#!/bin/sh\nexec '" + os.Args[0] + "'\n",
	} {
		h := &zip.FileHeader{Name: file, Method: zip.Deflate}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := "data: " + cfg.Data + "\nupstreams:\n  one:\n    bundle: " + name + "\n    bundle_hash: \"" + config.HashToken(string(data)).String() + "\"\n    inputs: {child: \"1\"}\n"
	read, err := config.Parse("fairlead.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Upstreams = read.Upstreams
	store, err := approval.Open(cfg.Data, nil)
	if err == nil {
		err = cfg.Unpack()
	}
	if err != nil {
		t.Fatal(err)
	}
	pending, err := store.Pending(cfg)
	if err == nil {
		err = store.Approve(pending...)
	}
	if err != nil || len(pending) != 1 {
		t.Fatalf("pending %v, %v", pending, err)
	}
	n := startWith(t, cfg, &daemon.Options{Approvals: store, ForeignOnly: true})
	if res, err := n.client(t, "", streamhttp.EraModern).CallTool(t.Context(), "one__echo", map[string]any{"text": "from a bundle"}, nil); err != nil || res.Text() != "from a bundle" {
		t.Errorf("echo = %v, %v", res, err)
	}
}
