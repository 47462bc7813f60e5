// A Workload API client on go-spiffe v2 that tells what it sees, one JSON object a line.
//
//	peer watch SOCKET           every X.509 context, until killed
//	peer fetch SOCKET           one X.509 context
//	peer jwt SOCKET AUDIENCE    one JWT-SVID for each identity, validated offline
//	peer calls SOCKET COUNT     COUNT JWT fetches on one connection
//	peer verify DOMAIN FOLDER   chains of FOLDER/chains.pem, one a block, by FOLDER/roots.pem
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/status"
)

type svid struct {
	ID       string `json:"id"`
	Hint     string `json:"hint"`
	Serial   string `json:"serial,omitempty"`
	NotAfter int64  `json:"notAfter,omitempty"`
	Verified bool   `json:"verified"`
}

type event struct {
	Event   string         `json:"event"`
	SVIDs   []svid         `json:"svids,omitempty"`
	Bundles map[string]int `json:"bundles,omitempty"`
	Code    string         `json:"code,omitempty"`
	Message string         `json:"message,omitempty"`
	Count   int            `json:"count,omitempty"`
}

func say(e event) {
	_ = json.NewEncoder(os.Stdout).Encode(e)
}

func fail(err error) {
	say(event{Event: "error", Code: status.Code(err).String(), Message: err.Error()})
}

func x509Event(x *workloadapi.X509Context) event {
	e := event{Event: "x509", Bundles: map[string]int{}}
	for _, s := range x.SVIDs {
		_, _, err := x509svid.Verify(s.Certificates, x.Bundles)
		leaf := s.Certificates[0]
		e.SVIDs = append(e.SVIDs, svid{
			ID: s.ID.String(), Hint: s.Hint, Serial: leaf.SerialNumber.String(),
			NotAfter: leaf.NotAfter.Unix(), Verified: err == nil,
		})
	}
	for _, b := range x.Bundles.Bundles() {
		e.Bundles[b.TrustDomain().IDString()] = len(b.X509Authorities())
	}
	return e
}

type watcher struct{}

func (watcher) OnX509ContextUpdate(x *workloadapi.X509Context) { say(x509Event(x)) }
func (watcher) OnX509ContextWatchError(err error)              { fail(err) }

func jwt(ctx context.Context, client *workloadapi.Client, audience string) error {
	svids, err := client.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return err
	}
	bundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	e := event{Event: "jwt"}
	for _, s := range svids {
		_, err := jwtsvid.ParseAndValidate(s.Marshal(), bundles, []string{audience})
		e.SVIDs = append(e.SVIDs, svid{ID: s.ID.String(), Hint: s.Hint, Verified: err == nil})
	}
	say(e)
	return nil
}

// verify judges many chains at once: chains.pem holds them one after the other, an empty line between.
func verify(domain, folder string) error {
	trustDomain, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return err
	}
	bundle, err := x509bundle.Load(trustDomain, filepath.Join(folder, "roots.pem"))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(folder, "chains.pem"))
	if err != nil {
		return err
	}
	e := event{Event: "x509"}
	for _, block := range strings.Split(string(text), "\n\n") {
		chain, err := readChain(block)
		if err != nil {
			return err
		}
		id, _, err := x509svid.Verify(chain, bundle)
		s := svid{ID: id.String(), Serial: chain[0].SerialNumber.String(), Verified: err == nil}
		if err != nil {
			s.Hint = err.Error()
		}
		e.SVIDs = append(e.SVIDs, s)
	}
	say(e)
	return nil
}

func readChain(text string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, certificate)
	}
	return chain, nil
}

func run(ctx context.Context, command, socket, argument string) error {
	if command == "verify" {
		return verify(socket, argument)
	}
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+socket))
	if err != nil {
		return err
	}
	defer client.Close()
	switch command {
	case "watch":
		return client.WatchX509Context(ctx, watcher{})
	case "fetch":
		x, err := client.FetchX509Context(ctx)
		if err == nil {
			say(x509Event(x))
		}
		return err
	case "jwt":
		return jwt(ctx, client, argument)
	default:
		count, err := strconv.Atoi(argument)
		for i := 0; i < count && err == nil; i++ {
			_, err = client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "calls"})
		}
		if err == nil {
			say(event{Event: "calls", Count: count})
		}
		return err
	}
}

func main() {
	argument := ""
	if len(os.Args) > 3 {
		argument = os.Args[3]
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], argument); err != nil {
		fail(err)
		os.Exit(1)
	}
}
