package observe

import (
	"testing"
)

func TestVersions(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    image: "
	for name, tc := range map[string]struct {
		files              map[string]string
		says               string
		kubelet, apiserver string
	}{
		"bare":       {files: map[string]string{kubeletProgram: "x"}},
		"worker":     {files: map[string]string{kubeletProgram: "x", kubeletConf: "x"}, says: "Kubernetes v1.36.3\n", kubelet: "v1.36.3"},
		"no sense":   {files: map[string]string{kubeletProgram: "x", kubeletConf: "x"}, says: "no version\n"},
		"no kubelet": {files: map[string]string{kubeletConf: "x"}},
		"control plane": {files: map[string]string{kubeletProgram: "x", kubeletConf: "x", apiServerPod: pod + "registry:5000/kube-apiserver:v1.35.4@sha256:0\n"},
			says: "Kubernetes v1.36.3\n", kubelet: "v1.36.3", apiserver: "v1.35.4"},
		"no tag": {files: map[string]string{kubeletConf: "x", apiServerPod: pod + "registry:5000/kube-apiserver\n"}},
		"broken": {files: map[string]string{kubeletConf: "x", apiServerPod: "{"}},
	} {
		t.Run(name, func(t *testing.T) {
			o, commands, _ := look(t, Spec{}, tc.files)
			if tc.says != "" {
				commands.On(kubeletProgram+" --version", tc.says)
			}
			o.versions(t.Context())
			if s := o.facts.State; s.KubeletVersion != tc.kubelet || s.APIServerVersion != tc.apiserver {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestVersionOfAKubeletThatDoesNotRun(t *testing.T) {
	o, commands, warnings := look(t, Spec{}, map[string]string{kubeletProgram: "x", kubeletConf: "x"})
	commands.Fail(kubeletProgram+" --version", 1, "broken")
	o.versions(t.Context())
	if o.facts.State.KubeletVersion != "" || len(*warnings) != 1 {
		t.Errorf("%+v %q", o.facts.State, *warnings)
	}
}
