package observe

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/host"
)

const kubeletProgram = "/usr/local/bin/kubelet"

// versions tells which Kubernetes a joined host has.
func (o *observer) versions(ctx context.Context) {
	if !o.exists(kubeletConf) {
		return
	}
	if o.exists(kubeletProgram) {
		out, err := o.h.Query(ctx, host.Command{Argv: []string{kubeletProgram, "--version"}})
		if err != nil {
			o.warn("the kubelet can't be asked for its version: %v", err)
		}
		o.facts.State.KubeletVersion = versionIn(string(out.Stdout))
	}
	manifest, err := o.h.ReadFile(apiServerPod)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			o.warn("%s can't be read: %v", apiServerPod, err)
		}
		return
	}
	o.facts.State.APIServerVersion = podVersion(manifest)
}

// versionIn finds the version in "Kubernetes v1.36.3".
func versionIn(text string) string {
	for _, word := range strings.Fields(text) {
		if len(word) > 1 && word[0] == 'v' && word[1] >= '0' && word[1] <= '9' {
			return word
		}
	}
	return ""
}

// podVersion is the tag of the image in a static pod's manifest; empty when there is
// none that is a version.
func podVersion(manifest []byte) string {
	var pod struct {
		Spec struct {
			Containers []struct {
				Image string `json:"image"`
			} `json:"containers"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(manifest, &pod); err != nil || len(pod.Spec.Containers) == 0 {
		return "" // What can't be read is not known.
	}
	image, _, _ := strings.Cut(pod.Spec.Containers[0].Image, "@")
	return versionIn(image[strings.LastIndex(image, ":")+1:])
}
