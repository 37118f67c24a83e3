// Package bootstrap is stage one: bare hosts, reached over SSH, become an etcd
// cluster, a virtual IP, a first control plane and joined kubelets. The rest
// is done from inside the cluster, by whatever Config.Join is.
//
// It goes in three parts. Observe looks at all hosts. Preflight and MakePlan
// are pure: what is wanted and what was observed give all findings, and the
// plan. Run carries the plan out. A plan holds no secret: certificates and
// tokens are put into a request just before it is sent.
//
// Running it again is how one resumes: it observes, and does what is left.
package bootstrap
