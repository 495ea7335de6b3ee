package main

import (
	"context"
	"errors"

	"github.com/jmoiron/sqlx"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Libraries on top of database/sql make no spans of their own: each statement that they ask for is one span.

type shop struct {
	ID     int
	Name   string
	Chairs []chair
}

type chair struct {
	ID, ShopID int
	Price      int
}

func byGorm(ctx context.Context, dsn string) error {
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	did("gorm.Open, a ping", err)
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer pool.Close()
	db = db.WithContext(ctx)
	did("gorm Exec", db.Exec("CREATE TABLE shops (id SERIAL PRIMARY KEY, name TEXT)").Error)
	did("gorm Exec", db.Exec("CREATE TABLE chairs (id SERIAL PRIMARY KEY, shop_id INTEGER, price INTEGER)").Error)
	one := shop{Name: "secret shop", Chairs: []chair{{Price: 1}, {Price: 2}}}
	did("gorm Create, four spans", db.Create(&one).Error)
	var found shop
	did("gorm First with Preload, two spans", db.Preload("Chairs").First(&found, "name = ?", "secret shop").Error)
	err = db.First(&shop{}, "name = ?", "another").Error
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return err
	}
	did("gorm First, nothing found", nil)
	did("gorm Update, three spans", db.Model(&found).Update("name", "secret").Error)
	did("gorm Transaction, four spans", db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Where("price > ?", 1).Delete(&chair{}).Error; err != nil {
			return err
		}
		return tx.Raw("SELECT COUNT(*) FROM chairs").Scan(new(int)).Error
	}))
	did("gorm Table error", db.Table("nowhere").Find(&[]shop{}).Error)
	did("gorm Exec", db.Exec("DROP TABLE shops, chairs").Error)
	return nil
}

func bySqlx(ctx context.Context) error {
	db, err := sqlx.ConnectContext(ctx, "sqlite", "file:sqlx?mode=memory&cache=shared")
	did("sqlx.Connect, a ping", err)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE TABLE chairs (id INTEGER PRIMARY KEY, price INTEGER)")
	did("sqlx Exec", err)
	_, err = db.NamedExecContext(ctx, "INSERT INTO chairs (id, price) VALUES (:id, :price)", []chair{{ID: 1, Price: 10}, {ID: 2, Price: 20}})
	did("sqlx NamedExec", err)
	var all []struct{ ID, Price int }
	did("sqlx Select", db.SelectContext(ctx, &all, "SELECT id, price FROM chairs WHERE price > ?", 5))
	var price int
	did("sqlx Get", db.GetContext(ctx, &price, "SELECT price FROM chairs WHERE id = ?", 1))
	tx, err := db.BeginTxx(ctx, nil)
	did("sqlx Begin", err)
	if err != nil {
		return err
	}
	statement, err := tx.PrepareNamedContext(ctx, "DELETE FROM chairs WHERE id = :id")
	did("sqlx PrepareNamed", err)
	if err != nil {
		return err
	}
	_, err = statement.ExecContext(ctx, chair{ID: 2})
	did("sqlx NamedStmt.Exec", err)
	did("sqlx Commit", tx.Commit())
	return nil
}
