// Package remote reaches a cluster's hosts over SSH, and through them its API server.
package remote
