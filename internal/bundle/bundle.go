// Package bundle reads MCP bundles: zip files with a server and a manifest.json
// that says how it is run (MCPB). A bundle is somebody else's file: its hash is
// pinned, and nothing in it can be written outside of its own directory.
//
// It does not know what the manifest means; that is package config's.
package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Bounds of what is read and unpacked. A bundle with its node_modules has some
// thousand files and some tens of MB.
const (
	maxBundle   = 512 << 20
	maxManifest = 1 << 20
	maxFiles    = 50_000
	maxUnpacked = 2 << 30
)

// Bundle is an open bundle. Close it.
type Bundle struct {
	Hash string // SHA-256 of the file, in hex

	file *os.File
	zip  *zip.Reader
}

// Open opens a bundle and measures it. It unpacks nothing.
func Open(name string) (_ *Bundle, err error) {
	info, err := os.Stat(name) // before it is opened: opening a pipe may wait for ever
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // only read from
		}
	}()
	sum := sha256.New()
	size, err := io.Copy(sum, io.LimitReader(f, maxBundle+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if size > maxBundle {
		return nil, fmt.Errorf("%s has more than %d MiB", name, maxBundle>>20)
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s is not a bundle: %w", name, err)
	}
	return &Bundle{Hash: hex.EncodeToString(sum.Sum(nil)), file: f, zip: z}, nil
}

// Close closes the file.
func (b *Bundle) Close() error { return b.file.Close() }

// Manifest returns manifest.json.
func (b *Bundle) Manifest() ([]byte, error) {
	for _, f := range b.zip.File {
		if f.Name != "manifest.json" {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("manifest.json: %w", err)
		}
		defer func() { _ = r.Close() }() // only read from
		data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
		if err != nil {
			return nil, fmt.Errorf("manifest.json: %w", err)
		}
		if len(data) > maxManifest {
			return nil, fmt.Errorf("manifest.json has more than %d bytes", maxManifest)
		}
		return data, nil
	}
	return nil, errors.New("there is no manifest.json in it")
}

// Unpack writes the bundle to dir, which has then all of it or is not there. A
// directory that is there was unpacked before, and stays as it is.
func (b *Bundle) Unpack(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, ".unpacking-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // what is left when something failed
	if err := b.write(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, dir); err != nil {
		if _, there := os.Stat(dir); there == nil {
			return nil // somebody else was faster, with the same
		}
		return err
	}
	return nil
}

func (b *Bundle) write(dir string) error {
	if len(b.zip.File) > maxFiles {
		return fmt.Errorf("the bundle has more than %d files", maxFiles)
	}
	// Nothing leaves a root, whatever the names and links in it.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // only a handle
	left := int64(maxUnpacked)
	for _, f := range b.zip.File {
		name, err := safeName(f)
		if err != nil {
			return err
		}
		if f.FileInfo().IsDir() {
			if err := root.MkdirAll(name, 0o700); err != nil {
				return err
			}
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
			return err
		}
		n, err := writeFile(root, name, f, left)
		if err != nil {
			return fmt.Errorf("%q: %w", f.Name, err)
		}
		left -= n
	}
	return nil
}

// safeName returns the name of an entry below the directory, or why it cannot be unpacked.
func safeName(f *zip.File) (string, error) {
	name := strings.TrimSuffix(f.Name, "/")
	switch mode := f.Mode(); {
	case !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00:"):
		return "", fmt.Errorf("%q is not a name below the bundle's directory", f.Name)
	case mode&fs.ModeSymlink != 0:
		return "", fmt.Errorf("%q is a symbolic link, which bundles cannot have here", f.Name)
	case !mode.IsRegular() && !mode.IsDir():
		return "", fmt.Errorf("%q is neither a file nor a directory", f.Name)
	}
	return name, nil
}

func writeFile(root *os.Root, name string, f *zip.File, most int64) (n int64, err error) {
	r, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }() // only read from
	mode := fs.FileMode(0o600)
	if f.Mode()&0o100 != 0 {
		mode = 0o700
	}
	// A name that stands twice would be one thing to who looks and another to who runs.
	w, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(w, io.LimitReader(r, most+1)) // its header may lie about its size
	if err = errors.Join(err, w.Close()); err != nil {
		return n, err
	}
	if n > most {
		return n, fmt.Errorf("the bundle unpacks to more than %d MiB", int64(maxUnpacked)>>20)
	}
	return n, nil
}
