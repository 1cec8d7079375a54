package oauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/go-json-experiment/json"
)

// FileStore is a [Store] in a directory: a file for each key, encrypted and
// authenticated with AES-256-GCM, mode 0600, replaced as a whole. A crash leaves the
// old grant or the new one. Several processes can share the directory; the lock
// of a process that dies is free. Safe for concurrent use.
//
// The names of the files are digests of the keys. The encryption keeps grants out of
// backups and of files that are copied by mistake; who can read the key file, as the
// same user can, can read them.
type FileStore struct {
	dir   string
	aead  cipher.AEAD
	locks keyLocks // in this process; the lock file keeps other processes out
}

// FileStoreOptions changes the defaults of [OpenFileStore].
type FileStoreOptions struct {
	// Key encrypts the grants, 32 bytes. Nil means the one in the file "key" of the
	// directory, which is made on first use.
	Key []byte
}

const (
	keyFile  = "key"
	keyBytes = 32
	// grantMagic stands before what is encrypted, and says how.
	grantMagic = "fairlead-grant-1\n"
	// maxGrantFile is far more than a grant with the largest tokens in use.
	maxGrantFile = 1 << 20
	// lockPoll is how often a lock that another process holds is tried: the other
	// waits for a token endpoint.
	lockPoll = 20 * time.Millisecond
)

// OpenFileStore opens the store in a directory, which is made with mode 0700 when it
// is not there. A directory that others can write to, or a key file that they can
// read, is an error. A nil opts means the defaults. ctx bounds the wait for another
// process that makes the key.
func OpenFileStore(ctx context.Context, dir string, opts *FileStoreOptions) (*FileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("oauth: store: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("oauth: store: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("oauth: store: others can write to the directory %s (mode %v); run: chmod 700 %[1]s", dir, info.Mode().Perm())
	}
	s := &FileStore{dir: dir}
	s.clean()
	var key []byte
	if opts != nil && opts.Key != nil {
		key = opts.Key
		if len(key) != keyBytes {
			return nil, fmt.Errorf("oauth: store: a key of %d bytes, want %d", len(key), keyBytes)
		}
	} else if key, err = s.readKey(ctx); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("oauth: store: %w", err)
	}
	if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("oauth: store: %w", err)
	}
	return s, nil
}

// readKey returns the key in the key file, and makes one where there is none.
func (s *FileStore) readKey(ctx context.Context) ([]byte, error) {
	path := filepath.Join(s.dir, keyFile)
	key, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = s.makeKey(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("oauth: store: %w", err)
	}
	if len(key) != keyBytes {
		return nil, fmt.Errorf("oauth: store: %s has %d bytes, want %d; restore it, or remove the directory and log in again", path, len(key), keyBytes)
	}
	return key, nil
}

func (s *FileStore) makeKey(ctx context.Context, path string) ([]byte, error) {
	unlock, err := s.Lock(ctx, keyFile)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if key, err := readPrivate(path); !errors.Is(err, fs.ErrNotExist) { // another process was first
		return key, err
	}
	if grants, err := s.files(".grant"); err != nil || len(grants) > 0 {
		return nil, fmt.Errorf("%s is gone, and only it can read the grants in %s; restore it, or remove the directory and log in again", path, s.dir)
	}
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails
	return key, replace(path, key)
}

// clean removes what processes left that died while they wrote. Nobody writes for
// as long as an hour.
func (s *FileStore) clean() {
	left, _ := s.files(".tmp")
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(path) // the next process tries again
		}
	}
}

// files returns the paths in the directory that end with ext.
func (s *FileStore) files(ext string) (paths []string, err error) {
	entries, err := os.ReadDir(s.dir)
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ext {
			paths = append(paths, filepath.Join(s.dir, e.Name()))
		}
	}
	return paths, err
}

// path is the file of a key. Keys may hold anything; their digest is a file name
// on every system.
func (s *FileStore) path(key, ext string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:16])+ext)
}

// Load implements [Store]. A file that others can read, that is damaged or that was
// encrypted with another key is an error.
func (s *FileStore) Load(_ context.Context, key string) (*Grant, error) {
	path := s.path(key, ".grant")
	data, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("oauth: store: %w", err)
	}
	unusable := func(why string) error {
		return fmt.Errorf("oauth: store: %s %s; restore it, or remove it and log in again", path, why)
	}
	if len(data) < len(grantMagic) || string(data[:len(grantMagic)]) != grantMagic {
		return nil, unusable("is damaged or of another version")
	}
	// The key is authenticated too: the file of one account does not pass for another's.
	text, err := s.aead.Open(nil, nil, data[len(grantMagic):], []byte(key))
	if err != nil {
		return nil, unusable("is damaged, or was encrypted with another key")
	}
	g := &Grant{}
	if err := json.Unmarshal(text, g); err != nil {
		return nil, unusable("is of another version")
	}
	return g, nil
}

// Save implements [Store].
func (s *FileStore) Save(_ context.Context, key string, g *Grant) error {
	text, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("oauth: store: %w", err)
	}
	data := s.aead.Seal([]byte(grantMagic), nil, text, []byte(key))
	if len(data) > maxGrantFile {
		return fmt.Errorf("oauth: store: a grant of %d bytes, more than %d", len(data), maxGrantFile)
	}
	if err := replace(s.path(key, ".grant"), data); err != nil {
		return fmt.Errorf("oauth: store: %w", err)
	}
	return nil
}

// Delete implements [Store].
func (s *FileStore) Delete(_ context.Context, key string) error {
	if err := os.Remove(s.path(key, ".grant")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("oauth: store: %w", err)
	}
	return syncDir(s.dir)
}

// Lock implements [Store]. The lock file stays when it is unlocked: removing it would
// let a third process lock another one.
func (s *FileStore) Lock(ctx context.Context, key string) (unlock func(), err error) {
	leave, err := s.locks.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	path := s.path(key, ".lock")
	for {
		free, err := tryLockFile(path)
		if err != nil {
			leave()
			return nil, fmt.Errorf("oauth: store: lock %s: %w", path, err)
		}
		if free != nil {
			return func() { free(); leave() }, nil
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			leave()
			return nil, fmt.Errorf("oauth: another process holds the lock of the grant, %s: %w", path, context.Cause(ctx))
		}
	}
}

// private reports whether nobody but the owner can use a file. Windows has no modes;
// the access lists of the user's own directories keep others out there.
func private(info fs.FileInfo) bool {
	return runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0
}

// readPrivate reads a small file that must be the owner's alone.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case !private(info):
		return nil, fmt.Errorf("%s is open to others (mode %v); take what it holds for stolen: remove it and log in again", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxGrantFile+1))
	if err == nil && len(data) > maxGrantFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxGrantFile)
	}
	return data, err
}

// replace makes a file with data that appears as a whole, in place of what is
// there, and is on the disk when it returns.
func replace(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // of no use to anybody
		return err
	}
	return syncDir(filepath.Dir(path))
}
