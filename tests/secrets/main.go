// Secrets is a program that has secrets wherever programs have them: in URLs, headers, cookies, bodies, queries, arguments, metadata, keys,
// the environment. Each begins with the same mark, by which a test looks for them in all that leaves it.
package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
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
		w.Header().Set("X-Shop-Flavour", "vanilla") // no secret: the test asks for it
		w.Header().Set("Content-Location", "https://"+secret("location-user")+"@shop.example/?token="+secret("location-token")+"#"+secret("location-fragment"))
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
		request.Header.Set("X-Shop-Flavour", "chocolate")
		request.Header.Set("Referer", "https://shop.example/?password="+secret("referer"))
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
	calls(secret)
	if address := os.Getenv("REDIS_ADDR"); address != "" {
		commands(address, secret)
	}
	fmt.Println("done")
	bufio.NewReader(os.Stdin).ReadString('\n') // until everything was looked at
}

// calls makes calls of gRPC with metadata both ways, one of which fails.
func calls(secret func(string) string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		grpc.SetHeader(ctx, metadata.Pairs("x-token", secret("grpc-header")))
		grpc.SetTrailer(ctx, metadata.Pairs("set-cookie", secret("grpc-trailer"), "secret-bin", secret("grpc-binary")))
		return handler(ctx, request)
	}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+secret("grpc-bearer"), "x-api-key", secret("grpc-key"), "secret-bin", secret("grpc-binary"))
	client := grpc_health_v1.NewHealthClient(connection)
	_, err = client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	check(err)
	if _, err = client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: secret("grpc-message")}); err == nil {
		check(errors.New("an unknown service is healthy"))
	}
	connection.Close()
	server.GracefulStop()
}

// commands has secrets in all arguments of Redis' commands: keys, values, scripts, passwords, channels; some of them fail.
func commands(address string, secret func(string) string) {
	client := redis.NewClient(&redis.Options{Addr: address})
	ctx := context.Background()
	check(client.Set(ctx, secret("redis-key"), secret("redis-value"), 0).Err())
	check(client.HSet(ctx, secret("redis-hash"), secret("redis-field"), secret("redis-value")).Err())
	_, err := client.TxPipelined(ctx, func(all redis.Pipeliner) error {
		all.LPush(ctx, secret("redis-list"), secret("redis-value"))
		all.Publish(ctx, secret("redis-channel"), secret("redis-message"))
		return nil
	})
	check(err)
	check(client.Eval(ctx, "return '"+secret("redis-script")+"'", []string{secret("redis-key")}, secret("redis-value")).Err())
	for _, wrong := range [][]any{
		{"frobnicate", secret("redis-argument")}, {secret("redis data instead of a command")}, {"lpush", secret("redis-key"), secret("redis-value")}, {"auth", secret("redis-user"), secret("redis-password")},
		{"eval", secret("redis-broken-script"), 0}, {"config", "set", secret("redis-setting"), secret("redis-value")},
	} {
		if err := client.Do(ctx, wrong...).Err(); err == nil {
			check(errors.New("it went well"))
		}
	}
	check(client.Close())
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
