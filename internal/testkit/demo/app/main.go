// Command app is an application as there are many: it reads DATABASE_URL, and
// works with pgx. It knows nothing of the proxy.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return order(ctx, tx) })
}

// order places an order with two lines and takes it back, so that the program
// can run as often as one likes.
func order(ctx context.Context, tx pgx.Tx) error {
	var city string
	if err := tx.QueryRow(ctx, "SELECT city FROM customers WHERE id = $1", 42).Scan(&city); err != nil {
		return err
	}
	var id int
	const insert = "INSERT INTO orders (id, customer_id, note) VALUES ($1, $2, $3) RETURNING id"
	if err := tx.QueryRow(ctx, insert, 900001, 42, "by the application").Scan(&id); err != nil {
		return err
	}
	lines := [][]any{{id, 1, "article-7", 2, 19.5}, {id, 2, "article-9", 1, 250}}
	n, err := tx.CopyFrom(ctx, pgx.Identifier{"order_lines"}, []string{"order_id", "line", "article", "quantity", "price"}, pgx.CopyFromRows(lines))
	if err != nil {
		return err
	}
	fmt.Printf("order %d to %s with %d lines\n", id, city, n)
	tag, err := tx.Exec(ctx, "DELETE FROM orders WHERE id = $1", id)
	if err != nil {
		return err
	}
	fmt.Printf("taken back: %s\n", tag)
	return nil
}
