package daemon

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files have to be quiet before they are read: an editor
	// writes in several steps, and a half-written file may be a valid one.
	settle = 300 * time.Millisecond
	// settleMax bounds the waiting for files that are never quiet.
	settleMax = 5 * time.Second
	// lookAgain is the time between two looks without an event: network file systems
	// tell of nothing, and a directory that was replaced is not the one that is watched.
	lookAgain = 30 * time.Second
)

// fileWatch takes over changes of the config's file and of the TLS files by itself.
// Directories are watched, not files: editors and Kubernetes put another file, or
// another link, in the place of the old one.
type fileWatch struct {
	d    *Daemon
	fs   *fsnotify.Watcher // nil where the system has none left; then lookAgain does
	dirs []string
	seen string // what the files were when they were last read
}

// runWatch watches until it is taken down.
func (d *Daemon) runWatch(ctx context.Context, down *teardown) {
	if d.opts.Source == nil {
		return
	}
	w := &fileWatch{d: d}
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err != nil {
		d.log.Warn("config file is looked at now and then only", "component", configComponent, "every", lookAgain, "err", err)
	}
	w.follow()
	w.seen = d.startedWith
	watchCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		w.run(watchCtx)
	}()
	down.push("config watch", func(context.Context) error {
		stop()
		<-done
		if w.fs == nil {
			return nil
		}
		return w.fs.Close()
	})
}

func (w *fileWatch) run(ctx context.Context) {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	var events chan fsnotify.Event
	var errs chan error
	if w.fs != nil {
		events, errs = w.fs.Events, w.fs.Errors
	}
	quiet := time.NewTimer(0) // once at the beginning: for what happened before it was watched
	defer quiet.Stop()
	var first time.Time // event since the last look; zero for none
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, min(settle, settleMax-time.Since(first))))
		case _, ok := <-errs: // events may have been lost
			if !ok {
				errs = nil
				continue
			}
			quiet.Reset(settle)
		case <-quiet.C:
			first = time.Time{}
			w.look()
		case <-again.C:
			w.look()
		}
	}
}

// look has the config read again if its files are different.
func (w *fileWatch) look() {
	w.follow()
	files := w.d.files()
	text, err := os.ReadFile(files[0])
	if err != nil {
		text = []byte("unreadable") // that is news, too
	}
	now := fingerprint(text, files[1:]...)
	if now == w.seen {
		return
	}
	w.seen = now
	if !w.d.now.Load().cfg.Watch {
		return
	}
	w.d.reloadChanged()
}

// files are those whose content makes the config.
func (d *Daemon) files() []string {
	list := []string{d.opts.Source.Path}
	if c := d.now.Load().cfg.TLS; c.Cert != "" {
		list = append(list, c.Cert, c.Key)
	}
	return list
}

// fingerprint differs when the text of the config or the content of another file does.
func fingerprint(text []byte, others ...string) string {
	all := []byte(hashOf(text))
	for _, path := range others {
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte("unreadable")
		}
		all = append(all, hashOf(content)...)
	}
	return hashOf(all)
}

// follow watches the directories in which the files and what they link to are now.
func (w *fileWatch) follow() {
	if w.fs == nil {
		return
	}
	var dirs []string
	for _, path := range w.d.files() {
		dirs = append(dirs, linked(path)...)
	}
	for _, dir := range w.dirs {
		if !slices.Contains(dirs, dir) {
			_ = w.fs.Remove(dir) // it may be gone already
		}
	}
	for _, dir := range dirs {
		if err := w.fs.Add(dir); err != nil && !slices.Contains(w.dirs, dir) {
			w.d.log.Warn("directory of the config not watched", "component", configComponent, "dir", dir, "err", err)
		}
	}
	w.dirs = dirs
}

// linked are the directories on the way from a path to the file that it leads to: of
// each link on it, since any of them can be replaced.
func linked(path string) (dirs []string) {
	const most = 16
	abs, err := filepath.Abs(path)
	for range most {
		if err != nil {
			break
		}
		dir := filepath.Dir(abs)
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		// The directory itself may be reached by a link, as with a ConfigMap's ..data.
		if real, evalErr := filepath.EvalSymlinks(dir); evalErr == nil && real != dir && !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
		to, readErr := os.Readlink(abs)
		if readErr != nil {
			break
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		abs = to
	}
	return dirs
}
