package host

// Ledger is the host's memory of what kubectl-ha made or replaced there
// (StateDir/ledger.jsonl), with the originals of replaced files beside it.
type Ledger struct{}
