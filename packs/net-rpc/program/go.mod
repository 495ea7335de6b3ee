module tandem.example/packs/net-rpc

go 1.21
