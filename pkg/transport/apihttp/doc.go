// Package apihttp is what happens to each HTTP request to an API server, between client-go
// and the connection.
package apihttp
