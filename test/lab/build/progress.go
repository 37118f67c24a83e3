package build

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// progress prints a line when a step starts, ends or was not needed.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	begin time.Time
}

// line prints one line with the time since the build began.
func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A progress line that can't be written must not stop a build.
	_, _ = fmt.Fprintf(p.out, "[%7.1fs] %s\n", time.Since(p.begin).Seconds(), fmt.Sprintf(format, args...))
}

// step reports f's beginning, end and duration.
func (p *progress) step(name string, f func() error) error {
	p.line("%s: started", name)
	begin := time.Now()
	if err := f(); err != nil {
		p.line("%s: failed after %s", name, time.Since(begin).Round(100*time.Millisecond))
		return fmt.Errorf("%s: %w", name, err)
	}
	p.line("%s: done in %s", name, time.Since(begin).Round(100*time.Millisecond))
	return nil
}

// makeCached carries out the build called key unless it is there, with a log file.
func (b *builder) makeCached(key, name string, recipe func(dir string, log io.Writer) error) error {
	if b.Cache.Has(key) {
		b.line("%s: cached", name)
		return nil
	}
	return b.step(name, func() error {
		if err := os.MkdirAll(b.Cache.Logs(), 0o755); err != nil {
			return err
		}
		log, err := os.Create(filepath.Join(b.Cache.Logs(), key+".log"))
		if err != nil {
			return err
		}
		err = b.Cache.Make(key, func(dir string) error { return recipe(dir, log) })
		if closeErr := log.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("%w\nthe whole log is %s", err, log.Name())
		}
		return nil
	})
}
