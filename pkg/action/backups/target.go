// Package backups makes backups that leave the hosts, and looks after them.
package backups

import (
	"bytes"

	"filippo.io/age"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ha/kubectl-ha/pkg/action"
	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
	"github.com/kubectl-ha/kubectl-ha/pkg/backup/store"
	"github.com/kubectl-ha/kubectl-ha/pkg/incluster/backups"
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

// TargetOf is a target with the credentials of a file: a YAML map with the keys that a Secret has
// (accessKeyID, secretAccessKey, …), or such a Secret's manifest.
func TargetOf(c *v1alpha1.Cluster, text string, credentials []byte) (*Target, error) {
	t, err := backups.Named(c, text)
	if err != nil {
		return nil, action.As(action.Invalid, err)
	}
	values, err := parse(credentials)
	if err != nil {
		return nil, err
	}
	return backups.Store(t, values), nil
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
