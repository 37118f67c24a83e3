// Package operations is the client of the Operation resource: it reads and
// writes Operations, follows one of them through lost connections, says what
// changed between two looks at it, and holds the rules of pause, resume and
// abort.
package operations
