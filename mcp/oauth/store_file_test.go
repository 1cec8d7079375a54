package oauth_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-mcp/fairlead/mcp/oauth"
)

func saved(t *testing.T) (dir string, s *oauth.FileStore, grant string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "a [*] directory", "oauth")
	s = openFileStore(t, dir)
	if err := s.Save(t.Context(), "key", sampleGrant()); err != nil {
		t.Fatal(err)
	}
	grants := files(t, dir, ".grant")
	if len(grants) != 1 {
		t.Fatalf("files of one grant: %v", grants)
	}
	return dir, s, grants[0]
}

func files(t *testing.T, dir, ext string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ext {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestFileStoreIsEncryptedAndPrivate(t *testing.T) {
	dir, _, _ := saved(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", path, info.Mode())
		}
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		for _, secret := range []string{"S3CRET", "as.example", "client"} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds %q in clear text", path, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// The next process reads it.
	if g, err := openFileStore(t, dir).Load(t.Context(), "key"); err != nil || g.Token.AccessToken != "S3CRET-access" {
		t.Errorf("Load from a second store: got %v, %v", g, err)
	}
}

// TestFileStoreRefusesWhatItCannotTrust: nothing is dropped silently.
func TestFileStoreRefusesWhatItCannotTrust(t *testing.T) {
	tests := []struct {
		name    string
		damage  func(t *testing.T, dir, grant string) error
		unix    bool // modes are of Unix
		opens   bool // it is Load that refuses
		wantErr string
	}{
		{"every byte matters", func(_ *testing.T, _, grant string) error { return edit(grant, -1) }, false, true, "damaged, or was encrypted with another key"},
		{"the nonce too", func(_ *testing.T, _, grant string) error { return edit(grant, 17) }, false, true, "damaged, or was encrypted with another key"},
		{"another version", func(_ *testing.T, _, grant string) error { return edit(grant, 0) }, false, true, "damaged or of another version"},
		{"cut short", func(_ *testing.T, _, grant string) error { return os.Truncate(grant, 20) }, false, true, "damaged, or was encrypted with another key"},
		{"empty", func(_ *testing.T, _, grant string) error { return os.Truncate(grant, 0) }, false, true, "damaged or of another version"},
		{"huge", func(_ *testing.T, _, grant string) error { return os.Truncate(grant, 2<<20) }, false, true, "larger than"},
		{"a directory", func(_ *testing.T, _, grant string) error {
			if err := os.Remove(grant); err != nil {
				return err
			}
			return os.Mkdir(grant, 0o700)
		}, false, true, "not a regular file"},
		{"the grant of another account", func(t *testing.T, dir, grant string) error {
			if err := openFileStore(t, dir).Save(t.Context(), "other", sampleGrant()); err != nil {
				return err
			}
			for _, path := range files(t, dir, ".grant") {
				if path != grant {
					return os.Rename(path, grant)
				}
			}
			return fmt.Errorf("no other grant")
		}, false, true, "damaged, or was encrypted with another key"},
		{"readable by the group", func(_ *testing.T, _, grant string) error { return os.Chmod(grant, 0o640) }, true, true, "open to others (mode -rw-r-----)"},
		{"readable by all", func(_ *testing.T, _, grant string) error { return os.Chmod(grant, 0o604) }, true, true, "open to others"},
		{"another key", func(_ *testing.T, dir, _ string) error { return edit(filepath.Join(dir, "key"), 0) }, false, true, "encrypted with another key"},
		{"a short key", func(_ *testing.T, dir, _ string) error { return os.Truncate(filepath.Join(dir, "key"), 31) }, false, false, "has 31 bytes, want 32"},
		{"a key that is gone", func(_ *testing.T, dir, _ string) error { return os.Remove(filepath.Join(dir, "key")) }, false, false, "only it can read the grants"},
		{"a key that all can read", func(_ *testing.T, dir, _ string) error { return os.Chmod(filepath.Join(dir, "key"), 0o644) }, true, false, "open to others"},
		{"a directory that the group can write to", func(_ *testing.T, dir, _ string) error { return os.Chmod(dir, 0o770) }, true, false, "run: chmod 700 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.unix && runtime.GOOS == "windows" {
				t.Skip("Windows has no modes")
			}
			dir, _, grant := saved(t)
			if err := tt.damage(t, dir, grant); err != nil {
				t.Fatal(err)
			}
			s, err := oauth.OpenFileStore(t.Context(), dir, nil)
			if (err == nil) != tt.opens {
				t.Fatalf("open: got %v, want success %t", err, tt.opens)
			}
			if tt.opens {
				var g *oauth.Grant
				if g, err = s.Load(t.Context(), "key"); g != nil {
					t.Errorf("Load: got %v beside the error", g)
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got error %v, want one of %s with %q", err, dir, tt.wantErr)
			}
		})
	}
}

// edit changes one byte of a file, counted from the end if it is negative.
func edit(path string, at int) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[(at+len(data))%len(data)] ^= 1
	return os.WriteFile(path, data, 0o600)
}

