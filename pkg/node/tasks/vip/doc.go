// Package vip keeps the virtual IP on one of the control planes: keepalived's
// configuration, the watch of the local apiserver that tells keepalived when it
// is dead or sick, and the switch by which an Operation moves the address away.
//
// The three meet in two small files that keepalived tracks by inotify
// (keepalived.conf(5), "track_file"), whose value times a weight is added to the
// host's VRRP priority:
//
//	healthy   0          base priority, 101 to 200
//	sick      1 * -100   below every healthy host, drained or not; when all are
//	                     sick, the first still holds the address
//	dead      3 * -100   at most -254: the FAULT state. The holder releases the
//	                     address at once and says so (priority 0), and the next one
//	                     takes it without waiting for missed advertisements
//	drained   1 * -50    below every other healthy host, above the sick ones
//
// So an overloaded apiserver never takes the address from everybody, and a host
// without an apiserver never has it.
package vip
