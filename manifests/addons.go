package manifests

import "embed"

// What the dashboard's addon makes for people to log in with.
const (
	// DashboardNamespace is the dashboard's own namespace.
	DashboardNamespace = "ha-dashboard"
	// DashboardViewer may look at everything but Secrets.
	DashboardViewer = "viewer"
	// DashboardAdmin may do everything; it is there only when asked for.
	DashboardAdmin = "admin-user"
	// DashboardNodePort is the port of every node, and so of the virtual IP, on
	// which the dashboard is served.
	DashboardNodePort = 30443
)

// The paths in Addons.
const (
	// AddonsDir holds a folder for each addon.
	AddonsDir = "addons"
	// AddonVersions pins the versions of all of them.
	AddonVersions = "addons/versions.yaml"
)

// Addons holds the addons that come with kubectl-ha.
//
//go:embed addons
var Addons embed.FS
