//go:build !linux

package main

func forbid() { panic("there is nothing to forbid") }
