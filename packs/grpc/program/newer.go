//go:build !lowest

package main

import "google.golang.org/grpc"

var newClient = grpc.NewClient
