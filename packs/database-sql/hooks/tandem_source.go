package sql

import (
	"database/sql/driver"
	"reflect"
	"strconv"
	"strings"
)

// This file finds out, once for each DB and before anybody else sees it, what its spans say about the database: from the
// package that the driver comes from, and from the data source name. Of that name only host, port and database are
// looked at, and only where they are unmistakable: what could be a piece of a password is left alone.

// tandemSource is what all spans of one DB say.
type tandemSource struct {
	system    string // db.system.name
	namespace string // db.namespace: the database named when the DB was opened
	address   string // server.address
	port      int64  // server.port; 0: not known
	dialect   tandemDialect
	pool      tandemPool
}

// tandemSystem is one kind of database.
type tandemSystem struct {
	name    string
	dialect tandemDialect
	words   string // parts of drivers' import paths or registered names, parted by spaces
}

// tandemSystems is tried in order; the first that has a word that occurs in the driver's path decides.
var tandemSystems = [...]tandemSystem{
	{"postgresql", tandemPlain | tandemDoubleName, "lib/pq jackc/pgx postgres pgdriver"},
	{"cockroachdb", tandemPlain | tandemDoubleName, "cockroach"},
	{"mariadb", tandemEscapes | tandemDoubleText | tandemHashComment, "mariadb"},
	{"mysql", tandemEscapes | tandemDoubleText | tandemHashComment, "mysql"},
	{"sqlite", tandemPlain | tandemBrackets | tandemNumbered, "sqlite libsql"},
	{"microsoft.sql_server", tandemPlain | tandemDoubleName | tandemBrackets, "mssql sqlserver azuresql"},
	{"oracle.db", tandemPlain | tandemDoubleName | tandemNumbered, "go-ora godror goracle oracle go-oci8"},
	{"clickhouse", tandemEscapes | tandemDoubleName, "clickhouse"},
	{"gcp.spanner", tandemEscapes | tandemDoubleText | tandemHashComment | tandemTriple, "spanner"},
	{"trino", tandemPlain | tandemDoubleName, "trino presto"},
	{"ibm.db2", tandemPlain | tandemDoubleName, "go_ibm_db"},
	{"firebirdsql", tandemPlain | tandemDoubleName, "firebird"},
	{"sap.hana", tandemPlain | tandemDoubleName, "go-hdb hdb"},
	{"teradata", tandemPlain | tandemDoubleName, "teradata"},
	{"duckdb", tandemPlain | tandemDoubleName, "duckdb"},
	{"snowflake", tandemEscapes | tandemDoubleName, "snowflake"},
	{"databricks", tandemEscapes | tandemDoubleText, "databricks"},
	{"vertica", tandemPlain | tandemDoubleName, "vertica"},
	{"hive", tandemEscapes | tandemDoubleText, "hive"},
}

// tandemKnow is called by OpenDB, before the DB's first goroutine starts.
func tandemKnow(db *DB, connector driver.Connector) {
	named, plain := connector.(dsnConnector)
	var path string
	if plain {
		path = tandemPath(named.driver)
	} else {
		path = tandemPath(connector)
	}
	db.tandem.setSystem(path)
	if plain {
		db.tandem.setName(named.dsn)
	}
}

// tandemNamed is called by Open, for drivers that make connectors; OpenDB saw only the connector.
func tandemNamed(db *DB, driverName string, driveri driver.Driver, dsn string) *DB {
	source := &db.tandem
	if source.system == tandemUnknownSystem {
		source.setSystem(tandemPath(driveri))
	}
	if source.system == tandemUnknownSystem {
		source.setSystem(driverName)
	}
	if source.address == "" && source.namespace == "" {
		source.setName(dsn)
	}
	return db
}

const tandemUnknownSystem = "other_sql"

// tandemPath returns the import path of the package that v's type is declared in.
func tandemPath(v any) string {
	t := reflect.TypeOf(v)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return ""
	}
	return t.PkgPath()
}

func (s *tandemSource) setSystem(path string) {
	s.system = tandemUnknownSystem
	path = strings.ToLower(path)
	for i := range tandemSystems {
		for _, word := range strings.Fields(tandemSystems[i].words) {
			if strings.Contains(path, word) {
				s.system, s.dialect = tandemSystems[i].name, tandemSystems[i].dialect
				return
			}
		}
	}
}

// setName takes apart a data source name.
func (s *tandemSource) setName(dsn string) {
	if len(dsn) > 4096 {
		return
	}
	switch {
	case s.system == "sqlite" || s.system == "duckdb":
		s.setFile(dsn)
	case strings.Contains(dsn, "://"):
		s.setURL(dsn)
	case s.system == "mysql" || s.system == "mariadb":
		s.setMySQL(dsn)
	case s.system == "postgresql" || s.system == "cockroachdb":
		s.setPairs(dsn, ' ')
	case s.system == "microsoft.sql_server":
		s.setPairs(dsn, ';')
	}
}

