// Package schedule makes backups by itself: a CronJob whose pod has a Backup Operation make one,
// and tells how that ended by Events and for Prometheus.
package schedule
