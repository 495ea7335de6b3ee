module example.com/compat/lib

go 1.22
