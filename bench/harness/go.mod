module example.com/bench/harness

go 1.22
