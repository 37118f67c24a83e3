package inventory

import (
	"fmt"
	"maps"
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
	file     *file
	layers   []layer
	settings map[string]variable
	result   Result
	// expansions counts the templates carried out for the current value,
	// allExpansions those before, against loops.
	expansions, allExpansions int
}

// Convert turns an inventory into a Cluster. Name is the inventory's file name
// (my-cluster.inventory); groupVars are the files of its group_vars folder by
// file name. The error tells, with lines, what could not be read, or that the
// inventory has no masters.
func Convert(inventory []byte, name string, groupVars map[string][]byte) (Result, error) {
	f, err := parse(inventory, name)
	if err != nil {
		return Result{}, err
	}
	layers, unmapped, notes, err := readLayers(f, groupVars)
	if err != nil {
		return Result{}, err
	}
	cv := &converter{file: f, layers: layers, settings: settings(layers)}
	cv.result = Result{Unmapped: unmapped, Notes: notes, Cluster: &v1alpha1.Cluster{}}
	c := cv.result.Cluster
	c.APIVersion, c.Kind = v1alpha1.APIVersion, v1alpha1.ClusterKind
	c.Metadata.Name = label(stem(name))
	if err := cv.hosts(); err != nil {
		return Result{}, err
	}
	cv.virtualIPGroup()
	cv.applySettings()
	cv.defaults()
	slices.SortStableFunc(cv.result.Unmapped, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return cv.result, nil
}

func (cv *converter) note(format string, args ...any) {
	cv.result.Notes = append(cv.result.Notes, fmt.Sprintf(format, args...))
}

func (cv *converter) unmapped(name, where, why string) {
	cv.result.Unmapped = append(cv.result.Unmapped, Setting{Name: name, Where: where, Why: why})
}

// applySettings gives every variable to its rule, in the order of their names.
func (cv *converter) applySettings() {
	for _, name := range slices.Sorted(maps.Keys(cv.settings)) {
		v := cv.settings[name]
		if strings.HasPrefix(name, "ansible_") {
			continue // looked at for each host
		}
		apply, known := rules[strings.ToUpper(name)]
		if !known {
			cv.unmapped(name, v.where, reason(name))
			continue
		}
		if v.value == nil {
			continue // set to nothing
		}
		text, ok := scalar(v.value)
		if !ok {
			cv.unmapped(name, v.where, "a single value was expected")
			continue
		}
		text, err := cv.expandTemplates(text, 0)
		if err != nil {
			cv.unmapped(name, v.where, err.Error())
			continue
		}
		if text == "" {
			continue
		}
		if why := apply(cv, text); why != "" {
			cv.unmapped(name, v.where, why)
		}
	}
}

// defaults fills in what a Cluster can't do without.
func (cv *converter) defaults() {
	s := &cv.result.Cluster.Spec
	if s.KubernetesVersion == "" {
		s.KubernetesVersion = v1alpha1.DefaultKubernetesVersion
		if _, set := cv.settings["KUBERNETES_VERSION"]; !set {
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
