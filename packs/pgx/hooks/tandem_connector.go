package stdlib

import (
	"github.com/jackc/pgx/v5"

	"tandem/db"
)

// TandemTarget tells database/sql which database a connector is for, which has no data source name.
func (c connector) TandemTarget(target *db.Target) { pgx.TandemTarget(target, &c.ConnConfig) }
