package sql

import (
	"database/sql/driver"

	"tandem/db"
)

// This file finds out, once for each DB and before anybody else sees it, what its spans say about the database.

// tandemSource is what is kept of one DB.
type tandemSource struct {
	target db.Target
	pool   tandemPool
}

// tandemKnow is called by OpenDB, before the DB's first goroutine starts.
func tandemKnow(d *DB, connector driver.Connector) {
	target := &d.tandem.target
	switch connector := connector.(type) {
	case dsnConnector:
		target.SetDriver(db.PackageOf(connector.driver))
		target.SetSource(connector.dsn)
	case interface{ TandemTarget(*db.Target) }: // the driver has a pack of its own
		connector.TandemTarget(target)
	default:
		target.SetDriver(db.PackageOf(connector))
	}
}

// tandemNamed is called by Open, for drivers that make connectors; OpenDB saw only the connector.
func tandemNamed(d *DB, driverName string, driveri driver.Driver, dsn string) *DB {
	target := &d.tandem.target
	if target.System == db.UnknownSystem && !target.SetDriver(db.PackageOf(driveri)) {
		target.SetDriver(driverName)
	}
	if target.Address == "" && target.Namespace == "" {
		target.SetSource(dsn)
	}
	return d
}