func TestFileStoreWithAKeyOfTheCaller(t *testing.T) {
	dir, key := t.TempDir(), bytes.Repeat([]byte{7}, 32)
	s, err := oauth.OpenFileStore(t.Context(), dir, &oauth.FileStoreOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), "key", sampleGrant()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "key")); err == nil {
		t.Error("there is a key file")
	}
	if _, err := oauth.OpenFileStore(t.Context(), dir, &oauth.FileStoreOptions{Key: key[:31]}); err == nil {
		t.Error("a key of 31 bytes is taken")
	}
}

// TestFileStoreSurvivesACrashedWriter: what a process leaves that dies between write
// and rename changes nothing, and does not stay for ever.
func TestFileStoreSurvivesACrashedWriter(t *testing.T) {
	dir, _, grant := saved(t)
	left := grant + ".123.tmp"
	if err := os.WriteFile(left, []byte("fairlead-gr"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openFileStore(t, dir)
	if g, err := s.Load(t.Context(), "key"); err != nil || g.Token.AccessToken != "S3CRET-access" {
		t.Errorf("Load: got %v, %v, want the old grant", g, err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Errorf("a new file, which may be of a writer that lives: %v", err)
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	openFileStore(t, dir)
	if _, err := os.Stat(left); err == nil {
		t.Error("an old file of a dead writer is still there")
	}
	if err := s.Save(t.Context(), "key", sampleGrant()); err != nil {
		t.Fatal(err)
	}
	if tmp := files(t, dir, ".tmp"); len(tmp) > 0 {
		t.Errorf("Save leaves %v", tmp)
	}
}

// TestFileStoreRefusesHugeGrants: what could not be read back is not written.
func TestFileStoreRefusesHugeGrants(t *testing.T) {
	_, s, _ := saved(t)
	huge := sampleGrant()
	huge.Token.AccessToken = strings.Repeat("x", 1<<20)
	if err := s.Save(t.Context(), "key", huge); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("Save: got %v", err)
	}
	if g, err := s.Load(t.Context(), "key"); err != nil || g.Token.AccessToken != "S3CRET-access" {
		t.Errorf("Load: got %v, %v, want the old grant", g, err)
	}
}

// TestFileStoreSaveFailsWhole: where the new grant cannot be written the old one stays.
func TestFileStoreSaveFailsWhole(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 && !readOnlyWorks(t) {
		t.Skip("a directory cannot be made read-only here")
	}
	dir, s, _ := saved(t)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	next := sampleGrant()
	next.Token.AccessToken = "next"
	if err := s.Save(t.Context(), "key", next); err == nil {
		t.Fatal("Save in a read-only directory: no error")
	}
	if g, err := s.Load(t.Context(), "key"); err != nil || g.Token.AccessToken != "S3CRET-access" {
		t.Errorf("Load: got %v, %v, want the old grant", g, err)
	}
}

// readOnlyWorks reports whether modes bind this user; they do not bind root.
func readOnlyWorks(t *testing.T) bool {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		return false
	}
	return os.WriteFile(filepath.Join(dir, "x"), nil, 0o600) != nil
}

func TestFileStoreConcurrentSavesAreWhole(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		s := openFileStore(t, dir)
		for i := 0; ctx.Err() == nil; i++ {
			g := sampleGrant()
			g.Token.AccessToken = strings.Repeat(fmt.Sprint(i%10), 1000+i%5000)
			if err := s.Save(t.Context(), "key", g); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	s := openFileStore(t, dir)
	for n := 0; n < 200; {
		g, err := s.Load(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		if g != nil {
			n++
		}
	}
	stop()
	<-done
}
