//go:build lowest

package main

import "google.golang.org/grpc"

// newClient is how clients were made before 1.63. The later one's scheme for names is dns, this one's is passthrough.
var newClient = grpc.Dial
