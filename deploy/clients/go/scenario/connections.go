package main

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"sutra.dev/connect"
)

// connections holds one connection for each way to connect.
type connections struct {
	address, ca, tokens string
	open                map[string]*grpc.ClientConn
}

func newConnections() *connections {
	return &connections{
		address: os.Getenv("SUTRA_ADDRESS"),
		ca:      os.Getenv("SUTRA_TLS_CA"),
		tokens:  os.Getenv("SUTRA_TOKEN_FOLDER"),
		open:    map[string]*grpc.ClientConn{},
	}
}

func (c *connections) has(need string) bool {
	return need == "" || need == "tls" && c.ca != "" || need == "tokens" && c.tokens != ""
}

func (c *connections) to(channel string) (*grpc.ClientConn, error) {
	if conn, ok := c.open[channel]; ok {
		return conn, nil
	}
	secure, err := c.credentials(channel)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.Dial(c.address, grpc.WithTransportCredentials(secure), connect.Large())
	if err == nil {
		c.open[channel] = conn
	}
	return conn, err
}

func (c *connections) credentials(channel string) (credentials.TransportCredentials, error) {
	if c.ca == "" || channel == "plaintext" {
		return insecure.NewCredentials(), nil
	}
	if channel == "untrusting" {
		return credentials.NewTLS(&tls.Config{}), nil
	}
	return connect.TLS(c.ca)
}

// authorize adds the token of the one who calls.
func (c *connections) authorize(ctx context.Context, who string) (context.Context, error) {
	if c.tokens == "" || who == "nobody" {
		return ctx, nil
	}
	token := "no-such-token"
	if who != "stranger" {
		text, err := os.ReadFile(filepath.Join(c.tokens, who))
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(text))
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), nil
}
