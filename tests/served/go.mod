module example.com/served

go 1.26.0

require (
	connectrpc.com/connect v1.21.1
	github.com/valyala/fasthttp v1.78.0
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/molecule-man/go-brrr v1.3.1 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
)
