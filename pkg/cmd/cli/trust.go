package cli

import (
	"github.com/spf13/pflag"

	"github.com/kubectl-ha/kubectl-ha/pkg/action/bundles"
)

// AddTrustFlags adds the flags that say which bundle it has to be, with "bundle-" before
// their names where the bundle is a flag itself.
func AddTrustFlags(f *pflag.FlagSet, t *bundles.Trust, prefix string) {
	f.StringVar(&t.Digest, prefix+"digest", "", "use the bundle only if this is its `digest`, as `bundle create` and `bundle inspect` tell it")
	f.StringVar(&t.KeyFile, prefix+"key", "", "use the bundle only if it was signed by the owner of this public key (`file`)")
}

// TrustMirrorUsage is the help for --trust-mirror.
const TrustMirrorUsage = "take what mirrors serve as it is, although it may differ from what upstream published"
