package web

import "example.com/elsewhere"

type Client struct {
	inner *inner
	Next  *Client
	Many  []Client
}

type inner struct{}

type Alias = Client

type Other Client

type Request struct{ Header Header }

type Header map[string][]string

type Doer interface{ Do(*Request) error }

type Unknown struct{ elsewhere.Client }

type Pool[T any] struct {
	First *Client
	Items []T
}

func (c *Client) Do(r *Request) error { return nil }

func (c *Client) With(n int) *Client { return c }

func (h Header) Add(key, value string) {}

func New() *Client { return &Client{} }

func Dial(address string) (*Client, error) { return New(), nil }

func Get[T any](t T) T { return t }

var Default = &Client{}

var Clients = map[string]*Client{"a": Default}
