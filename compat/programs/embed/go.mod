module example.com/compat/embed

go 1.21
