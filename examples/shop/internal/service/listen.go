package service

import (
	"fmt"
	"net"
	"os"
	"strconv"
)

// ListenVariable is the environment variable by which whoever starts a service
// hands it a socket that listens already: the number of its descriptor.
const ListenVariable = "SHOP_LISTEN_FD"

// Listen listens on the address, or takes the socket that was handed over.
func Listen(addr string) (net.Listener, error) {
	text, handed := os.LookupEnv(ListenVariable)
	if !handed {
		return net.Listen("tcp", addr)
	}
	descriptor, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ListenVariable, err)
	}
	file := os.NewFile(uintptr(descriptor), "listener")
	defer file.Close() // The listener has a descriptor of its own.
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", ListenVariable, text, err)
	}
	return listener, nil
}
