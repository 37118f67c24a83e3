package cli

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// AddFormer keeps the former name of a flag for one release, with a warning.
func AddFormer(f *pflag.FlagSet, errOut io.Writer, former, name string) {
	now := f.Lookup(name)
	f.Var(&formerValue{Value: now.Value, tell: func() error {
		_, err := fmt.Fprintf(errOut, "warning: --%s is deprecated, use --%s; the next release removes it\n", former, name)
		return err
	}}, former, now.Usage)
	f.Lookup(former).Hidden, f.Lookup(former).NoOptDefVal = true, now.NoOptDefVal
}

// formerValue is a flag's value under its former name.
type formerValue struct {
	pflag.Value
	tell func() error
}

// Set sets the value, and tells the flag's name.
func (v *formerValue) Set(text string) error {
	if err := v.tell(); err != nil {
		return err
	}
	return v.Value.Set(text)
}
