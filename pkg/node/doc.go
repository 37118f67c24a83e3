// Package node is what happens on one host: the protocol between a transport
// and the agent, and the agent, which runs one task per request.
//
// The same binary is the agent: `kubectl-ha agent run` reads one Request from
// standard input (secrets travel there, never in argv), writes Messages to
// standard output, one JSON document per line, the last of them a Result, and
// exits 0 whether or not the task failed: what failed is in the Result.
//
// Tasks are typed, idempotent, and know nothing of the transport. Whatever they
// change goes through host.Host, the gate that acts or, in a dry run, records.
package node
