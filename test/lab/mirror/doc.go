// Package mirror is the lab's stand-in for upstream's download sites: one HTTP
// port with files under /<upstream host>/<upstream path> and, under /v2/, a
// real OCI registry with repositories named <upstream registry>/<repository>.
package mirror
