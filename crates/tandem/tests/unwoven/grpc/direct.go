//go:build direct

package main

import "google.golang.org/grpc"

// interceptors are not even linked: calls end elsewhere.
var interceptors []grpc.DialOption
