// Command validate-definitions tells what the API server of the oldest promised Kubernetes would refuse in
// definitions and admission policies, without a cluster: rules that do not compile, rules that could cost too much.
//
// It reads YAML documents and prints one line for each error. Other kinds are passed over.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	definitions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	definitionvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/apis/admissionregistration"
	policies "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/admissionregistration/validation"
)

func main() {
	refused, err := validate(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if refused {
		os.Exit(1)
	}
}

// validate prints the errors of all documents and tells whether there were any.
func validate(input io.Reader, output io.Writer) (bool, error) {
	scheme := runtime.NewScheme()
	definitions.Install(scheme)
	policies.Install(scheme)
	// Strict, so that a field which this version does not know is told as such.
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(
		apiextensions.SchemeGroupVersion, admissionregistration.SchemeGroupVersion,
	)
	documents := yaml.NewYAMLReader(bufio.NewReader(input))
	refused := false
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return refused, nil
		}
		if err != nil {
			return refused, err
		}
		object, kind, err := decoder.Decode(document, nil, nil)
		if runtime.IsNotRegisteredError(err) || runtime.IsMissingKind(err) {
			continue
		}
		if err != nil {
			return refused, err
		}
		for _, found := range errorsOf(object) {
			refused = true
			fmt.Fprintf(output, "%s: %s\n", kind.Kind, found)
		}
	}
}

func errorsOf(object runtime.Object) field.ErrorList {
	switch seen := object.(type) {
	case *apiextensions.CustomResourceDefinition:
		return definitionvalidation.ValidateCustomResourceDefinition(context.Background(), seen)
	case *admissionregistration.ValidatingAdmissionPolicy:
		return policyvalidation.ValidateValidatingAdmissionPolicy(seen)
	case *admissionregistration.ValidatingAdmissionPolicyBinding:
		return policyvalidation.ValidateValidatingAdmissionPolicyBinding(seen)
	}
	return nil
}
