module example.com/compat/hello

go 1.21
