// Package operate begins Operations in a cluster that runs, one at a time.
package operate
