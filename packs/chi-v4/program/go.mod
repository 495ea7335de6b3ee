module tandem.example/packs/chi-v4

go 1.21

require github.com/go-chi/chi v1.5.5
