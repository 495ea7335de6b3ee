module example.com/unwoven

go 1.18
