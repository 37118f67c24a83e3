package addon

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/v1alpha1"
)

var (
	// imageName and imageTag are as the reference grammar of container images has them.
	imageName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$`)
	imageTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// Validate refuses a descriptor that contradicts itself or its files.
func (a *Addon) Validate() error {
	d := a.Descriptor
	errs := []error{d.validateHead(), d.Release.validate()}
	if len(a.Files)+len(d.Files) == 0 {
		errs = append(errs, errors.New("it has no manifest"))
	}
	for name, v := range d.Variants {
		for _, m := range v.Manifests {
			if _, ok := a.Files[m]; !ok {
				errs = append(errs, fmt.Errorf("variants.%s: there is no file %s", name, m))
			}
		}
		if bad := validation.IsDNS1123Label(name); len(bad) > 0 || len(v.Manifests) == 0 {
			errs = append(errs, fmt.Errorf("variants.%s: it needs a name of small letters, and manifests", name))
		}
	}
	for i, s := range d.Settings {
		if s.Kind == "" || s.Name == "" || len(s.Path) == 0 {
			errs = append(errs, fmt.Errorf("settings[%d]: kind, name and path are needed", i))
		}
		if !slices.Contains(FactNames(), s.Value) {
			errs = append(errs, fmt.Errorf("settings[%d].value: %q is not known; it may be %s", i, s.Value, strings.Join(FactNames(), ", ")))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("addon %.63s: %w", d.Name, err)
	}
	return nil
}

func (d Descriptor) validateHead() error {
	var errs []error
	if d.APIVersion != v1alpha1.APIVersion || d.Kind != Kind {
		errs = append(errs, fmt.Errorf("apiVersion and kind must be %s and %s", v1alpha1.APIVersion, Kind))
	}
	if bad := validation.IsDNS1123Label(d.Name); len(bad) > 0 {
		errs = append(errs, fmt.Errorf("name %q: %s", d.Name, strings.Join(bad, ", ")))
	}
	if d.Description == "" {
		errs = append(errs, errors.New("a description is needed"))
	}
	for i, c := range d.Certificates {
		if c.Secret == "" || c.Namespace == "" || c.CommonName == "" {
			errs = append(errs, fmt.Errorf("certificates[%d]: secret, namespace and commonName are needed", i))
		}
		if c.Authority != AuthorityCluster && c.Authority != AuthorityEtcd {
			errs = append(errs, fmt.Errorf("certificates[%d].authority: %q is not known; it may be %s or %s", i, c.Authority, AuthorityCluster, AuthorityEtcd))
		}
		// A client certificate of the cluster's CA is a login to the cluster.
		if c.Authority == AuthorityCluster && !c.Server {
			errs = append(errs, fmt.Errorf("certificates[%d]: the cluster's CA signs no client here; use a ServiceAccount", i))
		}
		if c.Authority == AuthorityEtcd && c.Server {
			errs = append(errs, fmt.Errorf("certificates[%d]: etcd's CA signs no server here", i))
		}
	}
	for i, c := range d.Health.Conditions {
		if c.APIVersion == "" || c.Kind == "" || c.Name == "" || c.Type == "" {
			errs = append(errs, fmt.Errorf("health.conditions[%d]: apiVersion, kind, name and type are needed", i))
		}
	}
	if d.Health.Deadline.Duration < 0 {
		errs = append(errs, errors.New("health.deadline: must be greater than 0"))
	}
	return errors.Join(errs...)
}

func (r Release) validate() error {
	var errs []error
	if r.Version == "" {
		errs = append(errs, errors.New("a version is needed"))
	}
	for name, tag := range r.Images {
		if !imageName.MatchString(name) || !imageTag.MatchString(tag) {
			errs = append(errs, fmt.Errorf("images: %q with the tag %q is not the full name of an image", name, tag))
		}
	}
	for i, f := range r.Files {
		u, err := url.Parse(f.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Path == "" || u.User != nil {
			errs = append(errs, fmt.Errorf("files[%d].url: %q is not an https URL of a file", i, f.URL))
		}
		if raw, err := hex.DecodeString(f.SHA256); err != nil || len(raw) != 32 || strings.ToLower(f.SHA256) != f.SHA256 {
			errs = append(errs, fmt.Errorf("files[%d].sha256: %q is not a SHA-256 in small hex digits", i, f.SHA256))
		}
	}
	return errors.Join(errs...)
}

// CheckVariants refuses variants that the addon does not have.
func (a *Addon) CheckVariants(variants []string) error {
	for _, v := range variants {
		if _, ok := a.Descriptor.Variants[v]; !ok {
			return fmt.Errorf("the addon %s has no variant %s", a.Descriptor.Name, v)
		}
	}
	return nil
}
