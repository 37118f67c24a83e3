package inventory

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

// Setting is something of the predecessor's that has no place in the Cluster.
type Setting struct {
	// Name is the variable's name. Its value is not told: it may be a password.
	Name string `json:"name"`
	// Where is the file, or the host, that sets it.
	Where string `json:"where"`
	// Why is the reason, and what to do instead if there is anything to do.
	Why string `json:"why"`
}

// Result is what became of an inventory.
type Result struct {
	// Cluster has what could be converted, without defaults. It may still lack
	// what the inventory did not say (an address, the virtual IP); Notes name
	// that, and its validation will.
	Cluster *v1alpha1.Cluster
	// Unmapped are the settings that have no counterpart, sorted by name.
	Unmapped []Setting
	// Notes are what was decided on the way, and what is left to do by hand.
	Notes []string
}

// converter carries what is needed while a Result comes together.
type converter struct {
	model *model
	// settings are the variables of the host that kubeadm init runs on.
	settings view
	// inCluster are the hosts that are taken over.
	inCluster map[string]bool
	result    Result
	// expansions counts the templates carried out for the current value,
	// allExpansions those before, against loops.
	expansions, allExpansions int
}

// Convert turns an inventory into a Cluster. Name is the inventory's file name
// (my-cluster.inventory); folder is where it lies, of which group_vars and
// host_vars are read, or nil. The error tells, with lines, what could not be
// read, or that the inventory has no masters.
func Convert(inventory []byte, name string, folder fs.FS) (Result, error) {
	m, err := parse(inventory, name)
	if err != nil {
		return Result{}, err
	}
	var unmapped []Setting
	if folder != nil {
		if unmapped, err = readVarFiles(m, folder); err != nil {
			return Result{}, err
		}
	}
	cv := &converter{model: m, inCluster: map[string]bool{}}
	cv.result = Result{Unmapped: append(unmapped, m.nobodys()...), Notes: m.notes, Cluster: &v1alpha1.Cluster{}}
	c := cv.result.Cluster
	c.APIVersion, c.Kind = v1alpha1.APIVersion, v1alpha1.ClusterKind
	c.Metadata.Name = label(stem(name))
	if err := cv.hosts(); err != nil {
		return Result{}, err
	}
	cv.applySettings()
	cv.others()
	cv.defaults()
	slices.SortStableFunc(cv.result.Unmapped, func(a, b Setting) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Where, b.Where), cmp.Compare(a.Why, b.Why))
	})
	return cv.result, nil
}

func (cv *converter) note(format string, args ...any) {
	cv.result.Notes = append(cv.result.Notes, fmt.Sprintf(format, args...))
}

func (cv *converter) unmapped(name, where, why string) {
	cv.result.Unmapped = append(cv.result.Unmapped, Setting{Name: name, Where: where, Why: why})
}

// defaults fills in what a Cluster can't do without.
func (cv *converter) defaults() {
	s := &cv.result.Cluster.Spec
	if s.KubernetesVersion == "" {
		s.KubernetesVersion = v1alpha1.DefaultKubernetesVersion
		if _, set := cv.settings.vars["KUBERNETES_VERSION"]; !set {
			cv.note("no KUBERNETES_VERSION is set; spec.kubernetesVersion is %s", s.KubernetesVersion)
		}
	}
	if s.VirtualIP == "" {
		cv.note("no virtual IP was found (APISERVER_VIP, MASTER_VIP or the group apiserver_vip); set spec.virtualIP")
	}
}

// label makes a DNS label of a name as well as can be.
func label(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-':
			return r
		case r == '_' || r == '.' || r == ' ':
			return '-'
		default:
			return -1
		}
	}, strings.ToLower(name))
	return strings.Trim(out[:min(len(out), 63)], "-")
}
