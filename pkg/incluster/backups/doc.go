// Package backups makes a backup of all nodes by an Operation, and sends it to a target, as
// `kubectl ha backup create` does from the workstation: what both of them go by is here.
package backups
