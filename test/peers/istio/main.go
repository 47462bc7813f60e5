// Asks for a certificate as Istio's own clients do: with the messages and stubs of istio.io/api, the retries of
// pilot-agent and the checks of what comes back. Prints one line of JSON.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	ca "istio.io/api/security/v1alpha1"
)

type outcome struct {
	Code     string   `json:"code"`
	Message  string   `json:"message"`
	Uris     []string `json:"uris"`
	Chain    int      `json:"chain"`
	Roots    int      `json:"roots"`
	Seconds  int      `json:"seconds"`
	Attempts int      `json:"attempts"`
}

func main() {
	address := flag.String("address", "", "")
	name := flag.String("name", "", "")
	roots := flag.String("roots", "", "")
	token := flag.String("token", "", "")
	uri := flag.String("uri", "", "")
	cluster := flag.String("cluster", "Kubernetes", "")
	node := flag.Bool("node", false, "as ztunnel does for a workload of its node")
	flag.Parse()
	result, err := ask(*address, *name, *roots, *token, *uri, *cluster, *node)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(result)
}

func ask(address, name, roots, token, uri, cluster string, node bool) (*outcome, error) {
	result := &outcome{}
	trusted, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	count := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		result.Attempts++
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	retries := retry.UnaryClientInterceptor(
		retry.WithMax(5),
		retry.WithBackoff(retry.BackoffExponentialWithJitter(100*time.Millisecond, 0.1)),
		retry.WithCodes(codes.Canceled, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal, codes.Unavailable),
	)
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: name})),
		grpc.WithChainUnaryInterceptor(retries, count))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	csr, err := request(uri, node)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{"CertSigner": ""}
	if node {
		fields = map[string]any{"ImpersonatedIdentity": uri}
	}
	meta, err := structpb.NewStruct(fields)
	if err != nil {
		return nil, err
	}
	ctx := metadata.AppendToOutgoingContext(context.Background(), "ClusterID", cluster, "Authorization", "Bearer "+token)
	answer, err := ca.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx, &ca.IstioCertificateRequest{
		Csr: string(csr), ValidityDuration: int64((24 * time.Hour).Seconds()), Metadata: meta,
	})
	result.Code, result.Message = status.Code(err).String(), status.Convert(err).Message()
	if err != nil {
		return result, nil
	}
	return result, read(answer.CertChain, result)
}

// The request of pilot-agent (RSA, an empty organization, a critical name), or that of ztunnel.
func request(uri string, node bool) ([]byte, error) {
	value, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(uri)}})
	if err != nil {
		return nil, err
	}
	names := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: !node, Value: value}
	template := &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{names}}
	var key any
	if node {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		template.Subject = pkix.Name{Organization: []string{""}}
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), err
}

// The last element is what to trust, the first the workload's own, and each other one certificate.
func read(chain []string, result *outcome) error {
	if len(chain) < 2 {
		return fmt.Errorf("%d elements", len(chain))
	}
	trusted := x509.NewCertPool()
	rest := []byte(chain[len(chain)-1])
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		trusted.AddCert(root)
		result.Roots++
	}
	between := x509.NewCertPool()
	var leaf *x509.Certificate
	for index, text := range chain[:len(chain)-1] {
		block, more := pem.Decode([]byte(text))
		if block == nil || len(more) > 0 {
			return fmt.Errorf("element %d is not one certificate", index)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		if index == 0 {
			leaf = certificate
		} else {
			between.AddCert(certificate)
		}
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, usage := range usages {
		options := x509.VerifyOptions{Roots: trusted, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := leaf.Verify(options); err != nil {
			return err
		}
	}
	result.Chain = len(chain)
	result.Seconds = int(leaf.NotAfter.Sub(leaf.NotBefore).Seconds())
	for _, name := range leaf.URIs {
		result.Uris = append(result.Uris, name.String())
	}
	return nil
}
