package db

import (
	"reflect"
	"strconv"
	"strings"

	"tandem/rt"
)

// This file holds what all spans of one client say about its database, and finds it out: from the package that the driver
// comes from, and from the data source name. Of that name only host, port and database are looked at, and only where they are
// unmistakable: what could be a piece of a password is left alone.

// Target is the database that a client or a pool of connections speaks to. It is filled once, before anybody else sees it:
// by Set, or by SetDriver and SetSource. The zero value says nothing.
type Target struct {
	System    string // db.system.name
	Namespace string // db.namespace, where it is the same for all operations
	Address   string // server.address
	Port      int64  // server.port; 0: not known
	Dialect   Dialect

	fixed rt.Fixed // all of it, as a record wants it; empty: it has no room for all
}

// Set fills it with what is known; "" and 0 are what is not.
func (t *Target) Set(system, namespace, address string, port int64) {
	*t = Target{System: system, Namespace: namespace, Address: address, Port: port, Dialect: DialectOf(system)}
	t.fix()
}

// SetDriver finds out the system from the import path of a driver, or from the name that it is registered by, and says
// whether it is one that is known.
func (t *Target) SetDriver(path string) bool {
	t.readSystem(path)
	t.fix()
	return t.System != UnknownSystem
}

// SetSource finds out the rest from the data source name.
func (t *Target) SetSource(dsn string) {
	t.readSource(dsn)
	t.fix()
}

// SetAddress finds out address and port from "host:port", "[address]:port" or "host".
func (t *Target) SetAddress(text string) {
	t.setHost(text)
	t.fix()
}

func (t *Target) fix() {
	t.fixed.Clear()
	if t.System == "" {
		return
	}
	fits := t.fixed.Str(rt.KeyDBSystemName, t.System)
	if t.Namespace != "" {
		fits = t.fixed.Str(rt.KeyDBNamespaceDimension, t.Namespace) && fits
	}
	if t.Address != "" {
		fits = t.fixed.Str(rt.KeyServerAddressDimension, t.Address) && fits
	}
	if t.Port != 0 {
		fits = t.fixed.Int(rt.KeyServerPortDimension, t.Port) && fits
	}
	if !fits {
		t.fixed.Clear()
	}
}

// Describe says on the span which database it is. It comes before all other attributes.
func (t *Target) Describe(span *rt.Span) {
	if !t.fixed.Empty() {
		span.Fixed(&t.fixed)
		return
	}
	if t.System != "" {
		span.Str(rt.KeyDBSystemName, t.System)
	}
	if t.Namespace != "" {
		span.Str(rt.KeyDBNamespaceDimension, t.Namespace)
	}
	if t.Address != "" {
		span.Str(rt.KeyServerAddressDimension, t.Address)
	}
	if t.Port != 0 {
		span.Int(rt.KeyServerPortDimension, t.Port)
	}
}

// PoolName is what the conventions want where pools have no names: address:port/database, as far as known.
func (t *Target) PoolName() string {
	name := t.Address
	if t.Port != 0 {
		name += ":" + strconv.FormatInt(t.Port, 10)
	}
	if t.Namespace != "" {
		name += "/" + t.Namespace
	}
	if name == "" {
		return t.System
	}
	return name
}

// system is one kind of database.
type system struct {
	name    string
	dialect Dialect
	words   string // parts of drivers' import paths or registered names, parted by spaces
}

// systems is tried in order; the first that has a word that occurs in the driver's path decides.
var systems = [...]system{
	{"postgresql", ANSI, "lib/pq jackc/pgx postgres pgdriver"},
	{"cockroachdb", ANSI, "cockroach"},
	{"mariadb", MySQL, "mariadb"},
	{"mysql", MySQL, "mysql"},
	{"sqlite", SQLite, "sqlite libsql"},
	{"microsoft.sql_server", SQLServer, "mssql sqlserver azuresql"},
	{"oracle.db", Oracle, "go-ora godror goracle oracle go-oci8"},
	{"clickhouse", ClickHouse, "clickhouse"},
	{"gcp.spanner", Spanner, "spanner"},
	{"trino", ANSI, "trino presto"},
	{"ibm.db2", ANSI, "go_ibm_db"},
	{"firebirdsql", ANSI, "firebird"},
	{"sap.hana", ANSI, "go-hdb hdb"},
	{"teradata", ANSI, "teradata"},
	{"duckdb", ANSI, "duckdb"},
	{"snowflake", ClickHouse, "snowflake"},
	{"databricks", Hive, "databricks"},
	{"vertica", ANSI, "vertica"},
	{"hive", Hive, "hive"},
	{"cassandra", CQL, "gocql cassandra scylla"},
	{"mongodb", 0, "mongo-driver"},
}

// DialectOf returns how the system's query language is read.
func DialectOf(name string) Dialect {
	for i := range systems {
		if systems[i].name == name {
			return systems[i].dialect
		}
	}
	return 0
}

