module tandem.example/packs/context

go 1.21
