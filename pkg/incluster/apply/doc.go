// Package apply brings YAML documents to a cluster by server-side apply: it
// decodes them, finds their resources, and applies them under one field
// manager, so that applying the same again writes nothing (the object keeps its
// resourceVersion) and somebody else's change to a field is reported.
package apply
