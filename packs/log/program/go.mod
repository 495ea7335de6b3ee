module example.com/tandem/log

go 1.21
