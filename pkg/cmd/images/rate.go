package images

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// rateFlag is a rate of data, kept in bytes per second; zero is no bound.
type rateFlag struct {
	text  string
	bytes int64
}

// rateUnits are bits per second, in the decimal multiples of links.
var rateUnits = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// String is the flag's value.
func (r *rateFlag) String() string { return r.text }

// Type names the value in the help.
func (r *rateFlag) Type() string { return "rate" }

// Set reads 50Mbit, 2.5Gbit, 800kbit, each also with /s.
func (r *rateFlag) Set(text string) error {
	s := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), "/s")
	for _, u := range rateUnits {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		bytes := n * u.bits / 8
		if err != nil || math.IsNaN(n) || bytes < 1 || bytes > math.MaxInt64/2 {
			return fmt.Errorf("%q is not a valid rate; use a value such as 50Mbit", text)
		}
		r.text, r.bytes = text, int64(bytes)
		return nil
	}
	return fmt.Errorf("%q has no unit; use kbit, Mbit or Gbit, such as 50Mbit", text)
}
