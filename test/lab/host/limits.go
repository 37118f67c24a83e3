package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// limits are settings of the kernel that all hosts of all labs share, and that
// are too low by default for a handful of hosts with a kubelet and a containerd
// each: containerd then starts without its CRI service.
func limits() map[string]int {
	return map[string]int{
		"/proc/sys/fs/inotify/max_user_instances": 8192,
		"/proc/sys/fs/inotify/max_user_watches":   1 << 20,
	}
}

// raiseLimits raises those that are lower. It never lowers one.
func (m Manager) raiseLimits() error {
	for path, want := range limits() {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		now, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if now >= want {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(want)), 0); err != nil {
			return fmt.Errorf("%s is %d, too low for hosts with kubelets, and can't be raised: %w", path, now, err)
		}
		m.Say("raised %s from %d to %d", path, now, want)
	}
	return nil
}
