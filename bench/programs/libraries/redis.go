package main

import (
	"bytes"
	"context"
	"log"
	"net"

	"github.com/redis/go-redis/v9"
)

// redisByHand instruments a client.
var redisByHand func(*redis.Client)

func init() {
	more = append(more, func(with instruments) call {
		client := redis.NewClient(&redis.Options{
			Addr: "redis.example.com:6379", PoolSize: 1, DisableIdentity: true,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return newRedisSide(), nil },
		})
		if with.byHand {
			redisByHand(client)
		}
		return call{name: "go-redis", count: 1000, spans: 1, do: func(n int) {
			for ; n > 0; n-- {
				if err := client.Get(context.Background(), "key").Err(); err != nil {
					log.Fatal(err)
				}
			}
		}}
	})
}

// redisAnswers are what a server says that knows one key, and takes the tasks of asynq.
var redisAnswers = map[string]string{"get": "$5\r\nvalue\r\n", "sadd": ":1\r\n", "evalsha": ":1\r\n"}

// redisSide is a connection to that server. What is written are whole commands.
type redisSide struct {
	quiet
	answers  []byte
	answered chan struct{}
}

func newRedisSide() *redisSide { return &redisSide{answered: make(chan struct{}, 1)} }

func (s *redisSide) Read(into []byte) (int, error) {
	for len(s.answers) == 0 {
		<-s.answered
	}
	n := copy(into, s.answers)
	s.answers = append(s.answers[:0], s.answers[n:]...)
	return n, nil
}

func (s *redisSide) Write(commands []byte) (int, error) {
	for rest := commands; len(rest) > 0; {
		end := bytes.Index(rest[1:], []byte("\r\n*"))
		if end < 0 {
			end = len(rest) - 3
		}
		name := bytes.ToLower(bytes.Split(rest[:end+3], []byte("\r\n"))[2])
		if answer, ok := redisAnswers[string(name)]; ok {
			s.answers = append(s.answers, answer...)
		} else {
			s.answers = append(s.answers, "-ERR unknown command "+string(name)+"\r\n"...)
		}
		rest = rest[end+3:]
	}
	select {
	case s.answered <- struct{}{}:
	default:
	}
	return len(commands), nil
}
