// Package connect opens a connection to a router or a shard as the environment says.
package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // asks servers whether they take calls, as the service config says
)

const messageBytes = 64 << 20

// A token goes along with every call, over TLS only.
type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (token) RequireTransportSecurity() bool { return true }

// TLS trusts the authority of a PEM file and no other.
func TLS(ca string) (credentials.TransportCredentials, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	authority := x509.NewCertPool()
	if !authority.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return credentials.NewTLS(&tls.Config{RootCAs: authority}), nil
}

// Large lets messages be as large as the server lets them be; gRPC's own limit of an answer is 4 MiB.
func Large() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytes), grpc.MaxCallSendMsgSize(messageBytes))
}

// FromEnvironment reads SUTRA_ADDRESS, SUTRA_TLS_CA, SUTRA_TOKEN and SUTRA_SERVICE_CONFIG. Connects with the first call.
func FromEnvironment() (*grpc.ClientConn, error) {
	address := os.Getenv("SUTRA_ADDRESS")
	if address == "" {
		address = "127.0.0.1:7400"
	}
	options := []grpc.DialOption{Large()}
	if ca := os.Getenv("SUTRA_TLS_CA"); ca == "" {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		secure, err := TLS(ca)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithTransportCredentials(secure))
		if who := os.Getenv("SUTRA_TOKEN"); who != "" {
			options = append(options, grpc.WithPerRPCCredentials(token(who)))
		}
	}
	if path := os.Getenv("SUTRA_SERVICE_CONFIG"); path != "" {
		config, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithDefaultServiceConfig(string(config)))
	}
	return grpc.Dial(address, options...)
}
