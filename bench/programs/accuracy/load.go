package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// load makes requests over kept-alive connections; each sends so many before it reads their answers. It returns how many were
// answered with 200.
func load(address string, first, count, connections, pipelined int) (int64, error) {
	var next, answered atomic.Int64
	next.Store(int64(first))
	failures := make(chan error, connections)
	var group sync.WaitGroup
	for range connections {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := ask(address, &next, int64(first+count), pipelined, &answered); err != nil {
				failures <- err
			}
		}()
	}
	group.Wait()
	select {
	case err := <-failures:
		return answered.Load(), err
	default:
		return answered.Load(), nil
	}
}

func ask(address string, next *atomic.Int64, end int64, pipelined int, answered *atomic.Int64) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	answers := bufio.NewReader(connection)
	for {
		var requests strings.Builder
		sent := 0
		for ; sent < pipelined; sent++ {
			id := next.Add(1) - 1
			if id >= end {
				break
			}
			fmt.Fprintf(&requests, "GET /work?id=%d HTTP/1.1\r\nHost: front\r\n\r\n", id)
		}
		if sent == 0 {
			return nil // all have been asked
		}
		if _, err := io.WriteString(connection, requests.String()); err != nil {
			return err
		}
		for ; sent > 0; sent-- {
			answer, err := http.ReadResponse(answers, nil)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				return err
			}
			if answer.StatusCode == http.StatusOK {
				answered.Add(1)
			}
		}
	}
}
