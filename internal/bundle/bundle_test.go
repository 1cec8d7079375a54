package bundle_test

import (
	"archive/zip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-mcp/fairlead/internal/bundle"
)

type entry struct {
	name string
	mode fs.FileMode
	text string
}

func pack(t *testing.T, entries ...entry) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.mcpb")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUnpack(t *testing.T) {
	name := pack(t, entry{"manifest.json", 0o644, "{}"}, entry{"server/", fs.ModeDir | 0o755, ""}, entry{"server/run", 0o755, "#!/bin/sh\n"}, entry{"lib/a..b/c", 0o666, "c"})
	b, err := bundle.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if m, err := b.Manifest(); err != nil || string(m) != "{}" || len(b.Hash) != 64 {
		t.Errorf("Manifest = %q, %v; hash %q", m, err, b.Hash)
	}
	dir := filepath.Join(t.TempDir(), "bundles", b.Hash)
	for range 2 { // the second time nothing is done
		if err := b.Unpack(dir); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]fs.FileMode{"manifest.json": 0o600, "server/run": 0o700, "lib/a..b/c": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", file, info, err, want)
		}
	}
}

// A bundle that would write elsewhere, or be something else, leaves nothing behind.
func TestUnpackRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		entries []entry
		want    string
	}{
		{"traversal", []entry{{"../evil", 0o644, "x"}}, "not a name below"},
		{"traversal in the middle", []entry{{"a/../../evil", 0o644, "x"}}, "not a name below"},
		{"absolute", []entry{{"/tmp/evil", 0o644, "x"}}, "not a name below"},
		{"backslashes", []entry{{`..\evil`, 0o644, "x"}}, "not a name below"},
		{"a drive", []entry{{`c:evil`, 0o644, "x"}}, "not a name below"},
		{"a link", []entry{{"link", fs.ModeSymlink | 0o777, "/etc"}}, "symbolic link"},
		{"a device", []entry{{"dev", fs.ModeDevice | 0o666, ""}}, "neither a file nor"},
		{"twice", []entry{{"a", 0o644, "x"}, {"a", 0o644, "y"}}, "exists"},
		{"a file for a directory", []entry{{"a", 0o644, "x"}, {"a/b", 0o644, "y"}}, "exists"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := bundle.Open(pack(t, append([]entry{{"manifest.json", 0o644, "{}"}}, tt.entries...)...))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			parent := t.TempDir()
			if err := b.Unpack(filepath.Join(parent, "in", "dir")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Unpack: %v, want %q", err, tt.want)
			}
			_ = filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
				if !d.IsDir() {
					t.Errorf("%s is left", path)
				}
				return err
			})
			if left, err := os.ReadDir(filepath.Join(parent, "in")); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{plain: "is not a bundle", t.TempDir(): "not a regular file", plain + "x": "no such file"} {
		if _, err := bundle.Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	b, err := bundle.Open(pack(t, entry{"a", 0o644, ""}))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Manifest(); err == nil {
		t.Error("a bundle without a manifest has one")
	}
}
