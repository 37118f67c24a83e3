package v1alpha1

import (
	"bytes"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"text/template"
)

//go:embed template.yaml
var templateText string

// +kubebuilder:object:generate=false

// TemplateParams fill the commented file that `kubectl ha init` writes. What is
// empty becomes an example.
type TemplateParams struct {
	// File is the name the file gets, for the commands in its head. Default cluster.yaml.
	File string
	// Name, KubernetesVersion, VirtualIP and Hosts are the fields of that name.
	// The strings are written into the file as they are.
	Name              string
	KubernetesVersion string
	VirtualIP         string
	Hosts             []Host
}

// Template returns a commented Cluster file, with every setting there is. Load
// reads it without an error, given valid parameters.
func Template(p TemplateParams) ([]byte, error) {
	text(&p.File, "cluster.yaml")
	text(&p.Name, DefaultName)
	text(&p.KubernetesVersion, DefaultKubernetesVersion)
	text(&p.VirtualIP, "192.0.2.10")
	if len(p.Hosts) == 0 {
		p.Hosts = []Host{
			{Name: "cp1", Address: "192.0.2.11", Roles: []Role{RoleControlPlane}},
			{Name: "cp2", Address: "192.0.2.12", Roles: []Role{RoleControlPlane}},
			{Name: "cp3", Address: "192.0.2.13", Roles: []Role{RoleControlPlane}},
			{Name: "worker1", Address: "192.0.2.21", Roles: []Role{RoleWorker}},
		}
	}
	// An IPv6 address may end in a colon, which YAML takes for a key's.
	quote := func(s string) string {
		if strings.Contains(s, ":") {
			return strconv.Quote(s)
		}
		return s
	}
	t, err := template.New("cluster").Funcs(template.FuncMap{"address": quote}).Parse(templateText)
	if err != nil {
		return nil, fmt.Errorf("read the built-in template: %w", err)
	}
	var out bytes.Buffer
	data := struct {
		TemplateParams
		Supported string
	}{p, SupportedVersions}
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("fill the built-in template: %w", err)
	}
	return out.Bytes(), nil
}
