// A connector in Go that knows docs/connector-protocol.md and a compiled connector.proto, nothing else: it
// enrols with a provisioning key, opens a session, takes bundles and segments, renews once when it is told
// to, and ends when it is revoked. It tells what it does, one JSON object a line.
//
//	connector DESCRIPTORS SERVER DOMAIN BUNDLE.pem GROUP KEY
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const service = "/signet.connector.v1.Connector/"

type object = map[string]any

var files *protoregistry.Files

func say(event string, detail object) {
	line := object{"event": event}
	for name, value := range detail {
		line[name] = value
	}
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func must[T any](value T, err error) T {
	if err != nil {
		say("error", object{"message": err.Error()})
		os.Exit(1)
	}
	return value
}

// A message by its name and the JSON form of its content.
func message(name string, content object) *dynamicpb.Message {
	descriptor := must(files.FindDescriptorByName(protoreflect.FullName("signet.connector.v1." + name)))
	m := dynamicpb.NewMessage(descriptor.(protoreflect.MessageDescriptor))
	if content != nil {
		must(0, protojson.Unmarshal(must(json.Marshal(content)), m))
	}
	return m
}

func read(m proto.Message) object {
	var content object
	must(0, json.Unmarshal(must(protojson.Marshal(m)), &content))
	return content
}

type connector struct {
	server string
	domain spiffeid.TrustDomain
	bundle *x509bundle.Bundle
	key    *ecdsa.PrivateKey
	chain  [][]byte
}

// Dials with the SVID there is, if there is one; tells the hash of the server's certificate.
func (c *connector) dial(seen *[32]byte) *grpc.ClientConn {
	id := spiffeid.RequireFromPath(c.domain, "/spire/server")
	config := tlsconfig.TLSClientConfig(c.bundle, tlsconfig.AuthorizeID(id))
	config.MinVersion = tls.VersionTLS13
	verify := config.VerifyPeerCertificate
	config.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		*seen = sha256.Sum256(raw[0])
		return verify(raw, chains)
	}
	if c.chain != nil {
		config.Certificates = []tls.Certificate{{Certificate: c.chain, PrivateKey: c.key}}
	}
	return must(grpc.NewClient(c.server, grpc.WithTransportCredentials(credentials.NewTLS(config))))
}

// 64-bit numbers are texts in the JSON form.
func nowMs() string { return fmt.Sprint(time.Now().UnixMilli()) }

func csrOf(key *ecdsa.PrivateKey) []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func chainOf(svid object) [][]byte {
	var chain struct{ Chain [][]byte }
	must(0, json.Unmarshal(must(json.Marshal(svid)), &chain))
	return chain.Chain
}

func (c *connector) enrol(group, provisioningKey string) {
	c.key = newKey()
	var seen [32]byte
	connection := c.dial(&seen)
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	publicKey := must(x509.MarshalPKIXPublicKey(&c.key.PublicKey))
	challenged := message("GetChallengeResponse", nil)
	asked := message("GetChallengeRequest", object{"publicKey": publicKey})
	must(0, connection.Invoke(ctx, service+"GetChallenge", asked, challenged))
	field := challenged.Descriptor().Fields().ByName("challenge")
	challenge := sha256.Sum256(challenged.Get(field).Bytes())
	csr := csrOf(c.key)
	request := sha256.Sum256(csr)
	text := append([]byte("signet.connector.v1.Enrol\x00"), append(challenge[:], request[:]...)...)
	digest := sha256.Sum256(text)
	enrolled := message("EnrolResponse", nil)
	must(0, connection.Invoke(ctx, service+"Enrol", message("EnrolRequest", object{
		"csr": csr, "group": group, "instance": object{"version": "go"},
		"challenge":               challenged.Get(field).Bytes(),
		"challengeSignature":      must(ecdsa.SignASN1(rand.Reader, c.key, digest[:])),
		"clockMs":                 nowMs(),
		"serverCertificateSha256": seen[:],
		"provisioningKey":         object{"key": provisioningKey},
	}), enrolled))
	content := read(enrolled)
	c.chain = chainOf(content["svid"].(object))
	say("enrolled", object{"spiffeId": content["spiffeId"]})
}

// One session, until the server or a renewal ends it. Answers whether there is to be another.
func (c *connector) session() bool {
	var seen [32]byte
	connection := c.dial(&seen)
	defer connection.Close()
	description := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream := must(connection.NewStream(context.Background(), description, service+"Session"))
	send := func(kind string, content object) {
		_ = stream.SendMsg(message("ConnectorMessage", object{kind: content}))
	}
	answer := func(kind string, update object) {
		send("ack", object{"type": kind, "version": update["version"], "nonce": update["nonce"]})
	}
	send("hello", object{"clockMs": nowMs()})
	next := newKey()
	for {
		received := message("ServerMessage", nil)
		if err := stream.RecvMsg(received); err != nil {
			say("session-ended", object{"message": err.Error()})
			return false
		}
		for kind, value := range read(received) {
			update, _ := value.(object)
			switch kind {
			case "welcome":
				say("session", nil)
				send("heartbeat", object{"health": "CONNECTOR_HEALTH_OK", "clockMs": nowMs()})
			case "bundle":
				answer("RESOURCE_TYPE_BUNDLE", update)
			case "segments":
				segments, _ := update["segments"].([]any)
				say("segments", object{"segments": len(segments)})
				if update["last"] == true {
					answer("RESOURCE_TYPE_SEGMENTS", update)
				}
			case "svid":
				c.key, c.chain = next, chainOf(update["svid"].(object))
				answer("RESOURCE_TYPE_SVID", update)
				say("renewed", nil)
				_ = stream.CloseSend()
				return true
			case "command":
				send("ack", object{"type": "RESOURCE_TYPE_COMMAND", "nonce": update["nonce"]})
				if update["renewNow"] != nil {
					send("renewCsr", object{"csr": csrOf(next)})
				}
				if update["revoke"] != nil {
					say("revoked", nil)
					return false
				}
			}
		}
	}
}

func main() {
	descriptors, server, domain, bundle, group, key :=
		os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]
	set := &descriptorpb.FileDescriptorSet{}
	must(0, proto.Unmarshal(must(os.ReadFile(descriptors)), set))
	files = must(protodesc.NewFiles(set))
	td := must(spiffeid.TrustDomainFromString(domain))
	c := &connector{server: server, domain: td, bundle: must(x509bundle.Load(td, bundle))}
	c.enrol(group, key)
	for c.session() {
	}
}
