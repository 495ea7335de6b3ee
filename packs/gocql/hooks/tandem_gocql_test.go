package gocql

import "testing"

// The hooks of a query and of a batch cost no allocation.
func TestTandemAllocations(t *testing.T) {
	session := &Session{cfg: ClusterConfig{Hosts: []string{"db.example"}, Port: 9042, Keyspace: "shop"}}
	tandemKnow(session)
	if session.tandem.Address != "db.example" || session.tandem.Port != 9042 || session.tandem.Namespace != "shop" {
		t.Errorf("%+v", session.tandem)
	}
	query := &Query{stmt: "SELECT name FROM products WHERE id = ?", cons: Quorum, pageSize: 100}
	batch := &Batch{Entries: []BatchEntry{{Stmt: "INSERT INTO a (b) VALUES (?)"}, {Stmt: "INSERT INTO a (b) VALUES (?)"}}}
	iter := &Iter{host: &HostInfo{hostId: "1", dataCenter: "dc1"}}
	if n := testing.AllocsPerRun(100, func() {
		tandemEnd(tandemStartQuery(session, query), &iter)
		tandemEnd(tandemStartBatch(session, batch), &iter)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
