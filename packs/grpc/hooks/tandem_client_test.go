package grpc

import "testing"

// Targets are shown the way the semantic conventions ask for.
func TestTandemParse(t *testing.T) {
	for target, want := range map[string]tandemAddress{
		"grpc.io:50051":                                      {"grpc.io", 50051},
		"grpc.io":                                            {"grpc.io", 0},
		"[::1]:50051":                                        {"::1", 50051},
		"dns:grpc.io:50051":                                  {"grpc.io", 50051},
		"dns:///grpc.io:50051":                               {"grpc.io", 50051},
		"dns://1.2.3.4/grpc.io:50051":                        {"grpc.io", 50051},
		"passthrough:///127.0.0.1:50051":                     {"127.0.0.1", 50051},
		"unix:///run/containerd/containerd.sock":             {"/run/containerd/containerd.sock", 0},
		"unix:relative.sock":                                 {"relative.sock", 0},
		"etcd-endpoints://0xc000/#initially=[a.b:2379]":      {"a.b", 2379},
		"etcd-endpoints://0xc000/#initially=[http://a:2379]": {"a", 2379},
		"etcd-endpoints://0xc000/#initially=[a:1;b:2]":       {"a:1;b:2", 0},
		"etcd-endpoints://0xc000/a.b:2379":                   {"a.b", 2379},
		"zk://zookeeper:2181/my-server":                      {"zk://zookeeper:2181/my-server", 0},
		"ipv4:198.51.100.123:50051,198.51.100.124:50051":     {"ipv4:198.51.100.123:50051,198.51.100.124:50051", 0},
		"": {"", 0},
	} {
		if got := *tandemParse(target); got != want {
			t.Errorf("%q: got %+v, want %+v", target, got, want)
		}
	}
}