// UnknownSystem is db.system.name of a database that speaks SQL and is not known.
const UnknownSystem = "other_sql"

// PackageOf returns the import path of the package that v's type is declared in.
func PackageOf(v any) string {
	t := reflect.TypeOf(v)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil {
		return ""
	}
	return t.PkgPath()
}

func (t *Target) readSystem(path string) {
	t.System, t.Dialect = UnknownSystem, 0
	path = strings.ToLower(path)
	for i := range systems {
		for _, word := range strings.Fields(systems[i].words) {
			if strings.Contains(path, word) {
				t.System, t.Dialect = systems[i].name, systems[i].dialect
				return
			}
		}
	}
}

// readSource takes apart a data source name.
func (t *Target) readSource(dsn string) {
	if len(dsn) > 4096 {
		return
	}
	switch {
	case t.System == "sqlite" || t.System == "duckdb":
		t.setFile(dsn)
	case strings.Contains(dsn, "://"):
		t.setURL(dsn)
	case t.System == "mysql" || t.System == "mariadb":
		t.setMySQL(dsn)
	case t.System == "postgresql" || t.System == "cockroachdb":
		t.setPairs(dsn, ' ')
	case t.System == "microsoft.sql_server":
		t.setPairs(dsn, ';')
	}
}

// setFile reads "file:path/shop.db?mode=ro" and "shop.db"; the database is the file's base name.
func (t *Target) setFile(dsn string) {
	dsn = strings.TrimPrefix(dsn, "file:")
	dsn, _, _ = strings.Cut(dsn, "?")
	dsn = dsn[strings.LastIndexAny(dsn, `/\`)+1:]
	if len(dsn) <= 64 {
		t.Namespace = dsn
	}
}

// setURL reads scheme://user:password@host:port/database?options.
func (t *Target) setURL(dsn string) {
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
	t.setHost(authority)
	path, options, _ := strings.Cut(rest, "?")
	path = strings.TrimPrefix(path, "/")
	if t.System == "microsoft.sql_server" {
		instance := path
		t.Namespace = ""
		for _, option := range strings.Split(options, "&") {
			if key, value, _ := strings.Cut(option, "="); strings.EqualFold(key, "database") {
				t.setNamespace(value)
			}
		}
		if t.Namespace != "" && instance != "" && isSimple(instance) {
			t.Namespace = instance + "|" + t.Namespace
		}
		return
	}
	t.setNamespace(path)
}

// setMySQL reads user:password@protocol(address)/database?options, from its end, as the driver does.
func (t *Target) setMySQL(dsn string) {
	slash := strings.LastIndexByte(dsn, '/')
	if slash < 0 {
		return
	}
	database, _, _ := strings.Cut(dsn[slash+1:], "?")
	t.setNamespace(database)
	where := dsn[:slash]
	where = where[strings.LastIndexByte(where, '@')+1:]
	protocol, address, found := strings.Cut(where, "(")
	if !found || !strings.HasSuffix(address, ")") {
		return
	}
	address = address[:len(address)-1]
	switch {
	case protocol == "unix" && strings.HasPrefix(address, "/"):
		t.Address = address
	case strings.HasPrefix(protocol, "tcp"):
		t.setHost(address)
	}
}

// setPairs reads host=… port=… dbname=… (PostgreSQL) and server=…;port=…;database=… (SQL Server).
func (t *Target) setPairs(dsn string, separator byte) {
	var host, port, database string
	for len(dsn) > 0 {
		var key, value string
		equals := strings.IndexByte(dsn, '=')
		if equals < 0 {
			break
		}
		key, dsn = strings.ToLower(strings.TrimSpace(dsn[:equals])), strings.TrimLeft(dsn[equals+1:], " ")
		if separator == ' ' && strings.HasPrefix(dsn, "'") {
			end := textEnd(dsn, 0, escapes)
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
		t.Address = host
	} else if t.setHost(strings.TrimPrefix(host, "tcp:")); t.Address != "" && t.Port == 0 {
		t.setPort(port)
	}
	t.setNamespace(database)
}

// setHost reads host, host:port or [address]:port.
func (t *Target) setHost(host string) {
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
	if !isSimple(host) {
		return
	}
	t.Address = host
	t.setPort(port)
}

func (t *Target) setPort(text string) {
	if port, err := strconv.ParseUint(text, 10, 16); err == nil {
		t.Port = int64(port)
	}
}

func (t *Target) setNamespace(name string) {
	if isSimple(name) {
		t.Namespace = name
	}
}

// isSimple reports whether text looks like a host or a database, and like nothing that was taken apart wrongly.
func isSimple(text string) bool {
	if text == "" || len(text) > 128 {
		return false
	}
	for i := 0; i < len(text); i++ {
		if c := text[i]; !isLetter(c) && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' && c != '$' {
			return false
		}
	}
	return true
}
