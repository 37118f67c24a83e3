package v1alpha1

import (
	"fmt"
	"sort"

	"github.com/kubectl-ha/kubectl-ha/pkg/api/yamldoc"
)

// Decode reads a Cluster from YAML or JSON, strictly: an unknown or misspelt
// field, a wrong type, a duplicate key, a missing or foreign apiVersion or kind
// is an error with file and line. All of them are returned at once, as
// FieldErrors. Path is the file's name in them, empty for none. Defaults are
// not set and nothing is validated; see Load.
func Decode(data []byte, path string) (*Cluster, error) {
	c, _, errs := decode(data, path)
	if len(errs) > 0 {
		return nil, errs
	}
	return c, nil
}

// Load decodes a Cluster, sets the defaults and validates it. The error is
// FieldErrors, with the lines of the fields; the warnings are returned in
// either case.
func Load(data []byte, path string) (*Cluster, []FieldWarning, error) {
	c, lines, errs := decode(data, path)
	if len(errs) > 0 {
		return nil, nil, errs
	}
	c.SetDefaults()
	errs, warnings := c.Validate()
	for i := range errs {
		errs[i].File, errs[i].Line = path, lines.Line(errs[i].Path)
	}
	sort.SliceStable(errs, func(i, j int) bool { return errs[i].Line < errs[j].Line })
	if len(errs) > 0 {
		return nil, warnings, errs
	}
	return c, warnings, nil
}

func decode(data []byte, path string) (*Cluster, yamldoc.Positions, FieldErrors) {
	c := &Cluster{}
	lines, problems := yamldoc.Decode(data, c)
	if len(problems) > 0 {
		return nil, nil, fieldErrors(problems, path)
	}
	var errs FieldErrors
	for _, want := range []struct{ field, got, want string }{
		{"apiVersion", c.APIVersion, APIVersion},
		{"kind", c.Kind, ClusterKind},
	} {
		switch {
		case want.got == "":
			errs = append(errs, FieldError{File: path, Line: 1, Path: want.field,
				Message: fmt.Sprintf("is missing; write %q", want.field+": "+want.want)})
		case want.got != want.want:
			errs = append(errs, FieldError{File: path, Line: lines.Line(want.field), Path: want.field,
				Message: fmt.Sprintf("is %q, only %q is known here", want.got, want.want)})
		}
	}
	return c, lines, errs
}

func fieldErrors(problems []yamldoc.Problem, path string) FieldErrors {
	var errs FieldErrors
	for _, p := range problems {
		e := FieldError{File: path, Line: p.Line, Path: p.Path, Message: p.Message}
		if p.Unknown {
			e.Message = unknownField + p.Path
			if p.Nearest != "" {
				e.Message += fmt.Sprintf(", did you mean %s?", p.Nearest)
			}
		}
		errs = append(errs, e)
	}
	sort.SliceStable(errs, func(i, j int) bool { return errs[i].Line < errs[j].Line })
	return errs
}

// Marshal writes a Cluster as clean YAML: the fields in the order of the type,
// nothing that is empty. Decode reads it back.
func Marshal(c *Cluster) ([]byte, error) {
	out := *c
	out.APIVersion, out.Kind = APIVersion, ClusterKind
	data, err := yamldoc.EncodeClean(out)
	if err != nil {
		return nil, fmt.Errorf("write the Cluster %s as YAML: %w", c.Metadata.Name, err)
	}
	return data, nil
}
