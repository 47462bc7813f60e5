// Verifies a token by an issuer's discovery, as relying parties in Go do. Prints one line of JSON.
//
//	oidc ISSUER ADDRESS ROOTS AUDIENCE TOKEN
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
)

type outcome struct {
	Subject   string `json:"subject"`
	Algorithm string `json:"algorithm"`
	Error     string `json:"error"`
}

func main() {
	result := outcome{}
	if err := verify(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], &result); err != nil {
		result.Error = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

func verify(issuer, address, roots, audience, token string, result *outcome) error {
	pem, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	// The name of the issuer is in no DNS here.
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: pool}}
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: transport})
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return err
	}
	var discovered struct {
		Algorithms []string `json:"id_token_signing_alg_values_supported"`
	}
	if err := provider.Claims(&discovered); err != nil {
		return err
	}
	if len(discovered.Algorithms) > 0 {
		result.Algorithm = discovered.Algorithms[0]
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(ctx, token)
	if err != nil {
		return err
	}
	result.Subject = verified.Subject
	return nil
}
