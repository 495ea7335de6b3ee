// Secrets is a program that has secrets wherever programs have them: in URLs, headers, cookies, bodies, queries, arguments, the
// environment. Each begins with the same mark, by which a test looks for them in all that leaves it.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"

	_ "modernc.org/sqlite"
)

func main() {
	mark := os.Getenv("MARK")
	secret := func(where string) string { return mark + "-" + where }
	db, err := sql.Open("sqlite", "file:users?mode=memory&cache=shared&_auth_pass="+secret("dsn-password"))
	check(err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE users (name TEXT, password TEXT)")
	check(err)

	handler := func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		io.ReadAll(r.Body)
		slog.InfoContext(ctx, "served") // what is logged is the program's own choice: only what it says is recorded
		_, err := db.ExecContext(ctx, "INSERT INTO users (name, password) VALUES ('"+secret("literal")+"', ?)", secret("argument"))
		check(err)
		var name string
		check(db.QueryRowContext(ctx, `SELECT name FROM users WHERE password = ? /* `+secret("comment")+` */ AND name <> "`+secret("quoted")+`"`, secret("argument")).Scan(&name))
		_, err = db.ExecContext(ctx, "INSERT INTO users VALUES (X'00', '"+secret("unfinished"))
		if err == nil {
			check(errors.New("half a query went through"))
		}
		check(exec.CommandContext(ctx, "true", "--password="+secret("process-argument")).Run())
		http.SetCookie(w, &http.Cookie{Name: "session", Value: secret("set-cookie")})
		w.Header().Set("X-Token", secret("response-header"))
		fmt.Fprint(w, secret("response-body"))
	}
	for _, server := range []*httptest.Server{httptest.NewServer(http.HandlerFunc(handler)), httptest.NewUnstartedServer(http.HandlerFunc(handler))} {
		client := http.DefaultClient
		if server.URL == "" {
			server.EnableHTTP2 = true
			server.StartTLS()
			client = server.Client()
		}
		at, err := url.Parse(server.URL)
		check(err)
		at.User = url.UserPassword(secret("user"), secret("password"))
		at.Path = "/login"
		query := url.Values{}
		for _, name := range []string{"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "X-Amz-Signature", "token", "access_token", "apiKey", "password", "client-secret"} {
			query.Set(name, secret(name))
		}
		at.RawQuery = query.Encode()
		at.Fragment = secret("fragment")
		request, err := http.NewRequest("POST", at.String(), strings.NewReader("password="+secret("request-body")))
		check(err)
		request.Header.Set("X-Api-Key", secret("request-header"))
		request.AddCookie(&http.Cookie{Name: "session", Value: secret("cookie")})
		response, err := client.Do(request)
		check(err)
		io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 200 {
			check(errors.New(response.Status))
		}
		// An address where nobody is: the error has the URL in it.
		nowhere := *at
		nowhere.Host = "127.0.0.1:1"
		request, err = http.NewRequest("GET", nowhere.String(), nil)
		check(err)
		request.Header.Set("Authorization", "Bearer "+secret("bearer"))
		if _, err = client.Do(request); err == nil {
			check(errors.New("somebody answers"))
		}
		server.Close()
	}
	check(db.PingContext(context.Background()))
	fmt.Println("done")
	bufio.NewReader(os.Stdin).ReadString('\n') // until everything was looked at
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
