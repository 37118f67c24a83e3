package controlplane

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzKubeadmOutput: a failure's message is short, and no secret of the configuration is
// in what is shown of kubeadm's output.
func FuzzKubeadmOutput(f *testing.F) {
	f.Add("[certs] Generating\nerror: it failed: s3cr3ts3cr3ts3cr\n", "s3cr3ts3cr3ts3cr")
	f.Add("error: "+strings.Repeat("é", 200), "00112233445566778899aabbccddeeff")
	f.Add("[upgrade/staticpods] x", "")
	f.Fuzz(func(t *testing.T, output, secret string) {
		words := lastWords(output, errors.New("exit status 1"))
		if words == "" && !strings.Contains(output, "error: ") || len(words) > 310 || utf8.ValidString(output) && !utf8.ValidString(words) {
			t.Errorf("the last words are %q", words)
		}
		phaseOf(output)
		if len(secret) < 16 || strings.Trim(secret, "0123456789abcdef") != "" {
			return
		}
		config := "certificateKey: \"" + secret + "\"\ndiscovery:\n  bootstrapToken:\n    token: abcdef." + secret[:16] + "\n"
		for _, s := range []string{secret, secret[:16]} {
			if strings.Contains(redact(output+secret+output, []byte(config)), s) {
				t.Errorf("%q is left", s)
			}
		}
	})
}
