// Package balancer is what runs in the load balancer's pods: it keeps a haproxy or an
// nginx that hands TCP connections to the apiservers, and follows the control planes.
//
// The listening socket is opened here and inherited by the program. So a changed list
// of control planes is a second program on the same socket, after which the first is
// told to finish what it has; and a new pod beside an old one gets the old one's
// socket, over a Unix socket that only the same user may use. No connection is
// refused in either case, nor lost in a queue that is closed (which SO_REUSEPORT would
// do), and both are the same for haproxy and for nginx.
//
// haproxy looks after the apiservers itself. The nginx that can be had without a
// subscription does not, so this package looks for it (Checker) and takes one that fails
// out of its configuration; see docs/loadbalancer.md for what that can't do.
package balancer
