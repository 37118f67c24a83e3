package adopt

import (
	"strings"
	"testing"
)

// TestName: a cluster can be adopted whatever kubeadm calls it, and is told what its name is then.
func TestName(t *testing.T) {
	for name, want := range map[string]string{
		"prod":                           "prod",
		"":                               "kubernetes",
		"cluster.local":                  "cluster-local",
		"Prod_EU (1)":                    "prod-eu--1",
		"...":                            "kubernetes",
		"-a-":                            "a",
		"köln":                           "k-ln",
		strings.Repeat("a", 62) + ".b.c": strings.Repeat("a", 62),
		strings.Repeat("a", 70):          strings.Repeat("a", 63),
	} {
		o := observation(t, stacked)
		o.Kubeadm.ClusterName = name
		c, _, err := Cluster(o, "")
		if err == nil {
			err = Check(c)
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if c.Metadata.Name != want {
			t.Errorf("%q: the name is %q, want %q", name, c.Metadata.Name, want)
		}
		told := false
		for _, f := range Findings(c, o) {
			told = told || strings.Contains(f.Message, "clusterName is "+name+";") && strings.Contains(f.Message, want)
		}
		if told != (name != "" && name != want) {
			t.Errorf("%q: told: %v", name, told)
		}
	}
}
