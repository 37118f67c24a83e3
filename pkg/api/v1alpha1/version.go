package v1alpha1

import (
	"fmt"
	"regexp"
	"strconv"
)

// The window of Kubernetes versions that is supported: 1.MinMinor to 1.MaxMinor.
// Change it here only.
const (
	MinMinor = 34
	MaxMinor = 37
	// DefaultKubernetesVersion is what `kubectl ha init` writes.
	DefaultKubernetesVersion = "v1.36.3"
)

// SupportedVersions names the window for people. Never assigned to.
var SupportedVersions = fmt.Sprintf("v1.%d to v1.%d", MinMinor, MaxMinor)

var versionSyntax = regexp.MustCompile(`^v(\d{1,3})\.(\d{1,3})\.(\d{1,3})(-[0-9A-Za-z.-]+)?$`)

// MinorOf returns the minor version of a version such as v1.36.3. The error
// says what a version looks like, or that it is outside the supported window.
func MinorOf(version string) (int, error) {
	m := versionSyntax.FindStringSubmatch(version)
	if m == nil {
		return 0, fmt.Errorf("%q is no version; write it like %s", version, DefaultKubernetesVersion)
	}
	// The expression admits at most three digits, which always convert.
	minor, _ := strconv.Atoi(m[2])
	if m[1] != "1" || minor < MinMinor || minor > MaxMinor {
		return 0, fmt.Errorf("%s is not supported; choose one of %s", version, SupportedVersions)
	}
	return minor, nil
}
