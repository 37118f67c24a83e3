package adopt

import (
	"encoding/json"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// marks is the patch that takes kubectl-ha's annotations and labels off an object; empty when it
// has none. It is pure.
func marks(annotations, labels map[string]string) string {
	ours := func(all map[string]string) map[string]any {
		out := map[string]any{}
		for key := range all {
			if strings.HasPrefix(key, v1alpha1.Group+"/") {
				out[key] = nil
			}
		}
		return out
	}
	metadata := map[string]any{}
	for field, all := range map[string]map[string]any{"annotations": ours(annotations), "labels": ours(labels)} {
		if len(all) > 0 {
			metadata[field] = all
		}
	}
	if len(metadata) == 0 {
		return ""
	}
	// Of maps of strings, which can always be encoded.
	raw, _ := json.Marshal(map[string]any{"metadata": metadata})
	return string(raw)
}
