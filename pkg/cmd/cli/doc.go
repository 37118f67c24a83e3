// Package cli is what the commands share: flags that are the same on all of them, the files and
// the environment that they read, how they ask and print, and their exit codes.
package cli
