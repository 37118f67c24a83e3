// Package install brings addons into a cluster and takes them out again, as
// Operations of type Addon: certificates first, then the manifests by server-side
// apply under a field manager of its own, then the wait until all is well. What
// an addon made is written down in a ConfigMap of ha-system before it is made, so
// that an uninstall knows all of it, and a newer version what to take away.
//
// What somebody else has changed is reported and left alone, and so is what was
// there before: an object without the addon's label is not the addon's.
package install
