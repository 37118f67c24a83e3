package yamldoc

import "testing"

// FuzzValues: what a person hands over never ends the program, every problem has
// something to say, and what was read is written so that the same is read again.
func FuzzValues(f *testing.F) {
	for _, seed := range []string{"", "a: 1\nb: [x, {y: z}]\n", "a: &x {b: 1}\nc: {<<: *x}\n", "a: 1\na: 2\n", "- 1\n", "a: 1\n---\nb: 2\n",
		"? [a]\n: b\n", "a: 0o17\nb: 1_000\nc: 0x1F\nd: 1e3\ne: .nan\nf: 2001-01-01\n", "a: yes\nb: 'no'\nc: |\n  x\n  y\n", "a: !!binary aGk=\n", "a: &a [*a]\n", "\xff\xfe"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, lines, problems := Values(data)
		for _, p := range problems {
			if p.Message == "" && !p.Unknown {
				t.Errorf("a problem says nothing: %+v", p)
			}
		}
		for path, line := range lines {
			if line < 1 {
				t.Errorf("%s is in line %d", path, line)
			}
		}
		if len(problems) > 0 || values == nil {
			return
		}
		text, err := Encode(values)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, _, problems := Values(text)
		// The text is compared: a number may have been read as a fraction that is a whole one.
		second, err := Encode(again)
		if len(problems) > 0 || err != nil || string(second) != string(text) {
			t.Errorf("%q is written as %q, and that as %q: %v %v", data, text, second, problems, err)
		}
	})
}
