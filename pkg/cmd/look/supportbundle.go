package look

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/cmd/cli"
	"github.com/kubectl-ha/kubectl-ha/pkg/doctor"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/client"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/document"
	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/inspect"
	"github.com/kubectl-ha/kubectl-ha/pkg/program"
	"github.com/kubectl-ha/kubectl-ha/pkg/report"
	"github.com/kubectl-ha/kubectl-ha/pkg/status"
)

const (
	// supportLogLines is how much of each log is taken along, by default.
	supportLogLines = 500
	// supportTimeout bounds one read.
	supportTimeout = 15 * time.Second
)

// supportOptions collect what helps to find out what is wrong.
type supportOptions struct {
	genericiooptions.IOStreams
	access *genericclioptions.ConfigFlags
	file   string
	output string
	lines  int
	quick  bool
}

func NewSupportBundle(streams genericiooptions.IOStreams) *cobra.Command {
	o := &supportOptions{IOStreams: streams, access: cli.NewAccess()}
	c := &cobra.Command{
		Use:     "support-bundle",
		Short:   "Collect logs, states and versions in one archive, without secrets",
		GroupID: cli.GroupAccess,
		Long: cli.Paragraphs(
			"Collects in one archive what helps to find out what is wrong: what status and doctor see, the Cluster document, Operations with their steps, nodes, events and the logs of kube-system and ha-system, and from each node the logs of kubelet, containerd, etcd and keepalived and the programs' versions, by a short read-only task there.",
			"Secrets are never read. What looks like one in a log or a document is left out: private keys, tokens, passwords in URLs. Names and addresses of hosts stay; look through it before you give it to others."),
		Example: cli.Examples(`
			kubectl ha support-bundle
			kubectl ha support-bundle --out incident.tar.gz --lines 2000

			# When the API can't tell where the hosts are
			kubectl ha support-bundle -f cluster.yaml`),
		Args: cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.lines < 0 || o.lines > 20000 {
				return action.Invalidf("--lines must be between 0 and 20000")
			}
			return o.Run(c.Context())
		},
	}
	cli.AddAccess(c, o.access)
	f := c.Flags()
	cli.AddOutFlag(c, streams, &o.output, "the `file` to write (default a name with the time in it, here); - is standard output")
	f.StringVarP(&o.file, "filename", "f", "", "the Cluster `file`, for when the API can't tell where the hosts are")
	f.IntVar(&o.lines, "lines", supportLogLines, "how many of each log's last lines")
	f.BoolVar(&o.quick, "quick", false, "run nothing on the nodes")
	return c
}

// Run collects, then writes. What could not be had is listed in the archive.
func (o *supportOptions) Run(ctx context.Context) error {
	files, missed, err := o.collect(ctx)
	if err != nil {
		return err
	}
	if len(missed) > 0 {
		files["missed.txt"] = []byte(strings.Join(missed, "\n") + "\n")
	}
	name := o.output
	if name == "" {
		name = "kubectl-ha-support-" + time.Now().UTC().Format("20060102-150405") + ".tar.gz"
	}
	if name == "-" {
		return writeSupport(o.Out, files)
	}
	out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return action.As(action.Invalid, err)
	}
	if err := errors.Join(writeSupport(out, files), out.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.ErrOut, "%s written: %s, %s not had. Look through it before you give it away.\n", name, report.Plural(len(files), "file", "files"), report.Plural(len(missed), "thing", "things"))
	return err
}

// collect gathers all files by their names in the archive.
func (o *supportOptions) collect(ctx context.Context) (map[string][]byte, []string, error) {
	s := &statusOptions{IOStreams: o.IOStreams, access: o.access, file: o.file}
	looker, err := s.looker()
	if err != nil {
		return nil, nil, err
	}
	r, err := looker.Look(ctx)
	if err != nil {
		return nil, nil, err
	}
	b := &supportFiles{files: map[string][]byte{}}
	var found status.Inspection
	if !o.quick && r.API.Error == "" {
		found, err = inspectNodes(ctx, s, looker, &r, o.lines)
		b.miss("the nodes' files", err)
		found.Add(&r)
		b.addNodes(found)
	}
	b.addJSON("status.json", r)
	b.add("status.txt", []byte(status.Render(r, report.Style{}, true)))
	b.addJSON("version.json", program.Read())
	if r.API.Error == "" {
		b.addDiagnosis(ctx, s, doctor.Input{Cluster: looker.Cluster(), Report: r, Inspection: found})
		b.addCluster(ctx, s, o.lines)
	}
	b.missed = append(b.missed, r.Unseen...)
	return b.files, b.missed, context.Cause(ctx)
}

// supportFiles are what goes into the archive; everything passes Clean on its way in.
type supportFiles struct {
	files  map[string][]byte
	missed []string
}

func (b *supportFiles) add(name string, content []byte) {
	b.files[name] = []byte(inspect.Clean(string(content)))
}

func (b *supportFiles) miss(what string, err error) {
	if err != nil {
		b.missed = append(b.missed, inspect.Clean(what+": "+err.Error()))
	}
}

func (b *supportFiles) addJSON(name string, v any) {
	content, err := json.MarshalIndent(v, "", "  ")
	b.miss(name, err)
	b.add(name, content)
}

// addNodes adds each node's facts, and its logs as files of their own.
func (b *supportFiles) addNodes(in status.Inspection) {
	for node, facts := range in.Facts {
		for unit, text := range facts.Logs {
			b.add("nodes/"+node+"/"+unit+".log", []byte(text))
		}
		facts.Logs = nil
		b.addJSON("nodes/"+node+"/facts.json", facts)
	}
}

