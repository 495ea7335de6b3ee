module example.com/compat/cgo

go 1.21
