// Package fsdiff tells what has changed on a host's file system since it was
// bare. Docker's own diff sees only a container's image layers; a lab host's
// /var is a volume, and most of what a cluster leaves behind is there.
package fsdiff
