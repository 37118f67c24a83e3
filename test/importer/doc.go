// Package importer has the test that another program can use the actions: one in a module of its
// own imports them, and is built.
package importer
