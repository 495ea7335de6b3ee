module tandem/compat

go 1.21