// setFile reads "file:path/shop.db?mode=ro" and "shop.db"; the database is the file's base name.
func (s *tandemSource) setFile(dsn string) {
	dsn = strings.TrimPrefix(dsn, "file:")
	dsn, _, _ = strings.Cut(dsn, "?")
	dsn = dsn[strings.LastIndexAny(dsn, `/\`)+1:]
	if len(dsn) <= 64 {
		s.namespace = dsn
	}
}

// setURL reads scheme://user:password@host:port/database?options.
func (s *tandemSource) setURL(dsn string) {
	_, rest, _ := strings.Cut(dsn, "://")
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority, rest = rest[:end], rest[end:]
	} else {
		rest = ""
	}
	if strings.IndexByte(rest, '@') >= 0 {
		return // a password with a slash in it: nothing here is what it seems
	}
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	s.setHost(authority)
	path, options, _ := strings.Cut(rest, "?")
	path = strings.TrimPrefix(path, "/")
	if s.system == "microsoft.sql_server" {
		instance := path
		s.namespace = ""
		for _, option := range strings.Split(options, "&") {
			if key, value, _ := strings.Cut(option, "="); strings.EqualFold(key, "database") {
				s.setNamespace(value)
			}
		}
		if s.namespace != "" && instance != "" && tandemSimple(instance) {
			s.namespace = instance + "|" + s.namespace
		}
		return
	}
	s.setNamespace(path)
}

// setMySQL reads user:password@protocol(address)/database?options, from its end, as the driver does.
func (s *tandemSource) setMySQL(dsn string) {
	slash := strings.LastIndexByte(dsn, '/')
	if slash < 0 {
		return
	}
	database, _, _ := strings.Cut(dsn[slash+1:], "?")
	s.setNamespace(database)
	where := dsn[:slash]
	where = where[strings.LastIndexByte(where, '@')+1:]
	protocol, address, found := strings.Cut(where, "(")
	if !found || !strings.HasSuffix(address, ")") {
		return
	}
	address = address[:len(address)-1]
	switch {
	case protocol == "unix" && strings.HasPrefix(address, "/"):
		s.address = address
	case strings.HasPrefix(protocol, "tcp"):
		s.setHost(address)
	}
}

// setPairs reads host=… port=… dbname=… (PostgreSQL) and server=…;port=…;database=… (SQL Server).
func (s *tandemSource) setPairs(dsn string, separator byte) {
	var host, port, database string
	for len(dsn) > 0 {
		var key, value string
		equals := strings.IndexByte(dsn, '=')
		if equals < 0 {
			break
		}
		key, dsn = strings.ToLower(strings.TrimSpace(dsn[:equals])), strings.TrimLeft(dsn[equals+1:], " ")
		if separator == ' ' && strings.HasPrefix(dsn, "'") {
			end := tandemTextEnd(dsn, 0, tandemEscapes)
			if end < 2 {
				break
			}
			value, dsn = dsn[1:end-1], dsn[end:]
		} else {
			value, dsn, _ = strings.Cut(dsn, string(rune(separator)))
		}
		switch key {
		case "host", "server", "data source":
			host = value
		case "port":
			port = value
		case "dbname", "database", "initial catalog":
			database = value
		}
	}
	if strings.HasPrefix(host, "/") {
		s.address = host
	} else if s.setHost(strings.TrimPrefix(host, "tcp:")); s.address != "" && s.port == 0 {
		s.setPort(port)
	}
	s.setNamespace(database)
}

// setHost reads host, host:port or [address]:port.
func (s *tandemSource) setHost(host string) {
	port := ""
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return
		}
		host, port = host[1:end], strings.TrimPrefix(host[end+1:], ":")
	} else if colon := strings.LastIndexByte(host, ':'); colon >= 0 && strings.IndexByte(host, ':') == colon {
		host, port = host[:colon], host[colon+1:]
	}
	if !tandemSimple(host) {
		return
	}
	s.address = host
	s.setPort(port)
}

func (s *tandemSource) setPort(text string) {
	if port, err := strconv.ParseUint(text, 10, 16); err == nil {
		s.port = int64(port)
	}
}

func (s *tandemSource) setNamespace(name string) {
	if tandemSimple(name) {
		s.namespace = name
	}
}

// tandemSimple reports whether text looks like a host or a database, and like nothing that was taken apart wrongly.
func tandemSimple(text string) bool {
	if text == "" || len(text) > 128 {
		return false
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; !tandemLetter(c) && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' && c != '$' {
			return false
		}
	}
	return true
}
