//go:build go1.24

package main

import "net/http"

func init() {
	unencrypted := new(http.Protocols)
	unencrypted.SetUnencryptedHTTP2(true)
	http2Server = &http.Server{Protocols: unencrypted}
	http2Client = &http.Client{Transport: &http.Transport{Protocols: unencrypted}}
}
