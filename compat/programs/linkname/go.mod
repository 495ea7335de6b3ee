module example.com/compat/linkname

go 1.21

require github.com/petermattis/goid v0.0.0-20261109124353-7cfa343ad0ab
