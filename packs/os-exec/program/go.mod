module example.com/tandem/osexec

go 1.21
