// Package backups makes backups that leave the hosts, and looks after them.
package backups

import (
	"bytes"
	"strings"

	"filippo.io/age"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
)

// Target is where backups are, with the credentials: a secret.
type Target = store.Config

// Identities reads a file with identities of age's, as age-keygen writes it.
func Identities(raw []byte) ([]age.Identity, error) {
	ids, err := age.ParseIdentities(bytes.NewReader(raw))
	if err != nil {
		// The error names the line, not what is in it.
		return nil, action.Invalidf("the file of --identity is none of age's: %w", err)
	}
	return ids, nil
}

// Named finds the target that a text means: a name in spec.backup.targets, or a URL.
func Named(c *v1alpha1.Cluster, text string) (v1alpha1.BackupTarget, error) {
	if strings.Contains(text, "://") {
		if err := store.Check(text); err != nil {
			return v1alpha1.BackupTarget{}, action.Invalidf("the target: %w", err)
		}
		for _, t := range c.Spec.Backup.Targets {
			if t.URL == text {
				return t, nil
			}
		}
		return v1alpha1.BackupTarget{URL: text}, nil
	}
	var names []string
	for _, t := range c.Spec.Backup.Targets {
		if t.Name == text {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return v1alpha1.BackupTarget{}, action.Invalidf("there is no target %q in spec.backup.targets (%s)", text, strings.Join(names, ", "))
}

// TargetOf is a target with the credentials of a file: a YAML map with the keys that a Secret has
// (accessKeyID, secretAccessKey, …), or such a Secret's manifest.
func TargetOf(c *v1alpha1.Cluster, text string, credentials []byte) (*Target, error) {
	t, err := Named(c, text)
	if err != nil {
		return nil, err
	}
	values, err := parse(credentials)
	if err != nil {
		return nil, err
	}
	return toConfig(t, values), nil
}

func toConfig(t v1alpha1.BackupTarget, credentials map[string]string) *Target {
	return &Target{URL: t.URL, Endpoint: t.Endpoint, Region: t.Region, BytesPerSecond: t.BytesPerSecond, Credentials: credentials}
}

func parse(raw []byte) (map[string]string, error) {
	var secret struct {
		Kind       string            `json:"kind"`
		StringData map[string]string `json:"stringData"`
		Data       map[string][]byte `json:"data"`
	}
	out := map[string]string{}
	if err := yaml.Unmarshal(raw, &secret); err == nil && secret.Kind == "Secret" {
		for k, v := range secret.Data {
			out[k] = string(v)
		}
		for k, v := range secret.StringData {
			out[k] = v
		}
		return out, nil
	}
	if err := yaml.Unmarshal(raw, &out); err != nil {
		// The error could quote a value.
		return nil, action.Invalidf("the file of --credentials is no YAML map of texts")
	}
	return out, nil
}

func scheme(target string) string {
	before, _, _ := strings.Cut(target, "://")
	return before
}
