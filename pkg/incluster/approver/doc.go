// Package approver approves what kubelets ask for: serving certificates with
// the names and addresses of their own node, and nothing else. Whatever it does
// not approve it leaves to people; it denies nothing.
package approver
