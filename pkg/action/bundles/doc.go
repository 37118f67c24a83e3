// Package bundles opens, checks and makes bundles for whoever needs one.
package bundles
