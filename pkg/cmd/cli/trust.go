package cli

import (
	"github.com/spf13/pflag"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
)

// AddTrustFlags adds the flags that say which bundle it has to be, with "bundle-" before
// their names where the bundle is a flag itself.
func AddTrustFlags(f *pflag.FlagSet, t *bundles.Trust, prefix string) {
	f.StringVar(&t.Digest, prefix+"digest", "", "use the bundle only if it has this `digest`, as printed by `bundle create` and `bundle inspect`")
	f.StringVar(&t.KeyFile, prefix+"key", "", "use the bundle only if the owner of this public key (`file`) signed it")
}

// TrustMirrorUsage is the help for --trust-mirror.
const TrustMirrorUsage = "accept what mirrors serve, even if it differs from what upstream published"
