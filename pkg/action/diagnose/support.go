package diagnose

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

// SupportOptions say what is collected.
type SupportOptions struct {
	Config *rest.Config
	// Cluster says where the hosts are, for when the API can't tell; nil is the stored document.
	Cluster *v1alpha1.Cluster
	// Lines is the number of lines from the end of each log.
	Lines int
	// Quick runs nothing on the nodes.
	Quick bool
	// Render writes the status for people.
	Render func(status.Report) string
}

// Support is what helps to find out what is wrong, without secrets: whatever was collected has
// passed inspect.Clean.
type Support struct {
	// Files are the contents by the names in the archive.
	Files map[string][]byte
	// Missed says what could not be had, and why; missed.txt says so too.
	Missed []string
}

// CollectSupport collects it. It changes nothing; the error is the context's end.
func CollectSupport(ctx context.Context, o SupportOptions) (Support, error) {
	clients, err := client.New(o.Config)
	if err != nil {
		return Support{}, err
	}
	l := NewLooker(LookOptions{Config: o.Config, Cluster: o.Cluster})
	r, err := l.Look(ctx)
	if err != nil {
		return Support{}, err
	}
	c := newCollector()
	var found status.Inspection
	if !o.Quick && r.API.Error == "" {
		if found, err = l.inspect(ctx, &r, o.Lines); err != nil {
			return Support{}, err
		}
		c.addNodes(found)
	}
	c.addJSON("status.json", r)
	c.add("status.txt", []byte(o.Render(r)))
	c.addJSON("version.json", program.Read())
	if r.API.Error == "" {
		in := doctor.Input{Cluster: l.looker.Cluster(), Report: r, Inspection: found, Ours: isOurs(ctx, clients)}
		d, err := examine(ctx, o.Config, clients, in)
		c.miss("what doctor finds", err)
		c.addJSON("doctor.json", d)
		c.addCluster(ctx, o.Config, clients.Kube, int64(o.Lines))
	}
	for _, u := range r.Unseen {
		c.missed = append(c.missed, inspect.Clean(u))
	}
	return c.support(), context.Cause(ctx)
}

// collector collects files; everything passes inspect.Clean on its way in.
type collector struct {
	files  map[string][]byte
	missed []string
}

func newCollector() *collector { return &collector{files: map[string][]byte{}} }

// support is all that was collected, with what is missing in a file of its own.
func (c *collector) support() Support {
	if len(c.missed) > 0 {
		c.files["missed.txt"] = []byte(strings.Join(c.missed, "\n") + "\n")
	}
	return Support{Files: c.files, Missed: c.missed}
}

func (c *collector) add(name string, content []byte) {
	c.files[name] = []byte(inspect.Clean(string(content)))
}

func (c *collector) miss(what string, err error) {
	if err != nil {
		c.missed = append(c.missed, inspect.Clean(what+": "+err.Error()))
	}
}

func (c *collector) addJSON(name string, v any) {
	content, err := json.MarshalIndent(v, "", "  ")
	c.miss(name, err)
	c.add(name, content)
}

// addNodes adds each node's facts, and its logs as files of their own.
func (c *collector) addNodes(in status.Inspection) {
	for node, facts := range in.Facts {
		for unit, text := range facts.Logs {
			c.add("nodes/"+node+"/"+unit+".log", []byte(text))
		}
		facts.Logs = nil
		c.addJSON("nodes/"+node+"/facts.json", facts)
	}
}

// addDocument adds the Cluster document without what may hold secrets: a network plugin's
// manifest, which earlier versions kept in it, and what is patched into static pods, of which
// the pods' specs are left out too.
func (c *collector) addDocument(cluster *v1alpha1.Cluster) {
	cluster, _ = document.Split(cluster)
	patches := map[string]string{}
	for name, text := range cluster.Spec.Kubeadm.Patches {
		patches[name] = fmt.Sprintf("# left out: %d bytes", len(text))
	}
	cluster.Spec.Kubeadm.Patches = patches
	text, err := v1alpha1.Marshal(cluster)
	c.miss("the Cluster document", err)
	c.add("cluster.yaml", text)
}

// Write writes the archive, gzipped, files in the order of their names and as of now.
func (s Support) Write(w io.Writer, now time.Time) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "kubectl-ha-support/" + name, Size: int64(len(s.Files[name])), Mode: 0o600, ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(s.Files[name]); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}
