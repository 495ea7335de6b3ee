module example.com/tandem/nethttp

go 1.21
