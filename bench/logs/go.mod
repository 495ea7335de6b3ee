module example.com/bench/logs

go 1.21
