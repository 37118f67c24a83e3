package inspect

import (
	"time"

	"github.com/kubectl-ha/kubectl-ha/pkg/node/tasks/certs"
)

const (
	kubernetesDir = "/etc/kubernetes"
	pkiDir        = kubernetesDir + "/pki"
)

// certificates notes the ends of all that are on the host, and where kubeconfigs point.
func (l *look) certificates() {
	found := certs.Find(l.h, time.Now())
	l.facts.Missed = append(l.facts.Missed, found.Missed...)
	for _, c := range found.Certificates {
		if !c.NotAfter.IsZero() { // Service accounts' keys have no end.
			l.facts.Certificates = append(l.facts.Certificates, Certificate{File: c.File, Subject: c.Subject, NotAfter: c.NotAfter, CA: c.CA})
		}
	}
	l.facts.Kubeconfigs = found.Kubeconfigs
	// A person's own, who may point it where he likes.
	delete(l.facts.Kubeconfigs, certs.RootKubeconfig)
}
