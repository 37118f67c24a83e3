// Package addon knows what an addon is: a folder with manifests and a
// descriptor, addon.yaml, which says what the manifests need and what in them
// depends on the cluster. Those that come with kubectl-ha are under
// manifests/addons, with all versions pinned in one file; a user's own folder is
// read alike. Nothing here talks to a cluster: package install does.
//
// No text is templated: the manifests are complete, and Render sets the values
// that a descriptor's settings name on the decoded objects.
package addon