// addDiagnosis adds what doctor finds, by what was looked at for the status.
func (b *supportFiles) addDiagnosis(ctx context.Context, s *statusOptions, in doctor.Input) {
	config, err := cli.RestConfig(s.access)
	b.miss("what doctor finds", err)
	if err != nil {
		return
	}
	clients, err := client.New(config)
	b.miss("what doctor finds", err)
	if err != nil {
		return
	}
	_, stored := incluster.StoredCluster(ctx, clients.Kube)
	in.Ours = stored == nil
	d, err := diagnose(ctx, clients, in)
	b.miss("what doctor finds", err)
	b.addJSON("doctor.json", d)
}

// addCluster adds what the API tells. Secrets and ConfigMaps but the Cluster document
// are not read.
func (b *supportFiles) addCluster(ctx context.Context, s *statusOptions, lines int) {
	config, err := cli.RestConfig(s.access)
	b.miss("the API", err)
	if err != nil {
		return
	}
	kube, err := kubernetes.NewForConfig(config)
	b.miss("the API", err)
	if err != nil {
		return
	}
	if c, err := incluster.StoredCluster(ctx, kube); err == nil {
		b.addDocument(c)
	}
	ops, err := incluster.NewOperations(config, nil)
	b.miss("operations", err)
	if err == nil {
		all, err := ops.List(ctx)
		b.miss("operations", err)
		b.addJSON("operations.json", all)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*supportTimeout)
	defer cancel()
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	b.miss("nodes", err)
	b.addJSON("nodes.json", nodes.Items)
	for _, namespace := range []string{metav1.NamespaceSystem, v1alpha1.SystemNamespace} {
		events, err := kube.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
		b.miss("events of "+namespace, err)
		b.add("events/"+namespace+".txt", []byte(eventLines(events.Items)))
		b.addPods(ctx, kube, namespace, int64(lines))
	}
}

// addDocument adds the Cluster document without what may hold secrets: a network plugin's
// manifest, which earlier versions kept in it, and what is patched into static pods, of which
// the pods' specs are left out too.
func (b *supportFiles) addDocument(c *v1alpha1.Cluster) {
	c, _ = document.Split(c)
	patches := map[string]string{}
	for name, text := range c.Spec.Kubeadm.Patches {
		patches[name] = fmt.Sprintf("# left out: %d bytes", len(text))
	}
	c.Spec.Kubeadm.Patches = patches
	text, err := v1alpha1.Marshal(c)
	b.miss("the Cluster document", err)
	b.add("cluster.yaml", text)
}

func eventLines(events []corev1.Event) string {
	slices.SortStableFunc(events, func(x, y corev1.Event) int { return lastSeen(x).Compare(lastSeen(y)) })
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s/%s %s (%d): %s\n", lastSeen(e).UTC().Format(time.RFC3339), e.Type, e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, occurrences(e), e.Message)
	}
	return b.String()
}

// lastSeen is when an event happened last. Those of the API group events.k8s.io have no
// lastTimestamp: the series tells it of an event that came again, eventTime of one that did not.
// https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
func lastSeen(e corev1.Event) time.Time {
	last := e.CreationTimestamp.Time
	if e.Series != nil && !e.Series.LastObservedTime.IsZero() {
		return e.Series.LastObservedTime.Time
	}
	for _, t := range []time.Time{e.LastTimestamp.Time, e.EventTime.Time, e.FirstTimestamp.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return last
}

// occurrences is how often an event happened.
func occurrences(e corev1.Event) int32 {
	if e.Series != nil && e.Series.Count > 0 {
		return e.Series.Count
	}
	return max(1, e.Count)
}

// addPods adds pods' states and the last lines of their logs, also of a container
// that ended before this one. Specs are left out: their environment may hold secrets.
func (b *supportFiles) addPods(ctx context.Context, kube kubernetes.Interface, namespace string, lines int64) {
	pods, err := kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	b.miss("pods of "+namespace, err)
	states := map[string]any{}
	for _, p := range pods.Items {
		states[p.Name] = map[string]any{"node": p.Spec.NodeName, "status": p.Status}
		for _, c := range p.Status.ContainerStatuses {
			b.addLog(ctx, kube, p, c.Name, lines, false)
			if c.RestartCount > 0 {
				b.addLog(ctx, kube, p, c.Name, lines, true)
			}
		}
	}
	b.addJSON("pods/"+namespace+".json", states)
}

func (b *supportFiles) addLog(ctx context.Context, kube kubernetes.Interface, p corev1.Pod, container string, lines int64, previous bool) {
	ctx, cancel := context.WithTimeout(ctx, supportTimeout)
	defer cancel()
	text, err := kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: container, TailLines: &lines, Previous: previous, Timestamps: true}).DoRaw(ctx)
	name := "logs/" + p.Namespace + "/" + p.Name + "/" + container
	if previous {
		name += ".previous"
	}
	b.miss(name, err)
	if err == nil {
		b.add(name+".log", text)
	}
}

// writeSupport writes the archive, files in the order of their names.
func writeSupport(w io.Writer, files map[string][]byte) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	now := time.Now()
	for _, name := range names {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "kubectl-ha-support/" + name, Size: int64(len(files[name])), Mode: 0o600, ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(files[name]); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}
