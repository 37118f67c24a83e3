// Package vip keeps the virtual IP on one of the control planes: keepalived's
// configuration, the watch of the local apiserver that tells keepalived when it
// is dead or sick, and the switch by which an Operation moves the address away.
//
// The three meet in small files that keepalived tracks by inotify
// (keepalived.conf(5), "track_file"), whose value times a weight is added to the
// host's VRRP priority:
//
//	healthy   0          base priority, 172 to 210
//	holder    1 * +40    above every other healthy host: an address that has moved
//	                     stays, as each move breaks the connections that are open.
//	                     keepalived's own nopreempt would keep it on a sick host too
//	drained   1 * -80    below every other healthy host, holder or not, above the
//	                     sick ones
//	sick      1 * -160   below every healthy host, drained or not; when all are
//	                     sick, one of them still holds the address
//	dead      3 * -160   at most -254: the FAULT state. The holder releases the
//	                     address at once and says so (priority 0), and the next one
//	                     takes it without waiting for missed advertisements
//
// So an overloaded apiserver never takes the address from everybody, and a host
// without an apiserver never has it.
package vip
