// Package inspect is the read-only look at what only a host's own files tell:
// certificates, where kubeconfigs point, keepalived, the state of the virtual IP,
// etcd's members with the apiserver's client certificate, backups, logs. It judges
// nothing, and nothing of what it returns is a secret: of certificates their ends,
// of kubeconfigs their servers, of logs what is left when secrets are taken out.
package inspect
