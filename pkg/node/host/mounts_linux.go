package host

import (
	"bytes"
	"fmt"

	"github.com/moby/sys/mountinfo"
)

// parseMounts reads proc(5)'s mountinfo. A line that can't be read is an error: what it mounts
// might be taken for nothing, and what is in it for ours.
func parseMounts(content []byte) ([]Mount, error) {
	infos, err := mountinfo.GetMountsFromReader(bytes.NewReader(content), nil)
	if err != nil {
		return nil, err
	}
	var out []Mount
	for _, i := range infos {
		// The source may be empty: mount -t tmpfs "" DIR.
		if i.Mountpoint == "" || i.FSType == "" {
			return nil, fmt.Errorf("mount %d has no path or no type", i.ID)
		}
		out = append(out, Mount{Path: i.Mountpoint, Type: i.FSType, Source: i.Source})
	}
	return out, nil
}
