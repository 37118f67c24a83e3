// Package ssh carries tasks to hosts over SSH during the bootstrap.
//
// Everything means what OpenSSH means by it. LoadConfig asks its client what the
// caller's configuration says (ssh -G), or reads it where there is none; Resolve
// turns that, the Cluster file and the defaults into a Target;
// a Dialer makes connections of Targets, with host keys checked against
// known_hosts; Hosts is one connection per host, puts the agent there, and is a
// transport.Runner.
//
// Nothing here asks a person anything: whatever would need a prompt is an Error
// that says what to do instead. What runs on a host is an argument vector,
// quoted for the remote shell in one place (Quote).
package ssh
