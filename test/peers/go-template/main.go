// Renders templates over Kubernetes objects with Go's own text/template, and tells the types that
// such templates see. One JSON object a line on both sides.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type templateData struct {
	TrustDomain   string
	ClusterName   string
	ClusterDomain string
	PodMeta       *metav1.ObjectMeta
	PodSpec       *corev1.PodSpec
	NodeMeta      *metav1.ObjectMeta
	NodeSpec      *corev1.NodeSpec
}

type job struct {
	Template string
	Data     templateData
}

type answer struct {
	Output *string `json:"output,omitempty"`
	// "parse" or "execute".
	Failed string `json:"failed,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "types" {
		printTypes()
		return
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var j job
		if err := json.Unmarshal(in.Bytes(), &j); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(render(j)); err != nil {
			os.Exit(1)
		}
	}
}

func render(j job) answer {
	tmpl, err := template.New("t").Parse(j.Template)
	if err != nil {
		return answer{Failed: "parse", Reason: err.Error()}
	}
	var buf bytes.Buffer
	if err := tmpl.Execute(&buf, &j.Data); err != nil {
		return answer{Failed: "execute", Reason: err.Error()}
	}
	text := buf.String()
	return answer{Output: &text}
}

// Types whose inside no template should see: they print by methods of their own.
var opaque = map[string]bool{
	"v1.Time": true, "resource.Quantity": true, "intstr.IntOrString": true, "v1.FieldsV1": true,
	"v1.MicroTime": true, "v1.Duration": true,
}

var structs = map[string]string{}
var named = map[string]string{}

func printTypes() {
	typeName(reflect.TypeFor[templateData]())
	lines := []string{}
	for name, fields := range structs {
		lines = append(lines, name+": "+fields)
	}
	for name, kind := range named {
		lines = append(lines, name+" = "+kind)
	}
	for name := range opaque {
		lines = append(lines, name+" = opaque")
	}
	sort.Strings(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

// Two structs of different packages may have the same name, as v1.Time has not; none of ours do.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + typeName(t.Elem())
	case reflect.Slice:
		return "[]" + typeName(t.Elem())
	case reflect.Map:
		// No maps as keys, so that a bracket ends the key.
		inner := "map[" + typeName(t.Key()) + "]" + typeName(t.Elem())
		if t.Name() != "" {
			named[t.String()] = inner
			return t.String()
		}
		return inner
	case reflect.Struct:
		name := t.String()
		if opaque[name] {
			return name
		}
		if _, done := structs[name]; !done {
			structs[name] = ""
			structs[name] = fieldsOf(t)
		}
		return name
	}
	if t.PkgPath() != "" {
		named[t.String()] = t.Kind().String()
	}
	return t.String()
}

func fieldsOf(t reflect.Type) string {
	fields := []string{}
	for _, field := range reflect.VisibleFields(t) {
		if !field.IsExported() {
			continue
		}
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous {
			tag = ""
		} else if tag == "" {
			tag = field.Name
		}
		fields = append(fields, field.Name+" "+tag+" "+typeName(field.Type))
	}
	return strings.Join(fields, ", ")
}
