module known-waits

go 1.23
